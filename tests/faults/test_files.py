"""What others may do to the farm's files."""

import os
import shutil
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError
from tests.conftest import past_early_death
from tests.faults.conftest import Scene, answers, full_disk
from tests.support import need_module, read_lock_file, wait_for


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def write_rubbish(path: Path) -> None:
    path.write_bytes(b"\xff\0 rubbish \n = =\n")


def replace_by_symlink(path: Path) -> None:
    victim = path.parent.parent / "precious"
    victim.write_text("precious")
    path.unlink()
    path.symlink_to(victim)


def make_unreadable(path: Path) -> None:
    path.chmod(0)


def is_whole(scene: Scene, hub: HubInfo) -> bool:
    """Whether a hub's lock file says what it said at first, to whoever follows its stable name."""
    path = hub.lock_file
    try:
        whole = path.lstat().st_mode & 0o777 == 0o600 and not path.is_symlink()
        return whole and read_lock_file(scene.stable_name(hub)).get("samp.secret") == scene.secrets[hub.label]
    except (OSError, ValueError):
        return False


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, marks=pytest.mark.fault("lock file deleted", "published again")),
        pytest.param(truncate, marks=pytest.mark.fault("lock file truncated", "published again")),
        pytest.param(write_rubbish, marks=pytest.mark.fault("lock file replaced by rubbish", "published again")),
        pytest.param(
            replace_by_symlink,
            marks=pytest.mark.fault("lock file replaced by a symlink", "published again; what it points to stays"),
        ),
        pytest.param(make_unreadable, marks=pytest.mark.fault("lock file made unreadable", "published again")),
    ],
)
def test_damaged_lock_file_is_published_again(scene: Scene, home: Path, damage: Callable[[Path], None]) -> None:
    victim = scene.start()
    scene.measure(lambda: damage(victim.lock_file), lambda: True, lambda: is_whole(scene, victim))
    precious = home / "precious"
    assert not precious.exists() or precious.read_text() == "precious"
    assert scene.farm.find(victim.label).pid == victim.pid


@pytest.mark.fault("stable name pointing elsewhere", "it points to the lock file again")
def test_stable_name_is_mended(scene: Scene) -> None:
    victim = scene.start()
    link = scene.stable_name(victim)

    def damage() -> None:
        link.unlink()
        link.symlink_to(scene.hubs[1].lock_file)

    scene.measure(damage, lambda: True, lambda: link.is_symlink() and os.readlink(link) == str(victim.lock_file))


@pytest.mark.fault(
    "lock directory deleted, with all that is in it", "all of it is made again; a crash is healed then, too"
)
def test_lock_directory_is_made_again(scene: Scene, home: Path) -> None:
    victim = scene.start()
    paths = scene.farm.paths
    coordinator = scene.coordinator.pid

    def is_back() -> bool:
        return (
            all(is_whole(scene, hub) for hub in scene.hubs)
            and paths.control_socket.exists()
            and paths.handover_socket.exists()
            and len(scene.farm.hubs()) == len(scene.hubs)
        )

    scene.measure(lambda: shutil.rmtree(home / ".samp-1"), lambda: True, is_back)
    assert scene.coordinator.pid == coordinator
    scene.lose(victim, lambda: os.kill(victim.pid or 0, signal.SIGKILL))
    assert "is replaced" in scene.farm.log_file("coordinator").read_text()  # the log goes on, in a new file


@pytest.mark.fault("guards deleted under living hubs", "no hub is taken for dead; put back, and named anew")
def test_guards_are_put_back(scene: Scene) -> None:
    victim = scene.start()
    guards = scene.farm.paths.guards
    ours = {hub.lock_file.name for hub in scene.hubs}

    def are_back() -> bool:
        listed = [hub for hub in scene.farm.hubs() if hub.kind == "farm"]
        return len(listed) == len(scene.hubs) and {path.name for path in guards.iterdir()} == ours

    shutil.rmtree(guards)
    assert not [verdict for verdict in scene.farm.gc() if verdict.removed and verdict.path.name in ours]
    scene.measure(lambda: None, lambda: True, are_back)
    scene.lose(victim, lambda: os.kill(victim.pid or 0, signal.SIGKILL))


@pytest.mark.fault("state table deleted", "made again by its writers")
def test_state_table_is_made_again(scene: Scene) -> None:
    scene.start()
    table = scene.farm.paths.state_table
    scene.measure(table.unlink, lambda: not table.exists(), lambda: _tells_of_all(scene))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(truncate, marks=pytest.mark.fault("state table truncated", "no hub dies of it; made again")),
        pytest.param(write_rubbish, marks=pytest.mark.fault("state table overwritten by rubbish", "the same")),
    ],
)
def test_state_table_that_is_written_over_is_made_again(scene: Scene, damage: Callable[[Path], None]) -> None:
    scene.start()
    before = [hub.pid for hub in scene.farm.hubs()]
    table = scene.farm.paths.state_table
    scene.measure(lambda: damage(table), lambda: True, lambda: _tells_of_all(scene))
    assert [hub.pid for hub in scene.farm.hubs()] == before


def _tells_of_all(scene: Scene) -> bool:
    try:
        return [hub.uptime is not None for hub in scene.farm.hubs()] == [True] * len(scene.hubs)
    except HubfarmError:
        return False


