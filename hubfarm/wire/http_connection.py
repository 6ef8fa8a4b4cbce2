"""One connection of an HTTP server: bytes become requests, and answers bytes.

Rules it lives by:

1. The requests of a connection are handled one after the other: the next one when the answer to the
   last is there, and the peer has taken what was sent before.  Until then little more is read of it.
2. Nobody is read for long on trust: a body that is longer than some is read on only if the code that
   is to handle it admits its beginning.
3. What requests that are not whole yet hold is counted for all connections together.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import httptools

from hubfarm.wire.bare_lf import CrlfHeads
from hubfarm.wire.connections import LINGER, MAX_CONNECTIONS, Activity, Connections, Patience
from hubfarm.wire.handshake import Handshake
from hubfarm.wire.http_messages import Ends, Request, Response, encode
from hubfarm.wire.known_heads import KnownHeads, head_of
from hubfarm.wire.sockets import notice_silence, unread
from hubfarm.wire.streams import Stream
from hubfarm.wire.tls import name_in

ON_TRUST = 64 * 2**10
"""A longer body is read on only if its beginning is admitted, bytes."""

SLICE = 16 * 2**10
"""How much is parsed before it is asked whether there is a request to be answered first, bytes."""

LONG = 64 * 2**10
"""The rest of a body goes past the parser if more than this is still to come, bytes."""

MOST_UNSENT = 256 * 2**10
"""Requests of a peer wait while it has more than this of its answers to take, bytes."""

MOST_UNREAD = 64 * 2**10
"""How much is read behind a request that waits for its answer, bytes: enough to see that the peer leaves."""

MOST_FIELDS = 100
"""Header fields of one request."""

FIELD_SIZE = len(": \r\n")
"""What a header field takes beside its name and value, bytes."""

JUST_CAME = 5.0
"""A connection on which nothing was asked yet is one that may still ask for so long, seconds."""

LOOK_AGAIN = 0.05
"""Between two looks whether what is below an encrypted connection has written all, seconds."""

MOST_STREAMED = 2**62
"""More than any stream will ever have sent, bytes."""

Answered: TypeAlias = "Response | Stream | asyncio.Future[Response] | asyncio.Future[Response | Stream]"
"""What a handler returns: the answer, or a future of it."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one request may be, and how many connections are kept how long.

    Parameters
    ----------
    head : int
        Request line and header fields together, bytes.
    body : int
        Body, bytes.
    on_trust : int
        What is read of a body before it is asked whether it is admitted, bytes.
    held_on_trust : int
        What all requests that are not whole may hold together that were not admitted, bytes.
    held : int
        Likewise those that were.
    connections : int
        Open at the same time.
    patience : Patience
        How long one may stand still.
    """

    head: int = 16 * 2**10
    body: int = 64 * 2**20
    on_trust: int = ON_TRUST
    held_on_trust: int = 64 * 2**20
    held: int = 512 * 2**20
    connections: int = MAX_CONNECTIONS
    patience: Patience = field(default_factory=Patience)


class _Refused(Exception):
    """Raised inside the parser's callbacks to end a request with an answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def _refused(status: HTTPStatus, text: str) -> _Refused:
    return _Refused(Response(f"{text}\n".encode(), status, b"text/plain; charset=utf-8"))


