"""Sockets bound once, workers forked from a clean, preloaded process.

The coordinator has threads and an event loop and must not fork itself: multiprocessing's
forkserver does, which has imported everything and is single-threaded.  A hub's listening socket
is bound here and stays open here, so that it outlives the worker (design.md 3).
"""

import contextlib
import multiprocessing
import os
import socket
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from hubfarm.registry.hubspec import HubSpec
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.worker.entry import serve


@dataclass(slots=True, eq=False)
class Worker:
    """One forked worker, as the coordinator holds it.

    Parameters
    ----------
    process : ForkServerProcess
        Its process.
    report : Connection
        What it reports; see `hubfarm.worker.entry.serve`.
    """

    process: ForkServerProcess
    report: "Connection[None, tuple[str, object]]"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    def reports(self) -> list[tuple[str, object]]:
        """Return what it has reported since the last time."""
        found = []
        with contextlib.suppress(EOFError, OSError):
            while self.report.poll():
                found.append(self.report.recv())
        return found

    def signal(self, number: int) -> None:
        """Send it a signal, if it still lives."""
        if self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Free what the coordinator holds of it; it must have ended."""
        self.report.close()
        self.process.join()
        self.process.close()


class Spawner:
    """Binds sockets and forks workers.

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

    def fork(self, spec: HubSpec, sock: socket.socket) -> Worker:
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
        return Worker(process, ours)
