"""Listings fit: what is shown on 60, 80, 120 and 200 columns, and in a pipe, of farms as they are."""

import time
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from socket import gethostname

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.cli.hub_columns import HUB_COLUMNS
from hubfarm.cli.listing import View
from hubfarm.cli.look import ENDING_COLUMNS
from hubfarm.cli.table import Column, Cut, fitted, plain, shortened, sorted_by, width_of
from hubfarm.cli.talk import CLIENT_COLUMNS
from hubfarm.registry.history import End, Ending
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.states import HubKind, HubState

GOLDEN = Path(__file__).parent / "golden"


def hub(id: int, label: str, **more: object) -> HubInfo:
    """A hub of the farm as `ls` meets it."""
    return replace(
        HubInfo(
            id=id,
            label=label,
            owner="",
            group="mima",
            state=HubState.RUNNING,
            kind=HubKind.FARM,
            host="reduction",
            pid=351400 + id,
            url=f"http://127.0.0.1:{35700 + id}/xmlrpc",
            clients=id % 4,
            messages=id * 1234,
            queued=0,
            idle=id * 61.0,
            timeout=0.0,
            uptime=90061.0 + id,
            restarts=0,
            lock_file=Path(f"/home/luigi/.samp-1/samp-hub-{351400 + id}-{id}"),
            stable_name=Path(f"/home/luigi/.samp-1/.hubfarm/reduction/by-label/{label}"),
        ),
        **more,
    )


FARM = [hub(id, f"mima-{id}", host=gethostname()) for id in (1, 2, 3, 10)]
MIXED = [
    hub(1, "reduction-of-the-night-of-the-25th-of-november-2026", owner="luigi", timeout=3600.0),
    hub(2, "größe 星", group="", owner="mario", state=HubState.HUNG),
    hub(3, "", kind=HubKind.STANDALONE, group="vandels"),
    hub(
        4,
        "far",
        host="elsewhere.example",
        state=HubState.ELSEWHERE,
        clients=None,
        messages=None,
        idle=None,
        uptime=None,
    ),
    replace(
        hub(5, "broken", state=HubState.FAILED, url="", pid=None),
        problem="2026-11-25T02:45:15+00:00: five early deaths: cannot bind to 127.0.0.1:21100\nits log",
    ),
]
ENDINGS = [
    Ending(
        time="2026-11-25T02:45:15+00:00",
        pid=351401,
        id=1,
        label="mima-1",
        owner="",
        group="mima",
        how=how,
        reason=reason,
        uptime=3725.4,
        restarts=restarts,
    )
    for how, reason, restarts in ((End.CRASHED, "killed by SIGKILL", 0), (End.STOPPED, "by SIGTERM", 1))
]
CLIENTS = [
    {
        "id": f"c{number}",
        "metadata": {"samp.name": name, "samp.description.text": about},
        "subscriptions": {"*": {}},
        "registered": 61.0 * number,
        "messages": number,
    }
    for number, name, about in (
        (1, "TOPCAT", "Tool for OPerations on Catalogues And Tables, by Mark Taylor of the University of Bristol"),
        (24, "DS9", ""),
        (3, "", "An anonymous program"),
    )
]
HINT = "--wide shows all"
TABLES = {
    "farm": (View(HUB_COLUMNS, hint=HINT), FARM),
    "mixed": (View(HUB_COLUMNS, hint=HINT), MIXED),
    "named": (View(HUB_COLUMNS, names="label,lock_file,url", hint=HINT), MIXED),
    "history": (View(ENDING_COLUMNS, hint=HINT), ENDINGS),
    "clients": (View(CLIENT_COLUMNS, hint=HINT), CLIENTS),
}


