"""A listening socket, handed from a worker to a new coordinator over a Unix socket.

The coordinator that bound it may die; the worker holds it too, and gives it to the next one
(the socket outlives the worker).  One connection carries one socket, and the
``<PID>-<ID>`` of the hub that it is of.
"""

import socket
from pathlib import Path

from hubfarm.registry.statetable import HubName

TIMEOUT = 1.0
"""How long one side waits for the other, seconds: a hub must not stand still for longer."""

_MAX_NAME = 64


def hand_over(sock: socket.socket, path: Path, name: HubName) -> None:
    """Give `sock`, which the hub `name` listens on, to the coordinator at `path`.

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
    """Accept one hand-over: the hub's ``<PID>-<ID>`` and its socket, or None if it came to nothing."""
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
