"""What a farm has on disk: its owner's alone, whatever the umask, and no planted link is followed."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.history import End, read_history, record_end, trim_history
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from tests.conftest import RunCli
from tests.support import PATIENCE, ROOT, Receiver, message, running, wait_for

BYSTANDER = "what somebody keeps here\n" * 100_000
"""Larger than a history may grow."""

LAUNCHER = str(ROOT / "bin" / "sampy.py")


@pytest.fixture
def bystander(home: Path) -> Iterator[Path]:
    """A file that links lead to; nobody must touch it."""
    file = home / "bystander"
    file.write_text(BYSTANDER)
    file.chmod(0o644)
    before = file.stat()
    yield file
    after = file.stat()
    assert file.read_text() == BYSTANDER
    assert (after.st_mode, after.st_mtime_ns, after.st_ino) == (before.st_mode, before.st_mtime_ns, before.st_ino)


def is_held(farm: Farm) -> None:
    """A hub of the farm serves."""
    (hub,) = [hub for hub in farm.hubs() if hub.kind == "farm"]
    with Receiver() as client:
        client.join_by(Path(hub.lock_file))


# ---------------------------------------------------------------------- the umask


def test_umask_of_000_opens_nothing_to_others(home: Path, cli: RunCli, receiver: Receiver) -> None:
    old = os.umask(0)
    try:
        assert cli("start", "--count", "2", "--label", "x", "--log-level", "DEBUG").returncode == 0
        for lock_file in (home / ".samp-1").glob("samp-hub-*"):
            receiver.join_by(lock_file, "receiver", "test.*")
            receiver.hub.notifyAll(receiver.key, message("test.it"))
        assert cli("restart", "x-1").returncode == 0
        found = list((home / ".samp-1").rglob("*"))
        for path in [home / ".samp-1", *found]:
            if not path.is_symlink():
                assert path.stat().st_mode & 0o077 == 0, path
        names = {path.name for path in found}
        assert names >= {
            "state",
            "control",
            "handover",
            "mutex",
            "history",
            "coordinator",
            "coordinator.log",
            "x-1.log",
        }
    finally:
        os.umask(old)


# ---------------------------------------------------------------------- directories


DIRECTORIES = ["lockdir", "runtime", "guards", "by_label", "logs", "journals", "wanted", "scratch"]


@pytest.mark.parametrize("place", DIRECTORIES)
@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_directory_that_others_may_write_is_refused(paths: Paths, place: str, mode: int) -> None:
    directory: Path = getattr(paths, place)
    directory.chmod(mode)
    with pytest.raises(HubfarmError, match=f"others may write in {directory}"):
        paths.prepare()


def test_directories_are_checked_at_every_start(paths: Paths, cli: RunCli) -> None:
    assert cli("start", "--label", "x").returncode == 0
    paths.lockdir.chmod(0o777)
    done = cli("start")
    assert done.returncode == 1
    assert f"chmod go-w {paths.lockdir}" in done.stderr
    paths.lockdir.chmod(0o700)


def test_sampy_checks_the_directories_too(paths: Paths) -> None:
    paths.lockdir.chmod(0o777)
    done = subprocess.run([sys.executable, LAUNCHER, "--multi"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert str(paths.lockdir) in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("place", DIRECTORIES)
def test_directory_of_somebody_else_is_refused(paths: Paths, place: str) -> None:
    directory: Path = getattr(paths, place)
    os.chown(directory, 12345, 12345)
    with pytest.raises(HubfarmError, match=f"{directory} belongs to user 12345"):
        paths.prepare()


# ---------------------------------------------------------------------- planted links

REPLACED: list[Callable[[Paths], Path]] = [
    lambda paths: paths.control_socket,
    lambda paths: paths.handover_socket,
    lambda paths: paths.by_label / "x",
    lambda paths: paths.history.with_name(".new-history"),
    lambda paths: paths.state_table.with_name("state.new"),
    lambda paths: paths.journal(1).with_name("hub-1.new"),
    lambda paths: paths.lockdir / "samp-hub-1-1",
    lambda paths: paths.guards / "samp-hub-1-1",
    lambda paths: paths.lockdir / ".new-samp-hub-1-1",
    lambda paths: paths.history,
    lambda paths: paths.state_table,
]
"""What does not keep a hub from starting."""

IN_THE_WAY: dict[str, Callable[[Paths], Path]] = {
    "mutex": lambda paths: paths.mutex,
    "coordinator's guard": lambda paths: paths.coordinator_guard,
    "start guard": lambda paths: paths.start_guard,
    "hub's log": lambda paths: paths.logs / "x.log",
    "coordinator's log": lambda paths: paths.logs / "coordinator.log",
    "coordinator's output": lambda paths: paths.logs / "coordinator.out",
    "journal": lambda paths: paths.journal(1),
}


def test_links_that_are_in_nobodys_way_are_not_followed(paths: Paths, cli: RunCli, bystander: Path) -> None:
    for place in REPLACED:
        place(paths).symlink_to(bystander)
    done = cli("start", "--label", "x", "--log-level", "DEBUG")
    assert done.returncode == 0, done.stderr
    is_held(Farm())
    assert cli("stop", "--all", "--coordinator").returncode == 0


@pytest.mark.parametrize("place", IN_THE_WAY)
def test_link_in_place_of_a_file_that_is_needed_is_named(
    paths: Paths, cli: RunCli, bystander: Path, place: str
) -> None:
    link = IN_THE_WAY[place](paths)
    link.symlink_to(bystander)
    done = cli("start", "--label", "x")
    assert done.returncode == 1
    assert str(link) in done.stderr
    assert "failed unexpectedly" not in done.stderr


@pytest.mark.parametrize("place", DIRECTORIES)
def test_link_in_place_of_a_directory_is_refused(paths: Paths, tmp_path: Path, place: str) -> None:
    directory: Path = getattr(paths, place)
    target = tmp_path / "elsewhere"
    directory.rename(target)
    directory.symlink_to(target, target_is_directory=True)
    before = sorted(target.rglob("*"))
    with pytest.raises(HubfarmError, match=str(directory)):
        paths.prepare()
    assert sorted(target.rglob("*")) == before


def test_link_planted_while_a_hub_runs_gives_way_to_its_lock_file(farm: Farm, bystander: Path) -> None:
    (hub,) = farm.start(label="x")
    lock_file = Path(hub.lock_file)
    lock_file.unlink()
    lock_file.symlink_to(bystander)
    wait_for(lambda: not lock_file.is_symlink(), "the hub puts its lock file back")
    is_held(farm)


def test_link_in_place_of_the_history_is_neither_written_read_nor_trimmed(paths: Paths, bystander: Path) -> None:
    paths.history.symlink_to(bystander)
    record_end(paths, HubSpec(id=1), 1, End.STOPPED, "by a test", 1.0)
    assert read_history(paths) == []
    trim_history(paths)
    assert paths.history.is_symlink()


def test_history_that_is_trimmed_stays_private(paths: Paths) -> None:
    old = os.umask(0)
    try:
        record_end(paths, HubSpec(id=1), 1, End.STOPPED, "x" * 1_200_000, 1.0)
        record_end(paths, HubSpec(id=2), 2, End.STOPPED, "y", 1.0)
        trim_history(paths)
    finally:
        os.umask(old)
    assert [ending.id for ending in read_history(paths)] == [2]
    assert stat.S_IMODE(paths.history.stat().st_mode) == 0o600


def test_link_in_place_of_sampys_lock_file_is_replaced_and_not_written_through(home: Path, bystander: Path) -> None:
    link = home / "lock"
    link.symlink_to(bystander)
    with running(sys.executable, str(LAUNCHER), "--lockfile", str(link), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert "serving" in line or process.returncode == 1
