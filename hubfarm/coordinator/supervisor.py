"""The one loop that compares what should run with what runs.

Requests and reports only change what is wanted or known, and wake the loop; the loop alone
forks, signals, buries and replaces.  A fact about a worker is read where it lies: whether it
lives from its guard or process, whether it moves from the state table, how it ended from what
it left and from the history.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from loguru import logger

from hubfarm.coordinator.aftermath import MAX_EARLY_DEATHS, Next, after_end
from hubfarm.coordinator.managed_hub import ManagedHub, Phase
from hubfarm.coordinator.spawner import Spawner
from hubfarm.coordinator.workers import Worker
from hubfarm.hub.keep.journal import remove_journal, set_aside
from hubfarm.prefork.worker_reports import Report
from hubfarm.registry.history import End, end_of, record_end
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import Settings
from hubfarm.registry.statetable import HubName, read_records
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.wire.sockets import bind
from hubfarm.worker.process import BEAT, DRAIN, until_beat

START_TIMEOUT = 30.0
"""How long a forked worker may take until it serves, seconds."""

STOP_TIMEOUT = DRAIN + 5.0
"""How long a worker may take to end in order before it is killed, seconds."""

TICK = BEAT
"""The loop looks at everything once so often, seconds; see `_between_beats`."""

MOST_STARTING = 2 + 2 * (os.cpu_count() or 1)
"""So many workers start at a time: more would only wait for the processor, and for each other's registry mutex."""

ROUND = 10
"""Ticks between two looks at hubs that run and report nothing: they wake the loop themselves."""

LOG_TAIL = 5
"""Lines of a failed hub's log that are kept in the history."""

Told = Callable[[ManagedHub], Awaitable[None]]
Plan = Callable[[Collection[str]], Sequence[HubSpec]]


