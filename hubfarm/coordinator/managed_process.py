"""What is the same for all that the coordinator runs as a program of its own: a process that tells when it serves.

A hub's worker is none of these: it is forked, and held by its guard and its slot.  What is started here gets one pipe
to tell by (``--report``), and its end is known in one way, which counts for processes of an earlier coordinator too.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar

from loguru import logger

from hubfarm.coordinator.life import Clock
from hubfarm.coordinator.supervised import Ended, News, Serves, Supervised
from hubfarm.prefork.worker_reports import Report, hear
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.options import Restart


class ManagedProcess(Supervised):
    """Something that is one program, started anew when it fails.

    Parameters
    ----------
    clock : callable
        Tells the time.
    """

    ends_for_good: ClassVar[bool] = True
    """One that ends in order has nothing more to do, and none is to come after it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._process: Process | None = None
        self._serving_since = 0.0
        self._killed_because = ""

    # ------------------------------------------------------------------ what each kind says

    @property
    def restart(self) -> Restart:
        return Restart.ON_FAILURE

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid if self._process is not None else None

    @abstractmethod
    def launch(self) -> "Process":
        """Start a process; see `Supervised.start`."""

    @abstractmethod
    def find(self) -> int | None:
        """Return the process that an earlier coordinator has left; None if none lives."""

    def take_over(self, process: "Process") -> None:
        """Do what is to be done for a process that is adopted.

        Raises
        ------
        OSError
            It has ended.
        """

    @abstractmethod
    def ended_in_order(self, process: "Process") -> bool:
        """Tell whether a process that has ended did so by itself, and in order."""

    # ------------------------------------------------------------------ its process

    async def start(self) -> None:
        self._killed_because = ""
        self._process = self.launch()
        self._serving_since = 0.0
        logger.info("{} is started as process {}", self.name, self._process.pid)

    def adopt(self) -> bool:
        pid = self.find()
        if pid is None:
            return False
        try:
            process = Process(pid)
            self.take_over(process)
        except OSError:
            return False
        self._process = process
        self._serving_since = self.clock()
        logger.info("{} (process {}) adopted", self.name, pid)
        return True

    def descriptors(self) -> Collection[int]:
        return self._process.descriptors() if self._process is not None else ()

    async def poll(self) -> Sequence[News]:
        process = self._process
        assert process is not None
        ended = process.has_ended()
        news: list[News] = []
        failure = ""
        for what, detail in process.reports():
            if what is Report.RUNNING:
                self._serving_since = self.clock()
                news.append(Serves())
            else:
                failure = detail
        if ended:
            news.append(self._bury(process, failure))
        return news

    def _bury(self, process: "Process", failure: str) -> Ended:
        served = self.clock() - self._serving_since if self._serving_since else 0.0
        in_order = self.ended_in_order(process)
        reason = self._killed_because or failure or process.how_it_ended()
        if not in_order:
            logger.warning("{} (process {}) has ended: {}", self.name, process.pid, reason)
        self._process = None
        process.close()
        finished = in_order and self.ends_for_good and not self.replacing
        return Ended(reason, in_order=in_order, finished=finished, served=served)

    def stop(self, *, successor: bool) -> None:
        self.signal(signal.SIGTERM)

    def kill(self, reason: str) -> None:
        self._killed_because = reason
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal, if it lives."""
        if self._process is not None and not self._process.has_ended():
            with contextlib.suppress(OSError):
                self._process.signal(number)

    # ------------------------------------------------------------------ after its process

    def succeed(self, *, fell: bool, last_try: bool) -> None:
        logger.info("{} is replaced", self.name)

    async def forget(self) -> None:
        pass


class Process:
    """A process, also one that an earlier coordinator has started.

    Raises
    ------
    OSError
        It has ended.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # Readable when the process ends; Linux alone has it, elsewhere the tick finds out.
        self._handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1

    def descriptors(self) -> list[int]:
        """Return what becomes readable when it has something to tell."""
        return [self._handle] if self._handle >= 0 else []

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._handle >= 0:
            signal.pidfd_send_signal(self._handle, number)
        else:
            os.kill(self.pid, number)

    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def reports(self) -> list[tuple[Report, str]]:
        """Return what it has told since the last time."""
        return []

    @property
    def exit_code(self) -> int | None:
        """By which it has ended, below zero by that signal; None if nobody can know."""
        return None

    def how_it_ended(self) -> str:
        """Say how it has ended, for people."""
        code = self.exit_code
        if code is None:
            return "its process died"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """Free what is held of it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Started(Process):
    """One that this coordinator has started.

    Parameters
    ----------
    module : str
        What Python runs.
    arguments : sequence of str
        With which; ``--report`` and a descriptor are added.
    what : str
        What errors call it.
    descriptors : sequence of int
        What it inherits.

    Raises
    ------
    HubfarmError
        It cannot be started.
    """

    def __init__(self, module: str, arguments: Sequence[str], what: str, descriptors: Sequence[int] = ()) -> None:
        report, theirs = os.pipe()
        os.set_blocking(report, False)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, "--report", str(theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=[*descriptors, theirs],
                cwd="/",
            )
        except OSError as error:
            os.close(report)
            raise HubfarmError(f"cannot start {what}: {error.strerror}") from None
        finally:
            os.close(theirs)
        self._report = report
        super().__init__(self._child.pid)

    def descriptors(self) -> list[int]:
        return [*super().descriptors(), *([self._report] if self._report >= 0 else [])]

    def has_ended(self) -> bool:
        return self._child.poll() is not None

    def reports(self) -> list[tuple[Report, str]]:
        if self._report < 0:
            return []
        heard, over = hear(self._report)
        if over:
            os.close(self._report)
            self._report = -1
        return heard

    @property
    def exit_code(self) -> int | None:
        return self._child.returncode

    def close(self) -> None:
        super().close()
        if self._report >= 0:
            os.close(self._report)
            self._report = -1
