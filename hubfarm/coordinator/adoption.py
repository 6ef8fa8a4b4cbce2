"""Take on the hubs that an earlier coordinator has left.

Everything needed lies in the registry: a living hub's lock file says what it is, its guard
that it lives, and it hands its listening socket over when asked (SIGUSR2).  A hub that died
while nobody watched is replaced, as it would have been: its lock file says by what.  One that
died with the host, at an earlier boot, is not: nobody expects it back.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Mapping

import psutil
from loguru import logger

from hubfarm.coordinator.managed_hub import ManagedHub, Phase
from hubfarm.coordinator.supervisor import Supervisor
from hubfarm.coordinator.workers import AdoptedWorker
from hubfarm.registry import handover
from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.files import file_identity
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName, Record, read_records
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from hubfarm.spec.states import HubKind


class Adoption:
    """Finds and takes on what an earlier coordinator has left, and takes the sockets.

    Parameters
    ----------
    supervisor : Supervisor
        Looks after the hubs from then on.
    paths : Paths
        Where the farm's files lie.
    """

    def __init__(self, supervisor: Supervisor, paths: Paths) -> None:
        self._supervisor = supervisor
        self._path = paths.handover_socket
        self._lockdir = LockDir(paths)
        self._state_table = paths.state_table
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None

    def listen(self) -> None:
        """Take sockets from now on.

        Raises
        ------
        HubfarmError
            The Unix socket for it cannot be made.
        """
        try:
            self._listener = handover.listen(self._path)
            self._identity = file_identity(self._path.lstat())
        except OSError as error:
            raise HubfarmError(f"cannot make the handover socket {self._path}: {error.strerror}") from None
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._take_one)

    def mend(self) -> bool:
        """Make the handover socket again if somebody has removed it; tell whether it was so.

        Raises
        ------
        HubfarmError
            It cannot be made, now.
        """
        try:
            if file_identity(self._path.lstat()) == self._identity:
                return False
        except OSError:
            pass
        self.close()
        self.listen()
        return True

    def close(self) -> None:
        """Take no more, and remove the socket's name."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                if file_identity(self._path.lstat()) == self._identity:  # not that of another coordinator
                    self._path.unlink()

    def _take_one(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            taken = handover.take(self._listener)
            if taken is not None:
                self._supervisor.take_socket(*taken)

    def adopt(self) -> None:
        """Take on every hub that an earlier coordinator has left, living or dead.

        Raises
        ------
        HubfarmError
            Hubs of another version of hubfarm run, or the lock directory cannot be read.
        """
        self.adopt_living()
        for entry, spec in self._found(Standing.DEAD):
            # Whoever lives under its id or label has replaced it already.
            if spec.id not in self._supervisor.hubs and spec.label not in self._supervisor.labels_in_use():
                self._adopt_dead(entry, spec)

    def adopt_living(self) -> None:
        """Take on every hub of the farm that lives and that nobody looks after.

        Called now and then too: a hub whose lock file was damaged when this coordinator started
        has mended it since.

        Raises
        ------
        HubfarmError
            Hubs of another version of hubfarm run, or the lock directory cannot be read.
        """
        left = [found for found in self._found(Standing.ALIVE) if found[1].id not in self._supervisor.hubs]
        if left and not self._supervisor.closing:
            records = read_records(self._state_table)
            for entry, spec in left:
                self._adopt_living(entry, spec, records)

    def _found(self, standing: Standing) -> list[tuple[Entry, HubSpec]]:
        found = []
        for entry in self._lockdir.scan():
            ours = entry.standing is standing and entry.tokens.get("hubfarm.kind") == HubKind.FARM
            if ours and entry.name is not None and not entry.problem:
                try:
                    found.append((entry, HubSpec.from_tokens(entry.tokens)))
                except WrongUse as error:
                    logger.warning("{} is left alone: {}", entry.path, error)
        return found

    def _adopt_living(self, entry: Entry, spec: HubSpec, records: Mapping[HubName, Record]) -> None:
        assert entry.name is not None
        try:
            worker = AdoptedWorker(entry.name, self._lockdir)
        except psutil.NoSuchProcess:
            return  # it has died since, and is one of the dead
        hub = ManagedHub(spec, None, url=entry.url, worker=worker)
        hub.enter(Phase.RUNNING)
        record = records.get(entry.name)
        hub.serving_since = record.started if record else time.monotonic()
        hub.served.set_result(None)
        self._supervisor.take_on([hub])
        self._supervisor.watch(hub)
        with contextlib.suppress(ProcessLookupError):
            os.kill(entry.name.pid, signal.SIGUSR2)
        logger.info("hub {} (id {}, process {}) adopted", spec.name, spec.id, entry.name.pid)

    def _adopt_dead(self, entry: Entry, spec: HubSpec) -> None:
        assert entry.name is not None
        if spec.restart is Restart.NEVER or entry.tokens.get("hubfarm.boot") != boot_id():
            return  # the next sweep takes what it left
        self._lockdir.clear_dead(entry.name, spec.label)
        hub = ManagedHub(spec.successor(), None, url=entry.url)
        hub.served.set_result(None)
        self._supervisor.take_on([hub])
        logger.info("hub {} (id {}) died while nobody watched: replaced", spec.name, spec.id)
