"""The hubs among what the coordinator runs.

They are asked for by a plan, ended and restarted by their ids, and judged by their heartbeats.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Mapping

import msgspec
from loguru import logger

from hubfarm.access.somebody import check_somebody
from hubfarm.coordinator.admission import Plan, admit, bind_all
from hubfarm.coordinator.managed_hub import ManagedHub, Workers
from hubfarm.coordinator.pulse import Pulse
from hubfarm.coordinator.supervisor import TICK, Supervisor, Told
from hubfarm.registry.changes import changes_path, with_changes, write_changes
from hubfarm.registry.files import changed_at
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.settings import Settings
from hubfarm.registry.statetable import HubName, Record, read_records
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Idle
from hubfarm.spec.states import HubState, Phase

MEND_EVERY = 3.5
"""Between two looks at the files of hubs that sleep, seconds: as often as hubs look at their own."""

LOOK_WELL_EVERY = 60.0
"""Between two looks at each of them, seconds: a thousand take 20 ms."""

TRY_AGAIN = 5.0
"""A hub that was to sleep, and was in use, is told so again after this time, seconds."""


class Hubs:
    """The farm's hubs.

    Parameters
    ----------
    supervisor : Supervisor
        Runs them.
    lockdir : LockDir
        Where their files lie.
    workers : Workers
        Where their workers come from.
    settings : callable
        Returns the settings in force.
    """

    def __init__(
        self, supervisor: Supervisor, lockdir: LockDir, workers: Workers, settings: Callable[[], Settings]
    ) -> None:
        self.supervisor = supervisor
        supervisor.each_tick += [self.judge, self.mend_sleepers]
        self._lockdir = lockdir
        self._workers = workers
        self._settings = settings
        self._admitting = asyncio.Lock()
        self._pulse: Pulse[HubName] = Pulse(TICK)
        self._unreadable = ""
        self._tired: dict[ManagedHub, float] = {}
        self._last_seen: tuple[object, ...] = ()
        self._look_at = 0.0
        self._look_well_at = 0.0

    def by_id(self) -> dict[int, ManagedHub]:
        """Return all of them by their ids, in the order of their coming."""
        return {one.spec.id: one for one in self.supervisor.things if isinstance(one, ManagedHub)}

    def make(
        self, spec: HubSpec, sock: socket.socket | None = None, url: str = "", left: HubName | None = None
    ) -> ManagedHub:
        """Return a hub that nobody runs yet; see `ManagedHub`."""
        return ManagedHub(spec, sock, self._lockdir, self._workers, url=url, left=left, clock=self.supervisor.clock)

    def as_changed(self, hub: ManagedHub) -> HubSpec:
        """Return what a hub is, whom it lets in as that was changed while it ran; see `hubfarm.registry.changes`.

        Raises
        ------
        HubfarmError
            Who may enter cannot be read.
        """
        return with_changes(changes_path(self._lockdir.paths, hub.spec), hub.spec)

    def restrict(self, hub: ManagedHub, wanted: HubSpec) -> None:
        """Let a hub that runs let in those only whom `wanted` does.

        Raises
        ------
        HubfarmError
            That would be nobody, or it cannot be written down.
        """
        paths = self._lockdir.paths
        changed = msgspec.structs.replace(hub.spec, access=wanted.access, allow=wanted.allow)
        check_somebody([changed], paths)
        write_changes(changes_path(paths, hub.spec), changed)
        hub.reopen_log()  # by the signal at which it heeds changes too

    # ------------------------------------------------------------------ requests

    def labels_in_use(self) -> dict[str, str]:
        """Return the labels of all hubs that live or wait on this host, and each one's hub."""
        return {hub.spec.label: str(number) for number, hub in self.by_id().items()} | self._lockdir.labels()

    async def start(self, plan: Plan, told: Told[ManagedHub]) -> None:
        """Start the hubs of a plan, all or none; `told` of each as it serves.

        Raises
        ------
        WrongUse
            A label is in use, or there is no room for that many.
        HubfarmError
            One of them could not start; the others have been taken down again.
        """
        async with self._admitting:
            used = self.labels_in_use()
            present = self.by_id()
            first_id = self._lockdir.next_id(set(present))
            specs = admit(plan(used), running=len(present), used=used, first_id=first_id)
            hubs = [self.make(spec, sock) for spec, sock in bind_all(specs)]
            self.supervisor.take_on(hubs)
        await self.supervisor.see_up(hubs, told)

    async def stop(self, ids: Collection[int], told: Told[ManagedHub]) -> None:
        """End the hubs with these ids in order; `told` of each as it is gone.

        Ids of no hub of this farm are passed over.
        """
        await self.supervisor.stop(self._with(ids), told)

    async def restart(self, ids: Collection[int], told: Told[ManagedHub]) -> None:
        """End the workers of these hubs in order and start successors, which go on with their clients.

        `told` of each as it serves.  Ids of no hub of this farm are passed over.

        Raises
        ------
        HubfarmError
            A successor could not start.
        """
        await self.supervisor.restart(self._with(ids), told)

    async def sleep(self, ids: Collection[int], told: Told[ManagedHub]) -> None:
        """Let these hubs sleep with their clients, if nobody uses them; `told` of each as it does.

        Ids of no hub of this farm are passed over.

        Raises
        ------
        HubfarmError
            One of them stays awake; the message says why.
        """
        await self.supervisor.sleep(self._with(ids), told)

    async def wake(self, ids: Collection[int], told: Told[ManagedHub]) -> None:
        """Wake these hubs; `told` of each as it serves.

        Ids of no hub of this farm are passed over.

        Raises
        ------
        HubfarmError
            One of them cannot have a process.
        """
        await self.supervisor.wake(self._with(ids), told)

    def _with(self, ids: Collection[int]) -> list[ManagedHub]:
        hubs = self.by_id()
        return [hubs[number] for number in ids if number in hubs]

    # ------------------------------------------------------------------ what their workers bring

    def take_socket(self, name: str, sock: socket.socket) -> None:
        """Keep the listening socket that the worker ``<PID>-<ID>`` has handed over."""
        for hub in self.by_id().values():
            if str(hub.held_by) == name and hub.sock is None:
                hub.sock = sock
                return
        sock.close()

    def judge(self) -> None:
        """Kill the workers that hang, see `hubfarm.coordinator.pulse`; let hubs sleep that nobody uses."""
        running = {
            hub.held_by: hub
            for hub in self.by_id().values()
            if hub.held_by is not None and hub.life.phase is Phase.RUNNING
        }
        if not running:
            return
        records = {name: record for name, record in self._records().items() if name in running}
        self._let_sleep({running[name]: record for name, record in records.items()})
        beats = {name: record.beat for name, record in records.items()}
        for name, silent in self._pulse.judge(self.supervisor.clock(), beats, self._settings().late_beats).items():
            running[name].hang(silent)

    def _let_sleep(self, records: Mapping[ManagedHub, Record]) -> None:
        now = time.monotonic()
        self._tired = {hub: since for hub, since in self._tired.items() if hub in records}
        for hub, record in records.items():
            spec = hub.spec
            unused = now - record.active if record.state is HubState.RUNNING else 0.0
            if not spec.timeout or spec.idle is not Idle.SLEEP or unused < spec.timeout:
                continue
            if now >= self._tired.get(hub, 0.0):  # it may be in use and say nothing, by a pull or a call that waits
                self._tired[hub] = now + TRY_AGAIN
                self.supervisor.let_sleep(hub)

    def mend_sleepers(self) -> None:
        """Put back what others have removed of hubs that sleep.

        One look at three directories shows that nothing was; files that were written to stay till a look at each.
        """
        now = self.supervisor.clock()
        if now < self._look_at:
            return
        self._look_at = now + MEND_EVERY
        paths = self._lockdir.paths
        seen = tuple(changed_at(each) for each in (paths.lockdir, paths.guards, paths.by_label))
        if seen == self._last_seen and now < self._look_well_at:
            return
        self._last_seen, self._look_well_at = seen, now + LOOK_WELL_EVERY
        for hub in self.by_id().values():
            hub.mend()

    def _records(self) -> dict[HubName, Record]:
        try:
            records = read_records(self._lockdir.paths.state_table)
            self._unreadable = ""
        except HubfarmError as error:
            if str(error) != self._unreadable:  # once, and not every second
                self._unreadable = str(error)
                logger.error("no heartbeats can be read, no hang is noticed: {}", error)
            return {}
        return records
