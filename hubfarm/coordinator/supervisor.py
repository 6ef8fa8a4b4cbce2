"""The one loop that compares what should run with what runs.

Requests and reports only change what is wanted or known, and wake the loop; the loop alone starts, ends, buries and
replaces.  It knows what it runs by the contract of `supervised.py`, and of no kind anything else.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice
from typing import TypeVar

from loguru import logger

from hubfarm.coordinator.aftermath import MAX_EARLY_DEATHS, Next, after_end
from hubfarm.coordinator.doorbell import Doorbell
from hubfarm.coordinator.life import Clock, Event
from hubfarm.coordinator.supervised import Ended, Serves, StaysAwake, Supervised
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.rhythm import BEAT, until_beat
from hubfarm.spec.states import Phase

TICK = BEAT
"""Between two looks at everything, seconds; see `_between_beats`."""

MOST_STARTING = 2 + 2 * (os.cpu_count() or 1)
"""How many may start at a time: more would only wait for the processor, and for each other's registry mutex."""

TURNED_AWAY = 1.0
"""After a process could not be had for what was to wake: how long those who come are turned away, seconds."""

ROUND = 10
"""Ticks between two looks at what runs and reports nothing: it wakes the loop itself."""

Kind = TypeVar("Kind", bound=Supervised)
Told = Callable[[Kind], Awaitable[None]]
"""Awaited with each thing as it serves, or is gone."""


