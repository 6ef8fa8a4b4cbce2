"""Workers forked from a clean, preloaded process.

The coordinator has threads and an event loop and must not fork itself: multiprocessing's
forkserver does, which has imported everything and is single-threaded.
"""

import multiprocessing
import socket
import tempfile

from hubfarm.coordinator.workers import ForkedWorker
from hubfarm.registry.hubspec import HubSpec
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.worker.entry import serve


class Spawner:
    """Forks workers.

    Parameters
    ----------
    paths : Paths
        Where the hubs' files go.
    level : str
        What the hubs log.
    """

    def __init__(self, paths: Paths, level: str) -> None:
        self._paths = paths
        self._level = level
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["hubfarm.worker.preload"])
        # The forkserver's socket lies in a temporary directory: in ours, a sweep can find it.
        tempfile.tempdir = str(paths.scratch)

    def fork(self, spec: HubSpec, sock: socket.socket) -> ForkedWorker:
        """Fork a worker for a hub on its socket; returns before the hub serves.

        Raises
        ------
        HubfarmError
            The forkserver cannot be reached, or has no room for one more process.
        """
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=serve, args=(spec, sock, self._paths, theirs, self._level), name=f"hub {spec.name}"
        )
        try:
            process.start()
        except (OSError, EOFError) as error:
            ours.close()
            raise HubfarmError(f"cannot fork a worker: {error}") from None
        finally:
            theirs.close()
        return ForkedWorker(process, ours)
