"""Fork workers, through the forkserver, and give it a successor when it is gone."""

import contextlib
import multiprocessing
import multiprocessing.process
import os
import shutil
import socket
from multiprocessing.util import get_temp_dir
from pathlib import Path

import psutil
from loguru import logger

from hubfarm.coordinator.forkserver import start_forkserver
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
        self._context = start_forkserver(paths)
        for left in paths.scratch.iterdir():
            if left != Path(get_temp_dir()):  # by a coordinator that was killed: there is no other
                shutil.rmtree(left, ignore_errors=True)

    def fork(self, spec: HubSpec, sock: socket.socket) -> ForkedWorker:
        """Fork a worker for a hub on its socket; returns before the hub serves.

        Raises
        ------
        HubfarmError
            The forkserver cannot be reached, or has no room for one more process.
        """
        try:
            return self._fork(spec, sock)
        except (FileNotFoundError, ConnectionError) as error:
            logger.warning("the forkserver is not to be reached ({}): another takes its place", error)
            self._end_forkserver()
        except (OSError, EOFError) as error:
            raise _cannot_fork(error) from None
        try:
            return self._fork(spec, sock)
        except (OSError, EOFError) as error:
            raise _cannot_fork(error) from None

    def _fork(self, spec: HubSpec, sock: socket.socket) -> ForkedWorker:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=serve, args=(spec, sock, self._paths, theirs, self._level), name=f"hub {spec.name}"
        )
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        # It is the supervisor's to watch.  Multiprocessing would ask all of its children at every start how
        # they are, and wait for them when this process ends; they are to live on if it is not in order.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        return ForkedWorker(process, ours)

    def _end_forkserver(self) -> None:
        """End a forkserver whose socket somebody has removed; the next fork starts another.

        Its workers live on; the supervisor watches them by their processes from then on.
        """
        Path(get_temp_dir()).mkdir(mode=0o700, parents=True, exist_ok=True)
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if any("multiprocessing.forkserver" in word for word in child.cmdline()):
                    child.kill()
                    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # multiprocessing reaps it


def _cannot_fork(error: Exception) -> HubfarmError:
    return HubfarmError(f"cannot fork a worker: {error}")
