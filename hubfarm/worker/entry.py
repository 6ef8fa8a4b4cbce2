"""Where a forked worker begins: from the coordinator's fork to a hub that serves.

This module is also what the forkserver preloads: importing it imports all that a hub needs.
"""

import contextlib
import gc
import socket
import sys
from multiprocessing.connection import Connection

from loguru import logger
from setproctitle import setproctitle

from hubfarm.registry.hubspec import HubSpec
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.worker.process import run


def freeze() -> None:
    """Keep what is loaded out of the garbage collector's way.

    Called once in the forkserver: a collection in a worker would write to every object that it
    shares with its siblings, and so copy the memory.
    """
    gc.collect()
    gc.freeze()


def serve(
    spec: HubSpec, sock: socket.socket, paths: Paths, report: "Connection[tuple[str, object], None]", level: str
) -> None:
    """Run one hub in this process, which has just been forked.

    Parameters
    ----------
    spec : HubSpec
        The hub.
    sock : socket
        Bound and listening; the coordinator keeps its own copy.
    paths : Paths
        Where the hub's files go.
    report : Connection
        Told ``("running", Running)`` once it serves, or ``("failed", reason)``.
    level : str
        What is logged.
    """
    setproctitle(f"hubfarm hub {spec.name}")
    log = paths.logs / f"{spec.name}.log"

    def tell(what: str, detail: object) -> None:
        with contextlib.suppress(OSError):  # the coordinator may be gone, the hub goes on
            report.send((what, detail))

    try:
        log_to(log, spec.name, level)
        run(
            spec,
            sock,
            paths,
            kind="farm",
            started=lambda running: tell("running", running),
            reopen_log=lambda: log_to(log, spec.name, level),
        )
    except HubfarmError as error:
        logger.error("cannot start: {}", error)
        tell("failed", str(error))
        sys.exit(1)
    except Exception as error:
        logger.exception("the hub has failed")
        tell("failed", f"{type(error).__name__}: {error}; its log says where")
        sys.exit(1)
