"""Two farms that share a home: each has its own directory, and lets the other's hubs live."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.entry import Standing
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from tests.conftest import RunCli, processes_of, suspended
from tests.registry.registry_support import ASTROPY, dead_pid, make_old
from tests.support import PATIENCE, ROOT, need, read_lock_file, wait_for

Contained = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ours(farm: Farm) -> list[HubInfo]:
    """Four hubs of the farm that lies where farms lie."""
    return farm.start(count=4, group="mima")


@pytest.fixture
def other(home: Path) -> Iterator[Farm]:
    """A farm of the same home with its files elsewhere, to look at; `elsewhere` starts it."""
    farm = Farm(Paths(home, home / "elsewhere", Paths.from_environment().host))
    yield farm
    farm.stop(everything=True, coordinator=True)


@pytest.fixture
def elsewhere(cli: RunCli, home: Path) -> RunCli:
    """Run ``hubfarm`` with the other farm's directory."""
    more = {"HUBFARM_RUNTIME_DIR": str(home / "elsewhere")}
    return lambda *arguments, **options: cli(*arguments, env=os.environ | more, **options)


def lock_files(home: Path) -> set[str]:
    return {path.name for path in (home / ".samp-1").glob("samp-hub-*")}


def test_gc_of_another_farm_leaves_living_hubs_alone(
    ours: list[HubInfo], home: Path, elsewhere: RunCli, farm: Farm
) -> None:
    before = lock_files(home)
    for hub in ours:
        make_old(hub.lock_file)
    verdicts = json.loads(elsewhere("gc", "--json").stdout)
    assert {verdict["removed"] for verdict in verdicts} == {False}
    told = f"foreign: of the farm in {farm.paths.runtime}, which alone can judge it"
    assert all(verdict["reason"].startswith(told) for verdict in verdicts)
    assert lock_files(home) == before
    assert [hub.pid for hub in farm.hubs()] == [hub.pid for hub in ours]


def test_gc_of_another_farm_leaves_hubs_that_do_not_answer_alone(
    ours: list[HubInfo], farm: Farm, home: Path, elsewhere: RunCli
) -> None:
    before = lock_files(home)
    with suspended(home):
        for hub in ours:
            make_old(hub.lock_file)
        assert "removed" not in elsewhere("gc").stdout
        assert lock_files(home) == before


def test_coordinator_of_another_farm_neither_sweeps_nor_adopts_them(
    ours: list[HubInfo],
    farm: Farm,
    other: Farm,
    home: Path,
    elsewhere: RunCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home / "config.toml").write_text("sweep_every = 1.0\n")
    monkeypatch.setenv("HUBFARM_CONFIG", str(home / "config.toml"))
    for hub in ours:
        make_old(hub.lock_file)
    dead = home / ".samp-1" / f"samp-hub-{dead_pid()}-1"
    dead.write_text(ASTROPY)
    make_old(dead)
    assert elsewhere("start", "--label", "other").returncode == 0
    wait_for(lambda: not dead.exists(), "it has swept")
    dead.write_text(ASTROPY)
    make_old(dead)
    wait_for(lambda: not dead.exists(), "and looked for hubs to adopt after that, and swept again")
    status = other.coordinator()
    assert status is not None
    assert [hub["label"] for hub in status["hubs"]] == ["other"]
    assert [hub.pid for hub in farm.hubs() if hub.kind == "farm"] == [hub.pid for hub in ours]
    other.stop(everything=True, coordinator=True)
    assert [hub.pid for hub in farm.hubs()] == [hub.pid for hub in ours]


def test_hubs_that_died_with_their_coordinator_are_left_to_their_farm(
    ours: list[HubInfo], farm: Farm, other: Farm, home: Path, elsewhere: RunCli
) -> None:
    for process in processes_of(home):
        process.kill()
    wait_for(lambda: {hub.state for hub in farm.hubs(everything=True)} == {"dead"}, "no guard is held")
    for hub in ours:
        make_old(hub.lock_file)
    assert elsewhere("start", "--label", "other").returncode == 0
    assert not [verdict for verdict in other.gc() if verdict.removed]
    status = other.coordinator()
    assert status is not None
    assert [hub["label"] for hub in status["hubs"]] == ["other"]
    farm.start(label="later")
    wait_for(lambda: len([hub for hub in farm.hubs() if hub.kind == "farm"]) == 5, "its own farm replaces them")


