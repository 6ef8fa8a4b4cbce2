"""The supervisor's loop, turned by hand: what it asks of a thing, and when; no process is needed for that."""

import asyncio
import os
from typing import Any

import pytest

from hubfarm.coordinator.aftermath import FIRST_PAUSE, MAX_EARLY_DEATHS
from hubfarm.coordinator.supervised import Ended
from hubfarm.coordinator.supervisor import MOST_STARTING, ROUND, TICK, Supervisor
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase
from tests.coordinator.coordinator_support import (
    CRASHED,
    IN_ORDER,
    KILLED,
    NEVER_SERVED,
    SERVES,
    FakeClock,
    FakeThing,
)
from tests.support import in_a_loop


class Scene:
    """A supervisor, its clock, and whoever was told what."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.supervisor = Supervisor(self.clock)
        self.told: list[str] = []

    def thing(self, name: str = "thing", **options: Any) -> FakeThing:
        return FakeThing(self.clock, name, **options)

    async def tell(self, thing: FakeThing) -> None:
        self.told.append(thing.name)

    async def turn(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        await asyncio.sleep(0)
        await self.supervisor.look()
        await asyncio.sleep(0)

    async def tick(self, times: int = 1) -> None:
        for _ in range(times):
            await self.turn(TICK)

    async def running(self, name: str = "thing", **options: Any) -> FakeThing:
        """Return a thing that serves."""
        thing = self.thing(name, **options)
        self.supervisor.take_on([thing])
        await self.turn()
        thing.tells = [SERVES]
        await self.tick()
        assert thing.life.phase is Phase.RUNNING
        assert thing.take_done() == ["started"]
        return thing

    async def ends(self, thing: FakeThing, end: Ended) -> None:
        thing.tells = [end]
        await self.tick()


# ---------------------------------------------------------------------- starting


@in_a_loop
async def test_what_is_taken_on_is_started_and_told_of_once_it_serves() -> None:
    scene = Scene()
    thing = scene.thing()
    scene.supervisor.take_on([thing])
    asked = asyncio.create_task(scene.supervisor.see_up([thing], scene.tell))
    await scene.turn()
    assert (thing.take_done(), thing.life.phase, scene.told) == (["started"], Phase.STARTING, [])
    thing.tells = [SERVES]
    await scene.tick()
    await asked
    assert (thing.life.phase, scene.told) == (Phase.RUNNING, ["thing"])


@in_a_loop
async def test_only_so_many_start_at_a_time_and_the_next_ones_turn_comes_at_once() -> None:
    scene = Scene()
    things = [scene.thing(f"thing {n}") for n in range(MOST_STARTING + 3)]
    scene.supervisor.take_on(things)
    await scene.turn()
    assert [len(thing.done) for thing in things] == [1] * MOST_STARTING + [0] * 3
    things[0].tells = [SERVES]
    things[1].tells = [NEVER_SERVED]
    await scene.tick()
    await scene.turn()  # no tick: what has made room has woken the loop
    assert [len(thing.done) for thing in things[MOST_STARTING:]] == [1, 1, 0]


@in_a_loop
async def test_if_one_cannot_start_all_that_were_asked_for_with_it_are_taken_down() -> None:
    scene = Scene()
    good, bad, running = scene.thing("good"), scene.thing("bad"), await scene.running("before")
    bad.cannot_start = "no room"
    scene.supervisor.take_on([good, bad])
    asked = asyncio.create_task(scene.supervisor.see_up([good, bad], scene.tell))
    await scene.turn()
    good.tells = [SERVES]
    await scene.tick()
    await scene.tick()
    assert good.take_done() == ["started", "told to end"]
    await scene.ends(good, IN_ORDER)
    with pytest.raises(HubfarmError, match="bad cannot start: no room"):
        await asked
    assert list(scene.supervisor.things) == [running]
    assert (good.take_done(), bad.take_done(), running.take_done()) == (["forgotten"], ["forgotten"], [])


@in_a_loop
async def test_what_ends_before_it_serves_is_not_tried_again_while_somebody_waits_for_it() -> None:
    scene = Scene()
    thing = scene.thing(restart=Restart.ALWAYS)
    scene.supervisor.take_on([thing])
    asked = asyncio.create_task(scene.supervisor.see_up([thing], scene.tell))
    await scene.turn()
    await scene.ends(thing, NEVER_SERVED)
    with pytest.raises(HubfarmError, match="thing cannot start: it did not come up"):
        await asked
    assert thing.take_done() == ["started", "forgotten"]


@in_a_loop
async def test_what_does_not_serve_in_time_is_killed() -> None:
    scene = Scene()
    thing = scene.thing()
    scene.supervisor.take_on([thing])
    await scene.turn()
    await scene.tick(int(thing.start_timeout) - 1)
    assert thing.take_done() == ["started"]
    await scene.tick()
    assert thing.take_done() == ["killed: it did not serve within 30 s"]


@in_a_loop
async def test_whoever_breaks_off_asking_leaves_nothing_behind() -> None:
    scene = Scene()
    thing = scene.thing()
    scene.supervisor.take_on([thing])
    asked = asyncio.create_task(scene.supervisor.see_up([thing], scene.tell))
    await scene.turn()
    asked.cancel()
    await scene.turn()
    assert thing.take_done() == ["started", "told to end"]
    await scene.ends(thing, IN_ORDER)
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not scene.supervisor.things


# ---------------------------------------------------------------------- ending


@in_a_loop
async def test_what_is_stopped_is_told_to_end_and_told_of_once_it_is_gone() -> None:
    scene = Scene()
    thing = await scene.running(restart=Restart.ALWAYS)
    asked = asyncio.create_task(scene.supervisor.stop([thing], scene.tell))
    await scene.turn()
    assert (thing.take_done(), thing.life.phase, scene.told) == (["told to end"], Phase.STOPPING, [])
    await scene.ends(thing, IN_ORDER)
    await asked
    assert (thing.take_done(), thing.life.phase, scene.told) == (["forgotten"], Phase.GONE, ["thing"])


@in_a_loop
async def test_what_does_not_end_in_time_is_killed() -> None:
    scene = Scene()
    thing = await scene.running()
    thing.wanted = False
    await scene.tick()
    await scene.tick(int(thing.stop_timeout) - 1)
    assert thing.take_done() == ["told to end"]
    await scene.tick()
    assert thing.take_done() == ["killed: it did not end within 7 s"]


@in_a_loop
async def test_what_waits_is_forgotten_without_a_start_once_nobody_wants_it() -> None:
    scene = Scene()
    thing = scene.thing()
    thing.not_before = scene.clock.now + 60
    scene.supervisor.revive(thing)
    await scene.turn()
    asked = asyncio.create_task(scene.supervisor.stop([thing], scene.tell))
    await scene.turn()
    await asked
    assert thing.take_done() == ["forgotten"]


@in_a_loop
async def test_what_is_told_to_end_while_it_starts_may_still_come_to_serve_and_ends() -> None:
    scene = Scene()
    thing = scene.thing()
    scene.supervisor.take_on([thing])
    await scene.turn()
    asked = asyncio.create_task(scene.supervisor.stop([thing], scene.tell))
    await scene.turn()
    thing.tells = [SERVES]
    await scene.tick()
    assert thing.life.phase is Phase.STOPPING
    await scene.ends(thing, IN_ORDER)
    await asked
    assert thing.take_done() == ["started", "told to end", "forgotten"]


@in_a_loop
async def test_closing_ends_everything_and_the_loop_with_it() -> None:
    scene = Scene()
    one, two = await scene.running("one"), await scene.running("two")
    closing = asyncio.create_task(scene.supervisor.close())
    await scene.turn()
    assert scene.supervisor.closing
    assert (one.take_done(), two.take_done()) == (["told to end"], ["told to end"])
    one.tells = two.tells = [IN_ORDER]
    await scene.tick()
    await closing
    await scene.supervisor.run()  # has nothing more to do


@in_a_loop
async def test_leaving_ends_the_loop_and_nothing_else() -> None:
    scene = Scene()
    thing = await scene.running()
    running = asyncio.create_task(scene.supervisor.run())
    await asyncio.sleep(0)
    scene.supervisor.leave()
    await running
    assert thing.take_done() == []
    assert not thing.gone.done()


# ---------------------------------------------------------------------- replacing


@in_a_loop
async def test_what_is_killed_is_replaced_at_once() -> None:
    scene = Scene()
    thing = await scene.running()
    await scene.ends(thing, KILLED)
    assert (thing.take_done(), thing.life.phase) == (["succeeds", "started"], Phase.STARTING)


@in_a_loop
async def test_what_ends_in_order_is_replaced_only_if_it_is_always_to_be() -> None:
    scene = Scene()
    always, on_failure = await scene.running(restart=Restart.ALWAYS), await scene.running()
    for thing in (always, on_failure):
        await scene.ends(thing, IN_ORDER)
    assert (always.take_done(), on_failure.take_done()) == (["succeeds", "started"], ["forgotten"])


@in_a_loop
async def test_what_has_finished_is_forgotten_whatever_the_policy() -> None:
    scene = Scene()
    thing = await scene.running(restart=Restart.ALWAYS)
    await scene.ends(thing, Ended("unused", in_order=True, finished=True, served=60.0))
    assert thing.take_done() == ["forgotten"]


@in_a_loop
async def test_a_successor_is_told_that_the_one_before_fell() -> None:
    scene = Scene()
    thing = await scene.running()
    await scene.ends(thing, CRASHED)
    assert thing.take_done() == ["succeeds one that fell", "started"]


@in_a_loop
async def test_early_deaths_are_given_pauses_a_last_try_without_the_past_and_then_up() -> None:
    scene = Scene()
    thing = await scene.running()
    early = Ended("it died", served=0.0)
    for number in range(1, MAX_EARLY_DEATHS):
        await scene.ends(thing, early)
        assert thing.not_before == scene.clock.now + FIRST_PAUSE * 2 ** (number - 1)
        assert thing.take_done() == ["succeeds" + ", a last time" * (number == MAX_EARLY_DEATHS - 1)]
        while not thing.done:
            await scene.tick()
        assert thing.take_done() == ["started"]
        assert 0 <= scene.clock.now - thing.not_before < TICK
    await scene.ends(thing, early)
    assert thing.take_done() == ["given up: died early 5 times in a row: it died", "forgotten"]
    assert not scene.supervisor.things


@in_a_loop
async def test_the_last_try_has_its_past_if_the_ones_before_came_to_serve() -> None:
    scene = Scene()
    thing = await scene.running()
    for _ in range(MAX_EARLY_DEATHS - 1):
        await scene.ends(thing, Ended("it died", served=0.5))
        await scene.tick(10)
    assert thing.take_done() == ["succeeds", "started"] * (MAX_EARLY_DEATHS - 1)


@in_a_loop
async def test_what_cannot_be_started_is_tried_again_if_it_served_before() -> None:
    scene = Scene()
    thing = await scene.running()
    thing.cannot_start = "no room"
    await scene.ends(thing, KILLED)
    assert (thing.life.phase, thing.deaths.early) == (Phase.WAITING, 1)
    thing.cannot_start = ""
    await scene.tick()
    assert thing.take_done() == ["succeeds", "succeeds", "started"]


@in_a_loop
async def test_a_pause_that_is_over_wakes_the_loop_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfarm.coordinator.aftermath.FIRST_PAUSE", 0.01)
    supervisor = Supervisor()  # by the real clock
    thing = FakeThing(supervisor.clock)  # type: ignore[arg-type]
    supervisor.revive(thing)
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    thing.tells = [SERVES, Ended("it died", served=0.0)]
    while thing.done != ["started", "succeeds", "started"]:
        await asyncio.sleep(0.01)
    supervisor.leave()
    await running


# ---------------------------------------------------------------------- restarting


@in_a_loop
async def test_what_is_restarted_makes_way_for_a_successor_and_is_told_of_once_that_serves() -> None:
    scene = Scene()
    thing = await scene.running(restart=Restart.NEVER)
    asked = asyncio.create_task(scene.supervisor.restart([thing], scene.tell))
    await scene.turn()
    assert thing.take_done() == ["told to make way"]
    await scene.ends(thing, IN_ORDER)
    await scene.turn()
    assert (thing.take_done(), scene.told) == (["succeeds", "started"], [])
    thing.tells = [SERVES]
    await scene.tick()
    await asked
    assert scene.told == ["thing"]
    assert thing.deaths.all == 0


@in_a_loop
async def test_a_restart_makes_a_pause_shorter() -> None:
    scene = Scene()
    thing = scene.thing()
    thing.not_before = scene.clock.now + 60
    scene.supervisor.revive(thing)
    await scene.turn()
    asked = asyncio.create_task(scene.supervisor.restart([thing], scene.tell))
    await scene.turn()
    assert thing.take_done() == ["started"]
    thing.tells = [SERVES]
    await scene.tick()
    await asked


@in_a_loop
async def test_a_successor_that_cannot_start_is_told_to_who_has_asked() -> None:
    scene = Scene()
    thing = await scene.running()
    asked = asyncio.create_task(scene.supervisor.restart([thing], scene.tell))
    await scene.turn()
    await scene.ends(thing, IN_ORDER)
    await scene.turn()
    await scene.ends(thing, NEVER_SERVED)
    with pytest.raises(HubfarmError, match="thing cannot start: it did not come up"):
        await asked


@in_a_loop
async def test_what_crashes_on_the_way_to_a_restart_is_replaced_all_the_same() -> None:
    scene = Scene()
    thing = await scene.running()
    asked = asyncio.create_task(scene.supervisor.restart([thing], scene.tell))
    await scene.turn()
    await scene.ends(thing, CRASHED)
    await scene.tick()
    thing.tells = [SERVES]
    await scene.tick()
    await asked
    assert thing.take_done() == ["told to make way", "succeeds one that fell", "started"]


@in_a_loop
async def test_what_is_stopped_on_the_way_to_a_restart_is_gone() -> None:
    scene = Scene()
    thing = await scene.running()
    asked = asyncio.create_task(scene.supervisor.restart([thing], scene.tell))
    await scene.turn()
    stopping = asyncio.create_task(scene.supervisor.stop([thing], scene.tell))
    await scene.turn()
    await scene.ends(thing, IN_ORDER)
    await stopping
    with pytest.raises(HubfarmError, match="cannot start"):
        await asked
    assert thing.take_done() == ["told to make way", "forgotten"]


# ---------------------------------------------------------------------- adopting


@in_a_loop
async def test_what_lives_is_taken_over_as_it_is() -> None:
    scene = Scene()
    thing = scene.thing()
    assert scene.supervisor.adopt(thing)
    await scene.tick()
    assert (thing.life.phase, thing.take_done()) == (Phase.RUNNING, [])
    await scene.ends(thing, NEVER_SERVED)
    assert thing.take_done() == ["succeeds"]  # it is tried again after a pause, as nobody has asked for it just now


@in_a_loop
async def test_what_has_died_meanwhile_is_not_taken_on() -> None:
    scene = Scene()
    thing = scene.thing()
    thing.lives = False
    assert not scene.supervisor.adopt(thing)
    assert not scene.supervisor.things


# ---------------------------------------------------------------------- the loop


@in_a_loop
async def test_what_is_readable_wakes_the_loop_and_is_looked_at_once() -> None:
    scene = Scene()
    thing = scene.thing()
    thing.pipe, told = os.pipe()
    try:
        assert scene.supervisor.adopt(thing)
        await scene.turn()
        thing.tells = [KILLED]
        await scene.turn()
        assert thing.life.phase is Phase.RUNNING  # nothing has woken the loop
        os.write(told, b"x")
        await asyncio.sleep(0.01)  # the selector has it by then
        await scene.turn()
        assert thing.take_done() == ["succeeds", "started"]
    finally:
        os.close(told)


@in_a_loop
async def test_what_reports_by_itself_is_looked_at_only_now_and_then() -> None:
    scene = Scene()
    thing = scene.thing()
    thing.pipe, told = os.pipe()
    try:
        scene.supervisor.adopt(thing)
        await scene.tick()
        thing.tells = [KILLED]
        ticks = 0
        while thing.tells:
            await scene.tick()
            ticks += 1
        assert 1 < ticks <= ROUND
    finally:
        os.close(told)


@in_a_loop
async def test_ones_trouble_keeps_the_loop_from_nothing_else() -> None:
    scene = Scene()
    one, two = await scene.running("one"), await scene.running("two")
    one.tells = [RuntimeError("a mistake")]
    two.tells = [KILLED]
    await scene.tick()
    assert (one.take_done(), two.take_done()) == ([], ["succeeds", "started"])


@in_a_loop
async def test_what_is_done_every_tick_is_done_once_a_tick_and_may_fail() -> None:
    scene = Scene()
    done: list[str] = []

    def fail() -> None:
        done.append("failed")
        raise RuntimeError("a mistake")

    scene.supervisor.each_tick = [fail, lambda: done.append("done")]
    for _ in range(3):
        await scene.tick()
        await scene.turn()
    assert done == ["failed", "done"] * 3
