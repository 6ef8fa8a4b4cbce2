"""One client's membership, with a hub that only writes down what it is asked: in, out, and back again."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from hubfarm.client import membership
from hubfarm.client.callback_server import Callback
from hubfarm.client.calls import HubCalls
from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPNotConnected, SAMPProxyError
from hubfarm.client.membership import Membership
from hubfarm.samp.errors import Fault
from hubfarm.samp.methods import Kind
from hubfarm.samp.toolkit import SAMPClientError, SAMPHubError
from tests.support import in_a_loop

HERE = {"samp.secret": "here", "samp.hub.xmlrpc.url": "http://127.0.0.1:9/here"}
THERE = {"samp.secret": "there", "samp.hub.xmlrpc.url": "http://127.0.0.1:9/there"}


class FakeHub:
    """What `HubCalls` is to a membership."""

    timeout = 10.0
    local_host = "127.0.0.1"

    def __init__(self) -> None:
        self.tokens = HERE
        self.is_open = True
        self.owner: int | None = None
        self.asked: list[tuple[Any, ...]] = []
        self.refuses: dict[str, Exception] = {}
        self.gone: set[str] = set()
        self.clients = self.tries = 0
        self.knows: set[str] = set()

    async def open(self, tokens: dict[str, str], owner: int | None = None) -> None:
        self.tries += 1
        if tokens["samp.secret"] in self.gone:
            raise SAMPHubError("no hub there")
        self.tokens, self.is_open = tokens, True

    def close(self) -> None:
        self.is_open = False

    async def register(self, metadata: Any) -> Any:
        told = await self.call("register", self.tokens["samp.secret"])
        return told if isinstance(told, dict) else {}

    async def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
        self.asked.append((method, *params))
        if method in self.refuses:
            raise self.refuses[method]
        if method == "register":
            self.clients += 1
            self.knows.add(key := f"key-{self.clients}")
            return {"samp.private-key": key, "samp.self-id": f"c{self.clients}", "samp.hub-id": "hub"}
        if params[0] not in self.knows:
            raise SAMPProxyError(1, "unknown key")
        if method == "unregister":
            self.knows.discard(params[0])
        return ""

    def methods(self) -> list[str]:
        """Return what was asked since the last time, by name."""
        asked, self.asked = self.asked, []
        return [method for method, *_ in asked]


def member(hub: FakeHub, receive: Callable[[Callback], None] = lambda callback: None, **more: Any) -> Membership:
    """Return a membership of that hub."""
    return Membership(cast(HubCalls, hub), receive, **more)


def event(mtype: str, key: str) -> Callback:
    """Return a notification from the hub."""
    return Callback(Kind.NOTIFICATION, key, "hub", "", {"samp.mtype": mtype, "samp.params": {}})


async def until(true: Callable[[], bool]) -> None:
    """Let others go on until it is so; the test's own time is the limit."""
    while not true():
        await asyncio.sleep(0.001)


# ---------------------------------------------------------------------- in and out


@in_a_loop
async def test_who_registers_is_called_back_and_says_who_it_is() -> None:
    hub = FakeHub()
    one = member(hub)
    one.metadata, one.subscriptions = {"samp.name": "x"}, {"a.*": {}}
    await one.listen()
    assert hub.methods() == [], "the hub is told once this client is registered"
    await one.register()
    assert (one.is_registered, one.id, one.hub_id) == (True, "c1", "hub")
    assert hub.asked[0] == ("register", "here")
    assert hub.asked[2] == ("declareSubscriptions", "key-1", {"a.*": {}})
    assert hub.methods() == ["register", "setXmlrpcCallback", "declareSubscriptions", "declareMetadata"]
    one.stop_listening()


@in_a_loop
async def test_who_is_not_callable_tells_nothing_but_its_metadata() -> None:
    hub = FakeHub()
    one = member(hub, callable=False)
    one.metadata = {"samp.name": "x"}
    await one.listen()
    await one.register()
    assert hub.methods() == ["register", "declareMetadata"]


@in_a_loop
async def test_who_is_registered_cannot_register_again_and_who_is_not_cannot_call() -> None:
    one = member(FakeHub(), callable=False)
    with pytest.raises(SAMPNotConnected, match=r"^the client is not registered with a hub: connect first$"):
        await one.call("getRegisteredClients")
    await one.register()
    with pytest.raises(SAMPClientError, match="registered already"):
        await one.register()
    await one.unregister()
    assert not one.is_registered
    with pytest.raises(SAMPNotConnected):
        await one.call("getRegisteredClients")


