"""The results as a picture: how much each hub did as a multiple of JSAMP, and how that grows."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Result
from benchmarks.report import ratio
from benchmarks.work import WORK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROWTH = {
    "connections": {
        "ping": {1: "ping, 1 connection", 4: "ping", 16: "ping, 16 connections", 64: "ping, 64 connections"},
        "notify small": {
            1: "notify small, 1 connection",
            4: "notify small",
            16: "notify small, 16 connections",
            64: "notify small, 64 connections",
        },
    },
    "receivers": {"notifyAll": {1: "notifyAll to 1", 20: "notifyAll to 20", 200: "notifyAll to 200"}},
    "registered clients": {
        "notify small": {
            10: "notify small, 10 clients",
            100: "notify small, 100 clients",
            2000: "notify small, 2000 clients",
        }
    },
}
"""What grows, and the works that tell how: by the size they were done at."""

_LINES = ("-", "--")


def plot(results: list[Result], path: Path) -> None:
    """Draw an SVG at `path`: the growth curves, and below them one bar a hub and work with the goals as marks."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hubfarm"  # the same picture from the same figures
    from matplotlib import pyplot

    works = list(dict.fromkeys(result.work for result in results if ratio(results, result, "jsamp")))
    figure = pyplot.figure(figsize=(9, 4 + 0.45 * len(works)), layout="constrained")
    grid = figure.add_gridspec(2, len(GROWTH), height_ratios=[3.2, 0.8 + 0.45 * len(works)])
    for place, (what, lines) in enumerate(GROWTH.items()):
        _draw_growth(figure.add_subplot(grid[0, place]), results, what, lines)
    _draw_ratios(figure.add_subplot(grid[1, :]), results, works)
    figure.savefig(path, metadata={"Date": None})


def _draw_growth(axes: "Axes", results: list[Result], what: str, lines: dict[str, dict[int, str]]) -> None:
    hubs = list(dict.fromkeys(result.hub for result in results))
    for (name, works), style in zip(lines.items(), _LINES, strict=False):
        for number, hub in enumerate(hubs):
            by_work = {result.work: result.median(result.rate) for result in results if result.hub == hub}
            points = [(size, by_work[work]) for size, work in works.items() if work in by_work]
            if points:
                axes.plot(*zip(*points, strict=True), style, marker=".", color=f"C{number}", label=f"{hub}: {name}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(what)
    axes.set_ylabel("a second")
    axes.legend(fontsize="xx-small")


def _draw_ratios(axes: "Axes", results: list[Result], works: list[str]) -> None:
    hubs = list(dict.fromkeys(result.hub for result in results))
    height = 0.8 / len(hubs)
    for number, hub in enumerate(hubs):
        found = {result.work: ratio(results, result, "jsamp") for result in results if result.hub == hub}
        at = [place + (number - len(hubs) / 2 + 0.5) * height for place, work in enumerate(works) if found.get(work)]
        axes.barh(at, [found[work] or 0 for work in works if found.get(work)], height, label=hub)
    goals = [(WORK[work].goal, place) for place, work in enumerate(works) if work in WORK and WORK[work].goal]
    if goals:
        axes.plot(*zip(*goals, strict=True), "k|", markersize=16, markeredgewidth=2, label="goal")
    axes.axvline(1, color="black", linewidth=0.5)
    axes.set_yticks(range(len(works)), works)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("as much as JSAMP's hub does (deliveries where there are any, else requests)")
    axes.legend(loc="lower right", fontsize="small")
