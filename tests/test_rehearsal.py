"""The forkserver's rehearsal leaves nothing behind: no file, no thread, no handler."""

import subprocess
import sys
from pathlib import Path

from hubfarm.registry.paths import Paths

_LOOK = """
import os, signal, threading
from loguru import logger
logger.remove()
from hubfarm.worker import rehearsal
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
ended = []
stop = rehearsal.HubProcess.stop
async def noted(*args):
    await stop(*args)
    ended.append(args)
rehearsal.HubProcess.stop = noted
rehearsal.rehearse()
assert ended, "the rehearsal failed"
assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
assert threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1
"""


def test_rehearsal_comes_to_its_end_and_leaves_nothing(home: Path) -> None:
    paths = Paths.from_environment().prepare()
    subprocess.run([sys.executable, "-c", _LOOK], check=True, timeout=30)
    assert list(paths.scratch.iterdir()) == []
    assert [path for path in paths.runtime.rglob("*") if path.is_file()] == []
