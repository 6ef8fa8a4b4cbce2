"""What gc removes and what it keeps: never a living hub's file, always with a reason."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from hubfarm.registry.claim import claim_for
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.sweep import Verdict, sweep
from hubfarm.spec.hub_spec import HubSpec
from tests.registry.registry_support import ASTROPY, FOREIGN_URL, JSAMP, dead_hub, dead_pid, hub_process, make_old
from tests.registry.registry_support import tokens as hub_tokens
from tests.support import ROOT, wait_for


def nobody_answers(_: Collection[str]) -> Collection[str]:
    return ()


def all_answer(urls: Collection[str]) -> Collection[str]:
    return urls


def gc(paths: Paths, ask: Callable[[Collection[str]], Collection[str]] = nobody_answers) -> dict[Path, Verdict]:
    return {verdict.path: verdict for verdict in sweep(LockDir(paths), ask)}


def foreign(paths: Paths, pid: int, text: str = ASTROPY) -> Path:
    """Write a foreign hub's lock file, an hour ago."""
    path = paths.lockdir / f"samp-hub-{pid}-1"
    path.write_text(text)
    return make_old(path)


# ---------------------------------------------------------------------- hubs of ours


def test_nothing_to_do_on_an_empty_home(paths: Paths) -> None:
    assert gc(paths) == {}


def test_everything_of_a_dead_hub_goes(paths: Paths) -> None:
    path = dead_hub(1, "mima")
    stable = paths.by_label / "mima"
    (guard,) = paths.guards.iterdir()
    verdicts = gc(paths)
    assert set(verdicts) == {path, stable, guard}
    assert all(verdict.removed for verdict in verdicts.values())
    assert verdicts[path].reason == "its hub is dead: the guard is free"
    assert not any(os.path.lexists(each) for each in verdicts)
    assert gc(paths) == {}


def test_everything_of_a_living_hub_stays(paths: Paths) -> None:
    with hub_process(1, "mima") as (_, path):
        verdict = gc(paths)[path]
        assert (verdict.removed, verdict.reason) == (False, "its hub is alive: the guard is held")
        assert LockDir(paths).read(path).label == "mima"
        assert (paths.by_label / "mima").resolve() == path
        assert len(list(paths.guards.iterdir())) == 1


def test_stopped_hub_is_a_living_one(paths: Paths) -> None:
    with hub_process(1) as (process, path):
        process.send_signal(signal.SIGSTOP)
        make_old(path)
        assert not gc(paths)[path].removed


def test_hub_that_has_not_published_yet_keeps_its_guard(paths: Paths) -> None:
    claim = claim_for(HubSpec(id=1, label="mima"), LockDir(paths))
    assert gc(paths) == {}
    claim.publish(hub_tokens(HubSpec(id=1, label="mima"), paths, os.getpid()))
    assert LockDir(paths).living()[0].label == "mima"
    claim.withdraw()


def test_damaged_lock_file_of_a_dead_hub_goes(paths: Paths) -> None:
    path = dead_hub()
    path.write_text("samp.sec")
    assert gc(paths)[path].removed


def test_dead_hub_of_the_standards_lock_file_goes(paths: Paths) -> None:
    command = "from tests.registry.registry_support import *; p = Paths.from_environment(); publish(p, 1, '', p.single)"
    subprocess.run([sys.executable, "-c", f"{command}; os._exit(9)"], check=False, cwd=ROOT)
    assert gc(paths)[paths.single].removed
    assert list(paths.guards.iterdir()) == []
    assert not paths.single.exists()


def test_hub_of_another_host_stays(paths: Paths) -> None:
    tokens = hub_tokens(HubSpec(id=1), paths, 1) | {"hubfarm.host": "observatory"}
    path = foreign(paths, dead_pid(), "".join(f"{key}={value}\n" for key, value in tokens.items()))
    assert gc(paths)[path] == Verdict(path, False, "of the host observatory, which alone can judge it")


