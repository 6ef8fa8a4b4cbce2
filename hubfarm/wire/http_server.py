"""Bytes from sockets to one handler, and back.

`HttpServer` speaks HTTP/1.1 and 1.0 with keep-alive and pipelining: httptools parses, an
asyncio protocol moves the bytes.  A handler gets a whole `Request` and returns a `Response`,
or a future of one; answers leave in the order of the requests.  Whatever a peer sends, it
gets an answer or is closed, and nothing else is disturbed.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple, cast

import httptools

from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.bare_lf import CrlfHeads
from hubfarm.wire.connections import MAX_CONNECTIONS, Connections, Patience, Phase
from hubfarm.wire.http_messages import Request, Response, encode
from hubfarm.wire.known_heads import KnownHeads, head_of

BACKLOG = 1024
"""Connections that may wait to be accepted; astropy's hub has 5, and hangs at 20 busy clients."""

MAX_PIPELINED = 64
"""Requests of one connection that may wait for an answer before its socket is left unread."""

LINGER = 5.0
"""How long a refused peer may go on sending before its connection is closed, seconds.

Closing at once would reset the connection and destroy the answer before the peer has read it.
"""


Handler = Callable[[Request], "Response | asyncio.Future[Response]"]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one request may be, and how many connections are kept how long.

    Parameters
    ----------
    head : int
        Request line and header fields together, bytes.
    body : int
        Body, bytes.
    connections : int
        Open at the same time.
    patience : Patience
        How long one may stand still.
    """

    head: int = 64 * 2**10
    body: int = 64 * 2**20
    connections: int = MAX_CONNECTIONS
    patience: Patience = field(default_factory=Patience)


class _Refused(Exception):
    """Raised inside the parser's callbacks to end a request with an HTTP error."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class _Says(NamedTuple):
    """What a known head says: a request without its body, and the version of HTTP."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    version: str


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request whose answer is not there yet, or may not leave before an earlier one."""

    keep_alive: bool
    version: str
    answer: "Response | asyncio.Future[Response]"


