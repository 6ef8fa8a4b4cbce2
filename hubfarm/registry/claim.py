"""One hub's hold on its lock file: guard, slot, lock file and stable name, taken, mended, given back."""

import contextlib
import os
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hubfarm.registry.asleep import link_guard
from hubfarm.registry.entry import Standing
from hubfarm.registry.files import (
    file_identity,
    identity_of,
    lasting_identity,
    lstat_or_none,
    point,
    points_to,
    same_file,
    write_private,
)
from hubfarm.registry.lockdir import MUTEX_TIMEOUT, LockDir
from hubfarm.registry.locks import Lock, guard_is_held
from hubfarm.registry.statetable import HubName, Record, SlotWriter, StateTable
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.states import HubState

if TYPE_CHECKING:
    from hubfarm.spec.hub_spec import HubSpec  # who takes a claim has one

_GUARD_TIMEOUT = 5.0
_MEND_TIMEOUT = 0.5  # a hub must not stand still for long


def claim_for(spec: "HubSpec", lockdir: LockDir, *, path: Path | None = None) -> "Claim":
    """Take guard and slot for a hub of this process; the lock file does not appear yet.

    Parameters
    ----------
    spec : HubSpec
        The hub; with the id 0 it is given the next free one, see `Claim.name`.
    lockdir : LockDir
        Where its lock file is to lie.
    path : Path, optional
        The lock file, if it is not to be ``~/.samp-1/samp-hub-<PID>-<ID>``.

    Raises
    ------
    HubfarmError
        The guard is held, the id or the label is in use, or the state table is full.
    """
    now = time.monotonic()
    with lockdir.mutex():
        name = HubName(os.getpid(), spec.id or lockdir.next_id(set()))
        if not spec.restarts:
            lockdir.check_id_free(name)
        if lockdir.is_dormant(name):  # this process has the PID of the worker that fell asleep
            lockdir.guard_path(name).unlink()
        lockdir.check_label_free(spec.label, but_for=name)
        Wanted(lockdir.paths).check_label_free(spec.label, but_for=name.id)
        claim = Claim(lockdir, name, path or lockdir.lock_path(name), spec.label)
        guards = {lockdir.guard_path(name): f"the name {name}"}
        if path is not None:
            guards[_path_guard(lockdir, path)] = f"the lock file {path}"
        claim.take(guards, Record(*name, HubState.STARTING, started=now, beat=now, active=now))
    return claim


def _path_guard(lockdir: LockDir, path: Path) -> Path:
    # Keeps two hubs from one lock file outside the lock directory, whose name tells no PID.
    return lockdir.paths.guards / f"path-{sha256(os.fsencode(path)).hexdigest()[:16]}"


class Claim:
    """One hub's hold on its lock file: made by `claim_for`, ended by `withdraw`.

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

    def __init__(self, lockdir: LockDir, name: HubName, path: Path, label: str) -> None:
        self.name = name
        self.path = path
        self.stable_name = lockdir.paths.by_label / label if label else None
        self._lockdir = lockdir
        self._guards: dict[Path, Lock] = {}
        self._held: dict[Path, tuple[int, int]] = {}
        self._tokens: Mapping[str, str] | None = None
        self._guard = lockdir.guard_path(name)
        self._guard_file = ""  # as the lock file names it
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
        guard = Lock(path)
        try:
            guard.acquire(_GUARD_TIMEOUT)  # longer than any reader's look at it takes
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
        if identity_of(damaged.path) == damaged.identity:
            damaged.path.unlink()  # ours, and written over: what somebody else put in its place would stay
        self._take_slot(record)
        damaged.close()

    def write(self, record: Record) -> None:
        """Write the hub's slot of the state table; one that was damaged waits for `mend`."""
        self._slot.write(record)

    def beat(self, beat: float) -> None:
        """Write the time of a heartbeat at which nothing else has changed, monotonic seconds."""
        self._slot.beat(beat)

    def publish(self, tokens: Mapping[str, str], *, timeout: float = MUTEX_TIMEOUT) -> None:
        """Write the lock file, then point the stable name at it.

        Parameters
        ----------
        tokens : dict of str to str
            What the lock file says; where the process is, and which its guard is, by which `LockDir.read` judges
            whether it lives, is added here.
        timeout : float
            How long to wait for the mutex, seconds.

        Raises
        ------
        WrongUse
            Another hub has published the label since it was claimed.
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        guard_file = lasting_identity(self._guard)
        text = self._lockdir.text(tokens, self._guard)
        with self._lockdir.mutex(timeout):
            if self.stable_name is not None:
                self._lockdir.check_label_free(self.stable_name.name, but_for=self.name)
            write_private(self.path, text)
            if self.stable_name is not None:
                point(self.stable_name, self.path)
        self._tokens = tokens
        self._guard_file = guard_file
        self._published = lstat_or_none(self.path)

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
        lost = [path for path, identity in self._held.items() if identity_of(path) != identity]
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
        named = self._guard_file == lasting_identity(self._guard)
        if not named or not same_file(self._published, lstat_or_none(self.path)):
            self._lockdir.paths.prepare()
            self.publish(self._tokens, timeout=_MEND_TIMEOUT)
            mended.append(f"the lock file {self.path}")
        if self.stable_name is not None and not points_to(self.stable_name, self.path):
            point(self.stable_name, self.path)
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
            ours = entry.standing is Standing.ALIVE and entry.name == self.name
            if ours or same_file(self._published, lstat_or_none(self.path)):  # even if our guard was just removed
                self.path.unlink()
        if self.stable_name is not None and points_to(self.stable_name, self.path):
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

    @property
    def former(self) -> Record | None:
        """What the state table said of the hub before it woke; None if it did not sleep."""
        return self._slot.former

    def lie_down(self, record: Record) -> None:
        """Leave all files as they are, for a hub that sleeps; the coordinator's guard takes the place of ours.

        Parameters
        ----------
        record : Record
            What the state table is to say meanwhile.

        Raises
        ------
        HubfarmError
            The guard cannot be made; then nothing has changed.
        """
        self._make_way()
        with self._lockdir.mutex():
            link_guard(self._guard, self._lockdir.paths)
            self._tokens = None
            self._slot.write(record)
            for guard in self._guards.values():
                guard.release()
        self._table.close()

    def leave(self) -> None:
        """Give slot and guards back, and leave all files until a successor has its own."""
        self._tokens = None
        self._make_way()
        with self._lockdir.mutex():
            self._slot.clear()
            for guard in self._guards.values():
                guard.release()
        self._table.close()

    def _give_guards_back(self) -> None:
        for guard in self._guards.values():
            with contextlib.suppress(OSError):
                os.unlink(guard.path)
            guard.release()
