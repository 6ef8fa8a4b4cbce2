"""Connections that stand still, and too many of them: others are answered all the same."""

import asyncio
import contextlib
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubfarm.wire.connections import FEWEST, MAX_CONNECTIONS, Activity, Patience, room
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_messages import Request, Response
from tests.support import PATIENCE, ROOT, Receiver, message, read_lock_file, wait_for
from tests.wire.wire_support import ENCRYPTED, LOOPS, Peer, next_moment, run_in, serving, until

Run = Callable[[Coroutine[Any, Any, None]], None]

POST = b"POST /xmlrpc HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello"
BODY_TO_COME = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture(params=[(loop, encrypted) for loop in LOOPS for encrypted in (False, True)])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine in each kind of loop, in the clear and over TLS."""
    loop, encrypted = request.param
    before = ENCRYPTED.set(encrypted)
    yield lambda coroutine: run_in(loop, coroutine)
    ENCRYPTED.reset(before)


def echo(request: Request) -> Response:
    return Response(request.body)


async def is_answered(peer: Peer) -> bool:
    return (await peer.ask(POST)).body == b"hello"


async def is_closed(peer: Peer) -> bool:
    return await peer.end() == b""


# ---------------------------------------------------------------------- standing still


@pytest.mark.parametrize(
    "sent", [b"P", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nA: b\r\n", b"POST / HTTP/1.0\nA: b\n"]
)
def test_head_that_does_not_become_whole_is_refused(run: Run, sent: bytes) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(patience=Patience(head=0.1))) as served:
            slow, other = await served.peer(), await served.peer()
            await slow.send(sent)
            assert (await slow.answer()).status == 408
            assert await is_answered(other)

    run(scene())


def test_head_that_comes_byte_by_byte_gains_no_time_by_that(run: Run) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(patience=Patience(head=0.3))) as served:
            slow = await served.peer()
            answer = asyncio.ensure_future(slow.answer())
            for byte in b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000:
                slow.writer.write(bytes([byte]))
                done, _ = await asyncio.wait([answer], timeout=0.02)
                if done:
                    break
            assert (await answer).status == 408

    run(scene())


@pytest.mark.parametrize("sent", [BODY_TO_COME, BODY_TO_COME + b"x" * 10])
def test_body_that_does_not_come_is_refused(run: Run, sent: bytes) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(patience=Patience(head=0.1, body=0.1, rate=1000))) as served:
            slow, other = await served.peer(), await served.peer()
            await slow.send(sent)
            answer = await slow.answer()
            assert answer.status == 408
            assert b"too slowly" in answer.body
            assert await is_answered(other)

    run(scene())


def test_body_that_is_large_has_the_time_that_it_takes(run: Run) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(patience=Patience(head=0.05, body=0.05, rate=100))) as served:
            peer, slow = await served.peer(), await served.peer()
            await peer.send(b"POST / HTTP/1.1\r\nContent-Length: 10001\r\n\r\n" + b"x" * 10_000)
            await slow.send(BODY_TO_COME)
            assert (await slow.answer()).status == 408  # at that look the other had stood still for longer
            assert (await peer.ask(b"x")).status == 200

    run(scene())


def test_idle_connection_is_closed_whether_or_not_it_has_ever_asked(run: Run) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(patience=Patience(idle=0.1))) as served:
            silent, answered = await served.peer(), await served.peer()
            assert await is_answered(answered)
            assert await is_closed(silent)
            assert await is_closed(answered)
            assert len(served.server.connections) == 0

    run(scene())


def test_connection_that_waits_for_its_answer_is_not_idle(run: Run) -> None:
    async def scene() -> None:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        asked = asyncio.Event()

        def later(_: Request) -> "asyncio.Future[Response]":
            asked.set()
            return answer

        async with serving(later, HttpLimits(patience=Patience(idle=0.05, head=0.05, body=0.05))) as served:
            waiting = await served.peer()
            await waiting.send(POST)
            await asked.wait()
            assert await is_closed(await served.peer())  # at that look the other had waited for longer
            answer.set_result(Response(b"hello"))
            assert (await waiting.answer()).body == b"hello"

    run(scene())


def test_peer_that_takes_no_answer_is_cut_off(run: Run) -> None:
    async def scene() -> None:
        large = Response(b"x" * 30_000_000)
        async with serving(lambda _: large, HttpLimits(patience=Patience(unread=0.1))) as served:
            peer = await served.peer()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await peer.send(POST)
            await until(lambda: len(served.server.connections) == 1, "it is there")
            await until(lambda: not len(served.server.connections), "it is cut off")
            peer.close()

    run(scene())


# ---------------------------------------------------------------------- too many


def test_those_idle_longest_give_way_first(run: Run) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(connections=3)) as served:
            first, second, third = [await served.peer() for _ in range(3)]
            for peer in (second, third, first):
                assert await is_answered(peer)
                await next_moment()
            assert await is_answered(await served.peer())
            assert await is_closed(second)
            assert await is_answered(first)
            assert await is_answered(third)

    run(scene())


def test_without_an_idle_one_the_oldest_unfinished_request_gives_way(run: Run) -> None:
    async def scene() -> None:
        async with serving(echo, HttpLimits(connections=2)) as served:
            head, body = await served.peer(), await served.peer()

            def is_there(activity: Activity) -> bool:
                return activity in {one.activity for one in served.server.connections._open}

            for peer, sent, activity in ((head, b"POST /", Activity.HEAD), (body, BODY_TO_COME, Activity.BODY)):
                await peer.send(sent)
                await until(partial(is_there, activity), f"one is at {activity}")
                await next_moment()
            assert await is_answered(await served.peer())
            assert await is_closed(head)

    run(scene())


def test_when_all_wait_for_answers_a_new_one_is_told_to_try_again(run: Run) -> None:
    async def scene() -> None:
        answers: asyncio.Queue[asyncio.Future[Response]] = asyncio.Queue()

        def later(_: Request) -> "asyncio.Future[Response]":
            future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
            answers.put_nowait(future)
            return future

        async with serving(later, HttpLimits(connections=2)) as served:
            waiting = [await served.peer() for _ in range(2)]
            for peer in waiting:
                await peer.send(POST)
            futures = [await answers.get() for _ in waiting]
            if ENCRYPTED.get():  # to be told, it would have to be encrypted first
                with pytest.raises(ConnectionError):
                    await served.peer()
            else:
                assert (await (await served.peer()).answer()).status == 503
            for future in futures:
                future.set_result(Response(b"hello"))
            for peer in waiting:
                assert (await peer.answer()).body == b"hello"

    run(scene())


# ---------------------------------------------------------------------- a hub, with the system's limits

_FEW = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
os.execv(sys.executable, [sys.executable, {str(ROOT / "bin" / "sampy.py")!r}, *sys.argv[3:]])
"""


