"""The Standard Profile's adapter: XML-RPC bodies in and out, on a real hub with deliveries that go nowhere."""

import asyncio
from collections.abc import Iterable
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import pytest

from hubfarm.hub.core import Hub
from hubfarm.hub.model import Answer, Delivery, Effect
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.routes import Push
from hubfarm.samp.xmlrpc import PARSE_ERROR, UNKNOWN_METHOD, WRONG_PARAMETERS
from hubfarm.spec.limits import Limits
from hubfarm.wire.http_messages import Response
from tests.hub.hub_support import HUB_METADATA, OK, post, snapshot
from tests.support import PATIENCE, message

SECRET = "10f60b7d8294a8"
URL = "http://127.0.0.1:9/"


class Recorder:
    """Stands where `Deliveries` does: keeps what would be delivered, and hands answers on."""

    def __init__(self, waits: Waits) -> None:
        self.sent: list[Delivery] = []
        self._waits = waits

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Delivery():
                    self.sent.append(effect)
                case Answer():
                    self._waits.answer(effect)


class Bench:
    """A profile on a hub, called as a foreign client would call it."""

    def __init__(self, **limits: int) -> None:
        keys = iter(range(1, 100))
        self.hub = Hub(HUB_METADATA, limits=Limits(**limits), new_key=lambda: f"key-{next(keys)}", now=0.0)
        waits = Waits()
        self.recorder = Recorder(waits)
        self.inside = Inside(self.hub, self.recorder, waits, SECRET, lambda: 1.0)  # type: ignore[arg-type]
        self.profile = StandardProfile(self.inside)

    def start(self, method: str, *params: Any) -> "Response | asyncio.Future[Response]":
        return self.profile.handle(post(dumps(params, f"samp.hub.{method}").encode()))

    def call(self, method: str, *params: Any) -> Any:
        answer = self.start(method, *params)
        assert isinstance(answer, Response)
        return value_of(answer)

    def join(self, *patterns: str) -> tuple[str, str]:
        """Register a callable client; return its key and id."""
        registration = self.call("register", SECRET)
        key = registration["samp.private-key"]
        self.call("setXmlrpcCallback", key, URL)
        self.call("declareSubscriptions", key, {pattern: {} for pattern in patterns})
        return key, registration["samp.self-id"]


def value_of(response: Response) -> Any:
    """What a foreign client makes of a response; a fault is raised."""
    assert (response.status, response.content_type) == (200, b"text/xml")
    return loads(response.body)[0][0]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ------------------------------------------------------------------ every method


def test_ping_needs_no_key(bench: Bench) -> None:
    assert bench.call("ping") == ""


def test_register_returns_key_own_id_and_hub_id(bench: Bench) -> None:
    assert bench.call("register", SECRET) == {
        "samp.private-key": "key-1",
        "samp.self-id": "c1",
        "samp.hub-id": "hub",
    }


def test_a_client_can_declare_and_read_and_leave(bench: Bench) -> None:
    key, client_id = bench.join()
    other, other_id = bench.join("table.*")
    metadata, subscriptions = {"samp.name": "é", "x": {"y": ["z"]}}, {"a.*": {"b": "c"}}
    assert bench.call("declareMetadata", key, metadata) == ""
    assert bench.call("declareSubscriptions", key, subscriptions) == ""
    assert bench.call("getMetadata", other, client_id) == metadata
    assert bench.call("getMetadata", other, "hub") == HUB_METADATA
    assert bench.call("getSubscriptions", other, client_id) == subscriptions
    assert sorted(bench.call("getRegisteredClients", key)) == sorted(["hub", other_id])
    assert bench.call("getSubscribedClients", other, "a.b") == {client_id: {"b": "c"}}
    assert bench.call("unregister", key) == ""
    assert bench.call("getRegisteredClients", other) == ["hub"]


