"""How a hub that sleeps stands in the registry: its guard is a link to the coordinator's, and all else stays.

A guard proves that somebody lives who holds it.  A hub that sleeps has no process; what answers for it is the
coordinator, which listens at its socket.  So its guard is a hard link to the coordinator's own: a lock is on the file,
whatever it is called, is free when the coordinator dies, and held again by the next one.  A thousand hubs that sleep
cost one lock, and neither the death of a coordinator nor a new one changes any of their files.

Lock file and stable name are those of the last worker, under its PID: who found the hub by them finds it still.  A hub
that has had no process yet is published under the coordinator's PID.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from hubfarm.registry.files import (
    identity_of,
    lstat_or_none,
    point,
    points_to,
    read_private,
    same_file,
    write_private,
)
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError


class Sleeper:
    """The files of one hub that sleeps; for its coordinator, which puts them back if others remove them.

    Parameters
    ----------
    lockdir : LockDir
        Where its lock file lies.
    name : HubName
        Under which it is published: its last worker's, or the coordinator's.
    label : str
        Whose stable name leads to it.
    """

    def __init__(self, lockdir: LockDir, name: HubName, label: str) -> None:
        self.name = name
        self._lockdir = lockdir
        self._path = lockdir.lock_path(name)
        self._guard = lockdir.guard_path(name)
        self._stable_name = lockdir.paths.by_label / label
        self._text = ""
        self._published: os.stat_result | None = None

    def lies_down(self) -> bool:
        """Take over what its worker has left; tell whether that is all there."""
        try:
            text = read_private(self._path)
            lockfile.check_required(lockfile.parse(text))
        except (OSError, BadLockFile):
            return False
        self._text, self._published = text, lstat_or_none(self._path)
        with contextlib.suppress(HubfarmError):
            self.mend()
            return True
        return False

    def publish(self, tokens: Mapping[str, str]) -> None:
        """Write all there is of it.

        Parameters
        ----------
        tokens : dict of str to str
            What its lock file says; see `LockDir.text`.

        Raises
        ------
        WrongUse
            The label is in use.
        HubfarmError
            The disk is full, or a directory cannot be written.
        """
        with self._lockdir.mutex():
            self._lockdir.check_label_free(self._stable_name.name, but_for=self.name)
            link_guard(self._guard, self._lockdir.paths)
            self._text = self._lockdir.text(tokens, self._guard)
            self._write()
            point(self._stable_name, self._path)

    def _write(self) -> None:
        write_private(self._path, self._text)
        self._published = lstat_or_none(self._path)

    def mend(self) -> list[str]:
        """Put back what others have removed or damaged, and say what it was; four stat calls if it is nothing.

        Raises
        ------
        HubfarmError
            It cannot be put back, now; the next call tries again.
        """
        mended = []
        if not self._lockdir.is_dormant(self.name):
            link_guard(self._guard, self._lockdir.paths)
            mended.append(f"the guard {self._guard}")
        if not same_file(self._published, lstat_or_none(self._path)):
            self._write()
            mended.append(f"the lock file {self._path}")
        if not points_to(self._stable_name, self._path):
            point(self._stable_name, self._path)
            mended.append(f"the stable name {self._stable_name}")
        return mended


def link_guard(guard: Path, paths: Paths) -> None:
    """Let the coordinator's guard be that of a hub, in place of its own if it has one; atomically.

    Raises
    ------
    HubfarmError
        It cannot be made.
    """
    if identity_of(guard) == identity_of(paths.coordinator_guard) is not None:
        return  # to rename one name of a file to another leaves both
    temporary = guard.with_name(f".new-{guard.name}")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        os.link(paths.coordinator_guard, temporary, follow_symlinks=False)
        os.replace(temporary, guard)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HubfarmError(f"cannot link the guard {guard} to the coordinator's: {error.strerror}") from None


def some_sleep(paths: Paths) -> bool:
    """Tell whether hubs of the farm sleep, or did when their coordinator died: one look, however many there are."""
    try:
        return os.stat(paths.coordinator_guard, follow_symlinks=False).st_nlink > 1
    except OSError:
        return False