class Says(NamedTuple):
    """What a known head says: a request without its body, and the version of HTTP."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    version: str


class _Asked(NamedTuple):
    """A request that is to be answered, or was refused already."""

    request: Request | Response
    keep_alive: bool
    version: str


class Server(Protocol):
    """What a connection asks of the server that it is one of."""

    limits: HttpLimits
    leaving: bool
    """Each connection is closed behind its next answer."""
    held_on_trust: int
    held: int
    known: KnownHeads[Says]
    loop: asyncio.AbstractEventLoop
    connections: "Connections[Connection | Handshake]"
    admit: Callable[[Request], Response | None]

    def handle(self, request: Request) -> Answered:
        """Return the answer to a request, or a future of it; never raise."""

    def result_of(self, future: "asyncio.Future[Any]") -> Response | Stream:
        """Return what a finished future holds; never raise."""

    def flush_soon(self, connection: "Connection") -> None:
        """Have what a connection has to write written at the end of this turn of the loop."""


class Connection(asyncio.Protocol):
    """One connection: the parser's callbacks below are named for its events.

    Parameters
    ----------
    server : Server
        Whose.
    below : asyncio.Transport, optional
        What an encrypted connection's transport writes to.
    """

    def __init__(self, server: Server, below: asyncio.Transport | None = None) -> None:
        self._server = server
        self._transport: asyncio.Transport
        self._below = below
        self._crlf = CrlfHeads(server.limits.head)
        self._parser = httptools.HttpRequestParser(self)
        self._asked: deque[_Asked] = deque()
        self._awaited: asyncio.Future[Any] | None = None  # the answer to the first of those
        self._stream: Stream | None = None  # what the first of those is answered by
        self._unread: list[bytes] = []  # what came behind them, and was not parsed yet
        self._unread_size = 0
        self._out: list[bytes] = []
        self._out_size = 0
        self._unwritten: list[Callable[[bool], None]] = []  # who is to be told that all was written
        self._ended = False  # no further request is read
        self._refused = False
        self._lingering: asyncio.TimerHandle | None = None
        self._write_paused = False
        self._reading_paused = False
        self._in_request = False
        self._new_head = b""  # that of the request being parsed, if it may be remembered
        self._in_body = False
        self._ends = Ends()
        self._now = self.since = server.loop.time()
        self._has_answered = False
        self._held_on_trust = self._held = 0
        self._reset()

    def _reset(self) -> None:
        self._give_back()
        self._head_size = 0
        self._fields = 0
        self._unfinished = 0  # bytes fed since the parser's last event
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._length = 0
        self._past_parser = False
        self._admitted = False

    # -------------------------------------------------------------- asyncio's events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; refuse to serve if there are too many."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._ends = ends_of(transport)
        notice_silence(transport)  # a pull may wait for hours
        if not self._server.connections.admit(self):
            self._refuse(_refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections: try again"))
            self.flush()
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was asked, and say so to who has answers under way."""
        self._server.connections.discard(self)
        self._ended = True
        self._asked.clear()
        self._unread.clear()
        self._reset()
        if self._awaited is not None:
            self._awaited.cancel()
        if self._lingering is not None:
            self._lingering.cancel()
        self._tell_written(False)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or keep it until what came before is answered."""
        if self._ended:
            return
        self._now = self._server.loop.time()
        if self._waits:
            self._unread.append(data)
            self._unread_size += len(data)
            self._read_or_pause()
            return
        if not self._in_request and not self._crlf.holding:
            self.since = self._now
        self._read(data)

    def pause_writing(self) -> None:
        """Note that the peer does not take its answers."""
        self._write_paused = True
        self._read_or_pause()

    def resume_writing(self) -> None:
        """Go on with what waited for the peer."""
        self._write_paused = False
        self._look_whether_written()
        if self._stream is not None:
            self._stream.has_room()
        self._go_on()

    # -------------------------------------------------------------- reading

    @property
    def _waits(self) -> bool:
        """Whether something has to happen before the next request may be looked at."""
        return bool(self._asked) or self._write_paused or self._out_size > MOST_UNSENT

    def _read(self, data: bytes) -> None:
        """Parse what has come, as far as requests may be looked at."""
        try:
            if not self._in_request and self._crlf.transparent:
                data = self._take_known(data)
            while data and not (self._ended or self._waits):
                size = max(SLICE, self._length - self._body_size if self._in_body else 0)
                piece, data = (data, b"") if len(data) <= size else (data[:size], data[size:])
                self._parse(piece)
        except _Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Refused):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse(_refused(HTTPStatus.BAD_REQUEST, f"not an HTTP request: {error}"))
        if data and not self._ended:
            self._unread.insert(0, data)
            self._unread_size += len(data)
        self._read_or_pause()
        self._server.flush_soon(self)

    def _parse(self, data: bytes) -> None:
        if not self._crlf.transparent:
            data = self._crlf.feed(data)
        else:
            if self._past_parser:
                data = self._take_body(data)
            if data and not self._in_request:
                self._new_head = head_of(data)
        if data:
            self._unfinished += len(data)
            self._feed(data)
            self._check_head()
            self._past_parser = self._crlf.transparent and self._length - self._body_size > LONG

    def _take_body(self, data: bytes) -> bytes:
        """Take what belongs to a long body, and return the rest; the parser would copy it once more."""
        left = self._length - self._body_size
        self.on_body(data if len(data) <= left else data[:left])
        if len(data) < left:
            return b""
        self.on_message_complete()
        self._parser = httptools.HttpRequestParser(self)  # the other one waits for the body
        return data[left:]

    def _take_known(self, data: bytes) -> bytes:
        """Answer the requests that `data` begins with and whose heads are known, return the rest of it."""
        server = self._server
        while data and (known := server.known.find(data)) and len(data) >= (end := known.size + known.length):
            if self._waits or server.leaving or known.length > ON_TRUST:
                break
            method, target, headers, version = known.says
            request = Request(method, target, headers, data[known.size : end], self._ends)
            data = data[end:]
            answer = server.handle(request)
            if isinstance(answer, Response):  # as nearly always: `_ask` would come to the same
                self._send(answer, keep_alive=True, version=version)
            else:
                self._asked.append(_Asked(request, keep_alive=True, version=version))
                self._await(answer)
        return data

    def _remember(self, head: bytes, body: int) -> None:
        """Remember the head of the request that is complete, if it is as most are."""
        parser, headers = self._parser, self._headers
        usual = b"content-length" in headers and b"transfer-encoding" not in headers and b"expect" not in headers
        # A password is not kept longer than its request.
        if usual and b"authorization" not in headers and parser.should_keep_alive():
            says = Says(parser.get_method(), self._target, headers, parser.get_http_version())
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
                    raise _refused(HTTPStatus.NOT_IMPLEMENTED, "a SAMP hub is no proxy") from None
                fields = b"".join(b"%s: %s\r\n" % field for field in self._headers.items() if field[0] != b"upgrade")
                data = b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, self._target, fields, rest)
                self._parser = httptools.HttpRequestParser(self)

    def _read_or_pause(self) -> None:
        may_wait = self._write_paused or self._out_size > MOST_UNSENT or self._unread_size > MOST_UNREAD
        pause = may_wait and not self._ended
        if pause is self._reading_paused or self._transport.is_closing():
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -------------------------------------------------------------- httptools' events

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._reset()
        self._in_request = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._count_head(len(url))
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header field."""
        self._count_head(len(name) + len(value) + FIELD_SIZE)
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise _refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the request has more than {MOST_FIELDS} header fields"
            )
        name = name.lower()
        if name == b"host" and name in self._headers:
            raise _refused(HTTPStatus.BAD_REQUEST, "the request names two hosts")
        if name == b"authorization" and name in self._headers:
            raise _refused(HTTPStatus.BAD_REQUEST, "the request has two Authorization fields")
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """Judge the head, before anything of the body is read."""
        self._unfinished = 0
        self._in_body = True
        if self._parser.should_upgrade():
            return  # this request comes again, by `_feed`
        headers = self._headers
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding != b"identity":
            raise _refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Encoding {encoding.decode('ascii', 'replace')} is not taken: send the body as it is",
            )
        self._length = int(headers.get(b"content-length", 0))
        if self._length > self._server.limits.body:
            raise self._too_large()
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unfinished = 0
        self._body_size += len(body)
        if self._body_size > self._server.limits.body:
            raise self._too_large()
        self._body.append(body)
        if not self._admitted and self._body_size > self._server.limits.on_trust:
            self._ask_admission()
        self._hold(len(body))

    def _ask_admission(self) -> None:
        start = Request(self._parser.get_method(), self._target, self._headers, b"".join(self._body), self._ends)
        refusal = self._server.admit(start)
        if refusal is not None:
            raise _Refused(refusal)
        self._give_back()
        self._admitted = True
        self._hold(self._body_size - len(self._body[-1]))

    def on_message_complete(self) -> None:
        """Have the request answered."""
        if self._parser.should_upgrade():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(self._parser.get_method(), self._target, self._headers, body, self._ends)
        if self._new_head:
            self._remember(self._new_head, len(body))
            self._new_head = b""
        self._reset()
        self._in_request = self._in_body = False
        self.since = self._now
        self._ask(_Asked(request, self._parser.should_keep_alive(), self._parser.get_http_version()))

    # -------------------------------------------------------------- answers

    def _ask(self, asked: _Asked) -> None:
        if self._ended:
            return  # what follows is nothing
        if self._server.leaving:
            asked = asked._replace(keep_alive=False)
        self._ended = not asked.keep_alive
        if self._waits or not self._answer(asked):
            self._asked.append(asked)

    def _answer(self, asked: _Asked) -> bool:
        """Answer a request, if that is possible at once."""
        answer = asked.request if isinstance(asked.request, Response) else self._server.handle(asked.request)
        if not isinstance(answer, Response):
            self._await(answer)
            return False
        self._send(answer, keep_alive=asked.keep_alive, version=asked.version)
        return True

    def _await(self, answer: "Stream | asyncio.Future[Any]") -> None:
        if isinstance(answer, Stream):
            self._begin_stream(answer)
            return
        self._awaited = answer
        answer.add_done_callback(self._awaited_is_there)

    def _awaited_is_there(self, answer: "asyncio.Future[Any]") -> None:
        self._awaited = None
        if not self._asked:  # the peer has left
            if not answer.cancelled():
                _tell_lost(self._server.result_of(answer))
            return
        self.since = self._server.loop.time()
        result = self._server.result_of(answer)
        if isinstance(result, Stream):
            self._begin_stream(result)
            return
        asked = self._asked.popleft()
        self._send(result, keep_alive=asked.keep_alive, version=asked.version)
        self._go_on()

    # -------------------------------------------------------------- an answer that goes on

    def _begin_stream(self, stream: Stream) -> None:
        """Answer the first of the requests by a stream; no further one is answered on this connection."""
        over: asyncio.Future[None] = self._server.loop.create_future()
        over.add_done_callback(lambda _: stream.lost())
        self._stream, self._awaited = stream, over  # which ends with the connection
        stream.begin(self)

    @property
    def buffered(self) -> int:
        """How much of what was written the peer has not taken yet, bytes."""
        return self._out_size + self._buffered

    def write_at_once(self, data: bytes) -> None:
        """Write some bytes of a stream."""
        self._write(data)
        self._server.flush_soon(self)

    def end_stream(self) -> None:
        """Close, once what was written is on its way."""
        self._ended = True
        self._asked.clear()
        if self._awaited is not None:
            self._awaited.cancel()
        self._server.flush_soon(self)

    def _go_on(self) -> None:
        """Answer what was asked meanwhile, and read on; as far as that is possible now."""
        while self._asked and self._awaited is None and not (self._write_paused or self._out_size > MOST_UNSENT):
            if self._answer(self._asked[0]):
                self._asked.popleft()
        if self._unread and not self._waits:
            unread = b"".join(self._unread)
            self._unread.clear()
            self._unread_size = 0
            self._read(unread)
        else:
            self._read_or_pause()
            self._server.flush_soon(self)

    def _send(self, response: Response, *, keep_alive: bool, version: str) -> None:
        self._has_answered = True
        for piece in encode(response, keep_alive=keep_alive, version=version):
            self._write(piece)
        if response.written is not None:
            self._unwritten.append(response.written)
            if self._below is None and not self._transport.is_closing():  # TLS would pause for good, with nothing left
                self._transport.set_write_buffer_limits(high=0)  # so that `resume_writing` says that nothing is left

    def _look_whether_written(self) -> None:
        if self._unwritten and not self.unsent:
            self._tell_written(not self._transport.is_closing())
        elif self._unwritten and self._below is not None:  # which tells nobody when it has written all
            self._server.loop.call_later(LOOK_AGAIN, self._look_whether_written)

    def _tell_written(self, whether: bool) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for written in unwritten:
            written(whether)

    def _write(self, piece: bytes) -> None:
        self._out.append(piece)
        self._out_size += len(piece)

    def flush(self) -> None:
        """Write the answers that are ready."""
        if self._transport.is_closing():
            return
        if self._out:
            out, size = self._out, self._out_size
            self._out, self._out_size = [], 0
            if size <= MOST_UNSENT:
                self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            else:
                for piece in out:  # asyncio's `writelines` never pauses in early 3.12 and 3.13 (CVE-2024-12254)
                    self._transport.write(piece)
            if self._unwritten:
                self._look_whether_written()
            if size > MOST_UNSENT and not self._write_paused:
                self._go_on()
        if self._ended and not self._asked and not self._out:
            if not self._refused:
                self._transport.close()
            elif self._lingering is None:
                self._lingering = self._server.loop.call_later(LINGER, self._transport.abort)

    def _refuse(self, refused: _Refused) -> None:
        if not self._ended:
            self._refused = True
            self._reset()
            self._ask(_Asked(refused.response, keep_alive=False, version="1.1"))

    # -------------------------------------------------------------- limits

    def _count_head(self, size: int) -> None:
        self._head_size += size
        self._unfinished = 0
        self._check_head()
        self._hold(size)

    def _check_head(self) -> None:
        # A header field's event comes when it is whole: what the parser holds of one counts too.
        if self._head_size + self._unfinished > self._server.limits.head:
            raise _refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's head is longer than {self._server.limits.head} bytes",
            )

    def _hold(self, size: int) -> None:
        server, limits = self._server, self._server.limits
        if self._admitted:
            self._held += size
            server.held += size
        else:
            self._held_on_trust += size
            server.held_on_trust += size
        if server.held_on_trust > limits.held_on_trust or server.held > limits.held:
            raise _refused(HTTPStatus.SERVICE_UNAVAILABLE, "too much is being sent at the same time: try again")

    def _give_back(self) -> None:
        self._server.held_on_trust -= self._held_on_trust
        self._server.held -= self._held
        self._held_on_trust = self._held = 0

    def _too_large(self) -> _Refused:
        return _refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the request's body is longer than {self._server.limits.body} bytes",
        )

    # -------------------------------------------------------------- what `Connections` asks

    @property
    def activity(self) -> Activity:
        """What the connection is at."""
        if self._asked or self._ended or self._out or self._buffered:
            return Activity.ANSWERING
        if self._in_body:
            return Activity.BODY
        return Activity.HEAD if self._in_request or self._crlf.holding else Activity.IDLE

    @property
    def at_rest(self) -> bool:
        """Whether it may be closed, and nobody has asked for anything by it; what the kernel has of it is looked at."""
        if self.activity is not Activity.IDLE or self._transport.is_closing():
            return False
        has_come = not self._has_answered and self._server.loop.time() - self.since < JUST_CAME
        return not (has_come or unread(self._transport.get_extra_info("socket").fileno()))

    @property
    def received(self) -> int:
        """How much of the present request's body has come, bytes."""
        return self._body_size

    @property
    def unsent(self) -> int:
        """How much of its answers the peer has not taken yet, bytes; of a stream, what less there is to take."""
        if self._stream is not None:  # it may always have the same behind it, and is taken nevertheless
            return MOST_STREAMED - self._stream.taken if self.buffered else 0
        return self.buffered

    @property
    def _buffered(self) -> int:
        below = self._below.get_write_buffer_size() if self._below is not None else 0
        return self._transport.get_write_buffer_size() + below

    def time_out(self, text: str) -> None:
        """Answer that the request took too long, and close."""
        self._refuse(_refused(HTTPStatus.REQUEST_TIMEOUT, text))
        self.flush()

    def give_way(self) -> None:
        """Close for the sake of another."""
        if self.unsent or self._below is not None:  # a farewell in TLS waits for the peer's
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, and drop what is unsent."""
        self._transport.abort()

    def close(self) -> None:
        """Close once what has been written is on its way; soon at any rate."""
        self.flush()
        if self._transport.is_closing():
            return  # asyncio's TLS takes a second time amiss
        self._transport.close()
        if self._buffered:
            self._server.loop.call_later(LINGER, self._transport.abort)


def _tell_lost(answer: "Response | Stream") -> None:
    """Say to who made an answer that its peer has left before it was there."""
    if isinstance(answer, Stream):
        answer.lost()
    elif answer.written is not None:
        answer.written(False)


def ends_of(transport: asyncio.BaseTransport) -> Ends:
    """Return between which addresses a connection is; of one that was closed meanwhile, nothing is known."""
    peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    if isinstance(peer, tuple) and isinstance(own, tuple):
        return Ends(str(peer[0]), peer[1], str(own[0]), own[1], name_in(transport.get_extra_info("peercert")))
    return Ends()
