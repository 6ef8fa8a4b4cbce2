"""Who asked for a hub's end: noted before it is asked for, taken by who writes down the end, and no longer kept."""

import json
import os
import time
from pathlib import Path

import pytest

from hubfarm.registry import asked
from hubfarm.registry.asked import KEPT, Asker, note, take
from hubfarm.registry.history import End, read_history, record_end
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.spec.hub_spec import HubSpec

NAME = HubName(4711, 3)


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be somebody in particular."""
    for variable, value in {
        "SUDO_USER": "luigi",
        "XDG_SESSION_ID": "7",
        "SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22",
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(asked.sys, "argv", ["/usr/bin/hubfarm", "stop"])


def test_asker_is_told_by_account_program_and_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked.os, "ttyname", lambda descriptor: "/dev/pts/4")
    this = Asker.this()
    assert this.user.endswith(" (sudo by luigi)")
    assert this.process == f"hubfarm {os.getpid()}"
    assert this.session == "session 7, pts/4, from 192.0.2.7"
    assert str(this) == f"{this.user}, {this.process}, {this.session}"


def test_asker_without_session_terminal_or_name_is_told_as_far_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object) -> str:
        raise OSError

    def nobody(uid: int) -> str:
        raise KeyError(uid)

    for variable in ("SUDO_USER", "XDG_SESSION_ID", "SSH_CONNECTION"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr(asked.os, "ttyname", no)
    monkeypatch.setattr(asked.pwd, "getpwuid", nobody)
    monkeypatch.setattr(asked.sys, "argv", [""])
    this = Asker.this()
    assert (this.user, this.session) == (f"user {os.getuid()}", "")
    assert this.process == f"{os.path.basename(asked.sys.executable)} {os.getpid()}"
    assert str(this) == f"{this.user}, {this.process}"


def test_terminal_is_that_of_any_of_the_three(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(descriptor: int) -> str:
        if descriptor < 2:
            raise OSError
        return f"/dev/pts/{descriptor}"

    monkeypatch.setattr(asked.os, "ttyname", of)
    assert Asker.this().session == "session 7, pts/2, from 192.0.2.7"


def test_note_is_taken_once_and_by_its_hub_alone(paths: Paths) -> None:
    note(paths, [NAME, HubName(4712, 4)])
    assert take(paths, HubName(4711, 4)) is None
    taken = take(paths, NAME)
    assert taken == Asker.this()
    assert take(paths, NAME) is None
    assert [each.name for each in paths.asked.iterdir()] == ["4712-4"]


def test_end_of_a_hub_is_written_with_who_asked_for_it(paths: Paths) -> None:
    note(paths, [NAME])
    for _ in range(2):
        record_end(paths, HubSpec(id=3), 4711, End.STOPPED, "", 1.0)
    assert [ending.asked_by for ending in read_history(paths)] == [Asker.this(), None]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"user": "x"}', '{"user": 1, "process": "p", "session": ""}', "[" * 50_000]
)
def test_damaged_note_tells_of_nobody_and_is_gone(paths: Paths, text: str) -> None:
    (paths.asked / str(NAME)).write_text(text)
    assert take(paths, NAME) is None
    assert list(paths.asked.iterdir()) == []


def test_notes_that_nobody_took_go_after_a_day(paths: Paths) -> None:
    old, young = paths.asked / "1-1", paths.asked / "2-2"
    for path, age in ((old, KEPT + 60), (young, KEPT - 60)):
        path.write_text(json.dumps({}))
        os.utime(path, (time.time() - age,) * 2)
    note(paths, [])
    assert list(paths.asked.iterdir()) == [young]


def test_notes_that_cannot_be_written_stop_nobody(paths: Paths) -> None:
    paths.asked.rmdir()
    note(paths, [NAME])
    Path(paths.asked).write_text("")
    note(paths, [NAME])
    assert take(paths, NAME) is None
