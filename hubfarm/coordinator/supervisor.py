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
from hubfarm.coordinator.life import Clock, Event
from hubfarm.coordinator.supervised import Ended, Serves, Supervised
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.rhythm import BEAT, until_beat
from hubfarm.spec.states import Phase

TICK = BEAT
"""Between two looks at everything, seconds; see `_between_beats`."""

MOST_STARTING = 2 + 2 * (os.cpu_count() or 1)
"""How many may start at a time: more would only wait for the processor, and for each other's registry mutex."""

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
            one.renew_promise()
        self._look_at(*things)
        for one in things:
            await one.served
            await told(one)

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
            if not one.is_settled() or self._ticks % ROUND == 0:
                self._changed[one] = None

    def _look_at(self, *things: Supervised) -> None:
        self._changed.update(dict.fromkeys(things))
        self._wake.set()

    async def _reconcile(self, one: Supervised) -> None:
        await self._learn(one)
        match one.life.phase:
            case Phase.WAITING if not one.wanted:
                await self._forget(one, "not wanted any more")
            case Phase.WAITING if self.clock() >= one.not_before and self._has_room():
                await self._start(one)
            case Phase.STARTING | Phase.RUNNING if not one.wanted:
                self._tell_to_end(one, successor=False)
            case Phase.RUNNING if one.replacing:
                self._tell_to_end(one, successor=True)
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
            await self._decide(one, Ended(str(error)))
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
                case Ended():
                    one.life.take(Event.ENDED)
                    self._look_at_next()
                    await self._decide(one, news)
        if one.life.has_process:
            self._watch(one)

    def _note_serving(self, one: Supervised) -> None:
        one.life.take(Event.SERVES)
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

    # ------------------------------------------------------------------ after a process

    async def _decide(self, one: Supervised, end: Ended) -> None:
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
                reason = f"{one.deaths.too_many}: {end.reason}"
                one.give_up(reason)
                await self._forget(one, reason)
            case Next.FORGET:
                await self._forget(one, end.reason)

    def _replace(self, one: Supervised, pause: float, *, fell: bool = False, last_try: bool = False) -> None:
        one.succeed(fell=fell, last_try=last_try)
        one.life.take(Event.TO_BE_REPLACED)
        one.not_before = self.clock() + pause
        asyncio.get_running_loop().call_later(pause, self._look_at, one)

    async def _forget(self, one: Supervised, reason: str) -> None:
        logger.info("{} is gone: {}", one.name, reason)
        one.life.take(Event.FORGOTTEN)
        await one.forget()
        self.things.pop(one, None)
        if not one.served.done():
            one.served.set_exception(HubfarmError(f"{one.name} cannot start: {reason}"))
        one.gone.set_result(None)


def _between_beats(now: float) -> float:
    """Return when to tick next, halfway between two heartbeats: what missed one is noticed half a second later."""
    return now + until_beat(now - BEAT / 2)
