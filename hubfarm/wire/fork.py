"""What a program that forks must not hand to its children: listening sockets.

A child that lives on would keep its dead parent's port open, and whoever connects there would
wait instead of being refused.
"""

import os
import socket
from weakref import WeakSet

_sockets: WeakSet[socket.socket] = WeakSet()


def close_in_child(sock: socket.socket) -> socket.socket:
    """Return `sock`, which children that this process forks from now on will not have."""
    _sockets.add(sock)
    return sock


def _close_all() -> None:
    for sock in list(_sockets):
        sock.close()
    _sockets.clear()


os.register_at_fork(after_in_child=_close_all)
