"""What may befall the coordinator, its forkserver, and starts that race each other."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hubfarm.coordinator.launch import ensure_coordinator
from hubfarm.registry.locks import guard_is_held
from tests.faults.conftest import Scene, answers, cpu_seconds, workers_of
from tests.support import is_dead, wait_for


def pids(scene: Scene) -> list[int | None]:
    return [hub.pid for hub in scene.farm.hubs()]


def kill(process: psutil.Process) -> None:
    process.kill()
    wait_for(lambda: is_dead(process), f"{process} dies")


@pytest.mark.fault("coordinator killed by SIGKILL", "every hub serves on; the next command that needs one adopts them")
def test_hubs_outlive_a_killed_coordinator_and_are_adopted(scene: Scene) -> None:
    victim = scene.start()
    before = pids(scene)
    kill(scene.coordinator)
    assert pids(scene) == before
    assert all(answers(hub.url) for hub in scene.hubs)
    begun = time.perf_counter()
    scene.hubs += scene.farm.start(label="later")
    scene.secrets["later"] = scene.secret_of(scene.hubs[-1])
    scene.figures.served.append(time.perf_counter() - begun)
    assert pids(scene)[:2] == before
    status = scene.farm.coordinator()
    assert status is not None
    assert [hub["label"] for hub in status["hubs"]] == [hub.label for hub in scene.hubs]
    # And it watches them as before: their sockets were handed over, and a crash is healed.
    wait_for(lambda: b"handed the listening socket" in (scene.farm.log_file(victim.label)).read_bytes(), "handed over")
    assert victim.pid is not None
    scene.lose(victim, lambda: os.kill(victim.pid or 0, signal.SIGKILL))


@pytest.mark.fault("coordinator stopped by SIGSTOP for longer than the limit, then SIGCONT", "no hub is taken for hung")
def test_coordinator_that_was_stopped_for_a_while_kills_nobody(impatient: float, scene: Scene) -> None:
    # That a late look judges nobody is held by tests/coordinator/test_pulse.py: here the hubs have beaten meanwhile.
    scene.start()
    before = pids(scene)
    coordinator = scene.coordinator
    coordinator.suspend()
    beaten = scene.beats()
    wait_for(lambda: scene.beats() > beaten + 2 * (impatient + 2), "the hubs beat on, for longer than the limit")
    coordinator.resume()
    beaten = scene.beats()
    wait_for(lambda: scene.beats() > beaten + 4, "time goes on")
    assert pids(scene) == before
    assert scene.farm.history() == []


@pytest.mark.fault("the whole farm suspended for longer than the limit", "no hub is taken for hung")
def test_machine_that_was_suspended_loses_nobody(impatient: float, scene: Scene) -> None:
    scene.start()
    before = pids(scene)
    everybody = [scene.coordinator, *map(psutil.Process, workers_of(scene.home))]
    for process in everybody:
        process.suspend()
    time.sleep(impatient + 1.5)  # as long as a suspended machine takes: there is no event to wait for
    for process in everybody:
        process.resume()
    beaten = scene.beats()
    wait_for(lambda: scene.beats() > beaten + 4, "time goes on")
    assert pids(scene) == before
    assert scene.farm.history() == []


@pytest.mark.fault("coordinator and worker killed", "the next coordinator replaces the dead hub too, under its URL")
def test_hub_that_died_while_nobody_watched_is_replaced(scene: Scene) -> None:
    victim = scene.start()
    former = victim.pid or 0
    kill(scene.coordinator)
    kill(psutil.Process(former))
    wait_for(lambda: victim.label not in [hub.label for hub in scene.farm.hubs()], "it is dead, and not listed")
    begun = time.perf_counter()
    scene.farm.restart([scene.hubs[1].label])
    wait_for(lambda: scene.is_replaced(victim, former), "it is replaced")
    scene.figures.served.append(time.perf_counter() - begun)


@pytest.mark.fault("forkserver killed", "its workers serve on and are watched; the next fork has a new one")
def test_workers_outlive_their_forkserver(scene: Scene) -> None:
    victim = scene.start()
    before = pids(scene)
    (forkserver,) = [child for child in scene.coordinator.children() if "hubfarm forkserver" in child.cmdline()]
    kill(forkserver)
    assert pids(scene) == before
    assert all(answers(hub.url) for hub in scene.hubs)
    scene.lose(victim, lambda: os.kill(victim.pid or 0, signal.SIGKILL))


@pytest.mark.fault("coordinator's guard removed, and another coordinator started", "the first one steps down")
def test_coordinator_whose_guard_was_taken_steps_down(scene: Scene) -> None:
    scene.start()
    before = pids(scene)
    first = scene.coordinator
    first.suspend()  # or it would take its guard again within a second
    for path in (scene.farm.paths.coordinator_guard, scene.farm.paths.control_socket):
        path.unlink()
    scene.hubs += scene.farm.start(label="later")
    scene.secrets["later"] = scene.secret_of(scene.hubs[-1])
    second = scene.coordinator
    assert second.pid != first.pid
    begun = time.perf_counter()
    first.resume()
    wait_for(lambda: is_dead(first), "the first one ends")
    scene.figures.noticed.append(time.perf_counter() - begun)
    assert scene.coordinator.pid == second.pid  # its sockets are where they were
    assert scene.farm.paths.handover_socket.is_socket()
    assert pids(scene)[:2] == before


@pytest.mark.fault("many `hubfarm start` at the same instant", "one coordinator, every hub")
def test_starts_that_race_make_one_coordinator(scene: Scene, full: bool) -> None:
    count = 20 if full else 4
    command = [sys.executable, "-m", "hubfarm", "start", "--group", "mima", "--json"]
    begun = time.perf_counter()
    racing = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
    assert [process.wait(100) for process in racing] == [0] * count
    scene.figures.served.append(time.perf_counter() - begun)
    scene.figures.remark = f"{count} starts"
    scene.hubs = scene.farm.hubs()
    scene.secrets = {hub.label: scene.secret_of(hub) for hub in scene.hubs}
    assert sorted(hub.label for hub in scene.hubs) == sorted(f"mima-{n}" for n in range(1, count + 1))
    assert {hub.id for hub in scene.hubs} == set(range(1, count + 1))
    status = scene.farm.coordinator()
    assert status is not None
    assert len(status["hubs"]) == count


@pytest.mark.fault("`hubfarm gc` in a loop during starts and stops", "it never removes anything of a hub that lives")
def test_gc_never_harms_hubs_that_come_and_go(scene: Scene, full: bool) -> None:
    scene.start()
    rounds = 100 if full else 4
    command = f"while {sys.executable} -m hubfarm gc >/dev/null; do :; done"
    with subprocess.Popen(command, shell=True, start_new_session=True) as collector:
        try:
            for number in range(rounds):
                (hub,) = scene.farm.start(label=f"round-{number}")
                assert hub.lock_file.exists()
                assert answers(hub.url)
                assert scene.farm.stop([hub.label]) == [hub.label]
                assert collector.poll() is None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(collector.pid, signal.SIGKILL)
    scene.figures.remark = f"{rounds} starts and stops"


@pytest.mark.fault("a hundred hubs without a coordinator", "a new coordinator has adopted all within two seconds")
def test_many_hubs_are_adopted_at_once(scene: Scene, full: bool) -> None:
    count = 100 if full else 5
    scene.start(count)
    kill(scene.coordinator)
    wait_for(lambda: not guard_is_held(scene.farm.paths.coordinator_guard), "the guard is free")
    begun = time.perf_counter()
    ensure_coordinator(scene.farm.paths, lambda: scene.farm.coordinator() is not None, "INFO")
    status = scene.farm.coordinator()
    took = time.perf_counter() - begun
    assert status is not None
    assert len(status["hubs"]) == count
    scene.figures.served.append(took)
    scene.figures.remark = f"{count} hubs; the start of the coordinator's process included"
    if full:
        assert took < 2


@pytest.mark.fault("nothing: a hundred idle hubs", "with their coordinator they use less than 2 % of one core")
def test_idle_hubs_cost_next_to_nothing(scene: Scene, full: bool) -> None:
    count, seconds = (100, 60.0) if full else (5, 3.0)
    scene.start(count)
    processes = [scene.coordinator, *map(psutil.Process, workers_of(scene.home))]
    beaten = scene.beats()
    wait_for(lambda: scene.beats() > beaten + 3 * count, "what the start has left to do is done")
    used, begun = cpu_seconds(processes), time.perf_counter()
    time.sleep(seconds)
    share = 100 * (cpu_seconds(processes) - used) / (time.perf_counter() - begun)
    scene.figures.remark = f"{count} hubs: {share:.2f} % of a core"
    assert share < (2 if full else 10)
