"""What sleeps and wakes, in the supervisor's loop turned by hand: no process is needed for that."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hubfarm.coordinator.aftermath import MAX_EARLY_DEATHS
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.supervisor import TICK, TURNED_AWAY, Supervisor
from hubfarm.prefork.worker_reports import Report
from hubfarm.registry.asleep import link_guard, some_sleep
from hubfarm.registry.history import End, read_history, record_end
from hubfarm.registry.listing import HubInfo, found_hubs
from hubfarm.registry.locks import Lock
from hubfarm.registry.paths import Paths
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Idle
from hubfarm.spec.states import HubState, Phase
from hubfarm.wire.sockets import bind
from tests.coordinator.coordinator_support import (
    ASLEEP,
    CRASHED,
    NO_ROOM,
    SERVES,
    FakeClock,
    FakeFarm,
    FakeThing,
    nobody,
)
from tests.support import in_a_loop


class Scene:
    """A supervisor, its clock, and one thing that can sleep."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.supervisor = Supervisor(self.clock)
        self.thing = FakeThing(self.clock)

    async def turn(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        for _ in range(3):
            await asyncio.sleep(0)
        await self.supervisor.look()
        await asyncio.sleep(0)

    async def tells(self, *news: Any) -> list[str]:
        """Let its process tell this; return what was asked of it then."""
        self.thing.tells = list(news)
        await self.turn(TICK)
        return self.thing.take_done()

    async def serving(self) -> FakeThing:
        self.supervisor.take_on([self.thing])
        await self.turn()
        await self.tells(SERVES)
        return self.thing

    async def asleep(self) -> FakeThing:
        thing = await self.serving()
        self.supervisor.let_sleep(thing)
        await self.turn()
        await self.tells(ASLEEP)
        assert thing.life.phase is Phase.DORMANT
        thing.take_done()
        return thing

    async def somebody_comes(self) -> list[str]:
        self.thing.caller.send(b"x")
        await self.turn()
        await self.turn()
        self.thing.bell.recv(10)
        return self.thing.take_done()


@in_a_loop
async def test_what_is_told_to_sleep_sleeps_and_wakes_when_somebody_comes() -> None:
    scene = Scene()
    thing = await scene.serving()
    scene.supervisor.let_sleep(thing)
    await scene.turn()
    assert thing.take_done()[-1] == "told to sleep"
    assert thing.life.phase is Phase.DOZING
    assert await scene.tells(ASLEEP) == ["lay down"]
    assert await scene.somebody_comes() == ["welcomes", "started"]
    assert await scene.tells(SERVES) == []
    assert thing.life.phase is Phase.RUNNING


@in_a_loop
async def test_what_is_in_use_stays_awake_and_who_asked_is_told_why() -> None:
    scene = Scene()
    thing = await scene.serving()
    asked = asyncio.create_task(scene.supervisor.sleep([thing], nobody))
    await scene.turn()
    from hubfarm.coordinator.supervised import StaysAwake

    await scene.tells(StaysAwake("a client waits"))
    assert thing.life.phase is Phase.RUNNING
    with pytest.raises(HubfarmError, match="thing stays awake: a client waits"):
        await asked
    assert not thing.sleepy


@in_a_loop
async def test_process_that_does_not_say_whether_it_sleeps_is_taken_for_awake() -> None:
    scene = Scene()
    thing = await scene.serving()
    asked = asyncio.create_task(scene.supervisor.sleep([thing], nobody))
    await scene.turn()
    await scene.turn(thing.doze_timeout + TICK)
    assert thing.life.phase is Phase.RUNNING
    with pytest.raises(HubfarmError, match="it has not said within 5 s"):
        await asked


@in_a_loop
async def test_process_that_dies_while_it_was_to_sleep_is_replaced() -> None:
    scene = Scene()
    thing = await scene.serving()
    scene.supervisor.let_sleep(thing)
    await scene.turn()
    assert (await scene.tells(CRASHED))[:1] == ["told to sleep"]
    await scene.turn(TICK)
    assert thing.life.phase is Phase.STARTING


@in_a_loop
async def test_what_begins_asleep_has_no_process_until_it_is_woken() -> None:
    scene = Scene()
    scene.thing.begins_asleep = True
    scene.supervisor.take_on([scene.thing])
    await scene.turn()
    await scene.supervisor.see_up([scene.thing], nobody)
    assert scene.thing.take_done() == ["lay down"]
    asked = asyncio.create_task(scene.supervisor.wake([scene.thing], nobody))
    await scene.turn()
    assert scene.thing.take_done() == ["welcomes", "started"]
    await scene.tells(SERVES)
    await asked


@in_a_loop
async def test_what_cannot_begin_asleep_is_not_there_at_all() -> None:
    scene = Scene()
    scene.thing.begins_asleep, scene.thing.cannot_lie_down = True, "the disk is full"
    scene.supervisor.take_on([scene.thing])
    await scene.turn()
    with pytest.raises(HubfarmError, match="thing cannot start: the disk is full"):
        await scene.supervisor.see_up([scene.thing], nobody)
    assert scene.thing.life.phase is Phase.GONE


@in_a_loop
async def test_what_cannot_lie_down_has_a_process_again() -> None:
    scene = Scene()
    thing = await scene.serving()
    thing.cannot_lie_down = "the guard cannot be linked"
    asked = asyncio.create_task(scene.supervisor.sleep([thing], nobody))
    await scene.turn()
    await scene.tells(ASLEEP)
    with pytest.raises(HubfarmError, match="thing cannot sleep: the guard cannot be linked"):
        await asked
    await scene.turn(TICK)
    assert thing.life.phase is Phase.STARTING


@in_a_loop
async def test_wake_that_fails_turns_callers_away_for_a_moment_and_is_tried_again() -> None:
    scene = Scene()
    thing = await scene.asleep()
    assert (await scene.somebody_comes())[-1] == "started"
    assert await scene.tells(NO_ROOM) == ["lay down", "turns away"]
    assert thing.life.phase is Phase.DORMANT
    assert await scene.somebody_comes() == []  # who comes now is answered, and wakes nobody
    scene.clock.now += TURNED_AWAY
    scene.supervisor._look_at(thing)
    await scene.turn()
    assert thing.take_done() == ["welcomes"]
    assert await scene.somebody_comes() == ["welcomes", "started"]
    await scene.tells(SERVES)
    assert thing.life.phase is Phase.RUNNING
    assert thing.deaths.early == 0


@in_a_loop
async def test_wake_that_fails_for_want_of_room_is_never_given_up() -> None:
    scene = Scene()
    thing = await scene.asleep()
    for _ in range(3 * MAX_EARLY_DEATHS):
        asked = asyncio.create_task(scene.supervisor.wake([thing], nobody))
        await scene.turn()
        await scene.tells(NO_ROOM)
        with pytest.raises(HubfarmError, match="thing cannot wake: the disk is full"):
            await asked
    assert thing.life.phase is Phase.DORMANT


@in_a_loop
async def test_what_falls_whenever_it_wakes_is_tried_without_what_it_knew_and_then_given_up() -> None:
    scene = Scene()
    thing = await scene.asleep()
    done: list[str] = []
    for _ in range(MAX_EARLY_DEATHS):
        asked = asyncio.create_task(scene.supervisor.wake([thing], nobody))
        await scene.turn()
        done += await scene.tells(type(CRASHED)("it fell", fell=True))
        with pytest.raises(HubfarmError, match="it fell"):
            await asked
    assert "succeeds one that fell, a last time" in done
    assert done[-2:] == [f"given up: died early {MAX_EARLY_DEATHS} times in a row: it fell", "forgotten"]
    assert thing.life.phase is Phase.GONE


@in_a_loop
async def test_process_that_cannot_be_had_leaves_it_asleep() -> None:
    scene = Scene()
    thing = await scene.asleep()
    thing.cannot_start = "no room for one more process"
    asked = asyncio.create_task(scene.supervisor.wake([thing], nobody))
    await scene.turn()
    with pytest.raises(HubfarmError, match="thing cannot wake: no room for one more process"):
        await asked
    assert thing.take_done() == ["welcomes", "lay down", "turns away"]


@in_a_loop
async def test_what_sleeps_is_stopped_without_a_process() -> None:
    scene = Scene()
    thing = await scene.asleep()
    asked = asyncio.create_task(scene.supervisor.stop([thing], nobody))
    await scene.turn()
    await asked
    assert thing.take_done() == ["forgotten"]
    assert await scene.somebody_comes() == []


@in_a_loop
async def test_what_sleeps_is_restarted_by_waking_it() -> None:
    scene = Scene()
    thing = await scene.asleep()
    asked = asyncio.create_task(scene.supervisor.restart([thing], nobody))
    await scene.turn()
    assert thing.take_done() == ["welcomes", "started"]
    await scene.tells(SERVES)
    await asked


@in_a_loop
async def test_what_sleeps_is_not_looked_at_every_tick() -> None:
    scene = Scene()
    thing = await scene.asleep()
    for _ in range(30):
        await scene.turn(TICK)
    assert thing.take_done() == []
    assert thing.is_settled()


# ---------------------------------------------------------------------- a hub


@asynccontextmanager
async def farm_in(paths: Paths) -> AsyncIterator[FakeFarm]:
    """Yield a farm whose coordinator holds its guard, as this process does."""
    guard = Lock(paths.coordinator_guard)
    guard.acquire(0)
    try:
        yield FakeFarm(paths)
    finally:
        guard.release()


async def dormant(farm: FakeFarm, label: str = "mima", **options: Any) -> ManagedHub:
    spec = HubSpec(id=0, label=label, dormant=True, **options)
    asked = asyncio.create_task(farm.hubs.start(lambda used: [spec], nobody))
    await farm.turn()
    await farm.turn()
    await asked
    (hub,) = [hub for hub in farm.hubs.by_id().values() if hub.spec.label == label]
    return hub


def listed(farm: FakeFarm) -> list[HubInfo]:
    return found_hubs(farm.lockdir, lambda urls: ())


@in_a_loop
async def test_hub_that_begins_asleep_is_listed_published_and_wanted_and_has_no_process(paths: Paths) -> None:
    async with farm_in(paths) as farm:
        hub = await dormant(farm, owner="luigi")
        (info,) = listed(farm)
        assert (info.state, info.label, info.owner, info.pid, info.alive) == (
            HubState.DORMANT,
            "mima",
            "luigi",
            None,
            True,
        )
        assert info.lock_file == paths.lockdir / f"samp-hub-{os.getpid()}-1"
        assert info.stable_name == paths.by_label / "mima"
        assert info.url == hub.url
        assert str(info.names.name) == f"{os.getpid()}-1"
        assert farm.workers.made == []
        (wish,) = Wanted(paths).all()
        assert wish.asleep
        assert some_sleep(paths)
        assert farm.lockdir.labels() == {"mima": f"{os.getpid()}-1"}


@in_a_loop
async def test_first_connection_wakes_it_on_its_own_socket(paths: Paths) -> None:
    async with farm_in(paths) as farm:
        hub = await dormant(farm)
        assert hub.sock is not None
        with socket.create_connection(hub.sock.getsockname()):
            await farm.turn()
            await farm.turn()
            (worker,) = farm.workers.made
            assert farm.workers.sockets == [hub.sock]
            worker.serve()
            await farm.tick()
            assert hub.life.phase is Phase.RUNNING
        assert listed(farm) == []  # this worker is none, and what the hub had asleep is cleared away
        assert not some_sleep(paths)
        (wish,) = Wanted(paths).all()
        assert not wish.asleep


@in_a_loop
async def test_worker_that_fell_asleep_leaves_its_lock_file_as_it_is(paths: Paths) -> None:
    async with farm_in(paths) as farm:
        (hub,) = await farm.running("mima")
        (worker,) = farm.workers.made
        lock_file = paths.lockdir / f"samp-hub-{worker.pid}-1"
        lock_file.write_text("samp.secret=s\nsamp.hub.xmlrpc.url=http://127.0.0.1:1/\nsamp.profile.version=1.3\n")
        before = lock_file.read_text()
        farm.supervisor.let_sleep(hub)
        await farm.turn()
        link_guard(paths.guards / lock_file.name, paths)  # as it does itself
        record_end(paths, hub.spec, worker.pid, End.ASLEEP, "asleep", 1.0)
        worker.end(in_order=True)
        await farm.tick()
        assert hub.life.phase is Phase.DORMANT
        assert lock_file.read_text() == before
        assert hub.state().lock_file == str(lock_file)


@pytest.mark.parametrize("what", ["lock file", "guard", "stable name", "lock file's content"])
@in_a_loop
async def test_what_others_remove_of_it_is_put_back(paths: Paths, what: str) -> None:
    async with farm_in(paths) as farm:
        hub = await dormant(farm)
        (before,) = listed(farm)
        text = before.lock_file.read_text()
        match what:
            case "lock file":
                before.lock_file.unlink()
            case "guard":
                (paths.guards / before.lock_file.name).unlink()
            case "stable name":
                (paths.by_label / "mima").unlink()
            case _:
                before.lock_file.write_text("samp.secret=x\n")
        await farm.turn(61.0)
        (after,) = listed(farm)
        assert after == before
        assert after.lock_file.read_text() == text
        assert hub.life.phase is Phase.DORMANT


@in_a_loop
async def test_hub_that_is_stopped_asleep_leaves_a_line_of_history_and_nothing_else(paths: Paths) -> None:
    async with farm_in(paths) as farm:
        await dormant(farm)
        asked = asyncio.create_task(farm.hubs.stop([1], nobody))
        await farm.turn()
        await farm.turn()
        await asked
        assert listed(farm) == []
        assert Wanted(paths).all() == []
        assert list(paths.guards.iterdir()) == list(paths.by_label.iterdir()) == []
        assert [(end.how, end.reason) for end in read_history(paths)] == [(End.STOPPED, "while it slept")]
        assert not some_sleep(paths)


@in_a_loop
async def test_worker_that_cannot_serve_leaves_the_hub_asleep_and_answers_503(paths: Paths) -> None:
    async with farm_in(paths) as farm:
        hub = await dormant(farm)
        assert hub.sock is not None
        reader, writer = await asyncio.open_connection(*hub.sock.getsockname())
        writer.write(b"POST /xmlrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        await farm.turn()
        await farm.turn()
        (worker,) = farm.workers.made
        worker.report(Report.FAILED, "the disk is full")
        worker.end()
        await farm.tick()
        assert hub.life.phase is Phase.DORMANT
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"mima cannot be woken just now" in answer
        writer.close()
        (info,) = listed(farm)
        assert info.state is HubState.DORMANT
        hub.welcome()


@in_a_loop
async def test_next_coordinator_lets_it_sleep_on_at_its_port_and_changes_no_file_of_it(paths: Paths) -> None:
    from hubfarm.coordinator.adoption import Adoption

    async with farm_in(paths) as farm:
        hub = await dormant(farm)
        url, secret = hub.url, hub.spec.secret
        assert hub.sock is not None
        hub.sock.close()  # as it is when the coordinator dies
        (before,) = listed(farm)
        stat = before.lock_file.stat()
        farm.supervisor._unwatch_somebody(hub)
    assert [info.state for info in listed(farm)] == [HubState.DEAD]
    async with farm_in(paths) as later:
        assert listed(later) == [before]  # at once: it holds the same guard
        Adoption(later.hubs, later.lockdir).adopt()
        await later.turn()
        (hub,) = later.hubs.by_id().values()
        assert (hub.life.phase, hub.url, hub.spec.secret) == (Phase.DORMANT, url, secret)
        assert hub.sock is not None
        assert str(hub.sock.getsockname()[1]) in url
        assert listed(later) == [before]
        assert before.lock_file.stat() == stat


@in_a_loop
async def test_hub_that_others_removed_from_what_is_wanted_sleeps_on(paths: Paths) -> None:
    from hubfarm.coordinator.adoption import Adoption

    async with farm_in(paths) as farm:
        hub = await dormant(farm)
        assert hub.sock is not None
        hub.sock.close()
        farm.supervisor._unwatch_somebody(hub)
        (paths.wanted / "mima").unlink()
    async with farm_in(paths) as later:
        Adoption(later.hubs, later.lockdir).adopt()
        await later.turn()
        assert [hub.life.phase for hub in later.hubs.by_id().values()] == [Phase.DORMANT]
        assert [wish.asleep for wish in Wanted(paths).all()] == [True]


@in_a_loop
async def test_label_of_a_hub_that_sleeps_is_taken(paths: Paths) -> None:
    async with farm_in(paths) as farm:
        await dormant(farm)
        with pytest.raises(HubfarmError, match="the label mima is in use"):
            await farm.hubs.start(lambda used: [HubSpec(id=0, label="mima")], nobody)


@in_a_loop
async def test_ports_that_cannot_be_had_are_not_taken(paths: Paths) -> None:
    with bind("127.0.0.1", 0) as taken:
        async with farm_in(paths) as farm:
            spec = HubSpec(id=0, label="mima", dormant=True, port=taken.getsockname()[1])
            with pytest.raises(HubfarmError, match="cannot listen"):
                await farm.hubs.start(lambda used: [spec], nobody)


@in_a_loop
async def test_hub_that_nobody_used_for_its_timeout_is_told_to_sleep_and_others_are_not(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from hubfarm.registry.statetable import HubName, Record

    farm = FakeFarm(paths)
    await farm.running("sleeps", timeout=60.0, idle=Idle.SLEEP)
    await farm.running("stops", timeout=60.0)
    await farm.running("stays", idle=Idle.SLEEP)
    now = time.monotonic()

    def records(_: object) -> dict[HubName, Record]:
        names = [HubName(worker.pid, number) for number, worker in enumerate(farm.workers.made, 1)]
        return {name: Record(*name, HubState.RUNNING, started=now, beat=now, active=active) for name in names}

    monkeypatch.setattr("hubfarm.coordinator.hubs.read_records", records)
    active = now - 30.0
    await farm.tick()
    assert [hub.life.phase for hub in farm.hubs.by_id().values()] == [Phase.RUNNING] * 3
    active = now - 61.0
    await farm.tick()
    phases = {hub.spec.label: hub.life.phase for hub in farm.hubs.by_id().values()}
    assert phases == {"sleeps": Phase.DOZING, "stops": Phase.RUNNING, "stays": Phase.RUNNING}
