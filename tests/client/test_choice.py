"""Which hub a client connects to, decided without any hub: one way to name it, and what each way leads to."""

import os
from pathlib import Path
from typing import Any

import pytest

from hubfarm.client import discovery
from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubNotNamed
from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.statetable import HubName
from hubfarm.samp.toolkit import SAMPHubError
from tests.support import in_a_loop


def entry(number: int, label: str, owner: str = "", standing: Standing = Standing.ALIVE) -> Entry:
    """Return a lock file as it was found."""
    tokens = {"hub.label": label, "hub.owner.name": owner, "samp.secret": f"secret of {number}"}
    return Entry(Path(f"/nowhere/samp-hub-{number}"), HubName(100 * number, number), standing, tokens)


HUBS = [entry(1, "mima-1", "luigi"), entry(2, "mima-10", "luigi"), entry(3, "mima-1", "anna", Standing.FOREIGN)]


@pytest.fixture(autouse=True)
def _hubs_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def those(timeout: float) -> list[Entry]:
        return HUBS

    monkeypatch.setattr(discovery, "selectable_hubs", those)


class InThisProgram:
    """A hub in this program."""

    def __init__(self, *, is_running: bool) -> None:
        self.is_running = is_running
        self.params = {"samp.secret": "of this program"}


@pytest.mark.parametrize(
    ("names", "number"),
    [
        ({"label": "mima-1"}, 1),
        ({"label": "mima-10"}, 2),
        ({"label": "mima-1", "owner": "anna"}, 3),
        ({"owner": "anna"}, 3),
    ],
    ids=str,
)
def test_names_lead_to_the_hub_that_commands_would_take(names: dict[str, str], number: int) -> None:
    @in_a_loop
    async def run() -> None:
        assert (await Choice(**names).tokens())["samp.secret"] == f"secret of {number}"  # type: ignore[arg-type]

    run()


@in_a_loop
async def test_several_are_an_error_of_naming_and_none_an_error_of_hubs() -> None:
    with pytest.raises(SAMPHubNotNamed, match=r"^2 hubs have the owner 'luigi': mima-1, mima-10; name one$"):
        await Choice(owner="luigi").tokens()
    with pytest.raises(
        SAMPHubError, match=r"^no running hub has the group 'x': there are mima-1, mima-10, mima-1$"
    ) as e:
        await Choice(group="x").tokens()
    assert not isinstance(e.value, SAMPHubNotNamed)


@in_a_loop
async def test_content_of_a_lock_file_is_taken_as_it_is() -> None:
    params = {"samp.secret": "x"}
    tokens = await Choice(hub_params=params).tokens()
    assert tokens == params
    assert tokens is not params


@in_a_loop
async def test_hub_in_this_program_is_meant_if_it_runs() -> None:
    assert await Choice(InThisProgram(is_running=True)).tokens() == {"samp.secret": "of this program"}
    with pytest.raises(SAMPHubError, match="the hub is not running: start it first"):
        await Choice(InThisProgram(is_running=False)).tokens()


@in_a_loop
async def test_lock_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    choice = Choice(path)
    for secret in ("a", "b"):
        path.write_text(f"samp.secret={secret}\nsamp.hub.xmlrpc.url=http://127.0.0.1:9/\nsamp.profile.version=1.3\n")
        assert (await choice.tokens())["samp.secret"] == secret
    path.unlink()
    with pytest.raises(SAMPHubError, match="no hub runs there"):
        await choice.tokens()


@pytest.mark.parametrize("named", [True, False])
def test_nothing_given_it_is_samp_hub_or_the_standards_one_file(
    home: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / ("elsewhere" if named else ".samp")
    path.write_text("samp.secret=x\nsamp.hub.xmlrpc.url=http://127.0.0.1:9/\nsamp.profile.version=1.3\n")
    if named:
        monkeypatch.setenv("SAMP_HUB", f"std-lockurl:file://{path}")
    assert ("SAMP_HUB" in os.environ) == named

    @in_a_loop
    async def run() -> None:
        assert (await Choice().tokens())["samp.secret"] == "x"

    run()


@pytest.mark.parametrize(
    "ways",
    [{"hub": "x", "hub_params": {}}, {"hub": "x", "label": "y"}, {"hub_params": {}, "owner": "y"}],
    ids=str,
)
def test_two_ways_are_one_too_many(ways: dict[str, Any]) -> None:
    with pytest.raises(SAMPHubNotNamed, match="name the hub in one way"):
        Choice(**ways)


def test_what_is_given_now_beats_what_was_given_before() -> None:
    before = Choice(label="mima")
    assert Choice().or_else(before) is before
    assert Choice(owner="anna").or_else(before) == Choice(owner="anna")
