"""A hub that is watched: it decides as any other, tells all that happens, and costs nothing once nobody watches."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis.stateful import invariant

from hubfarm.client.conversation import Conversation, Status
from hubfarm.hub.core import Hub
from hubfarm.hub.model import Client
from hubfarm.hub.watched import WatchedHub, unwatch, watch
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.methods import Kind
from hubfarm.samp.xmlrpc import EncodedMap, decode_value
from hubfarm.spec.watching import (
    Abandoned,
    Answered,
    Arrived,
    Came,
    Event,
    Left,
    Lost,
    Missed,
    Recipient,
    Sent,
    Unpacker,
    as_json,
    from_json,
    pack,
)
from tests.hub.hub_support import OK, deliveries, join, make_hub
from tests.hub.test_core_machine import HubMachine
from tests.hub.test_standard_profile import Bench
from tests.strategies import tried
from tests.support import message

ERROR: dict[str, Any] = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "no such column"}}


class Told:
    """Who is told: keeps it, and a conversation of it."""

    def __init__(self, content: int = 0) -> None:
        self.content = content
        self.events: list[Event] = []
        self.conversation = Conversation()

    def tell(self, event: Event, size: int = 0) -> None:
        self.events.append(event)
        self.conversation.apply(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def watched(content: int = 0, **limits: int) -> tuple[Hub, Told]:
    hub, told = make_hub(**limits), Told(content)
    times = iter(range(1000, 10**6))
    watch(hub, told, lambda: float(next(times)))
    return hub, told


@pytest.fixture
def scene() -> tuple[Hub, Told, Client, Client]:
    """A watched hub with a sender and a receiver of ``a.*``, of whose coming nothing is kept."""
    hub, told = watched(content=10_000)
    one, two = join(hub, name="one"), join(hub, "a.*", name="two")
    told.events.clear()
    return hub, told, one, two


Scene = tuple[Hub, Told, Client, Client]


# ---------------------------------------------------------------------- what is told


def test_notification_is_told_with_its_recipient_and_when_it_has_arrived(scene: Scene) -> None:
    hub, told, one, two = scene
    [delivery] = deliveries(hub.notify(one, two.id, message("a.b", x="1"), 1.0).effects)
    [sent] = told.events
    assert isinstance(sent, Sent)
    assert (sent.how, sent.sender, sent.mtype, sent.to) == ("notify", one.id, "a.b", (Recipient(two.id),))
    assert sent.size == len(delivery.payload.xml)
    assert decode_value(sent.xml) == message("a.b", x="1")
    hub.delivered(delivery)
    assert told.events[1] == Arrived(at=told.events[1].at, number=sent.number, to=two.id)
    assert [entry.status for entry in told.conversation] == [Status.OK]


def test_broadcast_is_one_message_with_all_its_recipients_and_who_is_left_out() -> None:
    hub, told = watched(queue=1)
    one, two, three = join(hub), join(hub, "a.b"), join(hub, "a.*")
    full = deliveries(hub.notify(one, three.id, message("a.c"), 1.0).effects)
    told.events.clear()
    hub.call_all(one, "tag", message("a.b"), 1.0)
    [sent] = told.events
    assert isinstance(sent, Sent)
    assert (sent.how, sent.tag, [to.id for to in sent.to], sent.left_out) == ("callAll", "tag", [two.id], (three.id,))
    assert full
    assert told.conversation.entries[sent.number].status is Status.UNDELIVERED


def test_call_is_open_until_its_answer_is_told_with_what_it_says(scene: Scene) -> None:
    hub, told, one, two = scene
    msg_id = str(hub.call(one, two.id, "tag", message("a.b"), 1.0).result)
    assert [entry.status for entry in told.conversation] == [Status.OPEN]
    hub.reply(two, msg_id, ERROR, 2.0)
    [sent], [answer] = told.of(Sent), told.of(Answered)
    assert sent.to == (Recipient(two.id, msg_id),)
    assert (answer.number, answer.sender, answer.to, answer.tag) == (sent.number, two.id, one.id, "tag")
    assert (answer.status, answer.error, answer.instead) == ("samp.error", "no such column", False)
    assert decode_value(answer.xml) == ERROR
    [entry] = told.conversation
    assert (entry.status, entry.parts[two.id].reason) == (Status.ERROR, "no such column")


def test_each_answer_to_a_call_to_all_is_told_of_the_one_message() -> None:
    hub, told = watched()
    one, others = join(hub), [join(hub, "a.b") for _ in range(3)]
    ids = hub.call_all(one, "tag", message("a.b"), 1.0).result
    assert isinstance(ids, dict)
    for other in others:
        hub.reply(other, str(ids[other.id]), OK, 2.0)
    number = told.of(Sent)[-1].number
    assert [(answer.number, answer.sender) for answer in told.of(Answered)] == [(number, each.id) for each in others]
    assert told.conversation.entries[number].status is Status.OK


def test_synchronous_call_whose_sender_gives_up_is_told_as_abandoned(scene: Scene) -> None:
    hub, told, one, two = scene
    msg_id = str(hub.call_and_wait(one, two.id, message("a.b"), 1.0).result)
    hub.abandon(msg_id)
    hub.abandon(msg_id)
    [given_up] = told.of(Abandoned)
    assert (given_up.to, given_up.msg_id) == (two.id, msg_id)
    assert [entry.status for entry in told.conversation] == [Status.ERROR]


@pytest.mark.parametrize("how", ["notify", "notify_all", "call", "call_all", "call_and_wait"])
def test_question_to_the_hub_itself_is_told_with_its_answer(scene: Scene, how: str) -> None:
    hub, told, one, _ = scene
    all_of_them, tag = how.endswith("_all"), ["tag"] if how in ("call", "call_all") else []
    getattr(hub, how)(one, *([] if all_of_them else ["hub"]), *tag, message("samp.app.ping"), 1.0)
    [sent] = told.of(Sent)
    assert [to.id for to in sent.to] == ["hub"]
    assert [answer.sender for answer in told.of(Answered)] == (["hub"] if how.startswith("call") else [])
    assert [entry.status for entry in told.conversation] == [Status.OK]


def test_delivery_that_fails_is_told_and_that_the_hub_answers_in_the_others_stead(scene: Scene) -> None:
    hub, told, one, two = scene
    [delivery] = deliveries(hub.call(one, two.id, "tag", message("a.b"), 1.0).effects)
    hub.undelivered(delivery, "it answered HTTP 500")
    assert told.kinds == ["Sent", "Lost", "Answered"]
    assert told.of(Lost)[0].reason == "it answered HTTP 500"
    assert told.of(Answered)[0].instead
    [entry] = told.conversation
    assert (entry.status, entry.parts[two.id].reason) == (Status.UNDELIVERED, "it answered HTTP 500")


def test_what_waits_for_a_client_that_leaves_is_told_as_lost(scene: Scene) -> None:
    hub, told, one, two = scene
    hub.notify(one, two.id, message("a.b"), 1.0)
    hub.call(one, two.id, "tag", message("a.c"), 1.0)
    hub.unregister(two, 2.0)
    assert [lost.to for lost in told.of(Lost)] == [two.id, two.id]
    assert [left.id for left in told.of(Left)] == [two.id]
    assert [entry.status for entry in told.conversation] == [Status.UNDELIVERED] * 2


def test_call_of_a_client_that_leaves_is_told_as_abandoned(scene: Scene) -> None:
    hub, told, one, two = scene
    hub.call(one, two.id, "tag", message("a.b"), 1.0)
    hub.unregister(one, 2.0)
    assert [given_up.to for given_up in told.of(Abandoned)] == [two.id]


def test_answer_whose_sender_cannot_be_told_is_told_nevertheless(scene: Scene) -> None:
    hub, told, one, two = scene
    msg_id = str(hub.call(one, two.id, "tag", message("a.b"), 1.0).result)
    hub.set_route(one, None, 1.0)
    assert hub.reply(two, msg_id, OK, 2.0).effects == []
    assert [answer.status for answer in told.of(Answered)] == ["samp.ok"]


@pytest.mark.parametrize(
    ("what", "mtype", "why"),
    [(message("b.c"), "b.c", "is not subscribed"), ("no message", "", "message"), (message("b..c"), "b..c", "MType")],
)
def test_message_that_is_refused_is_told_with_the_reason(scene: Scene, what: Any, mtype: str, why: str) -> None:
    hub, told, one, two = scene
    with pytest.raises((Fault, BadValue)):
        hub.notify(one, two.id, what, 1.0)
    [sent] = told.events
    assert isinstance(sent, Sent)
    assert (sent.mtype, sent.to) == (mtype, (Recipient(two.id),))
    assert why in sent.refused
    assert [entry.status for entry in told.conversation] == [Status.UNDELIVERED]


def test_every_way_to_send_tells_what_was_refused(scene: Scene) -> None:
    hub, told, one, two = scene
    nonsense = {"samp.mtype": "samp.hub.event.shutdown", "samp.params": {}}
    for send in (
        lambda: hub.notify(one, two.id, nonsense, 1.0),
        lambda: hub.notify_all(one, nonsense, 1.0),
        lambda: hub.call(one, two.id, "", nonsense, 1.0),
        lambda: hub.call_all(one, "", nonsense, 1.0),
        lambda: hub.call_and_wait(one, two.id, nonsense, 1.0),
    ):
        with pytest.raises(Fault):
            send()
    assert [sent.how for sent in told.of(Sent)] == ["notify", "notifyAll", "call", "callAll", "callAndWait"]
    assert all("only the hub sends" in sent.refused for sent in told.of(Sent))


def test_what_the_hub_itself_says_is_told() -> None:
    hub, told = watched()
    listener = join(hub, "samp.hub.event.*", "samp.app.ping")
    told.events.clear()
    join(hub, name="late")
    mtypes = [sent.mtype.removeprefix("samp.hub.event.") for sent in told.of(Sent)]
    assert mtypes == ["register", "metadata", "subscriptions"]
    assert {sent.sender for sent in told.of(Sent)} == {"hub"}
    assert [came.name for came in told.of(Came)] == ["", "late"]
    told.events.clear()
    hub.check_silence(10.0, 100.0)
    assert ("samp.app.ping", listener.id) in [(sent.mtype, sent.to[0].id) for sent in told.of(Sent)]


def test_content_is_told_up_to_what_anybody_wants_to_see() -> None:
    hub, told = watched(content=300)
    one, two = join(hub), join(hub, "a.b")
    for text in ("short", "x" * 400):
        hub.notify(one, two.id, EncodedMap.of(message("a.b", text=text)), 1.0)
    short, long = told.of(Sent)
    assert (bool(short.xml), long.xml, long.size > 400) == (True, b"", True)


def test_name_of_a_megabyte_is_told_cut() -> None:
    hub, told = watched()
    client = join(hub)
    hub.declare_metadata(client, {"samp.name": "x" * 500_000, "more": "y" * 500_000}, 1.0)
    assert [len(came.name) for came in told.of(Came)] == [0, 200]


def test_numbers_rise_also_over_another_watch(scene: Scene) -> None:
    hub, told, one, two = scene
    hub.notify(one, two.id, message("a.b"), 1.0)
    unwatch(hub)
    watch(hub, told, lambda: 10.0**6)
    hub.notify(one, two.id, message("a.b"), 1.0)
    first, second = (sent.number for sent in told.of(Sent))
    assert second > first


# ---------------------------------------------------------------------- it decides as any other


class WatchedMachine(HubMachine):
    """The random hub, watched: the model's rules hold, and what was told agrees with the hub's state."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        watch(self.hub, self.told, lambda: 1.0 + self.now)

    @invariant()
    def what_waits_is_what_was_told_and_has_not_arrived(self) -> None:
        waiting = sorted(
            (delivery.to.id, delivery.number)
            for queue in self.hub._ledger.queues.values()
            for delivery in queue.values()
            if delivery.kind is not Kind.RESPONSE
        )
        open_parts = sorted(
            part.id
            for entry in self.told.conversation
            for part in entry.parts.values()
            if not part.arrived and part.status is not Status.UNDELIVERED and part.id != "hub"
        )
        assert [to for to, _ in waiting] == open_parts

    @invariant()
    def nothing_is_remembered_of_what_is_settled(self) -> None:
        assert isinstance(self.hub, WatchedHub)
        assert set(self.hub.watch.calls) == set(self.hub._ledger.pending)
        assert len(self.hub.watch.numbers) <= self.hub.counters.queued


