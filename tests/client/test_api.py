"""Our client's API is that of astropy's and pyvo's, and does what theirs does."""

import inspect
import subprocess
import sys
import threading
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest

import hubfarm
from hubfarm import (
    SAMP_STATUS_ERROR,
    SAMP_STATUS_OK,
    SAMPClient,
    SAMPClientError,
    SAMPHubError,
    SAMPHubProxy,
    SAMPHubServer,
    SAMPIntegratedClient,
    SAMPMsgReplierWrapper,
    SAMPProxyError,
)
from tests.client.client_support import Inbox, hub, our_threads, pair
from tests.support import PATIENCE, message, need_module, open_files, wait_for

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


# ---------------------------------------------------------------------- the same names


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")
@pytest.mark.parametrize("toolkit", ["astropy.samp", "pyvo.samp"])
@pytest.mark.parametrize("name", ["SAMPHubServer", "SAMPHubProxy", "SAMPClient", "SAMPIntegratedClient"])
def test_every_public_method_has_the_same_parameters_and_defaults(toolkit: str, name: str) -> None:
    theirs, ours = getattr(need_module(toolkit), name), getattr(hubfarm, name)
    methods = [each for each in dir(theirs) if not each.startswith("_") and inspect.isfunction(getattr(theirs, each))]
    for method in [*methods, "__init__"]:
        if method == "get_mtype_subtypes":
            continue  # a helper of theirs, by accident public
        wanted = inspect.signature(getattr(theirs, method)).parameters
        given = inspect.signature(getattr(ours, method)).parameters
        for position, parameter in enumerate(wanted.values()):
            assert parameter.name in given, f"{name}.{method}"
            same = given[parameter.name]
            assert list(given).index(parameter.name) == position
            assert same.kind is parameter.kind
            if (name, method, parameter.name) not in BETTER_DEFAULTS:
                assert same.default == parameter.default, f"{name}.{method}({parameter.name})"


BETTER_DEFAULTS = {("SAMPIntegratedClient", "declare_metadata", "metadata")}


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")
@pytest.mark.parametrize("toolkit", ["astropy.samp", "pyvo.samp"])
def test_constants_and_exceptions_have_the_same_names_and_kinds(toolkit: str) -> None:
    theirs = need_module(toolkit)
    for name in ("SAMP_STATUS_OK", "SAMP_STATUS_WARNING", "SAMP_STATUS_ERROR"):
        assert getattr(hubfarm, name) == getattr(theirs, name)
    assert issubclass(SAMPProxyError, xmlrpc.client.Fault)
    assert issubclass(hubfarm.SAMPWarning, UserWarning)


def test_the_names_of_2008_call_the_methods_of_today(pair: Pair) -> None:
    one, two = pair
    heard = Inbox()
    two.bindReceiveCall("my.call", lambda key, sender, msg_id, *rest: two.ereply(msg_id, SAMP_STATUS_OK, result={}))
    two.bindReceiveNotification("my.notification", heard)
    assert one.isConnected() is True
    assert two.getPublicId() in one.getRegisteredClients()
    assert one.callAndWait(two.getPublicId(), message("my.call"), "10")["samp.status"] == SAMP_STATUS_OK
    one.enotifyAll("my.notification", text="x")
    assert heard.next()[4] == {"text": "x"}
    assert SAMPHubProxy().getRunningHubs().keys() == SAMPHubProxy.get_running_hubs().keys()


# ---------------------------------------------------------------------- messages


def test_callbacks_get_the_parameters_of_astropys(pair: Pair) -> None:
    one, two = pair
    notifications, calls, messages = Inbox(), Inbox(), Inbox()
    two.bind_receive_notification("my.five", lambda key, sender, mtype, params, extra: notifications(key, params))
    two.bind_receive_call("my.six", calls)
    two.bind_receive_message("my.both", lambda key, sender, msg_id, mtype, params, extra: messages(msg_id, extra))
    one.enotify(two.get_public_id(), "my.five", a="1")
    assert notifications.next() == (two.get_private_key(), {"a": "1"})
    msg_id = one.ecall(two.get_public_id(), "tag", "my.six", b="2")
    assert calls.next() == (two.get_private_key(), one.get_public_id(), msg_id, "my.six", {"b": "2"}, {})
    one.enotify_all("my.both", extra_kws={"my.extra": "x"})
    assert messages.next() == (None, {"my.extra": "x"})


def test_a_response_reaches_the_function_bound_to_its_tag(pair: Pair) -> None:
    one, two = pair
    heard = Inbox()
    one.bind_receive_response("tag-7", heard)
    one.ecall_all("tag-7", "samp.app.ping")
    responders = {heard.next()[1] for _ in range(2)}  # the hub answers too
    assert two.get_public_id() in responders


def test_call_and_wait_returns_what_the_recipient_replied(pair: Pair) -> None:
    one, two = pair
    two.bind_receive_call("my.call", lambda key, sender, msg_id, *rest: two.ereply(msg_id, "samp.ok", {"x": "1"}))
    expected = {"samp.status": "samp.ok", "samp.result": {"x": "1"}}
    assert one.ecall_and_wait(two.get_public_id(), "my.call", "10") == expected


