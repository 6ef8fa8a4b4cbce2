"""The two ends of the control socket: what is asked is done and told of; no caller is too much for the server."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hubfarm.control import client, server
from hubfarm.control.client import ControlClient
from hubfarm.control.protocol import (
    MOST,
    AnyRequest,
    Coordinator,
    CoordinatorStatus,
    Hello,
    Hub,
    NoCoordinator,
    OtherVersion,
    Restart,
    Shutdown,
    Start,
    Status,
    Stop,
    encode,
    hello,
)
from hubfarm.control.server import ControlServer, Tell
from hubfarm.registry.unix_socket import UnixSocket
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest
from hubfarm.version import __version__
from tests.control.test_protocol import HUB
from tests.support import PATIENCE, in_a_loop

MALFORMED = [
    b"{",
    b"{}",
    b'{"ids": 1}',
    b'{"ask": "nonsense"}',
    b'{"ask": "status", "more": 1}',
    b'{"ask": "stop", "ids": ["one"]}',
    b'{"ask": "stop", "ids": [1',
    b'{"ask": "start", "requests": [{"label": 1}]}',
    b'{"ask": "start", "requests": null}',
    b"\xff\xfe",
    b"null",
    b"",
    b"[" * 100_000,
    b'{"ask":' * 100_000,
    b" " * (2 * MOST),
]


class Bench:
    """A server whose handler does what a test says, and the ends of its connections."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "control"
        self.asked: list[AnyRequest] = []
        self.http: list[bytes] = []
        self.does: Callable[[AnyRequest, Tell], Any] = self._tell_of_one_hub
        self.server = ControlServer(UnixSocket(self.path, "control socket"), self._handle, self._take_http)
        self.client = ControlClient(self.path)

    async def _handle(self, request: AnyRequest, tell: Tell) -> None:
        self.asked.append(request)
        await self.does(request, tell)

    async def _tell_of_one_hub(self, request: AnyRequest, tell: Tell) -> None:
        await tell(Hub(HUB))

    def _take_http(self, transport: asyncio.Transport, data: bytes) -> None:
        self.http.append(data)
        transport.close()

    async def say(self, *lines: bytes) -> list[dict[str, Any]]:
        """Return all that the server answers to these lines."""
        reader, writer = await asyncio.open_unix_connection(str(self.path), limit=2 * MOST)
        for line in lines:
            writer.write(line + b"\n")
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return [json.loads(line) for line in answer.splitlines()]


@contextlib.asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    """A server that listens."""
    made = Bench(directory)
    await made.server.start()
    try:
        yield made
    finally:
        await made.server.close()
        assert not made.path.exists()


OURS = encode(hello()).rstrip()

# ---------------------------------------------------------------------- what is asked and told


@in_a_loop
async def test_what_the_client_asks_for_arrives_and_what_is_told_comes_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        one = HubRequest(label="x")
        for ask, request in (
            (lambda: at.client.start([one]), Start([one])),
            (lambda: at.client.stop([1, 2]), Stop([1, 2])),
            (lambda: at.client.restart([3]), Restart([3])),
        ):
            assert await asyncio.to_thread(lambda ask=ask: list(ask())) == [HUB]
            assert at.asked[-1] == request
        await asyncio.to_thread(at.client.shut_down)
        assert at.asked[-1] == Shutdown()


