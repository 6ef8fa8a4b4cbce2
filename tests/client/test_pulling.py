"""Clients of ours that pull: they are as callable as those that listen, and open no port."""

import asyncio
from typing import Any, Literal

import psutil
import pytest

from hubfarm import AsyncClient, Message, SAMPHubServer, SAMPIntegratedClient, WrongUse
from hubfarm.client.calls import HubCalls
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.puller import callback_of
from hubfarm.hub.routes import Pull
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.toolkit import SAMP_HUB_MULTIPLE_INSTANCE
from tests.client.client_support import Inbox, hub
from tests.client.test_aio import run

__all__ = ["hub"]


def listening_ports() -> set[int]:
    """Return the ports of this process on which somebody can call it."""
    return {each.laddr.port for each in psutil.Process().net_connections("tcp") if each.status == psutil.CONN_LISTEN}


def test_it_is_called_and_answered_and_listens_nowhere(hub: SAMPHubServer) -> None:
    async def main() -> Any:
        puller = AsyncClient("puller", callbacks="pull", hub=hub)

        @puller.on_call("my.double")
        async def double(message: Message) -> dict[str, object]:
            return {"result": 2 * int(str(message.params["value"]))}

        before = listening_ports()
        async with puller, AsyncClient("asker", callbacks="pull", hub=hub) as asker:
            assert listening_ports() == before
            heard: asyncio.Queue[Any] = asyncio.Queue()
            asker.on_response("tag")(lambda responder, response: heard.put_nowait((responder, response)))
            by_wait = await asker.ecall_and_wait(str(puller.id), "my.double", 10, value=21)
            await asker.ecall(str(puller.id), "tag", "my.double", value=4)
            responder, response = await heard.get()
            assert responder == puller.id
            return by_wait["samp.result"], response["samp.result"]

    assert run(main()) == ({"result": "42"}, {"result": "8"})


def test_synchronous_client_pulls_too(hub: SAMPHubServer) -> None:
    inbox = Inbox()
    with SAMPIntegratedClient("one", callbacks="pull") as one, SAMPIntegratedClient("two") as two:
        one.connect(hub)
        one.bind_receive_notification("my.number", inbox)
        two.connect(hub)
        two.enotify_all("my.number", n="1")
        assert inbox.next()[-2] == {"n": "1"}
        assert two.ecall_and_wait(one.get_public_id(), "samp.app.ping", "10")["samp.status"] == "samp.ok"


def test_hub_proxy_pulls_as_astropys_does(hub: SAMPHubServer) -> None:
    with SAMPIntegratedClient("sender") as sender:
        sender.connect(hub)
        proxy = sender.hub
        key = proxy.register(hub.params["samp.secret"])["samp.private-key"]
        proxy.allow_reverse_callbacks(key, True)
        proxy.declare_subscriptions(key, {"my.number": {}})
        assert proxy.pull_callbacks(key, 0) == []
        sender.enotify_all("my.number", n="1")
        (pulled,) = proxy.pull_callbacks(key, 10)
        assert pulled["samp.methodName"] == "receiveNotification"
        assert pulled["samp.params"][1]["samp.params"] == {"n": "1"}
        proxy.unregister(key)


def test_large_messages_are_pulled_in_a_thread(hub: SAMPHubServer) -> None:
    async def main() -> int:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        async with AsyncClient("puller", callbacks="pull", hub=hub) as puller, AsyncClient("sender", hub=hub) as sender:
            puller.on_notification("my.text")(heard.put_nowait)
            await puller.declare_subscriptions()
            await sender.enotify(str(puller.id), "my.text", text="x" * 3_000_000)
            return len(str((await heard.get()).params["text"]))

    assert run(main()) == 3_000_000


def test_other_words_than_push_and_pull_are_refused() -> None:
    with pytest.raises(WrongUse, match="'push' or 'pull'"):
        AsyncClient("x", callbacks="poll")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="'push' or 'pull'"):
        SAMPIntegratedClient("x", callbacks="")  # type: ignore[arg-type]


def test_its_route_is_pull(hub: SAMPHubServer) -> None:
    async def main() -> None:
        async with AsyncClient("puller", callbacks="pull", hub=hub) as puller:
            runner = hub._runner
            assert runner is not None
            (client,) = [each for each in runner._hub._hub.clients if each.id == puller.id]
            assert client.route == Pull()

    run(main())


NOTIFIED = {"samp.methodName": "receiveNotification", "samp.params": ["c1", {"samp.mtype": "a"}]}


@pytest.mark.parametrize(
    "pulled",
    [
        "text", [], {}, NOTIFIED | {"samp.methodName": "receive"}, NOTIFIED | {"samp.methodName": ["x"]},
        NOTIFIED | {"samp.params": []}, NOTIFIED | {"samp.params": "x"}, NOTIFIED | {"samp.params": ["c1", "x"]},
        NOTIFIED | {"samp.params": [{}, {}]}, NOTIFIED | {"samp.params": ["c1", "x", {}]},
    ],
)  # fmt: skip
def test_what_is_no_callback_is_refused(pulled: Any) -> None:
    with pytest.raises((BadValue, Fault)):
        callback_of(pulled, "key")


def test_prefix_before_the_method_is_taken() -> None:
    for prefix in "", "samp.webclient.", "samp.client.":
        called = NOTIFIED | {"samp.methodName": f"{prefix}receiveNotification"}
        assert callback_of(called, "key").sender == "c1"  # type: ignore[arg-type]


@pytest.mark.parametrize("callbacks", ["auto", "push", "pull"])
@pytest.mark.parametrize("tls", [False, True])
def test_whether_it_pulls_is_for_the_hubs_place_to_say_unless_it_is_told(
    paths: Paths, tls: bool, callbacks: Literal["auto", "push", "pull"]
) -> None:
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, tls=tls) as server:
        before = listening_ports()
        with SAMPIntegratedClient(callbacks=callbacks) as client:
            client.connect(server)
            pulls = listening_ports() == before
            assert pulls == (tls if callbacks == "auto" else callbacks == "pull")
            assert client.ecall_and_wait(str(client.get_public_id()), "samp.app.ping", 10)["samp.status"] == "samp.ok"


def test_hub_that_knows_no_pulling_is_told_where_to_call(hub: SAMPHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HubCalls, "is_afar", property(lambda calls: True))
    calls = hub._runner._hub._profile._calls  # type: ignore[union-attr]
    monkeypatch.delitem(calls, "samp.hub.allowReverseCallbacks")
    before = listening_ports()
    with SAMPIntegratedClient() as client:
        client.connect(hub)
        assert len(listening_ports() - before) == 1
        assert client.ecall_and_wait(str(client.get_public_id()), "samp.app.ping", 10)["samp.status"] == "samp.ok"
    with SAMPIntegratedClient(callbacks="pull") as client, pytest.raises(SAMPProxyError, match="unknown method"):
        client.connect(hub)