WatchedMachine.TestCase.settings = tried(40, stateful_step_count=50)
TestWatchedMachine = WatchedMachine.TestCase


# ---------------------------------------------------------------------- what it costs


def opcodes(run: Callable[[], None]) -> tuple[int, set[str]]:
    """Return how many instructions of ours Python executes, and of which files; of the second run."""
    count, files = 0, set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "/hubfarm/" not in frame.f_code.co_filename:
            return trace  # what it calls may be ours again
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
            files.add(frame.f_code.co_filename.rpartition("hubfarm/")[2])
        return trace

    before = sys.gettrace()
    for _ in range(2):  # from Python 3.12 on, instructions are told apart only after the first tracing has asked for it
        count = 0
        sys.settrace(trace)
        try:
            run()
        finally:
            sys.settrace(before)
    return count, files


def test_nothing_is_paid_while_nobody_watches() -> None:
    """A notification and a call, from bytes to delivery, take the same instructions as if nobody ever had watched."""

    def talk(bench: Bench, sender: str, receiver: str, to: str) -> None:
        for method, parameters in (("notify", [sender, to]), ("call", [sender, to, "tag"])):
            bench.call(method, *parameters, message("a.b"))
        for delivery in bench.recorder.sent:
            bench.hub.delivered(delivery)
        bench.call("reply", receiver, bench.recorder.sent[-1].tag, OK)
        bench.recorder.sent.clear()

    def benches(*, watched: bool = False, once: bool = False) -> tuple[int, set[str]]:
        bench = Bench()
        (sender, _), (receiver, to) = bench.join(), bench.join("a.b")
        told = Told()
        if watched or once:
            watch(bench.hub, told, lambda: 1.0)
            talk(bench, sender, receiver, to)
        if once:
            unwatch(bench.hub)
        talk(bench, sender, receiver, to)  # what is remembered is remembered
        return opcodes(lambda: talk(bench, sender, receiver, to))

    never, files = benches()
    assert not [file for file in files if "watch" in file]
    assert never > 1000
    assert {"hub/core.py", "hub/ledger.py", "hub/profiles/profile.py"} <= files
    assert benches(once=True) == (never, files)
    paid, files = benches(watched=True)
    assert paid > never
    assert {"hub/watched.py"} <= files


