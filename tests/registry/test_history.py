"""The history: appended by many, read by all, never larger than it may be."""

import json
import os
import subprocess
import sys

from hubfarm.registry import history
from hubfarm.registry.history import End, end_of, read_history, record_end, trim_history
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.spec.hub_spec import HubSpec

SPEC = HubSpec(id=3, label="mima-3", owner="luigi", group="mima", secret="never-written", restarts=2)


def test_what_is_recorded_can_be_read_and_names_no_secret(paths: Paths) -> None:
    record_end(paths, SPEC, 4711, End.CRASHED, "killed by SIGKILL", 12.34567)
    (ending,) = read_history(paths)
    assert (ending.pid, ending.id, ending.label, ending.owner, ending.group) == (4711, 3, "mima-3", "luigi", "mima")
    assert (ending.how, ending.reason, ending.uptime, ending.restarts) == (End.CRASHED, "killed by SIGKILL", 12.346, 2)
    assert ending.as_json() == json.loads(paths.history.read_text())
    assert "never-written" not in paths.history.read_text()
    assert paths.history.stat().st_mode & 0o777 == 0o600


def test_there_is_no_history_at_first(paths: Paths) -> None:
    assert read_history(paths) == []


def test_damaged_lines_are_passed_over(paths: Paths) -> None:
    record_end(paths, SPEC, 1, End.STOPPED, "first", 1)
    with paths.history.open("ab") as file:
        file.write(b'rubbish\n{"how": "stopped"}\n[]\n{"how": "exploded", "pid": 1}\n\xff\xfe\n')
    record_end(paths, SPEC, 2, End.STOPPED, "last", 1)
    assert [ending.reason for ending in read_history(paths)] == ["first", "last"]


def test_last_account_of_a_worker_is_its_own(paths: Paths) -> None:
    record_end(paths, SPEC, 1, End.CRASHED, "of an earlier process with this PID", 1)
    record_end(paths, SPEC, 2, End.STOPPED, "another", 1)
    record_end(paths, SPEC, 1, End.UNUSED, "unused for 60 s", 1)
    account = end_of(paths, HubName(1, 3))
    assert account is not None
    assert account.how is End.UNUSED
    assert end_of(paths, HubName(9, 3)) is None


def test_history_that_cannot_be_written_costs_the_line_alone(paths: Paths) -> None:
    paths.history.mkdir()
    record_end(paths, SPEC, 1, End.STOPPED, "", 1)
    assert read_history(paths) == []


def test_older_half_is_dropped_once_it_is_too_large(paths: Paths) -> None:
    record_end(paths, SPEC, 1, End.STOPPED, "", 1)
    line = paths.history.read_bytes()
    count = history.MAX_SIZE // len(line) + 1
    paths.history.write_bytes(line * (count - 1))
    record_end(paths, SPEC, 2, End.STOPPED, "the newest", 1)
    trim_history(paths)
    endings = read_history(paths)
    assert len(endings) == count - count // 2
    assert endings[-1].reason == "the newest"
    trim_history(paths)
    assert read_history(paths) == endings


_APPEND = """
from hubfarm.registry.history import End, record_end
from hubfarm.registry.paths import Paths
from tests.registry.test_history import SPEC
for number in range(200):
    record_end(Paths.from_environment(), SPEC, number, End.STOPPED, "x" * 500, 1)
"""


def test_many_processes_append_whole_lines(paths: Paths) -> None:
    command = [sys.executable, "-c", _APPEND]
    writers = [subprocess.Popen(command, env=os.environ) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0] * 3
    assert len(read_history(paths)) == 600
