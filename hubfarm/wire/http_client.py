"""One kept-alive, ordered connection to a URL.

`HttpClient.post` sends one body and returns the answer's.  Requests leave one after the
other.  Servers that close after each answer, say HTTP/1.0, send chunks, end the body with the
connection or their header lines with a bare LF (DS9) are all understood.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import httptools

from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.addresses import is_loopback
from hubfarm.wire.bare_lf import CrlfHeads
from hubfarm.wire.known_heads import KnownHeads, head_of
from hubfarm.wire.sockets import notice_silence
from hubfarm.wire.tls import usual_context
from hubfarm.wire.urls import check_http_url

MAX_HEAD = 16 * 2**10
MAX_BODY = 64 * 2**20

MAX_KNOWN = 16
"""Heads of one server's answers that are remembered: it has few kinds."""

JOINED = 64 * 2**10
"""A longer request is not copied into one piece before it is sent, bytes."""

_LOST_ON_THE_WAY = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
"""Errors that say nothing of the server: the network failed, or its host sleeps."""

_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""What the name service says of a name that nobody has; anything else may pass."""

Permits = Callable[[str, str], bool]


class HttpError(HubfarmError):
    """A POST has failed."""


class Unreachable(HttpError):
    """No connection could be made: the server has surely not seen the request.

    Parameters
    ----------
    text : str
        What happened.
    for_good : bool
        Nobody listens there, or it may not be connected to: to try again is no use.
    """

    def __init__(self, text: str, *, for_good: bool = False) -> None:
        super().__init__(text)
        self.for_good = for_good


class Distrusted(Unreachable):
    """What answers there has shown a certificate that it is not known by."""


class NoAnswer(HttpError):
    """The request was sent, and no whole answer came: the server may have seen it.

    Parameters
    ----------
    text : str
        What happened.
    again : bool
        Not one byte of this answer came, and the server closed a connection that had served before, or
        the network failed: it is right to send the request once more.
    """

    def __init__(self, text: str, *, again: bool = False) -> None:
        super().__init__(text)
        self.again = again


class BadAnswer(HttpError):
    """The server answered with something other than HTTP 200.

    Parameters
    ----------
    text : str
        With what.
    status : int
        By HTTP; 0 if it was no HTTP.
    body : bytes
        What came with it.
    """

    def __init__(self, text: str, *, status: int = 0, body: bytes = b"") -> None:
        super().__init__(text)
        self.status = status
        self.body = body


Done = Callable[["bytes | HttpError"], None]
"""Told what became of a request: the answer's body, or why there is none."""


