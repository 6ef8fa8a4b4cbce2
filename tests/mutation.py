"""Runs of mutmut (docs/testing.md): many faults are put into the code, one at a time, and each asks for cheap tests.

mutmut says in the environment which fault is in the code; `.ci/mutation.py` says which room's faults are tried.
"""

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

FAULTS_ARE_TRIED = "MUTANT_UNDER_TEST" in os.environ
"""mutmut's variable."""

ROOM = "HUBFARM_FAULTS_IN"
"""Ours: the room whose tests may notice them; unset for all."""

FEW = 15
"""So many examples of Hypothesis's show what one fault breaks; what takes more of them is not noticed."""

STUCK = 30
"""A test that takes longer has found the fault, seconds."""

PROCESSES = frozenset({"cli", "farm", "few"})
"""Fixtures of tests that start hubs as processes: those take seconds each."""


class Room(NamedTuple):
    """Files that faults are put into (patterns, below ``hubfarm/``), and the tests that may notice them."""

    files: str
    tests: str


ROOMS = {
    "samp": Room(
        "samp/encodings samp/expat_reader samp/methods samp/plain_writer samp/refusals samp/xmlrpc", "tests/samp/"
    ),
    "hub": Room(
        "hub/core hub/ledger hub/model hub/own_answers hub/recall hub/records hub/said_by_hub",
        "tests/hub/test_core tests/hub/test_doors tests/hub/test_entering tests/hub/test_falls tests/hub/test_journal "
        "tests/hub/test_limits",
    ),
    "journal": Room("hub/keep/*", "tests/hub/test_journal"),
    "delivery": Room(
        "hub/delivery/*", "tests/hub/test_callback_rule tests/hub/test_deliveries tests/hub/test_liveness"
    ),
    "wire": Room("wire/*", "tests/wire/"),
    "registry": Room("registry/*", "tests/registry/"),
    "coordinator": Room(
        "coordinator/adoption coordinator/housekeeping coordinator/hubs coordinator/managed_hub coordinator/supervis*",
        "tests/coordinator/",
    ),
    "client": Room(
        "client/binding client/calls client/handlers client/membership",
        "tests/client/test_aio tests/client/test_api tests/client/test_calls tests/client/test_handlers "
        "tests/client/test_membership",
    ),
}
"""What was tried whole before is not among them."""


def plain_id(value: object) -> str | None:
    """Return a name for a parameter that would have a backslash in it: pytest finds such a test once in a process."""
    shown = repr(value) if isinstance(value, str | bytes) else ""
    return f"{zlib.crc32(shown.encode()):08x}" if "\\" in shown or not shown.isascii() else None


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the room whose faults are tried, as far as they run in this process; the quickest first."""
    of_room = tuple(ROOMS[os.environ[ROOM]].tests.split()) if ROOM in os.environ else ("",)
    kept = {
        item: None
        for item in items
        if item.nodeid.startswith(of_room) and not PROCESSES.intersection(getattr(item, "fixturenames", ()))
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    durations: dict[str, float] = {}
    with suppress(FileNotFoundError):  # they are being measured
        durations = json.loads(Path("mutmut-stats.json").read_text())["duration_by_test"]
    items[:] = sorted(kept, key=lambda item: durations.get(item.nodeid, 0.0))
    if durations:
        for item in items:
            item.add_marker(pytest.mark.timeout(STUCK))
