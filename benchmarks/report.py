"""Results as a table, as JSON, and as Markdown for docs/benchmarks.md."""

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import psutil
from rich.table import Table

from benchmarks.measure import Result, Sample
from benchmarks.work import WORK

COLUMNS = (
    *("work", "hub", "requests/s", "deliveries/s", "spread", "median", "p99"),
    *("CPU s/1000", "PSS", "x JSAMP", "x floor", "JSAMP's CPU", "CPU to relay's", "undelivered"),
)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "httptools": version("httptools"),
        "load": os.getloadavg()[0],
    }


def to_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return results as JSON takes them."""
    return [asdict(result) for result in results]


def from_json(data: Iterable[dict[str, Any]]) -> list[Result]:
    """Return results as `to_json` gave them."""
    return [Result(each["work"], each["hub"], [Sample(**sample) for sample in each["samples"]]) for each in data]


def ratio(results: list[Result], result: Result, to: str) -> float | None:
    """Return how much more than `to` a hub did in the same rounds, if `to` took part."""
    other = _counterpart(results, result, to)
    if other is None or not (base := other.median(result.rate)):
        return None
    return result.median(result.rate) / base


def cpu_ratio(results: list[Result], result: Result, to: str) -> float | None:
    """Return how much more CPU time a request costs than it costs `to`; a busy machine changes that least."""
    other = _counterpart(results, result, to)
    return result.median("cpu") / base if other and (base := other.median("cpu")) else None


def _counterpart(results: list[Result], result: Result, hub: str) -> Result | None:
    return next((each for each in results if (each.work, each.hub) == (result.work, hub)), None)


def rows(results: list[Result]) -> list[tuple[str, ...]]:
    """Return what the table shows, a line a work and hub."""
    lines: list[tuple[str, ...]] = []
    for result in results:
        to_jsamp, to_floor = (ratio(results, result, name) for name in ("jsamp", "uvloop"))
        cpu_to_jsamp, cpu_to_relay = (cpu_ratio(results, result, name) for name in ("jsamp", "relay"))
        lines.append(
            (
                result.work,
                result.hub,
                f"{result.median('requests'):,.0f}",
                f"{result.median('deliveries'):,.0f}" if result.rate == "deliveries" else "",
                f"{result.spread(result.rate):.0%}",
                _duration(result.median("p50")),
                _duration(result.median("p99")),
                f"{result.median('cpu'):.3f}",
                f"{result.median('pss') / 2**20:.1f} MB",
                f"{to_jsamp:.2f}" if to_jsamp else "",
                f"{to_floor:.2f}" if to_floor else "",
                f"{1 / cpu_to_jsamp:.1f} x" if cpu_to_jsamp else "",
                f"{cpu_to_relay:.2f} x" if cpu_to_relay else "",
                f"{result.median('undelivered'):,.0f}" if result.median("undelivered") else "",
            )
        )
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:,.0f} ms"


def table(columns: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> Table:
    """Return a table for the terminal: the first two columns are names, the others figures."""
    shown = Table(box=None, header_style="bold")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for line in lines:
        shown.add_row(*line)
    return shown


def markdown(columns: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """Return the same table in Markdown."""
    head = ["| " + " | ".join(columns) + " |", "| --- | --- |" + " ---: |" * (len(columns) - 2)]
    return "\n".join([*head, *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def goals(results: list[Result]) -> list[tuple[str, ...]]:
    """Return which of the ratios to JSAMP that were aimed at are reached: (work, ratio, goal, verdict)."""
    lines: list[tuple[str, ...]] = []
    for result in results:
        goal = WORK[result.work].goal if result.work in WORK else 0
        if result.hub != "hubfarm" or not goal:
            continue
        reached = ratio(results, result, "jsamp")
        if reached is not None:
            lines.append((result.work, f"{reached:.1f}", f"{goal:g}", "reached" if reached >= goal else "missed"))
    return lines
