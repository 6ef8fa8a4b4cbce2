"""The floors of the house are held, and what importing costs."""

import subprocess
import sys
from pathlib import Path

from tests.support import ROOT


def test_a_room_imports_only_from_floors_below_it() -> None:
    check = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    result = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_importing_hubfarm_loads_none_of_its_rooms() -> None:
    check = "import sys, hubfarm; print([name for name in sys.modules if name.startswith('hubfarm.')])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['hubfarm.version']"


def test_listing_hubs_loads_nothing_that_it_does_not_need(home: Path) -> None:
    check = (
        "import sys, hubfarm.cli.main; hubfarm.cli.main.hubfarm(['ls'], standalone_mode=False);"
        "heavy = {'asyncio', 'aiohttp', 'uvloop', 'httptools', 'http.client', 'loguru', 'msgspec', 'psutil'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_who_starts_a_coordinator_loads_nothing_of_it_and_it_forks_before_it_loads_the_rest() -> None:
    check = (
        "import sys, {}; heavy = {{'aiohttp', 'uvloop', 'hubfarm.coordinator.supervisor', 'hubfarm.worker.process'}};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    for module in ("hubfarm.coordinator.launch", "hubfarm.coordinator.__main__"):
        result = subprocess.run(
            [sys.executable, "-c", check.format(module)], capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == "[]", module
