"""Lock files and guards: who may claim, what a reader sees, what is recognised, what is left behind."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfarm.registry.claim import claim_for
from hubfarm.registry.entry import Standing, parse_name
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse
from hubfarm.spec.hub_spec import HubSpec
from tests.registry.registry_support import ASTROPY, FOREIGN_URL, JSAMP, dead_hub, hub_process, publish, tokens
from tests.support import read_lock_file, wait_for


@pytest.fixture
def lockdir(paths: Paths) -> LockDir:
    return LockDir(paths)


# ---------------------------------------------------------------------- claiming and publishing


def test_guard_is_held_before_the_lock_file_appears_and_until_it_is_gone(lockdir: LockDir) -> None:
    name = HubName(os.getpid(), 1)
    claim = claim_for(HubSpec(id=1), lockdir)
    assert lockdir.is_alive(name)
    assert not claim.path.exists()
    claim.publish(tokens(HubSpec(id=1), lockdir.paths, os.getpid()))
    assert [entry.name for entry in lockdir.living()] == [name]
    claim.unpublish()
    assert not claim.path.exists()
    assert lockdir.is_alive(name)
    claim.withdraw()
    assert not lockdir.is_alive(name)


def test_lock_file_is_named_by_pid_and_id_and_says_all(lockdir: LockDir) -> None:
    claim = publish(lockdir.paths, 3, "mima")
    assert claim.path == lockdir.paths.lockdir / f"samp-hub-{os.getpid()}-3"
    found = read_lock_file(claim.path)
    assert found["samp.hub.xmlrpc.url"] == FOREIGN_URL
    assert found["hub.label"] == found["samp.hub.label"] == "mima"
    claim.withdraw()


def test_lock_file_is_for_its_owner_only_whatever_the_umask(lockdir: LockDir) -> None:
    old = os.umask(0)
    try:
        claim = publish(lockdir.paths, 1, "mima")
        assert claim.path.stat().st_mode & 0o777 == 0o600
        private = [path for path in lockdir.paths.runtime.rglob("*") if path.is_file() and not path.is_symlink()]
        assert len(private) >= 3
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    finally:
        os.umask(old)
    claim.withdraw()


def test_withdrawing_leaves_nothing(lockdir: LockDir) -> None:
    paths = lockdir.paths
    for path in (None, paths.home / "lock"):
        publish(paths, 1, "mima", path).withdraw()
    assert os.listdir(paths.lockdir) == [".hubfarm"]
    assert os.listdir(paths.guards) == os.listdir(paths.by_label) == []
    assert os.listdir(paths.home) == [".samp-1"]


def test_stable_name_leads_to_the_lock_file_across_a_restart(lockdir: LockDir) -> None:
    stable = lockdir.paths.by_label / "mima"
    dead = dead_hub(1, "mima")
    assert os.readlink(stable) == str(dead)
    claim = publish(lockdir.paths, 1, "mima")
    assert stable.resolve() == claim.path
    claim.withdraw()
    assert not os.path.lexists(stable)


def test_stable_name_that_leads_to_another_hub_by_now_stays(lockdir: LockDir) -> None:
    first = publish(lockdir.paths, 1, "mima")
    first.unpublish()
    second = publish(lockdir.paths, 2, "mima")
    first.withdraw()
    assert (lockdir.paths.by_label / "mima").resolve() == second.path
    second.withdraw()


def test_label_of_a_living_hub_is_refused_and_says_whose_it_is(lockdir: LockDir) -> None:
    claim = publish(lockdir.paths, 1, "mima")
    with pytest.raises(WrongUse, match=f"the label mima is in use by the hub {os.getpid()}-1"):
        claim_for(HubSpec(id=2, label="mima"), lockdir)
    claim.withdraw()
    publish(lockdir.paths, 2, "mima").withdraw()


def test_of_two_hubs_that_claim_one_label_at_once_one_is_refused(lockdir: LockDir) -> None:
    specs = HubSpec(id=1, label="mima"), HubSpec(id=2, label="mima")
    first, second = (claim_for(spec, lockdir) for spec in specs)
    second.publish(tokens(specs[1], lockdir.paths, os.getpid()))
    with pytest.raises(WrongUse, match=f"the label mima is in use by the hub {os.getpid()}-2"):
        first.publish(tokens(specs[0], lockdir.paths, os.getpid()))
    first.withdraw()
    assert [entry.name for entry in lockdir.living()] == [second.name]
    assert (lockdir.paths.by_label / "mima").resolve() == second.path
    second.withdraw()


def test_label_of_a_dead_hub_is_free(lockdir: LockDir) -> None:
    dead_hub(1, "mima")
    publish(lockdir.paths, 2, "mima").withdraw()


def test_hub_may_publish_again(lockdir: LockDir) -> None:
    claim = publish(lockdir.paths, 1, "mima")
    claim.path.unlink()
    claim.publish(tokens(HubSpec(id=1, label="mima"), lockdir.paths, os.getpid()))
    assert claim.path.exists()
    claim.withdraw()


@pytest.mark.parametrize("outside", [False, True])
def test_second_claim_on_one_hub_or_lock_file_is_refused(
    lockdir: LockDir, outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubfarm.registry.claim._GUARD_TIMEOUT", 0.1)
    path = lockdir.paths.home / "lock" if outside else None
    claim = publish(lockdir.paths, 1, path=path)
    with pytest.raises(HubfarmError) as refused:
        claim_for(HubSpec(id=2 if outside else 1), lockdir, path=path)
    what = f"the lock file {path}" if outside else f"the name {claim.name}"
    assert str(refused.value) == f"{what} is held by a hub that runs already"
    assert [entry.name for entry in [lockdir.read(claim.path)] if entry.standing is Standing.ALIVE] == [claim.name]
    assert not lockdir.is_alive(HubName(os.getpid(), 2))
    claim.withdraw()


@pytest.mark.parametrize("foreign", [ASTROPY, JSAMP])
def test_lock_file_that_a_foreign_hub_put_in_place_of_ours_stays(lockdir: LockDir, foreign: str) -> None:
    claim = publish(lockdir.paths, 1, path=lockdir.paths.single)
    lockdir.paths.single.unlink()
    lockdir.paths.single.write_text(foreign)
    claim.withdraw()
    assert lockdir.paths.single.read_text() == foreign


def test_reader_never_sees_half_a_lock_file(lockdir: LockDir) -> None:
    path = lockdir.paths.lockdir / "samp-hub-1-1"
    texts = ["a" * 20_000, "b" * 60_000]
    write_private(path, texts[0])
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(400):
        write_private(path, texts[number % 2])
    wait_for(lambda: seen, "a read")
    stop.set()
    reader.join()
    assert seen <= set(texts)


def test_symbolic_link_in_place_of_a_lock_file_is_replaced_not_followed(lockdir: LockDir) -> None:
    victim = lockdir.paths.home / "victim"
    victim.write_text("precious")
    path = lockdir.lock_path(HubName(os.getpid(), 1))
    path.symlink_to(victim)
    path.with_name(f".new-{path.name}").symlink_to(victim)
    claim = publish(lockdir.paths, 1)
    assert victim.read_text() == "precious"
    assert not claim.path.is_symlink()
    claim.withdraw()


def test_directory_in_place_of_a_lock_file_is_named(lockdir: LockDir) -> None:
    lockdir.lock_path(HubName(os.getpid(), 1)).mkdir()
    with pytest.raises(HubfarmError, match=r"cannot write .*samp-hub-\d+-1: Is a directory"):
        publish(lockdir.paths, 1)
    assert os.listdir(lockdir.paths.guards) == []


# ---------------------------------------------------------------------- guards


def test_guard_is_held_by_a_living_process_and_free_once_it_is_killed(lockdir: LockDir) -> None:
    with hub_process() as (process, path):
        entry = lockdir.read(path)
        assert (entry.standing, entry.name) == (Standing.ALIVE, HubName(process.pid, 1))
        process.kill()
        process.wait()
        assert lockdir.read(path).standing is Standing.DEAD
        assert lockdir.living() == []


def test_asking_for_a_guard_disturbs_nobody(lockdir: LockDir) -> None:
    claim = publish(lockdir.paths, 1)
    guard = lockdir.guard_path(claim.name)
    assert [guard_is_held(guard) for _ in range(3)] == [True] * 3
    claim.withdraw()
    assert not guard_is_held(guard)


def test_next_id_is_above_all_that_are_in_use(lockdir: LockDir) -> None:
    assert lockdir.next_id(set()) == 1
    claim = publish(lockdir.paths, 7)
    assert lockdir.next_id({3}) == 8
    assert lockdir.next_id({11}) == 12
    claim.withdraw()


def test_next_id_is_above_those_that_have_not_published_yet_and_those_that_come_back(lockdir: LockDir) -> None:
    first = claim_for(HubSpec(id=0), lockdir)
    second = claim_for(HubSpec(id=0), lockdir)
    assert (first.name.id, second.name.id) == (1, 2)
    Wanted(lockdir.paths).want(HubSpec(id=5, label="between two workers"))
    third = claim_for(HubSpec(id=0), lockdir)
    assert third.name.id == 6
    for claim in (first, second, third):
        claim.withdraw()


def test_id_that_another_has_taken_meanwhile_is_refused_but_not_to_a_successor(lockdir: LockDir) -> None:
    with hub_process(3) as (process, _):
        with pytest.raises(HubfarmError, match=f"the id 3 was taken by the hub {process.pid}-3 at this moment"):
            claim_for(HubSpec(id=3), lockdir)
        assert list(lockdir.paths.guards.iterdir()) == [lockdir.guard_path(HubName(process.pid, 3))]
        claim_for(HubSpec(id=3, restarts=1), lockdir).withdraw()
    claim_for(HubSpec(id=3), lockdir).withdraw()


# ---------------------------------------------------------------------- recognising


@pytest.mark.parametrize("text", [ASTROPY, JSAMP, JSAMP.replace("\n", "\r\n"), ASTROPY.replace("\n", "\r")])
@pytest.mark.parametrize("name", [".samp", ".samp-1/samp-hub-4711-1", ".samp-1/samp-hub-a1b2"])
def test_foreign_lock_file_is_recognised(lockdir: LockDir, name: str, text: str) -> None:
    path = lockdir.paths.home / name
    path.write_bytes(text.encode())
    entry = lockdir.scan()[0]
    assert (entry.path, entry.standing, entry.url, entry.problem) == (path, Standing.FOREIGN, FOREIGN_URL, "")
    assert entry.name == (HubName(4711, 1) if "4711" in name else None)
    assert (entry.label, entry.owner, entry.group) == (("Night", "luigi", "oact") if "Night" in text else ("", "", ""))


def test_lock_file_of_another_host_is_not_judged(lockdir: LockDir) -> None:
    spec = HubSpec(id=1)
    text = "".join(
        f"{key}={value}\n" for key, value in (tokens(spec, lockdir.paths, 1) | {"hubfarm.host": "x"}).items()
    )
    (lockdir.paths.lockdir / "samp-hub-1-1").write_text(text)
    assert [entry.standing for entry in lockdir.scan()] == [Standing.ELSEWHERE]


def test_damaged_lock_file_of_a_living_hub_is_still_known_as_alive(lockdir: LockDir) -> None:
    claim = publish(lockdir.paths, 1)
    claim.path.write_text("samp.sec")
    entry = lockdir.read(claim.path)
    assert (entry.standing, bool(entry.problem)) == (Standing.ALIVE, True)
    claim.withdraw()


ODD: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "no key=value": lambda path: path.write_text("hello\n"),
    "truncated": lambda path: path.write_text(ASTROPY[:100]),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "huge": lambda path: path.write_text("samp.secret=" + "x" * 10**6),
    "directory": lambda path: path.mkdir(),
    "FIFO": lambda path: os.mkfifo(path),
    "symbolic link": lambda path: path.symlink_to("/etc/passwd"),
    "dangling link": lambda path: path.symlink_to("/nonexistent"),
    "link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_what_is_no_lock_file_is_listed_with_its_problem(lockdir: LockDir, make: Callable[[Path], object]) -> None:
    make(lockdir.paths.lockdir / "samp-hub-4711-1")
    (entry,) = lockdir.scan()
    assert entry.problem
    assert (entry.standing, entry.url) == (Standing.FOREIGN, "")


def test_standard_lock_file_may_be_a_symbolic_link(lockdir: LockDir) -> None:
    (lockdir.paths.home / "real").write_text(ASTROPY)
    lockdir.paths.single.symlink_to(lockdir.paths.home / "real")
    assert [(entry.url, entry.problem) for entry in lockdir.scan()] == [(FOREIGN_URL, "")]


def test_other_files_in_the_directory_are_no_lock_files(lockdir: LockDir) -> None:
    for name in ("notes.txt", ".new-samp-hub-1-1", "my-samp-hub-1-1"):
        (lockdir.paths.lockdir / name).write_text(ASTROPY)
    assert lockdir.scan() == []


@pytest.mark.parametrize("name", ["samp-hub-1", "samp-hub-1-2-3", "samp-hub--1-2", "samp-hub-x-1", "samp-hub-١-1", ""])
def test_name_without_pid_and_id_tells_nothing(name: str) -> None:
    assert parse_name(name) is None


def test_missing_lock_directory_is_an_empty_one(home: Path) -> None:
    assert LockDir(Paths.from_environment()).scan() == []


def test_private_reading_refuses_what_is_no_small_file(home: Path) -> None:
    with pytest.raises(BadLockFile, match="not a regular file"):
        read_private(home)
    (home / "large").write_bytes(b"x" * 65537)
    with pytest.raises(BadLockFile, match="larger than 65536 bytes"):
        read_private(home / "large")
