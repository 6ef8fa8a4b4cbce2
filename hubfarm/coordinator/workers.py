"""A worker as the coordinator holds it: the contract, and one that this coordinator has forked.

One that an earlier coordinator has forked is another kind (`adopted_worker.py`).  Both are watched by file descriptors
that become readable when something is to be looked at, and both tell in the same words how they ended.
"""

import contextlib
import os
import signal
from abc import ABC, abstractmethod

from hubfarm.prefork.worker_reports import Report, hear
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName


class Worker(ABC):
    """One worker process."""

    pid: int

    @abstractmethod
    def descriptors(self) -> list[int]:
        """Return what becomes readable when the worker reports or ends."""

    @abstractmethod
    def reports(self) -> list[tuple[Report, str]]:
        """Return what it has reported since the last time; see `hubfarm.prefork.worker_reports`."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Tell whether its process is gone."""

    @abstractmethod
    def ended_in_order(self) -> bool:
        """Tell whether it ended by itself and left nothing behind, once it has ended."""

    @abstractmethod
    def fell_of_itself(self) -> bool:
        """Tell whether it crashed, once it has ended, and nobody killed it; False if that is not known."""

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

    It has ended when its reports have.  The last one says how, unless its forkserver has died before it:
    then its guard tells, as it does of an adopted one.

    Parameters
    ----------
    name : HubName
        Its hub.
    lockdir : LockDir
        Knows where its guard lies.
    report : int
        The pipe on which it reports.
    """

    def __init__(self, name: HubName, lockdir: LockDir, report: int) -> None:
        self.pid = name.pid
        self._guard = lockdir.guard_path(name)
        self._report = report
        self._heard: list[tuple[Report, str]] = []
        self._ended = False
        self._exit_code: int | None = None

    def descriptors(self) -> list[int]:
        return [self._report]

    def _hear(self) -> None:
        if not self._ended:
            heard, self._ended = hear(self._report)
            self._heard += heard
            for what, detail in heard:
                if what is Report.ENDED:
                    self._exit_code = int(detail)

    def reports(self) -> list[tuple[Report, str]]:
        self._hear()
        heard, self._heard = self._heard, []
        return heard

    def has_ended(self) -> bool:
        self._hear()
        return self._ended

    def ended_in_order(self) -> bool:
        return not self._guard.exists() if self._exit_code is None else self._exit_code == 0

    def fell_of_itself(self) -> bool:
        return self._exit_code not in (None, 0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGQUIT)

    def how_it_ended(self) -> str:
        code = self._exit_code
        if code is None:
            return "its process died"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        os.close(self._report)
