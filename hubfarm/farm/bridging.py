"""Bridges, asked for and looked at: what joins hubs of the farm with each other, and with others'."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hubfarm.client.background import borrowed
from hubfarm.client.discovery import read_hub
from hubfarm.registry.bridges import Bridges, BridgeSpec, BridgeState, check_bridge_name
from hubfarm.registry.entry import label_of
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import NoSuchHub, SeveralHubs
from hubfarm.samp.errors import HubfarmError, WrongUse
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
    name : str
        Its name.
    hubs : tuple of str
        What it joins, as it was asked for.
    export_urls : bool
        It serves the files that messages name to hubs on other hosts.
    state : BridgeState or None
        What its process tells of itself; None if there is none just now.
    """

    name: str
    hubs: tuple[str, ...]
    export_urls: bool
    state: BridgeState | None

    @property
    def is_whole(self) -> bool:
        """Whether it is on all of its hubs."""
        return self.state is not None and all(end.joined for end in self.state.ends)


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
        meant = tuple(hub for hub, _ in found)
        if len(set(meant)) < 2 or len(set(meant)) < len(meant):
            raise WrongUse("a bridge joins two hubs or more, each named once: hubfarm bridge A B")
        present = self._bridges.all()
        for one in present:
            if set(one.hubs) == set(meant):
                raise WrongUse(f"the bridge {one.name} joins these hubs already: hubfarm unbridge {one.name} ends it")
        name = name or _name_for([label for _, label in found], {one.name for one in present})
        check_bridge_name(name)
        if any(one.name == name for one in present):
            raise WrongUse(f"there is a bridge {name} already: choose another name, or hubfarm unbridge {name}")
        self._paths.prepare()
        self._ensure_coordinator()
        self._bridges.want(BridgeSpec(name=name, hubs=meant, export_urls=export_urls, by=f"{time.time_ns():016x}"))
        return self._joined(name)

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

    def _joined(self, name: str) -> BridgeInfo:
        until = time.monotonic() + JOINED_IN
        while not (info := self.find(name)).is_whole:
            if time.monotonic() > until:
                self.end([name])
                raise HubfarmError(f"the bridge {name} is not on all hubs after {JOINED_IN:g} s: {_trouble(info)}")
            time.sleep(_LOOK)
        return info

    def all(self) -> list[BridgeInfo]:
        """Return all bridges, by name."""
        return [
            BridgeInfo(spec.name, spec.hubs, spec.export_urls, self._bridges.state(spec.name))
            for spec in self._bridges.all()
        ]

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
    with borrowed() as background:
        return label_of(background.run(read_hub(lock_file)))


def _name_for(labels: Sequence[str], taken: set[str]) -> str:
    """Return a name that is free for a bridge of hubs with these labels.

    Examples
    --------
    >>> _name_for(["mima-1", ""], {"mima-1-hub"})
    'mima-1-hub-2'
    """
    kept = [re.sub("[^A-Za-z0-9_-]", "", label)[:20] or "hub" for label in labels]
    name = "-".join(kept)[:50].strip("_-")
    number = 1
    while (numbered := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return numbered


def _trouble(info: BridgeInfo) -> str:
    if info.state is None:
        return f"its process does not run; hubfarm logs bridge-{info.name} says more"
    return "; ".join(f"{end.label}: {end.trouble}" for end in info.state.ends if not end.joined)
