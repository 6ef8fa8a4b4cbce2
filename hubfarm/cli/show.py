"""What commands print: tables by rich, JSON for scripts, progress on a terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from hubfarm.listing import HubInfo

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 100_000
"""Width for output that no terminal shows: nothing is cut or wrapped, columns."""


def print_json(data: Any) -> None:
    """Print `data` as JSON."""
    click.echo(json.dumps(data, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted and coloured on a terminal, plain and uncut elsewhere."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    Console(width=None if terminal else _WIDE, highlight=False).print(hub_table(columns, rows))


def hub_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """Make a table in our looks."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in _WORDS else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


_WORDS = frozenset(
    {
        "LABEL",
        "OWNER",
        "GROUP",
        "STATE",
        "KIND",
        "HOST",
        "URL",
        "DONE",
        "FILE",
        "WHY",
        "ACTION",
        "HOW",
        "TIME",
        "CLIENT",
        "NAME",
    }
)


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
    columns = ["ID", "LABEL", "OWNER", "GROUP", "STATE", "KIND", *(["HOST"] if several_hosts else [])]
    columns += ["PID", "URL", "CLIENTS", "MESSAGES", "IDLE", "TIMEOUT", "UPTIME"]
    rows = []
    for hub in hubs:
        row = [_text(hub.id), hub.label, hub.owner, hub.group, hub.state, hub.kind]
        row += [hub.host] if several_hosts else []
        row += [_text(hub.pid), hub.url or hub.problem, _text(hub.clients), _text(hub.messages)]
        row += [span(hub.idle), span(hub.timeout) if hub.timeout else "-", span(hub.uptime)]
        rows.append(row)
    print_table(columns, rows)


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


def span(seconds: float | None) -> str:
    """Write a time span for people.

    Examples
    --------
    >>> span(3725.4)
    '1:02:05'
    """
    return "-" if seconds is None else str(timedelta(seconds=int(seconds)))


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

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda name: bar.update(task, advance=1, description=f"{what} {name}")
