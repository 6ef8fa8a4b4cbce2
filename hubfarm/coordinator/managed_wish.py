"""What a farm wants besides hubs, a bridge say, as one kind of what the coordinator runs."""

import signal
import time
from typing import Any, ClassVar, NamedTuple

import msgspec
from loguru import logger

from hubfarm.coordinator.life import Clock
from hubfarm.coordinator.managed_process import ManagedProcess, Process, Started
from hubfarm.registry.wished import Wish, Wished
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase


class Sort(NamedTuple):
    """What the coordinator has to know of all bridges, or of all of another sort.

    Parameters
    ----------
    word : str
        What each is called in logs, before its name.
    module : str
        What Python runs for it.
    wished : Wished
        Where its files lie.
    """

    word: str
    module: str
    wished: Wished[Any, Any]


class WishPhase(msgspec.Struct, frozen=True):
    """What the coordinator tells of one.

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


class ManagedWish(ManagedProcess):
    """One of them.

    Parameters
    ----------
    wish : Wish
        What it is to be.
    sort : Sort
        What it is.
    level : str
        What it logs.
    clock : callable
        Tells the time.
    """

    start_timeout: ClassVar[float] = 30.0
    stop_timeout: ClassVar[float] = 5.0
    ends_for_good: ClassVar[bool] = False

    def __init__(self, wish: Wish[Any], sort: Sort, level: str, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self.wish = wish
        self._sort = sort
        self._level = level

    @property
    def name(self) -> str:
        return f"{self._sort.word} {self.wish.spec.name}"

    @property
    def restart(self) -> Restart:
        return Restart.ALWAYS

    def state(self) -> WishPhase:
        return WishPhase(self.wish.spec.name, self.life.phase, self.pid)

    def launch(self) -> Process:
        return Started(self._sort.module, [self.wish.spec.name, "--log-level", self._level], self.name)

    def find(self) -> int | None:
        state = self._sort.wished.state(self.wish.spec.name)
        return state.pid if state is not None else None

    def ended_in_order(self, process: Process) -> bool:
        return process.exit_code == 0

    def reopen_log(self) -> None:
        """Let its process open its log anew."""
        if self.life.phase is Phase.RUNNING:
            self.signal(signal.SIGHUP)

    def give_up(self, reason: str) -> None:
        log = f"{self._sort.word}-{self.wish.spec.name}"
        logger.error("{} has failed: {}; hubfarm logs {} says more", self.name, reason, log)
        self._sort.wished.give_up(self.wish, reason)

    async def forget(self) -> None:
        wished = self._sort.wished
        if wished.find(self.wish.spec.name) == self.wish:
            wished.drop(self.wish.spec.name)
        wished.clear(self.wish.spec.name)
