"""A lock file as it was found, and what this host can say of the hub behind it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from hubfarm.registry.select import HubNames
from hubfarm.registry.statetable import HubName
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile

PREFIX = "samp-hub"
GUARD = "hubfarm.guard"
"""The token that says where the hub's guard lies: a path, quoted as in URLs."""
GUARD_FILE = "hubfarm.guard-file"
"""The token that says which file it is; see `hubfarm.registry.files.lasting_identity`."""
_NAME = re.compile(rf"{PREFIX}-([0-9]{{1,18}})-([0-9]{{1,18}})", re.ASCII)


class Standing(Enum):
    """What this host can say of the hub behind a lock file."""

    ALIVE = "alive"
    """Of this farm, and its guard is held."""
    DEAD = "dead"
    """Of this farm, and its guard is free, or it is of an earlier boot."""
    FOREIGN = "foreign"
    """No guard of this farm can tell: it is another program's, or of a farm with another directory."""
    ELSEWHERE = "elsewhere"
    """Of another host or container that shares this home: nothing that is seen from here tells of it."""


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
    dormant : bool
        Its hub sleeps, or did when its coordinator died.
    """

    path: Path
    name: HubName | None
    standing: Standing
    tokens: Mapping[str, str]
    problem: str = ""
    dormant: bool = False

    @property
    def url(self) -> str:
        """The hub's URL, empty if the lock file does not say."""
        return self.tokens.get(lockfile.URL, "")

    @property
    def label(self) -> str:
        """The hub's label, under whichever of its names."""
        return label_of(self.tokens)

    @property
    def owner(self) -> str:
        """The hub's owner, under whichever of its names."""
        return _first(self.tokens, "samp.hub.owner", "hub.owner.name")

    @property
    def group(self) -> str:
        """The hub's group, under whichever of its names."""
        return _first(self.tokens, "samp.hub.owner_group", "hub.owner.group")

    @property
    def names(self) -> HubNames:
        """What the hub may be called by; see `hubfarm.registry.select`."""
        return HubNames(self.label, self.owner, self.group, self.name, self.path, self.standing is Standing.FOREIGN)

    @property
    def guard(self) -> Path | None:
        """The guard of a hub of hubfarm, wherever its farm has it; None if the lock file does not say."""
        return guard_named_in(self.tokens)


def guard_named_in(tokens: Mapping[str, str]) -> Path | None:
    """Return the guard that a lock file names, None if it names none."""
    named = tokens.get(GUARD)
    return Path(os.fsdecode(unquote_to_bytes(named))) if named else None


def label_of(tokens: Mapping[str, str]) -> str:
    """Return the label that a lock file's content says, under whichever of its names; empty for none."""
    return _first(tokens, "samp.hub.label", "hub.label")


def _first(tokens: Mapping[str, str], *keys: str) -> str:
    return next((tokens[key] for key in keys if tokens.get(key)), "")


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


def check_url(url: str) -> None:
    """Refuse the URL of a lock file that names no host.

    Raises
    ------
    BadLockFile
        So it is, or it is no URL at all.
    """
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise BadLockFile(f"the URL in the lock file is none of a hub: {url[:200]!r}")
