"""A coordinator without processes: a clock that is set, things that are told what to tell, workers that are none."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import msgspec

from hubfarm.coordinator.hubs import Hubs
from hubfarm.coordinator.life import Event
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.supervised import Ended, News, Serves, Supervised
from hubfarm.coordinator.supervisor import TICK, Supervisor
from hubfarm.coordinator.workers import Worker
from hubfarm.prefork.worker_reports import Report
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import Settings
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase

START = 1000.5
"""The time at which tests begin, seconds: between two heartbeats, when a tick is due."""


class FakeClock:
    """A clock that stands still until it is set forward."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class FakeThing(Supervised):
    """Something to supervise: it does nothing, writes down what is asked of it, and tells what a test lets it tell."""

    start_timeout: ClassVar[float] = 30.0
    stop_timeout: ClassVar[float] = 7.0

    def __init__(self, clock: FakeClock, name: str = "thing", restart: Restart = Restart.ON_FAILURE) -> None:
        super().__init__(clock)
        self.done: list[str] = []
        self.tells: list[News | Exception] = []
        self.cannot_start = self.cannot_lie_down = ""
        self.bell, self.caller = socket.socketpair()
        self.lives = True
        self.pipe = -1
        self._name = name
        self._restart = restart

    @property
    def name(self) -> str:
        return self._name

    @property
    def restart(self) -> Restart:
        return self._restart

    def state(self) -> msgspec.Struct:
        return msgspec.defstruct("Thing", ["name"])(self._name)

    async def start(self) -> None:
        if self.cannot_start:
            raise HubfarmError(self.cannot_start)
        self.done.append("started")

    def adopt(self) -> bool:
        return self.lives

    def descriptors(self) -> Collection[int]:
        return [self.pipe] if self.pipe >= 0 else ()

    async def poll(self) -> Sequence[News]:
        told, self.tells = self.tells, []
        for each in told:
            if isinstance(each, Exception):
                raise each
        return [each for each in told if not isinstance(each, Exception)]

    def stop(self, *, successor: bool) -> None:
        self.done.append("told to make way" if successor else "told to end")

    def kill(self, reason: str) -> None:
        self.done.append(f"killed: {reason}")

    def doze(self) -> None:
        self.done.append("told to sleep")

    async def lie_down(self) -> None:
        if self.cannot_lie_down:
            raise HubfarmError(self.cannot_lie_down)
        self.done.append("lay down")

    def bells(self) -> Collection[int]:
        return [self.bell.fileno()]

    async def turn_away(self) -> None:
        self.done.append("turns away")

    def welcome(self) -> None:
        self.done.append("welcomes")

    def succeed(self, *, fell: bool, last_try: bool) -> None:
        self.done.append(f"succeeds{' one that fell' * fell}{', a last time' * last_try}")

    def give_up(self, reason: str) -> None:
        self.done.append(f"given up: {reason}")

    async def forget(self) -> None:
        self.done.append("forgotten")

    def take_done(self) -> list[str]:
        """Return what was asked of it since the last time."""
        done, self.done = self.done, []
        return done