@pytest.fixture(autouse=True)
def _plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("width", [60, 80, 120, 200, None], ids=str)
@pytest.mark.parametrize("name", TABLES)
def test_a_listing_is_as_it_was_agreed_upon(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    view, rows = TABLES[name]
    lines = view.lines(rows, width)  # type: ignore[arg-type]
    if width and name != "named":  # whoever names columns gets them
        assert all(width_of(line) <= width for line in lines)
    golden = GOLDEN / f"{name}-{width or 'pipe'}.txt"
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--regolden"):
        golden.write_text(text)
    assert text == golden.read_text(), f"run with --regolden and look at the difference in {golden.name}"


@given(
    st.lists(st.lists(st.text(max_size=50), min_size=5, max_size=5), min_size=1, max_size=5),
    st.integers(min_value=10, max_value=150),
)
def test_nothing_is_wrapped_whatever_is_in_the_cells(rows: list[list[str]], width: int) -> None:
    columns: list[Column[list[str]]] = [
        Column(name=f"c{number}", of=itemgetter(number), priority=number + 1, cut=cut)
        for number, cut in enumerate((Cut.END, Cut.NEVER, Cut.MIDDLE, Cut.END, Cut.NEVER))
    ]
    grid = fitted(columns, rows, width)
    assert len(grid.lines[0]) < 2 or all(width_of("  ".join(line)) <= width for line in grid.lines)
    assert len({tuple(map(width_of, line)) for line in grid.lines}) <= 1
    assert grid.left_out or len(grid.lines[0]) == sum(
        not column.is_empty([column.cell(row) for row in rows]) for column in columns
    )
    assert all(
        column.cell(row) in "  ".join(line)
        for row, line in zip(rows, plain(columns, rows).lines[1:], strict=True)
        for column in columns
    )


@given(st.text(max_size=80), st.integers(min_value=1, max_value=60), st.sampled_from([Cut.END, Cut.MIDDLE]))
def test_what_is_cut_fits_and_says_so(text: str, width: int, cut: Cut) -> None:
    shown = shortened(text, width, cut)
    assert width_of(shown) <= max(width, 0)
    assert shown == text or "…" in shown


def test_a_column_with_nothing_in_it_is_left_out_on_a_terminal_and_stays_in_a_pipe() -> None:
    view = View(HUB_COLUMNS)
    assert "OWNER" not in view.lines(FARM, 200)[0]
    assert "OWNER" in view.lines(FARM, None)[0]
    assert "WHY" not in view.lines(FARM, None)[0]


def test_wide_shows_all_columns_and_cuts_nothing() -> None:
    lines = View(HUB_COLUMNS, wide=True).lines(MIXED, 60)
    assert MIXED[0].label in lines[1]
    assert {"OWNER", "TIMEOUT", "URL", "WHY"} <= set(lines[0].split())
    assert not any("…" in line for line in lines)


def test_columns_that_are_named_come_in_that_order() -> None:
    assert View(HUB_COLUMNS, names="url,label").lines(FARM, 80)[0].split() == ["URL", "LABEL"]


def test_a_template_makes_a_line_a_row() -> None:
    lines = View(HUB_COLUMNS, template=r"{label}\t{url} {{{lock-file}}}").lines(FARM[:1], 80)
    assert lines == [f"mima-1\t{FARM[0].url} {{{FARM[0].lock_file}}}"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"names": "label,nonsense"}, ["nonsense", "label, owner"]),
        ({"sort": "nonsense"}, ["nonsense"]),
        ({"template": "{nonsense}"}, ["nonsense"]),
        ({"template": "{label"}, ["--format", "label"]),
        ({"template": "{label:9999999999}"}, ["--format"]),
        ({"template": "{label!r}"}, ["--format"]),
        ({"template": "{label.__class__}"}, ["label.__class__"]),
    ],
)
def test_what_is_no_column_or_template_is_wrong_use(wrong: dict[str, str], words: list[str]) -> None:
    with pytest.raises(WrongUse) as caught:
        View(HUB_COLUMNS, **wrong)  # type: ignore[arg-type]
    assert all(word in str(caught.value) for word in words)


def test_it_is_sorted_the_largest_first_and_what_is_not_known_last() -> None:
    def ids(by: str) -> list[int | None]:
        return [each.id for each in sorted_by(HUB_COLUMNS, MIXED, by)]

    assert ids("clients") == [3, 2, 1, 5, 4]
    assert ids("-clients") == [1, 5, 2, 3, 4]
    assert ids("-id") == [5, 4, 3, 2, 1]
    assert ids("label")[:2] == [3, 5]
