"""What the coordinator runs, as a contract: a hub is one kind of it; a gateway, a bridge, a program are others.

The supervisor's loop knows this and no kind.  It decides *when* something is started, told to end, killed, replaced,
given up.  A kind knows *how*: what its process is, how that tells that it serves or has ended, what it leaves behind.

The contract: `Supervised.start`, `stop` and `kill` only begin something, and return at once; what came of it is learnt
by `poll`, which is called when one of `descriptors` is readable, and now and then.  `adopt` takes a living process over
from an earlier coordinator.  `state` tells others, and keeps secrets.  The loop calls one method of one thing at a
time, so that a kind needs no locks; the futures alone are waited for from elsewhere.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from hubfarm.coordinator.aftermath import Deaths
from hubfarm.coordinator.life import Clock, Life
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase


@dataclass(frozen=True, slots=True)
class Serves:
    """The process has come to serve."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The process has ended.

    Parameters
    ----------
    reason : str
        Why, for people.
    in_order : bool
        By itself, and it left nothing behind but what a successor needs.
    finished : bool
        So that nothing is to come after it, whatever the policy.
    fell : bool
        It hung, or crashed without being killed.
    served : float
        How long it had served, seconds; 0 if it never did.
    asleep : bool
        It was told to sleep, and does.
    refused : bool
        It could not serve, and has said why, or there was no process: nothing is wrong with what it knows.
    """

    reason: str
    in_order: bool = False
    finished: bool = False
    fell: bool = False
    served: float = 0.0
    asleep: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class StaysAwake:
    """The process was told to sleep, and does not.

    Parameters
    ----------
    reason : str
        Why, for people.
    """

    reason: str


News = Serves | Ended | StaysAwake


class Supervised(ABC):
    """One thing that is to run: what the supervisor knows of it, and what it can ask of it.

    Parameters
    ----------
    clock : callable
        Tells the time.
    """

    start_timeout: ClassVar[float]
    """How long its process may take until it serves, seconds; then it is killed."""
    stop_timeout: ClassVar[float]
    """How long its process may take to end in order, seconds; then it is killed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.life = Life(clock)
        self.wanted = True
        """Nobody has asked for its end."""
        self.replacing = False
        """Its process is to end so that a successor can start."""
        self.begins_asleep = False
        """It is to sleep at first, and has no process until somebody comes."""
        self.sleepy = False
        """It is to sleep, if nobody uses it."""
        self.called = False
        """It is to wake."""
        self.waking = False
        """It was woken, and does not serve yet: if it cannot it sleeps on, and is tried again."""
        self.slept: asyncio.Future[None] | None = None
        """Done when it sleeps, an exception if it does not; None if nobody waits for that."""
        self.not_before = 0.0
        """When its process may be started, by the clock; of what sleeps, when it may be woken."""
        self.deaths = Deaths()
        self.renew_promise()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is over."""

    def renew_promise(self) -> None:
        """Have those who wait for `served` from now on wait for its next process."""
        self.served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it serves; an exception if it cannot: as long as somebody waits for that, it is not tried again."""

    def is_settled(self) -> bool:
        """Tell whether nothing is to be done until its process or a request says so."""
        if self.life.phase is Phase.DORMANT:
            return True
        return (
            self.life.phase is Phase.RUNNING
            and self.wanted
            and not (self.replacing or self.sleepy)
            and bool(self.descriptors())
        )

    # ------------------------------------------------------------------ what each kind says

    @property
    @abstractmethod
    def name(self) -> str:
        """What logs and errors call it, its kind first: ``hub mima-1``."""

    @property
    @abstractmethod
    def restart(self) -> Restart:
        """When it is started again."""

    @abstractmethod
    def state(self) -> msgspec.Struct:
        """Return what the coordinator tells of it when asked; no secrets."""

    # ------------------------------------------------------------------ its process

    @abstractmethod
    async def start(self) -> None:
        """Start its process; it need not serve yet.

        Raises
        ------
        HubfarmError
            There is no process.
        """

    @abstractmethod
    def adopt(self) -> bool:
        """Take over its process, which an earlier coordinator has left; tell whether that lives.

        It serves, as far as is known, and is polled like one that was started.
        """

    @abstractmethod
    def descriptors(self) -> Collection[int]:
        """Return what becomes readable when its process has something to tell; empty if only `poll` finds out."""

    @abstractmethod
    async def poll(self) -> Sequence[News]:
        """Return what has become of its process since the last time; `Ended` comes last, once.

        By then what the process held is written down and freed, but for what its successor needs.
        """

    @abstractmethod
    def stop(self, *, successor: bool) -> None:
        """Tell its process to end in order; for a successor that goes on, or for good."""

    @abstractmethod
    def kill(self, reason: str) -> None:
        """End its process at once.  `reason` is why it ended, as far as it gives no other itself."""

    # ------------------------------------------------------------------ after its process

    @abstractmethod
    def succeed(self, *, fell: bool, last_try: bool) -> None:
        """Get ready for another `start`.

        Parameters
        ----------
        fell : bool
            As `Ended` said.
        last_try : bool
            None has come to serve of late: whatever they have in common is best left out.
        """

    @abstractmethod
    def give_up(self, reason: str) -> None:
        """Write down that it has failed; `forget` comes next."""

    @abstractmethod
    async def forget(self) -> None:
        """Free and remove all there is of it: it is over."""

    # ------------------------------------------------------------------ sleep, for kinds that can

    doze_timeout: ClassVar[float] = 5.0
    """How long its process may take to sleep, seconds; then it is taken for awake."""

    def doze(self) -> None:
        """Tell its process to sleep; it may find that it is in use."""
        raise NotImplementedError

    async def lie_down(self) -> None:
        """Let it be found while it has no process.

        Raises
        ------
        HubfarmError
            That cannot be: it is to have a process, or none of it is to be left.
        """
        raise NotImplementedError

    def bells(self) -> Collection[int]:
        """Return what becomes readable when somebody comes while it sleeps."""
        raise NotImplementedError

    async def turn_away(self) -> None:
        """Answer those who come that it cannot be served just now."""
        raise NotImplementedError

    def welcome(self) -> None:
        """Let those who come wait again."""
        raise NotImplementedError
