"""``top`` and ``choose``, ``--watch`` and what ``stop --all`` asks, on a terminal of 24 lines."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.cli.tmux_support import Terminal, terminal
from tests.conftest import RunCli
from tests.support import PATIENCE, wait_for


@pytest.fixture
def many(farm: Farm) -> list[HubInfo]:
    """34 hubs: more than the terminal has lines."""
    return farm.start(count=34, group="mima", owner="luigi")


@pytest.fixture
def topcat(many: list[HubInfo], farm: Farm) -> Iterator[SAMPIntegratedClient]:
    """A client of the hub mima-7."""
    with SAMPIntegratedClient("TOPCAT") as client:
        client.connect(label="mima-7")
        wait_for(lambda: farm.find("mima-7").clients == 1, "the hub tells of it")
        yield client


def labels(screen: list[str]) -> list[str]:
    return [word for line in screen for word in line.split() if re.fullmatch(r"mima-\d+", word)]


# ---------------------------------------------------------------------- top


@pytest.fixture
def top(many: list[HubInfo], home: Path) -> Iterator[Terminal]:
    with terminal(home, "top", "--interval", "0.5") as one:
        one.shows("34 hubs, by ID")
        yield one


def test_top_scrolls_to_the_last_of_more_hubs_than_there_are_lines(top: Terminal) -> None:
    first = top.shows("mima-1 ")
    assert "mima-34" not in labels(first)
    assert all(len(line) <= 80 for line in first)
    top.keys("End")
    last = top.shows("mima-34")
    assert "mima-1" not in labels(last)


def test_top_sorts_by_letters_and_the_other_way_round(topcat: SAMPIntegratedClient, top: Terminal) -> None:
    top.keys("c")
    assert labels(top.shows("by CLIENTS"))[0] == "mima-7"
    top.keys("i", "i")
    assert labels(top.shows("by ID, reversed"))[0] == "mima-34"


def test_top_filters_by_what_is_typed_until_escape(top: Terminal) -> None:
    top.keys("/", "q", "BSpace", "mima-3", "Enter")  # a q that is typed does not quit
    screen = top.shows("6 of 34 hubs that hold 'mima-3', by ID")
    assert labels(screen) == ["mima-3", *(f"mima-3{number}" for number in range(5))]
    top.keys("Escape")
    top.shows("34 hubs, by ID")


def test_enter_opens_the_clients_of_a_hub_and_escape_goes_back(topcat: SAMPIntegratedClient, top: Terminal) -> None:
    top.keys("c")
    top.shows("by CLIENTS")
    top.keys("Home", "Enter")
    screen = top.shows(f"TOPCAT ({topcat.get_public_id()})")
    assert "of mima-7, by CLIENT" in screen[0]
    top.keys("Escape")
    top.shows("34 hubs, by CLIENTS")


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("C-c", 130)])
def test_q_ends_top_and_ctrl_c_interrupts_it(top: Terminal, key: str, code: int) -> None:
    top.keys(key)
    top.shows(f"code {code}")


def test_top_says_that_the_coordinator_is_gone_and_what_to_do(top: Terminal, farm: Farm) -> None:
    farm.end_coordinator()
    top.shows("hubfarm coordinator start")
    farm.start_coordinator()
    top.until(lambda screen: not any("hubfarm coordinator start" in line for line in screen), "it has one again")


def test_top_without_textual_prints_the_table_again_and_again(
    many: list[HubInfo], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "without").mkdir()
    (home / "without" / "textual.py").write_text("raise ModuleNotFoundError('none here', name='textual')")
    monkeypatch.setenv("PYTHONPATH", str(home / "without"))
    with terminal(home, "top") as one:
        screen = one.shows("mima-1 ")
        assert any('pip install "hubfarm[top]"' in line for line in screen)
        assert any("more lines" in line for line in screen)
        one.keys("C-c")
        one.shows("code 130")


def test_status_fits_the_terminal(topcat: SAMPIntegratedClient, home: Path) -> None:
    with terminal(home, "status", "mima-7", columns=60, lines=60) as one:
        screen = one.shows("code 0")
    page = [line for line in screen if line.strip()][:-1]
    assert all(line[12:13] in ("", " ") for line in page), page  # what goes on does so below itself
    assert any(line.startswith("lock file") for line in page)


# ---------------------------------------------------------------------- choose


def test_choose_filters_by_what_is_typed_and_shows_owner_and_clients(
    topcat: SAMPIntegratedClient, home: Path, farm: Farm
) -> None:
    with terminal(home, "choose", columns=100) as one:
        one.shows("mima-1 ")
        one.keys("mima-7")
        screen = one.until(lambda screen: set(labels(screen)) == {"mima-7"}, "one is left")
        assert any("mima-7" in line and "1 client " in line and "luigi" in line for line in screen)
        one.keys("Enter")
        assert any(farm.find("mima-7").samp_hub in line for line in one.shows("code 0"))


@pytest.mark.parametrize("key", ["Escape", "q", "C-c"])
def test_choose_is_left_by_escape_and_q(many: list[HubInfo], home: Path, key: str) -> None:
    with terminal(home, "choose") as one:
        one.shows("mima-1 ")
        one.keys(key)
        assert not any("SAMP_HUB" in line for line in one.shows("code 130"))


def test_choose_takes_nothing_if_nothing_fits(many: list[HubInfo], home: Path) -> None:
    with terminal(home, "choose") as one:
        one.shows("mima-1 ")
        one.keys("nothing like it", "Enter", "Escape")
        one.shows("code 130")


# ---------------------------------------------------------------------- watching, and being asked


def test_ls_watches_until_ctrl_c(farm: Farm, home: Path) -> None:
    farm.start(label="one")
    with terminal(home, "ls", "--watch", columns=60) as one:
        one.shows("one ")
        farm.start(label="two")
        assert all(len(line) <= 60 for line in one.shows("two "))
        one.keys("C-c")
        one.shows("code 130")


def test_stop_all_asks_on_a_terminal_if_there_are_clients(topcat: SAMPIntegratedClient, home: Path, farm: Farm) -> None:
    with terminal(home, "stop", "--all") as one:
        screen = one.shows("End them?")
        assert any("34 hubs will end" in line for line in screen)
        assert any("mima-7: 1, owner luigi" in line for line in screen)
        one.keys("n", "Enter")
        one.shows("code 1")
    assert len(farm.hubs()) == 34


def test_stop_all_asks_nobody_who_says_yes_or_has_no_terminal(
    topcat: SAMPIntegratedClient, home: Path, farm: Farm, cli: RunCli
) -> None:
    with terminal(home, "stop", "--all", "--yes") as one:
        one.shows("code 0")
    farm.start(label="again")
    with SAMPIntegratedClient("DS9") as client:
        client.connect(label="again")
        assert cli("stop", "--all").stdout == "stopped again\n"


def test_ls_loads_neither_textual_nor_rich(home: Path) -> None:
    code = "import sys; from hubfarm.cli.main import main; main(); print({'textual', 'rich'} & sys.modules.keys())"
    command = [sys.executable, "-c", code, "ls"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout == "set()\n"
