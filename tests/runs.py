"""Test runs, and what they leave: which run a process and a home belong to, and the end of runs that were killed.

A run is one pytest process (with xdist, one worker).  The homes of its tests lie in a directory whose name
says which process that is, and every process that a test starts has its home in the environment.  So whatever
a run leaves that was killed whole, the next one can tell, and ends it.
"""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from tests.support import PATIENCE

MARK = "HUBFARM_TEST_HOME"
"""In the environment of every process that a test starts, however far it detaches itself: the test's home."""

_PLACE = Path("/tmp")  # paths below it are short: Unix sockets lie there
_RUN = re.compile(r"hf-(\d+)-([0-9a-f]+)")

_STEP = 5.0
"""By so much two processes may differ about the time at which a third began, seconds: the clock is set now and then."""


def directory_of_this_run() -> Path:
    """Return the directory in which this run makes its homes."""
    return _PLACE / f"hf-{os.getpid()}-{int(psutil.Process().create_time()):x}"


def marked_processes() -> Iterator[tuple[psutil.Process, Path]]:
    """Yield every living process that a test has started, and the test's home."""
    for process in psutil.process_iter():
        try:
            home = process.environ().get(MARK)
            if home and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process, Path(home)
        except psutil.Error:
            continue


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, also those that were stopped."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def end_killed_runs() -> list[str]:
    """End what is left of runs whose pytest is gone, and remove their homes; return what that was."""
    ended: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while (left := [each for each, home in marked_processes() if _is_over(home.parent)]) and (
        time.monotonic() < deadline
    ):
        ended += map(str, left)
        kill(left)
        time.sleep(0.01)  # they may have started others meanwhile
    for directory in filter(_is_over, _PLACE.glob("hf-*-*")):
        ended.append(str(directory))
        remove(directory)
    return ended


def _is_over(directory: Path) -> bool:
    """Tell whether a directory is one of a run, and its process is gone."""
    named = _RUN.fullmatch(directory.name)
    if directory.parent != _PLACE or named is None:
        return False
    try:
        process = psutil.Process(int(named[1]))
        its_own = abs(process.create_time() - int(named[2], 16)) <= _STEP  # or one that got its PID
        return not its_own or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def remove(directory: Path) -> None:
    """Remove a run's directory, or a home in it, and what is mounted there."""
    mounted = [line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in mounted:
        if Path(place).is_relative_to(directory):
            subprocess.run(["umount", "--lazy", place], check=False)
    shutil.rmtree(directory, ignore_errors=True)
