"""The hub's rules one by one, on the pure hub: no socket, no clock (samp.md)."""

from collections.abc import Callable
from typing import Any

import pytest

from hubfarm.hub.core import PING_GRACE, Hub
from hubfarm.hub.model import HUB_ID, Answer, Client, Departure, Kind, LeftOut
from hubfarm.hub.routes import Push
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_value, encode_value
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY
from tests.hub.hub_support import HUB_METADATA, OK, deliveries, departed, join, make_hub, mtypes_to, refused, snapshot
from tests.support import message

NOW = 5.0
EVENTS = ("register", "unregister", "metadata", "subscriptions", "shutdown")


@pytest.fixture
def hub() -> Hub:
    return make_hub()


@pytest.fixture
def sender(hub: Hub) -> Client:
    return join(hub, name="sender")


Send = Callable[[Hub, Client, str, Any], Any]
"""Sends a message to one client."""

TARGETED: dict[str, Send] = {
    "notify": lambda hub, sender, to, message: hub.notify(sender, to, message, NOW),
    "call": lambda hub, sender, to, message: hub.call(sender, to, "tag", message, NOW),
    "callAndWait": lambda hub, sender, to, message: hub.call_and_wait(sender, to, message, NOW),
}
BROADCAST: dict[str, Send] = {
    "notifyAll": lambda hub, sender, _, message: hub.notify_all(sender, message, NOW),
    "callAll": lambda hub, sender, _, message: hub.call_all(sender, "tag", message, NOW),
}
every_targeted_send = pytest.mark.parametrize("send", TARGETED.values(), ids=TARGETED)
every_send = pytest.mark.parametrize("send", (TARGETED | BROADCAST).values(), ids=TARGETED | BROADCAST)


# ------------------------------------------------------------------ registration


def test_registering_returns_key_own_id_and_hub_id(hub: Hub) -> None:
    result = hub.register(ANYBODY, NOW).result
    assert result == {"samp.private-key": "key-1", "samp.self-id": "c1", "samp.hub-id": HUB_ID}
    assert hub.client_with_key("key-1").id == "c1"


def test_a_client_that_has_declared_nothing_has_empty_maps(hub: Hub) -> None:
    client_id = hub.register(ANYBODY, NOW).result["samp.self-id"]  # type: ignore
    assert hub.get_metadata(client_id).decode() == {}
    assert hub.get_subscriptions(client_id) == {}


def test_public_ids_are_never_reused(hub: Hub) -> None:
    ids = []
    for _ in range(5):
        client = join(hub)
        ids.append(client.id)
        hub.unregister(client, NOW)
    assert len({*ids, HUB_ID}) == 6


def test_a_key_is_void_once_its_client_has_left(hub: Hub, sender: Client) -> None:
    hub.unregister(sender, NOW)
    with refused(hub, "register first"):
        hub.client_with_key(sender.key)
    with refused(hub, "no client has the id"):
        hub.get_metadata(sender.id)


def test_an_unknown_key_is_a_fault(hub: Hub) -> None:
    with refused(hub, "register first"):
        hub.client_with_key("guess")


def test_more_clients_than_the_limit_are_refused_until_one_leaves() -> None:
    hub = make_hub(clients=2)
    first = join(hub)
    join(hub)
    with refused(hub, "takes no more"):
        hub.register(ANYBODY, NOW)
    hub.unregister(first, NOW)
    assert join(hub).id == "c3"


def test_registered_clients_are_all_but_the_caller_and_the_hub_is_one(hub: Hub) -> None:
    first, second, third = join(hub), join(hub), join(hub)
    assert decode_value(hub.get_registered_clients(second).xml) == [HUB_ID, first.id, third.id]


# ------------------------------------------------------------------ declarations


def test_metadata_are_replaced_and_unknown_keys_stay(hub: Hub, sender: Client) -> None:
    hub.declare_metadata(sender, {"samp.name": "a", "old": "1"}, NOW)
    metadata: Any = {"samp.name": "b", "x-samp.unheard.of": {"deep": ["1"]}, "own": ""}
    hub.declare_metadata(sender, metadata, NOW)
    assert hub.get_metadata(sender.id).decode() == metadata


def test_the_hub_is_a_client_of_itself(hub: Hub) -> None:
    assert hub.get_metadata(HUB_ID).decode() == HUB_METADATA
    assert set(hub.get_subscriptions(HUB_ID)) == {
        "samp.app.ping",
        "samp.query.by-meta",
        "x-samp.query.by-meta",
        "hubfarm.query.clients",
    }


def test_subscriptions_are_returned_as_declared(hub: Hub, sender: Client) -> None:
    subscriptions: Any = {"a.*": {"x": "1"}, "a.b": {}, "*": {"y": ["z"]}}
    hub.declare_subscriptions(sender, subscriptions, NOW)
    assert hub.get_subscriptions(sender.id) == subscriptions


