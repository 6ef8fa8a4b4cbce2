"""The pure hub, driven at random by Hypothesis and compared with a model that a reader can check.

The model knows nothing of the hub's indexes and counters: it keeps the clients, what they are
subscribed to, the calls that wait, and each client's queue, as plain Python data.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from hubfarm.hub.core import PING_GRACE
from hubfarm.hub.model import HUB_ID, Answer, Client, Delivery, Departure, Effect, Kind, LeftOut, Rerouted
from hubfarm.hub.routes import Pull, Push, Route
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_value
from hubfarm.spec.principal import ANYBODY, Principal
from tests.hub.hub_support import OK, make_hub
from tests.strategies import tried
from tests.support import message

MTYPES = ["a", "a.b", "a.b.c", "b", "samp.app.ping"]
PATTERNS = [*MTYPES, "*", "a.*", "a.b.*", "samp.hub.event.*", "samp.hub.event.unregister", "samp.hub.disconnect"]
QUEUE = 4
SILENCE = 100.0
HARMLESS = "samp.mostly-harmless"
ROUTES: list[Route | None] = [Push("http://127.0.0.1:9/"), Push("http://127.0.0.1:9/"), Pull(), None]
subscriptions = st.dictionaries(
    st.sampled_from(PATTERNS), st.sampled_from([{}, {}, {HARMLESS: "0"}, {HARMLESS: "1"}]), max_size=4
).map(lambda chosen: {pattern: {"by": pattern, **said} for pattern, said in chosen.items()})


def matches(pattern: str, mtype: str) -> bool:
    """The standard's words, with none of our code."""
    return pattern in ("*", mtype) or (pattern.endswith(".*") and mtype.startswith(pattern[:-1]))


@dataclass(eq=False)
class Known:
    """What the model knows of one client."""

    client: Client
    callable: bool = True
    subscriptions: dict[str, Any] = field(default_factory=dict)
    queue: list[Delivery] = field(default_factory=list)
    active: float = 0.0
    pinged: float | None = None

    @property
    def id(self) -> str:
        return self.client.id

    def wants(self, mtype: str) -> bool:
        return self.callable and any(matches(pattern, mtype) for pattern in self.subscriptions)

    def annotations(self, mtype: str) -> dict[str, Any]:
        fitting = [pattern for pattern in self.subscriptions if matches(pattern, mtype)]
        return self.subscriptions[mtype if mtype in fitting else max(fitting, key=len)]

    def takes(self, mtype: str, sender: "Known") -> bool:
        """It is subscribed, and the sender may send it: a page what does no harm."""
        if not self.wants(mtype):
            return False
        said = self.annotations(mtype).get(HARMLESS)
        return not sender.client.is_page or said == "1" or (said is None and mtype.startswith("samp.app."))


@dataclass(eq=False)
class Asked:
    """A call that waits for its answer."""

    msg_id: str
    sender: Known | None
    recipient: Known
    tag: str
    synchronous: bool

    @property
    def can_be_told(self) -> bool:
        """The sender can get a response by its callback."""
        return not self.synchronous and self.sender is not None and self.sender.callable


