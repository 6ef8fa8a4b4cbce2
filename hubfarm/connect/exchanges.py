"""Many questions and answers at a time over one pair of byte streams: ssh's standard streams, say.  Knows no SAMP.

Either end may ask.  An exchange is a question and its answer; each is a head, and a body in pieces.  On the way each
piece is a frame: the number of its exchange, its kind, its length, and so many bytes.  Who sends a body sends no more
than a window ahead of who reads it, so that a file of gigabytes which nobody reads holds up nothing else.

Rules it lives by:

1. A line is good, or it is lost: nothing is repaired here.  With the line every exchange on it is lost.
2. A line on which nothing has come for a while is lost, whatever the system says of it; both ends see to it that
   something comes.
3. What comes over it was sent by the other end of one program of ours; what is no frame is the end of the line.
"""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum

from hubfarm.samp.errors import HubfarmError

PIECE = 64 * 2**10
"""Longest piece of a body, bytes: so long others wait."""

WINDOW = 2**20
"""How far who sends a body may be ahead of who reads it, bytes."""

LONGEST_BODY = 80 * 2**20
"""Longest body that is read whole, bytes: a message that a hub takes, and what stands around it."""

BEAT = 3.0
"""Something is sent at least so often, seconds."""

SILENCE = 10.0
"""A line on which nothing has come for so long is lost, seconds."""

_FRAME = struct.Struct(">IBI")
_READ = 256 * 2**10
_LONGEST = 2**20


class LineLost(HubfarmError):
    """The line is lost, and what was under way on it."""


class Cancelled(HubfarmError):
    """The other end has left an exchange."""


class Kind(IntEnum):
    """What a frame is."""

    HEAD = 1
    BODY = 2
    END = 3
    WHOLE = 4
    """A head, behind its length, and a short body that ends there."""
    TAKEN = 5
    """So many bytes of the body were read."""
    CANCEL = 6
    BEAT = 7


