"""Which hubs a farm may judge: those whose guard and whose PID are its own to see; all others live, in doubt."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfarm.registry import whereabouts
from hubfarm.registry.entry import Standing
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.sweep import sweep
from hubfarm.registry.whereabouts import Where, where_is
from hubfarm.spec.hub_spec import HubSpec
from tests.registry.registry_support import dead_hub, dead_pid, hub_process, make_old, publish, tokens

Change = Callable[[Path], None]


def without(*keys: str) -> Change:
    """Return what takes tokens out of a lock file."""

    def change(path: Path) -> None:
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if line.partition("=")[0] not in keys))

    return change


def saying(**new: str) -> Change:
    """Return what gives tokens of a lock file other values: ``saying(boot="x")`` of ``hubfarm.boot``."""

    def change(path: Path) -> None:
        without(*(f"hubfarm.{key.replace('_', '-')}" for key in new))(path)
        with path.open("a") as file:
            file.writelines(f"hubfarm.{key.replace('_', '-')}={value}\n" for key, value in new.items())

    return change


def both(*changes: Change) -> Change:
    def change(path: Path) -> None:
        for each in changes:
            each(path)

    return change


OF_BEFORE = without("hubfarm.guard", "hubfarm.guard-file", "hubfarm.machine", "hubfarm.namespace")
"""What makes of a lock file one of the release before this one."""

AS_IT_IS = both()
MOVED = saying(guard_file="1:1")
OTHER_BOOT = saying(boot="another")
OTHER_MACHINE = saying(boot="another", machine="0123456789abcdef")
NO_MACHINE = saying(boot="another", machine="")

A, D, F, E = Standing.ALIVE, Standing.DEAD, Standing.FOREIGN, Standing.ELSEWHERE

TABLE = [
    # what its lock file says                          alive  dead
    ("of this farm", AS_IT_IS, A, D),
    ("of this farm, another guard", MOVED, F, F),
    ("of another host", saying(host="other"), E, E),
    ("of this machine's last boot", OTHER_BOOT, E, D),
    ("of another machine of this name", OTHER_MACHINE, E, E),
    ("of another boot, machine not known", NO_MACHINE, E, F),
    ("of another boot and machine not known, another guard", both(NO_MACHINE, MOVED), E, E),
    ("of another container", saying(namespace="1"), E, D),
    ("of another container, another guard", both(saying(namespace="1"), MOVED), E, E),
    ("of the release before", OF_BEFORE, A, D),
    ("of the release before, another boot", both(OF_BEFORE, OTHER_BOOT), E, F),
    ("of the release before, another host", both(OF_BEFORE, saying(host="other")), E, E),
    ("damaged", lambda path: path.write_text("samp.sec"), A, D),
]


@pytest.fixture(autouse=True)
def _a_machine_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host that is no container, wherever this runs."""
    monkeypatch.setattr(whereabouts, "_machine", lambda: "fedcba9876543210")
    monkeypatch.setattr(whereabouts, "_namespace", lambda: "4026531836")


def told_here(path: Path) -> None:
    """Let a lock file that another process has published say that this machine is where it is."""
    saying(machine="fedcba9876543210", namespace="4026531836")(path)