class Supervisor:
    """Runs things, of whatever kind.

    Parameters
    ----------
    clock : callable
        Tells the time; by `time.monotonic` it ticks between the hubs' heartbeats.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.things: dict[Supervised, None] = {}  # in the order of their coming
        self.each_tick: list[Callable[[], None]] = []
        """What is done once a tick, before anything is looked at."""
        self._changed: dict[Supervised, None] = {}
        self._doorbells: dict[Supervised, Doorbell] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._next_tick = _between_beats(clock() - TICK)  # within a second, as the others
        self._ticks = 0

    # ------------------------------------------------------------------ requests

    def take_on(self, things: Collection[Supervised]) -> None:
        """Run these from now on."""
        self.things.update(dict.fromkeys(things))
        self._look_at(*things)

    def adopt(self, one: Supervised) -> bool:
        """Take on something whose process an earlier coordinator has left, if that lives; tell whether it does."""
        if lives := one.adopt():
            one.life.take(Event.ADOPTED)
            self.revive(one)
        return lives

    def revive(self, one: Supervised) -> None:
        """Take on something that was there before: if it cannot start at once it is tried again, as after any death."""
        one.served.set_result(None)
        self.take_on([one])

    async def see_up(self, things: Sequence[Kind], told: Told[Kind]) -> None:
        """Wait until these, which have just been taken on, serve, all or none; `told` of each as it does.

        Raises
        ------
        HubfarmError
            One of them could not start; the others have been taken down again.
        """
        try:
            for one in things:
                await one.served
                await told(one)
        except BaseException:
            await self._take_down(things)
            raise

    async def stop(self, things: Sequence[Kind], told: Told[Kind]) -> None:
        """End these in order; `told` of each as it is gone."""
        for one in things:
            one.wanted = False
        self._look_at(*things)
        for one in things:
            await one.gone
            await told(one)

    async def restart(self, things: Sequence[Kind], told: Told[Kind]) -> None:
        """End the processes of these in order and start successors; `told` of each as it serves.

        Raises
        ------
        HubfarmError
            A successor could not start.
        """
        for one in things:
            one.replacing = one.life.has_process
            one.not_before = 0.0
            one.called = one.life.phase is Phase.DORMANT  # its next process is a successor
            one.renew_promise()
        self._look_at(*things)
        for one in things:
            await one.served
            await told(one)

    async def sleep(self, things: Sequence[Kind], told: Told[Kind]) -> None:
        """Let these sleep, if nobody uses them; `told` of each as it does.

        Raises
        ------
        HubfarmError
            One of them stays awake; the message says why.
        """
        for one in things:
            if one.life.phase is not Phase.DORMANT:
                one.slept = one.slept or asyncio.get_running_loop().create_future()
                self.let_sleep(one)
        for one in things:
            if one.slept is not None:
                await one.slept
            await told(one)

    def let_sleep(self, one: Supervised) -> None:
        """Let something sleep, if nobody uses it."""
        one.sleepy = True
        self._look_at(one)

    async def wake(self, things: Sequence[Kind], told: Told[Kind]) -> None:
        """Wake these; `told` of each as it serves.

        Raises
        ------
        HubfarmError
            One of them cannot have a process; it sleeps on.
        """
        for one in things:
            one.not_before = 0.0
            self._call(one)
        for one in things:
            await one.served
            await told(one)

    def _call(self, one: Supervised) -> None:
        if one.life.phase is Phase.DORMANT and not one.called:
            one.called = True
            one.renew_promise()
        self._look_at(one)

    async def _take_down(self, things: Collection[Supervised]) -> None:
        for one in things:
            one.wanted = False
            one.served.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._look_at(*things)
        await asyncio.gather(*(one.gone for one in things))

    async def close(self) -> None:
        """End everything, then the loop."""
        self._closing = True
        await self._take_down(list(self.things))
        self._wake.set()

    def leave(self) -> None:
        """End the loop, and leave everything to run on without a coordinator."""
        self._closing = True
        self.things.clear()
        self._wake.set()

    @property
    def closing(self) -> bool:
        """Whether it ends, and takes on nothing more."""
        return self._closing

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Reconcile what has changed at once, and what is under way once a tick, until `close`."""
        while not (self._closing and not self.things):
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._next_tick - self.clock())):
                    await self._wake.wait()

    async def look(self) -> None:
        """Reconcile once: what has changed, and if it is time for a tick, what is under way."""
        self._wake.clear()
        if self.clock() >= self._next_tick:
            self._tick()
        changed, self._changed = self._changed, {}
        for one in changed:
            try:
                await self._reconcile(one)
            except Exception:
                # One's trouble must not keep the loop from the others; the tick tries again.
                logger.exception("{} could not be looked after", one.name)

    def _tick(self) -> None:
        self._next_tick = _between_beats(self.clock())
        self._ticks += 1
        for work in self.each_tick:
            try:
                work()
            except Exception:
                logger.exception("what is done every tick failed")
        for one in self.things:
            if not one.is_settled() or (self._ticks % ROUND == 0 and one.life.has_process):
                self._changed[one] = None

    def _look_at(self, *things: Supervised) -> None:
        self._changed.update(dict.fromkeys(things))
        self._wake.set()

    async def _reconcile(self, one: Supervised) -> None:
        await self._learn(one)
        match one.life.phase:
            case Phase.WAITING if not one.wanted:
                await self._forget(one, "not wanted any more")
            case Phase.WAITING if one.begins_asleep:
                await self._lie_down(one)
            case Phase.WAITING if self.clock() >= one.not_before and self._has_room():
                await self._start(one)
            case Phase.STARTING | Phase.RUNNING | Phase.DOZING if not one.wanted:
                self._tell_to_end(one, successor=False)
            case Phase.RUNNING | Phase.DOZING if one.replacing:
                self._tell_to_end(one, successor=True)
            case Phase.RUNNING if one.sleepy:
                one.life.take(Event.TOLD_TO_SLEEP)
                one.doze()
            case Phase.DOZING if one.life.has_lasted(one.doze_timeout):
                self._stay_awake(one, f"it has not said within {one.doze_timeout:g} s that it sleeps")
            case Phase.DORMANT if not one.wanted:
                await self._forget(one, "not wanted any more")
            case Phase.DORMANT if self.clock() >= one.not_before:
                await self._wake_or_watch(one)
            case Phase.STARTING if one.life.has_lasted(one.start_timeout):
                one.kill(f"it did not serve within {one.start_timeout:g} s")
            case Phase.STOPPING if one.life.has_lasted(one.stop_timeout):
                logger.warning("{} does not end: killed", one.name)
                one.kill(f"it did not end within {one.stop_timeout:g} s")

    def _tell_to_end(self, one: Supervised, *, successor: bool) -> None:
        one.life.take(Event.TOLD_TO_END)
        one.stop(successor=successor)

    # ------------------------------------------------------------------ a process: its start and what it tells

    def _has_room(self) -> bool:
        return sum(one.life.phase is Phase.STARTING for one in self.things) < MOST_STARTING

    def _look_at_next(self) -> None:
        """One less is starting: look at those that wait for that."""
        now = self.clock()
        ready = (one for one in self.things if one.life.phase is Phase.WAITING and one.not_before <= now)
        self._look_at(*islice(ready, MOST_STARTING))

    async def _start(self, one: Supervised) -> None:
        try:
            await one.start()
        except HubfarmError as error:
            one.life.take(Event.NOT_STARTED)
            await self._decide(one, Ended(str(error), refused=True))
        else:
            one.life.take(Event.STARTED)
            self._watch(one)

    async def _learn(self, one: Supervised) -> None:
        if not one.life.has_process:
            return
        self._unwatch(one)  # what `poll` closes must not be watched any more
        for news in await one.poll():
            match news:
                case Serves():
                    self._note_serving(one)
                case StaysAwake(reason):
                    self._stay_awake(one, reason)
                case Ended():
                    one.life.take(Event.ENDED)
                    self._look_at_next()
                    await self._decide(one, news)
        if one.life.has_process:
            self._watch(one)

    def _note_serving(self, one: Supervised) -> None:
        one.life.take(Event.SERVES)
        one.waking = False
        self._look_at_next()
        if not one.served.done():
            one.served.set_result(None)

    def _watch(self, one: Supervised) -> None:
        """Look at it when its process has something to tell, once: until it was looked at there is no more to say."""
        for descriptor in one.descriptors():
            asyncio.get_running_loop().add_reader(descriptor, self._hear, one, descriptor)

    def _hear(self, one: Supervised, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        self._look_at(one)

    def _unwatch(self, one: Supervised) -> None:
        for descriptor in one.descriptors():
            asyncio.get_running_loop().remove_reader(descriptor)

    # ------------------------------------------------------------------ sleep

    def _stay_awake(self, one: Supervised, reason: str) -> None:
        if one.life.phase not in (Phase.DOZING, Phase.STOPPING):
            return  # it says so late
        one.life.take(Event.STAYS_AWAKE)
        one.sleepy = False
        self._fail_to_sleep(one, f"{one.name} stays awake: {reason}")

    def _fail_to_sleep(self, one: Supervised, reason: str) -> None:
        slept, one.slept = one.slept, None
        if slept is not None:
            slept.set_exception(HubfarmError(reason))

    async def _lie_down(self, one: Supervised) -> None:
        try:
            await one.lie_down()
        except HubfarmError as error:
            await self._cannot_lie_down(one, error)
            return
        one.life.take(Event.LIES_DOWN)
        one.begins_asleep = one.sleepy = one.called = one.waking = False
        if not one.served.done():
            one.served.set_result(None)
        slept, one.slept = one.slept, None
        if slept is not None:
            slept.set_result(None)
        if self.clock() >= one.not_before:
            self._watch_for_somebody(one)

    async def _cannot_lie_down(self, one: Supervised, error: HubfarmError) -> None:
        if one.begins_asleep and not one.served.done():
            await self._forget(one, str(error))
            return
        logger.warning("{} cannot sleep: {}", one.name, error)
        self._fail_to_sleep(one, f"{one.name} cannot sleep: {error}")
        one.sleepy = one.begins_asleep = False
        if one.life.phase is not Phase.WAITING:
            self._replace(one, TURNED_AWAY if one.waking else 0.0)

    async def _wake_or_watch(self, one: Supervised) -> None:
        if not one.called:
            if not self._doorbells.get(one):
                one.welcome()
                self._watch_for_somebody(one)
            return
        one.welcome()
        self._unwatch_somebody(one)
        one.called, one.waking = False, True
        one.life.take(Event.WOKEN)
        if self._has_room():
            await self._start(one)

    def _watch_for_somebody(self, one: Supervised) -> None:
        if one not in self._doorbells:
            self._doorbells[one] = Doorbell(lambda: self._call(one))
        self._doorbells[one].watch(one.bells())

    def _unwatch_somebody(self, one: Supervised) -> None:
        if one in self._doorbells:
            self._doorbells.pop(one).unwatch()

    async def _sleep_on(self, one: Supervised, end: Ended) -> None:
        """Let something that could not wake sleep on, unless that was so again and again for a fault of its own."""
        reason = f"{one.name} cannot wake: {end.reason}"
        if not end.refused:
            one.deaths = one.deaths.with_one_more(served=end.served, fell=end.fell)
            if one.deaths.too_many:
                await self._give_up(one, end)
                return
            one.succeed(fell=end.fell, last_try=one.deaths.early == MAX_EARLY_DEATHS - 1)
        logger.error("{}; it sleeps on", reason)
        pause = max(TURNED_AWAY, one.deaths.pause)
        one.not_before = self.clock() + pause
        if not one.served.done():
            one.served.add_done_callback(lambda future: future.cancelled() or future.exception())
            one.served.set_exception(HubfarmError(reason))
        await self._lie_down(one)
        if one.life.phase is Phase.DORMANT:
            await one.turn_away()
            asyncio.get_running_loop().call_later(pause, self._look_at, one)

    # ------------------------------------------------------------------ after a process

    async def _decide(self, one: Supervised, end: Ended) -> None:
        if end.asleep and one.wanted and not one.replacing:
            await self._lie_down(one)
            return
        if one.waking and one.wanted:
            await self._sleep_on(one, end)
            return
        if not one.served.done() and not one.replacing:
            await self._forget(one, end.reason)  # its caller is told so, and may ask again
            return
        ordered = one.replacing and one.wanted and end.in_order
        one.replacing = False
        if ordered:
            self._replace(one, 0.0)
            return
        decision = after_end(
            one.restart,
            wanted=one.wanted,
            in_order=end.in_order,
            finished=end.finished,
            fell=end.fell,
            served=end.served,
            deaths=one.deaths,
        )
        one.deaths = decision.deaths
        match decision.step:
            case Next.REPLACE:
                last_try = one.deaths.early == MAX_EARLY_DEATHS - 1 and end.served == 0.0
                self._replace(one, decision.pause, fell=end.fell, last_try=last_try)
            case Next.GIVE_UP:
                await self._give_up(one, end)
            case Next.FORGET:
                await self._forget(one, end.reason)

    async def _give_up(self, one: Supervised, end: Ended) -> None:
        reason = f"{one.deaths.too_many}: {end.reason}"
        one.give_up(reason)
        await self._forget(one, reason)

    def _replace(self, one: Supervised, pause: float, *, fell: bool = False, last_try: bool = False) -> None:
        one.succeed(fell=fell, last_try=last_try)
        one.life.take(Event.TO_BE_REPLACED)
        one.not_before = self.clock() + pause
        asyncio.get_running_loop().call_later(pause, self._look_at, one)

    async def _forget(self, one: Supervised, reason: str) -> None:
        logger.info("{} is gone: {}", one.name, reason)
        self._unwatch_somebody(one)
        one.life.take(Event.FORGOTTEN)
        await one.forget()
        self.things.pop(one, None)
        if not one.served.done():
            one.served.set_exception(HubfarmError(f"{one.name} cannot start: {reason}"))
        self._fail_to_sleep(one, f"{one.name} is gone: {reason}")
        one.gone.set_result(None)


def _between_beats(now: float) -> float:
    """Return when to tick next, halfway between two heartbeats: what missed one is noticed half a second later."""
    return now + until_beat(now - BEAT / 2)
