"""The gateway as one kind of what the coordinator runs: a process on the web's sockets, there while pages are.

The sockets are not its own: they outlive it, and somebody who comes meanwhile waits (`web_port.py`).  It ends by itself
when no page has been there for a while, and that is the end of it, until somebody comes again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

import msgspec
from loguru import logger

from hubfarm.coordinator.life import Clock
from hubfarm.coordinator.supervised import Ended, News, Serves, Supervised
from hubfarm.coordinator.web_sockets import WebSockets
from hubfarm.prefork.worker_reports import Report, hear
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.unix_socket import process_that_listens
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase


class GatewayState(msgspec.Struct, frozen=True):
    """What the coordinator tells of the gateway.

    Parameters
    ----------
    phase : Phase
        Where it is in its life.
    pid : int or None
        Its process.
    """

    phase: Phase
    pid: int | None


class ManagedGateway(Supervised):
    """The one gateway of a farm.

    Parameters
    ----------
    sockets : WebSockets
        What it is to listen on.
    obtain : callable
        Sees to it that there are sockets; raises `HubfarmError` if none are to be had.
    paths : Paths
        Where the farm's files lie.
    level : str
        What it logs.
    clock : callable
        Tells the time.
    """

    start_timeout: ClassVar[float] = 30.0
    stop_timeout: ClassVar[float] = 5.0

    def __init__(
        self,
        sockets: WebSockets,
        obtain: Callable[[], None],
        paths: Paths,
        level: str,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._sockets = sockets
        self._obtain = obtain
        self._paths = paths
        self._level = level
        self.edition = 0
        """Of the sockets that its process has."""
        self._process: _Process | None = None
        self._serving_since = 0.0
        self._killed_because = ""

    @property
    def name(self) -> str:
        return "the web gateway"

    @property
    def restart(self) -> Restart:
        return Restart.ON_FAILURE

    def state(self) -> GatewayState:
        return GatewayState(self.life.phase, self._process.pid if self._process else None)

    # ------------------------------------------------------------------ its process

    async def start(self) -> None:
        self._killed_because = ""
        self._obtain()
        self.edition = self._sockets.edition
        self._process = _Started(self._sockets.as_arguments(), self._sockets.descriptors(), self._level)
        self._serving_since = 0.0
        logger.info("{} is started as process {}", self.name, self._process.pid)

    def adopt(self) -> bool:
        pid = process_that_listens(self._paths.web_socket) if guard_is_held(self._paths.web_guard) else None
        if pid is None:
            return False
        try:
            self._process = _Process(pid)
            self._process.signal(signal.SIGUSR2)  # it hands its sockets over
        except OSError:
            return False
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

    def _bury(self, process: "_Process", failure: str) -> Ended:
        served = self.clock() - self._serving_since if self._serving_since else 0.0
        in_order = process.ended_in_order(self._paths)
        reason = self._killed_because or failure or process.how_it_ended()
        if not in_order:
            logger.warning("{} (process {}) has ended: {}", self.name, process.pid, reason)
        self._process = None
        process.close()
        return Ended(reason, in_order=in_order, finished=in_order and not self.replacing, served=served)

    def stop(self, *, successor: bool) -> None:
        self._signal(signal.SIGTERM)

    def kill(self, reason: str) -> None:
        self._killed_because = reason
        self._signal(signal.SIGKILL)

    def heed_settings(self) -> None:
        """Let it open its log anew, and read the settings again."""
        if self.life.phase is Phase.RUNNING:
            self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and not self._process.has_ended():
            with contextlib.suppress(OSError):
                self._process.signal(number)

    # ------------------------------------------------------------------ after its process

    def succeed(self, *, fell: bool, last_try: bool) -> None:
        logger.info("{} is replaced", self.name)

    def give_up(self, reason: str) -> None:
        logger.error("{} has failed: {}; its log says more, it is tried again in a while", self.name, reason)

    async def forget(self) -> None:
        pass


class _Process:
    """A gateway's process, also one that an earlier coordinator has started.

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
        return [self._handle] if self._handle >= 0 else []

    def signal(self, number: signal.Signals) -> None:
        if self._handle >= 0:
            signal.pidfd_send_signal(self._handle, number)
        else:
            os.kill(self.pid, number)

    def has_ended(self) -> bool:
        import psutil

        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def reports(self) -> list[tuple[Report, str]]:
        return []

    def ended_in_order(self, paths: Paths) -> bool:
        return not paths.web_socket.exists()  # which it removes last

    def how_it_ended(self) -> str:
        return "its process died"

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class _Started(_Process):
    """One that this coordinator has started."""

    def __init__(self, arguments: Sequence[str], descriptors: Sequence[int], level: str) -> None:
        report, theirs = os.pipe()
        os.set_blocking(report, False)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "hubfarm.gateway", *arguments, "--report", str(theirs), "--log-level", level],
                stdin=subprocess.DEVNULL,
                pass_fds=[*descriptors, theirs],
                cwd="/",
            )
        except OSError as error:
            os.close(report)
            raise HubfarmError(f"cannot start the web gateway: {error.strerror}") from None
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

    def ended_in_order(self, paths: Paths) -> bool:
        return self._child.returncode == 0

    def how_it_ended(self) -> str:
        code = self._child.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        super().close()
        if self._report >= 0:
            os.close(self._report)
            self._report = -1