class _Exchange(asyncio.Protocol):
    """One connection, and the requests that are under way on it, in order."""

    def __init__(self, known: KnownHeads[None], max_body: int) -> None:
        self.reusable = True
        self.answers = 0
        self.persistent = False
        """The last answer leaves no doubt that the connection stays: HTTP/1.1, and its length given."""
        self._known = known
        self._max_body = max_body
        self._transport: asyncio.Transport
        self._under_way: deque[Done] = deque()
        self._parser = httptools.HttpResponseParser(self)
        self._crlf = CrlfHeads(MAX_HEAD)
        self._ends_here = False  # the connection is closed behind an answer: what follows is unread
        self._reset()

    def _reset(self) -> None:
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._framed = False
        self._head_done = False
        self._heard = False
        self._new_head = b""  # that of the answer being parsed, if it may be remembered

    def request(self, pieces: Sequence[bytes], done: Done, count: int = 1) -> None:
        self._under_way.extend([done] * count)
        if sum(map(len, pieces)) <= JOINED:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    def _finish(self, result: "bytes | HttpError", *, close: bool = False) -> None:
        """Give the first of those who wait its result; what stands behind it in a closed connection is unread."""
        if not self._under_way:
            return
        done = self._under_way.popleft()
        self._reset()
        self.answers += isinstance(result, bytes)
        if close:
            self._ends_here = True
            self.close()
        done(result)

    @property
    def local_host(self) -> str:
        return str(self._transport.get_extra_info("sockname")[0])

    @property
    def peer(self) -> str:
        return str(self._transport.get_extra_info("peername")[0])

    @property
    def socket(self) -> socket.socket:
        return cast(socket.socket, self._transport.get_extra_info("socket"))

    @property
    def leads_afar(self) -> bool:
        return self.peer != self.local_host and not is_loopback(self.peer)  # to an own address, one comes from the same

    def close(self) -> None:
        self.reusable = False
        # To close it would wait until the server takes what was sent: one that never reads holds it for ever.
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    # -------------------------------------------------------------- asyncio's events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        by_peer, self.reusable = self.reusable, False
        if self._under_way and self._head_done and not self._framed:
            self._complete(keep_alive=False)  # a body without a length ends with the connection
        # A server may close a kept connection just as it is used again: that is no refusal.
        again = bool(self.answers) and not self._heard and (by_peer or self._ends_here)
        again = again or (isinstance(exc, OSError) and exc.errno in _LOST_ON_THE_WAY and not self._heard)
        while self._under_way:
            text = f"the connection was closed before the answer was there{f': {exc}' if exc else ''}"
            self._finish(NoAnswer(text, again=again))
            again = True  # what stood behind it, it has not come to

    def data_received(self, data: bytes) -> None:
        if not self._under_way:
            self.close()  # nothing was asked
            return
        if not self._crlf.transparent:
            data = self._crlf.feed(data)
        elif not self._heard:
            data = self._take_known(data)
            if not data:
                return
            self._new_head = head_of(data)
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.reusable:
                self._finish(BadAnswer(f"did not answer in HTTP: {error}"), close=True)
        if self._heard and not self._head_done:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._finish(BadAnswer(f"answered with a head of more than {MAX_HEAD} bytes"), close=True)

    def _take_known(self, data: bytes) -> bytes:
        """Take the answers that `data` begins with and whose heads are known, return the rest of it."""
        while self._under_way and (known := self._known.find(data)) is not None:
            end = known.size + known.length
            if len(data) < end:
                break
            self._finish(data[known.size : end])
            data = data[end:]
        return data

    # -------------------------------------------------------------- httptools' events

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True
            if name.lower() == b"transfer-encoding":
                self._new_head = b""

    def on_headers_complete(self) -> None:
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._max_body:
            self._finish(BadAnswer(f"answered with more than {self._max_body} bytes"), close=True)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        status, keep_alive = self._parser.get_status_code(), self._parser.should_keep_alive()
        if status < 200:
            self._head_done = self._framed = False  # an interim answer: the one asked for follows
            self._new_head = b""
            return
        self._complete(keep_alive=keep_alive)

    def _complete(self, *, keep_alive: bool) -> None:
        status = self._parser.get_status_code()
        if status != 200:
            answer = BadAnswer(f"answered HTTP {status}", status=status, body=b"".join(self._body))
            self._finish(answer, close=not (keep_alive and self._framed))
            return
        body = b"".join(self._body)
        self.persistent = keep_alive and self._framed and self._parser.get_http_version() == "1.1"
        if self.persistent and self._new_head:
            self._known.remember(self._new_head, len(body), None)
        self._finish(body, close=not keep_alive)


