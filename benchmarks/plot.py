"""The results as a picture: how much each hub did, as a multiple of JSAMP."""

from pathlib import Path

from benchmarks.measure import Result
from benchmarks.report import ratio
from benchmarks.work import WORK


def plot(results: list[Result], path: Path) -> None:
    """Draw one bar a hub and work into an SVG at `path`, with the goals as marks."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hubfarm"  # the same picture from the same figures
    from matplotlib import pyplot

    works = list(dict.fromkeys(result.work for result in results if ratio(results, result, "jsamp")))
    hubs = list(dict.fromkeys(result.hub for result in results))
    figure, axes = pyplot.subplots(figsize=(9, 0.5 + 0.45 * len(works)), layout="constrained")
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
    figure.savefig(path, metadata={"Date": None})
