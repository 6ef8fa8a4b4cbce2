"""Clients whose process is gone are noticed though nobody sends them anything, and living ones are left in peace."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hubfarm.hub.delivery.liveness import MOST_ABSENCES, ROUND, Liveness
from hubfarm.hub.model import Client
from hubfarm.hub.routes import Push
from hubfarm.spec.principal import ANYBODY
from hubfarm.spec.rhythm import BEAT
from hubfarm.wire.http_client import Unreachable
from tests.hub.test_deliveries import Callback, Room
from tests.support import PATIENCE, message
from tests.wire.wire_support import LOOPS, run_in, until, unused_port

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each kind of loop."""
    return lambda coroutine: run_in(request.param, coroutine)


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel knows nothing of any client: as if all were on other hosts."""
    monkeypatch.setattr("hubfarm.wire.host_sockets.HostSockets.listens", lambda self, host, port: None)


async def beat_until(probes: Liveness, client: Client, most: int) -> int:
    """Beat until a client is gone, at most so often; return how often it took."""
    for number in range(1, most + 1):
        probes.beat()
        await asyncio.gather(*probes._tasks.values())  # in a hub, a second: time enough for a connection to be refused
        if client.gone:
            return number
    return most + 1


def test_client_that_is_gone_is_out_within_half_a_minute_and_everybody_told(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as one:
            room = Room()
            witness = room.join(one.url, "samp.hub.event.unregister")
            gone = room.join(f"http://127.0.0.1:{unused_port()}/")
            beats = await beat_until(Liveness(room.hub, room.deliveries), gone, 30)
            assert MOST_ABSENCES <= beats * BEAT <= 30
            assert (await one.next()).params[2]["samp.params"] == {"id": gone.id}
            assert list(room.hub.clients) == [witness]
            await room.deliveries.close(PATIENCE)

    run(talk())


def test_client_of_this_host_is_never_connected_to_while_it_listens(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as idle, Callback() as asked:
            room = Room()
            sender = room.join("")
            clients = [room.join(idle.url), room.join(asked.url, "test.call")]
            room.do(room.hub.call(sender, clients[1].id, "tag", message("test.call"), 0.0))
            await asked.next()
            asked_once = asked.connections
            silent = room.do(room.hub.register(ANYBODY, 0.0))["samp.self-id"]  # has no callback to be asked at
            probes = Liveness(room.hub, room.deliveries)
            await beat_until(probes, clients[0], ROUND * (MOST_ABSENCES + 1))
            assert [one.id for one in room.hub.clients] == [sender.id, *(one.id for one in clients), silent]
            assert (idle.connections, asked.connections) == (0, asked_once)
            probes.close()

    run(talk())


def test_client_whose_connection_stands_is_not_looked_at_until_it_falls(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Room()
            sender, client = room.join(""), room.join(callback.url, "test.*")
            room.notify(sender, client, 1)
            await until(lambda: room.hub.counters.delivered == 1, "it is connected")
            looked_at: list[int] = []
            probes = Liveness(room.hub, room.deliveries)
            probes._sockets.listens = lambda host, port: bool(looked_at.append(port) or True)  # type: ignore
            await beat_until(probes, client, ROUND)
            assert looked_at == []
            room.deliveries._outboxes[client.id].close()
            await beat_until(probes, client, ROUND)
            assert looked_at == [callback.port]
            probes.close()

    run(talk())


def test_client_is_not_taken_for_gone_whose_server_is_set_up_anew() -> None:
    async def talk() -> None:
        room = Room()
        client = room.join(f"http://127.0.0.1:{unused_port()}/")
        probes = Liveness(room.hub, room.deliveries)
        while not probes._absent:
            probes.beat()
        probes.beat()
        assert not client.gone
        async with Callback() as back:
            room.do(room.hub.set_route(client, Push(back.url), 0.0))
            assert await beat_until(probes, client, ROUND * MOST_ABSENCES) > ROUND * MOST_ABSENCES
        probes.close()

    run_in("uvloop", talk())


def test_looks_that_find_nobody_add_up_only_if_none_between_finds_somebody() -> None:
    async def talk() -> None:
        room = Room()
        client = room.join(f"http://127.0.0.1:{unused_port()}/")
        probes = Liveness(room.hub, room.deliveries)
        looks = itertools.cycle([False] * (MOST_ABSENCES - 1) + [True])
        seen: list[bool] = []
        probes._sockets.listens = lambda host, port: seen.append(next(looks)) or seen[-1]  # type: ignore
        await beat_until(probes, client, 5 * ROUND)
        assert not client.gone
        assert seen.count(False) > MOST_ABSENCES
        probes.close()

    run_in("uvloop", talk())


class Answering:
    """A connection over which a client is asked: it is refused, or answered."""

    def __init__(self, refused: bool) -> None:
        self._refused = refused

    async def post(self, *_: bytes, timeout: float | None) -> bytes:
        if self._refused:
            raise Unreachable("connection refused", for_good=True)
        return b""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.usefixtures("_elsewhere")
def test_refused_connections_add_up_only_if_none_between_is_answered() -> None:
    async def talk() -> None:
        room = Room()
        sender, client = room.join(""), room.join("http://192.0.2.1/", "test.call")
        room.hub.call(sender, client.id, "tag", message("test.call"), 0.0)  # somebody waits for its reply
        asked = itertools.cycle([True] * (MOST_ABSENCES - 1) + [False])
        room.deliveries.new_client = lambda url: Answering(next(asked))  # type: ignore[assignment, return-value]
        probes = Liveness(room.hub, room.deliveries)
        assert await beat_until(probes, client, 3 * MOST_ABSENCES) > 3 * MOST_ABSENCES
        room.deliveries.new_client = lambda url: Answering(True)  # type: ignore[assignment, return-value]
        assert await beat_until(probes, client, MOST_ABSENCES) == MOST_ABSENCES
        probes.close()

    run_in("uvloop", talk())


def test_client_that_no_kernel_knows_of_is_asked_before_it_is_out() -> None:
    async def talk() -> None:
        async with Callback() as hidden:  # behind a rule of the firewall, say, which passes connections on
            room = Room()
            client = room.join(hidden.url)
            probes = Liveness(room.hub, room.deliveries)
            probes._sockets.listens = lambda host, port: False  # type: ignore[method-assign]
            await beat_until(probes, client, ROUND * MOST_ABSENCES)
            assert not client.gone
            assert (await hidden.next()).method == "samp.client.ping"
            probes.close()

    run_in("uvloop", talk())


@pytest.mark.usefixtures("_elsewhere")
def test_client_of_another_host_is_asked_by_whole_calls_only_while_somebody_waits_for_its_reply(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as far:
            room = Room()
            sender, client = room.join(""), room.join(far.url, "test.call")
            probes = Liveness(room.hub, room.deliveries)
            await beat_until(probes, client, ROUND + 1)
            assert far.connections == 0
            msg_id = room.do(room.hub.call(sender, client.id, "tag", message("test.call"), 0.0))
            assert (await far.next()).method == "samp.client.receiveCall"
            room.deliveries._outboxes[client.id].close()
            probes.beat()
            assert (await far.next()).method == "samp.client.ping"
            room.hub.abandon(msg_id)
            probes.close()

    run(talk())


@pytest.mark.usefixtures("_elsewhere")
def test_client_of_another_host_that_goes_on_refusing_is_out(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as far:
            room = Room()
            sender, client = room.join(""), room.join(far.url, "test.call")
            room.do(room.hub.call(sender, client.id, "tag", message("test.call"), 0.0))
            await far.next()
            far.stop()
            await until(lambda: not room.deliveries.is_connected(client), "its connection is gone")
            beats = await beat_until(Liveness(room.hub, room.deliveries), client, 30)
            assert MOST_ABSENCES <= beats < 30

    run(talk())
