"""Remove what dead hubs left: lock files, guards, stable names, half-written files.

The rule for a hub of this farm is its guard, looked at again under the mutex at the very moment of
removal.  A foreign hub has no guard that we know: it is judged dead only if it does not answer, its process
is gone or could not be a hub, and its lock file is older than a minute; in doubt it stays
(astropy issue 1983 is what happens otherwise).  Of hubs of other hosts, of other containers, and
of farms in other directories nothing is removed: those know themselves who lives.
"""

import contextlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from hubfarm.registry.entry import GUARD_FILE, PREFIX, Entry, Standing, parse_name
from hubfarm.registry.files import lasting_identity
from hubfarm.registry.homes import clear_home, is_lived_in
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.registry.tickets import Tickets
from hubfarm.registry.wanted import Wanted
from hubfarm.registry.whereabouts import Where, where_is

MIN_AGE = 60.0
"""A file younger than this may be a hub just starting, seconds."""

_COULD_BE_HUB = re.compile(r"python|java|jvm|tcl|wish|ds9|topcat|aladin|samp|hub", re.IGNORECASE)

AskHubs = Callable[[Collection[str]], Collection[str]]
"""Pings hubs by URL, returns the URLs that answered."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sweep did with one file.

    Parameters
    ----------
    path : Path
        The file.
    removed : bool
        Whether it is gone (or would be, in a dry run).
    reason : str
        Why.
    """

    path: Path
    removed: bool
    reason: str


def sweep(lockdir: LockDir, ask: AskHubs, *, dry_run: bool = False) -> list[Verdict]:
    """Remove what dead hubs of this host left, and say file by file what was done and why.

    Parameters
    ----------
    lockdir : LockDir
        The lock files.
    ask : callable
        Pings foreign hubs, all at once.
    dry_run : bool
        Say what would be done, and do nothing.

    Raises
    ------
    HubfarmError
        The lock directory cannot be read, or the mutex not be had.
    """
    foreign = [entry for entry in lockdir.scan() if entry.standing is Standing.FOREIGN]
    seen = {entry.path: _identity(entry.path) for entry in foreign}
    answering = ask({entry.url for entry in foreign if entry.url}) if foreign else ()
    verdicts = []
    staying: set[HubName] = set()
    with lockdir.mutex():
        coming_back = Wanted(lockdir.paths).looked_after() - lockdir.living_ids()
        for entry in lockdir.scan():
            if entry.standing is Standing.FOREIGN:
                unchanged = entry.path in seen and _identity(entry.path) == seen[entry.path]
                verdict = _judge_foreign(entry, answered=entry.url in answering, unchanged=unchanged)
            else:
                verdict = _judge_own(entry, lockdir.paths.host, coming_back)
            verdicts.append(verdict)
            if not verdict.removed and entry.name is not None:
                staying.add(entry.name)
        gone = {verdict.path for verdict in verdicts if verdict.removed}
        verdicts += _leftovers(lockdir, gone, staying)
        if not dry_run:
            verdicts = [_carry_out(verdict, lockdir.paths) for verdict in verdicts]
    return verdicts


def _judge_own(entry: Entry, host: str, coming_back: Collection[int]) -> Verdict:
    where = where_is(entry.tokens, host)
    match entry.standing:
        case Standing.ELSEWHERE if where is Where.UNKNOWN:
            return Verdict(entry.path, removed=False, reason=f"{where.value}: delete it if you know that it is dead")
        case Standing.ELSEWHERE:
            named = entry.tokens["hubfarm.host"]
            which = f"of the host {named}" if named != host else where.value
            return Verdict(entry.path, removed=False, reason=f"{which}, which alone can judge it")
        case Standing.ALIVE:
            return Verdict(entry.path, removed=False, reason="its hub is alive: the guard is held")
        case _ if where is not Where.BEFORE and entry.name is not None and entry.name.id in coming_back:
            return Verdict(entry.path, removed=False, reason="its hub comes back: the coordinator replaces its worker")
        case _ if where is Where.BEFORE:
            return Verdict(entry.path, removed=True, reason=f"its hub is dead: {where.value}")
        case _:
            return Verdict(entry.path, removed=True, reason="its hub is dead: the guard is free")