class Standalone:
    """``sampy.py`` under a limit of descriptors."""

    def __init__(self, lock_file: Path, soft: int, hard: int) -> None:
        arguments = ["--lockfile", str(lock_file), "--log-output", str(lock_file.with_suffix(".log"))]
        self.process = subprocess.Popen([sys.executable, "-c", _FEW, str(soft), str(hard), *arguments])
        wait_for(lock_file.exists, "the hub's lock file appears")
        self.tokens = read_lock_file(lock_file)
        port = int(self.tokens["samp.hub.xmlrpc.url"].rpartition(":")[2].partition("/")[0])
        self.address = "127.0.0.1", port

    def cpu(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture
def few(home: Path) -> Iterator[Standalone]:
    """A hub that may open 200 files."""
    hub = Standalone(home / "few", 100, 200)
    yield hub
    hub.process.kill()
    hub.process.wait()


def test_hub_raises_its_limit_of_descriptors_as_far_as_it_may(few: Standalone) -> None:
    assert psutil.Process(few.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (200, 200)


def test_hub_outlives_more_idle_connections_than_it_has_descriptors(few: Standalone, receiver: Receiver) -> None:
    receiver.join(few.tokens["samp.hub.xmlrpc.url"], few.tokens["samp.secret"], "receiver", "test.*")
    with ExitStack() as idle, Receiver() as sender:
        for _ in range(600):
            idle.enter_context(socket.create_connection(few.address, timeout=PATIENCE))
        sender.join(few.tokens["samp.hub.xmlrpc.url"], few.tokens["samp.secret"])
        assert sender.hub.notify(sender.key, receiver.id, message("test.it")) == ""
        assert receiver.next().method == "samp.client.receiveNotification"
    assert few.end() == 0


def test_hub_without_descriptors_neither_spins_nor_dies(few: Standalone, receiver: Receiver) -> None:
    receiver.join(few.tokens["samp.hub.xmlrpc.url"], few.tokens["samp.secret"])
    some_more = psutil.Process(few.process.pid).num_fds() + 2
    resource.prlimit(few.process.pid, resource.RLIMIT_NOFILE, (some_more, 200))
    with ExitStack() as waiting:
        for _ in range(20):
            waiting.enter_context(socket.create_connection(few.address, timeout=PATIENCE))
        before = few.cpu()
        with pytest.raises(subprocess.TimeoutExpired):  # it lives
            few.process.wait(2.0)
        assert few.cpu() - before < 1.0
    resource.prlimit(few.process.pid, resource.RLIMIT_NOFILE, (200, 200))
    with Receiver() as later:
        wait_for(lambda: _joins(later, few), "the hub takes new connections again")
    assert few.end() == 0


def _joins(receiver: Receiver, hub: Standalone) -> bool:
    try:
        receiver.join(hub.tokens["samp.hub.xmlrpc.url"], hub.tokens["samp.secret"])
    except OSError:
        return False
    return True


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 12_000, reason="needs 12000 descriptors")
def test_ten_thousand_idle_connections_keep_nobody_out(home: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hub = Standalone(home / "many", 1000, 12_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        with ExitStack() as idle, Receiver() as client:
            for _ in range(10_000):
                idle.enter_context(socket.create_connection(hub.address, timeout=PATIENCE))
            client.join(hub.tokens["samp.hub.xmlrpc.url"], hub.tokens["samp.secret"])
            assert client.hub.ping() == ""
            held = len(psutil.Process(hub.process.pid).net_connections())
            assert held <= (12_000 - 64) // 2 + 100
        assert hub.end() == 0
    finally:
        hub.process.kill()
        hub.process.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_descriptors_are_shared_out_between_connections_in_and_out() -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    shares = room()
    assert FEWEST <= shares.connections <= MAX_CONNECTIONS
    assert shares.connections + shares.callbacks < max(soft, 2 * FEWEST + 1)


# ---------------------------------------------------------------------- handshakes


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", POST])
def test_handshake_that_does_not_end_is_cut_off_and_counts_as_a_connection(loop: str, sent: bytes) -> None:
    async def scene() -> None:
        ENCRYPTED.set(True)
        async with serving(echo, HttpLimits(connections=2, patience=Patience(head=0.5))) as served:
            halves = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(4)]
            for _, writer in halves:
                writer.write(sent)
            await until(lambda: len(served.server.connections) <= 2, "no more are kept than may be")
            assert await is_answered(await served.peer())
            for reader, writer in halves:
                with contextlib.suppress(ConnectionResetError):
                    assert POST not in await reader.read()
                writer.close()

    run_in(loop, scene())


@pytest.mark.parametrize("loop", LOOPS)
def test_long_body_goes_through_whole_in_both_directions(loop: str) -> None:
    async def scene() -> None:
        ENCRYPTED.set(True)
        async with serving(echo) as served:
            peer = await served.peer()
            body = bytes(range(256)) * 40_000
            await peer.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await peer.answer()).body == body
            assert await is_answered(peer)

    run_in(loop, scene())
