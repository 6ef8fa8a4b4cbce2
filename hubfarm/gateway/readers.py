"""Threads that read files: each may hang with the file system that it reads from, and holds up nobody else.

A call into a file system whose server has gone (NFS, a FUSE mount) cannot be called off.  So whoever waits for it
waits a while only, the thread counts against who sent it for as long as it hangs, and none of them is waited for when
the process ends.
"""

import asyncio
import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MOST = 32
"""Threads in all."""

MOST_OF_ONE = 8
"""Threads that work, or hang, for one page."""

PATIENCE = 20.0
"""How long one call may take, seconds: a disk that has to spin up, an automounted home."""


class DoesNotAnswer(Exception):
    """The file system has not answered in time."""


class TooMany(Exception):
    """Too many reads are under way, or hang; the text says whose."""


class Readers:
    """The threads; none is there before it is needed."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._busy: Counter[str] = Counter()

    async def run(self, of: str, work: Callable[..., T], *args: Any) -> T:
        """Return what a call returns, or raise what it raises, that is made by a thread.

        Parameters
        ----------
        of : str
            For whom: the private key of a page.
        work : callable
            The call.
        *args
            Its arguments.

        Raises
        ------
        TooMany
            No thread is left.
        DoesNotAnswer
            The call takes too long; it goes on, and nobody hears what it comes to.
        """
        if self._busy[of] >= MOST_OF_ONE:
            raise TooMany(f"{MOST_OF_ONE} reads of this page are under way: wait until one is done")
        if self._busy.total() >= MOST:
            raise TooMany(f"{MOST} reads are under way: wait until one is done")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._busy[of] += 1
        if self._threads < self._busy.total():
            self._threads += 1
            threading.Thread(target=self._serve, name="hubfarm-reader", daemon=True).start()
        self._work.put(lambda: self._do(loop, of, done, work, args))
        try:
            async with asyncio.timeout(PATIENCE):
                return await done
        except TimeoutError:
            raise DoesNotAnswer(f"the file system has not answered within {PATIENCE:g} s") from None

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _do(
        self,
        loop: asyncio.AbstractEventLoop,
        of: str,
        done: "asyncio.Future[T]",
        work: Callable[..., T],
        args: tuple[Any, ...],
    ) -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work(*args)
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(self._over, of, done, result, failure)

    def _over(self, of: str, done: "asyncio.Future[Any]", result: object, failure: Exception | None) -> None:
        self._busy[of] -= 1
        if not self._busy[of]:
            del self._busy[of]
        if done.done():  # who asked has gone, or waits no more
            return
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(result)

    def close(self) -> None:
        """Let the threads end that do not hang."""
        for _ in range(self._threads):
            self._work.put(None)
