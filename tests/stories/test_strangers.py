"""What anybody on the host, and any client, can send to a real hub: it is answered, and the hub's worker lives on."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, dumps

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.support import PATIENCE, Receiver, StuckReceiver, message, wait_for

LONG = 10 * PATIENCE
"""What the largest documents take with a slow machine's plain reader, seconds."""


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    return farm.start(label="h")[0]


@pytest.fixture
def client(hub: HubInfo) -> Iterator[Receiver]:
    with Receiver() as one:
        yield one.join_by(hub.lock_file, "one", "test.*")


def post(url: str, body: bytes) -> tuple[int, bytes]:
    connection = HTTPConnection(url.split("/")[2], timeout=LONG)
    try:
        connection.request("POST", "/xmlrpc", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def lives_on(farm: Farm, hub: HubInfo) -> bool:
    now = farm.find("h")
    with Receiver() as other:
        other.join_by(now.lock_file)
    return now.pid == hub.pid


def members(count: int) -> str:
    return "".join(f"<member><name>{number:x}</name><value/></member>" for number in range(count))


def call(method: str, *params: str) -> bytes:
    inner = "".join(f"<param><value>{param}</value></param>" for param in params)
    return f"<methodCall><methodName>samp.hub.{method}</methodName><params>{inner}</params></methodCall>".encode()


POISON: dict[str, Callable[[], list[str]]] = {
    "a number that is none": lambda: [f"<double>{'1' * 60_000}x</double>"],
    "numbers that are none": lambda: [f"<double>{'1' * 4000}x</double>"] * 15,
    "a million members": lambda: [f"<struct>{members(999_990)}</struct>"],
    "a long string": lambda: ["x" * 30 * 2**20],
    "a long URL": lambda: ["http://127.0.0.1:1/" + "x" * 30 * 2**20],
    "a long MType": lambda: ["a." * 200_000 + "a"],
    "many lists": lambda: [f"<array><data>{'<value><array><data/></array></value>' * 400_000}</data></array>"],
    "a deep list": lambda: ["<array><data><value>" * 500_000],
    "references": lambda: ["&#97;" * 4_000_000],
    "white space": lambda: [" " * 30 * 2**20 + "<int>1</int>"],
}


@pytest.mark.parametrize("poison", POISON)
def test_stranger_is_answered_and_the_worker_lives_on(farm: Farm, hub: HubInfo, poison: str) -> None:
    body = call("register", *POISON[poison]())
    for _ in range(3):
        status, answer = post(hub.url, body)
        assert status in (200, 413)
        assert status != 200 or b"<fault>" in answer
    assert lives_on(farm, hub)


METHODS = {
    "declareMetadata": 0,
    "declareSubscriptions": 0,
    "getSubscribedClients": 0,
    "getMetadata": 0,
    "setXmlrpcCallback": 0,
    "notifyAll": 0,
    "reply": 1,
    "callAndWait": 2,
}
"""Methods, and how many strings stand before what is poisonous."""


@pytest.mark.parametrize("poison", POISON)
def test_client_is_answered_and_the_worker_lives_on(farm: Farm, hub: HubInfo, client: Receiver, poison: str) -> None:
    for method, strings in METHODS.items():
        status, answer = post(hub.url, call(method, client.key, *["x"] * strings, *POISON[poison]()))
        assert (status, b"<methodResponse>" in answer) == (200, True)
    assert lives_on(farm, hub)


def test_a_message_with_a_million_members_arrives(farm: Farm, hub: HubInfo, client: Receiver) -> None:
    with Receiver() as sender:
        sender.join_by(hub.lock_file)
        whole = (
            "<struct><member><name>samp.mtype</name><value>test.large</value></member>"
            f"<member><name>samp.params</name><value><struct>{members(999_990)}</struct></value></member></struct>"
        )
        status, answer = post(hub.url, call("notifyAll", sender.key, whole))
        assert status == 200
        assert client.id.encode() in answer
        assert len(client.received.get(timeout=LONG).params[2]["samp.params"]) == 999_990
    assert lives_on(farm, hub)


def test_long_request_is_read_on_only_if_it_begins_with_a_client_s_key(hub: HubInfo, client: Receiver) -> None:
    long = message("test.long", text="x" * 2**20)
    for key in ("", "wrong", hub.label):
        status, answer = post(hub.url, dumps((key, client.id, long), "samp.hub.notify").encode())
        assert status == 200
        assert b"has to begin with its method and a private key" in answer
    with socket.create_connection(("127.0.0.1", int(hub.url.split(":")[2].split("/")[0]))) as endless:
        endless.sendall(b"POST /xmlrpc HTTP/1.1\r\nContent-Length: 60000000\r\n\r\n" + b" " * 2**20)
        assert b"has to begin" in endless.recv(65536)
    assert post(hub.url, dumps((client.key, client.id, long), "samp.hub.notify").encode())[0] == 200
    assert client.next().params[2] == long


class Poisonous(Receiver):
    """A client that answers each delivery with bytes of the test's choosing."""

    answer = b""

    def __init__(self) -> None:
        super().__init__()
        self._server.RequestHandlerClass = type(
            "Handler", (self._server.RequestHandlerClass,), {"do_POST": lambda handler: self._do(handler)}
        )

    def _do(self, handler: Any) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.wfile.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(self.answer) + self.answer
        )