# ---------------------------------------------------------------------- on the way


EVENTS: list[Event] = [
    Sent(at=1.5, number=7, how="call", sender="c1", mtype="a.b", to=(Recipient("c2", "c1-m1"),), left_out=("c3",)),
    Sent(number=8, how="notify", sender="c1", mtype="a.b", xml=EncodedMap.of(message("a.b", x="größe")).xml),
    Answered(number=7, sender="c2", to="c1", msg_id="c1-m1", status="samp.ok", xml=EncodedMap.of(OK).xml),
    Came(id="c1", name="größe\n", user="luigi"),
    Missed(count=3),
]


def test_events_come_out_of_the_wire_as_they_went_in_whatever_the_pieces() -> None:
    wire = pack(EVENTS[:2]) + pack([]) + b"".join(pack([event]) for event in EVENTS[2:])
    for size in (1, 3, 50, len(wire)):
        unpacker = Unpacker()
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert [event for piece in pieces for event in unpacker.feed(piece)] == EVENTS


@pytest.mark.parametrize(
    "wire", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x01\x80", b"HTTP/1.1 200"]
)
def test_what_is_no_event_is_refused(wire: bytes) -> None:
    with pytest.raises(BadValue):
        list(Unpacker().feed(wire + bytes(100)))


def test_long_event_in_small_pieces_is_joined_once() -> None:
    long = Sent(number=1, how="notify", sender="c1", mtype="a.b", xml=bytes(10**6))
    wire, unpacker = pack([long]), Unpacker()
    pieces = [wire[at : at + 100] for at in range(0, len(wire), 100)]
    assert [event for piece in pieces for event in unpacker.feed(piece)] == [long]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_line_of_json_tells_the_event_and_what_was_said_as_a_tree(event: Event) -> None:
    told = as_json(event)
    assert "xml" not in told
    assert from_json(told) == event
    if isinstance(event, Sent) and event.xml:
        assert told["message"] == message("a.b", x="größe")


