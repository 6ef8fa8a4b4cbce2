"""Locks on files: one holder, known to others who ask, and to filelock."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import filelock
import pytest
from filelock import FileLock, Timeout

from hubfarm.registry.locks import Lock, guard_is_held, holding
from hubfarm.samp.errors import HubfarmError


def test_one_holds_a_lock_and_another_is_refused_until_it_is_given_back(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire(timeout=0)
    with pytest.raises(TimeoutError):
        second.acquire(timeout=0.05)
    assert guard_is_held(tmp_path / "lock")
    first.release()
    assert not guard_is_held(tmp_path / "lock")
    second.acquire(timeout=0)
    second.release()
    second.release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_whoever_waits_gets_it_when_it_is_given_back(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire(timeout=0)
    begun = time.monotonic()
    threading.Timer(0.05, first.release).start()
    second.acquire(timeout=20)
    assert 0.04 < time.monotonic() - begun < 20
    second.release()


def test_lock_whose_file_was_removed_meanwhile_is_not_taken_for_the_one_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    leaving, waiting = Lock(path), Lock(path)
    leaving.acquire(timeout=0)
    taking = threading.Thread(target=waiting.acquire, args=(20,))
    taking.start()
    path.unlink()
    leaving.release()
    taking.join()
    assert guard_is_held(path)
    waiting.release()


def test_file_that_is_removed_between_opening_and_locking_is_left_for_the_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    real = filelock.lock_descriptor

    def late(descriptor: int, **options: Any) -> bool:
        monkeypatch.undo()
        path.unlink()
        return bool(real(descriptor, **options))

    monkeypatch.setattr(filelock, "lock_descriptor", late)
    lock = Lock(path)
    lock.acquire(timeout=20)
    assert guard_is_held(path)
    lock.release()


def test_filelock_and_we_keep_each_other_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock(path):
        assert guard_is_held(path)
        with pytest.raises(TimeoutError):
            Lock(path).acquire(timeout=0)
    with holding(path, timeout=0, by="us"), pytest.raises(Timeout):
        FileLock(path).acquire(blocking=False)


def test_who_cannot_have_it_is_told_why(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock(path)
    lock.acquire(timeout=0)
    with (
        pytest.raises(HubfarmError, match=r"lock has been locked for 0.01 s by a friend"),
        holding(path, timeout=0.01, by="a friend"),
    ):
        pass
    lock.release()
    with (
        pytest.raises(HubfarmError, match=r"cannot lock .*: No such file"),
        holding(tmp_path / "missing" / "lock", timeout=0, by="a friend"),
    ):
        pass


def test_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        Lock(tmp_path / "link").acquire(timeout=0)
    assert not guard_is_held(tmp_path / "link")
    assert not (tmp_path / "target").exists()


def test_child_holds_none_and_gives_none_back(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    lock.acquire(timeout=0)
    pid = os.fork()
    if pid == 0:
        lock.release()
        os._exit(0 if guard_is_held(lock.path) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert guard_is_held(lock.path)
    lock.release()