def test_dry_run_says_the_same_and_removes_nothing(paths: Paths) -> None:
    path = dead_hub(1, "mima")
    foreign(paths, dead_pid())
    said = sweep(LockDir(paths), nobody_answers, dry_run=True)
    assert path.exists()
    assert all(os.path.lexists(verdict.path) for verdict in said)
    assert sweep(LockDir(paths), nobody_answers) == said


# ---------------------------------------------------------------------- foreign hubs


@pytest.mark.parametrize("text", [ASTROPY, JSAMP])
def test_foreign_hub_that_is_dead_goes(paths: Paths, text: str) -> None:
    pid = dead_pid()
    path = foreign(paths, pid, text)
    assert gc(paths)[path] == Verdict(path, True, f"foreign: no answer, and no hub runs as process {pid}")
    assert not path.exists()


def test_foreign_hub_that_answers_stays(paths: Paths) -> None:
    path = foreign(paths, dead_pid())
    assert gc(paths, all_answer)[path] == Verdict(path, False, "foreign: its hub answers")
    assert path.exists()


def test_foreign_lock_file_younger_than_a_minute_stays(paths: Paths) -> None:
    path = foreign(paths, dead_pid())
    make_old(path, 30)
    verdict = gc(paths)[path]
    assert (verdict.removed, "younger than 60 s" in verdict.reason) == (False, True)


def test_foreign_hub_whose_process_could_be_one_stays(paths: Paths) -> None:
    path = foreign(paths, os.getpid())
    verdict = gc(paths)[path]
    assert (verdict.removed, f"process {os.getpid()}" in verdict.reason) == (False, True)


@pytest.mark.parametrize("program", ["java", "tclsh8.6", "wish", "ds9", "python3.11"])
def test_foreign_hub_stays_while_a_program_like_this_has_its_pid(paths: Paths, program: str) -> None:
    process = subprocess.Popen([program, "60"], executable="/bin/sleep")
    wait_for(psutil.Process(process.pid).cmdline, "its command line can be read")
    try:
        path = foreign(paths, process.pid)
        assert not gc(paths)[path].removed
    finally:
        process.kill()
        process.wait()


def test_foreign_hub_whose_pid_another_program_has_by_now_goes(paths: Paths) -> None:
    process = subprocess.Popen(["sleep", "60"], executable="/bin/sleep")
    try:
        path = foreign(paths, process.pid)
        assert gc(paths)[path].removed
    finally:
        process.kill()
        process.wait()


def test_foreign_hub_without_a_pid_in_its_name_stays(paths: Paths) -> None:
    for path in (paths.single, paths.lockdir / "samp-hub-3f2a-b1"):
        path.write_text(ASTROPY)
        make_old(path)
        assert not gc(paths)[path].removed
        assert path.exists()


def test_foreign_lock_file_that_was_replaced_meanwhile_stays(paths: Paths) -> None:
    path = foreign(paths, dead_pid())

    def replace(_: Collection[str]) -> Collection[str]:
        path.unlink()
        foreign(paths, int(path.name.split("-")[2]), ASTROPY + "# a new hub\n")
        return ()

    assert gc(paths, replace)[path].reason == "foreign: it changed while it was looked at"
    assert path.exists()


def test_foreign_hubs_are_asked_all_at_once(paths: Paths) -> None:
    asked: list[Collection[str]] = []
    for _ in range(3):
        foreign(paths, dead_pid())
    gc(paths, lambda urls: asked.append(urls) or ())  # type: ignore[func-returns-value]
    assert asked == [{FOREIGN_URL}]


@pytest.mark.parametrize("text", ["", "x" * 100_000, "\0\xff"])
def test_damaged_lock_file_of_a_dead_foreign_hub_goes(paths: Paths, text: str) -> None:
    path = foreign(paths, dead_pid(), text)
    assert gc(paths)[path].removed


