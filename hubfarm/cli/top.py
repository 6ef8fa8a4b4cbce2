"""``hubfarm top``: the hubs, live."""

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator

import click
import psutil

from hubfarm.cli.options import json_option
from hubfarm.cli.show import hub_table, print_json, span
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.spec.states import HubKind

_COLUMNS = {
    "id": "ID",
    "label": "LABEL",
    "state": "STATE",
    "clients": "CLIENTS",
    "rate": "MSG/S",
    "queue": "QUEUE",
    "memory": "MEM MB",
    "cpu": "CPU %",
    "idle": "IDLE",
    "restarts": "RESTARTS",
}
_KEYS = {"i": "id", "l": "label", "s": "state", "c": "clients", "m": "rate", "w": "queue", "r": "memory", "p": "cpu"}
_HELP = "sort: i)d l)abel s)tate c)lients m)essages/s w)aiting r)am p)rocessor   q)uit"

Row = dict[str, str | float]


class _Meter:
    """Turns two looks at the farm into rates."""

    def __init__(self) -> None:
        self._farm = Farm()
        self._messages: dict[str, tuple[float, int]] = {}
        self._processes: dict[int, psutil.Process] = {}

    def rows(self) -> list[Row]:
        """Look once more, and return a row a hub."""
        return [self._row(hub) for hub in self._farm.hubs() if hub.kind is not HubKind.FOREIGN]

    def _row(self, hub: HubInfo) -> Row:
        now = time.monotonic()
        messages = hub.messages or 0
        before, counted = self._messages.get(hub.name, (now, messages))
        self._messages[hub.name] = (now, messages)
        memory, cpu = self._process(hub.pid)
        return {
            "id": hub.id or 0,
            "label": hub.label,
            "state": hub.state,
            "clients": hub.clients or 0,
            "rate": max(0.0, (messages - counted) / (now - before)) if now > before else 0.0,
            "queue": hub.queued or 0,
            "memory": memory / 2**20,
            "cpu": cpu,
            "idle": hub.idle or 0.0,
            "restarts": hub.restarts or 0,
        }

    def _process(self, pid: int | None) -> tuple[float, float]:
        if pid is None:
            return 0.0, 0.0
        try:
            process = self._processes.setdefault(pid, psutil.Process(pid))
            return process.memory_info().rss, process.cpu_percent()
        except psutil.Error:
            self._processes.pop(pid, None)
            return 0.0, 0.0


def _cells(row: Row) -> list[str]:
    return [
        str(row["id"]),
        str(row["label"]),
        str(row["state"]),
        str(row["clients"]),
        f"{row['rate']:.1f}",
        str(row["queue"]),
        f"{row['memory']:.1f}",
        f"{row['cpu']:.1f}",
        span(float(row["idle"])),
        str(row["restarts"]),
    ]


def _sorted(rows: list[Row], by: str) -> list[Row]:
    names = by in ("id", "label", "state")
    return sorted(rows, key=lambda row: row[by], reverse=not names)


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Let the terminal hand over each key as it is pressed."""
    import termios
    import tty

    saved = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def _keys(timeout: float) -> str:
    """Return the keys pressed, waiting for the first at most `timeout` seconds; q once the terminal is gone."""
    # Not through sys.stdin: what that holds in its buffer no select tells of.
    readable, _, _ = select.select([sys.stdin], [], [], timeout)
    return (os.read(sys.stdin.fileno(), 64).decode("ascii", "replace") or "q") if readable else ""


def _watch(meter: _Meter, sort: str, interval: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    with _single_keys(), Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            rows = [_cells(row) for row in _sorted(meter.rows(), sort)]
            table = hub_table(list(_COLUMNS.values()), rows)
            # Above the table: what does not fit on the screen is cut off below.
            head = Text(f"{len(rows)} hubs, by {_COLUMNS[sort]}   {_HELP}", style="dim")
            live.update(Group(head, table), refresh=True)
            for key in _keys(interval):
                if key == "q":
                    return
                sort = _KEYS.get(key, sort)


@click.command()
@click.option("--sort", type=click.Choice(list(_COLUMNS)), default="id", show_default=True)
@click.option("--interval", default=1.0, show_default=True, metavar="S", help="Between two looks.")
@click.option("--once", is_flag=True, help="Look once over the interval, print, and end.")
@json_option
def top(sort: str, interval: float, once: bool, as_json: bool) -> None:
    """Show the hubs live: clients, messages a second, queue, memory, CPU, idle.

    Keys choose the sort column; q or Ctrl-C ends. Without a terminal it looks once.

    \b
    Example:
      hubfarm top --sort rate
    """
    if not 0.1 <= interval <= 3600:
        raise click.UsageError(f"--interval is {interval:g}: it must be 0.1 to 3600 seconds")
    meter = _Meter()
    if sys.stdin.isatty() and sys.stdout.isatty() and not once and not as_json:
        _watch(meter, sort, interval)
        return
    meter.rows()
    time.sleep(interval)
    rows = _sorted(meter.rows(), sort)
    if as_json:
        print_json(rows)
    else:
        from hubfarm.cli.show import print_table

        print_table(list(_COLUMNS.values()), [_cells(row) for row in rows])