@pytest.mark.parametrize(
    "wrong", ["text", ["a.b"], {"a.b": ""}, {"a.b": ["x"]}, {"a*": {}}, {"*.a": {}}, {"": {}}, {"ok": {}, "a.*.b": {}}]
)
def test_wrong_subscriptions_are_a_fault(hub: Hub, sender: Client, wrong: Any) -> None:
    hub.declare_subscriptions(sender, {"a": {}}, NOW)
    with refused(hub):
        hub.declare_subscriptions(sender, wrong, 9.0)


@pytest.mark.parametrize("wrong", ["text", ["a"]])
def test_metadata_that_are_no_map_are_a_fault(hub: Hub, sender: Client, wrong: Any) -> None:
    with refused(hub, "metadata must be a map"):
        hub.declare_metadata(sender, wrong, 9.0)


def test_subscribed_clients_are_all_but_the_caller_with_their_annotations(hub: Hub) -> None:
    asker = join(hub, "table.load.votable")
    first, second = join(hub), join(hub, "table.*")
    join(hub, "image.*")
    hub.declare_subscriptions(first, {"table.load.votable": {"x": "1"}}, NOW)
    assert hub.get_subscribed_clients(asker, "table.load.votable") == {first.id: {"x": "1"}, second.id: {}}
    assert hub.get_subscribed_clients(asker, "spectrum.load") == {}


def test_the_most_specific_subscription_gives_the_annotations(hub: Hub, sender: Client) -> None:
    client = join(hub)
    patterns = ["a.b.c", "a.b.*", "a.*", "*"]
    for known in range(len(patterns)):
        hub.declare_subscriptions(client, {pattern: {"by": pattern} for pattern in reversed(patterns[known:])}, NOW)
        assert hub.get_subscribed_clients(sender, "a.b.c") == {client.id: {"by": patterns[known]}}


@pytest.mark.parametrize("mtype", ["samp.app.ping", "samp.query.by-meta", "x-samp.query.by-meta"])
def test_the_hub_is_among_the_subscribed_clients_of_what_it_answers(hub: Hub, sender: Client, mtype: str) -> None:
    other = join(hub, mtype)
    assert hub.get_subscribed_clients(sender, mtype) == {HUB_ID: {}, other.id: {}}


@pytest.mark.parametrize("mtype", ["", "a..b", "a.*", "*", "a b"])
def test_asking_who_is_subscribed_to_what_is_no_mtype_is_a_fault(hub: Hub, sender: Client, mtype: str) -> None:
    with refused(hub, "not an MType"):
        hub.get_subscribed_clients(sender, mtype)


def test_new_subscriptions_replace_the_old(hub: Hub, sender: Client) -> None:
    client = join(hub, "a", "b.*")
    hub.declare_subscriptions(client, {"c": {}}, NOW)
    assert [hub.get_subscribed_clients(sender, mtype) for mtype in ("a", "b.x", "c")] == [{}, {}, {client.id: {}}]


# ------------------------------------------------------------------ notifications


def test_a_notification_goes_to_its_recipient_and_nobody_else(hub: Hub, sender: Client) -> None:
    recipient, _ = join(hub, "a.*"), join(hub, "a.*")
    sent = message("a.b", x="1")
    outcome = hub.notify(sender, recipient.id, sent, NOW)
    assert outcome.result == ""
    [delivery] = outcome.effects
    assert [delivery] == deliveries(outcome.effects, recipient)
    assert (delivery.kind, delivery.sender, delivery.payload.value) == (Kind.NOTIFICATION, sender.id, sent)


def test_notify_all_goes_to_every_subscribed_client_but_the_sender_and_names_them(hub: Hub) -> None:
    sender = join(hub, "a.b")
    first, second, _ = join(hub, "a.b"), join(hub, "*"), join(hub, "c")
    outcome = hub.notify_all(sender, message("a.b"), NOW)
    assert sorted(map(str, outcome.result)) == [first.id, second.id]
    assert {delivery.to for delivery in deliveries(outcome.effects)} == {first, second}
    assert {delivery.kind for delivery in deliveries(outcome.effects)} == {Kind.NOTIFICATION}


def test_a_broadcast_goes_once_to_a_client_of_several_matching_patterns(hub: Hub, sender: Client) -> None:
    client = join(hub, "a.b", "a.*", "*")
    assert hub.notify_all(sender, message("a.b"), NOW).result == [client.id]
    assert list(hub.call_all(sender, "tag", message("a.b"), NOW).result) == [client.id]


def test_a_broadcast_that_nobody_wants_goes_to_nobody(hub: Hub, sender: Client) -> None:
    assert hub.notify_all(sender, message("a.b"), NOW) == ([], [])
    assert hub.call_all(sender, "tag", message("a.b"), NOW) == ({}, [])


def test_a_message_is_encoded_once_however_many_receive_it(hub: Hub, sender: Client) -> None:
    for _ in range(3):
        join(hub, "a")
    payloads = {id(each.payload) for each in deliveries(hub.notify_all(sender, message("a"), NOW).effects)}
    assert len(payloads) == 1


@pytest.mark.parametrize("mtype", ["samp.app.ping", "x-samp.query.by-meta"])
def test_the_hub_is_named_among_the_recipients_of_what_it_is_subscribed_to(
    hub: Hub, sender: Client, mtype: str
) -> None:
    assert hub.notify_all(sender, message(mtype), NOW).result == [HUB_ID]


