"""The one loop that compares what should run with what runs.

Requests and reports only change what is wanted or known, and wake the loop; the loop alone
forks, signals and forgets.  A hub passes through `Phase` in one direction.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from loguru import logger

from hubfarm.coordinator.spawner import Spawner, Worker
from hubfarm.registry.hubspec import MAX_HUBS, HubSpec
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.wire.http_server import bind
from hubfarm.worker.process import DRAIN, Running

START_TIMEOUT = 30.0
"""How long a forked worker may take until it serves, seconds."""

STOP_TIMEOUT = DRAIN + 5.0
"""How long a worker may take to end in order before it is killed, seconds."""

TICK = 1.0
"""The loop looks at everything at least so often, seconds."""


class Phase(Enum):
    """Where a hub is in its life."""

    WAITING = auto()
    """To be forked."""
    STARTING = auto()
    """Forked, and does not serve yet."""
    RUNNING = auto()
    STOPPING = auto()
    """Told to end."""
    GONE = auto()


@dataclass(eq=False)
class _Hub:
    """One hub of the farm: what is wanted of it, and what is known."""

    spec: HubSpec
    sock: socket.socket
    started: "asyncio.Future[Running]"
    gone: "asyncio.Future[None]"
    phase: Phase = Phase.WAITING
    wanted: bool = True
    since: float = 0.0
    worker: Worker | None = None
    failure: str = ""

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = time.monotonic()


@dataclass(frozen=True, slots=True)
class HubStarted:
    """What is told of each hub of a request once it serves."""

    spec: HubSpec
    running: Running


class Supervisor:
    """Runs the farm's hubs.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    spawner : Spawner
        Forks the workers.
    """

    def __init__(self, paths: Paths, spawner: Spawner) -> None:
        self._lockdir = LockDir(paths)
        self._spawner = spawner
        self._hubs: dict[int, _Hub] = {}
        self._changed: set[_Hub] = set()
        self._wake = asyncio.Event()
        self._admitting = asyncio.Lock()
        self._closing = False

    # ------------------------------------------------------------------ requests

    async def start(
        self, template: HubSpec, count: int, port: int, told: Callable[[HubStarted], Awaitable[None]]
    ) -> None:
        """Start `count` hubs like `template`, all or none; `told` of each as it serves.

        Parameters
        ----------
        template : HubSpec
            What they have in common; ids, labels and secrets are given here.
        count : int
            How many.
        port : int
            The first one's port, the next ones' follow; 0 lets the system choose.
        told : callable
            Awaited with each `HubStarted`.

        Raises
        ------
        WrongUse
            A label is in use.
        HubfarmError
            One of them could not start; the others have been taken down again.
        """
        async with self._admitting:
            specs = self._name(template, count)
            hubs = self._admit(specs, port)
        try:
            for hub in hubs:
                await told(HubStarted(hub.spec, await hub.started))
        except BaseException:
            await self._take_down(hubs)
            raise

    def _name(self, template: HubSpec, count: int) -> list[HubSpec]:
        if len(self._hubs) + count > MAX_HUBS:
            raise WrongUse(
                f"cannot start {count} hubs: {len(self._hubs)} run already, and a farm holds {MAX_HUBS} at most"
            )
        first = self._lockdir.next_id(set(self._hubs))
        used = {hub.spec.label: str(hub.spec.id) for hub in self._hubs.values()} | self._lockdir.labels()
        labels = labels_for(template, count, used)
        for label in labels:
            if label in used:
                raise WrongUse(f"the label {label} is in use by the hub {used[label]}: choose another or stop that hub")
        return [
            replace(template, id=first + number, label=label, secret=secrets.token_hex(16))
            for number, label in enumerate(labels)
        ]

    def _admit(self, specs: Sequence[HubSpec], port: int) -> list[_Hub]:
        loop = asyncio.get_running_loop()
        sockets: list[socket.socket] = []
        try:
            for number, spec in enumerate(specs):
                sockets.append(bind(spec.host, port and port + number))
        except HubfarmError:
            for sock in sockets:
                sock.close()
            raise
        hubs = [
            _Hub(spec, sock, loop.create_future(), loop.create_future())
            for spec, sock in zip(specs, sockets, strict=True)
        ]
        self._hubs.update({hub.spec.id: hub for hub in hubs})
        self._look_at(*hubs)
        return hubs

    async def _take_down(self, hubs: Collection[_Hub]) -> None:
        for hub in hubs:
            hub.wanted = False
            hub.started.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._look_at(*hubs)
        await asyncio.gather(*(hub.gone for hub in hubs))

    async def stop(self, ids: Collection[int], told: Callable[[int], Awaitable[None]]) -> None:
        """End the hubs with these ids in order; `told` of each as it is gone.

        Ids of no hub of this farm are passed over.
        """
        hubs = [self._hubs[number] for number in ids if number in self._hubs]
        for hub in hubs:
            hub.wanted = False
        self._look_at(*hubs)
        for hub in hubs:
            await hub.gone
            await told(hub.spec.id)

    async def close(self) -> None:
        """End every hub, then the loop."""
        self._closing = True
        await self._take_down(list(self._hubs.values()))
        self._wake.set()

    @property
    def closing(self) -> bool:
        """Whether it ends, and takes no more hubs."""
        return self._closing

    @property
    def ids(self) -> list[int]:
        """The ids of the hubs of this farm."""
        return list(self._hubs)

    # ------------------------------------------------------------------ the loop

    def _look_at(self, *hubs: _Hub) -> None:
        self._changed.update(hubs)
        self._wake.set()

    async def run(self) -> None:
        """Reconcile what has changed at once, and everything once a tick, until `close`."""
        next_tick = time.monotonic()
        while not (self._closing and not self._hubs):
            self._wake.clear()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                self._changed.update(self._hubs.values())
            changed, self._changed = self._changed, set()
            for hub in sorted(changed, key=lambda hub: hub.spec.id):
                await self._reconcile(hub)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + next_tick - time.monotonic()):
                    await self._wake.wait()

    async def _reconcile(self, hub: _Hub) -> None:
        if hub.worker is not None:
            self._take_reports(hub, hub.worker)
            if hub.worker.process.exitcode is not None:
                self._bury(hub, hub.worker)
        match hub.phase:
            case Phase.WAITING if hub.wanted:
                await self._fork(hub)
            case Phase.WAITING:
                self._forget(hub, "not wanted any more")
            case Phase.STARTING | Phase.RUNNING if not hub.wanted:
                hub.enter(Phase.STOPPING)
                self._signal(hub, signal.SIGTERM)
            case Phase.STARTING if _waited(hub, START_TIMEOUT):
                hub.failure = f"it did not serve within {START_TIMEOUT:g} s"
                hub.wanted = False
                self._look_at(hub)
            case Phase.STOPPING if _waited(hub, STOP_TIMEOUT):
                logger.warning("hub {} does not end: killed", hub.spec.name)
                self._signal(hub, signal.SIGKILL)

    async def _fork(self, hub: _Hub) -> None:
        try:
            worker = await asyncio.to_thread(self._spawner.fork, hub.spec, hub.sock)
        except HubfarmError as error:
            self._forget(hub, str(error))
            return
        hub.worker = worker
        hub.enter(Phase.STARTING)
        loop = asyncio.get_running_loop()
        for descriptor in (worker.report.fileno(), worker.process.sentinel):
            loop.add_reader(descriptor, self._look_at, hub)
        logger.info("hub {} (id {}) forked as process {}", hub.spec.name, hub.spec.id, worker.pid)

    def _take_reports(self, hub: _Hub, worker: Worker) -> None:
        for what, detail in worker.reports():
            match what, detail:
                case "running", Running():
                    logger.info("hub {} (id {}) serves at {}", hub.spec.name, hub.spec.id, detail.url)
                    if hub.phase is Phase.STARTING:
                        hub.enter(Phase.RUNNING)
                    if not hub.started.done():
                        hub.started.set_result(detail)
                case "failed", str():
                    hub.failure = detail
                case "ended", str():
                    hub.wanted = False
                    hub.failure = detail

    def _bury(self, hub: _Hub, worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in (worker.report.fileno(), worker.process.sentinel):
            loop.remove_reader(descriptor)
        reason = hub.failure or _how_it_ended(worker.process.exitcode)
        hub.worker = None
        worker.close()
        self._forget(hub, reason)

    def _forget(self, hub: _Hub, reason: str) -> None:
        logger.info("hub {} (id {}) is gone: {}", hub.spec.name, hub.spec.id, reason)
        hub.enter(Phase.GONE)
        hub.sock.close()
        del self._hubs[hub.spec.id]
        if not hub.started.done():
            hub.started.set_exception(HubfarmError(f"hub {hub.spec.name} cannot start: {reason}"))
        hub.gone.set_result(None)

    def _signal(self, hub: _Hub, number: signal.Signals) -> None:
        if hub.worker is not None:
            hub.worker.signal(number)


def _waited(hub: _Hub, seconds: float) -> bool:
    return time.monotonic() - hub.since >= seconds


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"


def labels_for(template: HubSpec, count: int, used: Collection[str]) -> list[str]:
    """Return the labels of `count` hubs like `template`.

    A label that was asked for is taken as it is for one hub, and numbered for several.
    Without one, labels are ``<group or owner or "hub">-<n>``, with the first numbers that
    are not in `used`.

    Examples
    --------
    >>> labels_for(HubSpec(id=0, group="mima"), 2, used={"mima-1"})
    ['mima-2', 'mima-3']
    >>> labels_for(HubSpec(id=0, label="x"), 2, used=())
    ['x-1', 'x-2']
    """
    if template.label:
        return [template.label] if count == 1 else [f"{template.label}-{n}" for n in range(1, count + 1)]
    stem = template.group or template.owner or "hub"
    labels: list[str] = []
    number = 0
    while len(labels) < count:
        number += 1
        if f"{stem}-{number}" not in used:
            labels.append(f"{stem}-{number}")
    return labels
