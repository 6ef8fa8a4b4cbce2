"""Who comes in by which door: the hub remembers it, asks a policy about it, and a door can be shut while it runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xmlrpc.client import Fault, dumps

import msgspec
import pytest

from hubfarm.hub.core import Hub
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.model import Delivery
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.recall import recall
from hubfarm.hub.records import ClientRecord, Record
from hubfarm.hub.routes import Push
from hubfarm.samp import errors
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY, Principal
from tests.hub.hub_support import OK, deliveries, join, make_hub, post
from tests.hub.test_standard_profile import SECRET, Bench, value_of
from tests.support import message

LUIGI = Principal(user="luigi", groups=("mima", "oact"), host="127.0.0.1")


class Side(StandardProfile):
    """Another door, with another name."""

    NAME = "side"
    PREFIX = "samp.sidehub."


class TwoDoors(Bench):
    """A hub with two profiles beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.side = Side(replace(self.inside, secret="another"))

    def by_side(self, method: str, *params: Any) -> Any:
        answer = self.side.handle(post(dumps(params, f"samp.sidehub.{method}").encode(), "192.0.2.1"))
        return value_of(answer)  # type: ignore[arg-type]


def test_clients_of_two_profiles_talk_on_one_hub_and_each_knows_its_own() -> None:
    bench = TwoDoors()
    _, own_id = bench.join("a")
    other = bench.by_side("register", "another")
    assert bench.by_side("notify", other["samp.private-key"], own_id, message("a")) == ""
    assert bench.recorder.sent[0].to.id == own_id
    principals = {client.id: client.principal for client in bench.hub.clients}
    assert (principals[own_id].profile, principals[own_id].host) == ("standard", "")
    side = principals[other["samp.self-id"]]
    assert (side.profile, side.host) == ("side", "192.0.2.1")
    with pytest.raises(Fault, match="unknown method"):
        bench.call("sidehub.ping")


def test_door_that_is_shut_throws_out_its_own_clients_and_takes_no_more_until_it_is_open_again() -> None:
    bench = TwoDoors()
    key, _ = bench.join("samp.hub.disconnect")
    other = bench.by_side("register", "another")
    bench.profile.shut("the standard door is shut")
    assert {client.id for client in bench.hub.clients} == {other["samp.self-id"]}
    with pytest.raises(Fault, match="register first"):
        bench.call("getRegisteredClients", key)
    with pytest.raises(Fault, match="takes no clients by the standard profile now"):
        bench.call("register", SECRET)
    assert bench.by_side("getRegisteredClients", other["samp.private-key"]) == ["hub"]
    bench.profile.open_again()
    bench.join()


# ---------------------------------------------------------------------- who somebody is


def test_hub_remembers_who_a_client_is_and_its_successor_does() -> None:
    ledger = Ledger(noting=True)
    hub = Hub({}, limits=Limits(), new_key=lambda: "key", now=0.0, ledger=ledger)
    hub.register(LUIGI, 0.0)
    records = [msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Record) for record in ledger.take_changes()]
    ((client, *_),) = recall(records, 0.0).clients
    assert client.principal == LUIGI


def test_client_in_a_journal_from_before_there_were_principals_is_anybody() -> None:
    of_an_earlier_release = msgspec.msgpack.encode(["c", "c1", "key", "http://127.0.0.1:9/", b"", {}, 1.0])
    record = msgspec.msgpack.decode(of_an_earlier_release, type=Record)
    assert isinstance(record, ClientRecord)
    assert (record.principal, record.route) == (ANYBODY, "http://127.0.0.1:9/")


# ---------------------------------------------------------------------- what somebody may do


class Strict:
    """Lets only users in, and from mima only what receivers call harmless out."""

    def refusal_to_enter(self, who: Principal) -> str:
        return "" if who.user else "this hub is for users: say who you are"

    def may_send(self, who: Principal, mtype: str, annotations: Mapping[str, object]) -> bool:
        return "mima" not in who.groups or annotations.get("harmless") == "1"


@pytest.fixture
def strict() -> Hub:
    numbers = iter(range(1, 100))
    return Hub({}, limits=Limits(), new_key=lambda: f"key-{next(numbers)}", now=0.0, policy=Strict())


def enter(hub: Hub, user: str, group: str, subscriptions: dict[str, Any]) -> Any:
    outcome = hub.register(Principal(user=user, groups=(group,)), 0.0)
    client = hub.client_with_key(outcome.result["samp.private-key"])  # type: ignore[call-overload, index]
    hub.set_route(client, Push("http://127.0.0.1:9/"), 0.0)
    hub.declare_subscriptions(client, subscriptions, 0.0)
    return client


def test_policy_decides_who_registers(strict: Hub) -> None:
    with pytest.raises(errors.Fault, match="this hub is for users"):
        strict.register(ANYBODY, 0.0)
    assert not strict.clients
    strict.register(LUIGI, 0.0)


def test_policy_decides_what_is_sent_to_whom(strict: Hub) -> None:
    sender, free = enter(strict, "luigi", "mima", {}), enter(strict, "anna", "oact", {})
    harmless = enter(strict, "b", "x", {"a.*": {"harmless": "1"}})
    strict_one = enter(strict, "c", "x", {"a.b": {}, "*": {"harmless": "1"}})
    calls = (
        lambda by, to: strict.notify(by, to.id, message("a.b"), 0.0),
        lambda by, to: strict.call(by, to.id, "tag", message("a.b"), 0.0),
        lambda by, to: strict.call_and_wait(by, to.id, message("a.b"), 0.0),
    )
    for send in calls:
        assert isinstance(send(sender, harmless).effects[0], Delivery)
        assert isinstance(send(free, strict_one).effects[0], Delivery)
        with pytest.raises(errors.Fault, match=r"you may not send a\.b to client c4"):
            send(sender, strict_one)
    assert strict.notify_all(sender, message("a.b"), 0.0).result == [harmless.id]
    assert set(strict.call_all(sender, "tag", message("a.b"), 0.0).result) == {harmless.id}
    assert set(strict.notify_all(free, message("a.b"), 0.0).result) == {harmless.id, strict_one.id}
    with pytest.raises(errors.Fault, match=r"you may not send samp\.app\.ping to the hub"):
        strict.call(sender, "hub", "tag", message("samp.app.ping"), 0.0)


def test_answer_goes_back_whatever_the_policy_says_of_messages(strict: Hub) -> None:
    asker, sender = enter(strict, "anna", "oact", {}), enter(strict, "luigi", "mima", {"a.b": {}})
    msg_id = str(strict.call(asker, sender.id, "tag", message("a.b"), 0.0).result)
    (answer,) = deliveries(strict.reply(sender, msg_id, OK, 0.0).effects)
    assert answer.to is asker


def test_whoever_came_in_may_do_everything_today() -> None:
    hub = make_hub()
    sender, receiver = join(hub), join(hub, "*")
    assert deliveries(hub.notify(sender, receiver.id, message("a"), 0.0).effects, receiver)
    assert receiver.principal == ANYBODY
