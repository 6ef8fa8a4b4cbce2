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
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import msgspec

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_spec import MAX_HUBS, HubSpec, Limits, Restart, labels_for


class _Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    owner: str = ""
    group: str = ""
    timeout: float = 0
    client_timeout: float = 0
    host: str = "127.0.0.1"
    limits: dict[str, int] = {}
    restart: Restart = Restart.ON_FAILURE
    callback_hosts: tuple[str, ...] = ()


class _HubTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    label: str = ""
    count: int = 1
    port: int = 0
    owner: str | None = None
    group: str | None = None
    timeout: float | None = None
    client_timeout: float | None = None
    host: str | None = None
    limits: dict[str, int] | None = None
    restart: Restart | None = None
    callback_hosts: tuple[str, ...] | None = None


class _FarmFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    hub: list[_HubTable]
    defaults: _Options = msgspec.field(default_factory=_Options)


@dataclass(frozen=True, slots=True)
class Declared:
    """One hub that a farm file asks for.

    Parameters
    ----------
    spec : HubSpec
        What it is to be; id and secret are open.
    port : int
        Where it is to listen; 0 for anywhere.
    """

    spec: HubSpec
    port: int


def read_farm_file(path: Path) -> list[Declared]:
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
        declared = [hub for table in file.hub for hub in _expand(table, file.defaults, origin_of(path))]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WrongUse(f"the farm file {path}: {error}") from None
    labels = [hub.spec.label for hub in declared]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise WrongUse(f"the farm file {path} declares the label {twice[0]} twice: give each hub its own")
    return declared


def origin_of(path: Path) -> str:
    """Return what the hubs of the farm file at `path` bear, so that pruning finds them again."""
    return sha256(os.fsencode(path.absolute())).hexdigest()[:16]


def _expand(table: _HubTable, defaults: _Options, origin: str) -> Iterable[Declared]:
    if not 1 <= table.count <= MAX_HUBS:
        raise WrongUse(f"count is {table.count}: a farm holds 1 to {MAX_HUBS} hubs")
    options = {
        name: default if (own := getattr(table, name)) is None else own
        for name, default in msgspec.structs.asdict(defaults).items()
    }
    limits = Limits.parse([f"{name}={value}" for name, value in options.pop("limits").items()])
    template = HubSpec(id=0, label=table.label, limits=limits, origin=origin, **options)
    for number, label in enumerate(labels_for(template, table.count, used=())):
        yield Declared(template.labelled(label), table.port and table.port + number)


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
    declared: Iterable[Declared], running: Iterable[Declared], origin: str, *, prune: bool, replace_changed: bool
) -> list[Change]:
    """Return what has to be done so that what runs matches what is declared.

    Parameters
    ----------
    declared, running : iterable of Declared
        The hubs of the farm file, and those that run.
    origin : str
        `origin_of` the farm file: only hubs that it once declared are pruned.
    prune : bool
        Stop those that are gone from it.
    replace_changed : bool
        Replace those that run with other options.
    """
    present = {hub.spec.label: hub for hub in running}
    wanted = {hub.spec.label: hub for hub in declared}
    changes = []
    for label, hub in wanted.items():
        if label not in present:
            changes.append(Change(Action.START, label, "it does not run"))
        elif detail := ", ".join(_differences(present[label], hub)):
            changes.append(Change(Action.REPLACE if replace_changed else Action.DIFFERS, label, detail))
        else:
            changes.append(Change(Action.KEEP, label, "it runs as declared"))
    for label, hub in present.items():
        if label not in wanted and hub.spec.origin == origin and prune:
            changes.append(Change(Action.STOP, label, "it is gone from the file"))
    return changes


def _differences(present: Declared, wanted: Declared) -> Iterable[str]:
    neutral = replace(present.spec, id=0, secret="", restarts=0, origin=wanted.spec.origin)
    for name in ("owner", "group", "timeout", "client_timeout", "host", "limits", "restart", "callback_hosts"):
        old, new = getattr(neutral, name), getattr(wanted.spec, name)
        if old != new:
            yield f"{name} is {_in_words(old)}, declared {_in_words(new)}"
    if wanted.port and wanted.port != present.port:
        yield f"port is {present.port}, declared {wanted.port}"


def _in_words(value: object) -> object:
    match value:
        case Limits():
            return " ".join(value.write()) or "defaults"
        case tuple():
            return " ".join(value) or "none"
    return value
