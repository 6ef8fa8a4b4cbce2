"""Fork workers, through the forkserver, and give it a successor when it is gone."""

import socket

from loguru import logger

from hubfarm.coordinator.forkserver import ForkServer
from hubfarm.coordinator.workers import ForkedWorker
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec


class Spawner:
    """Forks workers.

    Parameters
    ----------
    forkserver : ForkServer
        What they are forked from.
    lockdir : LockDir
        Knows where their guards lie.
    """

    def __init__(self, forkserver: ForkServer, lockdir: LockDir) -> None:
        self._forkserver = forkserver
        self._lockdir = lockdir

    def fork(self, spec: HubSpec, sock: socket.socket) -> ForkedWorker:
        """Fork a worker for a hub on its socket; returns before the hub serves.

        Raises
        ------
        HubfarmError
            The forkserver cannot be reached, or has no room for one more process.
        """
        try:
            try:
                pid, report = self._forkserver.fork(spec, sock)
            except ConnectionError as error:
                logger.warning("the forkserver is not to be reached ({}): another takes its place", error)
                self._forkserver.replace()
                pid, report = self._forkserver.fork(spec, sock)
        except OSError as error:
            raise HubfarmError(f"cannot fork a worker: {error}") from None
        return ForkedWorker(HubName(pid, spec.id), self._lockdir, report)