@pytest.mark.parametrize(("change", "alive", "dead"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_known_of_a_hub_by_what_its_lock_file_says(
    paths: Paths, change: Change, alive: Standing, dead: Standing
) -> None:
    lockdir = LockDir(paths)
    with hub_process() as (_, path):
        told_here(path)
        change(path)
        assert lockdir.read(path).standing is alive
        make_old(path)
        assert [verdict for verdict in sweep(lockdir, lambda urls: urls) if verdict.removed] == []
    assert lockdir.read(path).standing is dead


@pytest.mark.parametrize("change", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_no_living_hub_is_cleared_though_it_does_not_answer(paths: Paths, change: Change) -> None:
    with hub_process() as (_, path):
        told_here(path)
        change(path)
        make_old(path)
        verdicts = sweep(LockDir(paths), lambda urls: ())
        assert [verdict for verdict in verdicts if verdict.removed] == []
        assert all(verdict.reason for verdict in verdicts)
        assert path.exists()


def test_guard_that_is_missing_says_nothing(paths: Paths) -> None:
    lockdir = LockDir(paths)
    for change in (AS_IT_IS, OF_BEFORE):
        path = dead_hub()
        told_here(path)
        change(path)
        lockdir.guard_path(lockdir.read(path).name).unlink()  # type: ignore[arg-type]
        assert lockdir.read(path).standing is Standing.FOREIGN
        assert not {v.path: v for v in sweep(lockdir, lambda urls: ())}[path].removed
        make_old(path)
        assert {v.path: v for v in sweep(lockdir, lambda urls: ())}[path].removed


def test_guard_that_was_missing_when_it_was_named_is_no_other_farms(paths: Paths) -> None:
    path = dead_hub()
    told_here(path)
    saying(guard="/nowhere/guards/x", guard_file="")(path)
    make_old(path)
    assert {v.path: v for v in sweep(LockDir(paths), lambda urls: ())}[path].removed


def test_another_file_of_the_guards_name_says_nothing(paths: Paths) -> None:
    lockdir = LockDir(paths)
    path = dead_hub()
    told_here(path)
    guard = lockdir.guard_path(lockdir.read(path).name)  # type: ignore[arg-type]
    guard.unlink()
    guard.touch()
    assert lockdir.read(path).standing is Standing.FOREIGN


def test_guard_that_is_put_back_is_named_in_the_lock_file_again(paths: Paths) -> None:
    lockdir = LockDir(paths)
    claim = publish(paths, 1, "mima")
    guard = lockdir.guard_path(claim.name)
    guard.unlink()
    assert lockdir.read(claim.path).standing is Standing.FOREIGN
    record = next(iter(_records(paths).values()))
    assert claim.mend(record) == [f"the guard {guard}", f"the lock file {claim.path}"]
    assert lockdir.read(claim.path).standing is Standing.ALIVE
    assert claim.mend(record) == []
    os.utime(guard, (1, 1))
    assert lockdir.read(claim.path).standing is Standing.FOREIGN
    assert claim.mend(record) == [f"the lock file {claim.path}"]
    assert lockdir.read(claim.path).standing is Standing.ALIVE
    claim.withdraw()
    assert lockdir.scan() == []


def _records(paths: Paths) -> dict[object, object]:
    from hubfarm.registry.statetable import read_records

    return dict(read_records(paths.state_table))


def test_hub_whose_guards_were_just_removed_leaves_nothing_when_it_ends(paths: Paths) -> None:
    claim = publish(paths, 1, "mima")
    for guard in paths.guards.iterdir():
        guard.unlink()
    claim.withdraw()
    assert not claim.path.exists()
    assert list(paths.by_label.iterdir()) == []


@pytest.mark.parametrize("name", ["plain", "with = and # and %", "größe"])
def test_guard_is_named_in_a_line_that_every_client_can_read(name: str, paths: Paths) -> None:
    other = Paths(paths.home / name, paths.home / name / "runtime", paths.host)
    other.home.mkdir()
    claim = publish(other.prepare(), 1)
    (line,) = [line for line in claim.path.read_text().splitlines() if line.startswith("hubfarm.guard=")]
    assert line.isascii()
    assert line.count("=") == 1
    assert LockDir(other).read(claim.path).guard == other.guards / claim.path.name
    claim.withdraw()


def test_journal_stays_while_its_hub_may_live(paths: Paths) -> None:
    lockdir = LockDir(paths)
    for number in (1, 2, 3):
        paths.journal(number).touch()
    text = "".join(f"{key}={value}\n" for key, value in tokens(HubSpec(id=1), paths, 1).items())
    elsewhere = paths.lockdir / f"samp-hub-{dead_pid()}-1"
    elsewhere.write_text(text.replace(f"hubfarm.host={paths.host}", "hubfarm.host=other"))
    claim = publish(paths, 2)
    claim.path.unlink()  # and it will be put back
    removed = {verdict.path for verdict in sweep(lockdir, lambda urls: ()) if verdict.removed}
    assert removed == {paths.journal(3)}
    claim.withdraw()


# ---------------------------------------------------------------------- the facts themselves


def test_this_process_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    said = whereabouts.whereabouts() | {"hubfarm.host": "x"}
    assert where_is(said, "x") is Where.HERE
    assert where_is(said, "y") is Where.AWAY
    assert where_is({}, "x") is Where.HERE


def test_lock_file_of_this_process_says_all_that_it_is_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    said = whereabouts.whereabouts() | {"hubfarm.host": "x"}
    assert set(said) == set(whereabouts.TOKENS)
    assert said["hubfarm.uid"] == str(os.getuid())
    assert where_is(said, "x") is Where.HERE
    monkeypatch.setattr(whereabouts, "_namespace", lambda: "4026532999")
    assert where_is(said, "x") is Where.BESIDE
    monkeypatch.setattr(whereabouts, "boot_id", lambda: "another")
    assert where_is(said, "x") is Where.BEFORE
    monkeypatch.setattr(whereabouts, "_machine", lambda: "0123456789abcdef")
    assert where_is(said, "x") is Where.AWAY


def test_a_container_does_not_take_itself_for_its_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    for function in (whereabouts._machine, whereabouts._namespace):
        function.cache_clear()
    monkeypatch.setattr(whereabouts, "_MACHINE_ID", tmp_path / "machine-id")
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    try:
        monkeypatch.setattr(os, "readlink", lambda path: "pid:[4026531836]")
        known = whereabouts._machine()
        assert len(known) == 16
        assert known not in (tmp_path / "machine-id").read_text()
        for function in (whereabouts._machine, whereabouts._namespace):
            function.cache_clear()
        monkeypatch.setattr(os, "readlink", lambda path: "pid:[4026532999]")
        assert whereabouts._machine() == ""
        assert whereabouts._namespace() == "4026532999"
    finally:
        monkeypatch.undo()
        for function in (whereabouts._machine, whereabouts._namespace):
            function.cache_clear()
