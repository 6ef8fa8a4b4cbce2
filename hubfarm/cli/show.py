"""What commands print: lines, tables, JSON for scripts, progress on a terminal.

Rule: a command prints by what is here, and nowhere else: names, paths, URLs and messages are other people's,
and go through `visible` (JSON escapes by itself).
"""

import json
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

import click

from hubfarm.cli.table import GAP, Grid, shortened
from hubfarm.visible import visible


def say(*cells: str, err: bool = False, **style: Any) -> None:
    """Print one line, its cells separated by tabs; to standard error if so asked."""
    line = "\t".join(map(visible, cells))
    click.echo(styled(line, **style) if style else line, err=err)


def rows(*told: tuple[str, str | Sequence[str]]) -> None:
    """Print a page: what there is to say, and under which name; what is empty is not said.

    On a terminal nothing is wider than that: a text goes on below itself, and of a sequence of lines each is cut.
    """
    width = terminal_width()
    room = max((width or 0) - len(_INDENT), 20)
    for what, text in told:
        if isinstance(text, str):
            lines = [visible(text)] if text else []
            lines = lines if width is None else [part for line in lines for part in _wrapped(line, room)]
        else:
            lines = [visible(line) if width is None else shortened(visible(line), room) for line in text]
        for name, line in zip(chain([what], repeat("")), lines, strict=False):
            click.echo(f"{name:<{len(_INDENT)}}{line}".rstrip())


_INDENT = " " * 13


def _wrapped(line: str, room: int) -> list[str]:
    from textwrap import wrap

    return wrap(line, room, break_on_hyphens=False)


def print_json(data: Any, *, indent: int | None = 2) -> None:
    """Print `data` as JSON; on one line without `indent`."""
    click.echo(json.dumps(data, indent=indent))


def compact(value: Any) -> str:
    """Write a SAMP value on one line: a string as it is, lists and maps as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---------------------------------------------------------------------- tables


def terminal_width() -> int | None:
    """Return how many cells a line of the terminal has; None if no terminal shows what is printed."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(grid: Grid, width: int | None, hint: str = "") -> list[str]:
    """Return the lines of a table: coloured for a terminal of that width, elsewhere plain.

    Parameters
    ----------
    grid : Grid
        The table.
    width : int or None
        Of the terminal.
    hint : str
        How what was left out can be seen.
    """
    if width is None:
        return [GAP.join(line).rstrip() for line in grid.lines]
    head, *rows = grid.lines
    lines = [styled(GAP.join(head).rstrip(), bold=True)]
    lines += [GAP.join(_coloured(cell) for cell in row).rstrip() for row in rows]
    if remark := grid.remark(width, hint):
        lines.append(dim(remark, width))
    return lines


def print_lines(lines: Sequence[str]) -> None:
    """Print lines that `table_lines` made."""
    click.echo("\n".join(lines))


def redraw(look: Callable[[], Sequence[str]], seconds: float) -> None:
    """Print the lines that `look` returns again and again: in place on a terminal, one below the other elsewhere.

    Ctrl-C ends it, without a word, and a reader that has gone.

    Parameters
    ----------
    look : callable
        Looks anew.
    seconds : float
        Between two looks.
    """
    terminal = sys.stdout.isatty()
    click.echo("\x1b[?1049h\x1b[?25l" if terminal else "", nl=False)
    try:
        while True:
            lines = list(look())
            if terminal:
                rows = shutil.get_terminal_size().lines - 2
                hidden = len(lines) - rows
                lines = [*lines[:rows], *([styled(f"… {hidden} more lines", dim=True)] if hidden > 0 else [])]
                title = dim(f"every {seconds:g} s, last at {time.strftime('%H:%M:%S')}; Ctrl-C ends", 200)
                lines = ["\x1b[H" + title, *lines]
            click.echo("\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J" if terminal else "\n".join([*lines, ""]))
            wait_for_more(None, seconds)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None  # that is how one ends it
    finally:
        click.echo("\x1b[?25h\x1b[?1049l" if terminal else "", nl=False)


def style_of(cell: str) -> dict[str, Any]:
    """Return the style of a cell that says how something is, as `click.style` takes it; empty for any other."""
    return _STYLES.get(cell.strip(), {})


def _coloured(cell: str) -> str:
    style = style_of(cell)
    return styled(cell, **style) if style else cell


def styled(text: str, **style: Any) -> str:
    """Return `text` in a style of a terminal (see `click.style`), if the user wants any."""
    return text if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else click.style(text, **style)


def dim(text: str, width: int) -> str:
    """Return a remark of ours on one line of a terminal of that width."""
    return styled(shortened(visible(text), width), dim=True)


_GOOD, _PASSING, _BAD, _PAST = {"fg": "green"}, {"fg": "yellow"}, {"fg": "red"}, {"dim": True}
_STYLES: dict[str, dict[str, Any]] = {
    "running": _GOOD,
    "starting": _PASSING,
    "draining": _PASSING,
    "stopping": _PASSING,
    "hung": _BAD,
    "dead": _BAD,
    "failed": _BAD,
    "crashed": _BAD,
    "silent": _BAD,
    "removed": _BAD,
    "elsewhere": _PAST,
    "stopped": _PAST,
    "unused": _PAST,
    "drained": _PAST,
    "keep": _PAST,
    "start": _GOOD,
    "stop": _BAD,
    "replace": _PASSING,
    "restrict": _PASSING,
    "differs": _PASSING,
}


# ---------------------------------------------------------------------- while something goes on


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """Show a bar on a terminal while hubs come or go; yield what to call as each has.

    Elsewhere, and for a single hub, nothing is shown.

    Parameters
    ----------
    what : str
        What is done.
    total : int or None
        With how many hubs; None if nobody knows yet.
    """
    if (total is not None and total <= 1) or not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    count = [] if total is None else [MofNCompleteColumn()]
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *count)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda name: bar.update(task, advance=1, description=visible(f"{what} {name}"))


def wait_for_more(descriptor: int | None, seconds: float | None = None) -> bool:
    """Wait until there is something to read from `descriptor`; return False if there is nothing after a while.

    Parameters
    ----------
    descriptor : int or None
        None to wait for the time alone.
    seconds : float, optional
        How long; by default as long as it takes.

    Raises
    ------
    BrokenPipeError
        Nobody reads what this command prints any more.
    """
    poller = select.poll()
    if descriptor is not None:
        poller.register(descriptor, select.POLLIN)
    poller.register(sys.stdout.fileno(), 0)  # for what is always told: that its other end is gone
    ready = poller.poll(None if seconds is None else seconds * 1e3)
    if any(number == sys.stdout.fileno() for number, _ in ready):
        raise BrokenPipeError
    return bool(ready)
