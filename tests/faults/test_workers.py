"""What may befall a worker."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from xmlrpc.client import ProtocolError, ServerProxy

import psutil
import pytest

from hubfarm.coordinator.aftermath import MAX_EARLY_DEATHS
from hubfarm.farm import Farm
from hubfarm.registry.history import End
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.statetable import read_records
from tests.conftest import past_early_death
from tests.faults.conftest import Customize, Scene, answers
from tests.support import PATIENCE, Receiver, read_lock_file, wait_for


def send(hub: HubInfo, number: int) -> Callable[[], None]:
    assert hub.pid is not None
    pid = hub.pid
    return lambda: os.kill(pid, number)


def current(scene: Scene, hub: HubInfo) -> HubInfo:
    return scene.farm.find(hub.label)


@pytest.mark.fault("worker killed by SIGKILL", "replaced at once: same id, label, URL, secret, port")
def test_killed_worker_is_replaced(scene: Scene, full: bool) -> None:
    victim = scene.start()
    for _ in range(20 if full else 3):
        scene.lose(victim, send(current(scene, victim), signal.SIGKILL))
        past_early_death(scene.farm, victim.label)
    if full:
        assert sorted(scene.figures.served)[10] < 0.3
    assert current(scene, victim).restarts == len(scene.figures.served)


@pytest.mark.fault("worker killed by SIGSEGV", "the same")
def test_worker_that_crashes_is_replaced(scene: Scene) -> None:
    victim = scene.start()
    past_early_death(scene.farm, victim.label)
    scene.lose(victim, send(victim, signal.SIGSEGV))
    assert [(end.how, end.reason) for end in scene.farm.history()] == [(End.CRASHED, "killed by SIGSEGV")]


@pytest.mark.fault("worker stopped by SIGSTOP", "shown as hung, killed within the limit and a second, replaced")
def test_stopped_worker_is_hung_killed_and_replaced(impatient: float, scene: Scene) -> None:
    victim = scene.start()
    took = scene.lose(victim, send(victim, signal.SIGSTOP))
    assert took < impatient + 1 + 5  # a second by the specification; five for a machine that is busy
    assert [end.how for end in scene.farm.history()] == [End.HUNG]


@pytest.mark.fault("worker's event loop stuck", "the same")
@pytest.mark.usefixtures("can_be_stuck")
def test_stuck_worker_is_hung_killed_and_replaced(impatient: float, scene: Scene) -> None:
    victim = scene.start()
    took = scene.lose(victim, send(victim, signal.SIGRTMIN))
    assert took < impatient + 1 + 5
    assert [end.how for end in scene.farm.history()] == [End.HUNG]


@pytest.mark.fault("worker out of file descriptors", "it lives on, and takes connections as soon as it can")
def test_worker_without_file_descriptors_serves_once_it_has_some(scene: Scene) -> None:
    victim = scene.start()
    assert victim.pid is not None
    _, hard = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    in_use = psutil.Process(victim.pid).num_fds()
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (in_use + 2, hard))
    address = ("127.0.0.1", int(victim.url.split(":")[2].split("/")[0]))
    with contextlib.ExitStack() as crowd:
        for _ in range(20):
            with contextlib.suppress(OSError):
                crowd.enter_context(socket.create_connection(address, timeout=1))
        victim.lock_file.unlink()  # and it cannot put this back either
        beat = current_beat(scene, victim)
        wait_for(lambda: current_beat(scene, victim) > beat + 3, "it beats on")
        assert not victim.lock_file.exists()
    begun = time.perf_counter()
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (hard, hard))
    wait_for(lambda: victim.lock_file.exists() and answers(victim.url), "it serves and is published")
    scene.figures.served.append(time.perf_counter() - begun)
    assert current(scene, victim).pid == victim.pid


def current_beat(scene: Scene, hub: HubInfo) -> float:
    return next(r.beat for r in read_records(scene.farm.paths.state_table).values() if r.pid == hub.pid)


@pytest.mark.fault("worker out of memory (RLIMIT_AS)", "a fault to the sender, or replaced; it serves on either way")
def test_worker_without_memory_serves_on(scene: Scene) -> None:
    victim = scene.start()
    assert victim.pid is not None
    size = psutil.Process(victim.pid).memory_info().vms + 8 * 2**20
    resource.prlimit(victim.pid, resource.RLIMIT_AS, (size, size))
    begun = time.perf_counter()
    with contextlib.suppress(ProtocolError, OSError, Exception), ServerProxy(victim.url) as hub:
        hub.samp.hub.register("x" * (30 * 2**20))
    wait_for(lambda: answers(victim.url), "it answers")
    scene.figures.served.append(time.perf_counter() - begun)


@pytest.mark.fault(
    "worker dies within a second of its start, five times",
    "tried with growing pauses, then `failed`, with the last lines of its log; its files are gone",
)
def test_worker_that_dies_early_again_and_again_is_given_up(scene: Scene, farm: Farm, home: Path) -> None:
    victim = scene.start()
    killed: list[int] = []

    def kill_successors() -> bool:
        with contextlib.suppress(OSError, KeyError, ProcessLookupError):
            pid = int(read_lock_file(scene.stable_name(victim))["hubfarm.pid"])
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        return any(hub.state == "failed" for hub in farm.hubs())

    begun = time.perf_counter()
    wait_for(kill_successors, "it is given up")
    scene.figures.noticed.append(time.perf_counter() - begun)
    assert len(killed) in (5, 6)  # the first may have served for a second
    (failed,) = [hub for hub in farm.hubs() if hub.state == "failed"]
    assert failed.label == victim.label
    assert "died early 5 times in a row: killed by SIGKILL" in failed.problem
    assert "serving at" in failed.problem  # its log's last lines
    assert list(home.rglob(f"samp-hub-*-{victim.id}")) == []  # neither lock file nor guard
    assert not scene.stable_name(victim).is_symlink()
    assert not scene.farm.paths.journal(victim.id or 0).exists()  # set aside at most
    scene.hubs.remove(victim)
    (again,) = farm.start(label=victim.label)  # the label is free, and the failure is no more shown
    farm.stop([again.label])


_DIES_OF_POISON = """
import os, xxhash
whole = xxhash.xxh3_64_intdigest
def dies_of_poison(data):
    if b"POISON" in data and os.path.exists(os.environ["HOME"] + "/armed"):
        os._exit(3)
    return whole(data)
