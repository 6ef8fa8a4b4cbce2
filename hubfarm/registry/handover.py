"""A listening socket, handed from a worker to a new coordinator over a Unix socket.

The coordinator that bound it may die; the worker holds it too, and gives it to the next one
(the socket outlives the worker).  One connection carries one socket, and the
name of what it is of: a hub's ``<PID>-<ID>``, or what the web's gateway calls it.
"""

import socket
from pathlib import Path

from hubfarm.registry.statetable import HubName

WEB = "web"
"""What the web's gateway calls its sockets; the address that one listens at comes behind it."""

TIMEOUT = 1.0
"""How long one side waits for the other, seconds: a hub must not stand still for longer."""

_MAX_NAME = 64


def hand_over(sock: socket.socket, path: Path, name: HubName | str) -> None:
    """Give `sock`, which `name` listens on, to the coordinator at `path`.

    Raises
    ------
    OSError
        Nobody takes it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
        socket.send_fds(connection, [str(name).encode()], [sock.fileno()])


def take(listener: socket.socket) -> tuple[str, socket.socket] | None:
    """Accept one hand-over: the name and its socket, or None if it came to nothing."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(TIMEOUT)
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, _MAX_NAME, 1)
        except OSError:
            return None
    if not descriptors:
        return None
    return data.decode("ascii", "replace"), socket.socket(fileno=descriptors[0])