class HttpClient:
    """POSTs to one URL over one connection, in order.

    Parameters
    ----------
    url : str
        An ``http:`` or ``https:`` URL.
    connect_timeout : float
        How long a connection may take to be made, seconds.
    permits : callable
        Tells of the URL's host and an address that it leads to whether to connect there.
    objection : callable
        Says of the address at which a connection stands why nothing may be sent there; empty if it may.
    max_body : int
        Longest body of an answer, bytes.
    tls : sequence of ssl.SSLContext
        What an ``https:`` server may be known by: one after the other is tried; by default the system's CAs.

    Raises
    ------
    WrongUse
        `url` is of another kind.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 5.0,
        permits: Permits | None = None,
        objection: Callable[[str], str] | None = None,
        max_body: int = MAX_BODY,
        tls: Sequence[ssl.SSLContext] = (),
    ) -> None:
        parts = check_http_url(url)
        secure = parts.scheme == "https"
        self.url = url
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._known_by = (tls or [usual_context()]) if secure else [None]
        self._connect_timeout = connect_timeout
        self._permits = permits
        self._objection = objection
        self._max_body = max_body
        self._exchange: _Exchange | None = None
        self._known: KnownHeads[None] = KnownHeads(MAX_KNOWN)
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        self._head = (
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            "Content-Type: text/xml\r\nUser-Agent: hubfarm\r\nContent-Length: "
        ).encode("ascii")

    async def post(self, *body: bytes, timeout: float | None, authorization: bytes = b"", fields: bytes = b"") -> bytes:
        """Send `body`, return the body of the answer.

        Parameters
        ----------
        *body : bytes
            What to send, in pieces.
        timeout : float or None
            How long the answer may take once the connection stands, seconds; None for as long as it does.
        authorization : bytes
            What the field ``Authorization`` is to say; empty for none.
        fields : bytes
            Further header fields, each ended by CRLF.

        Raises
        ------
        Unreachable
            No connection could be made.
        NoAnswer
            The answer did not come in time, or the connection was closed instead.
        BadAnswer
            The answer was not HTTP 200.
        """
        request = self._request(body, authorization, fields)
        exchange = await self._connected()
        try:
            return await self._send(exchange, request, timeout)
        except NoAnswer as error:
            if not error.again:
                raise
        return await self._send(await self._connected(), request, timeout)

    async def _send(self, exchange: _Exchange, request: Sequence[bytes], timeout: float | None) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def done(result: bytes | HttpError) -> None:
            if future.done():
                return
            if isinstance(result, HttpError):
                future.set_exception(result)
            else:
                future.set_result(result)

        exchange.request(request, done)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout:g} s") from None
        finally:
            if not future.done() or future.cancelled():
                exchange.close()

    def _request(self, body: Sequence[bytes], authorization: bytes = b"", fields: bytes = b"") -> Sequence[bytes]:
        more = b"Authorization: %s\r\n" % authorization if authorization else b""
        return (b"%s%d\r\n%s%s\r\n" % (self._head, sum(map(len, body)), more, fields), *body)

    def hurry(self) -> None:
        """Have the kernel acknowledge at once what has come, and comes next; while an answer is waited for.

        A server that writes head and body of its answer apart waits for that, 40 ms (Nagle's algorithm).
        """
        if self._exchange is not None and self._exchange.reusable and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                sock = self._exchange.socket
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    @property
    def takes_more(self) -> bool:
        """Whether `send` may be used: a connection stands that has proved to outlast an answer."""
        exchange = self._exchange
        return exchange is not None and exchange.reusable and exchange.persistent and exchange.answers > 1

    def send(self, bodies: Sequence[Sequence[bytes]], done: Done) -> None:
        """Send `bodies` in one write, without waiting for the answers to what was sent before (pipelining).

        Only while `takes_more`; answers come in the order of the requests.

        Parameters
        ----------
        bodies : sequence of sequence of bytes
            What to send, each in pieces.
        done : callable
            Told the body of each answer, or the `HttpError` that became of it.
        """
        assert self._exchange is not None
        self._exchange.request([piece for body in bodies for piece in self._request(body)], done, len(bodies))

    async def connect(self) -> None:
        """Make the connection, if none stands.

        Raises
        ------
        Unreachable
            None could be made.
        """
        await self._connected()

    async def _connected(self) -> _Exchange:
        if self._exchange is not None and self._exchange.reusable:
            return self._exchange
        try:
            async with asyncio.timeout(self._connect_timeout):
                self._exchange = self._checked(await self._connect_to_who_is_known())
        except TimeoutError:
            raise Unreachable(f"no connection to {self._host}:{self._port} in {self._connect_timeout:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise Distrusted(
                f"the certificate that {self._host}:{self._port} shows is not to be trusted: {error.verify_message}",
                for_good=True,
            ) from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be a name
            raise Unreachable(
                f"no connection to {self._host}:{self._port}: {getattr(error, 'strerror', None) or error}",
                for_good=isinstance(error, ConnectionRefusedError | UnicodeError) or error.errno in _NO_SUCH_NAME,
            ) from None
        return self._exchange

    def _checked(self, exchange: _Exchange) -> _Exchange:
        """Close a connection that leads to whom nothing may be sent."""
        if self._objection is not None and (objection := self._objection(exchange.peer)):
            exchange.close()
            raise Unreachable(objection, for_good=True)
        return exchange

    async def _connect_to_who_is_known(self) -> _Exchange:
        for context in self._known_by[:-1]:
            with contextlib.suppress(ssl.SSLCertVerificationError):
                return await self._connect(context)
        return await self._connect(self._known_by[-1])

    async def _connect(self, context: ssl.SSLContext | None) -> _Exchange:
        loop = asyncio.get_running_loop()
        if self._permits is None:
            transport, exchange = await loop.create_connection(self._new_exchange, self._host, self._port, ssl=context)
            notice_silence(transport)
            return exchange
        # To an address, not to the name: a second look-up could lead elsewhere than was checked.
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = [address for each in found if self._permits(self._host, address := str(each[4][0]))]
        if not addresses:
            raise Unreachable(f"{self._host} is at {found[0][4][0]}, where this hub calls nobody back", for_good=True)
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return await self._connect_to(address, context)
        return await self._connect_to(addresses[-1], context)

    async def _connect_to(self, address: str, context: ssl.SSLContext | None) -> _Exchange:
        name = self._host if context is not None else None
        loop = asyncio.get_running_loop()
        transport, exchange = await loop.create_connection(
            self._new_exchange, address, self._port, ssl=context, server_hostname=name
        )
        notice_silence(transport)
        return exchange

    def _new_exchange(self) -> _Exchange:
        return _Exchange(self._known, self._max_body)

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        return self._exchange is not None and self._exchange.reusable

    @property
    def leads_afar(self) -> bool:
        """Whether the connection leads to another host; false if none stands."""
        return self._exchange is not None and self._exchange.leads_afar

    @property
    def local_host(self) -> str:
        """The address of this end of the connection; empty if none stands."""
        return self._exchange.local_host if self._exchange is not None and self._exchange.reusable else ""

    def close(self) -> None:
        """Close the connection; a request that is under way ends as `NoAnswer`."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