ANSWERS = {
    "a number that is none": "<double>%s</double>" % ("1" * 500_000 + "x"),
    "a long string": "x" * 2**21,
    "many members": f"<struct>{members(20_000)}</struct>",
}


@pytest.mark.parametrize("poison", ANSWERS)
def test_client_s_answers_are_read_within_limits(farm: Farm, hub: HubInfo, client: Receiver, poison: str) -> None:
    with Poisonous() as other:
        other.answer = (
            f"<?xml version='1.0'?><methodResponse><fault><value>{ANSWERS[poison]}</value></fault></methodResponse>"
        ).encode()
        other.join_by(hub.lock_file, "other", "test.*")
        for _ in range(3):
            client.hub.call(client.key, other.id, "tag", message("test.call"))
            assert client.next().params[3]["samp.status"] == "samp.error"
    assert lives_on(farm, hub)


# ---------------------------------------------------------------------- what clients make a hub hold


def test_clients_that_never_read_hold_no_more_than_their_queues_and_nothing_when_they_are_out(farm: Farm) -> None:
    hub = farm.start(label="h", client_timeout=3)[0]
    assert hub.pid is not None
    process = psutil.Process(hub.pid)

    def connections() -> int:
        return sum(each.raddr[1:] == (port,) for each in process.net_connections())

    with Receiver() as sender, socket.create_server(("127.0.0.1", 0)) as deaf:
        sender.join_by(hub.lock_file, "sender")
        port = deaf.getsockname()[1]
        for _ in range(8):
            with Receiver() as one:
                one.join_by(hub.lock_file, "deaf", "test.*")
                one.hub.setXmlrpcCallback(one.key, f"http://127.0.0.1:{port}/")
        for _ in range(4):
            sender.hub.notifyAll(sender.key, message("test.large", text="x" * 15 * 2**20))
        wait_for(lambda: connections() == 8, "the hub has connected to them")
        assert process.memory_info().rss < 350 * 2**20  # four messages of 15 MB, and not thirty-two

        def is_alone() -> bool:
            sender.hub.notifyAll(sender.key, message("sign.of.life"))
            return bool(sender.hub.getRegisteredClients(sender.key) == ["hub"])

        wait_for(is_alone, "the silent ones are thrown out")
        wait_for(lambda: connections() == 0, "their connections are gone")
        wait_for(lambda: farm.find("h").queued == 0, "nothing waits for them")
        assert list(farm.paths.journals.glob("*.message-*")) == []


