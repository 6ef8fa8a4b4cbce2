"""A test run that was killed whole leaves nothing that the next one does not find and end."""

import os
import subprocess
from pathlib import Path

import psutil

from tests.registry.registry_support import dead_pid
from tests.runs import MARK, directory_of_this_run, end_killed_runs
from tests.support import running, wait_for


def test_what_a_killed_run_has_left_is_ended_and_its_homes_removed() -> None:
    directory = Path(f"/tmp/hf-{dead_pid()}-1")
    (directory / "1").mkdir(parents=True)
    with running("sleep", "60", env={**os.environ, MARK: str(directory / "1")}) as left:
        ended = end_killed_runs()
        assert left.wait() < 0
    assert str(directory) in ended
    assert not directory.exists()


def test_what_a_living_run_has_made_is_left_alone(home: Path) -> None:
    assert home.parent == directory_of_this_run()
    with running("sleep", "60") as ours:
        end_killed_runs()
        assert ours.poll() is None
    assert home.exists()


def test_run_whose_pid_another_process_has_now_is_over(home: Path) -> None:
    with running("sleep", "60", stdout=subprocess.DEVNULL) as other:
        long_before = int(psutil.Process(other.pid).create_time()) - 60
        directory = Path(f"/tmp/hf-{other.pid}-{long_before:x}")
        directory.mkdir()
        end_killed_runs()
    wait_for(lambda: not directory.exists(), "its directory is gone")