def test_hubs_of_a_farm_whose_directory_is_gone_are_judged_as_foreign_ones(
    ours: list[HubInfo], farm: Farm, other: Farm, home: Path
) -> None:
    alive = ours[0].pid
    for process in processes_of(home):
        if process.pid != alive:
            process.kill()
    wait_for(lambda: len(processes_of(home)) == 1, "one lives")
    os.kill(alive or 0, signal.SIGSTOP)  # or it would put its guard back
    shutil.rmtree(farm.paths.runtime)
    other.paths.prepare()
    assert not [verdict for verdict in other.gc() if verdict.removed], "they are younger than a minute"
    for hub in ours:
        make_old(hub.lock_file)
    removed = {verdict.path for verdict in other.gc() if verdict.removed}
    assert removed == {hub.lock_file for hub in ours[1:]}
    os.kill(alive or 0, signal.SIGCONT)
    wait_for(lambda: [hub.pid for hub in farm.hubs()] == [alive], "its own farm knows it again")


# ---------------------------------------------------------------------- what other commands do


def test_another_farms_hubs_are_listed_as_foreign_with_their_farm(
    ours: list[HubInfo], farm: Farm, elsewhere: RunCli
) -> None:
    listed = json.loads(elsewhere("ls", "--json").stdout)
    assert {(hub["kind"], hub["state"], hub["problem"]) for hub in listed} == {
        ("foreign", "running", f"of the farm in {farm.paths.runtime}")
    }
    assert [hub["label"] for hub in listed] == [hub.label for hub in ours]
    assert f"of the farm in {farm.paths.runtime}" in elsewhere("ls").stdout