def test_a_callback_url_may_be_set_changed_and_taken_back(bench: Bench) -> None:
    key, _ = bench.join()
    for url in "http://127.0.0.1:1/x", "https://host.example/", "http://vm:39637", "":
        assert bench.call("setXmlrpcCallback", key, url) == ""
        assert bench.hub.client_with_key(key).route == (Push(url) if url else None)


@pytest.mark.parametrize("url", ["ftp://host/", "/path", "http://", "http://host:port/", "http://a b/", "x"])
def test_what_is_no_http_url_is_refused_as_callback(bench: Bench, url: str) -> None:
    key, _ = bench.join()
    with pytest.raises(Fault, match="not an http or https URL"):
        bench.call("setXmlrpcCallback", key, url)
    assert bench.hub.client_with_key(key).route == Push(URL)


def test_notify_and_notify_all_lead_to_deliveries(bench: Bench) -> None:
    key, _ = bench.join()
    _, to = bench.join("a")
    assert bench.call("notify", key, to, message("a", x="1")) == ""
    assert bench.call("notifyAll", key, message("a", x="2")) == [to]
    assert [(sent.to.id, sent.payload.value["samp.params"]) for sent in bench.recorder.sent] == [
        (to, {"x": "1"}),
        (to, {"x": "2"}),
    ]


def test_call_call_all_and_reply_carry_msg_ids_and_tags(bench: Bench) -> None:
    key, sender = bench.join()
    replier, to = bench.join("a")
    msg_id = bench.call("call", key, to, "tag 1", message("a"))
    msg_ids = bench.call("callAll", key, "tag 2", message("a"))
    assert [sent.tag for sent in bench.recorder.sent] == [msg_id, msg_ids[to]]
    for each in msg_id, msg_ids[to]:
        assert bench.call("reply", replier, each, OK) == ""
    assert [(sent.to.id, sent.tag, sent.payload.value) for sent in bench.recorder.sent[2:]] == [
        (sender, "tag 1", OK),
        (sender, "tag 2", OK),
    ]


def test_every_request_is_counted(bench: Bench) -> None:
    bench.call("ping")
    bench.profile.handle(post(b"nonsense"))
    assert bench.profile.requests == 2


# ------------------------------------------------------------------ synchronous calls


def with_waiting_call(timeout: str, then: Any) -> Any:
    """Start a synchronous call, run `then(bench, future, key of the recipient, msg-id)` in its event loop."""

    async def run() -> Any:
        bench = Bench()
        key, _ = bench.join()
        replier, to = bench.join("a")
        future = bench.start("callAndWait", key, to, message("a"), timeout)
        assert isinstance(future, asyncio.Future)
        async with asyncio.timeout(PATIENCE):
            return await then(bench, future, replier, bench.recorder.sent[0].tag)

    return asyncio.run(run())


def is_forgotten(bench: Bench, replier: str, msg_id: str) -> bool:
    """Whether a call waits for no reply any more."""
    with pytest.raises(Fault, match="no call with the msg-id"):
        bench.call("reply", replier, msg_id, OK)
    return all(not client.asked and not client.owing for client in bench.hub.clients)


@pytest.mark.parametrize("timeout", ["0", "-1", "60", "1e3"])
def test_call_and_wait_returns_the_reply(timeout: str) -> None:
    async def then(bench: Bench, future: "asyncio.Future[Response]", replier: str, msg_id: str) -> None:
        assert bench.call("reply", replier, msg_id, OK) == ""
        assert value_of(await future) == OK
        assert is_forgotten(bench, replier, msg_id)

    with_waiting_call(timeout, then)


def test_call_and_wait_is_a_fault_when_its_time_runs_out() -> None:
    async def then(bench: Bench, future: "asyncio.Future[Response]", replier: str, msg_id: str) -> None:
        with pytest.raises(Fault, match=r"not replied within 0\.05 s"):
            value_of(await future)
        assert is_forgotten(bench, replier, msg_id)

    with_waiting_call("0.05", then)


