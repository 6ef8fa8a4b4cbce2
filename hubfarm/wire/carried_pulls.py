"""What a gateway tells a hub of the answers to pulls that it carries on to web pages: which have arrived.

Each pull has a name, of which its hub understands nothing.  With a pull goes which earlier ones of the same page are
still being carried: what was handed out for any other, and is not said to have arrived, is lost, and handed out again.
So a gateway that has died need not be noticed: its successor carries nothing yet.
"""

from collections.abc import Iterable
from typing import NamedTuple

PULL = "X-Hubfarm-Pull"
ARRIVED = "X-Hubfarm-Arrived"

MOST_NAMED = 100
"""Names in a list; older ones are left out."""


class CarriedPull(NamedTuple):
    """One pull, as its carrier calls it.

    Parameters
    ----------
    name : str
        Its name.
    carried : frozenset of str
        Those of the same client whose answers are still being carried, or are just now said to have arrived.

    Examples
    --------
    >>> CarriedPull("a.2", frozenset({"a.1"})).as_field()
    'a.2 a.1'
    """

    name: str
    carried: frozenset[str] = frozenset()

    def as_field(self) -> str:
        """Return it as it stands in a header."""
        return f"{self.name} {as_list(sorted(self.carried))}".rstrip()


def as_list(names: Iterable[str]) -> str:
    """Return names as they stand in a header."""
    return ",".join(list(names)[-MOST_NAMED:])


def names_in(text: bytes) -> list[str]:
    """Return the names that a list holds.

    Examples
    --------
    >>> names_in(b"a.1,a.2"), names_in(b"")
    (['a.1', 'a.2'], [])
    """
    return [name for name in text.decode("latin-1").strip().split(",") if name]


def pull_in(field: bytes) -> CarriedPull | None:
    """Return what a header says of the pull that it stands in; None if it says nothing.

    Examples
    --------
    >>> pull_in(b"a.3 a.1") == CarriedPull("a.3", frozenset({"a.1"})), pull_in(b"")
    (True, None)
    """
    name, _, carried = field.strip().partition(b" ")
    return CarriedPull(name.decode("latin-1"), frozenset(names_in(carried))) if name else None
