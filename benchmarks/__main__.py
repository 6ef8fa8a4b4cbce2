"""The command: pick works and hubs, measure, and show."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import farm, report
from benchmarks.hubs import FLOORS, HUBS, add_python, missing
from benchmarks.measure import Result, measure
from benchmarks.plot import plot
from benchmarks.work import WORK

DEFAULT_ROUNDS = 5


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("-w", "--work", "picked", multiple=True, help="Works whose name begins so; repeatable [default: all].")
@click.option("--quick", is_flag=True, help="Only the works that have a goal.")
@click.option(
    "-H", "--hub", "hubs", multiple=True, type=click.Choice([*HUBS, *FLOORS]), help="Repeatable [default: all]."
)
@click.option("--python", "pythons", multiple=True, help="An interpreter to run our hub under too; repeatable.")
@click.option("--rounds", default=DEFAULT_ROUNDS, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--seconds", default=2, show_default=True, type=click.IntRange(1), help="Load in each round.")
@click.option("--farm", "farm_size", default=0, help="Also farms, of up to so many hubs [default: none].")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds there.")
@click.option("--from", "source", type=click.Path(exists=True, path_type=Path), help="Show this file of --json again.")
@click.option("--plot", "svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw an SVG there.")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown.")
def main(
    picked: tuple[str, ...],
    quick: bool,
    hubs: tuple[str, ...],
    pythons: tuple[str, ...],
    rounds: int,
    seconds: int,
    farm_size: int,
    json_path: Path | None,
    source: Path | None,
    svg: Path | None,
    markdown: bool,
) -> None:
    """Measure SAMP hubs side by side: each in a home of its own, loaded by wrk with the same bytes.

    Needs wrk and nginx; JSAMP's hub and pyvo's if they are to be compared.
    """
    hubs = (*(hubs or [*HUBS, *FLOORS]), *map(add_python, pythons))
    stages = [json.loads(source.read_text())] if source else _measure(picked, quick, hubs, rounds, seconds, farm_size)
    for data in stages:
        if json_path:  # after each work: a long measurement that is broken off has not been for nothing
            json_path.write_text(json.dumps(data))
    results = report.from_json(data["results"])
    _show(results, data["farm"], markdown=markdown)
    if svg:
        plot(results, svg)


def _measure(
    picked: tuple[str, ...], quick: bool, hubs: tuple[str, ...], rounds: int, seconds: int, farm_size: int
) -> Iterator[dict[str, Any]]:
    names = list(hubs)
    for name in ["nginx", *names]:
        if reason := missing(name):
            raise click.ClickException(reason)
    data: dict[str, Any] = {"machine": report.machine(), "rounds": rounds, "seconds": seconds, "farm": []}
    results: list[Result] = []
    errors = Console(stderr=True)
    with errors.status("") as status:
        for name, work in WORK.items():
            wanted = name.startswith(picked) if picked else work.quick or not quick
            if wanted:
                results += measure(name, work, names, rounds, seconds, status.update)
                yield data | {"results": report.to_json(results)}
        if farm_size:
            data["farm"] = farm.measure(rounds, names, farm_size, status.update)
    yield data | {"results": report.to_json(results)}


def _show(results: list[Result], farms: list[dict[str, Any]], *, markdown: bool) -> None:
    goals = ("work", "x JSAMP", "goal", "verdict")
    tables = [(report.COLUMNS, report.rows(results)), (goals, report.goals(results)), (farm.COLUMNS, farm.rows(farms))]
    console = Console(width=None if Console().is_terminal else 200)
    for columns, lines in tables:
        if lines and markdown:
            print(report.markdown(columns, lines))
        elif lines:
            console.print(report.table(columns, lines), "")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
