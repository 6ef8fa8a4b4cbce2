"""The forkserver: what it is asked for, what it tells of its workers, and when it ends."""

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hubfarm.coordinator.spawner import Spawner
from hubfarm.coordinator.workers import ForkedWorker
from hubfarm.prefork.fork_requests import ask
from hubfarm.prefork.worker_reports import Report, hear, tell
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.wire.sockets import bind
from tests.conftest import end_all
from tests.support import PATIENCE, wait_for


@pytest.fixture
def spawner(home: Path) -> Iterator[Spawner]:
    spawner = Spawner(LockDir(Paths.from_environment().prepare()), "INFO")
    yield spawner
    end_all(home)  # its workers too, also those that outlive it
    spawner._process.wait()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as bound:
        yield bound


def fork(spawner: Spawner, sock: socket.socket, number: int = 1, **spec: object) -> ForkedWorker:
    """Fork a worker, and return once it serves."""
    worker = spawner.fork(HubSpec(id=number, label=f"hub{number}", secret="s", **spec), sock)  # type: ignore[arg-type]
    assert next_report(worker)[0] is Report.RUNNING
    return worker


def next_report(worker: ForkedWorker) -> tuple[Report, str]:
    assert select.select(worker.descriptors(), [], [], PATIENCE)[0], "it reports"
    (report,) = worker.reports()
    return report


def process_of(spawner: Spawner) -> psutil.Process:
    return psutil.Process(spawner._process.pid)


def test_worker_serves_on_the_socket_and_its_end_is_told(spawner: Spawner, sock: socket.socket) -> None:
    worker = fork(spawner, sock)
    assert psutil.Process(worker.pid).cmdline()[0] == "hubfarm hub hub1"
    assert not worker.has_ended()
    worker.signal(signal.SIGTERM)
    assert next_report(worker) == (Report.ENDED, "0")
    wait_for(worker.has_ended, "it has ended")
    assert worker.ended_in_order()
    worker.close()


def test_how_a_worker_was_killed_is_told_though_its_siblings_live(spawner: Spawner, sock: socket.socket) -> None:
    first, second = fork(spawner, sock), fork(spawner, sock, 2)
    first.signal(signal.SIGKILL)
    wait_for(first.has_ended, "it has ended")
    assert first.reports() == [(Report.ENDED, "-9")]
    assert (first.ended_in_order(), first.how_it_ended()) == (False, "killed by SIGKILL")
    assert not second.has_ended()


def test_worker_that_cannot_start_says_why(spawner: Spawner, sock: socket.socket) -> None:
    fork(spawner, sock)
    worker = spawner.fork(HubSpec(id=2, label="hub1", secret="s"), sock)
    wait_for(worker.has_ended, "it ends")
    (failed, reason), ended = worker.reports()
    assert (failed, ended) == (Report.FAILED, (Report.ENDED, "1"))
    assert reason.startswith("the label hub1 is in use by the hub")
    assert (worker.ended_in_order(), worker.how_it_ended()) == (False, "exit code 1")


def test_request_may_be_longer_than_one_read(spawner: Spawner, sock: socket.socket) -> None:
    hosts = tuple(f"host{number}.example.org" for number in range(2000))
    worker = fork(spawner, sock, callback_hosts=hosts)
    (entry,) = LockDir(Paths.from_environment()).living()
    assert entry.tokens["hubfarm.callback-hosts"] == " ".join(hosts)
    assert not worker.has_ended()


def test_workers_of_a_killed_forkserver_are_known_by_their_guards(spawner: Spawner, sock: socket.socket) -> None:
    in_order, killed = fork(spawner, sock), fork(spawner, sock, 2)
    process = process_of(spawner)
    process.kill()
    process.wait()
    assert not fork(spawner, sock, 3).has_ended()  # from a forkserver that has taken its place
    assert process_of(spawner).pid != process.pid
    assert [worker.has_ended() for worker in (in_order, killed)] == [False, False]
    in_order.signal(signal.SIGTERM)
    killed.signal(signal.SIGKILL)
    for worker in (in_order, killed):
        wait_for(worker.has_ended, "it has ended")
        assert worker.reports() == []
    assert in_order.ended_in_order()
    assert (killed.ended_in_order(), killed.how_it_ended()) == (False, "its process died")


def test_forkserver_that_hangs_is_replaced(spawner: Spawner, sock: socket.socket) -> None:
    worker = fork(spawner, sock)
    hung = process_of(spawner)
    hung.suspend()
    spawner._connection.settimeout(0.1)
    spec = HubSpec(id=2, label="hub2", secret="s")
    with pytest.raises(ConnectionError, match="does not answer"):
        ask(spawner._connection, spec, sock.fileno(), sock.fileno())
    with pytest.raises(BrokenPipeError):  # not asked again: a late answer would be taken for this one's
        ask(spawner._connection, spec, sock.fileno(), sock.fileno())
    another = spawner.fork(spec, sock)
    assert next_report(another)[0] is Report.RUNNING
    assert process_of(spawner).pid != hung.pid
    assert not worker.has_ended()


def test_it_ends_when_no_coordinator_and_no_worker_is_left(spawner: Spawner, sock: socket.socket) -> None:
    process = process_of(spawner)
    worker = fork(spawner, sock)
    spawner._connection.close()
    assert not worker.has_ended()
    assert process.is_running()
    worker.signal(signal.SIGKILL)
    wait_for(worker.has_ended, "the worker has ended")
    assert worker.reports() == [(Report.ENDED, "-9")]  # it is reaped all the same
    process.wait(PATIENCE)


def test_reports_are_heard_whole_and_in_order() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    assert hear(ours) == ([], False)
    tell(theirs, Report.FAILED, "line one\nline two" + "x" * 10_000)
    tell(theirs, Report.ENDED, 1)
    (failed, ended), over = hear(ours)
    assert failed[0] is Report.FAILED
    assert failed[1].startswith("line one line two")
    assert (ended, over) == ((Report.ENDED, "1"), False)
    os.close(theirs)
    assert hear(ours) == ([], True)
    os.close(ours)


def test_report_to_nobody_is_no_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    tell(theirs, Report.RUNNING, "http://127.0.0.1/")
    os.close(theirs)