@in_a_loop
async def test_registration_that_fails_half_way_leaves_no_client_behind() -> None:
    hub = FakeHub()
    hub.refuses["declareMetadata"] = SAMPProxyError(1, "no")
    one = member(hub, callable=False)
    one.metadata = {"samp.name": "x"}
    with pytest.raises(SAMPProxyError):
        await one.register()
    assert (one.is_registered, hub.knows) == (False, set())


@in_a_loop
async def test_hub_that_gives_no_key_is_no_hub_to_be_in() -> None:
    hub = FakeHub()

    async def nothing(*_: Any, **__: Any) -> str:
        return ""

    hub.call = nothing  # type: ignore[method-assign,assignment]
    one = member(hub, callable=False)
    with pytest.raises(SAMPClientError, match="no id or no private key"):
        await one.register()
    assert not one.is_registered


# ---------------------------------------------------------------------- what the hub calls


@in_a_loop
async def test_only_who_knows_the_key_is_heard() -> None:
    heard: list[Callback] = []
    one = member(FakeHub(), heard.append, callable=False)
    with pytest.raises(Fault):
        one._take(event("a", ""))  # an empty key is nobody's, also before there is one
    await one.register()
    with pytest.raises(Fault, match="not this client's"):
        one._take(event("a", "key-2"))
    one._take(event("a", one.key))
    assert [callback.content["samp.mtype"] for callback in heard] == ["a"]


# ---------------------------------------------------------------------- back again


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(membership, "CHECK_EVERY", 0.01)


def kept(scenario: Callable[[FakeHub, Membership], Any]) -> None:
    """Run a test of a client that is registered and kept so."""

    @in_a_loop
    async def run() -> None:
        hub = FakeHub()
        one = member(hub, callable=False)
        await one.register()
        await one.keep(Choice(hub_params=THERE))
        try:
            await scenario(hub, one)
        finally:
            one.stop_keeping()

    run()


def test_who_is_forgotten_registers_anew(quick: None) -> None:
    async def scenario(hub: FakeHub, one: Membership) -> None:
        hub.knows.clear()
        await until(lambda: one.key == "key-2")
        assert hub.tokens == HERE

    kept(scenario)


def test_who_is_known_stays_as_it_is(quick: None) -> None:
    async def scenario(hub: FakeHub, one: Membership) -> None:
        hub.methods()
        await until(lambda: len(hub.asked) >= 3)
        assert set(hub.methods()) == {"getSubscriptions"}
        assert one.key == "key-1"

    kept(scenario)


def test_hub_that_came_back_elsewhere_is_found_by_the_choice(quick: None) -> None:
    async def scenario(hub: FakeHub, one: Membership) -> None:
        hub.knows.clear()
        hub.gone.add("here")
        hub.close()
        await until(lambda: one.key == "key-2")
        assert hub.tokens == THERE

    kept(scenario)


def test_hub_that_does_not_come_back_is_looked_for_again_and_again(quick: None) -> None:
    async def scenario(hub: FakeHub, one: Membership) -> None:
        hub.knows.clear()
        hub.gone |= {"here", "there"}
        hub.close()
        await until(lambda: hub.tries >= 6)  # where it was, and where it may be, each time
        assert not hub.is_open
        hub.gone.clear()
        await until(lambda: one.key == "key-2")

    kept(scenario)


def test_who_is_thrown_out_does_not_come_back(quick: None) -> None:
    async def scenario(hub: FakeHub, one: Membership) -> None:
        keeper = one._keeper
        assert keeper is not None
        one._take(event("samp.hub.disconnect", one.key))
        await asyncio.wait([keeper])
        assert not one.is_registered
        assert hub.methods().count("register") == 1

    kept(scenario)


def test_hub_that_announces_its_end_is_looked_at_before_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "CHECK_EVERY", 0.5)

    async def scenario(hub: FakeHub, one: Membership) -> None:
        hub.knows.clear()
        begun = asyncio.get_running_loop().time()
        one._take(event("samp.hub.event.shutdown", one.key))
        await until(lambda: one.key == "key-2")
        assert asyncio.get_running_loop().time() - begun < 0.4

    kept(scenario)
