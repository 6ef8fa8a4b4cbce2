"""By which names a hub is reached: what a ``Host`` header may say.

A page in somebody's browser can send requests to 127.0.0.1, and by DNS rebinding read the
answers too; but the browser says under which name it thinks to have reached us, and by
``Origin`` that a page is behind the request.  SAMP's programs send no ``Origin``, and a ``Host`` that
they have from the lock file, or none (DS9).
"""

import socket

from hubfarm.wire.addresses import EVERYWHERE, is_loopback, own_addresses
from hubfarm.wire.urls import written

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class HostNames:
    """The names of a hub that listens on one socket.

    Parameters
    ----------
    sock : socket
        Bound already.
    given : str
        The address to listen on, as it was asked for.

    Examples
    --------
    >>> with socket.create_server(("127.0.0.1", 0)) as sock:
    ...     names = HostNames(sock, "127.0.0.1")
    >>> names.include(b"localhost"), names.include(b"rebound.example:80")
    (True, False)
    """

    def __init__(self, sock: socket.socket, given: str) -> None:
        address, self._port = sock.getsockname()[:2]
        bound = address.partition("%")[0]
        self._everywhere = bound in EVERYWHERE
        names = {*LOOPBACK_NAMES, written(given), written(bound), *_host_names(public=not is_loopback(bound))}
        self._known = frozenset(each for name in names for each in self._spellings(name))

    def _spellings(self, name: str) -> tuple[bytes, bytes]:
        return name.lower().encode(), f"{name.lower()}:{self._port}".encode()

    def include(self, host: bytes) -> bool:
        """Tell whether a ``Host`` header names us, with our port or none."""
        if host in self._known:
            return True
        # RFC 9110, 4.2.3: names know no upper case, and may end in a dot.
        name, colon, port = host.strip().lower().rpartition(b":")
        if not colon or port.endswith(b"]"):
            name, colon, port = host.strip().lower(), b"", b""
        plain = name.removesuffix(b".") + colon + port
        return plain in self._known or (self._everywhere and self._is_own_address(name, port))

    def _is_own_address(self, name: bytes, port: bytes) -> bool:
        # Addresses come and go while the hub runs: a notebook changes its network.
        if port and port != str(self._port).encode():
            return False
        return name.strip(b"[]").decode("ascii", "replace") in own_addresses()


def _host_names(*, public: bool) -> set[str]:
    name = socket.gethostname()
    names = {name, name.partition(".")[0]}
    if public:
        names.add(socket.getfqdn())  # asks the name service, which a hub on loopback has no need of
    return names
