"""Start a coordinator in the background, if none runs.

Rule: a process that wants one takes the start guard first, so that many ``hubfarm start`` at once make one.
This module loads nothing of the coordinator: it runs in the process that wants one.
"""

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError

START_TIMEOUT = 60.0
"""How long a coordinator may take until it is ready, and another start until it is over, seconds."""


def ensure_coordinator(paths: Paths, answers: Callable[[], bool], level: str) -> None:
    """Return once a coordinator answers; start one in the background if none does.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie; prepared.
    answers : callable
        Tells whether a coordinator answers.
    level : str
        What a new coordinator and its hubs log.

    Raises
    ------
    HubfarmError
        It died while it was starting; the message says why.
    """
    if answers():
        return
    with holding(paths.start_guard, timeout=START_TIMEOUT, by="another start, which hangs"):
        if answers():
            return
        read_end, write_end = os.pipe()
        output = paths.logs / "coordinator.out"
        try:
            with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as sink:
                process = subprocess.Popen(
                    [sys.executable, "-m", "hubfarm.coordinator", "--ready", str(write_end), "--log-level", level],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    cwd="/",
                    pass_fds=(write_end,),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(read_end)
            raise HubfarmError(
                f"cannot start a coordinator: {error.filename or sys.executable}: {error.strerror}"
            ) from None
        finally:
            os.close(write_end)
        _wait_until_ready(process, read_end, output)


def _wait_until_ready(
    process: "subprocess.Popen[bytes]", read_end: int, output: Path, timeout: float = START_TIMEOUT
) -> None:
    try:
        readable, _, _ = select.select([read_end], [], [], START_TIMEOUT)
        if readable and os.read(read_end, 16):
            process.returncode = 0  # it is no child to wait for: it outlives us
            return
    finally:
        os.close(read_end)
    if not readable:
        process.kill()
    process.wait()
    with contextlib.suppress(OSError):
        lines = output.read_text(errors="replace").strip().splitlines()
        if lines:
            raise HubfarmError(f"the coordinator died while it was starting: {lines[-1].removeprefix('hubfarm: ')}")
    raise HubfarmError(f"the coordinator died while it was starting (exit code {process.returncode})")
