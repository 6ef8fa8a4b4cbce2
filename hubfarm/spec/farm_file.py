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
"""

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest, check_together
from hubfarm.spec.hub_spec import HubSpec, write_seconds
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import asked, options

TABLES = ("name", "defaults", "hub")
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
    origins : tuple of str
        By what hubs are known again that it once declared: its name, if it has one, and its path.
    """

    hubs: list[HubSpec]
    origins: tuple[str, ...]


def read_farm_file(path: Path) -> FarmFile:
    """Return what the file at `path` declares; an empty one declares nothing.

    Raises
    ------
    WrongUse
        Something in it is wrong; the message says what, and in which line.
    HubfarmError
        It cannot be read.
    """
    try:
        text = path.read_bytes().decode()
        return _declared(text, origin_of(path))
    except OSError as error:
        raise HubfarmError(f"cannot read the farm file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, WrongUse) as error:
        raise WrongUse(f"the farm file {path}: {error}") from None
    except UnicodeDecodeError as error:
        raise WrongUse(f"the farm file {path} is no text in UTF-8: see byte {error.start}") from None
    except RecursionError:
        raise WrongUse(f"the farm file {path} nests too deeply") from None


def origin_of(path: Path) -> str:
    """Return what the hubs of the farm file at `path` bear, unless it has a name, so that pruning finds them again."""
    return _digest(os.fsencode(path.absolute()))


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


def _declared(text: str, origin: str) -> FarmFile:
    file = tomllib.loads(text)
    for name in file:
        if name not in TABLES:
            raise WrongUse(f"{_line(text, name)}there is no {name!r} here: there are name, [defaults] and [[hub]]")
    name, defaults, tables = file.get("name", ""), file.get("defaults", {}), file.get("hub", [])
    if not isinstance(name, str):
        raise WrongUse(f"{_line(text, 'name')}name: expected a string")
    if not isinstance(defaults, dict):
        raise WrongUse(f"{_line(text, 'defaults')}defaults: write [defaults], and below it what holds for all hubs")
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise WrongUse(f"{_line(text, 'hub')}hub: write [[hub]] for each hub, and below it what it is to be")
    origins = (_digest(b"name " + name.encode()), origin) if name else (origin,)
    requests = list(_requests(text, defaults, tables, origins[0]))
    hubs = [spec for request in requests for spec in request.specs(used=())]
    _check_once("label", [(hub.label, hub.label) for hub in hubs])
    _check_once("address", [(f"{hub.host}:{hub.port}", hub.label) for hub in hubs if hub.port])
    return FarmFile(hubs, origins)


def _requests(
    text: str, defaults: dict[str, Any], tables: Sequence[dict[str, Any]], origin: str
) -> Iterable[HubRequest]:
    misplaced = [name for name in OF_ONE_HUB if name in defaults]
    if misplaced:
        where = _line(text, misplaced[0], "[defaults]")
        raise WrongUse(f"{where}in [defaults]: {misplaced[0]} is another for each hub, put it under [[hub]]")
    _read(text, "[defaults]", 1, defaults, defaults)
    requests = []
    for number, table in enumerate(tables, start=1):
        none = table.get("count") == 0
        request = _read(text, "[[hub]]", number, table, defaults | table | ({"count": 1} if none else {}))
        if not none:
            requests.append(msgspec.structs.replace(request, origin=origin))
    check_together(requests)
    return requests


def _read(text: str, header: str, number: int, own: dict[str, Any], whole: dict[str, Any]) -> HubRequest:
    try:
        if "origin" in own:
            raise WrongUse("there is no option 'origin'")
        return asked(HubRequest, whole)
    except WrongUse as error:
        named = next((key for key in own if re.search(rf"\b{re.escape(key)}\b", str(error))), "")
        where = f"{header} {number}" if header == "[[hub]]" else header
        raise WrongUse(f"{_line(text, named, header, number)}in {where}: {error}") from None


def _line(text: str, key: str, header: str = "", number: int = 1) -> str:
    """Return where a key stands, below the so-many-th `header`, as ``line 3: ``; nothing if it is not found."""
    seen = 0 if header else number
    at_header = ""
    for count, line in enumerate(text.splitlines(), start=1):
        bare = re.sub(r"\s", "", line)
        if header and bare.startswith(header):
            seen += 1
            at_header = f"line {count}: " if seen == number else at_header
        elif seen == number and key and re.match(rf"\[*{re.escape(key)}[\].=]", bare):
            return f"line {count}: "
    return at_header


def _check_once(what: str, declared: Sequence[tuple[object, str]]) -> None:
    seen: dict[object, str] = {}
    for value, label in declared:
        if value in seen:
            whose = "" if seen[value] == label else f", for {seen[value]} and for {label}"
            raise WrongUse(f"it declares the {what} {value} twice{whose}: give each hub its own")
        seen[value] = label


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
    declared: Iterable[HubSpec],
    running: Iterable[HubSpec],
    origins: Collection[str],
    *,
    prune: bool,
    replace_changed: bool,
) -> list[Change]:
    """Return what has to be done so that what runs matches what is declared.

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
        elif detail := ", ".join(_differences(present[label], hub)):
            changes.append(Change(Action.REPLACE if replace_changed else Action.DIFFERS, label, detail))
        else:
            changes.append(Change(Action.KEEP, label, "it runs as declared"))
    for label, hub in present.items():
        if label not in wanted and hub.origin in origins and prune:
            changes.append(Change(Action.STOP, label, "it is gone from the file"))
    return changes


def _differences(present: HubSpec, wanted: HubSpec) -> Iterable[str]:
    for field in options():
        old, new = getattr(present, field.name), getattr(wanted, field.name)
        chosen_by_the_system = field.name == "port" and not new
        if old != new and not chosen_by_the_system:
            yield f"{field.name} {_in_words(old)} -> {_in_words(new)}"


def _in_words(value: object) -> object:
    match value:
        case Limits():
            return " ".join(value.write()) or "defaults"
        case tuple():
            return " ".join(value) or "none"
        case float():
            return write_seconds(value)
    return value or "none"
