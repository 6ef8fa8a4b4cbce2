"""One port of this host's loopback, in both its addresses: what a browser takes ``localhost`` for."""

import errno
import socket

from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.sockets import BACKLOG

PLACES = ("127.0.0.1", "::1")


def listen_on_loopback(port: int) -> dict[str, socket.socket]:
    """Return a listening socket for each address, or none at all if another program has one of them.

    A host without IPv6 has one.  The sockets do not block.

    Raises
    ------
    HubfarmError
        The port is in use.
    """
    listening: dict[str, socket.socket] = {}
    try:
        for place in PLACES:
            sock = _listening(place, port)
            if sock is not None:
                listening[place] = sock
    except OSError as error:
        for sock in listening.values():
            sock.close()
        raise HubfarmError(f"cannot listen on port {port} of {place}: {error.strerror}") from None
    return listening


def _listening(place: str, port: int) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((place, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        if sock is not None:
            sock.close()
        if family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        raise
    return sock
