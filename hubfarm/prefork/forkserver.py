"""The process that workers are forked from: it loads and tries out what a hub needs, and then does nothing but fork.

It ends when no coordinator and no worker is left.

Rule: between two forks it writes to as little memory as possible.  A page that it writes to is
copied, and the old one is left to the worker that was forked before, as memory of its own.
"""

import os
import random
import select
import signal
import socket

from setproctitle import setproctitle

from hubfarm.prefork.fork_requests import answer, read, take
from hubfarm.prefork.rehearsal import rehearse
from hubfarm.prefork.sealing import seal
from hubfarm.prefork.worker_main import serve
from hubfarm.prefork.worker_reports import Report, tell
from hubfarm.registry.logs import make_sink
from hubfarm.registry.paths import Paths


def run(connection: int, level: str) -> None:
    """Be the forkserver; in each worker, be the worker.

    Parameters
    ----------
    connection : int
        A socket to the coordinator, which says what is wanted; see `hubfarm.prefork.fork_requests`.
    level : str
        What workers log.
    """
    setproctitle("hubfarm forkserver")
    paths = Paths.from_environment()
    make_sink(level)
    rehearse(level)
    seal()
    request = _fork_workers(socket.socket(fileno=connection))
    if request is not None:
        random.seed()
        body, sock, report = request
        os._exit(serve(read(body), socket.socket(fileno=sock), paths, report, level))


def _fork_workers(connection: socket.socket) -> tuple[bytes, int, int] | None:
    """Fork a worker a request; return in each with its request, and here when there is nothing more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in a terminal is the coordinator's to answer
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _wake)
    reports: dict[int, int] = {}
    listened_to = [connection.fileno(), woken]
    while reports or connection.fileno() in listened_to:
        readable, _, _ = select.select(listened_to, (), ())
        if woken in readable:
            os.read(woken, 4096)
            _reap(reports)
            continue
        request = take(connection)
        if request is None:
            listened_to.remove(connection.fileno())
            continue
        _, sock, report = request
        try:
            pid = os.fork()
        except OSError as error:
            answer(connection, -(error.errno or 1))
            os.close(report)
        else:
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (connection.detach(), woken, wake, *reports.values()):
                    os.close(each)
                return request
            answer(connection, pid)
            reports[pid] = report
        os.close(sock)
    return None


def _wake(*_: object) -> None:
    """Do nothing: a signal that is handled wakes the loop."""


def _reap(reports: dict[int, int]) -> None:
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        report = reports.pop(pid)
        tell(report, Report.ENDED, os.waitstatus_to_exitcode(status))
        os.close(report)