def test_the_hub_takes_a_notification_it_is_subscribed_to(hub: Hub, sender: Client) -> None:
    assert hub.notify(sender, HUB_ID, message("samp.app.ping"), NOW) == ("", [])


@every_send
def test_unknown_keys_of_a_message_pass_through_untouched(hub: Hub, sender: Client, send: Send) -> None:
    recipient = join(hub, "a")
    sent = {**message("a", deep=[{"x": ["1", ""]}]), "x-mine": {"k": "v"}, "samp.future": "é\r"}
    [delivery] = deliveries(send(hub, sender, recipient.id, sent).effects)
    assert delivery.payload.value == sent
    assert delivery.payload.xml == encode_value(sent)


@every_send
def test_a_message_without_params_passes_as_it_is(hub: Hub, sender: Client, send: Send) -> None:
    recipient = join(hub, "a")
    [delivery] = deliveries(send(hub, sender, recipient.id, {"samp.mtype": "a"}).effects)
    assert delivery.payload.value == {"samp.mtype": "a"}


# ------------------------------------------------------------------ what no message may be


@every_send
@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        [],
        {},
        {"samp.params": {}},
        {"samp.mtype": [], "samp.params": {}},
        {"samp.mtype": "a", "samp.params": ""},
        message(""),
        message("a.*"),
        message("*"),
        message("a b"),
    ],
)
def test_what_is_no_message_is_a_fault(hub: Hub, sender: Client, send: Send, wrong: Any) -> None:
    recipient = join(hub, "*")
    with refused(hub):
        send(hub, sender, recipient.id, wrong)


@every_send
@pytest.mark.parametrize(
    "mtype", ["samp.hub.event.shutdown", "samp.hub.disconnect", "samp.hub.x", "x-samp.hub.event.a"]
)
def test_only_the_hub_sends_hub_messages(hub: Hub, sender: Client, send: Send, mtype: str) -> None:
    recipient = join(hub, "*")
    with refused(hub, "only the hub sends"):
        send(hub, sender, recipient.id, message(mtype))


@every_targeted_send
def test_a_message_to_an_unsubscribed_client_is_a_fault(hub: Hub, sender: Client, send: Send) -> None:
    recipient = join(hub, "a.b.c", "b.*")
    with refused(hub, f"client {recipient.id} is not subscribed to a.b"):
        send(hub, sender, recipient.id, message("a.b"))


@every_targeted_send
def test_a_message_to_an_unknown_client_is_a_fault(hub: Hub, sender: Client, send: Send) -> None:
    with refused(hub, "no client has the id 'c99'"):
        send(hub, sender, "c99", message("a"))


@every_targeted_send
def test_a_message_to_a_client_that_has_left_is_a_fault(hub: Hub, sender: Client, send: Send) -> None:
    recipient = join(hub, "a")
    hub.unregister(recipient, NOW)
    with refused(hub, "no client has the id"):
        send(hub, sender, recipient.id, message("a"))


@every_targeted_send
def test_a_message_to_a_client_that_is_not_callable_is_a_fault(hub: Hub, sender: Client, send: Send) -> None:
    recipient = join(hub, "a", url="")
    with refused(hub, "not callable"):
        send(hub, sender, recipient.id, message("a"))


@every_targeted_send
def test_a_message_to_the_hub_that_it_is_not_subscribed_to_is_a_fault(hub: Hub, sender: Client, send: Send) -> None:
    with refused(hub, "the hub is not subscribed to a"):
        send(hub, sender, HUB_ID, message("a"))


def test_a_sender_that_is_not_callable_may_call_and_gets_no_response(hub: Hub) -> None:
    sender, recipient = join(hub, url=""), join(hub, "a")
    for send in TARGETED["call"], BROADCAST["callAll"]:
        [call] = deliveries(send(hub, sender, recipient.id, message("a")).effects)
        assert hub.reply(recipient, call.tag, OK, NOW).effects == []
    for send in TARGETED["call"], BROADCAST["callAll"]:
        assert send(hub, sender, HUB_ID, message("samp.app.ping")).effects == []


def test_the_sender_of_a_notification_or_a_synchronous_call_need_not_be_callable(hub: Hub) -> None:
    sender, recipient = join(hub, url=""), join(hub, "a")
    for send in TARGETED["notify"], TARGETED["callAndWait"], BROADCAST["notifyAll"]:
        assert len(deliveries(send(hub, sender, recipient.id, message("a")).effects, recipient)) == 1


def test_a_client_that_is_not_callable_is_skipped_by_broadcasts(hub: Hub, sender: Client) -> None:
    join(hub, "a", url="")
    assert hub.notify_all(sender, message("a"), NOW).result == []
    assert hub.call_all(sender, "tag", message("a"), NOW).result == {}


# ------------------------------------------------------------------ calls and replies


