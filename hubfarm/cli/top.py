"""``hubfarm top``: the hubs, live."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import click
import psutil

from hubfarm.cli.coordinator import absence
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import is_given, json_option
from hubfarm.cli.show import print_json, redraw
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.states import HubKind
from hubfarm.visible import span

EXTRA = 'to scroll, filter and open hubs: pip install "hubfarm[top]"'


@dataclass(frozen=True, slots=True)
class Row:
    """One hub, and what it does just now.

    Parameters
    ----------
    hub : HubInfo
        The hub.
    rate : float
        Messages a second since the last look.
    memory : float
        Resident, MB.
    cpu : float
        Percent of one processor since the last look.
    """

    hub: HubInfo
    rate: float
    memory: float
    cpu: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {column.name: column.of(self) for column in TOP_COLUMNS}


def _one_decimal(value: float) -> str:
    return f"{value:.1f}"


def _number(name: str, of: Any, priority: int, header: str = "", text: Any = str) -> Column[Row]:
    return Column(name=name, header=header, of=of, text=text, priority=priority, right=True, largest_first=True)


TOP_COLUMNS: list[Column[Row]] = [
    Column(name="id", of=lambda row: row.hub.id or 0, priority=1, right=True),
    Column(name="label", of=lambda row: row.hub.label, priority=1, cut=Cut.END, floor=20),
    Column(name="state", of=lambda row: row.hub.state, priority=1),
    _number("clients", lambda row: row.hub.clients or 0, 2),
    _number("rate", lambda row: row.rate, 2, "MSG/S", _one_decimal),
    _number("queue", lambda row: row.hub.queued or 0, 3),
    _number("memory", lambda row: row.memory, 4, "MEM MB", _one_decimal),
    _number("cpu", lambda row: row.cpu, 4, "CPU %", _one_decimal),
    _number("idle", lambda row: row.hub.idle or 0.0, 5, text=span),
    _number("restarts", lambda row: row.hub.restarts or 0, 6),
]


class Meter:
    """Turns two looks at the farm into rates."""

    def __init__(self) -> None:
        self.farm = Farm()
        self._messages: dict[str, tuple[float, int]] = {}
        self._processes: dict[int, psutil.Process] = {}

    def rows(self) -> list[Row]:
        """Look once more, and return a row a hub."""
        return [self._row(hub) for hub in self.farm.hubs() if hub.kind is not HubKind.FOREIGN]

    def warning(self, rows: list[Row]) -> str:
        """Return a line that whoever looks should read too, or nothing."""
        return absence(self.farm, [row.hub for row in rows])

    def _row(self, hub: HubInfo) -> Row:
        now = time.monotonic()
        messages = hub.messages or 0
        before, counted = self._messages.get(hub.name, (now, messages))
        self._messages[hub.name] = (now, messages)
        memory, cpu = self._process(hub.pid)
        rate = max(0.0, (messages - counted) / (now - before)) if now > before else 0.0
        return Row(hub, rate, memory / 2**20, cpu)

    def _process(self, pid: int | None) -> tuple[float, float]:
        if pid is None:
            return 0.0, 0.0
        try:
            process = self._processes.setdefault(pid, psutil.Process(pid))
            return process.memory_info().rss, process.cpu_percent()
        except psutil.Error:
            self._processes.pop(pid, None)
            return 0.0, 0.0


@click.command()
@listing(TOP_COLUMNS, sort="id")
@click.option("--interval", default=1.0, show_default=True, metavar="S", help="Between two looks.")
@click.option("--once", is_flag=True, help="Look once over the interval, print, and end.")
@json_option
@click.pass_context
def top(context: click.Context, view: View[Row], interval: float, once: bool, as_json: bool) -> None:
    """Show the hubs live: clients, messages a second, queue, memory, CPU, idle.

    Letters choose the sort column, / filters, Enter shows a hub's clients, q or Ctrl-C ends. Without a terminal
    it looks once, or, if --interval is given, again and again.

    \b
    Example:
      hubfarm top --sort rate
    """
    if not 0.1 <= interval <= 3600:
        raise WrongUse(f"--interval is {interval:g}: it must be 0.1 to 3600 seconds")
    meter = Meter()
    if sys.stdin.isatty() and sys.stdout.isatty() and not (once or as_json or view.template):
        _watch(meter, view, interval)
        return
    meter.rows()
    time.sleep(interval)
    if is_given(context, "interval") and not (once or as_json):
        redraw(lambda: view.frame(meter.rows(), "no hub runs", lambda rows: meter.warning(list(rows))), interval)
    if as_json:
        print_json([row.as_json() for row in view.sorted(meter.rows())])
    else:
        view.show(meter.rows, warning=lambda rows: meter.warning(list(rows)))


def _watch(meter: Meter, view: View[Row], interval: float) -> None:
    try:
        from hubfarm.cli.top_screen import Top
    except ModuleNotFoundError as error:
        if error.name != "textual":
            raise
        redraw(
            lambda: [EXTRA, *view.frame(meter.rows(), "no hub runs", lambda rows: meter.warning(list(rows)))], interval
        )
        return
    screen = Top(meter, view, interval)
    screen.run()
    if screen.return_code:
        raise click.exceptions.Exit(screen.return_code)
