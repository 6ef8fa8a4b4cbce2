"""A hub that sleeps and wakes at random points behaves as one that never slept: both are asked the same."""

from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError
from tests.support import message, read_lock_file, wait_for

MTYPES = ("test.a", "test.b", "other.c")
PATTERNS = ("test.*", "test.a", "*", "other.c", "samp.hub.event.*")


class Twin:
    """One client, registered with both hubs; it pulls, so that all that it gets is seen in order."""

    def __init__(self, both: "Both") -> None:
        self.both = both
        answers = both.ask("register", *both.secrets)
        self.keys = [each["samp.private-key"] for each in answers]
        self.id = both.same([each["samp.self-id"] for each in answers])
        self.asked: list[list[str]] = []
        """Msg-ids of calls that it has received, of both hubs, and not answered."""
        self.call("allowReverseCallbacks", "1")

    def call(self, method: str, *params: Any) -> Any:
        return self.both.same(self.both.ask(method, *self.keys, params=params))


class Both:
    """The same hub twice, of which one sleeps now and then."""

    def __init__(self, hubs: list[HubInfo]) -> None:
        self.hubs = [ServerProxy(hub.url).samp.hub for hub in hubs]
        self.secrets = [read_lock_file(hub.lock_file)["samp.secret"] for hub in hubs]

    def ask(self, method: str, *keys: str, params: tuple[Any, ...] = ()) -> list[Any]:
        answers = []
        for hub, key in zip(self.hubs, keys, strict=True):
            try:
                answers.append(getattr(hub, method)(key, *params))
            except Fault as fault:
                answers.append(f"fault: {fault.faultString}")
        return answers

    @staticmethod
    def same(answers: list[Any]) -> Any:
        never_slept, slept = answers
        assert slept == never_slept
        return slept


def machine_for(farm: Farm) -> type[RuleBasedStateMachine]:
    """Return the machine whose hubs are of this farm."""

    class Machine(RuleBasedStateMachine):
        clients = Bundle("clients")

        def __init__(self) -> None:
            super().__init__()
            self.hubs = farm.start(count=2, group="twin")
            self.both = Both(self.hubs)
            self.sleepy = self.hubs[1].label

        def teardown(self) -> None:
            farm.stop([hub.label for hub in self.hubs])

        @rule()
        def fall_asleep(self) -> None:
            def asleep() -> bool:
                try:
                    return farm.sleep([self.sleepy])[0].state == "dormant"
                except HubfarmError as error:
                    return "stays awake" not in str(error)

            assert wait_for(asleep, "it sleeps")

        @rule()
        def wake(self) -> None:
            assert farm.wake([self.sleepy])[0].state == "running"

        @rule(target=clients)
        def register(self) -> Twin:
            return Twin(self.both)

        @rule(client=consumes(clients))
        def unregister(self, client: Twin) -> None:
            client.call("unregister")

        @rule(client=clients, name=st.sampled_from(["aladin", "ds9", ""]))
        def declare_metadata(self, client: Twin, name: str) -> None:
            client.call("declareMetadata", {"samp.name": name})

        @rule(client=clients, patterns=st.sets(st.sampled_from(PATTERNS)))
        def declare_subscriptions(self, client: Twin, patterns: set[str]) -> None:
            client.call("declareSubscriptions", {pattern: {} for pattern in patterns})

        @rule(client=clients, other=clients)
        def look(self, client: Twin, other: Twin) -> None:
            client.call("getRegisteredClients")
            client.call("getMetadata", other.id)
            client.call("getSubscriptions", other.id)
            client.call("getSubscribedClients", "test.a")

        @rule(client=clients, other=clients, mtype=st.sampled_from(MTYPES))
        def notify(self, client: Twin, other: Twin, mtype: str) -> None:
            client.call("notify", other.id, message(mtype))

        @rule(client=clients, mtype=st.sampled_from(MTYPES))
        def notify_all(self, client: Twin, mtype: str) -> None:
            client.call("notifyAll", message(mtype))

        @rule(client=clients, other=clients, mtype=st.sampled_from(MTYPES), tag=st.sampled_from(["t1", "t2"]))
        def ask_for_an_answer(self, client: Twin, other: Twin, mtype: str, tag: str) -> None:
            answers = self.both.ask("call", *client.keys, params=(other.id, tag, message(mtype)))
            # Msg-ids differ: a hub that woke counts on from elsewhere.
            Both.same([each.startswith("fault: ") and each for each in answers])

        @rule(client=clients)
        def pull(self, client: Twin) -> None:
            pulled = self.both.ask("pullCallbacks", *client.keys, params=("0",))
            calls = [
                [each["samp.params"][1] for each in one if each["samp.methodName"] == "receiveCall"] for one in pulled
            ]
            client.asked += [list(pair) for pair in zip(*calls, strict=True)]
            Both.same([[without_msg_id(each) for each in one] for one in pulled])

        @rule(client=clients)
        def reply(self, client: Twin) -> None:
            while client.asked:
                answers = [
                    _answer(hub, key, msg_id)
                    for hub, key, msg_id in zip(self.both.hubs, client.keys, client.asked.pop(0), strict=True)
                ]
                Both.same(answers)

    return Machine


def _answer(hub: Any, key: str, msg_id: str) -> Any:
    try:
        return hub.reply(key, msg_id, {"samp.status": "samp.ok", "samp.result": {}})
    except Fault as fault:
        return fault.faultString.replace(msg_id, "MSG-ID")


def without_msg_id(callback: dict[str, Any]) -> dict[str, Any]:
    """Return what a client has pulled, with the msg-id of a call left out."""
    if callback["samp.methodName"] != "receiveCall":
        return callback
    sender, _, *rest = callback["samp.params"]
    return callback | {"samp.params": [sender, *rest]}


@pytest.mark.timeout(300)
def test_hub_that_sleeps_at_random_points_behaves_as_one_that_never_slept(farm: Farm) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine_for(farm),
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
