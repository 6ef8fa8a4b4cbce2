"""A little of the fuzzing of docs/security.md: the whole corpus, then what atheris and Hypothesis make of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.run import CORPUS, DICTIONARIES
from tests.fuzz.targets import TARGETS
from tests.support import ROOT

RUNS = 5000
SLOW = {"lock_files": 1000, "users": 2000, "tickets": 2000, "web_files": 1000, "gateway": 2000}
"""Targets that read and write files: fewer runs take as long."""


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_is_taken(target: str) -> None:
    found = seeds(target)
    assert found
    for data in found:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_mixtures_of_the_corpus_are_taken(target: str) -> None:
    found = st.sampled_from(seeds(target))

    @settings(max_examples=200, deadline=None)
    @given(found, found, st.binary(max_size=8), st.floats(0, 1), st.floats(0, 1))
    def mix(one: bytes, other: bytes, between: bytes, cut: float, start: float) -> None:
        TARGETS[target](one[: int(cut * len(one))] + between + other[int(start * len(other)) :])

    mix()


@pytest.mark.parametrize("target", DICTIONARIES)
def test_what_atheris_finds_is_taken(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    runs = SLOW.get(target, RUNS)
    command = [sys.executable, "-m", "tests.fuzz.run", target, f"-runs={runs}", "-max_len=3000", "-seed=1"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {runs} runs" in done.stderr
