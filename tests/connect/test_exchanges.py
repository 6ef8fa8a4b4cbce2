"""Questions and answers over one pair of streams: at a time, in pieces, cancelled, and when the line is lost."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from hubfarm.connect import exchanges as module
from hubfarm.connect.exchanges import PIECE, WINDOW, Cancelled, Exchange, Exchanges, LineLost, Serve
from tests.support import in_a_loop


async def nothing(exchange: Exchange) -> None:
    await exchange.say(b"", b"")


async def echo(exchange: Exchange) -> None:
    """Answer with what was asked."""
    head = await exchange.head()
    await exchange.say(b"re " + head, await exchange.whole())


@asynccontextmanager
async def a_line(serve: Serve) -> AsyncIterator[tuple[Exchanges, Exchanges, asyncio.Task[None]]]:
    """Two ends of a line; the far one answers."""
    ends = []
    for number, sock in enumerate(socket.socketpair()):
        reader, writer = await asyncio.open_connection(sock=sock)
        ends.append(Exchanges(reader, writer, serve if number else nothing, first=not number))
    tasks = [asyncio.create_task(end.run()) for end in ends]
    try:
        yield ends[0], ends[1], tasks[0]
    finally:
        for end, task in zip(ends, tasks, strict=True):
            task.cancel()
            with suppress(asyncio.CancelledError, LineLost):
                await task
            end._writer.close()


async def asked(line: Exchanges, head: bytes, body: bytes = b"") -> tuple[bytes, bytes]:
    exchange = line.ask()
    await exchange.say(head, body)
    return await exchange.head(), await exchange.whole()


@in_a_loop
async def test_each_question_gets_its_own_answer_however_long() -> None:
    async with a_line(echo) as (near, far, _):
        sizes = [0, 1, PIECE, PIECE + 1, 3 * WINDOW, 5]
        answers = await asyncio.gather(*(asked(near, b"%d" % size, b"x" * size) for size in sizes))
        assert [(head, len(body)) for head, body in answers] == [(b"re %d" % size, size) for size in sizes]
        assert await asked(near, b"h" * 100_000) == (b"re " + b"h" * 100_000, b"")
        assert await asked(far, b"the other way") == (b"", b"")
        assert near._exchanges == far._exchanges == {}


@in_a_loop
async def test_body_that_nobody_reads_holds_up_no_other() -> None:
    sent = 0

    async def serve(exchange: Exchange) -> None:
        nonlocal sent
        if await exchange.head() == b"short":
            await exchange.say(b"done")
            return
        await exchange.begin(b"long")
        for _ in range(100):
            await exchange.write(b"x" * PIECE)
            sent += PIECE
        await exchange.end()

    async with a_line(serve) as (near, _, _):
        long = near.ask()
        await long.say(b"long")
        await long.head()
        for _ in range(50):
            assert (await asked(near, b"short"))[0] == b"done"
        assert sent == WINDOW
        assert len(await long.whole()) == sent == 100 * PIECE


@in_a_loop
async def test_who_leaves_an_exchange_ends_what_is_done_for_it() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with a_line(serve) as (near, far, _):
        exchange = near.ask()
        await exchange.say(b"wait")
        await begun.wait()
        exchange.cancel()
        await ended.wait()
        with pytest.raises(Cancelled):
            await exchange.head()
        exchange.cancel()  # once more changes nothing
        assert near._exchanges == {}
        while far._exchanges:
            await asyncio.sleep(0)


@in_a_loop
async def test_fault_of_ours_ends_its_exchange_and_no_other() -> None:
    async def serve(exchange: Exchange) -> None:
        if await exchange.head() == b"bad":
            raise Cancelled("no")
        await exchange.say(b"good")

    async with a_line(serve) as (near, _, _):
        with pytest.raises(Cancelled):
            await asked(near, b"bad")
        assert (await asked(near, b"fine"))[0] == b"good"


@in_a_loop
async def test_with_the_line_all_that_was_under_way_is_lost() -> None:
    async def serve(exchange: Exchange) -> None:
        await exchange.begin(b"begun")
        await asyncio.sleep(60)

    async with a_line(serve) as (near, far, running):
        waiting, reading = near.ask(), near.ask()
        await waiting.say(b"1")
        await reading.say(b"2")
        assert await reading.head() == b"begun"
        far.hang_up("enough")
        for lost in (running, reading.read()):
            with pytest.raises(LineLost):
                await lost
        with pytest.raises(LineLost):
            near.ask()


@pytest.mark.parametrize(
    "said",
    [
        struct.pack(">IBI", 2, 1, 2**31),
        struct.pack(">IBI", 2, 1, 0) + struct.pack(">IBI", 2, 99, 0),
        b"bash: a greeting that comes too late\n" * 3,
    ],
)
@in_a_loop
async def test_what_is_no_frame_is_the_end_of_the_line(said: bytes) -> None:
    async with a_line(nothing) as (_near, far, running):
        far._writer.write(said)
        with pytest.raises(LineLost, match="what cannot be"):
            await running


@in_a_loop
async def test_frames_of_an_exchange_that_was_left_are_passed_over() -> None:
    async with a_line(echo) as (near, far, _):
        far._writer.write(struct.pack(">IBI", 99, 3, 0) + struct.pack(">IBI", 77, 2, 1) + b"x")
        assert (await asked(near, b"on"))[0] == b"re on"


@in_a_loop
async def test_line_on_which_nothing_comes_is_lost_and_one_that_beats_is_not() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BEAT", 0.05)
        patch.setattr(module, "SILENCE", 0.2)
        async with a_line(echo) as (near, _far, _running):
            await asyncio.sleep(0.5)  # longer than one may be silent
            assert (await asked(near, b"here"))[0] == b"re here"
            reader, writer = await asyncio.open_connection(sock=(pair := socket.socketpair())[0])
            alone = Exchanges(reader, writer, nothing, first=True)
            with pytest.raises(LineLost, match="nothing has come"):
                await alone.run()
            pair[1].close()


@in_a_loop
async def test_answer_that_is_too_long_is_left() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_BODY", 100_000)
        async with a_line(echo) as (near, _, _):
            with pytest.raises(Cancelled):
                await asked(near, b"much", b"x" * 200_000)
