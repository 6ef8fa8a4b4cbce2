"""Slow, stuck and dead clients through a real hub: queues are bounded, nothing is dropped in silence, others go on."""

import socket
from collections.abc import Iterator
from xmlrpc.client import Fault

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.support import Receiver, StuckReceiver, message, wait_for


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    return farm.start(label="h", limits=["queue=5", "total_queue=8"])[0]


@pytest.fixture
def sender(hub: HubInfo) -> Iterator[Receiver]:
    with Receiver() as one:
        yield one.join_by(hub.lock_file, "sender", "samp.hub.event.unregister")


@pytest.fixture
def stuck(hub: HubInfo) -> Iterator[StuckReceiver]:
    with StuckReceiver() as one:
        yield one.join_by(hub.lock_file, "stuck", "test.*")


def fill(sender: Receiver, to: Receiver, messages: int) -> None:
    for number in range(messages):
        sender.hub.notify(sender.key, to.id, message("test.number", n=str(number)))


def numbers(receiver: Receiver, count: int) -> list[int]:
    return [int(receiver.next().params[-1]["samp.params"]["n"]) for _ in range(count)]


def log_of(farm: Farm) -> str:
    return (farm.paths.logs / "h.log").read_text()


def test_full_queue_is_a_fault_to_the_sender_and_what_was_accepted_arrives(
    sender: Receiver, stuck: StuckReceiver
) -> None:
    fill(sender, stuck, 5)
    for send in (
        lambda: sender.hub.notify(sender.key, stuck.id, message("test.number", n="5")),
        lambda: sender.hub.call(sender.key, stuck.id, "tag", message("test.number", n="5")),
        lambda: sender.hub.callAndWait(sender.key, stuck.id, message("test.number", n="5"), "1"),
    ):
        with pytest.raises(Fault, match=r"the queue of client c\d+ \(stuck\) is full \(5 messages"):
            send()
    stuck.gate.set()
    assert numbers(stuck, 5) == [0, 1, 2, 3, 4]
    fill(sender, stuck, 1)
    assert numbers(stuck, 1) == [0]


def test_broadcast_leaves_out_a_client_whose_queue_is_full_and_the_log_names_it(
    farm: Farm, hub: HubInfo, sender: Receiver, stuck: StuckReceiver, receiver: Receiver
) -> None:
    receiver.join_by(hub.lock_file, "quick", "test.*")
    fill(sender, stuck, 5)
    assert sender.hub.notifyAll(sender.key, message("test.number", n="5")) == [receiver.id]
    assert list(sender.hub.callAll(sender.key, "tag", message("test.number", n="6"))) == [receiver.id]
    assert numbers(receiver, 2) == [5, 6]
    assert log_of(farm).count(f"{stuck.id} (stuck): left out of test.number: its queue is full") == 2


def test_all_queues_together_are_bounded(hub: HubInfo, sender: Receiver, stuck: StuckReceiver) -> None:
    with StuckReceiver() as other:
        other.join_by(hub.lock_file, "other", "test.*")
        fill(sender, stuck, 5)
        fill(sender, other, 3)
        with pytest.raises(Fault, match=r"the hub's queues are full \(8 messages"):
            fill(sender, other, 1)
        with StuckReceiver() as third, pytest.raises(Fault, match="the hub's queues are full"):
            fill(sender, third.join_by(hub.lock_file, "third", "test.*"), 1)
        stuck.gate.set()
        assert numbers(stuck, 5) == [0, 1, 2, 3, 4]
        fill(sender, other, 1)


def test_client_that_refuses_connections_for_a_moment_loses_nothing(
    farm: Farm, sender: Receiver, stuck: StuckReceiver
) -> None:
    stuck.gate.set()
    stuck.close_server()
    fill(sender, stuck, 3)
    wait_for(lambda: "trying again" in log_of(farm), "an attempt has failed")
    with Receiver(stuck.port) as again:
        assert numbers(again, 3) == [0, 1, 2]
    assert sender.received.empty()


def test_client_that_goes_on_refusing_is_out_and_everybody_is_told(
    farm: Farm, sender: Receiver, stuck: StuckReceiver
) -> None:
    stuck.gate.set()
    stuck.close_server()
    fill(sender, stuck, 3)
    assert sender.next().params[2] == message("samp.hub.event.unregister", id=stuck.id)
    with pytest.raises(Fault, match="no client has the id"):
        fill(sender, stuck, 1)
    assert f"{stuck.id} (stuck): thrown out: its callback URL cannot be reached" in log_of(farm)
    wait_for(lambda: farm.find("h").queued == 0, "nothing waits for it any more")


def test_client_that_accepts_and_never_answers_holds_one_connection_and_nobody_else(
    hub: HubInfo, sender: Receiver, receiver: Receiver
) -> None:
    with Receiver() as deaf, socket.create_server(("127.0.0.1", 0)) as silence:
        receiver.join_by(hub.lock_file, "quick", "test.*")
        deaf.join_by(hub.lock_file, "deaf", "test.*")
        deaf.hub.setXmlrpcCallback(deaf.key, f"http://127.0.0.1:{silence.getsockname()[1]}/")
        fill(sender, deaf, 5)
        connection, _ = silence.accept()
        with connection:
            for number in range(200):
                sender.hub.notify(sender.key, receiver.id, message("test.number", n=str(number)))
                assert numbers(receiver, 1) == [number]
            port = silence.getsockname()[1]
            assert len([each for each in psutil.Process(hub.pid).net_connections() if each.raddr[1:] == (port,)]) == 1