class Exchange:
    """One question and its answer, at one end.

    Parameters
    ----------
    line : Exchanges
        Its line.
    number : int
        Its number there.
    """

    def __init__(self, line: "Exchanges", number: int) -> None:
        self._line = line
        self._number = number
        self._head: asyncio.Future[bytes] = line.loop.create_future()
        self._pieces: deque[bytes] = deque()
        self._whole = False
        self._trouble: HubfarmError | None = None
        self._news = asyncio.Event()
        self._room = WINDOW
        self._has_room = asyncio.Event()
        self._sent = self._received = False
        self.serving: asyncio.Task[None] | None = None
        """What answers it, if the other end has asked."""

    # ------------------------------------------------------------------ what the other end says

    async def head(self) -> bytes:
        """Return the head of what the other end says.

        Raises
        ------
        LineLost, Cancelled
            It has not come.
        """
        return await asyncio.shield(self._head)

    async def read(self) -> bytes:
        """Return the next piece of its body, none at the end.

        Raises
        ------
        LineLost, Cancelled
            There would be more.
        """
        while not self._pieces:
            if self._trouble is not None:
                raise self._trouble
            if self._whole:
                return b""
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        if not self._received:
            self._line.send(self._number, Kind.TAKEN, len(piece).to_bytes(4, "big"))
        return piece

    async def whole(self) -> bytes:
        """Return all of its body.

        Raises
        ------
        LineLost, Cancelled
            There would be more, or it is too long.
        """
        pieces, size = [], 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > LONGEST_BODY:
                self.cancel()
                raise Cancelled(f"a body of more than {LONGEST_BODY} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def take(self, kind: Kind, payload: bytes) -> None:
        """Note what has come from the other end."""
        match kind:
            case Kind.HEAD:
                self._take_head(payload)
            case Kind.WHOLE:
                size = int.from_bytes(payload[:2], "big")
                self._take_head(payload[2 : 2 + size])
                self._received = True
                if len(payload) > 2 + size:
                    self._pieces.append(payload[2 + size :])
                self._end()
            case Kind.BODY:
                self._pieces.append(payload)
                self._news.set()
            case Kind.END:
                self._received = True
                self._end()
            case Kind.TAKEN:
                self._room += int.from_bytes(payload, "big")
                self._has_room.set()
            case Kind.CANCEL:
                self.fail(Cancelled("the other end has left it"))
                if self.serving is not None:
                    self.serving.cancel()
            case _:
                raise LineLost("the other end says what cannot be")

    def _take_head(self, head: bytes) -> None:
        if not self._head.done():
            self._head.set_result(head)

    def _end(self) -> None:
        self._whole = True
        self._news.set()
        self._over()

    def fail(self, trouble: HubfarmError) -> None:
        """Note that nothing more comes."""
        self._trouble = self._trouble or trouble
        if not self._head.done():
            self._head.set_exception(trouble)
            self._head.exception()  # nobody need ask for it
        self._received = self._sent = True
        self._news.set()
        self._has_room.set()
        self._over()

    # ------------------------------------------------------------------ what this end says

    async def say(self, head: bytes, body: bytes = b"") -> None:
        """Say all of it: a head, and a whole body.

        Raises
        ------
        LineLost, Cancelled
            It is of no use any more.
        """
        if len(body) <= PIECE and len(head) < 2**16:
            self._check()
            await self._line.write(self._number, Kind.WHOLE, len(head).to_bytes(2, "big"), head, body)
            self._sent = True
            self._over()
            return
        await self.begin(head)
        for at in range(0, len(body), PIECE):
            await self.write(body[at : at + PIECE])
        await self.end()

    async def begin(self, head: bytes) -> None:
        """Say a head; `write` says what follows it."""
        self._check()
        await self._line.write(self._number, Kind.HEAD, head)

    async def write(self, piece: bytes) -> None:
        """Say a piece of the body, once the other end has read enough of what was before it."""
        while self._room <= 0:
            self._check()
            self._has_room.clear()
            await self._has_room.wait()
        self._check()
        self._room -= len(piece)
        await self._line.write(self._number, Kind.BODY, piece)

    async def end(self) -> None:
        """Say that the body ends there."""
        self._check()
        await self._line.write(self._number, Kind.END)
        self._sent = True
        self._over()

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def cancel(self) -> None:
        """Leave it, if it is not over: the other end need do no more for it."""
        if not (self._sent and self._received):
            self._line.send(self._number, Kind.CANCEL)
            self.fail(Cancelled("it was left"))

    def _over(self) -> None:
        if self._sent and self._received:
            self._line.forget(self._number)


Serve = Callable[[Exchange], Awaitable[None]]
"""Answers an exchange that the other end has begun; what it raises ends the exchange."""


class Exchanges:
    """One end of a line, until the line is lost.

    Parameters
    ----------
    reader, writer
        The streams.
    serve : callable
        Answers what the other end asks.
    first : bool
        This end has the odd numbers.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serve: Serve, *, first: bool
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._reader = reader
        self._writer = writer
        self._serve = serve
        self._first = first
        self._next = 1 if first else 2
        self._exchanges: dict[int, Exchange] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._lost: LineLost | None = None
        self._heard = self.loop.time()
        self._said = False

    def ask(self) -> Exchange:
        """Return a new exchange, in which this end asks.

        Raises
        ------
        LineLost
            So it is.
        """
        if self._lost is not None:
            raise self._lost
        number = self._next
        self._next = number + 2 if number < 2**32 - 2 else 1 if self._first else 2
        exchange = self._exchanges[number] = Exchange(self, number)
        return exchange

    def forget(self, number: int) -> None:
        """Know nothing more of an exchange that is over."""
        self._exchanges.pop(number, None)

    # ------------------------------------------------------------------ out

    def send(self, number: int, kind: Kind, *payload: bytes) -> None:
        """Send a frame, however much waits to be sent already: for short ones."""
        if self._lost is None:
            self._said = True
            self._writer.write(b"".join((_FRAME.pack(number, kind, sum(map(len, payload))), *payload)))

    async def write(self, number: int, kind: Kind, *payload: bytes) -> None:
        """Send a frame, and wait while too much waits to be sent.

        Raises
        ------
        LineLost
            So it is.
        """
        if self._lost is not None:
            raise self._lost
        self.send(number, kind, *payload)
        try:
            await self._writer.drain()
        except OSError as error:
            raise self._lost or LineLost(f"the line was cut: {error}") from None

    # ------------------------------------------------------------------ in

    async def run(self, before: bytes = b"") -> None:
        """Carry what comes until the line is lost, and say by what.

        Parameters
        ----------
        before : bytes
            What was read of the line already.

        Raises
        ------
        LineLost
            Always.
        """
        beating = self.loop.create_task(self._beat())
        try:
            await self._hear(before)
        except LineLost as error:
            self._lose(error)
            raise
        except OSError as error:
            lost = LineLost(f"the line was cut: {error}")
            self._lose(lost)
            raise lost from None
        finally:
            beating.cancel()
            self._lose(LineLost("the line was closed"))

    async def _hear(self, data: bytes) -> None:
        while True:
            data = self._take(data)
            more = await self._reader.read(_READ)
            if not more:
                raise self._lost or LineLost("the other end has hung up")
            self._heard = self.loop.time()
            data += more

    def _take(self, data: bytes) -> bytes:
        """Take the whole frames that `data` begins with, return the rest."""
        at = 0
        while len(data) - at >= _FRAME.size:
            number, kind, size = _FRAME.unpack_from(data, at)
            if size > _LONGEST:
                raise LineLost("the other end says what cannot be")
            end = at + _FRAME.size + size
            if len(data) < end:
                break
            self._take_one(number, kind, data[at + _FRAME.size : end])
            at = end
        return data[at:]

    def _take_one(self, number: int, kind: int, payload: bytes) -> None:
        if kind == Kind.BEAT:
            return
        exchange = self._exchanges.get(number)
        if exchange is None:
            if kind not in (Kind.HEAD, Kind.WHOLE) or number % 2 == self._next % 2:
                return  # of one that was left
            exchange = self._exchanges[number] = Exchange(self, number)
            task = self.loop.create_task(self._answer(exchange))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
            exchange.serving = task
        try:
            exchange.take(Kind(kind), payload)
        except ValueError:
            raise LineLost("the other end says what cannot be") from None

    async def _answer(self, exchange: Exchange) -> None:
        try:
            with contextlib.suppress(HubfarmError):
                await self._serve(exchange)
        finally:
            exchange.cancel()

    async def _beat(self) -> None:
        while True:
            self._said = False
            await asyncio.sleep(BEAT)
            if self.loop.time() - self._heard > SILENCE:
                self.hang_up(f"nothing has come over the line for {SILENCE:g} s")
                return
            if not self._said:
                self.send(0, Kind.BEAT)

    def hang_up(self, why: str) -> None:
        """Give the line up."""
        self._lost = self._lost or LineLost(why)
        self._writer.transport.abort()
        self._reader.feed_eof()

    def _lose(self, error: LineLost) -> None:
        self._lost = self._lost or error
        for exchange in list(self._exchanges.values()):
            exchange.fail(self._lost)
        self._exchanges.clear()
        for task in list(self._serving):
            task.cancel()
