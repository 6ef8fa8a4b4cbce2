"""The forkserver's rehearsal leaves nothing behind: no file, no descriptor, no thread, no handler."""

import subprocess
import sys
from pathlib import Path

from hubfarm.registry.paths import Paths

_LOOK = """
import os, signal, threading
from hubfarm.prefork import rehearsal
from hubfarm.worker import process
descriptors = len(os.listdir("/proc/self/fd"))
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
ended = []
stop = process.HubProcess.stop
async def noted(*args):
    await stop(*args)
    ended.append(args)
process.HubProcess.stop = noted
rehearsal.rehearse("INFO")
assert len(ended) == 1 + rehearsal.TIMES, "the rehearsal failed"
assert len(os.listdir("/proc/self/fd")) == descriptors + 2  # libuv's pipe, which each process has once
assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
assert threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1
"""


def test_rehearsal_comes_to_its_end_and_leaves_nothing(home: Path) -> None:
    paths = Paths.from_environment().prepare()
    subprocess.run([sys.executable, "-c", _LOOK], check=True, timeout=30)
    assert list(paths.scratch.iterdir()) == []
    assert [path for path in paths.runtime.rglob("*") if path.is_file()] == []
