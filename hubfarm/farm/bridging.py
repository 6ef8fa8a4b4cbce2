"""Bridges, asked for and looked at: what joins hubs of the farm with each other, and with others'."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from hubfarm.registry.bridges import Bridges, BridgeState
from hubfarm.registry.entry import label_of
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import NoSuchHub, SeveralHubs
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.bridge_spec import BridgeSpec, name_for
from hubfarm.spec.farm_file import Change
from hubfarm.spec.states import HubKind

JOINED_IN = 20.0
"""How long a bridge may take until it is on all of its hubs, seconds."""

ENDED_IN = 10.0
"""How long a bridge may take to end, seconds."""

_LOOK = 0.05


@dataclass(frozen=True, slots=True)
class BridgeInfo:
    """One bridge.

    Parameters
    ----------
    spec : BridgeSpec
        What it is to be.
    state : BridgeState or None
        What its process tells of itself; None if there is none just now.
    failure : str
        Why it was given up; empty if it was not.
    """

    spec: BridgeSpec
    state: BridgeState | None
    failure: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    @property
    def is_whole(self) -> bool:
        """Whether it is on all of its hubs."""
        return self.state is not None and all(end.joined for end in self.state.ends)

    @property
    def trouble(self) -> str:
        """What keeps it from a hub, for people; empty if nothing does."""
        if self.failure:
            return f"it was given up: {self.failure}; hubfarm logs bridge-{self.name} says more"
        if self.state is None:
            return f"its process does not run; hubfarm logs bridge-{self.name} says more"
        return "; ".join(f"{end.label}: {end.trouble}" for end in self.state.ends if not end.joined)


class FarmBridges:
    """The bridges of a farm.

    Parameters
    ----------
    paths : Paths
        Where its files lie.
    hub_named : callable
        Returns the hub that a selector names; see `hubfarm.farm.Farm.find`.
    ensure_coordinator : callable
        Sees to it that a coordinator runs.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> Farm().bridges.all()
    []
    """

    def __init__(
        self, paths: Paths, hub_named: Callable[[str], HubInfo], ensure_coordinator: Callable[[], None]
    ) -> None:
        self._paths = paths
        self._bridges = Bridges(paths)
        self._hub_named = hub_named
        self._ensure_coordinator = ensure_coordinator

    def join(self, hubs: Sequence[str], *, name: str = "", export_urls: bool = True) -> BridgeInfo:
        """Join hubs by a bridge, and return it once it is on all of them.

        Parameters
        ----------
        hubs : sequence of str
            Selectors, or lock files by their path or URL; two at least.
        name : str
            What the bridge is called; by default after its hubs.
        export_urls : bool
            Serve the files that messages name to hubs on other hosts.

        Raises
        ------
        WrongUse
            Fewer than two hubs are named, one twice, or none by a selector; or the name is in use.
        HubfarmError
            A hub does not let the bridge in, or does not answer; then there is no bridge.
        """
        found = [self._meant(hub) for hub in hubs]
        present = {info.name: info.spec for info in self.all() if not info.failure}
        free = name or next(each for each in _numbered(name_for([label for _, label in found])) if each not in present)
        spec = BridgeSpec(name=free, hubs=tuple(hub for hub, _ in found), export_urls=export_urls)
        for one in present.values():
            if one.joins_the_same(spec):
                raise WrongUse(f"the bridge {one.name} joins these hubs already: hubfarm unbridge {one.name} ends it")
        if free in present:
            raise WrongUse(f"there is a bridge {free} already: choose another name, or hubfarm unbridge {free}")
        self._paths.prepare()
        self._ensure_coordinator()
        self._bridges.want(spec)
        if trouble := self._trouble_in_joining(free):
            self.end([free])
            raise HubfarmError(f"the bridge {free} is not on all hubs after {JOINED_IN:g} s: {trouble}")
        return self.find(free)

    def match(self, declared: Sequence[BridgeSpec], changes: Sequence[Change]) -> None:
        """Make the bridges match a farm file; wait a while until new ones are on their hubs.

        Parameters
        ----------
        declared : sequence of BridgeSpec
            What the file declares.
        changes : sequence of Change
            What is to be done; see `hubfarm.spec.farm_file.difference_of_bridges`.

        Raises
        ------
        HubfarmError
            The disk is full, or a bridge does not end.
        """
        self._bridges.match(declared, changes)
        coming = [spec.name for spec in declared if self._bridges.state(spec.name) is None]
        if coming:
            self._ensure_coordinator()
        for name in coming:
            self._trouble_in_joining(name)

    def _meant(self, hub: str) -> tuple[str, str]:
        """Return a hub as a bridge knows it (a farm's label, any other's lock file), and what to call it."""
        if "://" in hub or hub.startswith("file:"):
            return hub, _label_in(hub)
        try:
            found = self._hub_named(hub)
        except (NoSuchHub, SeveralHubs):
            if not os.path.isfile(hub):
                raise
            return os.path.abspath(hub), _label_in(hub)
        return (found.label if found.kind is HubKind.FARM else str(found.lock_file)), found.label

    def _trouble_in_joining(self, name: str) -> str:
        """Wait until a bridge is on all of its hubs; say what keeps it from that after a while, nothing if it is."""
        until = time.monotonic() + JOINED_IN
        while not (info := self.find(name)).is_whole:
            if info.failure or time.monotonic() > until:
                return info.trouble
            time.sleep(_LOOK)
        return ""

    def all(self) -> list[BridgeInfo]:
        """Return all bridges, by name; those that were given up too, until one of their name is wanted anew."""
        wanted = [BridgeInfo(wish.spec, self._bridges.state(wish.spec.name)) for wish in self._bridges.all()]
        names = {info.name for info in wanted}
        failed = [BridgeInfo(each.spec, None, each.reason) for each in self._bridges.failed()]
        return sorted([*wanted, *(info for info in failed if info.name not in names)], key=lambda info: info.name)

    def find(self, name: str) -> BridgeInfo:
        """Return one bridge.

        Raises
        ------
        WrongUse
            There is none of that name.
        """
        for info in self.all():
            if info.name == name:
                return info
        names = ", ".join(info.name for info in self.all())
        raise WrongUse(f"there is no bridge {name!r}; there is {names or 'none'}")

    def end(self, names: Sequence[str]) -> None:
        """End bridges, and return when their processes have ended; hubs and clients stay.

        Raises
        ------
        WrongUse
            There is none of a name.
        HubfarmError
            One does not end.
        """
        chosen = [self.find(name) for name in names]
        for info in chosen:
            self._bridges.drop(info.name)
        if not guard_is_held(self._paths.coordinator_guard):  # nobody else ends them
            for info in chosen:
                with contextlib.suppress(ProcessLookupError):
                    if info.state is not None:
                        os.kill(info.state.pid, signal.SIGTERM)
        until = time.monotonic() + ENDED_IN
        for info in chosen:
            while guard_is_held(self._bridges.guard(info.name)):
                if time.monotonic() > until:
                    raise HubfarmError(f"the bridge {info.name} has not ended within {ENDED_IN:g} s")
                time.sleep(_LOOK)

    def renew(self) -> None:
        """End the bridges' processes; the coordinator starts others, of the installed release."""
        for info in self.all():
            if info.state is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(info.state.pid, signal.SIGTERM)

    def end_all(self) -> list[str]:
        """End all bridges; return their names.

        Raises
        ------
        HubfarmError
            One does not end.
        """
        names = [info.name for info in self.all()]
        self.end(names)
        return names


def _label_in(lock_file: str) -> str:
    """Return what the hub of a lock file is called; empty if it says nothing.

    Raises
    ------
    HubfarmError
        It cannot be read, or describes no hub.
    """
    from hubfarm.client.background import borrowed  # brings asyncio: only for hubs that are no farm's
    from hubfarm.client.discovery import read_hub

    with borrowed() as background:
        return label_of(background.run(read_hub(lock_file)))


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, and after that with a number behind."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))