def test_numbers_and_truth_travel_as_strings(pair: Pair) -> None:
    one, two = pair
    heard = Inbox()
    two.bind_receive_notification("my.numbers", heard)
    one.enotify_all("my.numbers", row=7, value=1.5, flag=True, rows=(1, 2))
    assert heard.next()[4] == {"row": "7", "value": "1.5", "flag": "1", "rows": ["1", "2"]}


def test_a_fault_is_an_error_with_the_hubs_words(pair: Pair) -> None:
    with pytest.raises(SAMPProxyError) as caught:
        pair[0].get_metadata("nobody")
    assert isinstance(caught.value, xmlrpc.client.Fault)
    assert "nobody" in caught.value.faultString


def test_unbinding_unsubscribes(pair: Pair) -> None:
    one, two = pair
    two.bind_receive_call("my.call", lambda *_: None)
    assert two.get_public_id() in one.get_subscribed_clients("my.call")
    two.unbind_receive_call("my.call")
    assert one.get_subscribed_clients("my.call") == {}


@pytest.mark.parametrize("connected", [False, True], ids=["never connected", "connected"])
@pytest.mark.parametrize("caught", [SAMPClientError, KeyError, AttributeError])
def test_unbinding_what_is_not_bound_raises_what_astropys_callers_catch(
    hub: SAMPHubServer, connected: bool, caught: type[Exception]
) -> None:
    with SAMPIntegratedClient("one") as client:
        if connected:
            client.connect(hub)
        for unbind in (
            client.unbind_receive_call,
            client.unbind_receive_notification,
            client.unbind_receive_response,
        ):
            with pytest.raises(caught, match=r"^nothing is bound to .* 'my\.name'$"):
                unbind("my.name")


def test_what_was_bound_can_be_unbound_without_a_hub(hub: SAMPHubServer) -> None:
    client = SAMPIntegratedClient("one")
    client.bind_receive_message("my.call", lambda *_: None)
    client.bind_receive_response("tag", lambda *_: None)
    client.unbind_receive_call("my.call")
    client.unbind_receive_notification("my.call")
    client.unbind_receive_response("tag")
    with client:
        client.connect(hub)
        assert list(client.get_subscriptions(client.get_public_id())) == ["samp.app.ping"]


def test_the_replier_wrapper_replies_with_the_result_and_with_the_reason(pair: Pair) -> None:
    one, two = pair

    @SAMPMsgReplierWrapper(two)
    def root(private_key: str, sender: str, msg_id: str, mtype: str, params: Any, extra: Any) -> dict[str, str]:
        return {"root": str(float(params["x"]) ** 0.5)}

    two.bind_receive_call("my.root", root)
    assert one.ecall_and_wait(two.get_public_id(), "my.root", 10, x="9")["samp.result"] == {"root": "3.0"}
    answer = one.ecall_and_wait(two.get_public_id(), "my.root", 10, x="nine")
    assert answer["samp.status"] == SAMP_STATUS_ERROR
    assert "nine" in answer["samp.error"]["samp.errortxt"]


def test_proxy_and_client_can_be_used_apart(hub: SAMPHubServer) -> None:
    proxy = SAMPHubProxy()
    proxy.connect(hub)
    client = SAMPClient(proxy, name="apart", metadata={"my.key": "x"})
    client.start()
    client.register()
    assert proxy.get_metadata(client.get_private_key(), client.get_public_id())["samp.name"] == "apart"
    with pytest.raises(SAMPClientError, match="registered already"):
        client.register()
    client.unregister()
    client.stop()
    proxy.disconnect()
    assert (client.is_registered, client.is_running, proxy.is_connected) == (False, False, False)


def test_a_client_that_registers_before_it_is_started_is_called_from_its_start_on(hub: SAMPHubServer) -> None:
    proxy = SAMPHubProxy()
    proxy.connect(hub)
    client, heard = SAMPClient(proxy), Inbox()
    client.bind_receive_notification("my.notification", heard)
    with SAMPIntegratedClient("other") as other:
        other.connect(hub)
        for _ in range(2):
            client.register()
            client.start()
            assert other.enotify_all("my.notification") == [client.get_public_id()]
            heard.next()
            client.unregister()
            client.stop()
    proxy.disconnect()


# ---------------------------------------------------------------------- what theirs lacks


def test_what_a_decorated_function_returns_is_the_reply(pair: Pair) -> None:
    one, two = pair

    @two.on_call("my.double")
    def double(heard: hubfarm.Message) -> dict[str, object]:
        return {"result": 2 * int(heard.params["value"])}

    ok = one.ecall_and_wait(two.get_public_id(), "my.double", 10, value=21)
    assert ok == {"samp.status": "samp.ok", "samp.result": {"result": "42"}}
    failed = one.ecall_and_wait(two.get_public_id(), "my.double", 10, value="x")
    assert failed["samp.status"] == SAMP_STATUS_ERROR
    assert failed["samp.error"]["samp.errortxt"].startswith("ValueError: ")


