"""Sockets: those that listen are made, and kept from the children that a program forks; silent peers are noticed.

A child that lives on would keep its dead parent's port open, and a program that connects there would
wait instead of being refused.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
import termios
from weakref import WeakSet

from hubfarm.samp.errors import HubfarmError

BACKLOG = 1024
"""Connections that may wait to be accepted; astropy's hub has 5, and hangs at 20 busy clients."""


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket on `host` and `port`; 0 lets the system choose the port.

    Raises
    ------
    HubfarmError
        The host is unknown or not one of this machine's addresses, or the port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise HubfarmError(f"cannot listen on {host}: {getattr(error, 'strerror', None) or error}") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = f"port {port} of {host}" if port else host
        raise HubfarmError(f"cannot listen on {where}: {error.strerror}") from None
    return sock


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


def unread(descriptor: int) -> int:
    """Return how much a peer has sent that waits in the kernel, bytes."""
    waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    return int.from_bytes(waiting, sys.byteorder)


KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 6}
"""A peer on another host counts as lost after this time of silence, seconds, if it does not answer the kernel."""


def notice_silence(transport: asyncio.BaseTransport) -> None:
    """Let the kernel find out if the peer's host is gone, however long an answer may take."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or peer[0] == "::1" or str(peer[0]).startswith("127."):
        return  # this kernel knows
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it was closed meanwhile
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):  # macOS has them in part
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