def test_symbolic_link_goes_and_what_it_points_to_stays(paths: Paths) -> None:
    victim = paths.home / "victim"
    victim.write_text(ASTROPY)
    path = paths.lockdir / f"samp-hub-{dead_pid()}-1"
    path.symlink_to(victim)
    make_old(path)
    assert gc(paths)[path].removed
    assert victim.exists()


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, socket_at], ids=["directory", "FIFO", "socket"])
def test_what_is_no_file_is_not_ours_to_remove(paths: Paths, make: Callable[[Path], None]) -> None:
    path = paths.lockdir / f"samp-hub-{dead_pid()}-1"
    make(path)
    make_old(path)
    verdict = gc(paths)[path]
    assert (verdict.removed, "no lock file" in verdict.reason) == (False, True)
    assert path.exists()


# ---------------------------------------------------------------------- leftovers


@pytest.mark.parametrize("where", ["lockdir", "by_label"])
@pytest.mark.parametrize(("age", "goes"), [(0, False), (3600, True)])
def test_half_written_file_goes_once_it_is_old(paths: Paths, where: str, age: float, goes: bool) -> None:
    path = getattr(paths, where) / ".new-samp-hub-1-1"
    path.write_text("samp.sec")
    make_old(path, age)
    assert (path in gc(paths)) is goes
    assert path.exists() is not goes


def test_other_files_in_the_lock_directory_stay(paths: Paths) -> None:
    path = paths.lockdir / "notes.txt"
    path.write_text("x")
    make_old(path)
    assert gc(paths) == {}
    assert path.exists()


def test_temporary_files_of_a_dead_coordinator_go_and_of_a_living_one_stay(paths: Paths) -> None:
    left = paths.scratch / "tmp1"
    left.mkdir()
    (left / "runtime").write_text("")
    with FileLock(paths.coordinator_guard):
        assert gc(paths) == {}
    assert gc(paths)[left].removed
    assert not left.exists()


def test_file_that_cannot_be_removed_is_reported_and_the_rest_swept(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = foreign(paths, dead_pid()), foreign(paths, dead_pid())
    unlink = Path.unlink

    def refuse(path: Path) -> None:
        if path == first:
            raise PermissionError(1, "Operation not permitted")
        unlink(path)

    monkeypatch.setattr(Path, "unlink", refuse)
    verdicts = gc(paths)
    assert verdicts[first].reason.endswith("removing failed: Operation not permitted")
    assert (verdicts[first].removed, verdicts[second].removed) == (False, True)


# ---------------------------------------------------------------------- at the same time


_COMING_AND_GOING = """
import sys, time
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from tests.registry.registry_support import publish
paths = Paths.from_environment()
number, end = int(sys.argv[1]), time.monotonic() + 3
rounds = 0
while time.monotonic() < end:
    claim = publish(paths, number, f"hub-{number}")
    for _ in range(20):
        assert claim.path.exists(), f"{claim.path} vanished"
        assert claim.stable_name.resolve() == claim.path, f"{claim.stable_name} vanished"
        assert LockDir(paths).is_alive(claim.name), "the guard vanished"
        time.sleep(0.0005)
    claim.withdraw()
    rounds += 1
print(rounds)
"""


def test_many_sweeps_at_once_never_remove_a_living_hubs_file(paths: Paths) -> None:
    hubs = [
        subprocess.Popen(
            [sys.executable, "-c", _COMING_AND_GOING, str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(1, 4)
    ]
    over = threading.Event()

    def sweep_on() -> int:
        rounds = 0
        while not over.is_set():
            with contextlib.suppress(FileNotFoundError):  # another sweep was removing the one before
                foreign(paths, 2**22 + threading.get_ident() % 1000)
            gc(paths)
            rounds += 1
            time.sleep(0.001)
        return rounds

    with ThreadPoolExecutor(3) as pool:
        sweeps = [pool.submit(sweep_on) for _ in range(3)]
        ended = [hub.communicate(timeout=60) for hub in hubs]
        over.set()
    assert [error for _, error in ended] == [""] * 3
    assert all(int(rounds) > 3 for rounds, _ in ended)
    assert all(sweeper.result() > 3 for sweeper in sweeps)
    gc(paths)
    assert os.listdir(paths.guards) == os.listdir(paths.by_label) == []