def test_a_call_gives_the_recipient_a_msg_id_and_the_reply_gives_the_sender_its_tag(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    outcome = hub.call(sender, recipient.id, "my tag", message("a"), NOW)
    [call] = deliveries(outcome.effects, recipient)
    assert (call.kind, call.sender, call.tag) == (Kind.CALL, sender.id, outcome.result)
    response = {**OK, "x-extra": ["kept"]}
    replied = hub.reply(recipient, call.tag, response, NOW)
    assert replied.result == ""
    [back] = deliveries(replied.effects)
    assert (back.to, back.kind, back.sender, back.tag) == (sender, Kind.RESPONSE, recipient.id, "my tag")
    assert back.payload.value == response


def test_call_all_maps_each_recipient_to_its_own_msg_id(hub: Hub) -> None:
    sender = join(hub, "a")
    first, second = join(hub, "a"), join(hub, "*")
    outcome = hub.call_all(sender, "tag", message("a"), NOW)
    calls = deliveries(outcome.effects)
    assert outcome.result == {call.to.id: call.tag for call in calls}
    assert {call.to for call in calls} == {first, second}
    assert len({call.tag for call in calls}) == 2


def test_the_same_msg_tag_may_be_used_by_two_clients_and_twice_by_one(hub: Hub) -> None:
    senders = [join(hub), join(hub)]
    recipient = join(hub, "a")
    asked = [senders[0], senders[1], senders[0]]
    ids = [str(hub.call(sender, recipient.id, "same", message("a"), NOW).result) for sender in asked]
    assert len(set(ids)) == 3
    for sender, msg_id in reversed(list(zip(asked, ids, strict=True))):
        [back] = deliveries(hub.reply(recipient, msg_id, OK, NOW).effects)
        assert (back.to, back.tag) == (sender, "same")


def test_a_synchronous_call_is_answered_by_its_reply(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    msg_id = str(hub.call_and_wait(sender, recipient.id, message("a"), NOW).result)
    assert hub.reply(recipient, msg_id, OK, NOW).effects == [Answer(msg_id, OK)]


@pytest.mark.parametrize("send", [TARGETED["call"], TARGETED["callAndWait"]], ids=["call", "callAndWait"])
def test_a_second_reply_to_a_call_is_a_fault(hub: Hub, sender: Client, send: Send) -> None:
    recipient = join(hub, "a")
    msg_id = send(hub, sender, recipient.id, message("a")).result
    hub.reply(recipient, msg_id, OK, NOW)
    with refused(hub, "answered already"):
        hub.reply(recipient, msg_id, OK, 9.0)


@pytest.mark.parametrize("msg_id", ["", "no such id", "c1-m99"])
def test_a_reply_to_an_unknown_call_is_a_fault(hub: Hub, sender: Client, msg_id: str) -> None:
    with refused(hub, "no call with the msg-id"):
        hub.reply(sender, msg_id, OK, 9.0)


def test_a_reply_by_another_client_is_a_fault_and_the_call_stays_open(hub: Hub, sender: Client) -> None:
    recipient, thief = join(hub, "a"), join(hub, "a")
    msg_id = str(hub.call(sender, recipient.id, "tag", message("a"), NOW).result)
    for other in thief, sender:
        with refused(hub, "no call with the msg-id"):
            hub.reply(other, msg_id, OK, 9.0)
    assert len(deliveries(hub.reply(recipient, msg_id, OK, NOW).effects, sender)) == 1


@pytest.mark.parametrize(
    "wrong", ["samp.ok", {}, {"samp.status": "samp.ok"}, {"samp.status": "fine"}, {"samp.result": {}}]
)
def test_a_reply_with_what_is_no_response_is_a_fault_and_the_call_stays_open(
    hub: Hub, sender: Client, wrong: Any
) -> None:
    recipient = join(hub, "a")
    msg_id = str(hub.call(sender, recipient.id, "tag", message("a"), NOW).result)
    with refused(hub):
        hub.reply(recipient, msg_id, wrong, 9.0)
    assert len(deliveries(hub.reply(recipient, msg_id, OK, NOW).effects, sender)) == 1


def test_a_reply_to_a_call_whose_sender_waits_no_longer_is_a_fault(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    msg_id = str(hub.call_and_wait(sender, recipient.id, message("a"), NOW).result)
    hub.abandon(msg_id)
    hub.abandon(msg_id)
    with refused(hub, "waits no longer"):
        hub.reply(recipient, msg_id, OK, 9.0)


# ------------------------------------------------------------------ the hub's own answers


def test_the_hub_answers_a_ping(hub: Hub, sender: Client) -> None:
    outcome = hub.call_and_wait(sender, HUB_ID, message("samp.app.ping"), NOW)
    assert outcome.effects == [Answer(str(outcome.result), {"samp.status": "samp.ok", "samp.result": {}})]


def test_the_hub_tells_how_long_each_client_is_registered_and_how_many_messages_it_sent(hub: Hub) -> None:
    early, late = join(hub, "a", now=NOW), join(hub, now=NOW + 5)
    for _ in range(2):
        hub.notify(late, early.id, message("a"), NOW + 6)
    query = hub.call_and_wait(early, HUB_ID, message("hubfarm.query.clients"), NOW + 10)
    [answer] = query.effects
    assert isinstance(answer, Answer)
    assert answer.response["samp.result"] == {  # type: ignore[index]
        "clients": {
            early.id: {"registered": "10.000", "messages": "0", "queued": "2"},
            late.id: {"registered": "5.000", "messages": "2", "queued": "0"},
        },
        "watchers": [],
    }


@pytest.mark.parametrize("prefix", ["", "x-"])
def test_the_hub_finds_clients_by_metadata(hub: Hub, sender: Client, prefix: str) -> None:
    first, second = join(hub, name="ds9"), join(hub, name="ds9")
    join(hub, name="topcat")
    hub.declare_metadata(second, {"samp.name": "ds9", "deep": {"a": "b"}}, NOW)
    for key, value, ids in (
        ("samp.name", "ds9", [first.id, second.id]),
        ("samp.name", "Hub", [HUB_ID]),
        ("samp.name", "sender", [sender.id]),
        ("samp.name", "none", []),
        ("deep", "b", []),
    ):
        query = message(f"{prefix}samp.query.by-meta", key=key, value=value)
        outcome = hub.call_and_wait(sender, HUB_ID, query, NOW)
        [answer] = outcome.effects
        assert isinstance(answer, Answer)
        assert answer.response == {"samp.status": "samp.ok", "samp.result": {"ids": ids}}


@pytest.mark.parametrize("params", [{}, {"key": "a"}, {"value": "a"}, {"key": ["a"], "value": "b"}])
@pytest.mark.parametrize(
    "send", [TARGETED["call"], TARGETED["callAndWait"], BROADCAST["callAll"]], ids=["call", "callAndWait", "callAll"]
)
def test_a_query_without_key_and_value_is_a_fault(hub: Hub, sender: Client, send: Send, params: Any) -> None:
    join(hub, "*")
    with refused(hub, "the parameter"):
        send(hub, sender, HUB_ID, {"samp.mtype": "samp.query.by-meta", "samp.params": params})


def test_the_hub_answers_an_asynchronous_call_in_its_own_name_with_the_tag(hub: Hub, sender: Client) -> None:
    outcome = hub.call(sender, HUB_ID, "tag", message("samp.app.ping"), NOW)
    [back] = deliveries(outcome.effects)
    assert (back.to, back.kind, back.sender, back.tag) == (sender, Kind.RESPONSE, HUB_ID, "tag")
    assert back.payload.value["samp.status"] == "samp.ok"
    assert outcome.result != ""


def test_a_call_to_all_reaches_the_hub_too(hub: Hub, sender: Client) -> None:
    other = join(hub, "samp.app.ping")
    outcome = hub.call_all(sender, "tag", message("samp.app.ping"), NOW)
    assert set(outcome.result) == {HUB_ID, other.id}
    assert [(each.to, each.kind) for each in deliveries(outcome.effects)] == [
        (sender, Kind.RESPONSE),
        (other, Kind.CALL),
    ]


# ------------------------------------------------------------------ events


def test_every_event_tells_its_subscribers_what_happened(hub: Hub) -> None:
    watcher = join(hub, "samp.hub.event.*")

    def told(effects: Any) -> list[tuple[Any, Any]]:
        events = deliveries(effects, watcher)
        assert {(event.kind, event.sender) for event in events} == {(Kind.NOTIFICATION, HUB_ID)}
        return [(event.payload.value["samp.mtype"], event.payload.value["samp.params"]) for event in events]

    registered = hub.register(ANYBODY, NOW)
    client = hub.client_with_key("key-2")
    assert told(registered.effects) == [("samp.hub.event.register", {"id": client.id})]
    assert told(hub.declare_metadata(client, {"samp.name": "x"}, NOW).effects) == [
        ("samp.hub.event.metadata", {"id": client.id, "metadata": {"samp.name": "x"}})
    ]
    assert told(hub.declare_subscriptions(client, {"a.*": {"b": "c"}}, NOW).effects) == [
        ("samp.hub.event.subscriptions", {"id": client.id, "subscriptions": {"a.*": {"b": "c"}}})
    ]
    assert told(hub.unregister(client, NOW).effects) == [("samp.hub.event.unregister", {"id": client.id})]
    assert told(hub.shut_down()) == [("samp.hub.event.shutdown", {})]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_goes_to_those_subscribed_to_it_and_to_nobody_else(hub: Hub, event: str) -> None:
    watcher = join(hub, f"samp.hub.event.{event}")
    join(hub, *(f"samp.hub.event.{other}" for other in EVENTS if other != event))
    effects = [*hub.register(ANYBODY, NOW).effects]
    client = hub.client_with_key("key-3")
    for outcome in (
        hub.declare_metadata(client, {}, NOW),
        hub.declare_subscriptions(client, {}, NOW),
        hub.unregister(client, NOW),
    ):
        effects += outcome.effects
    effects += hub.shut_down()
    assert mtypes_to(effects, watcher) == [f"samp.hub.event.{event}"]


def test_a_client_gets_events_about_itself_too(hub: Hub, sender: Client) -> None:
    subscribed = hub.declare_subscriptions(sender, {"samp.hub.event.*": {}}, NOW)
    assert mtypes_to(subscribed.effects, sender) == ["samp.hub.event.subscriptions"]
    assert mtypes_to(hub.declare_metadata(sender, {}, NOW).effects, sender) == ["samp.hub.event.metadata"]


def test_a_client_that_has_left_gets_nothing_more(hub: Hub, sender: Client) -> None:
    leaver = join(hub, "*")
    assert deliveries(hub.unregister(leaver, NOW).effects, leaver) == []
    assert hub.notify_all(sender, message("a"), NOW).result == []
    assert deliveries(hub.shut_down(), leaver) == []


# ------------------------------------------------------------------ departures


@pytest.mark.parametrize("leave", ["unregister", "throw_out"])
def test_every_sender_that_waits_on_a_client_that_goes_is_answered_at_once(hub: Hub, leave: str) -> None:
    first, second, waiter = join(hub), join(hub), join(hub, url="")
    leaver, stays = join(hub, "a", name="leaver"), join(hub, "a")
    hub.call(first, leaver.id, "one", message("a"), NOW)
    hub.call(second, leaver.id, "two", message("a"), NOW)
    kept = str(hub.call(second, stays.id, "three", message("a"), NOW).result)
    waited = str(hub.call_and_wait(waiter, leaver.id, message("a"), NOW).result)
    effects = hub.unregister(leaver, NOW).effects if leave == "unregister" else hub.throw_out(leaver, "why")
    assert departed(effects) == [leaver]
    back = deliveries(effects)
    assert {(each.to, each.tag) for each in back} == {(first, "one"), (second, "two")}
    [answer] = [effect for effect in effects if isinstance(effect, Answer)]
    assert answer.msg_id == waited
    for response in [answer.response, *(each.payload.value for each in back)]:
        assert response["samp.status"] == "samp.error"
        assert "leaver" in response["samp.error"]["samp.errortxt"]  # type: ignore
    assert len(deliveries(hub.reply(stays, kept, OK, NOW).effects, second)) == 1


def test_a_reply_to_a_sender_that_has_gone_is_a_fault(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    msg_id = str(hub.call(sender, recipient.id, "tag", message("a"), NOW).result)
    assert deliveries(hub.unregister(sender, NOW).effects) == []
    with refused(hub, "its sender has gone"):
        hub.reply(recipient, msg_id, OK, 9.0)


def test_a_synchronous_call_of_a_client_that_goes_is_answered(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    msg_id = str(hub.call_and_wait(sender, recipient.id, message("a"), NOW).result)
    [answer] = [effect for effect in hub.unregister(sender, NOW).effects if isinstance(effect, Answer)]
    assert answer.msg_id == msg_id
    assert answer.response["samp.status"] == "samp.error"


def test_a_client_may_call_itself_and_leave(hub: Hub) -> None:
    client = join(hub, "a")
    hub.call(client, client.id, "tag", message("a"), NOW)
    msg_id = str(hub.call_and_wait(client, client.id, message("a"), NOW).result)
    effects = hub.unregister(client, NOW).effects
    assert [effect.msg_id for effect in effects if isinstance(effect, Answer)] == [msg_id]
    assert deliveries(effects) == []


def test_a_client_that_the_hub_throws_out_is_told_why_if_it_wants_to_know(hub: Hub) -> None:
    told, deaf = join(hub, "samp.hub.disconnect"), join(hub)
    [departure] = [effect for effect in hub.throw_out(told, "too silent") if isinstance(effect, Departure)]
    farewell = departure.farewell
    assert farewell is not None
    assert (farewell.to, farewell.kind, farewell.sender) == (told, Kind.NOTIFICATION, HUB_ID)
    assert farewell.payload.value == message("samp.hub.disconnect", reason="too silent")
    [departure] = [effect for effect in hub.throw_out(deaf, "too silent") if isinstance(effect, Departure)]
    assert departure.farewell is None


def test_a_client_that_cannot_be_reached_gets_no_farewell(hub: Hub) -> None:
    client = join(hub, "samp.hub.disconnect")
    [departure] = [each for each in hub.throw_out(client, "dead", tell=False) if isinstance(each, Departure)]
    assert departure.farewell is None


def test_a_client_that_leaves_of_itself_gets_no_farewell_and_is_gone_once(hub: Hub) -> None:
    client = join(hub, "samp.hub.disconnect")
    [departure] = [each for each in hub.unregister(client, NOW).effects if isinstance(each, Departure)]
    assert departure.farewell is None
    assert hub.throw_out(client, "again") == []


def test_the_queue_of_a_client_that_goes_counts_as_failed(hub: Hub, sender: Client) -> None:
    client = join(hub, "a")
    for _ in range(3):
        hub.notify(sender, client.id, message("a"), NOW)
    hub.unregister(client, NOW)
    assert (hub.counters.queued, hub.counters.queued_bytes, hub.counters.failed) == (0, 0, 3)


# ------------------------------------------------------------------ queues


@every_targeted_send
def test_a_message_to_a_client_with_a_full_queue_is_a_fault(send: Send) -> None:
    hub = make_hub(queue=2)
    sender, recipient = join(hub), join(hub, "a")
    sent = [deliveries(send(hub, sender, recipient.id, message("a")).effects)[0] for _ in range(2)]
    with refused(hub, "is full"):
        send(hub, sender, recipient.id, message("a"))
    hub.delivered(sent[0])
    send(hub, sender, recipient.id, message("a"))


def test_a_full_queue_is_full_in_bytes_too() -> None:
    size = len(encode_value(message("a", text="x" * 100)))
    hub = make_hub(queue_bytes=2 * size)
    sender, recipient = join(hub), join(hub, "a")
    for _ in range(2):
        hub.notify(sender, recipient.id, message("a", text="x" * 100), NOW)
    with refused(hub, "is full"):
        hub.notify(sender, recipient.id, message("a"), NOW)


def test_an_empty_queue_takes_a_message_of_any_size() -> None:
    hub = make_hub(queue_bytes=10)
    sender, recipient = join(hub), join(hub, "a")
    assert len(hub.notify(sender, recipient.id, message("a", text="x" * 100), NOW).effects) == 1


@pytest.mark.parametrize("send", BROADCAST.values(), ids=BROADCAST)
def test_a_broadcast_leaves_out_a_client_with_a_full_queue_and_says_so(send: Send) -> None:
    hub = make_hub(queue=1)
    sender, full, free = join(hub), join(hub, "a", "b"), join(hub, "a")
    hub.notify(sender, full.id, message("b"), NOW)
    outcome = send(hub, sender, "", message("a"))
    assert list(outcome.result) == [free.id]
    assert [effect for effect in outcome.effects if not deliveries([effect])] == [LeftOut(full, "a")]
    assert full.owing == set()


def test_a_reply_to_a_sender_with_a_full_queue_is_a_fault_and_can_be_made_again() -> None:
    hub = make_hub(queue=1)
    sender, recipient = join(hub, "b"), join(hub, "a")
    msg_id = str(hub.call(sender, recipient.id, "tag", message("a"), NOW).result)
    [blocking] = deliveries(hub.notify(recipient, sender.id, message("b"), NOW).effects)
    with refused(hub, "is full"):
        hub.reply(recipient, msg_id, OK, 9.0)
    hub.delivered(blocking)
    assert len(deliveries(hub.reply(recipient, msg_id, OK, NOW).effects, sender)) == 1


def test_the_error_for_a_sender_that_waits_is_delivered_even_to_a_full_queue() -> None:
    hub = make_hub(queue=1)
    sender, recipient = join(hub, "b"), join(hub, "a")
    hub.call(sender, recipient.id, "tag", message("a"), NOW)
    hub.notify(recipient, sender.id, message("b"), NOW)
    assert [each.tag for each in deliveries(hub.unregister(recipient, NOW).effects, sender)] == ["tag"]


# ------------------------------------------------------------------ what became of deliveries


def test_a_call_that_does_not_arrive_is_answered_by_the_hub(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    [call] = deliveries(hub.call(sender, recipient.id, "tag", message("a"), NOW).effects)
    [back] = deliveries(hub.undelivered(call, "HTTP 500"))
    assert (back.to, back.kind, back.sender, back.tag) == (sender, Kind.RESPONSE, recipient.id, "tag")
    assert "HTTP 500" in back.payload.value["samp.error"]["samp.errortxt"]  # type: ignore
    with refused(hub, "answered already"):
        hub.reply(recipient, call.tag, OK, 9.0)


def test_a_synchronous_call_that_does_not_arrive_is_answered_by_the_hub(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    [call] = deliveries(hub.call_and_wait(sender, recipient.id, message("a"), NOW).effects)
    [answer] = hub.undelivered(call, "HTTP 500")
    assert isinstance(answer, Answer)
    assert (answer.msg_id, answer.response["samp.status"]) == (call.tag, "samp.error")


def test_a_call_answered_before_its_delivery_fails_is_not_answered_again(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    [call] = deliveries(hub.call(sender, recipient.id, "tag", message("a"), NOW).effects)
    hub.reply(recipient, call.tag, OK, NOW)
    assert hub.undelivered(call, "no answer") == []


def test_a_notification_or_response_that_does_not_arrive_has_no_consequence(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    [notification] = deliveries(hub.notify(sender, recipient.id, message("a"), NOW).effects)
    assert hub.undelivered(notification, "why") == []
    msg_id = str(hub.call(sender, recipient.id, "tag", message("a"), NOW).result)
    [response] = deliveries(hub.reply(recipient, msg_id, OK, NOW).effects)
    assert hub.undelivered(response, "why") == []


def test_the_counters_say_what_was_accepted_delivered_failed_and_queued(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    sent = [deliveries(hub.notify(sender, recipient.id, message("a"), NOW).effects)[0] for _ in range(3)]
    size = len(sent[0].payload.xml)
    counters = hub.counters
    assert (counters.accepted, counters.queued, counters.queued_bytes, counters.peak) == (3, 3, 3 * size, 3)
    hub.delivered(sent[0])
    hub.undelivered(sent[1], "why")
    assert (counters.delivered, counters.failed, counters.queued, counters.queued_bytes) == (1, 1, 1, size)
    assert (recipient.queued, recipient.queued_bytes, counters.peak) == (1, size, 3)


# ------------------------------------------------------------------ silence and activity


def test_a_silent_client_is_asked_and_thrown_out_if_it_does_not_answer(hub: Hub) -> None:
    client = join(hub, "samp.app.ping", "samp.hub.disconnect")
    assert hub.check_silence(60, 59.0) == []
    [ping] = deliveries(hub.check_silence(60, 60.0))
    assert (ping.to, ping.kind, ping.sender) == (client, Kind.CALL, HUB_ID)
    assert ping.payload.value == message("samp.app.ping")
    assert hub.check_silence(60, 60.0 + PING_GRACE - 1) == []
    effects = hub.check_silence(60, 60.0 + PING_GRACE)
    assert departed(effects) == [client]
    assert list(hub.clients) == []


def test_a_silent_client_that_answers_the_ping_stays(hub: Hub) -> None:
    client = join(hub, "samp.app.ping")
    [ping] = deliveries(hub.check_silence(60, 60.0))
    assert hub.reply(client, ping.tag, {"samp.status": "samp.ok", "samp.result": {}}, 65.0).effects == []
    assert hub.check_silence(60, 60.0 + PING_GRACE) == []
    assert len(deliveries(hub.check_silence(60, 125.0), client)) == 1


def test_any_activity_after_the_ping_counts_as_a_sign_of_life(hub: Hub) -> None:
    client = join(hub, "samp.app.ping")
    hub.check_silence(60, 60.0)
    hub.notify_all(client, message("a"), 65.0)
    assert hub.check_silence(60, 60.0 + PING_GRACE) == []


@pytest.mark.parametrize("client", [{}, {"url": ""}], ids=["not subscribed to ping", "not callable"])
def test_a_silent_client_that_cannot_be_asked_is_thrown_out_at_once(hub: Hub, client: dict[str, str]) -> None:
    silent = join(hub, *(["samp.app.ping"] if client else []), **client)  # type: ignore
    assert departed(hub.check_silence(60, 60.0)) == [silent]


def test_only_the_silent_are_asked(hub: Hub) -> None:
    silent, lively = join(hub, "samp.app.ping"), join(hub, "samp.app.ping", now=50.0)
    effects = hub.check_silence(60, 60.0)
    assert [each.to for each in deliveries(effects)] == [silent]
    assert lively in hub.clients


ACTIVITIES: dict[str, Callable[[Hub, Client], Any]] = {
    "setXmlrpcCallback": lambda hub, client: hub.set_route(client, Push("http://127.0.0.1:9/"), NOW),
    "declareMetadata": lambda hub, client: hub.declare_metadata(client, {}, NOW),
    "declareSubscriptions": lambda hub, client: hub.declare_subscriptions(client, {}, NOW),
    "unregister": lambda hub, client: hub.unregister(client, NOW),
    **{
        name: lambda hub, client, send=send: send(hub, client, HUB_ID, message("samp.app.ping"))  # type: ignore
        for name, send in (TARGETED | BROADCAST).items()
    },
}


@pytest.mark.parametrize("act", ACTIVITIES.values(), ids=ACTIVITIES)
def test_what_a_client_does_is_activity(hub: Hub, sender: Client, act: Callable[[Hub, Client], Any]) -> None:
    act(hub, sender)
    assert (sender.active, hub.last_active) == (NOW, NOW)


def test_registering_and_replying_are_activity(hub: Hub, sender: Client) -> None:
    recipient = join(hub, "a")
    msg_id = str(hub.call(sender, recipient.id, "tag", message("a"), 1.0).result)
    hub.reply(recipient, msg_id, OK, 2.0)
    assert (recipient.active, sender.active, hub.last_active) == (2.0, 1.0, 2.0)
    hub.register(ANYBODY, 3.0)
    assert hub.last_active == 3.0


def test_a_hub_counts_as_used_from_its_beginning() -> None:
    assert Hub(HUB_METADATA, limits=Limits(), new_key=str, now=NOW).last_active == NOW


def test_reading_the_registry_is_no_activity(hub: Hub, sender: Client) -> None:
    before = snapshot(hub)
    hub.get_registered_clients(sender)
    hub.get_subscribed_clients(sender, "a")
    hub.get_metadata(HUB_ID)
    hub.get_subscriptions(sender.id)
    assert snapshot(hub) == before


# ------------------------------------------------------------------ the end


def test_a_hub_that_shuts_down_says_so_and_answers_every_synchronous_call(hub: Hub, sender: Client) -> None:
    watcher, recipient = join(hub, "samp.hub.event.shutdown"), join(hub, "a")
    msg_id = str(hub.call_and_wait(sender, recipient.id, message("a"), NOW).result)
    effects = hub.shut_down()
    assert mtypes_to(effects, watcher) == ["samp.hub.event.shutdown"]
    [answer] = [effect for effect in effects if isinstance(effect, Answer)]
    assert (answer.msg_id, answer.response["samp.status"]) == (msg_id, "samp.error")


def test_a_hub_that_shuts_down_takes_no_more_clients(hub: Hub) -> None:
    hub.shut_down()
    with pytest.raises(Fault, match="shutting down"):
        hub.register(ANYBODY, NOW)