def test_answers_that_nobody_takes_hold_up_the_requests_behind_them(farm: Farm, hub: HubInfo, client: Receiver) -> None:
    assert hub.pid is not None
    client.hub.declareMetadata(client.key, {"x": "y" * 1_000_000})
    body = dumps((client.key, client.id), "samp.hub.getMetadata").encode()
    request = b"POST /xmlrpc HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", int(hub.url.split(":")[2].split("/")[0]))) as greedy:
        greedy.sendall(request * 600)
        for _ in range(20):
            client.hub.ping()
        assert psutil.Process(hub.pid).memory_info().rss < 150 * 2**20
    assert lives_on(farm, hub)


def test_metadata_and_subscriptions_are_bounded_for_one_client_and_for_all(farm: Farm) -> None:
    hub = farm.start(label="h", limits=["declared=1000", "total_declared=2500"])[0]
    with Receiver() as one, Receiver() as other, Receiver() as third:
        for each in (one, other, third):
            each.join_by(hub.lock_file)
        with pytest.raises(Fault, match="1000 at most"):
            one.hub.declareMetadata(one.key, {"x": "y" * 1000})
        with pytest.raises(Fault, match="1000 at most"):
            one.hub.declareSubscriptions(one.key, {f"a.b{number}": {} for number in range(50)})
        one.hub.declareMetadata(one.key, {"x": "y" * 800})
        other.hub.declareMetadata(other.key, {"x": "y" * 800})
        with pytest.raises(Fault, match="of all clients together"):
            third.hub.declareMetadata(third.key, {"x": "y" * 800})
        one.hub.declareMetadata(one.key, {"x": "y"})  # what is declared anew counts instead of what was
        third.hub.declareMetadata(third.key, {"x": "y" * 800})


def test_names_that_clients_give_are_bounded(hub: HubInfo, client: Receiver) -> None:
    with pytest.raises(Fault, match="255 at most"):
        client.hub.declareSubscriptions(client.key, {"a" * 256: {}})
    with pytest.raises(Fault, match="255 at most"):
        client.hub.getSubscribedClients(client.key, "a" * 256)
    with pytest.raises(Fault, match="1024 at most"):
        client.hub.callAll(client.key, "t" * 1025, message("test.call"))
    with pytest.raises(Fault, match="longer than 2048"):
        client.hub.setXmlrpcCallback(client.key, "http://127.0.0.1/" + "x" * 2048)
    with pytest.raises(Fault, match="4096 at most"):
        client.hub.declareSubscriptions(client.key, {"a": {"x": "y" * 4096}})


def test_calls_that_wait_for_their_reply_are_bounded_for_who_asks_and_for_who_has_to_answer(farm: Farm) -> None:
    hub = farm.start(label="h", limits=["calls=3"])[0]
    with Receiver() as asker, Receiver() as other, Receiver() as busy:
        for each, name in ((asker, "asker"), (other, "other"), (busy, "busy")):
            each.join_by(hub.lock_file, name, "test.*")
        for _ in range(3):
            asker.hub.call(asker.key, busy.id, "tag", message("test.call"))
        with pytest.raises(Fault, match="3 of your calls wait"):
            asker.hub.call(asker.key, other.id, "tag", message("test.call"))
        with pytest.raises(Fault, match=r"client c\d+ \(busy\) has 3 calls to reply to"):
            other.hub.call(other.key, busy.id, "tag", message("test.call"))
        calls = [busy.next() for _ in range(3)]
        busy.hub.reply(busy.key, calls[0].params[2], {"samp.status": "samp.ok", "samp.result": {}})
        other.hub.call(other.key, busy.id, "tag", message("test.call"))


# ---------------------------------------------------------------------- large messages, and what brings a worker down


