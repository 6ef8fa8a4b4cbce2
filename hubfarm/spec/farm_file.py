"""A farm declared in a TOML file, and how what runs differs from it.

::

    name = "mima"

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

    [[bridge]]
    hubs = ["reduction", "~/.samp"]
"""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.bridge_spec import BridgeSpec, name_for
from hubfarm.spec.hub_request import HubRequest, check_together
from hubfarm.spec.hub_spec import HubSpec, write_seconds
from hubfarm.spec.limits import DEFAULT_LIMITS, Limits
from hubfarm.spec.options import asked, file_options, options
from hubfarm.spec.toml_file import line_of, load_toml

TABLES = ("name", "defaults", "hub", "bridge")
"""What a farm file may hold."""

OF_ONE_HUB = ("label", "count", "port")
"""What the defaults cannot say, because it is another thing for each hub."""


@dataclass(frozen=True, slots=True)
class FarmFile:
    """What a farm file declares.

    Parameters
    ----------
    hubs : list of HubSpec
        Its hubs; they bear the first of `origins`.
    bridges : list of BridgeSpec
        Its bridges, likewise.
    origins : tuple of str
        By what hubs are known again that it once declared: its name, if it has one, and its path.
    """

    hubs: list[HubSpec]
    bridges: list[BridgeSpec]
    origins: tuple[str, ...]


def read_farm_file(path: Path, limits: Limits = DEFAULT_LIMITS) -> FarmFile:
    """Return what the file at `path` declares; an empty one declares nothing.

    Parameters
    ----------
    path : Path
        The file.
    limits : Limits
        Those of hubs for which it sets no others.

    Raises
    ------
    WrongUse
        There is no such file, or something in it is wrong; the message says what, and in which line.
    HubfarmError
        It cannot be read.
    """
    try:
        text = path.read_bytes().decode()
        return _declared(text, origin_of(path), limits, path.absolute().parent)
    except FileNotFoundError:
        raise WrongUse(f"there is no farm file {path}") from None
    except OSError as error:
        raise HubfarmError(f"cannot read the farm file {path}: {error.strerror}") from None
    except WrongUse as error:
        raise WrongUse(f"the farm file {path}: {error}") from None
    except UnicodeDecodeError as error:
        raise WrongUse(f"the farm file {path} is no text in UTF-8: see byte {error.start}") from None


def origin_of(path: Path) -> str:
    """Return what the hubs of the farm file at `path` bear, unless it has a name, so that pruning finds them again."""
    return _digest(os.fsencode(path.absolute()))


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


def _declared(text: str, origin: str, limits: Limits, beside: Path) -> FarmFile:
    file = load_toml(text)
    for name in file:
        if name not in TABLES:
            raise WrongUse(
                f"{line_of(text, name)}there is no {name!r} here: there are name, [defaults], [[hub]] and [[bridge]]"
            )
    name, defaults, tables = file.get("name", ""), file.get("defaults", {}), file.get("hub", [])
    if not isinstance(name, str):
        raise WrongUse(f"{line_of(text, 'name')}name: expected text")
    if not isinstance(defaults, dict):
        raise WrongUse(f"{line_of(text, 'defaults')}defaults: write [defaults], and below it what holds for all hubs")
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise WrongUse(f"{line_of(text, 'hub')}hub: write [[hub]] for each hub, and below it what it is to be")
    for table in (defaults, *tables):
        named = {name: path for name in file_options() if isinstance(path := table.get(name), str) and path}
        table |= {name: str(beside / Path(path).expanduser()) for name, path in named.items()}
    origins = (_digest(b"name " + name.encode()), origin) if name else (origin,)
    requests = _requests(text, defaults, tables, limits)
    declared = [
        (number, spec)
        for number, request in requests
        for spec in msgspec.structs.replace(request, origin=origins[0]).specs(used=())
    ]
    _check_once(text, "label", [(number, spec.label, spec.label) for number, spec in declared])
    addresses = [(number, f"{spec.host}:{spec.port}", spec.label) for number, spec in declared if spec.port]
    _check_once(text, "port", addresses)
    return FarmFile([spec for _, spec in declared], _bridges(text, file.get("bridge", []), origins[0], beside), origins)


