"""The hubs among what the coordinator runs.

They are asked for by a plan, ended and restarted by their ids, and judged by their heartbeats.
"""

import asyncio
import socket
from collections.abc import Callable, Collection

import msgspec
from loguru import logger

from hubfarm.access.somebody import check_somebody
from hubfarm.coordinator.admission import Plan, admit, bind_all
from hubfarm.coordinator.managed_hub import ManagedHub, Workers
from hubfarm.coordinator.pulse import Pulse
from hubfarm.coordinator.supervisor import TICK, Supervisor, Told
from hubfarm.registry.changes import changes_path, with_changes, write_changes
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.settings import Settings
from hubfarm.registry.statetable import HubName, read_records
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import Phase


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
        supervisor.each_tick.append(self.judge)
        self._lockdir = lockdir
        self._workers = workers
        self._settings = settings
        self._admitting = asyncio.Lock()
        self._pulse: Pulse[HubName] = Pulse(TICK)
        self._unreadable = ""

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
        """Kill the workers that hang; see `hubfarm.coordinator.pulse`."""
        running = {
            hub.held_by: hub
            for hub in self.by_id().values()
            if hub.held_by is not None and hub.life.phase is Phase.RUNNING
        }
        beats = {name: beat for name, beat in self._beats().items() if name in running}
        for name, silent in self._pulse.judge(self.supervisor.clock(), beats, self._settings().late_beats).items():
            running[name].hang(silent)

    def _beats(self) -> dict[HubName, float]:
        try:
            records = read_records(self._lockdir.paths.state_table)
            self._unreadable = ""
        except HubfarmError as error:
            if str(error) != self._unreadable:  # once, and not every second
                self._unreadable = str(error)
                logger.error("no heartbeats can be read, no hang is noticed: {}", error)
            return {}
        return {name: record.beat for name, record in records.items()}
