"""What one client may take of a hub, and all together: each limit, just within it and just over it."""

from typing import Any

import pytest

from hubfarm.hub.core import LONGEST_ANNOTATIONS, LONGEST_NAME, LONGEST_QUESTION, Hub
from hubfarm.hub.model import HUB_ID, Client, LeftOut
from hubfarm.samp.xmlrpc import EncodedMap, encode_value
from hubfarm.spec.principal import Principal
from tests.hub.hub_support import OK, deliveries, join, make_hub, refused
from tests.support import message

NOW = 5.0


def metadata_of(size: int) -> dict[str, Any]:
    """Return metadata that are so long when they are encoded, bytes."""
    return {"k": "x" * (size - len(encode_value({"k": ""})))}


def enter(hub: Hub, who: Principal) -> Client:
    return hub.client_with_key(hub.register(who, NOW).result["samp.private-key"])  # type: ignore


# ---------------------------------------------------------------------- clients of one user


@pytest.mark.parametrize(
    ("who", "named"), [(Principal(user="anna"), "anna"), (Principal(account="anna"), "account:anna")]
)
def test_one_user_has_so_many_clients_until_one_leaves(who: Principal, named: str) -> None:
    hub = make_hub(user_clients=2)
    first, _ = enter(hub, who), enter(hub, who)
    with refused(hub, f"2 clients of {named} are registered"):
        hub.register(who, NOW)
    enter(hub, Principal(user="luigi"))
    for _ in range(3):
        join(hub)
    hub.unregister(first, NOW)
    enter(hub, who)
    with refused(hub):
        hub.register(who, NOW)


# ---------------------------------------------------------------------- what clients declare


def test_metadata_may_be_so_long_and_no_longer() -> None:
    hub = make_hub(declared=200)
    client = join(hub)
    hub.declare_metadata(client, metadata_of(200), NOW)
    with refused(hub, "the metadata of a client is 201 bytes long: 200 at most"):
        hub.declare_metadata(client, metadata_of(201), 9.0)
    with refused(hub, "201 bytes"):
        hub.declare_metadata(client, EncodedMap.of(metadata_of(201)), 9.0)


def test_subscriptions_may_be_so_long_and_no_longer() -> None:
    wanted: dict[str, Any] = {"a": {"b": "c"}}
    size = len(encode_value(wanted))
    hub = make_hub(declared=size)
    client = join(hub)
    hub.declare_subscriptions(client, wanted, NOW)
    with refused(hub, f"the subscriptions of a client is {size + 1} bytes"):
        hub.declare_subscriptions(client, {"ab": {"b": "c"}}, 9.0)


def test_what_all_clients_declare_together_is_counted_as_it_is_replaced_and_as_they_leave() -> None:
    hub = make_hub(declared=1000, total_declared=1000)
    first, second = join(hub), join(hub)
    hub.declare_metadata(first, metadata_of(600), NOW)
    hub.declare_metadata(second, metadata_of(400), NOW)
    for size in (401, 1000):
        with refused(hub, "all clients together are longer than"):
            hub.declare_metadata(second, metadata_of(size), 9.0)
    with refused(hub, "all clients together"):
        hub.declare_subscriptions(second, {"a": {}}, 9.0)
    hub.declare_metadata(first, metadata_of(599), NOW)
    hub.declare_metadata(second, metadata_of(401), NOW)
    hub.unregister(first, NOW)
    hub.declare_metadata(second, metadata_of(999), NOW)


def test_annotations_of_one_subscription_may_be_so_long_and_no_longer() -> None:
    hub = make_hub()
    client = join(hub)
    hub.declare_subscriptions(client, {"a": metadata_of(LONGEST_ANNOTATIONS), "b": {}}, NOW)
    with refused(hub, f"the annotations of b is {LONGEST_ANNOTATIONS + 1} bytes"):
        hub.declare_subscriptions(client, {"a": {}, "b": metadata_of(LONGEST_ANNOTATIONS + 1)}, 9.0)


# ---------------------------------------------------------------------- calls that wait


def test_a_client_has_so_many_calls_that_wait_until_one_is_answered() -> None:
    hub = make_hub(calls=2)
    sender, one, other = join(hub), join(hub, "a"), join(hub, "a")
    msg_id = str(hub.call(sender, one.id, "tag", message("a"), NOW).result)
    hub.call_and_wait(sender, other.id, message("a"), NOW)
    for send in (
        lambda: hub.call(sender, one.id, "tag", message("a"), 9.0),
        lambda: hub.call_and_wait(sender, one.id, message("a"), 9.0),
        lambda: hub.call_all(sender, "tag", message("a"), 9.0),
    ):
        with refused(hub, "2 of your calls wait"):
            send()
    hub.notify(sender, one.id, message("a"), NOW)
    hub.reply(one, msg_id, OK, NOW)
    hub.call(sender, one.id, "tag", message("a"), NOW)


