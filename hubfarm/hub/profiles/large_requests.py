"""Large requests: what they carry is put into a file, and those that take long are read by a thread beside the loop.

The reader lets other threads run while it reads, so that everybody else's small requests are
answered meanwhile.  It may know the codec and a place for files, and nothing of hubs.
"""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from hubfarm.samp.xmlrpc import CallInOutline, EncodedMap, Param


class Files(Protocol):
    """Where large messages are kept; a journal."""

    def store(self, data: bytes) -> str:
        """Write data to a file of its own, and return its name; empty if that fails. Called in a thread."""

    def drop(self, name: str) -> None:
        """Remove a file that is not needed."""


class LargeRequests:
    """Reads large requests, one after the other.

    Parameters
    ----------
    read : callable
        Reads one; may be called in a thread.
    files : Files or None
        Where the maps that they carry are kept, if they are.
    methods : collection of str
        The methods whose maps are kept.
    size : int
        A map that is longer goes into a file, bytes.
    """

    def __init__(
        self, read: Callable[[bytes], CallInOutline], files: Files | None, methods: Collection[str], size: int
    ) -> None:
        self._read = read
        self._files = files
        self._methods = methods
        self._size = size
        self._pool: ThreadPoolExecutor | None = None

    async def read_beside(self, body: bytes) -> CallInOutline:
        """Read a request in a thread; see `read`."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "hubfarm-reader")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read, body)

    def read(self, body: bytes) -> CallInOutline:
        """Read a request, and put what it carries into a file.

        Raises
        ------
        Fault
            It is no call, or goes over a limit.
        """
        call = self._read(body)
        if self._files is None or call.method not in self._methods:
            return call
        return CallInOutline(call.method, [self._stored(param, self._files) for param in call.params])

    def _stored(self, param: Param, files: Files) -> Param:
        if isinstance(param, EncodedMap) and len(param.xml) > self._size:
            return param._replace(file=files.store(param.xml))
        return param

    def drop_unless(self, kept: Callable[[str], bool], call: CallInOutline) -> None:
        """Remove the files of a call that the hub has not kept."""
        for param in call.params:
            if self._files is not None and isinstance(param, EncodedMap) and param.file and not kept(param.file):
                self._files.drop(param.file)

    def close(self) -> None:
        """End the thread, once it has read what it reads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
