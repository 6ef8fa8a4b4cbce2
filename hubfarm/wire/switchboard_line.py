"""The line between the host's switchboard and a farm: on it connections come that are of the farm's account."""

import socket
from pathlib import Path

HELLO = b"connection"
"""What comes with each connection that is handed over."""

TIMEOUT = 1.0


def line_to_switchboard(path: Path) -> socket.socket:
    """Return a line to the switchboard; it does not block.

    Raises
    ------
    OSError
        There is none.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.settimeout(TIMEOUT)
        line.connect(str(path))
        line.setblocking(False)
    except BaseException:
        line.close()
        raise
    return line


def is_broken(line: socket.socket) -> bool:
    """Tell whether the switchboard has hung up; what waits on the line is left there."""
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