def _judge_foreign(entry: Entry, *, answered: bool, unchanged: bool) -> Verdict:
    def keep(reason: str) -> Verdict:
        return Verdict(entry.path, removed=False, reason=f"foreign: {reason}")

    guard = entry.guard
    if guard is not None and (there := lasting_identity(guard)) and there == entry.tokens.get(GUARD_FILE):
        farm = guard.parent.parent
        return keep(f"of the farm in {farm}, which alone can judge it (HUBFARM_RUNTIME_DIR={farm} hubfarm gc)")
    if answered:
        return keep("its hub answers")
    if not unchanged:
        return keep("it changed while it was looked at")
    if not (entry.path.is_file() or entry.path.is_symlink()):
        return keep("no lock file, but a directory or something else of that name")
    if not _is_local(entry.url):
        return keep("its hub does not answer, and its URL is not of this host")
    if entry.name is None:
        return keep("its hub does not answer, and no PID in its name tells more: delete it if you know that it is dead")
    identity = _identity(entry.path)
    if identity is None or time.time() - identity[2] < MIN_AGE:
        return keep(f"its hub does not answer, but the file is younger than {MIN_AGE:g} s")
    process = _could_be_hub(entry.name.pid)
    if process:
        return keep(f"its hub does not answer, but process {entry.name.pid} ({process}) could be it")
    return Verdict(entry.path, removed=True, reason=f"foreign: no answer, and no hub runs as process {entry.name.pid}")


def _is_local(url: str) -> bool:
    """Tell whether a hub at `url` would be a process of this host; an unreadable URL tells nothing."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return True
    return host is None or host in ("localhost", "::1", socket.gethostname()) or host.startswith("127.")


def _could_be_hub(pid: int) -> str:
    """Return the name of process `pid` if it could be a hub, else nothing."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        name = process.name()
        words = [name]
        with contextlib.suppress(psutil.AccessDenied):
            words += [process.exe(), *process.cmdline()[:1]]
        return name if any(_COULD_BE_HUB.search(word) for word in words) else ""
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return ""
    except psutil.AccessDenied:
        return "of another user"


def _leftovers(lockdir: LockDir, gone: Collection[Path], staying: Collection[HubName]) -> Iterator[Verdict]:
    paths = lockdir.paths
    kept = {lockdir.guard_path(name) for name in staying}
    for guard in _files(paths.guards):
        if guard_is_held(guard):
            kept.add(guard)
        elif guard not in kept:
            yield Verdict(guard, removed=True, reason="a guard that nobody holds")
    for link in _files(paths.by_label):
        if link.name.startswith(".new-"):
            continue
        target = Path(os.readlink(link)) if link.is_symlink() else None
        if target is None or target in gone or not os.path.lexists(target):
            yield Verdict(link, removed=True, reason="a stable name of no living hub")
    for directory in (paths.lockdir, paths.by_label):
        for path in _files(directory):
            half_written = path.name.startswith(f".new-{PREFIX}") or directory == paths.by_label
            if half_written and path.name.startswith(".new-") and _age(path) > MIN_AGE:
                yield Verdict(path, removed=True, reason="half-written by a process that died")
    for home in _files(paths.homes):
        if not is_lived_in(home):
            yield Verdict(home, removed=True, reason="a home of a program that has ended")
    for path in Tickets(paths).left_over():
        if not path.name.startswith(".new-") or _age(path) > MIN_AGE:
            yield Verdict(path, removed=True, reason="of a ticket that counts no more")
    if not guard_is_held(paths.coordinator_guard):
        # With a coordinator, a journal without a living hub may be waiting for a successor.
        living = {paths.journal(name.id).name for guard in kept if (name := parse_name(guard.name))}
        for path in _files(paths.journals):
            if path.name.partition(".")[0] not in living:
                yield Verdict(path, removed=True, reason="a journal of no living hub")
        wanted = Wanted(paths)
        alive = lockdir.living_ids()
        expected = {paths.wanted / wish.spec.label for wish in wanted.all() if wish.spec.id in alive}
        for path in wanted.files():
            if path not in expected:
                yield Verdict(path, removed=True, reason="a hub that died, and no coordinator brings it back")
        sockets = [path for path in (paths.control_socket, paths.handover_socket) if path.is_socket()]
        for path in (*sockets, *_files(paths.scratch)):
            yield Verdict(path, removed=True, reason="of a coordinator that died")


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _identity(path: Path) -> tuple[int, int, float] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime


def _age(path: Path) -> float:
    identity = _identity(path)
    return time.time() - identity[2] if identity else 0.0


def _carry_out(verdict: Verdict, paths: Paths) -> Verdict:
    if not verdict.removed:
        return verdict
    path = verdict.path
    try:
        if path.parent == paths.homes:
            if staying := clear_home(path):
                names = ", ".join(staying)
                reason = f"{verdict.reason}, with what your own home has too: take {names} from it, then delete it"
                return Verdict(path, removed=False, reason=reason)
        elif path.parent == paths.scratch and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        return Verdict(path, removed=False, reason=f"{verdict.reason}, but removing failed: {error.strerror}")
    return verdict
