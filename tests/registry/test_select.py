"""Which hub is meant: by one set of rules, whoever asks."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from hubfarm.registry.select import HubNames, NoSuchHub, SeveralHubs, select, select_by_names, with_names
from hubfarm.registry.statetable import HubName


@dataclass(frozen=True)
class Hub:
    """A hub that is nothing but its names."""

    names: HubNames


def hub(number: int | None, label: str = "", owner: str = "", group: str = "", *, foreign: bool = False) -> Hub:
    """Make one; process 100 holds id 1, 200 id 2, and so on."""
    name = HubName(100 * number, number) if number else None
    return Hub(HubNames(label, owner, group, name, Path(f"/nowhere/samp-hub-{number}"), foreign))


MIMA_1, MIMA_10, VANDELS = hub(1, "mima-1", "luigi", "mima"), hub(10, "mima-10", "luigi", "mima"), hub(2, "vandels")
CALLED_2, NAMELESS = hub(3, "2"), hub(5)
FOREIGN_MIMA_1, FOREIGN_TOOL = hub(4, "mima-1", "anna", "mima", foreign=True), hub(7, "tool", foreign=True)
HUBS = [MIMA_1, MIMA_10, VANDELS, CALLED_2, NAMELESS, FOREIGN_MIMA_1, FOREIGN_TOOL]


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("1", MIMA_1),
        ("2", VANDELS),
        ("200-2", VANDELS),
        ("400-4", FOREIGN_MIMA_1),
        ("/nowhere/samp-hub-2", VANDELS),
        ("/nowhere/there/../samp-hub-4", FOREIGN_MIMA_1),
        ("mima-1", MIMA_1),
        ("mima-10", MIMA_10),
        ("van", VANDELS),
        ("tool", FOREIGN_TOOL),
        ("to", FOREIGN_TOOL),
    ],
)
def test_selector_means_one_by_id_then_process_or_lock_file_then_label_then_its_beginning(
    selector: str, meant: Hub
) -> None:
    assert select(HUBS, selector) is meant


@pytest.mark.parametrize("selector", ["", "4", "7", "100-2", "Mima-1", "nowhere/samp-hub-2", "mima-1\0", "/nowhere\0"])
def test_selector_that_means_none_lists_what_there_is(selector: str) -> None:
    with pytest.raises(NoSuchHub) as raised:
        select(HUBS, selector)
    assert str(raised.value) == (
        f"no running hub is meant by {selector!r}: there are mima-1, mima-10, vandels, 2, 500-5, mima-1, tool"
    )


def test_empty_selector_means_no_hub_that_lacks_a_name() -> None:
    with pytest.raises(NoSuchHub):
        select([hub(None, foreign=True)], "")


def test_selector_that_means_several_lists_them_and_by_their_lock_files_if_they_are_called_the_same() -> None:
    with pytest.raises(SeveralHubs, match=r"^'mima-' means 2 hubs: mima-1, mima-10; name one$"):
        select(HUBS, "mima-")
    twins = [FOREIGN_MIMA_1, hub(6, "mima-1", foreign=True)]
    with pytest.raises(SeveralHubs, match=r"^'mima-1' means 2 hubs: /nowhere/samp-hub-4, /nowhere/samp-hub-6; name"):
        select(twins, "mima-1")


def test_curly_braces_are_letters() -> None:
    with pytest.raises(NoSuchHub, match=r"'\{0\}\{x\}'"):
        select(HUBS, "{0}{x}")


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ({"label": "mima-1"}, [MIMA_1]),
        ({"label": "mima"}, [MIMA_1, MIMA_10]),
        ({"label": "mima-1", "owner": "anna"}, [FOREIGN_MIMA_1]),
        ({"owner": "luigi"}, [MIMA_1, MIMA_10]),
        ({"owner": "lui"}, []),
        ({"group": "mima"}, [MIMA_1, MIMA_10, FOREIGN_MIMA_1]),
        ({"group": "mima", "owner": "anna"}, [FOREIGN_MIMA_1]),
        ({}, HUBS),
    ],
    ids=str,
)
def test_names_mean_all_that_have_them(names: dict[str, str], meant: list[Hub]) -> None:
    assert with_names(HUBS, **names) == meant


def test_names_mean_one_or_the_error_says_who_has_them() -> None:
    assert select_by_names(HUBS, label="van") is VANDELS
    assert select_by_names(HUBS, owner="anna") is FOREIGN_MIMA_1
    with pytest.raises(SeveralHubs, match=r"^2 hubs have the label 'mima-', owner 'luigi': mima-1, mima-10; name one$"):
        select_by_names(HUBS, label="mima-", owner="luigi")
    with pytest.raises(NoSuchHub, match=r"^no running hub has the group 'x': there are mima-1$"):
        select_by_names([MIMA_1], group="x")
    with pytest.raises(NoSuchHub, match=r"^no running hub has the label 'x': none runs$"):
        select_by_names([], label="x")


@pytest.mark.parametrize(("count", "end"), [(10, "h9"), (11, "h9, …")])
def test_no_more_than_ten_are_listed(count: int, end: str) -> None:
    with pytest.raises(NoSuchHub) as raised:
        select([hub(number + 1, f"h{number}") for number in range(count)], "nobody")
    assert str(raised.value).endswith(end)


def test_names_are_shown_so_that_a_terminal_obeys_none() -> None:
    assert str(hub(1, "red \x1b[31m").names) == r"red \x1b[31m"