@pytest.mark.fault(
    "state table of another version in its place", "readers say so, hubs serve on; mended once it is gone"
)
def test_state_table_of_another_version_is_told_and_kept(scene: Scene) -> None:
    scene.start()
    table = scene.farm.paths.state_table
    other = bytearray(table.read_bytes())
    struct.pack_into("<I", other, 8, 99)  # behind the eight bytes that say what it is
    begun = time.perf_counter()
    table.with_name("other").write_bytes(other)
    table.with_name("other").replace(table)
    with pytest.raises(HubfarmError, match="a state table of layout 99, this hubfarm reads"):
        scene.farm.hubs()
    scene.figures.noticed.append(time.perf_counter() - begun)
    log = scene.farm.log_file("coordinator")
    wait_for(lambda: "no heartbeats can be read" in log.read_text(), "the coordinator has seen it")
    assert all(answers(hub.url) for hub in scene.hubs)
    assert table.read_bytes()[8:12] == struct.pack("<I", 99)
    scene.measure(table.unlink, lambda: True, lambda: _tells_of_all(scene))


@pytest.mark.fault("state table of another version, and nobody lives", "made anew by the first hub")
def test_state_table_that_an_older_farm_left_is_made_anew(scene: Scene) -> None:
    scene.start(1)
    scene.farm.stop(everything=True, coordinator=True)
    os.truncate(scene.farm.paths.state_table, 1000)
    scene.start(1)


@pytest.mark.fault("control socket deleted", "made again by the same coordinator")
def test_control_socket_is_made_again(scene: Scene) -> None:
    scene.start()
    coordinator = scene.coordinator.pid
    socket = scene.farm.paths.control_socket
    scene.measure(socket.unlink, lambda: not socket.exists(), lambda: scene.farm.coordinator() is not None)
    assert scene.coordinator.pid == coordinator


@pytest.mark.fault("disk full at start", "one line that names the file; nothing is left, nothing else is lost")
def test_start_on_a_full_disk_fails_in_order(small_disk: Path, scene: Scene) -> None:
    scene.start()
    with full_disk(small_disk), pytest.raises(HubfarmError, match="No space left on device"):
        scene.farm.start(label="too-much")


@pytest.mark.fault("disk full at log", "the hub serves on without, and logs again once there is room")
def test_log_on_a_full_disk_costs_the_log_alone(small_disk: Path, scene: Scene) -> None:
    victim = scene.start()
    log = scene.farm.log_file(victim.label)
    with full_disk(small_disk):
        before = scene.beats()
        log.rename(log.with_name("moved"))  # what is logged now has no room left in the old file's last page
        victim.lock_file.unlink()
        wait_for(lambda: scene.beats() > before + 8, "they beat on")
        assert answers(victim.url)
        assert not is_whole(scene, victim)
        begun = time.perf_counter()
    wait_for(lambda: is_whole(scene, victim), "the lock file is put back")
    scene.figures.served.append(time.perf_counter() - begun)
    wait_for(lambda: log.exists() and "put back the lock file" in log.read_text(), "it logs again")


@pytest.mark.fault("disk full at publish", "tried again with growing pauses; serves once there is room")
def test_hub_that_cannot_be_published_is_tried_again(small_disk: Path, scene: Scene) -> None:
    victim = scene.start()
    with full_disk(small_disk):
        os.kill(victim.pid or 0, signal.SIGKILL)
        wait_for(lambda: not victim.lock_file.exists(), "its lock file is gone")
        wait_for(lambda: scene.deaths(victim) >= 2, "tries come to nothing")
        assert not scene.is_replaced(victim, victim.pid or 0)
        begun = time.perf_counter()
    wait_for(lambda: scene.is_replaced(victim, victim.pid or 0), "it is published")
    scene.figures.served.append(time.perf_counter() - begun)


@pytest.mark.interop
@pytest.mark.fault("a foreign hub's garbage collection (astropy's) while a worker is replaced", "no hub is lost")
def test_astropys_garbage_collection_costs_no_hub(scene: Scene, full: bool) -> None:
    collect = need_module("astropy.samp.lockfile_helpers").remove_garbage_lock_files
    victim = scene.start()
    for _ in range(20 if full else 2):
        former = scene.farm.find(victim.label)
        scene.lose(victim, lambda former=former: (os.kill(former.pid, signal.SIGKILL), collect()))  # type: ignore[misc]
        past_early_death(scene.farm, victim.label)
    wait_for(scene.stable_name(victim).exists, "its stable name is there")


def _faketime() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed")
    return str(found[0])


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("+1h", marks=pytest.mark.fault("clock stepped forward by an hour", "nothing happens")),
        pytest.param("-1h", marks=pytest.mark.fault("clock stepped back by an hour", "nothing happens")),
    ],
)
def test_clock_that_is_stepped_disturbs_nobody(
    step: str,
    impatient: float,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    customize: Callable[[str], None],
    scene: Scene,
) -> None:
    clock = home / "clock"
    clock.write_text("+0")
    settings = {"LD_PRELOAD": _faketime(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    # The monotonic clock goes on as it does when somebody sets the time, and so do files' times.
    for name, value in (settings | {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}).items():
        monkeypatch.setenv(name, value)
    # libfaketime takes its offset from CPython's sleeps too, which are until a time of the monotonic clock.
    customize("import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds)\n")
    victim = scene.start(timeout=3600)
    for name in settings:
        monkeypatch.delenv(name)
    before = [hub.pid for hub in scene.farm.hubs()]
    clock.write_text(step)
    beaten = scene.beats()
    wait_for(lambda: scene.beats() > beaten + 2 * (impatient + 2), "they beat on")
    assert [hub.pid for hub in scene.farm.hubs()] == before
    assert all(hub.idle is not None and hub.idle < 60 for hub in scene.farm.hubs())
    assert [verdict for verdict in scene.farm.gc() if verdict.removed] == []
    scene.lose(victim, lambda: os.kill(victim.pid or 0, signal.SIGKILL))
    ends = [end.time for end in scene.farm.history()]
    assert len(ends) == 1
