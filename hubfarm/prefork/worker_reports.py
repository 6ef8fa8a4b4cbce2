"""What the coordinator is told of a worker, on a pipe of its own: by the worker, and at its end by the forkserver.

The pipe ends when the worker has: only the worker, and the forkserver, which reaps it, hold it for writing.
"""

import contextlib
import os
import select
from enum import StrEnum


class Report(StrEnum):
    """What can be told; each with a detail."""

    RUNNING = "running"
    """The hub serves, at this URL."""
    AWAKE = "awake"
    """It was told to sleep, and does not, for this reason."""
    FAILED = "failed"
    """It cannot, for this reason."""
    BROKEN = "broken"
    """It cannot, for a fault of its own, which this names."""
    ENDED = "ended"
    """The worker has ended, with this exit code; below zero, by that signal."""


def tell(pipe: int, what: Report, detail: object) -> None:
    """Report something; nobody need listen, as the coordinator may be gone."""
    line = f"{what.value} {detail}".replace("\n", " ").encode(errors="replace")
    with contextlib.suppress(OSError):
        os.write(pipe, line[: select.PIPE_BUF - 1] + b"\n")  # so it is written whole


def hear(pipe: int) -> tuple[list[tuple[Report, str]], bool]:
    """Return what has been reported since the last time, and whether nothing more will be; `pipe` does not block."""
    reports = []
    with contextlib.suppress(BlockingIOError):
        while data := os.read(pipe, 2**16):
            for line in data.decode(errors="replace").splitlines():
                what, _, detail = line.partition(" ")
                reports.append((Report(what), detail))
        return reports, True
    return reports, False
