"""A farm declared in a TOML file, and how what runs differs from it.

::

    [defaults]
    group = "mima"
    timeout = 86400

    [[hub]]
    count = 4

    [[hub]]
    label = "reduction"
    port = 21100
    restart = "always"
    limits = { clients = 200 }
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest
from hubfarm.spec.hub_spec import HubSpec, write_seconds
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import asked, options


class _FarmFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The tables of a farm file; what may stand in them `HubRequest` says."""

    hub: list[dict[str, Any]]
    defaults: dict[str, Any] = {}


OF_ONE_HUB = ("label", "count", "port")
"""What the defaults cannot say, because it is another thing for each hub."""


def read_farm_file(path: Path) -> list[HubSpec]:
    """Return the hubs that the file at `path` declares.

    Raises
    ------
    WrongUse
        Something in it is wrong; the message says what and where.
    HubfarmError
        It cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HubfarmError(f"cannot read the farm file {path}: {error.strerror}") from None
    try:
        file = msgspec.toml.decode(data, type=_FarmFile)
        declared = [spec for request in _requests(file, origin_of(path)) for spec in request.specs(used=())]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WrongUse(f"the farm file {path}: {error}") from None
    labels = [hub.label for hub in declared]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise WrongUse(f"the farm file {path} declares the label {twice[0]} twice: give each hub its own")
    return declared


def origin_of(path: Path) -> str:
    """Return what the hubs of the farm file at `path` bear, so that pruning finds them again."""
    return sha256(os.fsencode(path.absolute())).hexdigest()[:16]


def _requests(file: _FarmFile, origin: str) -> Iterable[HubRequest]:
    misplaced = [name for name in OF_ONE_HUB if name in file.defaults]
    if misplaced:
        raise WrongUse(f"in [defaults]: {misplaced[0]} is another for each hub, put it under [[hub]]")
    _read("[defaults]", file.defaults)
    for number, table in enumerate(file.hub, start=1):
        request = _read(f"[[hub]] {number}", file.defaults | table)
        yield msgspec.structs.replace(request, origin=origin)


def _read(where: str, table: dict[str, Any]) -> HubRequest:
    try:
        if "origin" in table:
            raise WrongUse("there is no option 'origin'")
        return asked(HubRequest, table)
    except WrongUse as error:
        raise WrongUse(f"in {where}: {error}") from None


class Action(StrEnum):
    """What `Farm.up` does about one hub."""

    START = "start"
    STOP = "stop"
    REPLACE = "replace"
    DIFFERS = "differs"
    """It runs with other options; it is left alone unless it is to be replaced."""
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done about one hub, and why.

    Parameters
    ----------
    action : Action
        What.
    label : str
        The hub.
    detail : str
        Why; for a hub that differs, in what.
    """

    action: Action
    label: str
    detail: str


def difference(
    declared: Iterable[HubSpec], running: Iterable[HubSpec], origin: str, *, prune: bool, replace_changed: bool
) -> list[Change]:
    """Return what has to be done so that what runs matches what is declared.

    Parameters
    ----------
    declared, running : iterable of HubSpec
        The hubs of the farm file, and those that run.
    origin : str
        `origin_of` the farm file: only hubs that it once declared are pruned.
    prune : bool
        Stop those that are gone from it.
    replace_changed : bool
        Replace those that run with other options.
    """
    present = {hub.label: hub for hub in running}
    wanted = {hub.label: hub for hub in declared}
    changes = []
    for label, hub in wanted.items():
        if label not in present:
            changes.append(Change(Action.START, label, "it does not run"))
        elif detail := ", ".join(_differences(present[label], hub)):
            changes.append(Change(Action.REPLACE if replace_changed else Action.DIFFERS, label, detail))
        else:
            changes.append(Change(Action.KEEP, label, "it runs as declared"))
    for label, hub in present.items():
        if label not in wanted and hub.origin == origin and prune:
            changes.append(Change(Action.STOP, label, "it is gone from the file"))
    return changes


def _differences(present: HubSpec, wanted: HubSpec) -> Iterable[str]:
    for field in options():
        old, new = getattr(present, field.name), getattr(wanted, field.name)
        chosen_by_the_system = field.name == "port" and not new
        if old != new and not chosen_by_the_system:
            yield f"{field.name} is {_in_words(old)}, declared {_in_words(new)}"


def _in_words(value: object) -> object:
    match value:
        case Limits():
            return " ".join(value.write()) or "defaults"
        case tuple():
            return " ".join(value) or "none"
        case float():
            return write_seconds(value)
    return value or "none"
