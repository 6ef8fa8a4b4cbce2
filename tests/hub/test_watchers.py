"""Those who watch: nothing waits for them, what waits for them is bounded, and they are told what they missed."""

import asyncio
from typing import Any

import pytest

from hubfarm.hub import watchers as module
from hubfarm.hub.core import Hub
from hubfarm.hub.watched import WatchedHub
from hubfarm.hub.watchers import MOST_WATCHERS, TooMany, Watchers
from hubfarm.spec.principal import ANYBODY, Principal
from hubfarm.spec.watching import Arrived, Came, Ended, Event, Hello, Left, Missed, Sent, Unpacker
from hubfarm.wire.streams import Stream
from tests.hub.hub_support import join, make_hub
from tests.support import in_a_loop, message
from tests.wire.wire_support import until


class Taker:
    """The connection below a stream: takes what is written, or does not."""

    def __init__(self, stream: Stream, *, takes: bool = True) -> None:
        self.stream = stream
        self.takes = takes
        self.taken = b""
        self.held = b""
        self.ended = False
        stream.begin(self)

    @property
    def buffered(self) -> int:
        return len(self.held)

    def write_at_once(self, data: bytes) -> None:
        self.held += data
        if self.takes:
            self.take()

    def end_stream(self) -> None:
        self.ended = True

    def take(self) -> None:
        """Take all that was written."""
        self.taken, self.held = self.taken + self.held, b""

    def take_all(self) -> None:
        """Take what was written, and what follows it, until nothing does."""
        self.takes = True
        while self.held:
            self.take()
            self.stream.has_room()

    @property
    def events(self) -> list[Event]:
        _, _, body = self.taken.partition(b"\r\n\r\n")
        found: list[Event] = []
        unpacker = Unpacker()
        while body and not body.startswith(b"0\r\n"):
            size, _, body = body.partition(b"\r\n")
            found += unpacker.feed(body[: int(size, 16)])
            body = body[int(size, 16) + 2 :]
        return found

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def watched_by(hub: Hub) -> tuple[Watchers, list[int]]:
    counts: list[int] = []
    watchers = Watchers(hub, lambda: Hello(hub="mine"), lambda: 1.0, lambda: counts.append(len(watchers)))
    return watchers, counts


@in_a_loop
async def test_watcher_is_told_first_which_hub_it_is_and_who_is_there() -> None:
    hub = make_hub()
    client = join(hub, name="one")
    watchers, counts = watched_by(hub)
    taker = Taker(watchers.admit("me", ANYBODY, 0))
    await until(lambda: len(taker.events) == 2, "it was told")
    assert taker.events[0] == Hello(at=1.0, hub="mine")
    assert taker.of(Came)[0].id == client.id
    assert (watchers.names, counts, type(hub)) == (["me"], [1], WatchedHub)
    taker.stream.lost()
    assert (watchers.names, counts, type(hub)) == ([], [1, 0], Hub)


@in_a_loop
async def test_each_of_several_gets_the_content_that_it_wants() -> None:
    hub = make_hub()
    watchers, _ = watched_by(hub)
    bare, some, all_of_it = (Taker(watchers.admit("me", ANYBODY, content)) for content in (0, 500, 10_000))
    one, two = join(hub), join(hub, "a.b")
    for text in ("short", "x" * 1000):
        hub.notify(one, two.id, message("a.b", text=text), 1.0)
    await until(lambda: len(all_of_it.of(Sent)) == 2, "it was told")
    assert [bool(sent.xml) for sent in bare.of(Sent)] == [False, False]
    assert [bool(sent.xml) for sent in some.of(Sent)] == [True, False]
    assert [bool(sent.xml) for sent in all_of_it.of(Sent)] == [True, True]


@in_a_loop
async def test_slow_watcher_loses_content_before_it_misses_anything() -> None:
    hub = make_hub(queue=100_000)
    watchers, _ = watched_by(hub)
    slow, quick = Taker(watchers.admit("slow", ANYBODY, 10_000), takes=False), Taker(watchers.admit("q", ANYBODY, 0))
    one, two = join(hub), join(hub, "a.b")
    each = 2000
    count = 2 * module.MOST_WAITING // each
    for number in range(count):
        hub.notify(one, two.id, message("a.b", text=f"{number:<{each}}"), 1.0)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(quick.of(Sent)) == count, "who is quick misses nothing")
    assert quick.of(Missed) == []
    slow.take_all()
    assert slow.of(Missed) == []
    sent = slow.of(Sent)
    with_content = [bool(each.xml) for each in sent]
    assert with_content == sorted(with_content, reverse=True)  # first with it, then without
    assert 0 < sum(with_content) * each < module.MOST_WAITING
    assert len(sent) == count  # without content all of them had room


@in_a_loop
async def test_watcher_that_takes_nothing_misses_events_and_then_goes_on() -> None:
    hub = make_hub(queue=100_000)
    watchers, _ = watched_by(hub)
    slow = Taker(watchers.admit("slow", ANYBODY, 0), takes=False)
    one, two = join(hub), join(hub, "a.b")
    mtype = "a." + "b" * 150
    hub.declare_subscriptions(two, {"a.*": {}}, 1.0)
    count = 2 * module.MOST_WAITING // 250
    for number in range(count):
        [delivery] = hub.notify(one, two.id, message(mtype), 1.0).effects
        hub.delivered(delivery)  # type: ignore[arg-type]
        if number % 100 == 0:
            await asyncio.sleep(0)
    slow.take_all()

    def accounted_for() -> int:
        told, missed = slow.events, slow.of(Missed)
        return sum(isinstance(event, (Sent, Arrived)) for event in told) + sum(event.count for event in missed)

    await until(lambda: accounted_for() == 2 * count, "what it was not told is counted")
    [missed] = slow.of(Missed)
    assert 0 < missed.count < 2 * count
    hub.notify(one, two.id, message("a.c"), 1.0)
    await until(lambda: slow.of(Sent)[-1].mtype == "a.c", "it goes on")


@in_a_loop
async def test_so_many_watch_and_no_more() -> None:
    hub = make_hub()
    watchers, _ = watched_by(hub)
    takers = [Taker(watchers.admit("me", ANYBODY, 0)) for _ in range(MOST_WATCHERS)]
    with pytest.raises(TooMany):
        watchers.admit("one more", ANYBODY, 0)
    takers[0].stream.lost()
    watchers.admit("one more", ANYBODY, 0)


@in_a_loop
async def test_who_may_not_watch_any_more_is_told_and_let_go() -> None:
    hub = make_hub()
    watchers, _ = watched_by(hub)
    luigi, anna = (Taker(watchers.admit("me", Principal(user=user), 0)) for user in ("luigi", "anna"))
    watchers.restrict(lambda who: "anna was disconnected" if who.user == "anna" else "")
    assert anna.of(Ended)[0].reason == "anna was disconnected"
    assert (anna.ended, luigi.ended, watchers.names) == (True, False, ["me (the user luigi)"])
    watchers.end("stopped", again=True)
    assert luigi.of(Ended) == [Ended(at=1.0, reason="stopped", again=True)]
    assert type(hub) is Hub


@in_a_loop
async def test_client_that_goes_is_told() -> None:
    hub = make_hub()
    watchers, _ = watched_by(hub)
    taker = Taker(watchers.admit("me", ANYBODY, 0))
    hub.unregister(join(hub), 1.0)
    await until(lambda: taker.of(Left), "it was told")
