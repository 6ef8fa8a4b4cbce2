"""``hubfarm logs``: what hubs and coordinator have logged, of one or of all, once or as it comes."""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from pathlib import Path

import click

from hubfarm.cli.complete import complete_log
from hubfarm.cli.options import since_option
from hubfarm.cli.show import say, wait_for_more
from hubfarm.farm import Farm
from hubfarm.samp.errors import WrongUse

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
"""From the least severe on; `hubfarm.registry.logs` writes them."""

LINES = 50
"""So many lines are shown unless somebody says how many, or since when."""

LOOK_EVERY = 0.2
"""Seconds between two looks at files that are followed."""

_OLD = (".3", ".2", ".1", "")
"""What a log's files end with, the oldest first."""

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
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 (it stays open as long as it is followed)
        self._rest = b""

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


@click.command()
@click.argument("selector", required=False, metavar="[SELECTOR]", shell_complete=complete_log)
@click.option("--all", "everything", is_flag=True, help="The logs of all hubs and the coordinator, merged.")
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"The last N lines; {LINES} unless --since says since when.",
)
@since_option
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="What is as severe, or more.")
def logs(
    selector: str | None, everything: bool, follow: bool, count: int | None, since: datetime | None, level: str | None
) -> None:
    """Show the log of a hub, or of the coordinator: hubfarm logs coordinator.

    A hub that has ended is named by its label.

    \b
    Example:
      hubfarm logs mima-2 -f
      hubfarm logs --all --since 10m --level WARNING
    """
    if everything == (selector is not None):
        raise WrongUse("name one hub, or the coordinator, or say --all")
    farm = Farm()

    def paths() -> list[Path]:
        return [farm.log_file(selector)] if selector is not None else sorted(farm.paths.logs.glob("*.log"))

    tails = {path: Tail(path) for path in paths()}
    before = [_read(path, tail, old=since is not None) for path, tail in tails.items()]
    lines = [line for entry in _merged(before) if is_wanted(entry, since, level) for line in entry.lines]
    most = count if count is not None else len(lines) if since is not None else LINES
    for line in lines[len(lines) - most :] if most < len(lines) else lines:
        say(line)
    if follow:
        _follow(tails, paths if everything else list, level)


def _read(path: Path, tail: Tail, *, old: bool) -> list[str]:
    lines = []
    for ending in _OLD[:-1] if old else ():
        with contextlib.suppress(OSError):
            lines += Path(f"{path}{ending}").read_text("utf-8", "replace").split("\n")[:-1]
    return [*lines, *tail.read(), *tail.rest()]


def _merged(logs: list[list[str]]) -> Iterator[Entry]:
    return merge(*map(entries_in, logs), key=lambda entry: entry.time)


def _follow(tails: dict[Path, Tail], paths: Callable[[], list[Path]], level: str | None) -> None:
    goes_on: dict[Path, bool] = {}  # whether lines without a time belong to an entry that was shown
    while True:
        wait_for_more(None, LOOK_EVERY)
        for path in set(paths()) - tails.keys():
            with contextlib.suppress(OSError):
                tails[path] = Tail(path)
        wanted: list[list[Entry]] = []
        for path, tail in tails.items():
            wanted.append([])
            for entry in entries_in(tail.read()):
                if entry.time:
                    goes_on[path] = is_wanted(entry, None, level)
                if goes_on.get(path, not level):
                    wanted[-1].append(entry)
        for entry in merge(*wanted, key=lambda entry: entry.time):
            for line in entry.lines:
                say(line)
