"""Which connections a server keeps, with a clock that is set and connections that are none."""

import asyncio
import resource
from collections.abc import Callable
from typing import Any, cast

import pytest

from hubfarm.wire import connections as module
from hubfarm.wire.connections import (
    FEWEST,
    LOOK_EVERY,
    MAX_CONNECTIONS,
    RESERVED,
    Activity,
    Connections,
    Patience,
    Room,
    room,
)

PATIENCE = Patience(head=20.0, body=30.0, rate=1000.0, idle=300.0, unread=60.0)


class FakeLoop:
    """A clock that stands still until it is set forward, and what is to be done later."""

    def __init__(self) -> None:
        self.now = 0.0
        self.later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, work: Callable[[], None]) -> Any:
        entry = (self.now + delay, work)
        self.later.append(entry)
        loop = self

        class Handle:
            def cancel(self) -> None:
                loop.later.remove(entry)

        return Handle()

    def go_to(self, when: float) -> None:
        """Let time pass, and do what is due."""
        while self.later and min(self.later, key=lambda each: each[0])[0] <= when:
            due = min(self.later, key=lambda each: each[0])
            self.later.remove(due)
            self.now = due[0]
            due[1]()
        self.now = when


class FakeConnection:
    """A connection of which a test says what it is at."""

    def __init__(self, since: float = 0.0, activity: Activity = Activity.IDLE, received: int = 0) -> None:
        self.since = since
        self.activity = activity
        self.received = received
        self.unsent = 0
        self.done: list[str] = []

    def time_out(self, text: str) -> None:
        self.done.append(text)

    def give_way(self) -> None:
        self.done.append("gave way")

    def abort(self) -> None:
        self.done.append("aborted")


class Bench:
    """Connections under test."""

    def __init__(self, most: int = 100) -> None:
        self.loop = FakeLoop()
        self.all: Connections[FakeConnection] = Connections(cast(asyncio.AbstractEventLoop, self.loop), most, PATIENCE)

    def one(self, **what: Any) -> FakeConnection:
        connection = FakeConnection(**what)
        assert self.all.admit(connection)
        return connection


@pytest.mark.parametrize(
    ("what", "until", "said"),
    [
        ({"activity": Activity.IDLE}, 300.0, "gave way"),
        ({"activity": Activity.HEAD}, 20.0, "the request's head was not whole within 20 s"),
        ({"activity": Activity.BODY}, 50.0, "the request's body comes too slowly: 0 bytes in 50 s"),
        (
            {"activity": Activity.BODY, "received": 10_000},
            60.0,
            "the request's body comes too slowly: 10000 bytes in 60 s",
        ),
    ],
)
def test_connection_may_stand_still_for_so_long(what: dict[str, Any], until: float, said: str) -> None:
    bench = Bench()
    one = bench.one(**what)
    bench.loop.go_to(until)
    assert one.done == []
    bench.loop.go_to(until + LOOK_EVERY)
    assert [done.replace(f"{until + LOOK_EVERY:.0f} s", f"{until:.0f} s") for done in one.done] == [said]


def test_connection_that_waits_for_its_answer_has_all_the_time() -> None:
    bench = Bench()
    one = bench.one(activity=Activity.ANSWERING)
    bench.loop.go_to(10_000.0)
    assert one.done == []


def test_peer_that_takes_nothing_of_its_answer_is_cut_off_and_one_that_takes_some_is_not() -> None:
    bench = Bench()
    stuck, slow = (bench.one(activity=Activity.ANSWERING) for _ in range(2))
    bench.loop.go_to(10.0)
    stuck.unsent = slow.unsent = 1000
    bench.loop.go_to(60.0)
    slow.unsent = 999
    bench.loop.go_to(70.5)
    assert (stuck.done, slow.done) == ([], [])
    bench.loop.go_to(71.0)
    assert (stuck.done, slow.done) == (["aborted"], [])
    bench.loop.go_to(120.5)
    assert slow.done == []
    slow.unsent = 0
    bench.loop.go_to(125.0)
    slow.unsent = 999  # of another answer: its time begins anew
    bench.loop.go_to(185.5)
    assert slow.done == []
    bench.loop.go_to(186.0)
    assert slow.done == ["aborted"]


def test_nobody_looks_while_nothing_is_open() -> None:
    bench = Bench()
    assert bench.loop.later == []
    one = bench.one()
    assert len(bench.loop.later) == 1
    bench.one()
    assert len(bench.loop.later) == 1, "one look for all"
    other = bench.one()
    assert len(bench.all) == 3
    for each in (one, other, *bench.all.close()):
        bench.all.discard(each)
    assert (len(bench.all), bench.loop.later) == (0, [])


def test_looking_ends_when_the_last_has_gone_and_begins_anew() -> None:
    bench = Bench()
    one = bench.one()
    bench.all.discard(one)
    bench.all.discard(one)
    bench.loop.go_to(5.0)
    assert bench.loop.later == []
    late = bench.one(activity=Activity.HEAD, since=5.0)
    bench.loop.go_to(30.0)
    assert late.done


def test_of_one_too_many_those_idle_longest_give_way_a_hundredth_at_once() -> None:
    bench = Bench(most=200)
    idle = [bench.one(since=float(number)) for number in range(199, 0, -1)]
    busy = bench.one(activity=Activity.HEAD)
    bench.one(since=500.0)
    assert [each.since for each in idle if each.done == ["gave way"]] == [2.0, 1.0]
    assert busy.done == []
    assert len(bench.all) == 199
    bench.one(since=501.0)
    assert len(bench.all) == 200
    assert len([each for each in idle if each.done]) == 2


def test_one_gives_way_where_few_are_kept() -> None:
    bench = Bench(most=2)
    one, other = bench.one(since=2.0), bench.one(since=1.0)
    bench.one(since=3.0)
    assert (one.done, other.done, len(bench.all)) == ([], ["gave way"], 2)


def test_without_an_idle_one_the_oldest_that_its_peer_holds_up_gives_way() -> None:
    bench = Bench(most=4)
    waits = bench.one(since=0.0, activity=Activity.ANSWERING)
    unread = bench.one(since=2.0, activity=Activity.ANSWERING)
    unread.unsent = 1
    head, body = bench.one(since=1.0, activity=Activity.HEAD), bench.one(since=3.0, activity=Activity.BODY)
    bench.one(since=9.0, activity=Activity.HEAD)
    bench.one(since=9.0, activity=Activity.HEAD)
    assert [each.done for each in (waits, unread, head, body)] == [[], ["gave way"], ["gave way"], []]


def test_when_all_wait_for_answers_nobody_gives_way() -> None:
    bench = Bench(most=1)
    waits = bench.one(activity=Activity.ANSWERING)
    assert not bench.all.admit(FakeConnection())
    assert (waits.done, bench.all.close()) == ([], [waits])


@pytest.mark.parametrize(
    ("descriptors", "shared_out"),
    [
        (1024, Room((1024 - RESERVED) // 2, (1024 - RESERVED) // 2)),
        (10, Room(FEWEST, FEWEST)),
        (1_000_000, Room(MAX_CONNECTIONS, (1_000_000 - RESERVED) // 2)),
        (resource.RLIM_INFINITY, Room(MAX_CONNECTIONS, (4 * MAX_CONNECTIONS - RESERVED) // 2)),
    ],
)
def test_descriptors_are_shared_out_half_and_half(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, shared_out: Room
) -> None:
    monkeypatch.setattr(module.resource, "getrlimit", lambda which: (descriptors, 0))
    assert room() == shared_out
