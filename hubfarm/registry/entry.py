"""A lock file as it was found, and what this host can say of the hub behind it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hubfarm.registry.statetable import HubName
from hubfarm.samp import lockfile

PREFIX = "samp-hub"
_NAME = re.compile(rf"{PREFIX}-([0-9]{{1,18}})-([0-9]{{1,18}})", re.ASCII)


class Standing(Enum):
    """What this host can say of the hub behind a lock file."""

    ALIVE = "alive"
    """Ours, and its guard is held."""
    DEAD = "dead"
    """Ours, and its guard is free."""
    FOREIGN = "foreign"
    """Not ours: no guard can tell."""
    ELSEWHERE = "elsewhere"
    """Ours, of another host that shares this home."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One lock file, as found.

    Parameters
    ----------
    path : Path
        Where it lies.
    name : HubName or None
        The ``<PID>-<ID>`` in its name; None for the standard's one hub.
    standing : Standing
        What its guard says.
    tokens : dict of str to str
        Its content; empty if it cannot be read.
    problem : str
        Why it cannot be read, or is no whole lock file; empty if all is well.
    """

    path: Path
    name: HubName | None
    standing: Standing
    tokens: Mapping[str, str]
    problem: str = ""

    @property
    def url(self) -> str:
        """The hub's URL, empty if the lock file does not say."""
        return self.tokens.get(lockfile.URL, "")

    @property
    def label(self) -> str:
        """The hub's label, under whichever of its names."""
        return self._first("samp.hub.label", "hub.label")

    @property
    def owner(self) -> str:
        """The hub's owner, under whichever of its names."""
        return self._first("samp.hub.owner", "hub.owner.name")

    @property
    def group(self) -> str:
        """The hub's group, under whichever of its names."""
        return self._first("samp.hub.owner_group", "hub.owner.group")

    def _first(self, *keys: str) -> str:
        return next((self.tokens[key] for key in keys if self.tokens.get(key)), "")


def parse_name(filename: str) -> HubName | None:
    """Return the ``<PID>-<ID>`` of a lock file's name, or None if it has none.

    Examples
    --------
    >>> parse_name("samp-hub-4711-2")
    HubName(pid=4711, id=2)
    """
    found = _NAME.fullmatch(filename)
    return HubName(int(found[1]), int(found[2])) if found else None


def name_in(tokens: Mapping[str, str]) -> HubName | None:
    """Return the ``<PID>-<ID>`` that the farm's tokens tell, or None."""
    return parse_name(f"{PREFIX}-{tokens.get('hubfarm.pid')}-{tokens.get('hubfarm.id')}")
