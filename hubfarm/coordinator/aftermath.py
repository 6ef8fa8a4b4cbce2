"""What becomes of a hub whose worker has ended: one decision, as a pure function.

A hub whose worker is killed is replaced at once.  One whose workers die within a second of serving is given
time, longer each time, and given up after a few.  So is one whose workers fall of themselves (hang or
crash) again and again: what brings them down may come from its journal, or from a client that comes back.
Deaths of any kind count until a worker has been healthy for an hour.
"""

from dataclasses import dataclass
from enum import Enum, auto

from hubfarm.spec.options import Restart

EARLY = 1.0
"""A worker that had served for less died early, seconds."""

HEALTHY = 3600.0
"""A worker that has served for this long, seconds, makes a fresh start: what was before does not count any more."""

MAX_EARLY_DEATHS = 5
"""How many early deaths in a row it takes until the hub is given up."""

MAX_FALLS = 10
"""How many workers have to fall of themselves, without an hour of health between them, until the hub is given up."""

MAX_DEATHS = 100
"""Likewise for deaths of any kind: something on this host kills it again and again."""

FREE_FALLS = 2
FREE_DEATHS = 20
"""How many falls, and deaths, it takes until a pause comes before the successor; the pause doubles each time."""

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 60.0
"""Before the successor, seconds."""


class Next(Enum):
    """What to do about a hub."""

    FORGET = auto()
    """It has ended, and that is that."""
    REPLACE = auto()
    """Fork a successor, after a pause."""
    GIVE_UP = auto()
    """It has failed."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """How a hub's workers have died, without an hour of health between them.

    Parameters
    ----------
    early : int
        How many of the last died within a second of serving.
    falls : int
        How many fell of themselves.
    all : int
        How many died altogether.
    """

    early: int = 0
    falls: int = 0
    all: int = 0

    def with_one_more(self, *, served: float, fell: bool) -> "Deaths":
        """Count one more."""
        before = Deaths() if served >= HEALTHY else self
        return Deaths(before.early + 1 if served < EARLY else 0, before.falls + fell, before.all + 1)

    @property
    def too_many(self) -> str:
        """Why the hub is to be given up; empty if it is not."""
        if self.early >= MAX_EARLY_DEATHS:
            return f"died early {self.early} times in a row"
        if self.falls >= MAX_FALLS:
            return f"fell of itself {self.falls} times without an hour of health between"
        if self.all >= MAX_DEATHS:
            return f"died {self.all} times without an hour of health between"
        return ""

    @property
    def pause(self) -> float:
        """How long to wait before the successor, seconds."""
        return max(
            _doubled(self.early),
            _doubled(self.falls - FREE_FALLS),
            _doubled(self.all - FREE_DEATHS),
        )


def _doubled(times: int) -> float:
    return min(FIRST_PAUSE * 2 ** min(times - 1, 32), LONGEST_PAUSE) if times > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a hub, and what it says of the hub's deaths.

    Parameters
    ----------
    step : Next
        What to do.
    pause : float
        Before a successor is forked, seconds.
    deaths : Deaths
        Those that count now.
    """

    step: Next
    pause: float = 0.0
    deaths: Deaths = Deaths()


def after_end(
    policy: Restart, *, wanted: bool, in_order: bool, finished: bool, fell: bool, served: float, deaths: Deaths
) -> Decision:
    """Decide what becomes of a hub whose worker has ended.

    Parameters
    ----------
    policy : Restart
        The hub's.
    wanted : bool
        Nobody has asked hubfarm to stop it.
    in_order : bool
        The worker ended by itself, and left nothing behind.
    finished : bool
        It did so because it had nothing more to do: unused for too long, or drained.
    fell : bool
        It hung, or crashed without being killed.
    served : float
        How long it had served, seconds; 0 if it never did.
    deaths : Deaths
        Those before.

    Examples
    --------
    >>> decision = after_end(
    ...     Restart.ON_FAILURE, wanted=True, in_order=False, finished=False, fell=True, served=60, deaths=Deaths()
    ... )
    >>> decision.step, decision.deaths
    (<Next.REPLACE: 2>, Deaths(early=0, falls=1, all=1))
    """
    if not wanted or finished or policy is Restart.NEVER or (in_order and policy is Restart.ON_FAILURE):
        return Decision(Next.FORGET)
    if in_order:
        return Decision(Next.REPLACE, deaths=deaths)
    now = deaths.with_one_more(served=served, fell=fell)
    return Decision(Next.GIVE_UP if now.too_many else Next.REPLACE, now.pause, now)
