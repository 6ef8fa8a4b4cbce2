"""A worker that an earlier coordinator has forked, as this one holds it: no pipe tells of it, its process does."""

import contextlib
import os

import psutil

from hubfarm.coordinator.workers import Worker
from hubfarm.prefork.worker_reports import Report
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName


class AdoptedWorker(Worker):
    """A worker that an earlier coordinator has forked, alive by its guard when it is adopted.

    From then on its process tells whether it lives: its guard's file may be removed by others.

    Parameters
    ----------
    name : HubName
        Its hub.
    lockdir : LockDir
        Knows where its guard lies.

    Raises
    ------
    ProcessLookupError
        It has died meanwhile.
    """

    def __init__(self, name: HubName, lockdir: LockDir) -> None:
        self.pid = name.pid
        self._guard = lockdir.guard_path(name)
        try:
            self._process = psutil.Process(name.pid)
        except psutil.NoSuchProcess:
            raise ProcessLookupError(f"process {name.pid} has ended") from None
        # Readable when the process ends; Linux alone has it, elsewhere the tick finds out.
        self._descriptor = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._descriptor = os.pidfd_open(name.pid)

    def descriptors(self) -> list[int]:
        return [self._descriptor] if self._descriptor >= 0 else []

    def reports(self) -> list[tuple[Report, str]]:
        return []

    def has_ended(self) -> bool:
        try:
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def ended_in_order(self) -> bool:
        return not self._guard.exists()

    def fell_of_itself(self) -> bool:
        return False

    def how_it_ended(self) -> str:
        return "its process died"

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
