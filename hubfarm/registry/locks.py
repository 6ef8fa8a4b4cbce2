"""Locks on files, by filelock: the kernel takes them back when their holder dies, however it dies.

Rule: a process that this one forks holds none.

By filelock's descriptor locks, not its `FileLock`, whose care for what we do not need (locks on other systems,
stale ones, one object in several threads) is a hundred functions, and to run them made each worker's own
memory 0.7 MB larger.  Both exclude each other.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from hubfarm.registry.files import file_identity, identity_of
from hubfarm.samp.errors import HubfarmError

_POLL = 0.005
"""Between two tries to take a lock, seconds: what is held for long is held for milliseconds."""


class Lock:
    """A lock on a file, held from `acquire` to `release`.

    Parameters
    ----------
    path : Path
        The file, which is made if it is missing (mode 0600).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self, timeout: float) -> None:
        """Take the lock.

        Parameters
        ----------
        timeout : float
            How long to wait for it, seconds.

        Raises
        ------
        TimeoutError
            Another has held it for that long.
        OSError
            The file cannot be made or opened.
        """
        until = time.monotonic() + timeout
        while (descriptor := _try(self.path)) < 0:
            if time.monotonic() >= until:
                raise TimeoutError
            time.sleep(_POLL)
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Give it back, if it is held; the file stays."""
        if self in _held:
            from filelock import unlock_descriptor

            unlock_descriptor(self._descriptor)  # also for a child that is being forked just now
            self._close()

    def keep_over_exec(self) -> None:
        """Leave it to the program that takes this process's place, and to what that starts."""
        os.set_inheritable(self._descriptor, True)

    def _close(self) -> None:
        _held.remove(self)
        os.close(self._descriptor)


_held: set[Lock] = set()


def _hold_none() -> None:
    for lock in list(_held):
        lock._close()


os.register_at_fork(after_in_child=_hold_none)


def _try(path: Path) -> int:
    """Return a descriptor of `path` that holds its lock, or -1 if another does."""
    from filelock import lock_descriptor  # 20 ms, which `hubfarm ls` need not pay

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        locked = lock_descriptor(descriptor, blocking=False)
        if locked and file_identity(os.fstat(descriptor)) == identity_of(path):  # it was not removed meanwhile
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return -1


def guard_is_held(guard: Path) -> bool:
    """Tell whether a living process holds `guard`.

    The shared flock disturbs neither the holder nor others who ask at the same time, which taking it would.
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
        Another process has held it for that long, or it cannot be made.
    """
    lock = Lock(path)
    try:
        lock.acquire(timeout)
    except TimeoutError:
        raise HubfarmError(f"{path} has been locked for {timeout:g} s by {by}") from None
    except OSError as error:
        raise HubfarmError(f"cannot lock {path}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
