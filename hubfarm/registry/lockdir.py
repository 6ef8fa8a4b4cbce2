"""Claim, publish and scan: the lock files of one host, guarded by filelock.

A lock file says who *claims* to run; only its guard proves it (design.md 3).  A hub holds its
guard from before its lock file appears until after it is gone, and the kernel drops the guard
when the process dies, however it dies.  So whoever finds a guard free knows that its hub is dead.

Rule: guards, state-table slots and stable names are made and removed under one mutex, so that
a sweep never sees a guard that is made but not yet held.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hubfarm.registry.hubspec import HubSpec
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName, HubState, Record, SlotWriter, StateTable, file_identity
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse

if TYPE_CHECKING:
    from filelock import FileLock

PREFIX = "samp-hub"
_NAME = re.compile(rf"{PREFIX}-([0-9]{{1,18}})-([0-9]{{1,18}})", re.ASCII)
_MAX_LOCK_FILE = 64 * 2**10
_MUTEX_TIMEOUT = 30.0
_GUARD_TIMEOUT = 5.0
_MEND_TIMEOUT = 0.5  # a hub must not stand still for long


class Standing(Enum):
    """What this host can say of the hub behind a lock file."""

    ALIVE = "alive"
    """Ours, and its guard is held."""
    DEAD = "dead"
    """Ours, and its guard is free."""
    FOREIGN = "foreign"
    """Not ours: no guard can tell."""
    ELSEWHERE = "elsewhere"
    """Ours, of another host that shares this home."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One lock file, as found.

    Parameters
    ----------
    path : Path
        Where it lies.
    name : HubName or None
        The ``<PID>-<ID>`` in its name; None for the standard's one hub.
    standing : Standing
        What its guard says.
    tokens : dict of str to str
        Its content; empty if it cannot be read.
    problem : str
        Why it cannot be read, or is no whole lock file; empty if all is well.
    """

    path: Path
    name: HubName | None
    standing: Standing
    tokens: Mapping[str, str]
    problem: str = ""

    @property
    def url(self) -> str:
        """The hub's URL, empty if the lock file does not say."""
        return self.tokens.get(lockfile.URL, "")

    @property
    def label(self) -> str:
        """The hub's label, under whichever of its names."""
        return self._first("samp.hub.label", "hub.label")

    @property
    def owner(self) -> str:
        """The hub's owner, under whichever of its names."""
        return self._first("samp.hub.owner", "hub.owner.name")

    @property
    def group(self) -> str:
        """The hub's group, under whichever of its names."""
        return self._first("samp.hub.owner_group", "hub.owner.group")

    def _first(self, *keys: str) -> str:
        return next((self.tokens[key] for key in keys if self.tokens.get(key)), "")


def parse_name(filename: str) -> HubName | None:
    """Return the ``<PID>-<ID>`` of a lock file's name, or None if it has none.

    Examples
    --------
    >>> parse_name("samp-hub-4711-2")
    HubName(pid=4711, id=2)
    """
    found = _NAME.fullmatch(filename)
    return HubName(int(found[1]), int(found[2])) if found else None


