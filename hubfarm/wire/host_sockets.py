"""What the kernel knows of this host's TCP sockets: who listens where, and whose the other end of a connection is.

Linux tells it over netlink (sock_diag(7)) in a few microseconds, and to everybody.  Elsewhere, and where
netlink is not to be had, nothing is known; all that only Linux has is in this file.
"""

import errno
import ipaddress
import socket
import struct
from contextlib import closing, suppress
from functools import lru_cache

from hubfarm.wire.http_messages import Ends
from hubfarm.wire.urls import place_of

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_ESTABLISHED = 1
_LISTEN = 10

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_PORTS = struct.Struct("!HH")
_INTERFACE_AND_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_ERROR = struct.Struct("=i")
_STATE = 1
_UID = struct.Struct("=I")
_UID_AT = 64
"""Where in an ``inet_diag_msg`` the account stands (linux/inet_diag.h)."""


class HostSockets:
    """Asks the kernel about this host's sockets.

    Examples
    --------
    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     HostSockets().listens("127.0.0.1", server.getsockname()[1]) is not False
    True
    """

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None
        self._number = 0
        if hasattr(socket, "AF_NETLINK"):
            with suppress(OSError):
                self._netlink = socket.socket(
                    socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
                )
                self._netlink.setblocking(False)

    @property
    def are_known(self) -> bool:
        """Whether the kernel can be asked at all."""
        return self._netlink is not None

    def close(self) -> None:
        """Ask no more."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def listens(self, host: str, port: int) -> bool | None:
        """Tell whether a process listens that a connection to a loopback address would reach.

        Parameters
        ----------
        host : str
            An address, or ``localhost``.
        port : int
            The port.

        Returns
        -------
        bool or None
            None if that is not known, or `host` is not of this host alone.
        """
        addresses = ["127.0.0.1", "::1"] if host == "localhost" else [host]
        try:
            loopback = all(ipaddress.ip_address(address).is_loopback for address in addresses)
            if not loopback:
                return None
            return any(self._state(address, port) == _LISTEN for address in addresses)
        except (OSError, ValueError):  # also if netlink is not to be had, or says something else than it should
            return None

    def listener(self, host: str, port: int) -> int | None:
        """Return the account (its uid) of the process that a connection to an address of this host would reach.

        Parameters
        ----------
        host : str
            An address, or ``localhost``.
        port : int
            The port.

        Returns
        -------
        int or None
            None if nobody listens there, several accounts do, or it is not known.
        """
        uids = self._listening(host, port)
        return uids.pop() if uids is not None and len(uids) == 1 else None

    def listeners(self, host: str, port: int) -> set[int]:
        """Return the accounts (their uids) to whose processes a connection to a loopback address could lead.

        Parameters
        ----------
        host : str
            An address, or ``localhost``, which is two.
        port : int
            The port.

        Returns
        -------
        set of int
            Empty if nobody listens there, `host` is not of this host alone, or it is not known.
        """
        address = host if host == "localhost" else _on_loopback(host)
        return (self._listening(address, port) or set()) if address else set()

    def _listening(self, host: str, port: int) -> set[int] | None:
        addresses = ["127.0.0.1", "::1"] if host == "localhost" else [host]
        try:
            found = [said for address in addresses if (said := self._ask(address, port)) and said[_STATE] == _LISTEN]
        except (OSError, ValueError):
            return None
        return set(map(_uid, found))

    def account(self, here: Ends) -> int | None:
        """Return the account (its uid) of the process at the other end of a connection that stands.

        Parameters
        ----------
        here : Ends
            The connection, seen from this end.

        Returns
        -------
        int or None
            None if the connection does not come from this host over loopback, or it is not known.
        """
        peer, own = _on_loopback(here.peer), _on_loopback(here.own)
        if not (peer and own):
            return None
        try:
            said = self._ask(peer, here.peer_port, own, here.own_port)
        except (OSError, ValueError):
            return None
        return _uid(said) if said and said[_STATE] == _ESTABLISHED else None

    def _state(self, address: str, port: int) -> int:
        """Return the state of the socket that a connection to `address` would reach, 0 if there is none."""
        said = self._ask(address, port)
        return said[_STATE] if said else 0

    def _ask(self, address: str, port: int, to_address: str = "", to_port: int = 0) -> bytes:
        """Return what the kernel says of the one socket (its ``inet_diag_msg``), nothing if there is none."""
        if self._netlink is None:
            raise OSError(errno.EOPNOTSUPP, "no netlink")
        request = _question(address, port, to_address, to_port)
        self._number = (self._number + 1) % 2**32
        size = _HEADER.size + len(request)
        self._netlink.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._number, 0) + request)
        answer, kind, number = b"", 0, -1
        while number != self._number:  # an answer that was not taken, as memory was short, must not be this one's
            answer = self._netlink.recv(4096)
            _, kind, _, number, _ = _HEADER.unpack_from(answer)
        if kind == _SOCK_DIAG_BY_FAMILY:
            return answer[_HEADER.size :]
        code = -_ERROR.unpack_from(answer, _HEADER.size)[0] if kind == _NLMSG_ERROR else errno.EPROTO
        if code == errno.ENOENT:
            return b""
        raise OSError(code, "netlink")


def listener_at(url: str) -> int | None:
    """Return the account (its uid) that listens where a URL leads on loopback; None if it is not known."""
    host, port = place_of(url)
    with closing(HostSockets()) as sockets:
        uids = sockets.listeners(host, port)
    return uids.pop() if len(uids) == 1 else None


def others_listen(address: str, port: int, uid: int) -> bool:
    """Tell whether another account than `uid` listens at a port of a loopback address, as far as is known."""
    with closing(HostSockets()) as sockets:
        return bool(sockets.listeners(address, port) - {uid})


@lru_cache(1024)
def _question(address: str, port: int, to_address: str, to_port: int) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where, to = ((socket.inet_pton(family, each) if each else b"").ljust(16, b"\0") for each in (address, to_address))
    return (
        _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        + _PORTS.pack(port, to_port)
        + where
        + to
        + _INTERFACE_AND_COOKIE
    )


def _uid(said: bytes) -> int:
    return int(_UID.unpack_from(said, _UID_AT)[0])


@lru_cache(1024)
def _on_loopback(address: str) -> str:
    """Return an address as the kernel has it for the other end, empty if it is none of loopback."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed) if parsed.is_loopback else ""
