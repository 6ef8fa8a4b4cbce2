"""Small private files, links and locks: written whole, read with care, asked about without disturbing."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hubfarm.samp.errors import BadLockFile, HubfarmError

if TYPE_CHECKING:
    from filelock import FileLock

_MAX_LOCK_FILE = 64 * 2**10


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


def file_identity(status: os.stat_result) -> tuple[int, int]:
    """Return what tells one file from another that took its name."""
    return status.st_dev, status.st_ino


def lstat_or_none(path: Path) -> os.stat_result | None:
    """Return the status of `path`, a link not followed; None if there is none."""
    try:
        return path.lstat()
    except OSError:
        return None


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from another that took its name; None if there is none."""
    status = lstat_or_none(path)
    return file_identity(status) if status else None


def point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, whatever it was before; atomically.

    Raises
    ------
    HubfarmError
        It cannot be made.
    """
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


def points_to(link: Path, target: Path) -> bool:
    """Tell whether `link` is a symbolic link to `target`."""
    try:
        return os.readlink(link) == str(target)
    except OSError:
        return False


def file_lock(path: Path, *, timeout: float) -> "FileLock":
    """Return a filelock on `path`, to be acquired within `timeout` seconds."""
    from filelock import FileLock  # with asyncio and logging: 20 ms, which `hubfarm ls` need not pay

    # No soft fall-back: a lock that outlives its holder proves nothing.
    return FileLock(path, timeout=timeout, mode=0o600, thread_local=False, poll_interval=0.005, fallback_to_soft=False)


@contextlib.contextmanager
def holding(path: Path, *, timeout: float, by: str) -> Iterator[None]:
    """Hold the lock `path` for a while.

    Parameters
    ----------
    path : Path
        The lock.
    timeout : float
        How long to wait for it, seconds.
    by : str
        Who else may hold it, for the error.

    Raises
    ------
    HubfarmError
        Another process has held it for so long, or it cannot be made.
    """
    lock = file_lock(path, timeout=timeout)
    try:
        lock.acquire()
    except TimeoutError:
        raise HubfarmError(f"{path} has been locked for {timeout:g} s by {by}") from None
    except OSError as error:
        raise HubfarmError(f"cannot lock {path}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