class HubMachine(RuleBasedStateMachine):
    """Every rule does the same to the hub and to the model, and compares what came of it."""

    clients: Bundle[Known] = Bundle("clients")
    msg_ids: Bundle[str] = Bundle("msg_ids")

    def __init__(self) -> None:
        super().__init__()
        self.hub = make_hub(queue=QUEUE, clients=6)
        self.now = 0.0
        self.here: dict[str, Known] = {}
        self.used_ids = {HUB_ID}
        self.used_msg_ids: set[str] = set()
        self.waiting: dict[str, Asked] = {}
        self.accepted = self.delivered = self.failed = self.last_tag = 0

    # -------------------------------------------------------------- what follows from an outcome

    def absorb(self, effects: list[Effect]) -> None:
        """Take effects into the model; each is checked as it comes."""
        for effect in effects:
            match effect:
                case Delivery():
                    self.queue(effect)
                case Answer(msg_id, response):
                    asked = self.waiting.pop(msg_id)
                    assert asked.synchronous
                    assert response["samp.status"] in ("samp.ok", "samp.error")
                case Departure(client):
                    self.failed += len(self.here.pop(client.id).queue)
                    self.strike_out_what_nobody_will_hear_of(client)
                case LeftOut(client, mtype):
                    assert self.here[client.id].wants(mtype)
                    assert len(self.here[client.id].queue) >= QUEUE

    def queue(self, delivery: Delivery) -> None:
        to = self.here.get(delivery.to.id)
        assert to is not None, "a delivery to a client that has gone"
        assert to.client is delivery.to
        assert to.callable
        if delivery.kind is Kind.CALL:
            assert delivery.tag not in self.used_msg_ids
            self.used_msg_ids.add(delivery.tag)
        if delivery.kind is Kind.RESPONSE and delivery.sender != HUB_ID:
            [answered] = [
                asked
                for asked in self.waiting.values()
                if (asked.sender, asked.recipient.id, asked.tag) == (to, delivery.sender, delivery.tag)
            ]
            assert not answered.synchronous
            del self.waiting[answered.msg_id]
        if delivery.kind is not Kind.RESPONSE:
            assert to.wants(str(delivery.payload.value["samp.mtype"]))
        to.queue.append(delivery)

    def strike_out_what_nobody_will_hear_of(self, gone: Client) -> None:
        """Asynchronous calls that `gone` sent, or that it owes to a sender that cannot be told."""
        for asked in list(self.waiting.values()):
            if not asked.synchronous and (
                (asked.sender is not None and asked.sender.client is gone)
                or (asked.recipient.client is gone and not asked.can_be_told)
            ):
                del self.waiting[asked.msg_id]

    def new_tag(self) -> str:
        """A tag that tells calls of one sender and one recipient apart."""
        self.last_tag += 1
        return f"tag-{self.last_tag}"

    def act(self, known: Known) -> None:
        self.now += 1.0
        known.active, known.pinged = self.now, None

    # -------------------------------------------------------------- clients

    @initialize(target=clients, wanted=st.tuples(subscriptions, subscriptions, st.just({"*": {"by": "*"}})))
    def begin(self, wanted: tuple[dict[str, Any], ...]) -> Any:
        return multiple(*(self.join(ROUTES[0], False, each) for each in wanted))

    @rule(target=clients, route=st.sampled_from(ROUTES), page=st.booleans(), wanted=subscriptions)
    def join(self, route: Route | None, page: bool, wanted: dict[str, Any]) -> Any:
        self.now += 1.0
        if len(self.here) == 6:
            with pytest.raises(Fault):
                self.hub.register(ANYBODY, self.now)
            return multiple()
        outcome = self.hub.register(Principal(profile="web") if page else ANYBODY, self.now)
        registration: Any = outcome.result
        assert registration["samp.self-id"] not in self.used_ids
        self.used_ids.add(registration["samp.self-id"])
        known = Known(self.hub.client_with_key(registration["samp.private-key"]))
        self.absorb(outcome.effects)
        self.here[known.id] = known
        self.become_callable(known, route)
        self.subscribe(known, wanted)
        return known

    @rule(known=clients, route=st.sampled_from(ROUTES))
    def become_callable(self, known: Known, route: Route | None) -> None:
        if known.id in self.here:
            self.act(known)
            known.callable = route is not None
            assert self.hub.set_route(known.client, route, self.now).effects == [Rerouted(known.client)]

    @rule(known=clients, wanted=subscriptions)
    def subscribe(self, known: Known, wanted: dict[str, Any]) -> None:
        if known.id in self.here:
            self.act(known)
            known.subscriptions = wanted
            self.absorb(self.hub.declare_subscriptions(known.client, wanted, self.now).effects)

    @precondition(lambda self: len(self.here) > 2)
    @rule(known=consumes(clients), how=st.sampled_from(["unregister", "throw_out", "unreachable"]))
    def leave(self, known: Known, how: str) -> None:
        if known.id not in self.here:
            return
        self.now += 1.0
        if how == "unregister":
            effects = self.hub.unregister(known.client, self.now).effects
        else:
            effects = self.hub.throw_out(known.client, how, tell=how == "throw_out")
        self.absorb(effects)
        assert known.id not in self.here

    @rule(passed=st.sampled_from([1.0] * 6 + [PING_GRACE, SILENCE]))
    def check_silence(self, passed: float) -> None:
        self.now += passed
        late = [known for known in self.here.values() if self.now - known.active >= SILENCE]
        asked = [known for known in late if known.pinged is None and known.wants("samp.app.ping")]
        out = [
            known
            for known in late
            if known not in asked and (known.pinged is None or self.now - known.pinged >= PING_GRACE)
        ]
        effects = self.hub.check_silence(SILENCE, self.now)
        pings = [each for each in effects if isinstance(each, Delivery) and each.kind is Kind.CALL]
        assert [ping.to for ping in pings] == [known.client for known in asked]
        assert {each.client for each in effects if isinstance(each, Departure)} == {known.client for known in out}
        for known, ping in zip(asked, pings, strict=True):
            known.pinged = self.now
            self.waiting[ping.tag] = Asked(ping.tag, None, known, "", False)
        self.absorb(effects)

    # -------------------------------------------------------------- messages

    def broadcast_to(self, sender: Known, mtype: str) -> list[str]:
        """Who a broadcast must reach."""
        to = [known.id for known in self.here.values() if known is not sender and known.takes(mtype, sender)]
        return [each for each in to if len(self.here[each].queue) < QUEUE]

    @rule(
        sender=clients,
        recipient=clients,
        mtype=st.sampled_from(MTYPES),
        pattern=st.sampled_from(["notify", "call", "call_and_wait"]),
    )
    def send(self, sender: Known, recipient: Known, mtype: str, pattern: str) -> None:
        if sender.id not in self.here:
            return
        takes = recipient.id in self.here and recipient.takes(mtype, sender)
        possible = takes and len(recipient.queue) < QUEUE
        method, tag = getattr(self.hub, pattern), self.new_tag()
        arguments = (sender.client, recipient.id, *([tag] if pattern == "call" else []), message(mtype), self.now + 1.0)
        if not possible:
            with pytest.raises(Fault):
                method(*arguments)
            return
        self.act(sender)
        outcome = method(*arguments)
        [delivery] = outcome.effects
        assert delivery.to is recipient.client
        if pattern != "notify":
            assert outcome.result == delivery.tag
            self.waiting[delivery.tag] = Asked(delivery.tag, sender, recipient, tag, pattern == "call_and_wait")
        self.absorb(outcome.effects)
        self.accepted += 1

    @rule(sender=clients, mtype=st.sampled_from(MTYPES))
    def notify_all(self, sender: Known, mtype: str) -> None:
        if sender.id not in self.here:
            return
        expected = self.broadcast_to(sender, mtype)
        self.act(sender)
        outcome = self.hub.notify_all(sender.client, message(mtype), self.now)
        assert isinstance(outcome.result, list)
        own = [HUB_ID] if mtype == "samp.app.ping" else []
        assert sorted(map(str, outcome.result)) == sorted(expected + own)
        self.absorb(outcome.effects)
        self.accepted += 1

    @rule(sender=clients, mtype=st.sampled_from(MTYPES))
    def call_all(self, sender: Known, mtype: str) -> None:
        if sender.id not in self.here:
            return
        own, tag = mtype == "samp.app.ping", self.new_tag()
        if own and sender.callable and len(sender.queue) >= QUEUE:
            with pytest.raises(Fault):
                self.hub.call_all(sender.client, tag, message(mtype), self.now + 1.0)
            return
        expected = self.broadcast_to(sender, mtype)
        self.act(sender)
        outcome = self.hub.call_all(sender.client, tag, message(mtype), self.now)
        result: Any = outcome.result
        assert set(result) == {*expected, *([HUB_ID] if own else [])}
        for recipient_id, msg_id in result.items():
            if recipient_id != HUB_ID:
                self.waiting[msg_id] = Asked(msg_id, sender, self.here[recipient_id], tag, False)
        self.absorb(outcome.effects)
        self.accepted += 1

    # -------------------------------------------------------------- answers

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), right=st.sampled_from([True, True, True, False]))
    def reply(self, data: st.DataObject, right: bool) -> None:
        asked = data.draw(st.sampled_from(list(self.waiting.values())), label="asked")
        others = [known for known in self.here.values() if known is not asked.recipient]
        replier = asked.recipient if right or not others else data.draw(st.sampled_from(others), label="replier")
        back = asked.sender if asked.can_be_told else None
        if replier is not asked.recipient or (back is not None and len(back.queue) >= QUEUE):
            with pytest.raises(Fault):
                self.hub.reply(replier.client, asked.msg_id, OK, self.now + 1.0)
            return
        self.act(replier)
        outcome = self.hub.reply(replier.client, asked.msg_id, OK, self.now)
        assert len(outcome.effects) == (asked.synchronous or back is not None)
        if not outcome.effects:
            del self.waiting[asked.msg_id]
        self.absorb(outcome.effects)
        assert asked.msg_id not in self.waiting
        with pytest.raises(Fault):
            self.hub.reply(replier.client, asked.msg_id, OK, self.now)

    @precondition(lambda self: any(asked.synchronous for asked in self.waiting.values()))
    @rule(data=st.data())
    def stop_waiting(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from([each for each in self.waiting.values() if each.synchronous]))
        self.hub.abandon(asked.msg_id)
        del self.waiting[asked.msg_id]

    # -------------------------------------------------------------- what becomes of deliveries

    @rule(known=clients)
    def deliver(self, known: Known) -> None:
        if known.id in self.here and known.queue:
            self.hub.delivered(known.queue.pop(0))
            self.delivered += 1

    @rule(known=clients)
    def lose(self, known: Known) -> None:
        if known.id not in self.here or not known.queue:
            return
        delivery = known.queue.pop(0)
        effects = self.hub.undelivered(delivery, "lost")
        self.failed += 1
        asked = self.waiting.get(delivery.tag) if delivery.kind is Kind.CALL else None
        if asked is None:
            assert effects == []
            return
        assert len(effects) == (asked.synchronous or asked.can_be_told)
        if not effects:
            del self.waiting[asked.msg_id]
        self.absorb(effects)
        assert asked.msg_id not in self.waiting

    # -------------------------------------------------------------- what always holds

    @invariant()
    def counters_agree_with_the_queues(self) -> None:
        counters = self.hub.counters
        queued = [delivery for known in self.here.values() for delivery in known.queue]
        assert counters.queued == len(queued)
        assert counters.queued_bytes == sum(len(delivery.payload.xml) for delivery in queued)
        assert counters.peak >= counters.queued
        assert (counters.accepted, counters.delivered) == (self.accepted, self.delivered)
        assert counters.failed == self.failed
        for known in self.here.values():
            assert known.client.queued == len(known.queue)
            assert known.client.queued_bytes == sum(len(delivery.payload.xml) for delivery in known.queue)

    @invariant()
    def the_clients_are_those_that_came_and_have_not_left(self) -> None:
        assert {client.id for client in self.hub.clients} == set(self.here)
        for known in self.here.values():
            assert self.hub.client_with_key(known.client.key) is known.client
            others = {HUB_ID, *self.here} - {known.id}
            assert set(decode_value(self.hub.get_registered_clients(known.client).xml)) == others

    @invariant()
    def subscribed_clients_follow_from_the_subscriptions(self) -> None:
        for asker in list(self.here.values())[-1:]:
            for mtype in MTYPES:
                expected: dict[str, Any] = {HUB_ID: {}} if mtype == "samp.app.ping" else {}
                for known in self.here.values():
                    assert self.hub.get_subscriptions(known.id) == known.subscriptions
                    if known is not asker and known.takes(mtype, asker):
                        expected[known.id] = known.annotations(mtype)
                assert self.hub.get_subscribed_clients(asker.client, mtype) == expected

    @invariant()
    def nobody_waits_for_a_client_that_has_gone(self) -> None:
        for asked in self.waiting.values():
            assert asked.recipient.id in self.here
            assert asked.sender is None or asked.sender.id in self.here

    @invariant()
    def the_calls_that_wait_are_those_not_answered(self) -> None:
        for known in self.here.values():
            sent = {asked.msg_id for asked in self.waiting.values() if asked.sender is known}
            owed = {asked.msg_id for asked in self.waiting.values() if asked.recipient is known}
            assert (known.client.asked, known.client.owing) == (sent, owed)

    def teardown(self) -> None:
        """At the end every synchronous call that waits is answered, and no client twice."""
        self.absorb(self.hub.shut_down())
        assert not any(asked.synchronous for asked in self.waiting.values())


HubMachine.TestCase.settings = tried(200, stateful_step_count=50)
TestHubMachine = HubMachine.TestCase
