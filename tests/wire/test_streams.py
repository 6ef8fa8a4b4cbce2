"""Answers that go on: each piece is a chunk, a peer that takes nothing holds nobody, and each stream has one end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from hubfarm.wire.connections import Patience
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.streams import Stream
from tests.support import PATIENCE
from tests.wire.wire_support import ENCRYPTED, LOOPS, Peer, Served, run_in, serving, until

Run = Callable[[Coroutine[Any, Any, None]], None]
GET = b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture(params=[(loop, tls) for loop in LOOPS for tls in (False, True)], ids=lambda p: f"{p[0]}-{p[1]}")
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each kind of loop, in the clear and encrypted."""
    loop, encrypted = request.param

    async def with_tls(coroutine: Coroutine[Any, Any, None]) -> None:
        ENCRYPTED.set(encrypted)
        await coroutine

    return lambda coroutine: run_in(loop, with_tls(coroutine))


@dataclass
class Source:
    """A handler that answers with streams, and knows what became of them."""

    streams: list[Stream] = field(default_factory=list)
    room: int = 0
    ended: int = 0
    wait: "asyncio.Future[None] | None" = None

    def __call__(self, request: Request) -> "Response | Stream | asyncio.Future[Response | Stream]":
        if request.target != b"/events":
            return Response(b"plain")
        if self.wait is not None:
            return asyncio.ensure_future(self._later())
        return self._new()

    def _new(self) -> Stream:
        self.streams.append(Stream(b"text/event", self._has_room, self._has_ended))
        return self.streams[-1]

    async def _later(self) -> Response | Stream:
        assert self.wait is not None
        await asyncio.shield(self.wait)
        return self._new()

    def _has_room(self) -> None:
        self.room += 1

    def _has_ended(self) -> None:
        self.ended += 1


async def head_of(peer: Peer) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await peer.reader.readuntil(b"\r\n\r\n")


async def chunk(peer: Peer) -> bytes:
    async with asyncio.timeout(PATIENCE):
        size = int(await peer.reader.readuntil(b"\r\n"), 16)
        data = await peer.reader.readexactly(size + 2)
    assert data.endswith(b"\r\n")
    return data[:-2]


@contextlib.asynccontextmanager
async def streaming(limits: HttpLimits | None = None, first: bytes = GET) -> AsyncIterator[tuple[Source, Peer, Served]]:
    source = Source()
    async with serving(source, limits) as served:
        peer = await served.peer()
        await peer.send(first)
        await until(lambda: source.streams, "the stream has begun")
        yield source, peer, served
        peer.close()
        assert served.errors == []


def test_each_piece_arrives_as_a_chunk_until_the_stream_ends(run: Run) -> None:
    async def scenario() -> None:
        async with streaming() as (source, peer, _):
            head = await head_of(peer)
            assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event\r\n")
            assert b"Transfer-Encoding: chunked" in head
            [stream] = source.streams
            stream.write(b"one")
            assert await chunk(peer) == b"one"
            stream.write(b"")  # which would be the end
            stream.write(b"x" * 100_000)
            assert await chunk(peer) == b"x" * 100_000
            stream.end()
            stream.write(b"too late")
            assert await peer.end() == b"0\r\n\r\n"
            await until(lambda: source.ended == 1, "its end was told once")
            assert not stream.is_open

    run(scenario())


def test_what_was_asked_before_is_answered_before_and_what_comes_behind_never(run: Run) -> None:
    async def scenario() -> None:
        first = b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n"
        async with streaming(first=first + GET + first) as (source, peer, _):
            assert (await peer.answer()).body == b"plain"
            await head_of(peer)
            source.streams[0].write(b"one")
            assert await chunk(peer) == b"one"
            source.streams[0].end()
            assert await peer.end() == b"0\r\n\r\n"

    run(scenario())


def test_peer_that_leaves_ends_the_stream(run: Run) -> None:
    async def scenario() -> None:
        async with streaming() as (source, peer, served):
            await head_of(peer)
            peer.close()
            await until(lambda: source.ended == 1, "the handler was told")
            source.streams[0].write(b"nobody")
            assert len(served.server.connections) == 0

    run(scenario())


def test_server_that_closes_ends_the_stream(run: Run) -> None:
    async def scenario() -> None:
        async with streaming() as (source, peer, served):
            await head_of(peer)
            source.streams[0].write(b"last")
            served.server.close()
            assert await peer.end() == b"4\r\nlast\r\n"
            await until(lambda: source.ended == 1, "the handler was told")

    run(scenario())


def test_stream_that_is_answered_later_begins_then_or_is_lost_with_its_peer(run: Run) -> None:
    async def scenario() -> None:
        source = Source()
        source.wait = asyncio.get_running_loop().create_future()
        async with serving(source) as served:
            stays, leaves = await served.peer(), await served.peer()
            await stays.send(GET)
            await leaves.send(GET)
            await until(lambda: len(served.server.connections) == 2, "both have asked")
            leaves.close()
            await until(lambda: len(served.server.connections) == 1, "one has left")
            source.wait.set_result(None)
            await head_of(stays)
            source.streams[0].write(b"one")
            assert await chunk(stays) == b"one"
            stays.close()

    run(scenario())


def test_slow_peer_is_seen_to_be_slow_and_room_is_told(run: Run) -> None:
    async def scenario() -> None:
        async with streaming() as (source, peer, _):
            await head_of(peer)
            [stream] = source.streams
            told = source.room
            written = 0
            while stream.unsent < 2**20:  # more than the kernel and the reader take by themselves
                stream.write(bytes(2**20))
                written += 2**20
                await asyncio.sleep(0)
            assert stream.taken < written
            for _ in range(written // 2**20):
                assert len(await chunk(peer)) == 2**20
            await until(lambda: source.room > told, "that there is room again was told")
            await until(lambda: not stream.unsent, "all was taken")

    run(scenario())


def test_peer_that_takes_nothing_is_cut_and_one_that_takes_some_is_not(run: Run) -> None:
    async def scenario() -> None:
        limits = HttpLimits(patience=Patience(unread=1.0))
        async with streaming(limits) as (source, slow, served):
            stuck = await served.peer()
            await stuck.send(GET)
            await until(lambda: len(source.streams) == 2, "both are there")
            await head_of(slow)
            stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
            cut = source.streams[1]
            deadline = asyncio.get_running_loop().time() + 3.0
            while cut.is_open or asyncio.get_running_loop().time() < deadline:
                for stream in source.streams:
                    if stream.is_open and stream.unsent < 2**20:
                        stream.write(bytes(2**18))
                await chunk(slow)
                await asyncio.sleep(0.01)
            assert source.streams[0].is_open
            assert source.ended == 1
            stuck.close()

    run(scenario())


def test_idle_stream_outlives_the_patience_with_idle_connections(run: Run) -> None:
    async def scenario() -> None:
        async with streaming(HttpLimits(patience=Patience(idle=0.5, head=0.5, unread=0.5))) as (source, peer, served):
            await head_of(peer)
            idle = await served.peer()
            assert await idle.end() == b""  # so long the other has been idle too
            source.streams[0].write(b"still")
            assert await chunk(peer) == b"still"

    run(scenario())
