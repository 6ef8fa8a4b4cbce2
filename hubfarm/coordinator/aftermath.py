"""What becomes of a hub whose worker has ended: one decision, as a pure function.

A hub that had served for a second is replaced at once, however often that happens.  One
whose workers die within a second of serving is given time, longer each time, and given up
after five such deaths in a row.
"""

from dataclasses import dataclass
from enum import Enum, auto

from hubfarm.registry.hubspec import Restart

EARLY = 1.0
"""A worker that had served for less died early, seconds."""

MAX_EARLY_DEATHS = 5
FIRST_PAUSE = 0.25
"""Before the successor of a worker that died early, seconds; doubled with each death."""


class Next(Enum):
    """What to do about a hub."""

    FORGET = auto()
    """It has ended, and that is that."""
    REPLACE = auto()
    """Fork a successor, after a pause."""
    GIVE_UP = auto()
    """It has failed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a hub, and what it says of the hub's early deaths.

    Parameters
    ----------
    step : Next
        What to do.
    pause : float
        Before a successor is forked, seconds.
    early_deaths : int
        How many in a row there are now.
    """

    step: Next
    pause: float = 0.0
    early_deaths: int = 0


def after_end(
    policy: Restart, *, wanted: bool, in_order: bool, finished: bool, served: float, early_deaths: int
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
    served : float
        How long it had served, seconds; 0 if it never did.
    early_deaths : int
        How many in a row there were before.

    Examples
    --------
    >>> after_end(Restart.ON_FAILURE, wanted=True, in_order=False, finished=False, served=60, early_deaths=4)
    Decision(step=<Next.REPLACE: 2>, pause=0.0, early_deaths=0)
    """
    if not wanted or finished or policy is Restart.NEVER or (in_order and policy is Restart.ON_FAILURE):
        return Decision(Next.FORGET)
    if in_order or served >= EARLY:
        return Decision(Next.REPLACE)
    deaths = early_deaths + 1
    if deaths >= MAX_EARLY_DEATHS:
        return Decision(Next.GIVE_UP, early_deaths=deaths)
    return Decision(Next.REPLACE, FIRST_PAUSE * 2 ** (deaths - 1), deaths)
