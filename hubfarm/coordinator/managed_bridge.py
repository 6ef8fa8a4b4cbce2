"""A bridge as one kind of what the coordinator runs."""

import signal
import time
from typing import ClassVar

import msgspec
from loguru import logger

from hubfarm.coordinator.life import Clock
from hubfarm.coordinator.managed_process import ManagedProcess, Process, Started
from hubfarm.registry.bridges import Bridges, Wish
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase


class BridgePhase(msgspec.Struct, frozen=True):
    """What the coordinator tells of a bridge.

    Parameters
    ----------
    name : str
        Its name.
    phase : Phase
        Where it is in its life.
    pid : int or None
        Its process.
    """

    name: str
    phase: Phase
    pid: int | None


class ManagedBridge(ManagedProcess):
    """One bridge.

    Parameters
    ----------
    wish : Wish
        What it is to be.
    bridges : Bridges
        Where its files lie.
    level : str
        What it logs.
    clock : callable
        Tells the time.
    """

    start_timeout: ClassVar[float] = 30.0
    stop_timeout: ClassVar[float] = 5.0
    ends_for_good: ClassVar[bool] = False

    def __init__(self, wish: Wish, bridges: Bridges, level: str, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self.wish = wish
        self._bridges = bridges
        self._level = level

    @property
    def name(self) -> str:
        return f"bridge {self.wish.spec.name}"

    @property
    def restart(self) -> Restart:
        return Restart.ALWAYS

    def state(self) -> BridgePhase:
        return BridgePhase(self.wish.spec.name, self.life.phase, self.pid)

    def launch(self) -> Process:
        return Started("hubfarm.bridge", [self.wish.spec.name, "--log-level", self._level], self.name)

    def find(self) -> int | None:
        state = self._bridges.state(self.wish.spec.name)
        return state.pid if state is not None else None

    def ended_in_order(self, process: Process) -> bool:
        return process.exit_code == 0

    def reopen_log(self) -> None:
        """Let its process open its log anew."""
        if self.life.phase is Phase.RUNNING:
            self.signal(signal.SIGHUP)

    def give_up(self, reason: str) -> None:
        logger.error("{} has failed: {}; hubfarm logs bridge-{} says more", self.name, reason, self.wish.spec.name)

    async def forget(self) -> None:
        if self._bridges.find(self.wish.spec.name) == self.wish:
            self._bridges.drop(self.wish.spec.name)
        self._bridges.clear(self.wish.spec.name)
