"""What the registry tells of this host's hubs, as one `HubInfo` a hub.

Lock files, the state table and the history are read, and no hub of ours is asked.  It may know the
registry; of foreign hubs, which have no guard, it is told by its caller which ones answer.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hubfarm.registry.entry import Entry, Standing, parse_name
from hubfarm.registry.history import End, Ending, read_history
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import HubNames
from hubfarm.registry.statetable import HubName, Record, read_records
from hubfarm.registry.whereabouts import where_is
from hubfarm.samp.errors import WrongUse
from hubfarm.samp.lockfile import lock_url
from hubfarm.spec.checks import check_label, check_seconds
from hubfarm.spec.rhythm import HUNG_AFTER
from hubfarm.spec.states import Access, HubKind, HubState
from hubfarm.visible import brief, span


@dataclass(frozen=True, slots=True)
class HubInfo:
    """What is known of one hub.

    Parameters
    ----------
    id : int or None
        Its number on this host; None for the hub of ``~/.samp`` if it is foreign.
    label, owner, group : str
        Free names; empty for none.
    state : HubState
        What it is doing, or what has become of it.
    kind : HubKind
        Who runs it.
    host : str
        The host it runs on.
    pid : int or None
        The process that holds it; None if it sleeps.
    url : str
        Its XML-RPC endpoint.
    clients, messages, queued : int or None
        Registered clients, messages accepted so far, deliveries waiting; None if not known.
    idle, uptime : float or None
        Since it was last used, and since it started, seconds; None if not known.
    timeout : float or None
        Seconds without activity after which it ends; 0 for never, None if not known.
    lock_file : Path
        Its lock file.
    restarts : int or None
        How often it was restarted; None if not known.
    stable_name : Path or None
        A path that always leads to its lock file, restarts included; None without a label.
    problem : str
        What is wrong with its lock file, why it ended, or which farm or host alone knows of it; empty if nothing is.
    delivered, failed : int or None
        Deliveries that reached their receiver, and those that did not; None if not known.
    queued_bytes, peak : int or None
        The size of the deliveries that wait, and the most that have waited; None if not known.
    version : str
        The release that it runs; empty if not known.
    access : str
        Whom it lets in; see `hubfarm.spec.access.Access`.
    allow : tuple of str
        Who else may enter.
    account : str
        Which other account of this host shares it with this one, or root was told of; empty if it is this one's.
    watchers : int or None
        Who sees what all others say (`hubfarm.hub.watchers`); None if not known.
    memory : int or None
        What its process takes: its proportional share (PSS), bytes; None if nobody looked.
    """

    id: int | None
    label: str
    owner: str
    group: str
    state: HubState
    kind: HubKind
    host: str
    pid: int | None
    url: str
    clients: int | None
    messages: int | None
    queued: int | None
    idle: float | None
    timeout: float | None
    uptime: float | None
    restarts: int | None
    lock_file: Path
    stable_name: Path | None
    problem: str = ""
    delivered: int | None = None
    failed: int | None = None
    queued_bytes: int | None = None
    peak: int | None = None
    version: str = ""
    access: str = Access.OPEN
    allow: tuple[str, ...] = ()
    account: str = ""
    watchers: int | None = None
    memory: int | None = None

    @property
    def alive(self) -> bool:
        """Whether a client could connect to it from this host."""
        return self.state.is_alive

    @property
    def name(self) -> str:
        """What errors call it: its label, or else its ``<PID>-<ID>`` or lock file."""
        return self.label or (f"{self.pid}-{self.id}" if self.pid is not None else str(self.lock_file))

    @property
    def names(self) -> HubNames:
        """What it may be called by; see `hubfarm.registry.select`."""
        name = None if self.pid is None or self.id is None else HubName(self.pid, self.id)
        if self.state is HubState.DORMANT:  # its lock file has the name that its last process gave it
            name = parse_name(self.lock_file.name)
        foreign = self.kind in (HubKind.FOREIGN, HubKind.SHARED)
        return HubNames(self.label, self.owner, self.group, name, self.lock_file, foreign)

    @property
    def samp_hub(self) -> str:
        """The value of ``SAMP_HUB`` that leads a program to it, by its stable name if it has one."""
        return lock_url(self.stable_name or self.lock_file)

    def __repr__(self) -> str:
        return f"<HubInfo {brief(f'{self.name}: {self.state}, {self.url or self.problem}', 160)}>"

    def _repr_html_(self) -> str:
        from hubfarm import html

        told = asdict(self) | {name: span(getattr(self, name)) for name in ("idle", "timeout", "uptime")}
        told["state"] = html.state(self.state, self.alive)
        return html.facts(self.name, told)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can carry it."""
        paths = {"lock_file": str(self.lock_file), "stable_name": str(self.stable_name) if self.stable_name else None}
        return asdict(self) | paths | {"samp_hub": self.samp_hub}