@pytest.mark.parametrize("has_begun", [True, False])
def test_call_and_wait_is_forgotten_when_its_caller_goes_away(has_begun: bool) -> None:
    async def then(bench: Bench, future: "asyncio.Future[Response]", replier: str, msg_id: str) -> None:
        if has_begun:
            await asyncio.sleep(0)
        future.cancel()
        await asyncio.wait([future])
        assert future.cancelled()
        assert is_forgotten(bench, replier, msg_id)

    with_waiting_call("0", then)


@pytest.mark.parametrize("who", ["recipient", "sender"])
def test_call_and_wait_is_answered_when_either_side_leaves(who: str) -> None:
    async def then(bench: Bench, future: "asyncio.Future[Response]", replier: str, _: str) -> None:
        bench.call("unregister", replier if who == "recipient" else "key-1")
        assert value_of(await future)["samp.status"] == "samp.error"

    with_waiting_call("0", then)


def test_call_and_wait_is_answered_by_the_hub_itself() -> None:
    async def run() -> Any:
        bench = Bench()
        key, _ = bench.join()
        future = bench.start("callAndWait", key, "hub", message("samp.app.ping"), "10")
        assert isinstance(future, asyncio.Future)
        return value_of(await future)

    assert asyncio.run(run()) == {"samp.status": "samp.ok", "samp.result": {}}


@pytest.mark.parametrize("timeout", ["", "soon", "1 s", "nan", "inf", "1e10", "9" * 400])
def test_call_and_wait_with_what_is_no_timeout_is_a_fault(bench: Bench, timeout: str) -> None:
    key, _ = bench.join()
    _, to = bench.join("a")
    before = snapshot(bench.hub)
    with pytest.raises(Fault):
        bench.call("callAndWait", key, to, message("a"), timeout)
    assert snapshot(bench.hub) == before


def test_call_and_wait_to_an_unsubscribed_client_is_a_fault_at_once(bench: Bench) -> None:
    key, _ = bench.join()
    _, to = bench.join()
    with pytest.raises(Fault, match="not subscribed"):
        bench.call("callAndWait", key, to, message("a"), "0")


# ------------------------------------------------------------------ what is wrong

RIGHT: dict[str, list[Any]] = {
    "unregister": [],
    "setXmlrpcCallback": [URL],
    "declareMetadata": [{}],
    "getMetadata": ["c2"],
    "declareSubscriptions": [{}],
    "getSubscriptions": ["c2"],
    "getRegisteredClients": [],
    "getSubscribedClients": ["a"],
    "notify": ["c2", message("a")],
    "notifyAll": [message("a")],
    "call": ["c2", "tag", message("a")],
    "callAll": ["tag", message("a")],
    "callAndWait": ["c2", message("a"), "1"],
    "reply": ["c1-m1", OK],
}
"""Every method that takes a private key, with right parameters after it."""

CASES = [(method, place) for method, params in RIGHT.items() for place in range(len(params))]


def fault_of(bench: Bench, method: str, *params: Any) -> Fault:
    """The fault that a call must give; the hub must be as it was."""
    before = snapshot(bench.hub)
    with pytest.raises(Fault) as caught:
        bench.call(method, *params)
    assert snapshot(bench.hub) == before
    assert caught.value.faultString
    return caught.value


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """Two clients; c2 is subscribed to `a` and owes c1 a reply to c1-m1."""
    key, _ = bench.join()
    _, to = bench.join("a")
    assert bench.call("call", key, to, "tag", message("a")) == "c1-m1"
    return bench


@pytest.mark.parametrize("method", RIGHT)
def test_a_wrong_key_is_a_fault(ready: Bench, method: str) -> None:
    for key in "", "key-99", SECRET, "c1":
        assert "register first" in fault_of(ready, method, key, *RIGHT[method]).faultString