def read_private(path: Path, *, follow: bool = False) -> str:
    """Return the text of a small regular file; anything else in its place is an error.

    Raises
    ------
    OSError
        It cannot be opened, or (unless `follow`) is a symbolic link.
    BadLockFile
        It is no regular file, is larger than a lock file can be, or is not text.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadLockFile("not a regular file")
        data = os.read(descriptor, _MAX_LOCK_FILE + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MAX_LOCK_FILE:
        raise BadLockFile(f"larger than {_MAX_LOCK_FILE} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def guard_is_held(guard: Path) -> bool:
    """Tell whether a living process holds `guard`.

    The shared flock disturbs neither the holder nor others who ask at the same time, which
    taking the guard by filelock (flock as well) would.
    """
    try:
        descriptor = os.open(guard, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False  # a link that somebody has put there is nobody's guard
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_private(path: Path, text: str) -> None:
    """Write `path` whole: a reader sees the old content or the new, never half (mode 0600).

    Raises
    ------
    HubfarmError
        The disk is full, or the directory cannot be written.
    """
    temporary = _temporary(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HubfarmError(f"cannot write {path}: {error.strerror}") from None


def _temporary(path: Path) -> Path:
    # Not beginning with samp-hub: foreign clients take every such file for a hub.
    return path.with_name(f".new-{path.name.removeprefix('.')}")


class Claim:
    """One hub's hold on its lock file: made by `LockDir.claim`, ended by `withdraw`.

    Parameters
    ----------
    lockdir : LockDir
        Who made it.
    name : HubName
        The hub.
    path : Path
        The lock file.
    label : str
        The label whose stable name points to the lock file; empty for none.
    """

    def __init__(self, lockdir: "LockDir", name: HubName, path: Path, label: str) -> None:
        self.name = name
        self.path = path
        self.stable_name = lockdir.paths.by_label / label if label else None
        self._lockdir = lockdir
        self._guards: dict[Path, FileLock] = {}
        self._held: dict[Path, tuple[int, int]] = {}
        self._tokens: Mapping[str, str] | None = None
        self._published: os.stat_result | None = None
        self._table: StateTable
        self._slot: SlotWriter

    def take(self, guards: Mapping[Path, str], record: Record) -> None:
        """Take guards and a slot; call under the mutex.

        Parameters
        ----------
        guards : dict of Path to str
            The guards, and what each is called in an error.
        record : Record
            The slot's first content.

        Raises
        ------
        HubfarmError
            A guard is held by another, or the state table is full; nothing is taken then.
        """
        try:
            for guard, what in guards.items():
                self._take_guard(guard, what)
            self._take_slot(record)
        except BaseException:
            self._give_guards_back()
            raise

    def _take_guard(self, path: Path, what: str) -> None:
        held = HubfarmError(f"{what} is held by a hub that runs already")
        if guard_is_held(path):
            raise held  # at once, as the mutex must not be kept waiting
        guard = _file_lock(path, timeout=_GUARD_TIMEOUT)  # longer than any reader's look at it takes
        try:
            guard.acquire()
        except TimeoutError:
            raise held from None
        self._guards[path] = guard
        self._held[path] = file_identity(path.stat())

    def _take_slot(self, record: Record) -> None:
        path = self._lockdir.paths.state_table
        try:
            table = StateTable(path, writable=True)
        except HubfarmError:
            if self._lockdir.others_live(self._guards):
                raise
            # Left by another version, and nobody lives who would write it.
            with contextlib.suppress(OSError):
                path.unlink()
            table = StateTable(path, writable=True)
        self._slot = table.take(record, self._lockdir.is_alive)
        self._table = table

    def _retake_slot(self, record: Record) -> None:
        damaged = self._table
        if _identity(damaged.path) == damaged.identity:
            damaged.path.unlink()  # ours, and written over: what somebody else put in its place would stay
        self._take_slot(record)
        damaged.close()

    def write(self, record: Record) -> None:
        """Write the hub's slot of the state table; one that was damaged waits for `mend`."""
        self._slot.write(record)

    def beat(self, beat: float) -> None:
        """Write the time of a heartbeat at which nothing else has changed, monotonic seconds."""
        self._slot.beat(beat)

    def publish(self, tokens: Mapping[str, str], *, timeout: float = _MUTEX_TIMEOUT) -> None:
        """Write the lock file, then point the stable name at it.

        Parameters
        ----------
        tokens : dict of str to str
            What the lock file says.
        timeout : float
            How long to wait for the mutex, seconds.

        Raises
        ------
        WrongUse
            Another hub has published the label since it was claimed.
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        text = lockfile.write(tokens, comment=f"SAMP hub of hubfarm on {self._lockdir.paths.host}")
        with self._lockdir.mutex(timeout):
            if self.stable_name is not None:
                self._lockdir.check_label_free(self.stable_name.name, but_for=self.name)
            write_private(self.path, text)
            if self.stable_name is not None:
                _point(self.stable_name, self.path)
        self._tokens = tokens
        self._published = _lstat(self.path)

    def mend(self, record: Record) -> list[str]:
        """Put back what others have removed or damaged, and say what it was.

        Cheap when nothing is wrong: a handful of stat calls.

        Parameters
        ----------
        record : Record
            The hub's own, should the state table have to be made again.

        Raises
        ------
        HubfarmError
            Something cannot be put back, now; the next call tries again.
        """
        mended: list[str] = []
        if self._tokens is None:
            return mended
        lost = [path for path, identity in self._held.items() if _identity(path) != identity]
        no_table = not self._table.is_sound()
        if lost or no_table:
            self._lockdir.paths.prepare()
            with self._lockdir.mutex(timeout=_MEND_TIMEOUT):
                for path in lost:
                    old = self._guards[path]
                    self._take_guard(path, f"the guard {path}")
                    old.release()
                    mended.append(f"the guard {path}")
                if no_table:
                    self._retake_slot(record)
                    mended.append("the slot of the state table")
        if not _same_file(self._published, _lstat(self.path)):
            self._lockdir.paths.prepare()
            self.publish(self._tokens, timeout=_MEND_TIMEOUT)
            mended.append(f"the lock file {self.path}")
        if self.stable_name is not None and not _points_to(self.stable_name, self.path):
            _point(self.stable_name, self.path)
            mended.append(f"the stable name {self.stable_name}")
        return mended

    def unpublish(self) -> None:
        """Remove the lock file and the stable name, if they are still ours."""
        self._tokens = None
        self._make_way()
        with self._lockdir.mutex():
            self._unpublish()

    def _make_way(self) -> None:
        # Without its directory there is no mutex to be had: somebody may have removed it just now.
        with contextlib.suppress(HubfarmError):
            self._lockdir.paths.prepare()

    def _unpublish(self) -> None:
        with contextlib.suppress(OSError):
            entry = self._lockdir.read(self.path)
            if entry.standing is Standing.ALIVE and entry.name == self.name:
                self.path.unlink()
        if self.stable_name is not None and _points_to(self.stable_name, self.path):
            with contextlib.suppress(OSError):
                self.stable_name.unlink()

    def withdraw(self) -> None:
        """Remove the lock file and the stable name, then give slot and guards back."""
        self._make_way()
        with self._lockdir.mutex():
            self._unpublish()
            self._slot.clear()
            self._give_guards_back()
        self._table.close()

    def _give_guards_back(self) -> None:
        for guard in self._guards.values():
            with contextlib.suppress(OSError):
                os.unlink(guard.lock_file)
            guard.release()


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    status = _lstat(path)
    return file_identity(status) if status else None


def _same_file(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Tell whether a file is the very one that was written, unchanged since (its mode included)."""
    if one is None or other is None:
        return False
    return all(
        getattr(one, key) == getattr(other, key) for key in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_mode")
    )


