"""Who is on a hub, whichever comes first: what it answers, or what it tells."""

from itertools import permutations

import pytest

from hubfarm.bridge.roster import Roster
from hubfarm.samp.values import Map

EVENT = "samp.hub.event."


def test_client_comes_says_who_it_is_and_goes() -> None:
    roster = Roster()
    assert roster.hear(f"{EVENT}register", {"id": "c1"}) == "c1"
    assert not roster.clients["c1"].described
    roster.hear(f"{EVENT}metadata", {"id": "c1", "metadata": {"samp.name": "DS9"}})
    roster.hear(f"{EVENT}subscriptions", {"id": "c1", "subscriptions": {"image.*": {}}})
    one = roster.clients["c1"]
    assert (one.metadata, one.subscriptions, one.described) == ({"samp.name": "DS9"}, {"image.*": {}}, True)
    assert roster.hear(f"{EVENT}unregister", {"id": "c1"}) == "c1"
    assert not roster.clients


def test_what_was_told_is_newer_than_what_was_asked_before() -> None:
    roster = Roster()
    roster.hear(f"{EVENT}register", {"id": "c1"})
    roster.hear(f"{EVENT}metadata", {"id": "c1", "metadata": {"samp.name": "new"}})
    roster.answer("c1", {"samp.name": "old"}, {"a.b": {}})
    assert roster.clients["c1"].metadata == {"samp.name": "new"}
    assert roster.clients["c1"].subscriptions == {"a.b": {}}


def test_answer_about_one_that_has_left_brings_nobody_back() -> None:
    roster = Roster()
    roster.hear(f"{EVENT}register", {"id": "c1"})
    roster.hear(f"{EVENT}unregister", {"id": "c1"})
    roster.answer("c1", {"samp.name": "DS9"}, {})
    assert not roster.clients


@pytest.mark.parametrize(
    ("mtype", "params"),
    [
        (f"{EVENT}register", {}),
        (f"{EVENT}register", {"id": ["c1"]}),
        (f"{EVENT}metadata", {"id": "c1"}),
        (f"{EVENT}metadata", {"id": "c1", "metadata": "DS9"}),
        (f"{EVENT}subscriptions", {"id": "c1", "subscriptions": ["a.b"]}),
        ("my.own", {"id": "c1"}),
    ],
)
def test_event_that_says_not_what_it_has_to_is_passed_over(mtype: str, params: Map) -> None:
    roster = Roster()
    assert roster.hear(mtype, params) is None
    assert not roster.clients


def test_order_of_what_a_client_declares_makes_no_difference() -> None:
    events: list[tuple[str, Map]] = [
        (f"{EVENT}register", {"id": "c1"}),
        (f"{EVENT}metadata", {"id": "c1", "metadata": {"samp.name": "DS9"}}),
        (f"{EVENT}subscriptions", {"id": "c1", "subscriptions": {"a.b": {}}}),
    ]
    ends = []
    for order in permutations(events):
        roster = Roster()
        for mtype, params in order:
            roster.hear(mtype, params)
        ends.append(roster.clients)
    assert all(end == ends[0] for end in ends)
