"""``hubfarm logs``: what hubs and coordinator have logged, of one or of all, once or as it comes."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from heapq import merge
from pathlib import Path

import click

from hubfarm.cli.complete import complete_log
from hubfarm.cli.options import since_option
from hubfarm.cli.show import say, wait_for_more
from hubfarm.farm import Farm
from hubfarm.registry.log_reading import LEVELS, Entry, Tail, entries_in, is_wanted
from hubfarm.samp.errors import WrongUse

LINES = 50
"""So many lines are shown unless somebody says how many, or since when."""

LOOK_EVERY = 0.2
"""Seconds between two looks at files that are followed."""

_OLD = (".3", ".2", ".1", "")
"""What a log's files end with, the oldest first."""


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
