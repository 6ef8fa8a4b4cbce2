"""Which hub is meant: one set of rules for commands, `Farm`, clients and the list that people pick from.

A hub is known by its label, owner and group, its id, its ``<PID>-<ID>`` and its lock file (`HubNames`).  It is named by
a *selector*, which may be any of its own names, or by label, owner and group.  The rules:

1. A whole label beats the beginning of one: ``mima-1`` is not ``mima-10``.
2. The beginning of a label will do if one hub alone has it.
3. Of two that bear the same name, one of this farm beats a foreign one.
4. Owner and group are whole, or not asked for.
5. A hub that another account shares is named with that account (``anna/mima-1``), or not at all: owner, group and the
   beginning of a name are what that account says, and might be said to lure somebody in.

It knows names and nothing else: which hubs there are, and which of them answer, others tell.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import WrongUse
from hubfarm.visible import visible

MOST_LISTED = 10
"""How many hubs an error lists that names none."""


class NoSuchHub(WrongUse):
    """No hub is meant; the message lists those that there are."""


class SeveralHubs(WrongUse):
    """More than one hub is meant; the message lists them."""


@dataclass(frozen=True, slots=True)
class HubNames:
    """What a hub may be called by.

    Parameters
    ----------
    label, owner, group : str
        Free names; empty for none.
    name : HubName or None
        Its ``<PID>-<ID>``; None if nobody knows.
    lock_file : Path
        Its lock file.
    foreign : bool
        It is none of this farm, so that its id says nothing.
    """

    label: str
    owner: str
    group: str
    name: HubName | None
    lock_file: Path
    foreign: bool

    def __str__(self) -> str:
        """Return what a person calls it, fit to be shown: its label, or else its ``<PID>-<ID>`` or lock file."""
        return visible(self.label or str(self.name or self.lock_file))


class Named(Protocol):
    """A hub of which the names are known."""

    @property
    def names(self) -> HubNames:
        """What it may be called by."""


Hub = TypeVar("Hub", bound=Named)


def select(hubs: Sequence[Hub], selector: str) -> Hub:
    """Return the hub that a selector names.

    Parameters
    ----------
    hubs : sequence
        Those that there are.
    selector : str
        An id, a ``<PID>-<ID>``, the path of a lock file, a label, or a label's beginning.

    Raises
    ------
    NoSuchHub
        It names none.
    SeveralHubs
        It names more than one.
    """
    candidates = hubs if selector else []  # a hub that lacks a name is not named by leaving it out
    own = _by_own_name(candidates, selector)
    meant = _rather_ours(own) if own else with_names(candidates, label=selector)
    return _the_one(
        hubs, meant, lambda count: f"{selector!r} means {count} hubs", f"no running hub is meant by {selector!r}"
    )


def select_by_names(hubs: Sequence[Hub], *, label: str = "", owner: str = "", group: str = "") -> Hub:
    """Return the hub that has these names; see `with_names`.

    Raises
    ------
    NoSuchHub
        None has.
    SeveralHubs
        More than one have.
    """
    asked = ", ".join(
        f"{what} {value!r}" for what, value in (("label", label), ("owner", owner), ("group", group)) if value
    )
    meant = with_names(hubs, label=label, owner=owner, group=group)
    return _the_one(hubs, meant, lambda count: f"{count} hubs have the {asked}", f"no running hub has the {asked}")


def with_names(hubs: Sequence[Hub], *, label: str = "", owner: str = "", group: str = "") -> list[Hub]:
    """Return the hubs that have these names, by the rules above; an empty one is not asked for.

    Parameters
    ----------
    hubs : sequence
        Those that there are.
    label : str
        Their label, or its beginning.
    owner, group : str
        Theirs.
    """
    by_account = "/" in label or not (label or owner or group)
    fitting = [
        hub
        for hub in hubs
        if hub.names.label.startswith(label)
        and owner in ("", hub.names.owner)
        and group in ("", hub.names.group)
        and (by_account or "/" not in hub.names.label)
    ]
    if not label:
        return fitting
    return _rather_ours([hub for hub in fitting if hub.names.label == label] or fitting)


def _by_own_name(hubs: Sequence[Hub], selector: str) -> list[Hub]:
    path = os.path.realpath(selector) if "/" in selector and "\0" not in selector else None
    by_id = [
        hub
        for hub in hubs
        if not hub.names.foreign and hub.names.name is not None and selector == str(hub.names.name.id)
    ]
    return by_id or [
        hub for hub in hubs if selector == str(hub.names.name or "") or path == os.path.realpath(hub.names.lock_file)
    ]


def _rather_ours(hubs: list[Hub]) -> list[Hub]:
    return [hub for hub in hubs if not hub.names.foreign] or hubs


def _the_one(hubs: Sequence[Hub], meant: list[Hub], several: Callable[[int], str], none: str) -> Hub:
    if len(meant) == 1:
        return meant[0]
    if meant:
        names = [str(hub.names) for hub in meant]
        if len(set(names)) < len(names):
            names = [visible(str(hub.names.lock_file)) for hub in meant]
        raise SeveralHubs(f"{several(len(meant))}: {', '.join(names)}; name one")
    running = ", ".join(str(hub.names) for hub in hubs[:MOST_LISTED]) + (", …" if len(hubs) > MOST_LISTED else "")
    raise NoSuchHub(f"{none}: " + (f"there are {running}" if hubs else "none runs"))
