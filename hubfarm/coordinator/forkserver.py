"""The clean process that workers are forked from: multiprocessing's forkserver, with all that hubs need loaded.

The coordinator has threads and an event loop and must not fork itself.
"""

import multiprocessing
import multiprocessing.forkserver
import tempfile
from multiprocessing.context import ForkServerContext

from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError


def start_forkserver(paths: Paths) -> ForkServerContext:
    """Start the forkserver if it does not run, and return at once: it goes on loading by itself.

    Parameters
    ----------
    paths : Paths
        Its socket lies in the farm's scratch directory: there, a sweep can find what is left of it.

    Raises
    ------
    HubfarmError
        There is no room for one more process, or for its socket.
    """
    tempfile.tempdir = str(paths.scratch)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hubfarm.worker.preload"])
    try:
        multiprocessing.forkserver.ensure_running()
    except OSError as error:
        raise HubfarmError(f"cannot start a forkserver: {error.strerror}") from None
    return context