@pytest.mark.parametrize("command", ["stop", "drain", "restart"])
def test_another_farms_hub_is_not_ended(ours: list[HubInfo], farm: Farm, elsewhere: RunCli, command: str) -> None:
    done = elsewhere(command, "mima-1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the hub mima-1 is foreign" in done.stderr
    assert elsewhere("stop", "--all").stdout == "no hub to stop\n"
    assert elsewhere("stop", "--group", "mima").stdout == "no hub to stop\n"
    assert [hub.pid for hub in farm.hubs()] == [hub.pid for hub in ours]


def test_programs_are_led_to_another_farms_hub(ours: list[HubInfo], elsewhere: RunCli) -> None:
    code = "import os; print(open(os.environ['SAMP_HUB'].removeprefix('std-lockurl:file://')).read())"
    done = elsewhere("exec", "mima-2", "--", sys.executable, "-c", code)
    assert f"samp.hub.xmlrpc.url={ours[1].url}\n" in done.stdout
    assert "answered in" in elsewhere("ping", "mima-2").stdout


def test_of_two_hubs_of_one_label_a_farm_means_its_own(
    ours: list[HubInfo], farm: Farm, other: Farm, home: Path, elsewhere: RunCli
) -> None:
    (theirs,) = json.loads(elsewhere("start", "--label", "mima-1", "--json").stdout)
    assert other.find("mima-1").url == theirs["url"]
    assert farm.find("mima-1").url == ours[0].url
    with SAMPIntegratedClient("one") as client:
        client.connect(label="mima-1")
        assert client.hub.lockfile["samp.hub.xmlrpc.url"] == ours[0].url
    assert other.stop(["mima-1"]) == ["mima-1"]
    assert [hub.pid for hub in farm.hubs()] == [hub.pid for hub in ours]


# ---------------------------------------------------------------------- guards that are removed


def test_hubs_whose_guards_are_removed_live_and_put_them_back(ours: list[HubInfo], farm: Farm, home: Path) -> None:
    before = lock_files(home)
    for hub in ours:
        make_old(hub.lock_file)
    shutil.rmtree(farm.paths.guards)
    assert not [verdict for verdict in farm.gc() if verdict.removed and verdict.path.parent == farm.paths.lockdir]
    wait_for(lambda: len([hub for hub in farm.hubs() if hub.kind == "farm"]) == 4, "all are known again")
    assert lock_files(home) == before
    for hub in farm.hubs():
        assert hub.pid in [each.pid for each in ours]
        guard = farm.paths.guards / hub.lock_file.name
        status = guard.stat()
        assert read_lock_file(hub.lock_file)["hubfarm.guard-file"] == f"{status.st_ino}:{status.st_mtime_ns}"


def test_hubs_that_died_while_their_guards_were_gone_are_cleared_once_that_is_sure(
    ours: list[HubInfo], farm: Farm, home: Path
) -> None:
    for process in processes_of(home):
        process.suspend()
    shutil.rmtree(farm.paths.guards)
    for process in processes_of(home):
        process.kill()
    wait_for(lambda: not processes_of(home), "all are dead")
    assert lock_files(home) == {hub.lock_file.name for hub in ours}
    farm.gc()
    assert lock_files(home) == {hub.lock_file.name for hub in ours}, "they are younger than a minute"
    for hub in ours:
        make_old(hub.lock_file)
    farm.gc()
    assert lock_files(home) == set()


# ---------------------------------------------------------------------- containers


@pytest.fixture
def contained(home: Path) -> Contained:
    """Run ``hubfarm`` as in another container of this host: with the same home and name, and PIDs of its own."""
    line = [need("unshare"), "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*line, "true"], capture_output=True, timeout=PATIENCE, check=False).returncode:
        pytest.skip("this account may not make PID namespaces")

    def run(*arguments: str, runtime: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | ({"HUBFARM_RUNTIME_DIR": runtime} if runtime else {})
        command = [*line, sys.executable, "-m", "hubfarm", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)

    return run


@pytest.mark.parametrize("runtime", ["", "own"], ids=["directory shared", "directory of its own"])
def test_another_container_neither_clears_nor_ends_living_hubs(
    ours: list[HubInfo],
    farm: Farm,
    home: Path,
    contained: Contained,
    runtime: str,
) -> None:
    before = lock_files(home)
    place = str(home / runtime) if runtime else ""
    for hub in ours:
        make_old(hub.lock_file)
    for command in (["gc"], ["stop", "--all"], ["stop", "--group", "mima"], ["gc", "--dry-run"]):
        done = contained(*command, runtime=place)
        assert (done.returncode, "removed" in done.stdout) == (0, False), done.stderr
    assert "of another container on this host" in contained("gc", runtime=place).stdout
    assert contained("stop", "mima-1", runtime=place).returncode == 2
    assert lock_files(home) == before
    assert [hub.pid for hub in farm.hubs()] == [hub.pid for hub in ours]
    states = {hub["state"] for hub in json.loads(contained("ls", "--all", "--json", runtime=place).stdout)}
    assert states == {"elsewhere"}


def test_free_guard_is_one_for_another_container_too(
    ours: list[HubInfo], farm: Farm, home: Path, contained: Contained
) -> None:
    for process in processes_of(home):
        process.kill()
    wait_for(lambda: {hub.state for hub in farm.hubs(everything=True)} == {"dead"}, "no guard is held")
    done = contained("gc")
    assert done.returncode == 0, done.stderr
    assert lock_files(home) == set()


def test_hub_of_another_container_whose_pid_is_ours_is_not_taken_for_this_process(
    contained: Contained, home: Path, paths: Paths
) -> None:
    code = """
import sys
from tests.registry.registry_support import Paths, publish
print(publish(Paths.from_environment(), 1).path, flush=True)
sys.stdin.read()
"""
    line = [need("unshare"), "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        entry = LockDir(paths).read(path)
        assert entry.standing is Standing.ELSEWHERE
        assert entry.name is not None
        assert psutil.pid_exists(entry.name.pid), "the first of a container is 1, as init is here"
        process.communicate()
