"""What a handler of HTTP requests gets and returns, as plain data; and a response as bytes.

It knows nothing of sockets and parsers, and who handles requests need not either.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import NamedTuple


class Ends(NamedTuple):
    """Both ends of a TCP connection.

    Parameters
    ----------
    peer, peer_port
        The other end.
    own, own_port
        This end.
    certified : str
        Whose certificate the other end has shown, if one was asked for; see `hubfarm.wire.tls.name_in`.
    """

    peer: str = ""
    peer_port: int = 0
    own: str = ""
    own_port: int = 0
    certified: str = ""


class Request(NamedTuple):
    """One whole HTTP request.

    Parameters
    ----------
    method : bytes
        As ``b"POST"``.
    target : bytes
        As ``b"/xmlrpc"``.
    headers : dict of bytes to bytes
        Names in lower case.
    body : bytes
        With any chunking taken off.
    ends : Ends
        The connection that it came over.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    ends: Ends = Ends()

    @property
    def peer(self) -> str:
        """The address that it comes from."""
        return self.ends.peer


class Response(NamedTuple):
    """One HTTP response.

    Parameters
    ----------
    body : bytes
        The body; its length goes into the head.
    status : int
        The status code.
    content_type : bytes
        The media type.
    fields : bytes
        Further header fields, each ended by CRLF; see `encode_fields`.
    written : callable, optional
        Told whether the kernel has taken the whole of it for the peer, once that is known.  Called once.
    """

    body: bytes
    status: int = 200
    content_type: bytes = b"text/xml"
    fields: bytes = b""
    written: Callable[[bool], None] | None = None


_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}

JOINED = 64 * 2**10
"""A longer body is not copied behind its head, bytes."""


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    r"""Return header fields as they stand in a head.

    Examples
    --------
    >>> encode_fields([("Vary", "Origin")])
    b'Vary: Origin\r\n'
    """
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


def encode(response: Response, *, keep_alive: bool, version: str) -> tuple[bytes, ...]:
    """Return the bytes of a response, in one piece or two.

    Parameters
    ----------
    response : Response
        The response.
    keep_alive : bool
        Whether the connection stays.
    version : str
        The request's, ``1.1`` or ``1.0``.
    """
    body, fields = response.body, response.fields
    if keep_alive and version == "1.1" and response.status == 200:  # as nearly always: half the time
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n" % (
            response.content_type,
            len(body),
            fields,
        )
    else:
        connection = b""
        if not keep_alive:
            connection = b"Connection: close\r\n"
        elif version == "1.0":
            connection = b"Connection: keep-alive\r\n"
        head = b"%sContent-Type: %s\r\nContent-Length: %d\r\n%s%s\r\n" % (
            _STATUS_LINES[response.status],
            response.content_type,
            len(body),
            fields,
            connection,
        )
    return (head + body,) if len(body) <= JOINED else (head, body)