@pytest.mark.parametrize("method", RIGHT)
def test_too_few_or_too_many_parameters_are_a_fault_that_names_the_right_ones(ready: Bench, method: str) -> None:
    right = ["key-1", *RIGHT[method]]
    for params in ([], right[:-1], [*right, "more"]):
        fault = fault_of(ready, method, *params)
        assert fault.faultCode == WRONG_PARAMETERS
        assert (
            f"samp.hub.{method} takes {len(right)} parameter{'s' * (len(right) > 1)} (private-key" in fault.faultString
        )


@pytest.mark.parametrize("method", RIGHT)
@pytest.mark.parametrize("key", [[], {}, ["key-1"]])
def test_a_key_that_is_no_string_is_answered_as_an_unknown_one(ready: Bench, method: str, key: Any) -> None:
    unknown = fault_of(ready, method, "key-99", *RIGHT[method])
    assert vars(fault_of(ready, method, key, *RIGHT[method])) == vars(unknown)


@pytest.mark.parametrize(("method", "place"), CASES)
def test_a_parameter_of_the_wrong_type_is_a_fault(ready: Bench, method: str, place: int) -> None:
    right = RIGHT[method]
    wrongs: tuple[Any, ...] = ("text", ["list"]) if isinstance(right[place], dict) else ({"a": "map"}, ["list"])
    for wrong in wrongs:
        fault = fault_of(ready, method, "key-1", *right[:place], wrong, *right[place + 1 :])
        assert fault.faultCode == WRONG_PARAMETERS


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", "sécret", SECRET.upper(), SECRET[:-1]])
def test_a_wrong_secret_is_a_fault_that_does_not_tell_the_right_one(bench: Bench, secret: str) -> None:
    fault = fault_of(bench, "register", secret)
    assert "secret is wrong" in fault.faultString
    assert SECRET not in fault.faultString


@pytest.mark.parametrize("secret", [[SECRET], {}, [], ""])
def test_a_malformed_secret_is_answered_as_a_wrong_one(bench: Bench, secret: Any) -> None:
    assert vars(fault_of(bench, "register", secret)) == vars(fault_of(bench, "register", "wrong"))


@pytest.mark.parametrize("params", [[], [SECRET, SECRET]])
def test_register_takes_one_parameter(bench: Bench, params: list[Any]) -> None:
    assert fault_of(bench, "register", *params).faultCode == WRONG_PARAMETERS


@pytest.mark.parametrize("method", ["nonsense", "Ping", "ping ping", "receiveCall"])
def test_an_unknown_method_is_a_fault(bench: Bench, method: str) -> None:
    fault = fault_of(bench, method)
    assert fault.faultCode == UNKNOWN_METHOD
    assert method in fault.faultString


@pytest.mark.parametrize("method", ["ping", "samp.webhub.ping", "system.listMethods"])
def test_methods_of_other_profiles_are_unknown(bench: Bench, method: str) -> None:
    answer = bench.profile.handle(post(dumps((), method).encode()))
    assert isinstance(answer, Response)
    with pytest.raises(Fault) as caught:
        value_of(answer)
    assert caught.value.faultCode == UNKNOWN_METHOD


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\0\xff", b"<methodCall/>", b"<methodResponse/>"])
def test_a_body_that_is_no_call_is_a_fault(bench: Bench, body: bytes) -> None:
    answer = bench.profile.handle(post(body))
    assert isinstance(answer, Response)
    with pytest.raises(Fault) as caught:
        value_of(answer)
    assert caught.value.faultCode == PARSE_ERROR


@pytest.mark.parametrize(
    ("limit", "metadata"), [({"string": 40}, {"a": "x" * 41}), ({"depth": 3}, {"a": {"b": {"c": []}}})]
)
def test_values_over_the_hubs_limits_are_a_fault(limit: dict[str, int], metadata: Any) -> None:
    bench = Bench(**limit)
    key, _ = bench.join()
    assert fault_of(bench, "declareMetadata", key, metadata).faultCode == PARSE_ERROR


def test_more_clients_than_the_hub_takes_is_a_fault() -> None:
    bench = Bench(clients=1)
    bench.join()
    assert "takes no more" in fault_of(bench, "register", SECRET).faultString
