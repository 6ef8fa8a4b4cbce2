"""Loaded by pytest in a process of its own: puts ours into somebody else's tests, and tells what became of each.

It is told by the environment: `MODE` says what of ours takes part, `RESULTS` where the outcomes go.
"""

import importlib.util
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

MODE = "HUBFARM_FOREIGN_MODE"
RESULTS = "HUBFARM_FOREIGN_RESULTS"

CLASSES = "classes"
"""Our classes, in place of theirs."""
HUB = "hub"
"""Their classes, on our hub."""

PACKAGES = ("astropy.samp", "pyvo.samp")

_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    """Put ours in its place before a test is imported."""
    if os.environ[MODE] == CLASSES:
        import_module("hubfarm.as_astropy_samp")
        for package in PACKAGES:
            _keep_tests_of(package)
    else:
        for package in PACKAGES:
            _use_our_hub_in(package)


def _keep_tests_of(package: str) -> None:
    """Leave a package's tests where they are: all else under its name is ours now."""
    parent, _, name = package.partition(".")
    found = importlib.util.find_spec(parent)
    assert found is not None
    assert found.submodule_search_locations
    tests = ModuleType(f"{package}.tests")
    tests.__path__ = [str(Path(found.submodule_search_locations[0]) / name / "tests")]
    sys.modules[tests.__name__] = tests


def _use_our_hub_in(package: str) -> None:
    ours = import_module("hubfarm").SAMPHubServer
    for module in ("client", "hub", "hub_script"):
        if importlib.util.find_spec(f"{package}.{module}"):
            import_module(f"{package}.{module}")
    for name, imported in list(sys.modules.items()):
        if name.split(".")[:2] == package.split(".") and hasattr(imported, "SAMPHubServer"):
            imported.SAMPHubServer = ours  # type: ignore[attr-defined]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the first thing that a test did not pass by, or that it passed."""
    name = _name_of(report.nodeid)
    if report.outcome != "passed" or report.when == "call":
        _outcomes.setdefault(name, report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that cannot be imported."""
    if report.failed:
        _outcomes[_name_of(report.nodeid)] = "failed"


def _name_of(nodeid: str) -> str:
    path, *rest = nodeid.split("::")
    return "::".join([Path(path).name, *rest])


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Tell the outcomes, and end: a test that failed may have left a thread that never does."""
    Path(os.environ[RESULTS]).write_text(json.dumps(_outcomes))
    sys.stdout.flush()
    os._exit(0)