xxhash.xxh3_64_intdigest = dies_of_poison
"""
"""Once armed, every worker dies that reads a journal with that word in it."""


@pytest.mark.fault("journal that every worker dies of", "set aside before the last try; the hub serves, empty")
def test_journal_that_no_worker_can_take_does_not_hold_the_hub_down(
    customize: Customize, scene: Scene, receiver: Receiver
) -> None:
    customize(_DIES_OF_POISON)
    victim = scene.start()
    receiver.join_by(victim.lock_file, "POISON")
    (scene.home / "armed").touch()
    begun = time.perf_counter()
    scene.lose(victim, send(victim, signal.SIGKILL))
    assert current(scene, victim).restarts in (MAX_EARLY_DEATHS - 1, MAX_EARLY_DEATHS)
    assert current(scene, victim).clients == 0
    assert len(list(scene.farm.paths.journals.glob("hub-*.damaged-*"))) == 1
    scene.figures.served[:] = [time.perf_counter() - begun]


@pytest.mark.fault("PID reused by another process", "the dead hub is not taken for alive, the process not touched")
def test_process_that_got_a_dead_hubs_pid_is_left_alone(scene: Scene) -> None:
    victim = scene.start()
    assert victim.pid is not None
    coordinator = scene.coordinator
    os.kill(coordinator.pid, signal.SIGKILL)
    os.kill(victim.pid, signal.SIGKILL)
    wait_for(lambda: victim.label not in [hub.label for hub in scene.farm.hubs()], "it is dead")
    with subprocess.Popen(["sleep", "60"]) as innocent:
        try:
            # As if the kernel had given the PID of the dead worker to `innocent`.
            text = victim.lock_file.read_text().replace(f"hubfarm.pid={victim.pid}", f"hubfarm.pid={innocent.pid}")
            new = victim.lock_file.with_name(f"samp-hub-{innocent.pid}-{victim.id}")
            new.write_text(text)
            victim.lock_file.unlink()
            guards = scene.farm.paths.guards
            (guards / victim.lock_file.name).rename(guards / new.name)
            assert victim.label not in [hub.label for hub in scene.farm.hubs()]
            begun = time.perf_counter()
            assert scene.farm.restart([scene.hubs[1].label])  # needs a coordinator: it adopts what there is
            wait_for(lambda: scene.is_replaced(victim, innocent.pid), "the dead hub is replaced")
            scene.figures.served.append(time.perf_counter() - begun)
            assert innocent.poll() is None
        finally:
            innocent.kill()


@pytest.mark.long
@pytest.mark.fault("client's process gone", "unregistered within half a minute, though no timeout is set")
def test_client_that_is_gone_is_unregistered(scene: Scene, receiver: Receiver) -> None:
    victim = scene.start()
    receiver.join_by(victim.lock_file, "gone", "*")
    wait_for(lambda: current(scene, victim).clients == 1, "it is counted")
    begun = time.perf_counter()
    receiver.close_server()
    while (current(scene, victim).clients or 0) > 0:
        assert time.perf_counter() - begun < 30 + PATIENCE
        time.sleep(0.1)
    scene.figures.noticed.append(time.perf_counter() - begun)
