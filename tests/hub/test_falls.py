"""Workers that fall: what was under way whenever one did is given up, and nothing else; and a hub that is drained."""

import pytest

from hubfarm.hub.core import MOST_FALLS, UNDER_WAY, Hub
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.model import Answer, Delivery
from hubfarm.hub.recall import recall
from hubfarm.samp.errors import Fault
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY, Principal
from tests.hub.hub_support import HUB_METADATA, deliveries, join
from tests.support import message

NOW = 5.0


class Lives:
    """One hub over several workers: each goes on from what the one before it has noted."""

    def __init__(self) -> None:
        self._keys = (f"key-{number}" for number in range(100))
        self.ledger = Ledger(noting=True)
        self.hub = self._made()
        self._records = list(self.ledger.take_changes())

    def _made(self) -> Hub:
        return Hub(HUB_METADATA, limits=Limits(), new_key=lambda: next(self._keys), now=NOW, ledger=self.ledger)

    def fall(self, *, shortened: bool = False) -> Hub:
        """Let the worker fall; return its successor's hub."""
        self._records += self.ledger.take_changes()
        records = list(self.ledger.snapshot()) if shortened else self._records
        self.ledger = Ledger(noting=True)
        self.ledger.restore(recall(records, NOW))
        self._records = records + self.ledger.take_changes()
        self.hub = self._made()
        return self.hub

    def queue(self, client_id: str) -> list[Delivery]:
        (client,) = [each for each in self.hub.clients if each.id == client_id]
        return self.hub.deliveries_to(client)


@pytest.mark.parametrize("shortened", [False, True])
def test_what_is_in_hand_whenever_a_worker_falls_is_given_up_and_the_rest_is_kept(shortened: bool) -> None:
    lives = Lives()
    sender, receiver = join(lives.hub, url=""), join(lives.hub, "a")
    waits = str(lives.hub.call(join(lives.hub), receiver.id, "tag", message("a"), NOW).result)
    poison, good = lives.hub.deliveries_to(receiver) + deliveries(
        lives.hub.notify(sender, receiver.id, message("a"), NOW).effects
    )
    assert poison.tag == waits
    for fall in range(1, MOST_FALLS + 1):
        hub = lives.fall(shortened=shortened)
        effects = hub.suspect(poison.number)
        given_up = fall == MOST_FALLS
        assert [each.number for each in lives.queue(receiver.id)] == [poison.number] * (not given_up) + [good.number]
        assert bool(effects) is given_up
    [told] = deliveries(effects)
    assert (told.to.id, told.tag) == ("c3", "tag")
    assert f"fell {MOST_FALLS} times while it was under way" in told.payload.value["samp.error"]["samp.errortxt"]  # type: ignore
    assert hub.counters.failed == 1
    assert lives.ledger.suspects == {}


def test_all_that_may_have_been_under_way_is_suspected_if_it_is_not_known_what_was() -> None:
    lives = Lives()
    sender, receiver, other = join(lives.hub), join(lives.hub, "a"), join(lives.hub, "a")
    for _ in range(UNDER_WAY + 2):
        lives.hub.notify(sender, receiver.id, message("a"), NOW)
    lives.hub.notify(sender, other.id, message("a"), NOW)
    for unknown in (0, 999_999):
        lives.fall().suspect(unknown)
    assert len(lives.queue(receiver.id)) == 2
    assert lives.queue(other.id) == []


def test_one_that_was_delivered_after_a_fall_is_suspected_no_more() -> None:
    lives = Lives()
    sender, receiver = join(lives.hub), join(lives.hub, "a")
    first, second = [
        deliveries(lives.hub.notify(sender, receiver.id, message("a"), NOW).effects)[0].number for _ in range(2)
    ]
    hub = lives.fall()
    hub.suspect(first)
    (delivery,) = [each for each in lives.queue(receiver.id) if each.number == first]
    hub.delivered(delivery)
    assert lives.ledger.suspects == {}
    assert lives.fall().suspect(second) == []
    assert [each.number for each in lives.queue(receiver.id)] == [second]
    assert lives.ledger.suspects == {second: 1}


