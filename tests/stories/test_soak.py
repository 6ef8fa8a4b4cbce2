"""The soak of benchmarks/: what it calls growth, and that it can be run."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.soak import FIGURES, Sample, is_flat, main, quarters


def samples(descriptors: list[int]) -> list[Sample]:
    return [Sample(n, 2**24, 2**23, each, 1, 2**20, 50, 0, n) for n, each in enumerate(descriptors)]


@pytest.mark.parametrize(
    ("descriptors", "flat"),
    [
        ([70] * 40, True),
        ([20] * 10 + [70] * 30, True),
        ([70, 100, 60, 75] * 10, True),
        (list(range(0, 400, 10)), False),
        ([70] * 30 + [500] * 10, False),
    ],
    ids=["even", "after a warm-up", "up and down", "a leak", "a rise at the end"],
)
def test_figure_is_flat_if_its_last_quarter_is_like_its_second(descriptors: list[int], flat: bool) -> None:
    (figure,) = [each for each in FIGURES if each.field == "descriptors"]
    assert is_flat(quarters(samples(descriptors), figure), figure) is flat


def test_soak_of_seconds_samples_and_ends_with_nobody_registered(home: Path) -> None:
    result = CliRunner().invoke(main, ["--minutes", "0.1", "--clients", "5", "--json", str(home / "samples.json")])
    *during, last = json.loads((home / "samples.json").read_text())
    assert len(during) > 4
    assert max(each["clients"] for each in during) >= 5
    assert last["clients"] == 0
    assert last["messages"] > 5
    assert len(re.findall(r"^\| .* \| (flat|GROWS) \|$", result.stdout, re.MULTILINE)) == len(FIGURES)