def _bridges(text: str, tables: object, origin: str, beside: Path) -> list[BridgeSpec]:
    """Return what each ``[[bridge]]`` declares."""
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise WrongUse(f"{line_of(text, 'bridge')}bridge: write [[bridge]] for each bridge, and below it hubs = […]")
    declared: list[BridgeSpec] = []
    for number, table in enumerate(tables, start=1):
        try:
            spec = _bridge(table, origin, beside)
            for other in declared:
                if other.name == spec.name or other.joins_the_same(spec):
                    raise WrongUse(f"there is such a bridge already: name = {spec.name!r}, hubs = {list(spec.hubs)}")
        except WrongUse as error:
            raise WrongUse(f"{line_of(text, '', '[[bridge]]', number)}in [[bridge]] {number}: {error}") from None
        declared.append(spec)
    return declared


def _bridge(table: dict[str, Any], origin: str, beside: Path) -> BridgeSpec:
    for key in table:
        if key not in ("hubs", "name", "export_urls"):
            raise WrongUse(f"there is no option {key!r}: there are hubs, name and export_urls")
    hubs, export_urls = table.get("hubs"), table.get("export_urls", True)
    if not (isinstance(hubs, list) and all(isinstance(hub, str) and hub for hub in hubs)):
        raise WrongUse('hubs: expected a list of labels and of paths or URLs of lock files, as ["mima-1", "~/.samp"]')
    if not isinstance(export_urls, bool):
        raise WrongUse("export_urls: expected true or false")
    labels = ["" if "://" in hub else hub.rpartition("/")[2].strip(".") for hub in hubs]  # a share's URL is a secret
    meant = tuple(hub if "/" not in hub or "://" in hub else str(beside / Path(hub).expanduser()) for hub in hubs)
    name = table.get("name", name_for(labels))
    if not isinstance(name, str):
        raise WrongUse("name: expected text")
    return BridgeSpec(name=name, hubs=meant, export_urls=export_urls, origin=origin)


def _requests(
    text: str, defaults: dict[str, Any], tables: Sequence[dict[str, Any]], limits: Limits
) -> list[tuple[int, HubRequest]]:
    """Return what each ``[[hub]]`` asks for, with its number; those whose count is 0 ask for nothing."""
    misplaced = [name for name in OF_ONE_HUB if name in defaults]
    if misplaced:
        where = line_of(text, misplaced[0], "[defaults]")
        raise WrongUse(f"{where}in [defaults]: {misplaced[0]} is another for each hub, put it under [[hub]]")
    _read(text, "[defaults]", 1, defaults, defaults, limits)
    requests = []
    for number, table in enumerate(tables, start=1):
        none = table.get("count") == 0
        whole = defaults | table | ({"count": 1} if none else {})
        request = _read(text, "[[hub]]", number, table, whole, limits)
        if not none:
            requests.append((number, request))
    check_together([request for _, request in requests])
    return requests


def _read(
    text: str, header: str, number: int, own: dict[str, Any], whole: dict[str, Any], limits: Limits
) -> HubRequest:
    try:
        if "origin" in own:
            raise WrongUse("there is no option 'origin'")
        return asked(HubRequest, whole, limits)
    except WrongUse as error:
        named = next((key for key in own if re.search(rf"\b{re.escape(key)}\b", str(error))), "")
        where = f"{header} {number}" if header == "[[hub]]" else header
        raise WrongUse(f"{line_of(text, named, header, number)}in {where}: {error}") from None


def _check_once(text: str, key: str, declared: Sequence[tuple[int, str, str]]) -> None:
    """Refuse a value that two hubs have.

    Parameters
    ----------
    text : str
        The file.
    key : str
        What the value is.
    declared : sequence of (int, str, str)
        Of each hub the number of its ``[[hub]]``, the value, and its label.

    Raises
    ------
    WrongUse
        Two have one; the message names the line of the second.
    """
    seen: dict[str, str] = {}
    for number, value, label in declared:
        if value in seen:
            whose = "" if seen[value] == label else f", for {seen[value]} and for {label}"
            where = line_of(text, key, "[[hub]]", number)
            raise WrongUse(f"{where}it declares the {key} {value} twice{whose}: give each hub its own")
        seen[value] = label


