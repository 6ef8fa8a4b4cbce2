"""Whatever others choose costs work in proportion to its size: instructions are counted, not seconds.

Each of tests/stories/worst_documents.py is read at a size and at twice the size, under valgrind's callgrind.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hubfarm.samp.xmlrpc import COMPILED
from tests.stories.worst_documents import CASES, DOCUMENTS
from tests.support import ROOT, need

SIZE = 30_000
"""Bytes; twice as many is still read from anybody."""

GROWTH = 2.2
"""Twice the size takes so many times the work at most."""

BESIDE = 100_000
"""Instructions that have nothing to do with the size."""

MOST_A_BYTE = 120
"""Instructions for a byte, of a document that is read in C: by clock, a few nanoseconds."""


def counts(size: int, where: Path) -> dict[str, int]:
    """Return the instructions that each case takes at a size."""
    line = [
        need("valgrind"),
        "--tool=callgrind",
        "--dump-before=getppid",
        f"--callgrind-out-file={where / f'{size}.out'}",
        sys.executable,
        "-m",
        "tests.stories.worst_documents",
        str(size),
    ]
    # Not by the address at which strings lie, and without a file to write compiled code into.
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=110)
    dumps = [where / f"{size}.out.{number}" for number in range(2, len(CASES) + 2)]
    found = [re.search(r"^totals: (\d+)$", dump.read_text(), re.MULTILINE) for dump in dumps]
    return {case: int(total[1]) for case, total in zip(CASES, found, strict=True) if total}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], dict[str, int]]:
    """What each case takes at a size, and at twice the size."""
    where = tmp_path_factory.mktemp("callgrind")
    return counts(SIZE, where), counts(2 * SIZE, where)


@pytest.mark.parametrize("case", CASES)
def test_twice_as_much_takes_twice_the_work(work: tuple[dict[str, int], dict[str, int]], case: str) -> None:
    once, twice = (each[case] for each in work)
    assert twice <= GROWTH * once + BESIDE


@pytest.mark.skipif(not COMPILED, reason="documents are read by expat here")
@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_byte_of_a_document_takes_few_instructions(work: tuple[dict[str, int], dict[str, int]], case: str) -> None:
    once, twice = (each[case] for each in work)
    assert (twice - once) / SIZE <= MOST_A_BYTE