class FakeWorker(Worker):
    """A worker that is no process: a test says what it reports and how it ends."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.signals: list[int] = []
        self.heard: list[tuple[Report, str]] = []
        self.ended = self.in_order = self.fell = self.closed = False
        self.readable, self.written = os.pipe()
        os.set_blocking(self.readable, False)

    def descriptors(self) -> list[int]:
        return [self.readable]

    def reports(self) -> list[tuple[Report, str]]:
        with contextlib.suppress(BlockingIOError):
            os.read(self.readable, 100)
        heard, self.heard = self.heard, []
        return heard

    def has_ended(self) -> bool:
        return self.ended

    def ended_in_order(self) -> bool:
        return self.in_order

    def fell_of_itself(self) -> bool:
        return self.fell

    def how_it_ended(self) -> str:
        return "as the test says"

    def close(self) -> None:
        self.closed = True
        os.close(self.readable)
        os.close(self.written)

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def serve(self) -> None:
        """Report that the hub serves."""
        self.report(Report.RUNNING, f"http://127.0.0.1:{self.pid}/xmlrpc")

    def report(self, what: Report, detail: str) -> None:
        """Report something."""
        self.heard.append((what, detail))
        os.write(self.written, b"x")

    def end(self, *, in_order: bool = False, fell: bool = False) -> None:
        """Be a process that has ended."""
        self.ended, self.in_order, self.fell = True, in_order, fell
        os.write(self.written, b"x")


class FakeWorkers:
    """Where such workers come from: the next PID each, or an error if one is set."""

    def __init__(self) -> None:
        self.made: list[FakeWorker] = []
        self.specs: list[HubSpec] = []
        self.sockets: list[socket.socket] = []
        self.adopted: list[FakeWorker] = []
        self.dead: set[int] = set()
        self.cannot_fork = ""

    def fork(self, spec: HubSpec, sock: socket.socket) -> FakeWorker:
        if self.cannot_fork:
            raise HubfarmError(self.cannot_fork)
        self.specs.append(spec)
        self.sockets.append(sock)
        self.made.append(FakeWorker(5001 + len(self.made)))
        return self.made[-1]

    def adopt(self, name: HubName) -> FakeWorker:
        if name.pid in self.dead:
            raise ProcessLookupError
        self.adopted.append(FakeWorker(name.pid))
        return self.adopted[-1]


class FakeFarm:
    """A farm's hubs with such workers, and a loop that a test turns by hand."""

    def __init__(self, paths: Paths, **settings: Any) -> None:
        self.clock = FakeClock()
        self.workers = FakeWorkers()
        self.supervisor = Supervisor(self.clock)
        self.lockdir = LockDir(paths)
        self.hubs = Hubs(self.supervisor, self.lockdir, self.workers, lambda: Settings(**settings))

    async def turn(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and the loop look once."""
        self.clock.now += seconds
        for _ in range(3):  # whoever waits for something goes on, and what is readable is heard
            await asyncio.sleep(0)
        await self.supervisor.look()
        await asyncio.sleep(0)

    async def tick(self) -> None:
        """Let the loop look at everything."""
        await self.turn(TICK)

    async def running(self, *labels: str, **options: Any) -> list[ManagedHub]:
        """Start hubs, and return them once they serve."""
        before = len(self.workers.made)
        asked = asyncio.create_task(
            self.hubs.start(lambda used: [HubSpec(id=0, label=each, **options) for each in labels], nobody)
        )
        await self.turn()
        await self.turn()
        for worker in self.workers.made[before:]:
            worker.serve()
        await self.tick()
        await asked
        return [hub for hub in self.hubs.by_id().values() if hub.spec.label in labels]


async def nobody(_: Supervised) -> None:
    """Be told, and do nothing."""


SERVES = Serves()
CRASHED = Ended("it crashed", fell=True, served=60.0)
KILLED = Ended("it was killed", served=60.0)
NEVER_SERVED = Ended("it did not come up")
ASLEEP = Ended("asleep", in_order=True, served=60.0, asleep=True)
NO_ROOM = Ended("the disk is full", refused=True)
IN_ORDER = Ended("in order", in_order=True, served=60.0)

WAYS: dict[Phase, list[Event]] = {
    Phase.WAITING: [],
    Phase.STARTING: [Event.STARTED],
    Phase.RUNNING: [Event.STARTED, Event.SERVES],
    Phase.DOZING: [Event.STARTED, Event.SERVES, Event.TOLD_TO_SLEEP],
    Phase.DORMANT: [Event.LIES_DOWN],
    Phase.STOPPING: [Event.STARTED, Event.TOLD_TO_END],
    Phase.ENDED: [Event.STARTED, Event.ENDED],
    Phase.GONE: [Event.FORGOTTEN],
}
"""How each phase is reached."""
