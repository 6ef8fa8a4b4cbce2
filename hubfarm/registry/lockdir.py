"""The lock files of one host, as they are found and judged; how a hub gets its own is in `claim.py`.

A lock file says who *claims* to run; only its guard proves it.  A hub holds its
guard from before its lock file appears until after it is gone, and the kernel drops the guard
when the process dies, however it dies.  So a guard that is free shows that its hub is dead:
if it is the very file that the lock file names, and lies where this farm keeps its guards.  Of other
hubs nothing is known from here, and in doubt they live.

Rule: guards, state-table slots and stable names are made and removed under one mutex, so that
a sweep never sees a guard that is made but not yet held.
"""

import contextlib
import errno
import os
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

from hubfarm.registry.entry import (
    GUARD,
    GUARD_FILE,
    PREFIX,
    Entry,
    Standing,
    check_url,
    guard_named_in,
    name_in,
    parse_name,
)
from hubfarm.registry.files import identity_of, lasting_identity, points_to, read_private
from hubfarm.registry.locks import guard_is_held, holding
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.registry.whereabouts import Where, where_is, whereabouts
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse

MUTEX_TIMEOUT = 30.0
"""How long the mutex is waited for, seconds."""


class LockDir:
    """The lock files of one home, as this host sees them.

    Parameters
    ----------
    paths : Paths
        Where they lie.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def mutex(self, timeout: float = MUTEX_TIMEOUT) -> AbstractContextManager[None]:
        """Return the mutex under which guards, slots and stable names change, to be held by ``with``.

        Parameters
        ----------
        timeout : float
            How long to wait for it, seconds.

        Raises
        ------
        HubfarmError
            Another process has held it for that long.
        """
        return holding(self.paths.mutex, timeout=timeout, by="another process")

    def guard_path(self, name: HubName) -> Path:
        """Return the guard of the hub `name`."""
        return self.paths.guards / f"{PREFIX}-{name}"

    def lock_path(self, name: HubName) -> Path:
        """Return the lock file of the hub `name`."""
        return self.paths.lockdir / f"{PREFIX}-{name}"

    def text(self, tokens: Mapping[str, str], guard: Path) -> str:
        """Return a lock file's text.

        Parameters
        ----------
        tokens : dict of str to str
            What it says; where the process is, and which its guard is, by which `read` judges whether it lives, is
            added here.
        guard : Path
            The guard; it lies there already.
        """
        # The path is quoted, as other clients' readers take no second "=" in a line.
        proof = {GUARD: quote(os.fsencode(guard)), GUARD_FILE: lasting_identity(guard)}
        return lockfile.write({**tokens, **whereabouts(), **proof}, f"SAMP hub of hubfarm on {self.paths.host}")

    def is_alive(self, name: HubName) -> bool:
        """Tell whether the hub `name` of this host is alive: whether its guard is held."""
        return guard_is_held(self.guard_path(name))

    def is_dormant(self, name: HubName) -> bool:
        """Tell whether the hub `name` sleeps, or did when its coordinator died; see `hubfarm.registry.asleep`."""
        return _is_coordinators(identity_of(self.guard_path(name)), self.paths)

    def others_live(self, own: Collection[Path]) -> bool:
        """Tell whether a hub of this host is alive, published or not, whose guard is none of our `own`."""
        return any(guard not in own and guard_is_held(guard) for guard in self.paths.guards.iterdir())

    def living_ids(self, *, with_process: bool = False) -> set[int]:
        """Return the ids of the hubs of this host that are alive by their guards, published or not.

        Parameters
        ----------
        with_process : bool
            Without those that sleep.
        """
        alive = (name for name in self._names() if self.is_alive(name))
        return {name.id for name in alive if not (with_process and self.is_dormant(name))}

    def dormant(self) -> dict[int, HubName]:
        """Return the hubs that sleep, or did when their coordinator died, by their ids."""
        return {name.id: name for name in self._names() if self.is_dormant(name)}

    def _names(self) -> list[HubName]:
        try:
            names = [parse_name(name) for name in os.listdir(self.paths.guards)]
        except OSError:
            return []
        return [name for name in names if name is not None]

    def clear_dead(self, name: HubName, label: str) -> None:
        """Remove lock file, guard and stable name of a hub that has died, or slept; those of a process stay."""
        lock_path, stable_name = self.lock_path(name), self.paths.by_label / label
        with self.mutex():
            if self.is_alive(name) and not self.is_dormant(name):
                return
            for path in (
                lock_path,
                self.guard_path(name),
                *([stable_name] if points_to(stable_name, lock_path) else []),
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
        if holder.standing is Standing.ALIVE and holder.name is not None and holder.name.id != but_for.id:
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
            The lock directory cannot be read, or is not to be trusted; see `Paths.check_trusted`.
        """
        self.paths.check_trusted()
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

        A file that vanishes meanwhile is left out; one that cannot be read has a `problem`.  So is what a hub that has
        woken just now had while it slept.
        """
        entries = []
        for path in self.lock_files():
            with contextlib.suppress(FileNotFoundError):
                entries.append(self.read(path))
        if not any(entry.dormant for entry in entries):
            return entries
        alive = (entry for entry in entries if entry.standing is Standing.ALIVE and not entry.dormant)
        awake = {entry.name.id for entry in alive if entry.name is not None}
        return [entry for entry in entries if not (entry.dormant and entry.name and entry.name.id in awake)]

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
            check_url(lockfile.check_required(tokens)[lockfile.URL])
        except BadLockFile as error:
            problem = str(error)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise
            problem = "a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
        name = parse_name(path.name) if path.parent == self.paths.lockdir else name_in(tokens)
        dormant = name is not None and self.is_dormant(name)  # first: it may be woken just now, and not live any more
        return Entry(path, name, self._standing(name, tokens), tokens, problem, dormant)

    def present(self, tokens: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return what leads to a hub now whose lock file said `tokens` once: a successor's, if it was replaced.

        None if it is one of this farm's that has ended and has no successor: what listens at its port is none of ours.
        """
        name = name_in(tokens)
        here = where_is(tokens, self.paths.host) is Where.HERE
        if name is None or not here or guard_named_in(tokens) != self.guard_path(name) or self.is_alive(name):
            return tokens
        from hubfarm.registry.tickets import is_ticket  # msgspec, which `hubfarm ls` need not pay for

        secret = tokens.get(lockfile.SECRET, "")
        for each in self.living():
            if each.tokens.get(lockfile.URL) != tokens.get(lockfile.URL):
                continue
            if each.tokens.get(lockfile.SECRET) == secret:
                return each.tokens
            if is_ticket(secret):
                return {**each.tokens, lockfile.SECRET: secret}
        return None

    def _standing(self, name: HubName | None, tokens: Mapping[str, str]) -> Standing:
        if name is None:
            return Standing.ELSEWHERE if where_is(tokens, self.paths.host) is Where.AWAY else Standing.FOREIGN
        guard = self._own_guard(name, tokens)
        held = guard is not None and guard_is_held(guard)
        match where_is(tokens, self.paths.host):
            case Where.HERE if guard is not None:
                return Standing.ALIVE if held else Standing.DEAD
            case Where.HERE:
                return Standing.FOREIGN
            case Where.BESIDE:  # a free guard is one for all containers of a host, a PID is not
                return Standing.DEAD if guard is not None and not held else Standing.ELSEWHERE
            case Where.BEFORE if not held:
                return Standing.DEAD
            case Where.UNKNOWN if not held and (guard is not None or GUARD_FILE not in tokens):
                return Standing.FOREIGN
            case _:
                return Standing.ELSEWHERE

    def _own_guard(self, name: HubName, tokens: Mapping[str, str]) -> Path | None:
        """Return the guard of the hub `name` if it is this farm's, and still the one that its lock file names."""
        guard = self.guard_path(name)
        # Earlier releases do not name it, and a damaged lock file neither.
        identity = lasting_identity(guard)
        if identity and _is_coordinators(identity_of(guard), self.paths):
            return guard  # it sleeps, and its lock file is as its last worker has left it
        return guard if identity and tokens.get(GUARD_FILE, identity) == identity else None

    def next_id(self, taken: set[int]) -> int:
        """Return an id above all that hubs of this farm and `taken` bear; call under the mutex to be given it alone.

        Those count too that have not published their lock file yet, and those that come back.
        """
        from hubfarm.registry.wanted import Wanted  # msgspec, which `hubfarm ls` need not pay for

        wanted = {wish.spec.id for wish in Wanted(self.paths).all()}
        return max(self.living_ids() | wanted | taken, default=0) + 1

    def check_id_free(self, name: HubName) -> None:
        """Refuse the id of a hub that is to start, if another living one bears it.

        Raises
        ------
        HubfarmError
            It does: both have chosen it at the same moment.
        """
        with contextlib.suppress(OSError):
            for other in map(parse_name, os.listdir(self.paths.guards)):
                if other is None or other.id != name.id or other == name or self.is_dormant(other):
                    continue
                if self.is_alive(other):
                    raise HubfarmError(f"the id {name.id} was taken by the hub {other} at this moment: start again")


def _is_coordinators(guard: tuple[int, int] | None, paths: Paths) -> bool:
    return guard is not None and guard == identity_of(paths.coordinator_guard)
