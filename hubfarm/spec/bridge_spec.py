"""What a bridge is asked to be: which hubs it joins, under which name.  Pure."""

import re
from collections.abc import Sequence

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import is_short_name


class BridgeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a bridge is to be.

    Parameters
    ----------
    name : str
        Its name in the farm.
    hubs : tuple of str
        The hubs that it joins: labels, paths or URLs of lock files.
    export_urls : bool
        Serve the files that messages name to hubs on other hosts.
    origin : str
        Of the farm file that declares it; empty for none.

    Raises
    ------
    WrongUse
        It is no name, fewer than two hubs are named, or one twice.
    """

    name: str
    hubs: tuple[str, ...]
    export_urls: bool = True
    origin: str = ""

    def __post_init__(self) -> None:
        if not is_short_name(self.name):
            raise WrongUse(f"not usable as a bridge's name: {self.name!r} (1 to 60 letters, digits, _ and -)")
        if len(self.hubs) < 2 or len(set(self.hubs)) < len(self.hubs):
            raise WrongUse("a bridge joins two hubs or more, each named once")

    def joins_the_same(self, other: "BridgeSpec") -> bool:
        """Tell whether another one joins the same hubs."""
        return set(self.hubs) == set(other.hubs)


def name_for(labels: Sequence[str]) -> str:
    """Return what a bridge is called after its hubs.

    Examples
    --------
    >>> name_for(["mima-1", ""])
    'mima-1-hub'
    """
    kept = [re.sub("[^A-Za-z0-9_-]", "", label)[:20] or "hub" for label in labels]
    return "-".join(kept)[:50].strip("_-") or "bridge"
