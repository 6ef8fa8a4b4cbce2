"""A home of links: it lasts as long as its program, and what that made in it is the user's afterwards."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfarm.registry.homes import is_lived_in
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.sweep import Verdict, sweep
from tests.support import ROOT, running

_PROGRAM = """
import os, sys
from pathlib import Path
from hubfarm.registry.homes import make_home
from hubfarm.registry.paths import Paths
print(make_home(Paths.from_environment(), "aladin", Path(sys.argv[1]), Path("/lock"), [".aladin"]), flush=True)
os.execvp("cat", ["cat"])
"""


@pytest.fixture
def user_home(home: Path) -> Path:
    directory = home / "user"
    directory.mkdir()
    (directory / "notes").write_text("mine")
    (directory / ".samp").write_text("of another hub")
    return directory


@contextlib.contextmanager
def lived_in(user_home: Path) -> Iterator[Path]:
    """Run a program that has a home of links; return that."""
    command = [sys.executable, "-c", _PROGRAM, str(user_home)]
    with running(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())


def gc(paths: Paths) -> list[Verdict]:
    return sweep(LockDir(paths), lambda urls: ())


def test_all_in_it_is_the_users_but_for_the_lock_file(paths: Paths, user_home: Path) -> None:
    with lived_in(user_home) as home:
        assert {path.name: os.readlink(path) for path in home.iterdir()} == {
            "notes": str(user_home / "notes"),
            ".aladin": str(user_home / ".aladin"),
            ".samp": "/lock",
        }
        assert home.stat().st_mode & 0o777 == 0o700


def test_it_stays_while_its_program_runs_and_what_was_made_in_it_goes_to_the_user(
    paths: Paths, user_home: Path
) -> None:
    with lived_in(user_home) as home:
        assert is_lived_in(home.parent)
        assert gc(paths) == []
        (home / "made").write_text("new")
    assert not is_lived_in(home.parent)
    assert gc(paths) == [Verdict(home.parent, True, "a home of a program that has ended")]
    assert (user_home / "made").read_text() == "new"
    assert (user_home / ".samp").read_text() == "of another hub"
    assert list(paths.homes.iterdir()) == []


def test_what_the_user_has_too_is_overwritten_by_nothing_and_waits(paths: Paths, user_home: Path) -> None:
    with lived_in(user_home) as home:
        (home / "notes").unlink()
        (home / "notes").write_text("the program's")
    (verdict,) = gc(paths)
    assert not verdict.removed
    assert "take notes from it" in verdict.reason
    assert ((user_home / "notes").read_text(), (home / "notes").read_text()) == ("mine", "the program's")
