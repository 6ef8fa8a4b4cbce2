"""Small private files and links: written whole, read with care."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hubfarm.samp.errors import BadLockFile, HubfarmError

_MAX_LOCK_FILE = 64 * 2**10


def read_private(path: Path, *, follow: bool = False, most: int = _MAX_LOCK_FILE) -> str:
    """Return the text of a small regular file; anything else in its place is an error.

    Parameters
    ----------
    path : Path
        The file.
    follow : bool
        Take a symbolic link too.
    most : int
        How large it may be, bytes; by default, as large as a lock file.

    Raises
    ------
    OSError
        It cannot be opened, or (unless `follow`) is a symbolic link.
    BadLockFile
        It is no regular file, is larger than `most`, or is not text.
    """
    return read_with_status(path, follow=follow, most=most)[0]


def read_own(path: Path, most: int) -> tuple[str, os.stat_result]:
    """Return the text of a file that is this account's and for it alone, and the status of the very file that was read.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        How large it may be, bytes.

    Raises
    ------
    OSError
        It cannot be opened, or is a symbolic link.
    BadLockFile
        It is no regular file, is larger than `most`, belongs to another account, or others may use it.
    """
    text, status = read_with_status(path, most=most)
    if status.st_uid != os.getuid():
        raise BadLockFile(f"it belongs to user {status.st_uid}, not to you")
    if status.st_mode & 0o077:
        raise BadLockFile(f"others may use it: chmod 600 {path}")
    return text, status


def read_with_status(path: Path, *, follow: bool = False, most: int = _MAX_LOCK_FILE) -> tuple[str, os.stat_result]:
    """Return the text of a small regular file, and the status of the very file that was read; see `read_private`."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadLockFile("not a regular file")
        data = os.read(descriptor, most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise BadLockFile(f"larger than {most} bytes")
    try:
        return data.decode(), status
    except UnicodeDecodeError:
        return data.decode("latin-1"), status


def write_private(path: Path, content: str | bytes) -> None:
    """Write `path` whole: a reader sees the old content or the new, never half (mode 0600).

    Raises
    ------
    HubfarmError
        The disk is full, or the directory cannot be written.
    """
    with _replacing(path, "") as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def _replacing(path: Path, what: str) -> Iterator[Path]:
    """Give a name to make something under; it takes the place of `path` once it is made."""
    # Not beginning with samp-hub: foreign clients take every such file for a hub.
    temporary = path.with_name(f".new-{path.name.removeprefix('.')}")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HubfarmError(f"cannot write {what}{path}: {error.strerror}") from None


def file_identity(status: os.stat_result) -> tuple[int, int]:
    """Return what tells one file from another that took its name."""
    return status.st_dev, status.st_ino


def lstat_or_none(path: Path) -> os.stat_result | None:
    """Return the status of `path`, a link not followed; None if there is none."""
    try:
        return path.lstat()
    except (OSError, ValueError):  # a path that somebody else has written may hold anything
        return None


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from another that took its name; None if there is none."""
    status = lstat_or_none(path)
    return file_identity(status) if status else None


def lasting_identity(path: Path) -> str:
    """Return what tells the file at `path` from others, also from another mount of its file system; empty if none is.

    Inodes alone are given out again, and every small file system has a low one.
    """
    status = lstat_or_none(path)
    return f"{status.st_ino}:{status.st_mtime_ns}" if status else ""


def point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, whatever it was before; atomically.

    Raises
    ------
    HubfarmError
        It cannot be made.
    """
    with _replacing(link, "the stable name ") as temporary:
        temporary.symlink_to(target)


def points_to(link: Path, target: Path) -> bool:
    """Tell whether `link` is a symbolic link to `target`."""
    try:
        return os.readlink(link) == str(target)
    except OSError:
        return False


def same_file(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Tell whether a file is the very one that was written, unchanged since (its mode included)."""
    if one is None or other is None:
        return False
    return all(
        getattr(one, key) == getattr(other, key) for key in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_mode")
    )


def changed_at(path: Path) -> int | None:
    """Return when a file was written to last, or a directory had a name added or removed; None if there is none."""
    status = lstat_or_none(path)
    return status.st_mtime_ns if status else None