def test_who_fell_with_nothing_under_way_suspects_nothing() -> None:
    lives = Lives()
    join(lives.hub, "a")
    lives.ledger.take_changes()
    assert lives.hub.suspect(0) == []
    assert lives.ledger.take_changes() == []


# ---------------------------------------------------------------------- draining


@pytest.mark.parametrize("shortened", [False, True])
def test_hub_that_is_drained_takes_no_clients_and_is_drained_once_nothing_waits(shortened: bool) -> None:
    lives = Lives()
    sender, receiver = join(lives.hub), join(lives.hub, "a")
    assert not lives.hub.drained, "nothing waits, but nobody asked for it"
    lives.hub.notify(sender, receiver.id, message("a"), NOW)
    lives.hub.drain()
    hub = lives.fall(shortened=shortened)
    assert not hub.drained
    with pytest.raises(Fault, match="shutting down"):
        hub.register(ANYBODY, NOW)
    hub.delivered(lives.queue(receiver.id)[0])
    assert hub.drained


# ---------------------------------------------------------------------- what comes back with the clients


@pytest.mark.parametrize("shortened", [False, True])
def test_counts_and_owners_come_back_with_the_clients(shortened: bool) -> None:
    lives = Lives()
    anna = Principal(user="anna")
    client = lives.hub.client_with_key(lives.hub.register(anna, NOW).result["samp.private-key"])  # type: ignore
    lives.hub.declare_metadata(client, {"samp.name": "x" * 100}, NOW)
    lives.hub.declare_subscriptions(client, {"b": {"x": "y"}}, NOW)
    join(lives.hub, "a", "samp.app.ping", name="other")
    gone = join(lives.hub, "*", name="gone")
    lives.hub.unregister(gone, NOW)
    before = lives.ledger
    lives.fall(shortened=shortened)
    assert (lives.ledger.by_user, lives.ledger.declared) == (before.by_user, before.declared)
    assert [(each.declared, each.subscriptions_size) for each in lives.hub.clients] == [
        (each.declared, each.subscriptions_size) for each in before.clients.values()
    ]
    assert [(each.since, each.active, each.principal) for each in lives.hub.clients] == [
        (NOW, NOW, anna),
        (0.0, NOW, ANYBODY),
    ]


def test_call_of_the_hub_itself_waits_on_in_a_successor_and_one_of_a_sender_that_left_does_not() -> None:
    lives = Lives()
    silent = join(lives.hub, "samp.app.ping", "a", url="http://127.0.0.1:9/")
    leaver = join(lives.hub, now=NOW + 95)
    asked = str(lives.hub.call(leaver, silent.id, "tag", message("a"), NOW + 95).result)
    lives.hub.check_silence(90.0, NOW + 90)
    lives.hub.unregister(leaver, NOW + 96)
    lives.fall(shortened=True)
    [(msg_id, call)] = lives.ledger.pending.items()
    assert (call.sender, call.recipient.id, call.synchronous) == (None, silent.id, False)
    assert msg_id.startswith("hub-m")
    assert msg_id != asked
    assert lives.ledger.clients[silent.id].owing == {msg_id}


def test_synchronous_calls_that_wait_are_answered_when_they_are_given_up_and_others_wait_on() -> None:
    lives = Lives()
    sender, receiver = join(lives.hub), join(lives.hub, "a")
    synchronous = str(lives.hub.call_and_wait(sender, receiver.id, message("a"), NOW).result)
    other = str(lives.hub.call(sender, receiver.id, "tag", message("a"), NOW).result)
    [answer] = lives.hub.give_up_waiting("the hub is being replaced")
    assert isinstance(answer, Answer)
    assert answer.msg_id == synchronous
    assert answer.response["samp.error"] == {"samp.errortxt": "the hub is being replaced"}  # type: ignore[index]
    assert list(lives.ledger.pending) == [other]
