"""Where workers come from: forked from a clean process, or taken over from an earlier coordinator.

The coordinator has threads and an event loop and must not fork itself.  So it starts a forkserver
(`hubfarm.prefork.forkserver`), and gives it a successor when it is gone.
"""

import os
import socket
import subprocess
import sys

from hubfarm.coordinator.workers import ForkedWorker, Worker
from hubfarm.prefork.fork_requests import ask
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec

ANSWER_TIMEOUT = 15.0
"""How long it may take to fork, or first to load, seconds; other hubs wait for their fork meanwhile."""


class Spawner:
    """The hold on a forkserver, which is started at once and goes on loading by itself.

    Parameters
    ----------
    lockdir : LockDir
        Knows where workers' guards lie.
    level : str
        What workers log.

    Raises
    ------
    HubfarmError
        There is no room for one more process.
    """

    def __init__(self, lockdir: LockDir, level: str) -> None:
        self._lockdir = lockdir
        self._level = level
        self._begin()

    def _begin(self) -> None:
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(ANSWER_TIMEOUT)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "hubfarm.prefork", str(theirs.fileno()), self._level],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except OSError as error:
                self._connection.close()
                raise HubfarmError(f"cannot start a forkserver: {error.strerror}") from None

    def fork(self, spec: HubSpec, sock: socket.socket) -> ForkedWorker:
        """Fork a worker for a hub on its socket; returns before the hub serves.

        Raises
        ------
        HubfarmError
            The forkserver cannot be reached, nor another started, or there is no room for one more process.
        """
        try:
            try:
                return self._fork(spec, sock)
            except ConnectionError as error:
                from loguru import logger  # 30 ms, which the first fork need not wait for

                logger.warning("the forkserver is not to be reached ({}): another takes its place", error)
                self._replace()
                return self._fork(spec, sock)
        except OSError as error:
            raise HubfarmError(f"cannot fork a worker: {error}") from None

    def _fork(self, spec: HubSpec, sock: socket.socket) -> ForkedWorker:
        ours, theirs = os.pipe()
        try:
            os.set_blocking(ours, False)
            pid = ask(self._connection, spec, sock.fileno(), theirs)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedWorker(HubName(pid, spec.id), self._lockdir, ours)

    def adopt(self, name: HubName) -> Worker:
        """Take over a worker that an earlier coordinator has forked.

        Raises
        ------
        ProcessLookupError
            It has died meanwhile.
        """
        from hubfarm.coordinator.adopted_worker import AdoptedWorker  # psutil: 10 ms, and the first fork waits for us

        return AdoptedWorker(name, self._lockdir)

    def _replace(self) -> None:
        """End the forkserver and start another; its workers live on."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._begin()