@pytest.mark.parametrize(
    "told",
    [
        [],
        "sent",
        {},
        {"event": "unknown"},
        {"event": "sent"},
        {"event": "lost", "number": "x", "to": "c1"},
        {"event": "sent", "number": 1, "how": "call", "sender": "c1", "mtype": "a", "message": "text"},
        {"event": "sent", "number": 1, "how": "call", "sender": "c1", "mtype": "a", "message": {"a": 1}},
    ],
)
def test_line_that_tells_no_event_is_refused(told: object) -> None:
    with pytest.raises(BadValue):
        from_json(told)


# ---------------------------------------------------------------------- the conversation


def sent(number: int, size: int = 0, to: int = 1) -> Sent:
    recipients = tuple(Recipient(f"c{n}") for n in range(2, 2 + to))
    return Sent(number=number, how="notify", sender="c1", mtype="a.b", to=recipients, xml=bytes(size))


def test_conversation_keeps_the_last_messages_by_number_and_by_bytes() -> None:
    conversation = Conversation(most=3, most_bytes=10_000)
    for number in range(5):
        conversation.apply(sent(number))
    assert list(conversation.entries) == [2, 3, 4]
    conversation.apply(sent(5, size=8_000))
    assert list(conversation.entries) == [5]
    assert conversation.size <= 10_000
    assert conversation.apply(Arrived(number=4, to="c2")) is None


def test_message_that_comes_twice_is_kept_once() -> None:
    conversation = Conversation()
    conversation.apply(sent(1, size=100))
    size = conversation.size
    conversation.apply(sent(1, size=100))
    assert (len(conversation.entries), conversation.size) == (1, size)


def test_broadcast_to_very_many_is_settled_in_time() -> None:
    conversation = Conversation()
    conversation.apply(sent(1, to=20_000))
    count, _ = opcodes(lambda: [conversation.apply(Arrived(number=1, to="c9", at=2.0)) for _ in range(10)] and None)
    assert count < 10_000  # of 20,000 recipients none but the one is looked at
    for number in range(20_000):
        conversation.apply(Arrived(at=2.0, number=1, to=f"c{number + 2}"))
    assert conversation.entries[1].status is Status.OK
