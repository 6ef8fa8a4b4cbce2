"""Where a forked worker begins: from the fork to a hub that serves."""

import socket

from loguru import logger
from setproctitle import setproctitle

from hubfarm.prefork.worker_reports import Report, tell
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import HubKind
from hubfarm.worker.run import run


def serve(spec: HubSpec, sock: socket.socket, paths: Paths, report: int, level: str) -> int:
    """Run one hub in this process, which has just been forked; return its exit code.

    Parameters
    ----------
    spec : HubSpec
        The hub.
    sock : socket
        Bound and listening; the coordinator keeps its own copy.
    paths : Paths
        Where the hub's files go.
    report : int
        The pipe that is told how it goes; see `hubfarm.prefork.worker_reports`.
    level : str
        What is logged.
    """
    setproctitle(f"hubfarm hub {spec.name}")
    log = paths.logs / f"{spec.name}.log"
    try:
        log_to(log, spec.name, level)
        run(
            spec,
            sock,
            paths,
            kind=HubKind.FARM,
            started=lambda running: tell(report, Report.RUNNING, running.url),
            reopen_log=lambda: log_to(log, spec.name, level),
            stays_awake=lambda reason: tell(report, Report.AWAKE, reason),
        )
    except HubfarmError as error:
        logger.error("cannot start: {}", error)
        tell(report, Report.FAILED, error)
        return 1
    except Exception as error:
        logger.exception("the hub has failed")
        tell(report, Report.BROKEN, f"{type(error).__name__}: {error}; its log says where")
        return 1
    return 0