def test_large_message_outlives_the_worker_in_a_file_of_its_own(farm: Farm, hub: HubInfo, client: Receiver) -> None:
    assert hub.pid is not None
    with StuckReceiver() as stuck, StuckReceiver() as other:
        stuck.join_by(hub.lock_file, "stuck", "test.*")
        other.join_by(hub.lock_file, "other", "test.*")
        sent = message("test.large", text="x" * 2**20, more=["y", {"z": "é"}])
        client.hub.notifyAll(client.key, sent)
        client.hub.notify(client.key, stuck.id, message("test.small"))
        [file] = farm.paths.journals.glob("*.message-*")
        assert file.stat().st_mode & 0o777 == 0o600
        bring_down(farm, signal.SIGKILL)
        assert file.exists()
        stuck.gate.set()
        heard = [stuck.next().params[2] for _ in range(2)]
        if heard[1] == sent:  # it was under way when the worker fell, and came again
            heard[1] = stuck.next().params[2]
        assert heard == [sent, message("test.small")]
        assert file.exists()
        other.gate.set()
        assert other.next().params[2] == sent
        wait_for(lambda: not file.exists(), "the file of a message that has arrived is gone")


def test_no_file_is_left_of_a_large_message_that_nobody_gets(farm: Farm, hub: HubInfo, client: Receiver) -> None:
    large = message("test.large", text="x" * 2**20)
    with pytest.raises(Fault, match="no client has the id"):
        client.hub.notify(client.key, "c99", large)
    assert client.hub.notifyAll(client.key, message("nobody.wants", text="x" * 2**20)) == []
    client.hub.callAndWait(client.key, "hub", message("samp.app.ping"), "1")
    assert list(farm.paths.journals.glob("*.message-*")) == []


def bring_down(farm: Farm, how: signal.Signals) -> None:
    """Kill the hub's worker, or let it hang, and wait until it is replaced."""
    before = farm.find("h").pid
    assert before is not None
    os.kill(before, how)
    wait_for(lambda: [hub for hub in farm.hubs() if hub.pid not in (before, None)], "the worker is replaced")


def test_delivery_that_was_under_way_whenever_the_hub_fell_is_given_up_and_its_sender_told(
    farm: Farm, hub: HubInfo, client: Receiver
) -> None:
    with StuckReceiver() as stuck, Receiver() as other:
        stuck.join_by(hub.lock_file, "stuck", "test.*")
        other.join_by(hub.lock_file, "other", "test.*")
        client.hub.call(client.key, stuck.id, "tag", message("test.call"))
        bring_down(farm, signal.SIGSTOP)
        client.hub.notify(client.key, other.id, message("test.between"))
        assert other.next().params[2]["samp.mtype"] == "test.between"
        assert client.received.empty()
        bring_down(farm, signal.SIGSTOP)
        method, (_, responder, tag, response) = client.next()
        assert (method, responder, tag) == ("samp.client.receiveResponse", stuck.id, "tag")
        assert "the hub fell 2 times" in response["samp.error"]["samp.errortxt"]
        stuck.gate.set()
        client.hub.notify(client.key, stuck.id, message("test.after"))
        while stuck.next().params[-1] != message("test.after"):
            pass  # it gets the call from each worker that fell


def test_deliveries_are_not_suspected_of_kills_from_outside(farm: Farm, hub: HubInfo, client: Receiver) -> None:
    with StuckReceiver() as stuck:
        stuck.join_by(hub.lock_file, "stuck", "test.*")
        client.hub.call(client.key, stuck.id, "tag", message("test.call"))
        for _ in range(4):
            bring_down(farm, signal.SIGKILL)
        stuck.gate.set()
        assert stuck.next().params[-1] == message("test.call")
        assert client.received.empty()


def test_program_with_a_client_goes_on_whatever_is_sent_to_its_callback_port(hub: HubInfo) -> None:
    from hubfarm import SAMPIntegratedClient

    with SAMPIntegratedClient("one") as one:
        one.connect(hub.lock_file)
        assert one.client._membership is not None
        url = one.client._membership._url
        done = threading.Event()
        for poison in POISON.values():
            body = call("x", *poison()).replace(b"samp.hub.x", b"samp.client.receiveNotification")
            status, answer = post(url, body)
            assert status == 200
            assert b"<fault>" in answer
        one.on_notification("test.*")(lambda message: done.set())
        one.declare_subscriptions()
        with Receiver() as sender:
            sender.join_by(Path(hub.lock_file))
            sender.hub.notifyAll(sender.key, message("test.done"))
        assert done.wait(PATIENCE)
