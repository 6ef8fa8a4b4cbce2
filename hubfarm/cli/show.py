"""What commands print: lines, tables by rich, JSON for scripts, progress on a terminal.

Rule: a command prints by what is here, and nowhere else: names, paths, URLs and messages are other people's,
and go through `visible` (JSON escapes by itself).
"""

import json
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from hubfarm.registry.listing import HubInfo
from hubfarm.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 100_000
"""Width for output that no terminal shows: nothing is cut or wrapped, columns."""


def say(*cells: str, err: bool = False) -> None:
    """Print one line, its cells separated by tabs; to standard error if so asked."""
    click.echo("\t".join(map(visible, cells)), err=err)


def print_json(data: Any, *, indent: int | None = 2) -> None:
    """Print `data` as JSON; on one line without `indent`."""
    click.echo(json.dumps(data, indent=indent))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted and coloured on a terminal, plain and uncut elsewhere."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _WIDE, highlight=False)
    with console.capture() as printed:
        console.print(hub_table(columns, rows))
    lines = printed.get().splitlines()
    # The last column is filled up to its widest cell, which may be a few hundred characters.
    click.echo("\n".join(lines if terminal else map(str.rstrip, lines)))


def hub_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """Make a table in our looks."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in _WORDS else "right", overflow="fold")
    for row in rows:
        shown = [visible(cell, lines=column in _LINES) for column, cell in zip(columns, row, strict=True)]
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in shown))
    return table


_LINES = frozenset({"WHY", "SUBSCRIPTIONS", "METADATA"})
"""Columns whose cells may be of several lines."""

_WORDS = _LINES | {
    "LABEL",
    "OWNER",
    "GROUP",
    "STATE",
    "KIND",
    "HOST",
    "URL",
    "DONE",
    "FILE",
    "ACTION",
    "HOW",
    "TIME",
    "CLIENT",
    "NAME",
}


_STYLES = {
    "running": "green",
    "starting": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
    "hung": "red",
    "dead": "red",
    "failed": "red",
    "crashed": "red",
    "silent": "red",
    "removed": "red",
    "elsewhere": "dim",
    "stopped": "dim",
    "unused": "dim",
    "keep": "dim",
    "start": "green",
    "stop": "red",
    "replace": "yellow",
    "differs": "yellow",
}


def print_hubs(hubs: Sequence[HubInfo]) -> None:
    """Print the table of ``hubfarm ls``."""
    several_hosts = len({hub.host for hub in hubs}) > 1
    problems = any(hub.problem for hub in hubs)
    columns = ["ID", "LABEL", "OWNER", "GROUP", "STATE", "KIND", *(["HOST"] if several_hosts else [])]
    columns += ["PID", "URL", "CLIENTS", "MESSAGES", "IDLE", "TIMEOUT", "UPTIME", *(["WHY"] if problems else [])]
    rows = []
    for hub in hubs:
        row = [_text(hub.id), hub.label, hub.owner, hub.group, hub.state, hub.kind]
        row += [hub.host] if several_hosts else []
        row += [_text(hub.pid), hub.url, _text(hub.clients), _text(hub.messages)]
        row += [span(hub.idle), span(hub.timeout) if hub.timeout else "-", span(hub.uptime)]
        row += [hub.problem] if problems else []
        rows.append(row)
    print_table(columns, rows)


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


def span(seconds: float | None) -> str:
    """Write a time span for people.

    Examples
    --------
    >>> span(3725.4), span(None), span(float("nan"))
    ('1:02:05', '-', '-')
    """
    if seconds is None or not abs(seconds) < _LONGEST:
        return "-"
    return str(timedelta(seconds=int(seconds)))


_LONGEST = 1e12
"""Seconds that are no time span any more: somebody has written rubbish into a file."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on a terminal while hubs come or go; yield what to call as each has.

    Elsewhere, and for a single hub, nothing is shown.
    """
    if total <= 1 or not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda name: bar.update(task, advance=1, description=visible(f"{what} {name}"))


def wait_for_more(descriptor: int) -> None:
    """Wait until there is something to read from `descriptor`.

    Raises
    ------
    BrokenPipeError
        Nobody reads what this command prints any more.
    """
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(sys.stdout.fileno(), 0)  # for what is always told: that its other end is gone
    if any(ready == sys.stdout.fileno() for ready, _ in poller.poll()):
        raise BrokenPipeError
