"""What was changed about a hub: it holds for that very hub, and what cannot be read lets in nobody."""

import re
from pathlib import Path

import msgspec
import pytest

from hubfarm.registry.changes import changes_path, with_changes, write_changes
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import Access

HUB = HubSpec(id=3, label="mima-3", secret="s")
NARROWER = msgspec.structs.replace(HUB, access=Access.USERS, allow=("user:luigi", "group:mima"))


@pytest.fixture
def path(paths: Paths) -> Path:
    return changes_path(paths, HUB)


def test_hub_is_as_it_was_changed_and_so_is_each_successor(path: Path) -> None:
    assert with_changes(path, HUB) == HUB
    write_changes(path, NARROWER)
    assert with_changes(path, HUB) == NARROWER
    assert with_changes(path, HUB.successor()) == NARROWER.successor()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "secret" not in path.read_text()


@pytest.mark.parametrize("other", [{"id": 4}, {"secret": "t"}])
def test_hub_that_bears_its_id_or_secret_some_day_is_as_it_is(path: Path, other: dict[str, object]) -> None:
    write_changes(path, NARROWER)
    another = msgspec.structs.replace(HUB, **other)
    assert with_changes(path, another) == another


def test_two_hubs_of_one_id_have_a_file_each_beside_the_journal(paths: Paths, path: Path) -> None:
    other = changes_path(paths, msgspec.structs.replace(HUB, secret="t"))
    assert path != other
    for each in (path, other):
        assert each.parent == paths.journals
        assert each.name.partition(".")[0].startswith(f"{paths.journal(3).name}-")


@pytest.mark.parametrize("text", ["", "{", "[]", "x" * 70_000, '{"hub": "x", "access": "everybody"}'])
def test_damaged_changes_are_refused_and_not_taken_for_none(path: Path, text: str) -> None:
    path.write_text(text)
    said = f"^who may enter the hub {HUB.name} stands in {re.escape(str(path))}, which is damaged: "
    with pytest.raises(HubfarmError, match=said):
        with_changes(path, HUB)