def _point(link: Path, target: Path) -> None:
    temporary = _temporary(link)
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(target)
        os.replace(temporary, link)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HubfarmError(f"cannot write the stable name {link}: {error.strerror}") from None


def _points_to(link: Path, target: Path) -> bool:
    try:
        return os.readlink(link) == str(target)
    except OSError:
        return False


class LockDir:
    """The lock files of one home, as this host sees them.

    Parameters
    ----------
    paths : Paths
        Where they lie.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    @contextlib.contextmanager
    def mutex(self, timeout: float = _MUTEX_TIMEOUT) -> Iterator[None]:
        """Hold the mutex under which guards, slots and stable names change.

        Parameters
        ----------
        timeout : float
            How long to wait for it, seconds.

        Raises
        ------
        HubfarmError
            Another process has held it for so long.
        """
        lock = _file_lock(self.paths.mutex, timeout=timeout)
        try:
            lock.acquire()
        except TimeoutError:
            raise HubfarmError(f"{self.paths.mutex} has been locked for {timeout:g} s by another process") from None
        except OSError as error:
            raise HubfarmError(f"cannot lock {self.paths.mutex}: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()

    def guard_path(self, name: HubName) -> Path:
        """Return the guard of the hub `name`."""
        return self.paths.guards / f"{PREFIX}-{name}"

    def lock_path(self, name: HubName) -> Path:
        """Return the lock file of the hub `name`."""
        return self.paths.lockdir / f"{PREFIX}-{name}"

    def is_alive(self, name: HubName) -> bool:
        """Tell whether the hub `name` of this host is alive: whether its guard is held."""
        return guard_is_held(self.guard_path(name))

    def others_live(self, own: Collection[Path]) -> bool:
        """Tell whether a hub of this host is alive, published or not, whose guard is none of our `own`."""
        return any(guard not in own and guard_is_held(guard) for guard in self.paths.guards.iterdir())

    def claim(self, spec: HubSpec, *, path: Path | None = None) -> Claim:
        """Take guard and slot for a hub of this process; the lock file does not appear yet.

        Parameters
        ----------
        spec : HubSpec
            The hub; with the id 0 it is given the next free one, see `Claim.name`.
        path : Path, optional
            The lock file, if it is not to be ``~/.samp-1/samp-hub-<PID>-<ID>``.

        Raises
        ------
        HubfarmError
            The guard is held, the label is in use, or the state table is full.
        """
        now = time.monotonic()
        with self.mutex():
            name = HubName(os.getpid(), spec.id or self.next_id(set()))
            self.check_label_free(spec.label, but_for=name)
            claim = Claim(self, name, path or self.lock_path(name), spec.label)
            guards = {self.guard_path(name): f"the name {name}"}
            if path is not None:
                guards[self._path_guard(path)] = f"the lock file {path}"
            claim.take(guards, Record(*name, HubState.STARTING, started=now, beat=now, active=now))
        return claim

    def _path_guard(self, path: Path) -> Path:
        # Keeps two hubs from one lock file outside the lock directory, whose name tells no PID.
        return self.paths.guards / f"path-{sha256(os.fsencode(path)).hexdigest()[:16]}"

    def clear_dead(self, name: HubName, label: str) -> None:
        """Remove lock file, guard and stable name of a hub that has died; those of a living one stay."""
        lock_path, stable_name = self.lock_path(name), self.paths.by_label / label
        with self.mutex():
            if self.is_alive(name):
                return
            for path in (
                lock_path,
                self.guard_path(name),
                *([stable_name] if _points_to(stable_name, lock_path) else []),
            ):
                with contextlib.suppress(OSError):
                    path.unlink()

    def check_label_free(self, label: str, *, but_for: HubName) -> None:
        """Refuse a label that another living hub of this host bears; its stable name tells.

        Parameters
        ----------
        label : str
            Empty for none, which is always free.
        but_for : HubName
            Who asks.

        Raises
        ------
        WrongUse
            It is in use; the message says by which hub.
        """
        try:
            holder = self.read(Path(os.readlink(self.paths.by_label / label)))
        except OSError:
            return
        if holder.standing is Standing.ALIVE and holder.name != but_for:
            raise WrongUse(f"the label {label} is in use by the hub {holder.name}: choose another or stop that hub")

    def living(self) -> list[Entry]:
        """Return the lock files of the hubs of this host that are alive by their guards."""
        return [entry for entry in self.scan() if entry.standing is Standing.ALIVE]

    def labels(self) -> dict[str, str]:
        """Return the labels in use on this host, and the ``<PID>-<ID>`` of each one's hub."""
        return {entry.label: str(entry.name) for entry in self.living() if entry.label}

    def lock_files(self) -> list[Path]:
        """Return the lock files there are, ``~/.samp`` first, then by name.

        Raises
        ------
        HubfarmError
            The lock directory cannot be read.
        """
        try:
            names = sorted(name for name in os.listdir(self.paths.lockdir) if name.startswith(PREFIX))
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise HubfarmError(f"cannot read the directory {self.paths.lockdir}: {error.strerror}") from None
        single = [self.paths.single] if os.path.lexists(self.paths.single) else []
        return single + [self.paths.lockdir / name for name in names]

    def scan(self) -> list[Entry]:
        """Read and judge every lock file there is.

        A file that vanishes meanwhile is left out; one that cannot be read has a `problem`.
        """
        entries = []
        for path in self.lock_files():
            with contextlib.suppress(FileNotFoundError):
                entries.append(self.read(path))
        return entries

    def read(self, path: Path) -> Entry:
        """Read and judge the lock file `path`.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        tokens: Mapping[str, str] = {}
        problem = ""
        try:
            tokens = lockfile.parse(read_private(path, follow=path == self.paths.single))
            lockfile.check_required(tokens)
        except BadLockFile as error:
            problem = str(error)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise
            problem = "a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
        name = parse_name(path.name) if path.parent == self.paths.lockdir else _name_in(tokens)
        return Entry(path, name, self._standing(name, tokens), tokens, problem)

    def _standing(self, name: HubName | None, tokens: Mapping[str, str]) -> Standing:
        host = tokens.get("hubfarm.host")
        if host is not None and host != self.paths.host:
            return Standing.ELSEWHERE
        if name is None:
            return Standing.FOREIGN
        guard = self.guard_path(name)
        if guard_is_held(guard):
            return Standing.ALIVE
        # A damaged file of ours says no host, but its guard is there.
        return Standing.DEAD if host is not None or guard.exists() else Standing.FOREIGN

    def next_id(self, taken: set[int]) -> int:
        """Return an id above all that living hubs of this host and `taken` bear."""
        used = {entry.name.id for entry in self.living() if entry.name}
        return max(used | taken, default=0) + 1


def _name_in(tokens: Mapping[str, str]) -> HubName | None:
    return parse_name(f"{PREFIX}-{tokens.get('hubfarm.pid')}-{tokens.get('hubfarm.id')}")


def _file_lock(path: Path, *, timeout: float) -> "FileLock":
    from filelock import FileLock  # with asyncio and logging: 20 ms, which `hubfarm ls` need not pay

    # No soft fall-back: a lock that outlives its holder proves nothing.
    return FileLock(path, timeout=timeout, mode=0o600, thread_local=False, poll_interval=0.005, fallback_to_soft=False)
