"""A worker as the coordinator holds it: one it has forked, or one it has adopted.

Both are watched by file descriptors that become readable when something is to be looked at,
and both tell in the same words how they ended.
"""

import contextlib
import os
import signal
from abc import ABC, abstractmethod
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

import psutil

from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName


class Worker(ABC):
    """One worker process."""

    pid: int

    @abstractmethod
    def descriptors(self) -> list[int]:
        """Return what becomes readable when the worker reports or ends."""

    @abstractmethod
    def reports(self) -> list[tuple[str, object]]:
        """Return what it has reported since the last time; see `hubfarm.worker.entry.serve`."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Tell whether its process is gone."""

    @abstractmethod
    def ended_in_order(self) -> bool:
        """Tell whether it ended by itself and left nothing behind, once it has ended."""

    @abstractmethod
    def how_it_ended(self) -> str:
        """Say it for people, once it has."""

    @abstractmethod
    def close(self) -> None:
        """Free what the coordinator holds of it, once it has ended."""

    def signal(self, number: int) -> None:
        """Send it a signal, if it still lives."""
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkedWorker(Worker):
    """A worker that this coordinator has forked.

    Parameters
    ----------
    process : ForkServerProcess
        Its process.
    report : Connection
        What it reports.
    """

    def __init__(self, process: ForkServerProcess, report: "Connection[None, tuple[str, object]]") -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process
        self._report = report

    def descriptors(self) -> list[int]:
        return [self._process.sentinel, self._report.fileno()]

    def reports(self) -> list[tuple[str, object]]:
        found = []
        with contextlib.suppress(EOFError, OSError):
            while self._report.poll():
                found.append(self._report.recv())
        return found

    def has_ended(self) -> bool:
        return self._process.exitcode is not None

    def ended_in_order(self) -> bool:
        return self._process.exitcode == 0

    def how_it_ended(self) -> str:
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def close(self) -> None:
        self._report.close()
        self._process.join()
        self._process.close()


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
    psutil.NoSuchProcess
        It has died meanwhile.
    """

    def __init__(self, name: HubName, lockdir: LockDir) -> None:
        self.pid = name.pid
        self._guard = lockdir.guard_path(name)
        self._process = psutil.Process(name.pid)
        # Readable when the process ends; Linux alone has it, elsewhere the tick finds out.
        self._descriptor = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._descriptor = os.pidfd_open(name.pid)

    def descriptors(self) -> list[int]:
        return [self._descriptor] if self._descriptor >= 0 else []

    def reports(self) -> list[tuple[str, object]]:
        return []

    def has_ended(self) -> bool:
        try:
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def ended_in_order(self) -> bool:
        return not self._guard.exists()

    def how_it_ended(self) -> str:
        return "its process died"

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