def found_hubs(lockdir: LockDir, ask: Callable[[Collection[str]], Collection[str]]) -> list[HubInfo]:
    """Return every hub that a lock file tells of, dead and silent ones too; ours first, by their ids.

    Parameters
    ----------
    lockdir : LockDir
        Where to look.
    ask : callable
        Returns those of some URLs behind which a hub answers.

    Raises
    ------
    HubfarmError
        The lock directory or the state table cannot be read.
    """
    entries = lockdir.scan()
    records = read_records(lockdir.paths.state_table)
    foreign = {entry.url for entry in entries if entry.standing is Standing.FOREIGN and entry.url}
    answering = ask(foreign)
    found: dict[HubName | Path, HubInfo] = {}
    for entry in entries:
        # A copy of a lock file (as ~/.samp, say) is no second hub: the original comes later.
        key = entry.name if entry.name and (entry.standing is not Standing.FOREIGN or entry.guard) else entry.path
        found[key] = _describe(entry, records.get(entry.name) if entry.name else None, lockdir.paths, answering)
    return sorted(found.values(), key=lambda hub: (hub.kind is HubKind.FOREIGN, hub.id or 0, str(hub.lock_file)))


def ended_hubs(paths: Paths, living: Collection[str]) -> list[HubInfo]:
    """Return the last end of each label that has ended for good since a day and is not among `living`."""
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    final = (End.STOPPED, End.UNUSED, End.DRAINED, End.FAILED)
    last = {
        ending.label or str(ending.id): ending
        for ending in read_history(paths)
        if ending.time >= since and ending.how in final and ending.label not in living
    }
    return [_describe_ended(ending, paths) for ending in last.values()]


def _describe(entry: Entry, record: Record | None, paths: Paths, answering: Collection[str]) -> HubInfo:
    match entry.standing:
        case Standing.ALIVE if entry.dormant:
            state = HubState.DORMANT
        case Standing.ALIVE:
            state = record.state if record else HubState.RUNNING
            if record and time.monotonic() - record.beat > HUNG_AFTER:
                state = HubState.HUNG
        case Standing.DEAD:
            state = HubState.DEAD
        case Standing.ELSEWHERE:
            state = HubState.ELSEWHERE
        case _:
            state = HubState.RUNNING if entry.url in answering else HubState.SILENT
    live = record if entry.standing is Standing.ALIVE else None
    now = time.monotonic()
    tokens = entry.tokens
    stable = _stable_name(entry, paths)
    return HubInfo(
        id=entry.name.id if entry.name else None,
        label=entry.label,
        owner=entry.owner,
        group=entry.group,
        state=state,
        kind=_kind(entry),
        host=tokens.get("hubfarm.host", paths.host),
        pid=entry.name.pid if entry.name and state is not HubState.DORMANT else None,
        url=entry.url,
        clients=live.clients if live else None,
        messages=live.accepted if live else None,
        queued=live.queued if live else None,
        idle=now - live.active if live else None,
        timeout=_number(tokens.get("hubfarm.timeout")),
        uptime=now - live.started if live and state is not HubState.DORMANT else None,
        restarts=None if (restarts := _number(tokens.get("hubfarm.restarts"))) is None else int(restarts),
        lock_file=entry.path,
        stable_name=stable if stable and stable.is_symlink() else None,
        problem=entry.problem or _whose(entry, paths),
        delivered=live.delivered if live else None,
        failed=live.failed if live else None,
        queued_bytes=live.queued_bytes if live else None,
        peak=live.peak if live else None,
        watchers=live.watchers if live else None,
        version=tokens.get("hubfarm.version", ""),
        access=tokens.get("hubfarm.access", Access.OPEN),
        allow=tuple(map(unquote, tokens.get("hubfarm.allow", "").split())),
    )


def describe_answering(entry: Entry, paths: Paths) -> HubInfo:
    """Return what a lock file says of a hub that is known to answer."""
    return _describe(entry, None, paths, {entry.url})


def _kind(entry: Entry) -> HubKind:
    if entry.standing is Standing.FOREIGN:
        return HubKind.FOREIGN
    return HubKind.read(entry.tokens.get("hubfarm.kind", HubKind.FARM))


def _whose(entry: Entry, paths: Paths) -> str:
    """Say which farm, host or container knows of a hub, if this farm does not."""
    match entry.standing:
        case Standing.FOREIGN if entry.guard is not None and entry.guard.parent != paths.guards:
            return f"of the farm in {entry.guard.parent.parent}"
        case Standing.ELSEWHERE if entry.tokens.get("hubfarm.host") == paths.host:
            return where_is(entry.tokens, paths.host).value
    return ""


def _describe_ended(ending: Ending, paths: Paths) -> HubInfo:
    return HubInfo(
        id=ending.id,
        label=ending.label,
        owner=ending.owner,
        group=ending.group,
        state=HubState(ending.how.value),
        kind=ending.kind,
        host=paths.host,
        pid=ending.pid or None,
        url="",
        clients=None,
        messages=None,
        queued=None,
        idle=None,
        timeout=None,
        uptime=ending.uptime,
        restarts=ending.restarts,
        lock_file=LockDir(paths).lock_path(HubName(ending.pid, ending.id)),
        stable_name=None,
        problem=f"{ending.time}: {ending.reason}",
    )


def _stable_name(entry: Entry, paths: Paths) -> Path | None:
    if entry.standing is not Standing.ALIVE or not entry.label:
        return None
    try:
        return paths.by_label / check_label(entry.label)
    except WrongUse:
        return None  # somebody has written over its lock file, and it will put that back


def _number(text: str | None) -> float | None:
    """Return a number of a lock file; None if it says none, or what no hub can have been asked for."""
    try:
        return None if text is None else check_seconds(float(text), "a number")
    except ValueError:
        return None
