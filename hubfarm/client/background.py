"""One event loop in one thread, and a pool of workers: what all synchronous clients of a process share.

The thread starts with the first who needs it and ends with the last.  A program that forks has
none in its child: clients made before the fork are the parent's.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from hubfarm.samp.toolkit import SAMPClientError

WORKERS = 128
"""Callbacks that may run at once, whichever client's they are; a thread is made when none is free."""

GRACE = 5.0
"""How long the last one to leave waits for a thread that runs somebody's callback, seconds."""

T = TypeVar("T")


class Background:
    """The loop and the pool; made by `acquire`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.pool = ThreadPoolExecutor(WORKERS, "hubfarm-callback", self._note_worker)
        self._workers: set[threading.Thread] = set()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="hubfarm-client", daemon=True)
        self._thread.start()

    def _note_worker(self) -> None:
        self._workers.add(threading.current_thread())

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop, and return what it returns.

        Raises
        ------
        SAMPClientError
            This process is a fork of the one that the loop runs in.
        """
        if self._pid != os.getpid():
            work.close()
            raise SAMPClientError("this client was connected before the process forked: connect one of the child's own")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        finally:
            future.cancel()  # if the wait was interrupted

    def close(self) -> None:
        """End loop and pool; a callback that still runs is waited for a while."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in {self._thread, *self._workers} - {threading.current_thread()}:
            thread.join(GRACE)


_lock = threading.Lock()
_shared: Background | None = None
_users = 0


def acquire() -> Background:
    """Return the process's background, started if it is not there; `release` it once."""
    global _shared, _users
    with _lock:
        if _shared is None:
            _shared = Background()
        _users += 1
        return _shared


def release(background: Background) -> None:
    """Say that one user less needs it; with the last it ends."""
    global _shared, _users
    with _lock:
        if background is not _shared:
            return  # the parent's, in a child
        _users -= 1
        if _users:
            return
        _shared = None
    background.close()


@contextmanager
def borrowed() -> Iterator[Background]:
    """Have the background for as long as the block runs."""
    background = acquire()
    try:
        yield background
    finally:
        release(background)


def _forget() -> None:
    global _shared, _users, _lock
    _shared, _users, _lock = None, 0, threading.Lock()


os.register_at_fork(after_in_child=_forget)
