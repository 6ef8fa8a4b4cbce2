"""What ended when and why: one JSON object a line, appended by the process that saw it.

A hub that ends in order writes its own line; the coordinator writes those of hubs that died.
One write a line, so that many processes may append at once.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hubfarm.registry.asked import Asker, take
from hubfarm.registry.files import write_private
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.states import HubKind

if TYPE_CHECKING:
    from hubfarm.spec.hub_spec import HubSpec

MAX_SIZE = 2**20
"""Over it the older half is dropped, bytes."""


class End(StrEnum):
    """How a hub, or one worker of it, ended."""

    STOPPED = "stopped"
    """Somebody stopped it."""
    UNUSED = "unused"
    """Its inactivity timeout ended it."""
    DRAINED = "drained"
    """Somebody had it drained, and nothing waited for anybody any more."""
    RESTARTED = "restarted"
    """Somebody had it restarted: a successor goes on with its clients."""
    ASLEEP = "asleep"
    """It sleeps: the next connection brings it back with its clients."""
    CRASHED = "crashed"
    """Its worker died."""
    HUNG = "hung"
    """Its worker missed its heartbeats, and was killed."""
    FAILED = "failed"
    """Its workers died early again and again, and it was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One line of the history.

    Parameters
    ----------
    time : str
        When, ISO 8601, UTC.
    pid, id : int
        The hub's ``<PID>-<ID>``.
    label, owner, group : str
        Its names.
    how : End
        How it ended.
    reason : str
        More of why, for people.
    uptime : float
        How long this worker had served, seconds.
    restarts : int
        How often the hub had been restarted before.
    kind : HubKind
        Who ran it.
    asked_by : Asker or None
        Who asked for it, if somebody did by ``hubfarm`` or `hubfarm.Farm`.
    """

    time: str
    pid: int
    id: int
    label: str
    owner: str
    group: str
    how: End
    reason: str
    uptime: float
    restarts: int
    kind: HubKind = HubKind.FARM
    asked_by: Asker | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can carry it."""
        return asdict(self)


def record_end(
    paths: Paths, spec: "HubSpec", pid: int, how: End, reason: str, uptime: float, kind: HubKind = HubKind.FARM
) -> None:
    """Append one line; a full disk costs the line and nothing else."""
    ending = Ending(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        pid=pid,
        id=spec.id,
        label=spec.label,
        owner=spec.owner,
        group=spec.group,
        how=how,
        reason=reason,
        uptime=round(uptime, 3),
        restarts=spec.restarts,
        kind=kind,
        asked_by=take(paths, HubName(pid, spec.id)),
    )
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(paths.history, flags, 0o600)
        try:
            os.write(descriptor, json.dumps(ending.as_json()).encode() + b"\n")
        finally:
            os.close(descriptor)


def read_history(paths: Paths) -> list[Ending]:
    """Return the history, the oldest first; damaged lines are passed over."""
    return list(_read(paths))


def _read(paths: Paths) -> Iterator[Ending]:
    try:
        lines = _read_bytes(paths).splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(*_DAMAGES):
            yield _ending(json.loads(line))


_DAMAGES = (KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What a line raises that somebody has damaged, or another version of hubfarm has written."""


def _ending(told: dict[str, Any]) -> Ending:
    known = {each.name: told[each.name] for each in fields(Ending) if each.name in told}
    kind = known.get("kind", HubKind.FARM.value)
    asker = known.get("asked_by")
    more = {
        "how": End(told["how"]),
        "kind": HubKind.read(kind),
        "asked_by": None if asker is None else Asker.from_json(asker),
    }
    ending = Ending(**(known | more))
    numbers = (ending.pid, ending.id, ending.restarts)
    texts = (ending.label, ending.owner, ending.group, ending.reason, kind)
    if not (all(isinstance(each, int) for each in numbers) and all(isinstance(each, str) for each in texts)):
        raise TypeError("a number or a text is none")
    if not math.isfinite(ending.uptime):
        raise ValueError("not a time span")
    datetime.fromisoformat(ending.time).astimezone()
    return ending


def end_of(paths: Paths, name: HubName) -> Ending | None:
    """Return how the worker `name` ended by its own account, if it gave one."""
    return next((ending for ending in reversed(read_history(paths)) if (ending.pid, ending.id) == name), None)


def trim_history(paths: Paths) -> None:
    """Drop the older half once the file is larger than `MAX_SIZE`; for the coordinator alone."""
    with contextlib.suppress(OSError, HubfarmError):
        if paths.history.lstat().st_size > MAX_SIZE:
            lines = _read_bytes(paths).splitlines(keepends=True)
            write_private(paths.history, b"".join(lines[len(lines) // 2 :]).decode(errors="replace"))


def _read_bytes(paths: Paths) -> bytes:
    descriptor = os.open(paths.history, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return file.read()
