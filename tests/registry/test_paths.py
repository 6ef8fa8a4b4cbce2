"""Where everything lies, and which directories are refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubfarm.registry.paths import MAX_SOCKET_PATH, Paths, check_directory
from hubfarm.samp.errors import HubfarmError, WrongUse

NOBODY = 65534


def test_places_follow_from_home() -> None:
    paths = Paths.from_environment({"HOME": "/home/luigi"})
    assert paths.single == Path("/home/luigi/.samp")
    assert paths.lockdir == Path("/home/luigi/.samp-1")
    assert paths.runtime == Path("/home/luigi/.samp-1/.hubfarm") / paths.host
    assert paths.by_label == paths.runtime / "by-label"


def test_guards_do_not_lie_among_the_lock_files() -> None:
    paths = Paths.from_environment({"HOME": "/home/luigi"})
    assert paths.guards.parent != paths.lockdir


def test_runtime_directory_can_be_named() -> None:
    paths = Paths.from_environment({"HOME": "/home/luigi", "HUBFARM_RUNTIME_DIR": "/run/user/1/farm"})
    assert paths.runtime == Path("/run/user/1/farm")
    assert paths.lockdir == Path("/home/luigi/.samp-1")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "somewhere"}])
def test_without_a_home_the_error_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(WrongUse, match="set it to your home directory"):
        Paths.from_environment(environ)


def test_relative_runtime_directory_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match=r"HUBFARM_RUNTIME_DIR is 'farm': it must be an absolute path"):
        Paths.from_environment({"HOME": "/home/luigi", "HUBFARM_RUNTIME_DIR": "farm"})


def test_path_too_long_for_a_unix_socket_is_refused_before_a_crash() -> None:
    with pytest.raises(WrongUse, match=r"bytes too long for Unix sockets.*set HUBFARM_RUNTIME_DIR"):
        Paths.from_environment({"HOME": "/home/" + "x" * MAX_SOCKET_PATH})


def test_long_home_works_with_a_short_runtime_directory() -> None:
    home = "/home/" + "x" * 300
    assert Paths.from_environment({"HOME": home, "HUBFARM_RUNTIME_DIR": "/run/f"}).lockdir == Path(home, ".samp-1")


def test_prepared_directories_are_the_owners_alone(home: Path) -> None:
    old = os.umask(0)
    try:
        paths = Paths.from_environment().prepare()
    finally:
        os.umask(old)
    made = [paths.lockdir, *(path for path in paths.lockdir.rglob("*") if path.is_dir())]
    assert len(made) >= 6
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}


def test_preparing_twice_changes_nothing(paths: Paths) -> None:
    (paths.lockdir / "samp-hub-1-1").write_text("x")
    paths.prepare()
    assert (paths.lockdir / "samp-hub-1-1").read_text() == "x"


def test_file_in_place_of_the_lock_directory_is_named(home: Path) -> None:
    (home / ".samp-1").write_text("")
    with pytest.raises(HubfarmError, match=r"\.samp-1 is a file and must be a directory: move it away"):
        Paths.from_environment().prepare()


def test_home_that_is_missing_is_named(home: Path) -> None:
    with pytest.raises(HubfarmError, match=r"cannot make the directory .*No such file or directory"):
        Paths.from_environment({"HOME": str(home / "gone")}).prepare()


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o1777])
def test_directory_that_others_may_write_is_refused(home: Path, mode: int) -> None:
    (home / ".samp-1").mkdir()
    (home / ".samp-1").chmod(mode)
    with pytest.raises(HubfarmError, match=r"others may write in .*: chmod go-w"):
        Paths.from_environment().prepare()


def test_directory_that_others_may_read_is_taken(home: Path) -> None:
    (home / ".samp-1").mkdir(mode=0o755)
    Paths.from_environment().prepare()


@pytest.mark.parametrize("place", [".samp-1", ".samp-1/.hubfarm"])
def test_symbolic_link_in_place_of_a_directory_is_refused(home: Path, place: str) -> None:
    (home / "elsewhere").mkdir(mode=0o700)
    (home / place).parent.mkdir(mode=0o700, exist_ok=True)
    (home / place).symlink_to(home / "elsewhere")
    with pytest.raises(HubfarmError, match="must be a directory, and is none"):
        Paths.from_environment().prepare()
    assert list((home / "elsewhere").iterdir()) == []


def test_missing_directory_is_refused(home: Path) -> None:
    with pytest.raises(HubfarmError, match="cannot use the directory"):
        check_directory(home / "gone")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user")
def test_directory_of_another_user_is_refused(home: Path) -> None:
    (home / ".samp-1").mkdir(mode=0o700)
    os.chown(home / ".samp-1", NOBODY, NOBODY)
    with pytest.raises(HubfarmError, match=f"belongs to user {NOBODY}, not to you"):
        Paths.from_environment().prepare()


PREPARE = """
import os, sys
sys.path[:0] = {path!r}
from hubfarm.registry.paths import Paths
paths = Paths.from_environment()  # before, as Python itself may lie where that account reads nothing
if {uid} is not None:
    os.setgroups([]), os.setgid({uid}), os.setuid({uid})
try:
    paths.prepare()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_directory_that_we_cannot_write_is_named(home: Path) -> None:
    (home / ".samp-1").mkdir()
    uid = None
    if os.getuid() == 0:  # nothing is unwritable for root
        uid = NOBODY
        home.chmod(0o755)
        os.chown(home / ".samp-1", NOBODY, NOBODY)
    (home / ".samp-1").chmod(0o500)
    script = PREPARE.format(path=sys.path, uid=uid)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("HubfarmError cannot write in ")
    assert done.stdout.strip().endswith(f"chmod u+wx {home}/.samp-1")
