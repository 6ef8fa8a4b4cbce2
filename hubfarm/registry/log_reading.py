"""Logs as they are read: their entries, and a file that grows; it may be rotated, removed and made anew meanwhile."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
"""From the least severe on."""

_HEAD = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) ([A-Z]+) ")


@dataclass(slots=True)
class Entry:
    """One entry of a log.

    Parameters
    ----------
    time : str
        When, local, as the log has it: entries compare by it.  Empty for lines before the first entry.
    level : str
        How severe it is.
    lines : list of str
        Its line, and those that follow without a time: a traceback's.
    """

    time: str
    level: str
    lines: list[str]


def entries_in(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries that lines of a log make.

    Examples
    --------
    >>> [entry.level for entry in entries_in(["2026-01-01 12:00:00.000 ERROR   mima: failed", "  and why"])]
    ['ERROR']
    """
    entry: Entry | None = None
    for line in lines:
        head = _HEAD.match(line)
        if entry is not None and not head:
            entry.lines.append(line)
            continue
        if entry is not None:
            yield entry
        entry = Entry(head[1], head[2], [line]) if head else Entry("", "", [line])
    if entry is not None:
        yield entry


def is_wanted(entry: Entry, since: datetime | None, level: str | None) -> bool:
    """Whether an entry is late and severe enough; one that does not say is, if nothing else is asked for."""
    if since is not None and entry.time < since.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]:
        return False
    return not level or (entry.level in LEVELS and LEVELS.index(entry.level) >= LEVELS.index(level))


class Tail:
    """A log file as it grows; it may be rotated, removed and made anew meanwhile.

    Parameters
    ----------
    path : Path
        Where it lies.
    skip : int
        So much of its beginning is passed over, bytes.
    """

    def __init__(self, path: Path, skip: int = 0) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 (it stays open as long as it is followed)
        self._file.seek(skip)
        self._rest = b""

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def read(self) -> list[str]:
        """Return the whole lines that have come since."""
        data = self._rest + self._file.read()
        if self._has_moved():
            self._file.close()
            self._file = open(self._path, "rb")  # noqa: SIM115
            data += self._file.read()
        *lines, self._rest = data.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def rest(self) -> list[str]:
        """Return the last line that has no end yet, if there is one."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []

    def _has_moved(self) -> bool:
        mine = os.fstat(self._file.fileno())
        try:
            there = os.stat(self._path)
        except OSError:
            return False  # until there is one again
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino) or there.st_size < self._file.tell()


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log.

    Raises
    ------
    OSError
        It cannot be read.
    """
    tail = Tail(path)
    return [*tail.read(), *tail.rest()][-count:]
