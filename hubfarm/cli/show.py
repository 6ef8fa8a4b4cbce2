"""What commands print: tables by rich, JSON for scripts, progress on a terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click

from hubfarm.farm import HubInfo

_WIDE = 100_000
"""Width for output that no terminal shows: nothing is cut or wrapped, columns."""


def print_json(data: Any) -> None:
    """Print `data` as JSON."""
    click.echo(json.dumps(data, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted and coloured on a terminal, plain and uncut elsewhere."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column in ("ID", "PID", "CLIENTS", "MESSAGES", "IDLE", "TIMEOUT", "UPTIME")
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(width=None if terminal else _WIDE, highlight=False).print(table)


_STYLES = {
    "running": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "dead": "red",
    "silent": "red",
    "removed": "red",
    "elsewhere": "dim",
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
