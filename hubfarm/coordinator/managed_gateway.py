"""The gateway as one kind of what the coordinator runs: a process on the web's sockets, there while pages are.

The sockets are not its own: they outlive it, and somebody who comes meanwhile waits (`web_port.py`).  It ends by itself
when no page has been there for a while, and that is the end of it, until somebody comes again.
"""

import signal
import time
from collections.abc import Callable
from typing import ClassVar

import msgspec
from loguru import logger

from hubfarm.coordinator.life import Clock
from hubfarm.coordinator.managed_process import ManagedProcess, Process, Started
from hubfarm.coordinator.web_sockets import WebSockets
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.unix_socket import process_that_listens
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


class ManagedGateway(ManagedProcess):
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

    @property
    def name(self) -> str:
        return "the web gateway"

    def state(self) -> GatewayState:
        return GatewayState(self.life.phase, self.pid)

    def launch(self) -> Process:
        self._obtain()
        self.edition = self._sockets.edition
        arguments = [*self._sockets.as_arguments(), "--log-level", self._level]
        return Started("hubfarm.gateway", arguments, self.name, self._sockets.descriptors())

    def find(self) -> int | None:
        return process_that_listens(self._paths.web_socket) if guard_is_held(self._paths.web_guard) else None

    def take_over(self, process: Process) -> None:
        process.signal(signal.SIGUSR2)  # it hands its sockets over

    def ended_in_order(self, process: Process) -> bool:
        if process.exit_code is None:
            return not self._paths.web_socket.exists()  # which it removes last
        return process.exit_code == 0

    def heed_settings(self) -> None:
        """Let it open its log anew, and read the settings again."""
        if self.life.phase is Phase.RUNNING:
            self.signal(signal.SIGHUP)

    def give_up(self, reason: str) -> None:
        logger.error("{} has failed: {}; its log says more, it is tried again in a while", self.name, reason)