class Action(StrEnum):
    """What `Farm.up` does about one hub."""

    START = "start"
    STOP = "stop"
    REPLACE = "replace"
    RESTRICT = "restrict"
    """It lets in more than declared: that is ended at once, while it runs."""
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
    declared: Iterable[HubSpec],
    running: Iterable[HubSpec],
    origins: Collection[str],
    *,
    prune: bool,
    replace_changed: bool,
) -> list[Change]:
    """Return what has to be done so that what runs matches what is declared.

    Of a hub that runs, who may enter is changed if that lets in fewer; to let in others, it has to be replaced.

    Parameters
    ----------
    declared, running : iterable of HubSpec
        The hubs of the farm file, and those that run.
    origins : collection of str
        The farm file's: only hubs that it once declared are pruned.
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
        elif different := _differences(present[label], hub):
            if not replace_changed and _is_restricted_by(present[label], hub):
                who = {name: different.pop(name) for name in ("access", "allow") if name in different}
                changes.append(Change(Action.RESTRICT, label, ", ".join(who.values())))
            if different:
                detail = ", ".join(different.values())
                changes.append(Change(Action.REPLACE if replace_changed else Action.DIFFERS, label, detail))
        else:
            changes.append(Change(Action.KEEP, label, "it runs as declared"))
    for label, hub in present.items():
        if label not in wanted and hub.origin in origins and prune:
            changes.append(Change(Action.STOP, label, "it is gone from the file"))
    return changes


def difference_of_bridges(
    declared: Iterable[BridgeSpec],
    present: Iterable[BridgeSpec],
    origins: Collection[str],
    *,
    prune: bool,
    replace_changed: bool,
) -> list[Change]:
    """Return what has to be done so that the bridges there are match those that are declared; see `difference`."""
    there = {bridge.name: bridge for bridge in present}
    wanted = {bridge.name: bridge for bridge in declared}
    changes = []
    for name, bridge in wanted.items():
        if name not in there:
            changes.append(Change(Action.START, _of_bridge(name), "it does not run"))
        elif set(there[name].hubs) != set(bridge.hubs) or there[name].export_urls != bridge.export_urls:
            detail = f"hubs {' '.join(there[name].hubs)} -> {' '.join(bridge.hubs)}"
            if there[name].export_urls != bridge.export_urls:
                detail = f"export_urls {there[name].export_urls} -> {bridge.export_urls}".lower()
            changes.append(Change(Action.REPLACE if replace_changed else Action.DIFFERS, _of_bridge(name), detail))
        else:
            changes.append(Change(Action.KEEP, _of_bridge(name), "it runs as declared"))
    for name, bridge in there.items():
        if name not in wanted and bridge.origin in origins and prune:
            changes.append(Change(Action.STOP, _of_bridge(name), "it is gone from the file"))
    return changes


def _of_bridge(name: str) -> str:
    """Return what a change calls a bridge; no hub has such a label."""
    return f"bridge {name}"


def _is_restricted_by(present: HubSpec, wanted: HubSpec) -> bool:
    """Tell whether a hub that runs would let in fewer if it let in those who are declared."""
    if (present.access, present.allow) == (wanted.access, wanted.allow):
        return False
    keeps_its_names = (present.owner, present.group) == (wanted.owner, wanted.group)
    return keeps_its_names and wanted.rule.is_within(present.rule)


def _differences(present: HubSpec, wanted: HubSpec) -> dict[str, str]:
    """Return the options in which two hubs differ, and how."""
    found = {}
    for field in options():
        old, new = getattr(present, field.name), getattr(wanted, field.name)
        chosen_by_the_system = field.name == "port" and not new
        if old != new and not chosen_by_the_system:
            found[field.name] = f"{field.name} {_in_words(old)} -> {_in_words(new)}"
    return found


def _in_words(value: object) -> object:
    match value:
        case Limits():
            return " ".join(value.write()) or "defaults"
        case tuple():
            return " ".join(value) or "none"
        case float():
            return write_seconds(value)
    return value or "none"