class Supervisor:
    """Runs the farm's hubs.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    spawner : Spawner
        Forks the workers.
    settings : Settings
        How patient it is.
    """

    def __init__(self, paths: Paths, spawner: Spawner, settings: Settings) -> None:
        self.settings = settings
        self.hubs: dict[int, ManagedHub] = {}
        self._paths = paths
        self._lockdir = LockDir(paths)
        self._spawner = spawner
        self._changed: set[ManagedHub] = set()
        self._wake = asyncio.Event()
        self._admitting = asyncio.Lock()
        self._last_tick = time.monotonic()
        self._closing = False
        self._unreadable = ""

    # ------------------------------------------------------------------ requests

    async def start(self, plan: Plan, told: Told) -> None:
        """Start the hubs of a plan, all or none; `told` of each as it serves.

        Parameters
        ----------
        plan : callable
            Given the labels in use, returns what the hubs are to be; ids and secrets are given here.
        told : callable
            Awaited with each hub.

        Raises
        ------
        WrongUse
            A label is in use.
        HubfarmError
            One of them could not start; the others have been taken down again.
        """
        async with self._admitting:
            used = self.labels_in_use()
            hubs = self._admit(self._give_ids(plan(used), used))
        try:
            for hub in hubs:
                await hub.served
                await told(hub)
        except BaseException:
            await self._take_down(hubs)
            raise

    def labels_in_use(self) -> dict[str, str]:
        """Return the labels of all hubs that live or wait on this host, and each one's hub."""
        return {hub.spec.label: str(hub.spec.id) for hub in self.hubs.values()} | self._lockdir.labels()

    def _give_ids(self, templates: Sequence[HubSpec], used: Mapping[str, str]) -> list[HubSpec]:
        if len(self.hubs) + len(templates) > MAX_HUBS:
            raise WrongUse(
                f"cannot start {len(templates)} hubs: {len(self.hubs)} run already, a farm holds {MAX_HUBS} at most"
            )
        for template in templates:
            if template.label in used:
                raise WrongUse(
                    f"the label {template.label} is in use by the hub {used[template.label]}: "
                    "choose another or stop that hub"
                )
        first = self._lockdir.next_id(set(self.hubs))
        return [
            msgspec.structs.replace(template, id=first + number, secret=secrets.token_hex(16))
            for number, template in enumerate(templates)
        ]

    def _admit(self, specs: Sequence[HubSpec]) -> list[ManagedHub]:
        with contextlib.ExitStack() as bound:
            hubs = []
            for spec in specs:
                sock = bind(spec.host, spec.port)
                bound.callback(sock.close)
                hubs.append(ManagedHub(spec, sock))
            bound.pop_all()
        self.take_on(hubs)
        return hubs

    def take_on(self, hubs: Collection[ManagedHub]) -> None:
        """Look after these hubs from now on."""
        self.hubs.update({hub.spec.id: hub for hub in hubs})
        self._look_at(*hubs)

    async def _take_down(self, hubs: Collection[ManagedHub]) -> None:
        for hub in hubs:
            hub.wanted = False
            hub.served.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._look_at(*hubs)
        await asyncio.gather(*(hub.gone for hub in hubs))

    async def stop(self, ids: Collection[int], told: Told) -> None:
        """End the hubs with these ids in order; `told` of each as it is gone.

        Ids of no hub of this farm are passed over.
        """
        hubs = [self.hubs[number] for number in ids if number in self.hubs]
        for hub in hubs:
            hub.wanted = False
        self._look_at(*hubs)
        for hub in hubs:
            await hub.gone
            await told(hub)

    async def restart(self, ids: Collection[int], told: Told) -> None:
        """End the workers of these hubs in order and fork successors, which go on with their clients.

        `told` of each as it serves.

        Raises
        ------
        HubfarmError
            A successor could not start.
        """
        hubs = [self.hubs[number] for number in ids if number in self.hubs]
        for hub in hubs:
            hub.replacing = hub.worker is not None
            hub.not_before = 0.0
            hub.served = asyncio.get_running_loop().create_future()
        self._look_at(*hubs)
        for hub in hubs:
            await hub.served
            await told(hub)

    async def close(self) -> None:
        """End every hub, then the loop."""
        self._closing = True
        await self._take_down(list(self.hubs.values()))
        self._wake.set()

    def leave(self) -> None:
        """End the loop, and leave every hub to run on without a coordinator."""
        self._closing = True
        self.hubs.clear()
        self._wake.set()

    @property
    def closing(self) -> bool:
        """Whether it ends, and takes no more hubs."""
        return self._closing

    # ------------------------------------------------------------------ the loop

    def _look_at(self, *hubs: ManagedHub) -> None:
        self._changed.update(hubs)
        self._wake.set()

    async def run(self) -> None:
        """Reconcile what has changed at once, and what is under way once a tick, until `close`."""
        next_tick = _between_beats(time.monotonic() - TICK)  # within a second, as the others
        ticks = 0
        while not (self._closing and not self.hubs):
            self._wake.clear()
            if time.monotonic() >= next_tick:
                next_tick = _between_beats(time.monotonic())
                try:
                    self._watch_beats()
                except Exception:
                    logger.exception("the heartbeats could not be looked at")
                ticks += 1
                self._changed.update(hub for hub in self.hubs.values() if not hub.is_settled() or ticks % ROUND == 0)
            changed, self._changed = self._changed, set()
            for hub in sorted(changed, key=lambda hub: hub.spec.id):
                try:
                    await self._reconcile(hub)
                except Exception:
                    # One hub's trouble must not keep the loop from the others; the tick tries again.
                    logger.exception("hub {} (id {}) could not be looked after", hub.spec.name, hub.spec.id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_tick - time.monotonic())):
                    await self._wake.wait()

    async def _reconcile(self, hub: ManagedHub) -> None:
        if hub.worker is not None:
            ended = hub.worker.has_ended()
            await self._take_reports(hub, hub.worker)  # only now: nothing can come after the end
            if ended:
                await self._bury(hub, hub.worker)
            else:
                self.watch(hub)
        match hub.phase:
            case Phase.WAITING if not hub.wanted:
                await self._forget(hub, "not wanted any more")
            case Phase.WAITING if time.monotonic() >= hub.not_before and self._has_room():
                await self._fork(hub)
            case Phase.STARTING | Phase.RUNNING if not hub.wanted:
                hub.enter(Phase.STOPPING)
                self._signal(hub, signal.SIGTERM)
            case Phase.RUNNING if hub.replacing:
                hub.enter(Phase.STOPPING)
                self._signal(hub, signal.SIGQUIT)
            case Phase.STARTING if hub.has_waited(START_TIMEOUT):
                hub.failure = f"it did not serve within {START_TIMEOUT:g} s"
                self._signal(hub, signal.SIGKILL)
            case Phase.STOPPING if hub.has_waited(STOP_TIMEOUT):
                logger.warning("hub {} does not end: killed", hub.spec.name)
                self._signal(hub, signal.SIGKILL)

    def _has_room(self) -> bool:
        return sum(hub.phase is Phase.STARTING for hub in self.hubs.values()) < MOST_STARTING

    def _look_at_next(self) -> None:
        """One worker less is starting: look at those that wait for that."""
        now = time.monotonic()
        ready = (hub for hub in self.hubs.values() if hub.phase is Phase.WAITING and hub.not_before <= now)
        self._look_at(*islice(ready, MOST_STARTING))

    async def _fork(self, hub: ManagedHub) -> None:
        try:
            if hub.sock is None:
                hub.sock = bind(hub.spec.host, _port_of(hub.url))
            worker = await asyncio.to_thread(self._spawner.fork, hub.spec, hub.sock)
        except HubfarmError as error:
            hub.failure = str(error)
            await self._decide(hub, served=0.0, in_order=False, finished=False)
            return
        hub.worker = worker
        hub.failure = ""
        hub.enter(Phase.STARTING)
        self.watch(hub)
        logger.info("hub {} (id {}) forked as process {}", hub.spec.name, hub.spec.id, worker.pid)

    def watch(self, hub: ManagedHub) -> None:
        """Look at a hub when its worker reports or ends, once: until it has been looked at there is no more to say."""
        assert hub.worker is not None
        for descriptor in hub.worker.descriptors():
            asyncio.get_running_loop().add_reader(descriptor, self._hear, hub, descriptor)

    def _hear(self, hub: ManagedHub, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        self._look_at(hub)

    def _unwatch(self, worker: Worker) -> None:
        for descriptor in worker.descriptors():
            asyncio.get_running_loop().remove_reader(descriptor)

    async def _take_reports(self, hub: ManagedHub, worker: Worker) -> None:
        for what, detail in worker.reports():
            match what:
                case Report.RUNNING:
                    logger.info("hub {} (id {}) serves at {}", hub.spec.name, hub.spec.id, detail)
                    hub.url = detail
                    hub.missed_beats = 0
                    hub.serving_since = time.monotonic()
                    if hub.phase is Phase.STARTING:
                        hub.enter(Phase.RUNNING)
                        self._look_at_next()
                        await self._clear_left(hub)
                    if not hub.served.done():
                        hub.served.set_result(None)
                case Report.FAILED:
                    hub.failure = detail

    def _signal(self, hub: ManagedHub, number: signal.Signals) -> None:
        if hub.worker is not None:
            hub.worker.signal(number)

    # ------------------------------------------------------------------ heartbeats

    def _watch_beats(self) -> None:
        """Kill workers that do not beat, unless it is this process that is late.

        A worker is judged by how many of *our own punctual* ticks have passed since its last
        beat: if the machine was suspended, or is so loaded that we are late ourselves, nobody is.
        """
        now = time.monotonic()
        late = now - self._last_tick > 1.5 * TICK
        self._last_tick = now
        try:
            records = read_records(self._paths.state_table)
            self._unreadable = ""
        except HubfarmError as error:
            if str(error) != self._unreadable:  # once, and not every second
                self._unreadable = str(error)
                logger.error("no heartbeats can be read, no hang is noticed: {}", error)
            return
        for hub in self.hubs.values():
            record = records.get(hub.name) if hub.name else None
            beat = record.beat if record else 0.0
            if late or hub.phase is not Phase.RUNNING or record is None or beat != hub.last_beat:
                hub.last_beat, hub.missed_beats = beat, 0
                continue
            hub.missed_beats += 1
            if hub.missed_beats >= self.settings.late_beats and not hub.hung:
                logger.error("hub {} hangs: no heartbeat for {:.1f} s; killed", hub.spec.name, now - beat)
                hub.hung = True
                self._signal(hub, signal.SIGKILL)

    # ------------------------------------------------------------------ the end of a worker

    async def _bury(self, hub: ManagedHub, worker: Worker) -> None:
        self._unwatch(worker)
        name = HubName(worker.pid, hub.spec.id)
        served = time.monotonic() - hub.serving_since if hub.serving_since else 0.0
        own_account = end_of(self._paths, name) if hub.wanted else None
        handed_on = own_account is not None and own_account.how is End.RESTARTED
        in_order = handed_on or worker.ended_in_order()
        fell = hub.hung or worker.fell_of_itself()
        if not in_order:
            own_account = None
            hub.failure = hub.failure or worker.how_it_ended()
            how = End.HUNG if hub.hung else End.CRASHED
            logger.error("hub {} (id {}, process {}) {}: {}", hub.spec.name, hub.spec.id, name.pid, how, hub.failure)
            record_end(self._paths, hub.spec, name.pid, how, hub.failure, served)
        # What it left stays until its successor has its own: programs find the hub by it meanwhile, and wait.
        await self._clear_left(hub)
        hub.left = name if handed_on or not in_order else None
        hub.worker = None
        hub.hung = False
        hub.serving_since = 0.0
        self._look_at_next()
        worker.close()
        hub.failure = own_account.reason if own_account else hub.failure
        finished = own_account is not None and own_account.how in (End.UNUSED, End.DRAINED)
        await self._decide(hub, served=served, in_order=in_order, finished=finished, fell=fell)

    async def _clear_left(self, hub: ManagedHub) -> None:
        name, hub.left = hub.left, None
        if name is not None:
            await asyncio.to_thread(self._clear, name, hub.spec.label)

    def _clear(self, name: HubName, label: str) -> None:
        try:
            self._lockdir.clear_dead(name, label)
        except HubfarmError as error:
            logger.warning("what process {} left waits for a sweep: {}", name.pid, error)

    async def _decide(
        self, hub: ManagedHub, *, served: float, in_order: bool, finished: bool, fell: bool = False
    ) -> None:
        if not hub.served.done() and not hub.replacing:
            await self._forget(hub, hub.failure)  # whoever asked for it is told so, and may ask again
            return
        if hub.replacing and in_order and hub.wanted:
            hub.replacing = False
            self._replace(hub, 0.0)
            return
        decision = after_end(
            hub.spec.restart,
            wanted=hub.wanted,
            in_order=in_order,
            finished=finished,
            fell=fell,
            served=served,
            deaths=hub.deaths,
        )
        hub.replacing = False
        hub.deaths = decision.deaths
        match decision.step:
            case Next.REPLACE:
                if hub.deaths.early == MAX_EARLY_DEATHS - 1 and served == 0.0:
                    self._set_journal_aside(hub)
                self._replace(hub, decision.pause, fell=fell)
            case Next.GIVE_UP:
                await self._give_up(hub)
            case Next.FORGET:
                await self._forget(hub, hub.failure)

    def _replace(self, hub: ManagedHub, pause: float, *, fell: bool = False) -> None:
        hub.spec = hub.spec.successor(fell=fell)
        hub.enter(Phase.WAITING)
        hub.not_before = time.monotonic() + pause
        logger.info("hub {} is replaced (restart {})", hub.spec.name, hub.spec.restarts)
        asyncio.get_running_loop().call_later(pause, self._look_at, hub)

    def _set_journal_aside(self, hub: ManagedHub) -> None:
        """Let the last try start empty: one poisonous record must not hold a hub down."""
        with contextlib.suppress(OSError):
            aside = set_aside(self._paths.journal(hub.spec.id))
            logger.error("hub {}: none of its workers came to serve; journal set aside as {}", hub.spec.name, aside)

    async def _give_up(self, hub: ManagedHub) -> None:
        tail = last_lines(self._paths.logs / f"{hub.spec.name}.log", LOG_TAIL)
        reason = f"{hub.deaths.too_many}: {hub.failure}"
        logger.error("hub {} has failed, {}; its log ends:\n{}", hub.spec.name, reason, tail)
        record_end(self._paths, hub.spec, 0, End.FAILED, f"{reason}\n{tail}", 0.0)
        await self._forget(hub, reason)

    async def _forget(self, hub: ManagedHub, reason: str) -> None:
        logger.info("hub {} (id {}) is gone: {}", hub.spec.name, hub.spec.id, reason)
        hub.enter(Phase.GONE)
        if hub.sock is not None:
            hub.sock.close()
        await self._clear_left(hub)
        remove_journal(self._paths.journal(hub.spec.id))
        self.hubs.pop(hub.spec.id, None)
        if not hub.served.done():
            hub.served.set_exception(HubfarmError(f"hub {hub.spec.name} cannot start: {reason}"))
        hub.gone.set_result(None)

    def take_socket(self, name: str, sock: socket.socket) -> None:
        """Keep the listening socket that the worker ``<PID>-<ID>`` has handed over."""
        for hub in self.hubs.values():
            if str(hub.name) == name and hub.sock is None:
                hub.sock = sock
                return
        sock.close()


def _between_beats(now: float) -> float:
    """Return when to tick next, halfway between two heartbeats: what missed one is noticed half a second later."""
    return now + until_beat(now - BEAT / 2)


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0] or 0)


def last_lines(path: Path, count: int) -> str:
    """Return the last lines of a text file, or nothing if it cannot be read."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