@in_a_loop
async def test_status_is_what_the_coordinator_says_of_itself(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        status = CoordinatorStatus(4711, "0.2.0", 1.5, [HUB])
        at.does = lambda _, tell: tell(Coordinator(status))
        assert await asyncio.to_thread(at.client.status) == status
        assert at.asked == [Status()]


@in_a_loop
async def test_events_are_told_as_they_happen(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        go_on = asyncio.Event()

        async def two_hubs(_: AnyRequest, tell: Tell) -> None:
            await tell(Hub(HUB))
            await go_on.wait()
            await tell(Hub(HUB))

        at.does = two_hubs
        events = at.client.stop([1])
        assert await asyncio.to_thread(next, events) == HUB
        go_on.set()
        assert await asyncio.to_thread(list, events) == [HUB]


@pytest.mark.parametrize("kind", [WrongUse, NoCoordinator, HubfarmError])
def test_error_comes_back_as_the_kind_it_is(tmp_path: Path, kind: type[HubfarmError]) -> None:
    @in_a_loop
    async def run() -> None:
        async with bench(tmp_path) as at:

            async def fail(_: AnyRequest, __: Tell) -> None:
                raise kind("no room: stop one")

            at.does = fail
            with pytest.raises(kind, match=r"^no room: stop one$") as raised:
                await asyncio.to_thread(list, at.client.stop([1]))
            assert type(raised.value) is kind

    run()


# ---------------------------------------------------------------------- what cannot be understood


@in_a_loop
async def test_malformed_requests_are_answered_in_one_line_and_the_server_lives_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        for each in MALFORMED:
            greeting, failed = await at.say(OURS, each)
            assert greeting["protocol"] == hello().protocol
            assert (failed["tell"], failed["failure"]) == ("failed", "wrong use"), each[:30]
            assert len(failed["message"].splitlines()) == 1
        assert at.asked == []
        assert await asyncio.to_thread(list, at.client.stop([1])) == [HUB]


@in_a_loop
async def test_hello_that_is_none_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        for each in (b"{}", b'{"ask": "status"}', b'{"release": 1, "protocol": "", "pid": 1}'):
            greeting, failed = await at.say(each)
            assert "release" in greeting
            assert failed["failure"] == "wrong use"
        assert at.asked == []


@in_a_loop
async def test_coordinators_own_fault_is_told_and_the_server_lives_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:

        async def stumble(_: AnyRequest, __: Tell) -> None:
            raise KeyError("oops")

        at.does = stumble
        with pytest.raises(HubfarmError, match=r"^the coordinator failed: KeyError\('oops'\); its log says more$"):
            await asyncio.to_thread(list, at.client.stop([1]))
        at.does = at._tell_of_one_hub
        assert await asyncio.to_thread(list, at.client.stop([1])) == [HUB]


@in_a_loop
async def test_who_says_half_a_request_is_told_so_after_a_while(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "PATIENCE", 0.05)
        async with bench(tmp_path) as at:
            reader, writer = await asyncio.open_unix_connection(str(at.path))
            writer.write(OURS + b'\n{"ask":')
            answer = (await reader.read()).splitlines()
            assert json.loads(answer[-1])["message"] == "the request was not whole within 0.05 s"
            writer.close()
            silent, writer = await asyncio.open_unix_connection(str(at.path))
            assert await silent.read() == b""
            writer.close()


@in_a_loop
async def test_who_breaks_off_is_told_of_by_the_next_event(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        gone = asyncio.Event()
        raised: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def go_on_telling(_: AnyRequest, tell: Tell) -> None:
            await gone.wait()
            try:
                while True:
                    await tell(Hub(HUB))
                    await asyncio.sleep(0)
            except ConnectionError as error:
                raised.set_result(type(error).__name__)
                raise

        at.does = go_on_telling
        _, writer = await asyncio.open_unix_connection(str(at.path))
        writer.write(OURS + b"\n" + encode(Stop([1])))
        await writer.drain()
        while not at.asked:
            await asyncio.sleep(0)
        writer.transport.abort()
        gone.set()
        assert await raised in ("ConnectionResetError", "BrokenPipeError")


# ---------------------------------------------------------------------- other releases


@in_a_loop
async def test_hubfarm_of_another_version_hears_hello_and_nothing_is_done_for_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        (greeting,) = await at.say(encode(Hello("9.0.0", "9-0", 1)).rstrip(), b'{"ask": "shutdown"}')
        assert greeting["release"] == __version__
        assert at.asked == []


def answering(directory: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> ControlClient:
    """Return a client to a coordinator that says only `answer`."""
    path = directory / "control"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    connect = socket.socket.connect

    class Connected(socket.socket):
        def connect(self, address: Any) -> None:
            connect(self, address)
            taken, _ = listener.accept()
            with taken:
                taken.sendall(answer)
                taken.shutdown(socket.SHUT_WR)
                self._other = taken.dup()

    monkeypatch.setattr(client.socket, "socket", Connected)
    return ControlClient(path)


def test_coordinator_of_another_version_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(tmp_path, encode(Hello("0.0.9", "0-0", 4711)), monkeypatch)
    with pytest.raises(OtherVersion) as raised:
        asked.status()
    assert str(raised.value) == (
        f"this is hubfarm {__version__}, and the coordinator (process 4711) is of hubfarm 0.0.9: "
        "bring it to this release by hubfarm upgrade, its hubs keep their clients"
    )


def test_coordinator_of_a_release_that_spoke_http_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(tmp_path, b"HTTP/1.0 400 Bad Request\r\n\r\nBad status line", monkeypatch)
    with pytest.raises(OtherVersion, match=f"^this is hubfarm {__version__}, and what answers on .* earlier release"):
        list(asked.start([HubRequest()]))


def test_coordinator_that_ends_before_it_said_hello_has_done_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoCoordinator, match="is ending: try again"):
        list(answering(tmp_path, b"", monkeypatch).start([HubRequest()]))


def test_coordinator_that_is_lost_before_it_was_done_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(tmp_path, encode(hello()) + encode(Hub(HUB)), monkeypatch)
    events = asked.stop([1])
    assert next(events) == HUB
    with pytest.raises(HubfarmError, match="before it was done") as raised:
        next(events)
    assert not isinstance(raised.value, NoCoordinator)


def test_nobody_there_is_no_coordinator(tmp_path: Path) -> None:
    with pytest.raises(NoCoordinator, match=r"no coordinator answers on .*: No such file or directory"):
        ControlClient(tmp_path / "control").status()


def test_coordinator_that_stands_still_is_none_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control"))
        listener.listen()
        with pytest.raises(NoCoordinator, match="timed out"):
            ControlClient(tmp_path / "control").status()


# ---------------------------------------------------------------------- the socket


@in_a_loop
async def test_what_is_no_json_is_http_and_handed_on_with_its_first_bytes(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        reader, writer = await asyncio.open_unix_connection(str(at.path))
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        assert await reader.read() == b""
        writer.close()
        assert at.http == [b"GET /metrics HTTP/1.1\r\n"]


@in_a_loop
async def test_socket_that_was_removed_is_made_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        assert await at.server.mend() is False
        at.path.unlink()
        assert await at.server.mend() is True
        assert at.path.stat().st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(list, at.client.stop([1])) == [HUB]


@in_a_loop
async def test_close_waits_for_what_is_under_way_but_not_for_ever(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "CLOSE_TIMEOUT", 0.05)
        async with bench(tmp_path) as at:
            cancelled = asyncio.Event()

            async def never(_: AnyRequest, __: Tell) -> None:
                try:
                    await asyncio.sleep(PATIENCE)
                except asyncio.CancelledError:
                    cancelled.set()
                    raise

            at.does = never
            _, writer = await asyncio.open_unix_connection(str(at.path))
            writer.write(OURS + b"\n" + encode(Stop([1])))
            while not at.asked:
                await asyncio.sleep(0)
            await at.server.close()
            await cancelled.wait()
            writer.close()


@in_a_loop
async def test_close_lets_what_is_under_way_be_answered(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        go_on = asyncio.Event()

        async def wait(_: AnyRequest, __: Tell) -> None:
            await go_on.wait()

        at.does = wait
        answered = asyncio.create_task(at.say(OURS, encode(Stop([1])).rstrip()))
        while not at.asked:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(go_on.set)
        await at.server.close()
        assert [line.get("tell") for line in await answered] == [None, "done"]