def test_a_client_has_so_many_calls_to_reply_to_and_a_broadcast_leaves_it_out_then() -> None:
    hub = make_hub(calls=2)
    busy, free = join(hub, "a", name="busy"), join(hub, "a")
    msg_id = str(hub.call(join(hub), busy.id, "tag", message("a"), NOW).result)
    hub.call_and_wait(join(hub), busy.id, message("a"), NOW)
    sender = join(hub)
    with refused(hub, r"\(busy\) has 2 calls to reply to"):
        hub.call(sender, busy.id, "tag", message("a"), 9.0)
    with refused(hub, "has 2 calls to reply to"):
        hub.call_and_wait(sender, busy.id, message("a"), 9.0)
    outcome = hub.call_all(sender, "tag", message("a"), NOW)
    assert list(outcome.result) == [free.id]
    assert LeftOut(busy, "a") in outcome.effects
    hub.notify(sender, busy.id, message("a"), NOW)
    hub.reply(busy, msg_id, OK, NOW)
    hub.call(sender, busy.id, "tag", message("a"), NOW)


def test_a_msg_tag_may_be_so_long_and_no_longer() -> None:
    hub = make_hub()
    sender, recipient = join(hub), join(hub, "a")
    longest = "t" * LONGEST_NAME
    hub.call(sender, recipient.id, longest, message("a"), NOW)
    hub.call_all(sender, longest, message("a"), NOW)
    said = f"the msg-tag is {LONGEST_NAME + 1} characters long"
    with refused(hub, said):
        hub.call(sender, recipient.id, longest + "t", message("a"), 9.0)
    with refused(hub, said):
        hub.call_all(sender, longest + "t", message("a"), 9.0)


def test_a_question_to_the_hub_may_be_so_long_and_no_longer() -> None:
    hub = make_hub()
    sender = join(hub)

    def question(size: int) -> EncodedMap:
        empty = len(encode_value(message("samp.app.ping", x="")))
        return EncodedMap.of(message("samp.app.ping", x="x" * (size - empty)))

    hub.call_and_wait(sender, HUB_ID, question(LONGEST_QUESTION), NOW)
    with refused(hub, f"a message to the hub itself is {LONGEST_QUESTION + 1} bytes"):
        hub.call_and_wait(sender, HUB_ID, question(LONGEST_QUESTION + 1), 9.0)


# ---------------------------------------------------------------------- queues


def test_what_waits_for_all_clients_together_is_bounded_in_number() -> None:
    hub = make_hub(queue=10, total_queue=3)
    sender, one, other = join(hub), join(hub, "a"), join(hub, "a")
    sent = [deliveries(hub.notify(sender, one.id, message("a"), NOW).effects)[0] for _ in range(3)]
    with refused(hub, r"the hub's queues are full \(3 messages"):
        hub.notify(sender, other.id, message("a"), 9.0)
    assert hub.notify_all(sender, message("a"), NOW).result == []
    hub.delivered(sent[0])
    hub.notify(sender, other.id, message("a"), NOW)


def test_what_waits_for_all_clients_together_is_bounded_in_bytes() -> None:
    size = len(encode_value(message("a")))
    hub = make_hub(total_queue_bytes=2 * size)
    sender, one, other = join(hub), join(hub, "a"), join(hub, "a")
    hub.notify(sender, one.id, message("a"), NOW)
    hub.notify(sender, other.id, message("a"), NOW)
    with refused(hub, f"the hub's queues are full .2 messages, {2 * size} bytes"):
        hub.notify(sender, one.id, message("a"), 9.0)


def test_empty_queues_take_a_message_that_is_longer_than_all_may_be() -> None:
    hub = make_hub(queue_bytes=10, total_queue_bytes=10)
    sender, one, other = join(hub), join(hub, "a"), join(hub, "a")
    [sent] = deliveries(hub.notify(sender, one.id, message("a"), NOW).effects)
    with refused(hub, "the hub's queues are full"):
        hub.notify(sender, other.id, message("a"), 9.0)
    hub.delivered(sent)
    hub.notify(sender, other.id, message("a"), NOW)