class _Connection(asyncio.Protocol):
    """One connection: the parser's callbacks below are named for its events."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._crlf = CrlfHeads(server.limits.head)
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Waiting] = deque()
        self._out: list[bytes] = []
        self._ended = False  # no further request is read
        self._refused = False
        self._lingering: asyncio.TimerHandle | None = None
        self._write_paused = False
        self._in_request = False
        self._new_head = b""  # that of the request being parsed, if it may be remembered
        self._in_body = False
        self._peer = ""
        self._now = self.since = server.loop.time()
        self._reset()

    def _reset(self) -> None:
        self._head_size = 0
        self._unfinished = 0  # bytes fed since the parser's last event
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_size = 0

    # -------------------------------------------------------------- asyncio's events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._server.connections.admit(self):
            self._refuse(_Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections: try again"))
            self.flush()
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        for waiting in self._waiting:
            if isinstance(waiting.answer, asyncio.Future):
                waiting.answer.cancel()
        self._waiting.clear()
        if self._lingering is not None:
            self._lingering.cancel()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._now = self._server.loop.time()
        if not self._in_request and not self._crlf.holding:
            self.since = self._now
        if not self._crlf.transparent:
            data = self._crlf.feed(data)
        try:
            if not self._in_request and self._crlf.transparent and self._stays_open:
                data = self._take_known(data)
                self._new_head = head_of(data) if data else b""
            if data:
                self._unfinished += len(data)
                self._feed(data)
                self._check_head()
        except _Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Refused):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse(_Refused(HTTPStatus.BAD_REQUEST, f"not an HTTP request: {error}"))
        self._server.flush_soon(self)

    @property
    def _stays_open(self) -> bool:
        """Whether the client has not asked to close behind its last request."""
        return not self._waiting or self._waiting[-1].keep_alive

    def _take_known(self, data: bytes) -> bytes:
        """Answer the requests that `data` begins with and whose heads are known, return the rest of it."""
        while data and (known := self._server.known.find(data)) and len(data) >= (end := known.size + known.length):
            method, target, headers, version = known.says
            request = Request(method, target, headers, data[known.size : end], self._peer)
            self._answer(self._server.handle(request), keep_alive=True, version=version)
            data = data[end:]
        return data

    def _remember(self, head: bytes, body: int) -> None:
        """Remember the head of the request that is complete, if it is as most are."""
        parser, headers = self._parser, self._headers
        usual = b"content-length" in headers and b"transfer-encoding" not in headers and b"expect" not in headers
        if usual and parser.should_keep_alive():
            says = _Says(parser.get_method(), self._target, headers, parser.get_http_version())
            self._server.known.remember(head, body, says)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # A server may ignore it (RFC 9110, 7.8), the parser does not: give it the request without.
                method, rest = self._parser.get_method(), data[upgrade.args[0] :]
                if method == b"CONNECT":
                    raise _Refused(HTTPStatus.NOT_IMPLEMENTED, "a SAMP hub is no proxy") from None
                fields = b"".join(b"%s: %s\r\n" % field for field in self._headers.items() if field[0] != b"upgrade")
                data = b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, self._target, fields, rest)
                self._parser = httptools.HttpRequestParser(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._read_or_pause()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._read_or_pause()

    # -------------------------------------------------------------- httptools' events

    def on_message_begin(self) -> None:
        self._reset()
        self._in_request = True

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        name = name.lower()
        if name == b"host" and name in self._headers:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request names two hosts")
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        self._in_body = True
        if self._parser.should_upgrade():
            return  # this request comes again, by `_feed`
        headers = self._headers
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding != b"identity":
            raise _Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Encoding {encoding.decode('ascii', 'replace')} is not taken: send the body as it is",
            )
        if int(headers.get(b"content-length", 0)) > self._server.limits.body:
            raise self._too_large()
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        self._body_size += len(body)
        if self._body_size > self._server.limits.body:
            raise self._too_large()
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(self._parser.get_method(), self._target, self._headers, body, self._peer)
        if self._new_head:
            self._remember(self._new_head, len(body))
            self._new_head = b""
        self._reset()
        self._in_request = self._in_body = False
        self.since = self._now
        answer = self._server.handle(request)
        self._answer(answer, keep_alive=self._parser.should_keep_alive(), version=self._parser.get_http_version())

    # -------------------------------------------------------------- answers

    def _answer(self, answer: "Response | asyncio.Future[Response]", *, keep_alive: bool, version: str) -> None:
        if not self._waiting and isinstance(answer, Response):
            self._send(answer, keep_alive, version)
            return
        self._waiting.append(_Waiting(keep_alive, version, answer))
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(self._future_done)
        self._read_or_pause()

    def _future_done(self, _: "asyncio.Future[Response]") -> None:
        while self._waiting:
            answer = self._waiting[0].answer
            if isinstance(answer, asyncio.Future):
                if not answer.done():
                    break
                answer = self._server.result_of(answer)
            first = self._waiting.popleft()
            self.since = self._server.loop.time()
            self._send(answer, first.keep_alive, first.version)
        self._read_or_pause()
        self._server.flush_soon(self)

    def _send(self, response: Response, keep_alive: bool, version: str) -> None:
        self._out.append(encode(response, keep_alive=keep_alive, version=version))
        self._ended = self._ended or not keep_alive

    def flush(self) -> None:
        """Write the answers that are ready."""
        if self._transport.is_closing():
            return
        if self._out:
            out, self._out = self._out, []
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._ended and not self._waiting:
            if not self._refused:
                self._transport.close()
            elif self._lingering is None:
                self._lingering = self._server.loop.call_later(LINGER, self._transport.close)

    def _refuse(self, refused: _Refused) -> None:
        if self._ended or not self._stays_open:
            return  # what follows is nothing
        self._ended = self._refused = True
        response = Response(f"{refused.text}\n".encode(), refused.status, b"text/plain; charset=utf-8")
        if self._waiting:
            self._waiting.append(_Waiting(keep_alive=False, version="1.1", answer=response))
        else:
            self._send(response, keep_alive=False, version="1.1")

    def _read_or_pause(self) -> None:
        if self._transport.is_closing():
            return
        if self._write_paused or len(self._waiting) >= MAX_PIPELINED:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -------------------------------------------------------------- limits

    def _count_head(self, size: int) -> None:
        self._head_size += size
        self._unfinished = 0
        self._check_head()

    def _check_head(self) -> None:
        # A header field's event comes when it is whole: what the parser holds of one counts too.
        if self._head_size + self._unfinished > self._server.limits.head:
            raise _Refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's head is longer than {self._server.limits.head} bytes",
            )

    def _too_large(self) -> _Refused:
        return _Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the request's body is longer than {self._server.limits.body} bytes",
        )

    # -------------------------------------------------------------- what `Connections` asks

    @property
    def phase(self) -> Phase:
        """What the connection is at."""
        if self._waiting or self._ended or self._transport.get_write_buffer_size():
            return Phase.ANSWERING
        if self._in_body:
            return Phase.BODY
        return Phase.HEAD if self._in_request or self._crlf.holding else Phase.IDLE

    @property
    def received(self) -> int:
        """How much of the present request's body has come, bytes."""
        return self._body_size

    @property
    def unsent(self) -> int:
        """How much of its answers the peer has not taken yet, bytes."""
        return self._transport.get_write_buffer_size()

    def time_out(self, text: str) -> None:
        """Answer that the request took too long, and close."""
        self._refuse(_Refused(HTTPStatus.REQUEST_TIMEOUT, text))
        self.flush()

    def give_way(self) -> None:
        """Close for the sake of another."""
        if self.unsent:
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, and drop what is unsent."""
        self._transport.abort()

    def close(self) -> None:
        """Close once what has been written is on its way."""
        self.flush()
        self._transport.close()


class HttpServer:
    """An HTTP server on one listening socket.

    Parameters
    ----------
    handler : callable
        Gets each `Request`, returns a `Response` or a future of one; a future is cancelled
        when its client goes away.
    limits : HttpLimits
        Over them a request is answered 413 or 431 and its connection closed.
    on_error : callable
        Told of an exception that `handler` raised; the client is answered 500.
    before_answers : callable
        Called before answers leave, once for all that have become ready in one turn of the loop.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        on_error: Callable[[BaseException], None],
        before_answers: Callable[[], None] = lambda: None,
    ) -> None:
        self.limits = limits
        self.known: KnownHeads[_Says] = KnownHeads()
        self.loop = asyncio.get_running_loop()
        self.connections: Connections[_Connection] = Connections(self.loop, limits.connections, limits.patience)
        self._handler = handler
        self._on_error = on_error
        self._before_answers = before_answers
        self._to_flush: list[_Connection] = []
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on `sock`, which is bound already."""
        self._server = await self.loop.create_server(lambda: _Connection(self), sock=sock, backlog=BACKLOG)

    def flush_soon(self, connection: _Connection) -> None:
        """Write a connection's answers at the end of this turn of the loop."""
        if not self._to_flush:
            self.loop.call_soon(self.flush)
        self._to_flush.append(connection)

    def flush(self) -> None:
        """Write all answers that are ready."""
        connections, self._to_flush = self._to_flush, []
        try:
            self._before_answers()
        except Exception as error:
            self._on_error(error)
        for connection in connections:
            connection.flush()

    def handle(self, request: Request) -> "Response | asyncio.Future[Response]":
        """Hand one request to the handler; an exception becomes a 500."""
        try:
            return self._handler(request)
        except Exception as error:
            return self._failed(error)

    def result_of(self, future: "asyncio.Future[Response]") -> Response:
        """Return what a finished future holds; an exception becomes a 500."""
        try:
            return future.result()
        except (Exception, asyncio.CancelledError) as error:
            return self._failed(error)

    def _failed(self, error: BaseException) -> Response:
        self._on_error(error)
        return Response(b"the hub failed on this request; its log says why\n", 500, b"text/plain; charset=utf-8")

    def close(self) -> None:
        """Stop listening and close every connection, once its answers are on their way."""
        if self._server is not None:
            self._server.close()
        self.flush()
        for connection in self.connections.close():
            connection.close()


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