def test_a_call_that_nothing_is_bound_to_is_answered_with_an_error(pair: Pair) -> None:
    one, two = pair
    two.bind_receive_notification("my.notification", lambda *_: None)
    answer = one.ecall_and_wait(two.get_public_id(), "my.notification", 10)
    assert "nothing is bound" in answer["samp.error"]["samp.errortxt"]


def test_a_callback_may_itself_call_and_wait(pair: Pair) -> None:
    one, two = pair

    @one.on_call("my.inner")
    def inner(heard: hubfarm.Message) -> dict[str, str]:
        return {"deep": "yes"}

    @two.on_call("my.outer")
    def outer(heard: hubfarm.Message) -> Any:
        return two.ecall_and_wait(heard.sender, "my.inner", 10)["samp.result"]

    assert one.ecall_and_wait(two.get_public_id(), "my.outer", 10)["samp.result"] == {"deep": "yes"}


def test_disconnect_from_within_a_callback(hub: SAMPHubServer, pair: Pair) -> None:
    one, two = pair
    gone = threading.Event()

    @two.on_notification("my.end")
    def end(heard: hubfarm.Message) -> None:
        two.disconnect()
        gone.set()

    one.enotify_all("my.end")
    assert gone.wait(PATIENCE)
    assert not two.is_connected


def test_what_was_bound_is_declared_again_after_disconnect_and_connect(hub: SAMPHubServer, pair: Pair) -> None:
    one, two = pair
    heard = Inbox()
    two.bind_receive_notification("my.notification", heard)
    two.disconnect()
    assert not two.is_connected
    two.connect(hub)
    one.enotify_all("my.notification")
    assert heard.next()[3] == "my.notification"


def test_functions_can_be_bound_before_there_is_a_hub(hub: SAMPHubServer) -> None:
    early, other = SAMPIntegratedClient("early"), SAMPIntegratedClient("other")
    heard = Inbox()
    early.bind_receive_notification("my.notification", heard)
    with early, other:
        early.connect(hub)
        other.connect(hub)
        other.enotify_all("my.notification")
        heard.next()


def test_nothing_is_left_after_disconnect(hub: SAMPHubServer) -> None:
    def use() -> None:
        with SAMPIntegratedClient("one") as one:
            one.connect(hub)
            one.ecall_and_wait("hub", "samp.app.ping", 10)
            one.ecall_all("tag", "samp.app.ping")

    use()
    before = open_files()
    use()
    assert our_threads() == ["hubfarm-hub"]
    wait_for(lambda: open_files() <= before, "the hub has closed its ends, too")


def test_without_a_hub_every_method_says_so(home: Path) -> None:
    client = SAMPIntegratedClient()
    with pytest.raises(SAMPHubError, match="no hub runs there"):
        client.connect()
    for caught in (SAMPClientError, SAMPHubError, AttributeError):  # the last is what astropy's raise
        with pytest.raises(caught, match="connect"):
            client.get_registered_clients()
        with pytest.raises(caught, match="connect"):
            client.ping()
        with pytest.raises(caught, match="connect"):
            client.declare_metadata({})
        with pytest.raises(caught, match="connect"):
            client.hub.register("secret")
    client.disconnect()
    assert our_threads() == []


def test_a_hub_that_is_gone_is_an_error_in_time(home: Path) -> None:
    hub = SAMPHubServer(lockfile=str(home / "lock"))
    hub.start()
    with SAMPIntegratedClient() as client:
        client.connect(hub, timeout=2)
        hub.stop()
        with pytest.raises(ConnectionRefusedError, match="does not answer"):
            client.get_registered_clients()


def test_200_clients_in_one_program(hub: SAMPHubServer) -> None:
    clients = [SAMPIntegratedClient(f"client {number}") for number in range(200)]
    heard = Inbox()
    for client in clients:
        client.bind_receive_notification("my.notification", heard)
        client.connect(hub)
    assert our_threads().count("hubfarm-client") == 1
    assert len(clients[0].enotify_all("my.notification")) == 199
    for _ in range(199):
        heard.next()
    for client in clients:
        client.disconnect()
    assert our_threads() == ["hubfarm-hub"]


def test_a_program_that_ends_without_disconnecting_says_goodbye(hub: SAMPHubServer, pair: Pair) -> None:
    heard = Inbox()
    pair[0].bind_receive_notification("samp.hub.event.unregister", heard)
    program = "from hubfarm import *; client = SAMPIntegratedClient('brief'); client.connect(label='mine')"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    heard.next()


def test_clients_work_while_the_callers_thread_runs_an_event_loop(hub: SAMPHubServer) -> None:
    import asyncio

    async def notebook() -> Any:
        with SAMPIntegratedClient() as client:
            client.connect(label="mine")
            return SAMPHubProxy.get_running_hubs(), client.is_connected

    hubs, connected = asyncio.run(notebook())
    assert connected
    assert [tokens["hub.label"] for tokens in hubs.values()] == ["mine"]
