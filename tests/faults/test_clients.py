"""What clients, and strangers, may send or fail to take: the hub serves everybody else meanwhile."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from hubfarm.registry.listing import HubInfo
from tests.faults.conftest import Scene
from tests.stories.test_strangers import POISON, Poisonous, call, members, post
from tests.support import Receiver, StuckReceiver, message, wait_for

_PING = """
import http.client, sys, threading, time
connection = http.client.HTTPConnection(sys.argv[1], timeout=60)
body = "<methodCall><methodName>samp.hub.ping</methodName></methodCall>"
longest, over = [0.0], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
print("begun", flush=True)
while not over.is_set():
    begun = time.perf_counter()
    connection.request("POST", "/xmlrpc", body)
    connection.getresponse().read()
    longest.append(time.perf_counter() - begun)
    time.sleep(0.002)
longest.sort()
print(longest[int(len(longest) * 0.99)], longest[-1])
"""


@contextmanager
def pinging(scene: Scene, hub: HubInfo) -> Iterator[None]:
    """Ping a hub all the time, from a process of its own; the row tells how long the pings took."""
    line = [sys.executable, "-c", _PING, hub.url.split("/")[2]]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        output, _ = process.communicate("", timeout=60)
    most, longest = map(float, output.split())
    scene.figures.remark = f"pings meanwhile: 99 of 100 within {most * 1e3:.0f} ms, the longest {longest * 1e3:.0f} ms"
    assert longest < 5


@pytest.mark.fault("worst document for each limit, from a stranger", "a fault or an HTTP 4xx; others are served")
def test_strangers_worst_documents(scene: Scene) -> None:
    victim = scene.start()
    with pinging(scene, victim):
        for make in POISON.values():
            begun = time.perf_counter()
            status, answer = post(victim.url, call("register", *make()))
            scene.figures.served.append(time.perf_counter() - begun)
            assert status != 200 or b"<fault>" in answer


def _million(key: str) -> bytes:
    params = f"<member><name>samp.params</name><value><struct>{members(999_990)}</struct></value></member>"
    return call("notifyAll", key, f"<struct><member><name>samp.mtype</name><value>a</value></member>{params}</struct>")


def _long(key: str) -> bytes:
    texts = "".join(f"<member><name>{name}</name><value>{'x' * 30_000_000}</value></member>" for name in "ab")
    params = f"<member><name>samp.params</name><value><struct>{texts}</struct></value></member>"
    return call("notifyAll", key, f"<struct><member><name>samp.mtype</name><value>a</value></member>{params}</struct>")


@pytest.mark.fault("a message with a million members", "it is taken and delivered; others are served")
def test_message_with_a_million_members(scene: Scene, receiver: Receiver) -> None:
    _deliver(scene, receiver, _million)


@pytest.mark.fault("a message of 60 MB", "the same")
def test_message_of_60_mb(scene: Scene, receiver: Receiver) -> None:
    _deliver(scene, receiver, _long)


def _deliver(scene: Scene, receiver: Receiver, write: Callable[[str], bytes]) -> None:
    victim = scene.start()
    receiver.join_by(victim.lock_file, "receiver", "a")
    with Receiver() as sender:
        body = write(sender.join_by(victim.lock_file, "sender").key)
    with pinging(scene, victim):
        begun = time.perf_counter()
        assert post(victim.url, body)[0] == 200
        scene.figures.served.append(time.perf_counter() - begun)
        assert receiver.received.get(timeout=100).params[2]["samp.mtype"] == "a"


@pytest.mark.fault("client that answers its deliveries with poison", "it counts as a fault; others are served")
def test_poisonous_answers(scene: Scene, receiver: Receiver) -> None:
    victim = scene.start()
    receiver.join_by(victim.lock_file, "sender", "a")
    with Poisonous() as poisonous:
        value = f"<value><struct>{members(20_000)}</struct></value>"
        poisonous.answer = f"<methodResponse><fault>{value}</fault></methodResponse>".encode()
        poisonous.join_by(victim.lock_file, "poisonous", "a")
        with pinging(scene, victim):
            for _ in range(20):
                receiver.hub.call(receiver.key, poisonous.id, "tag", message("a"))
            for _ in range(20):
                assert receiver.next().params[3]["samp.status"] == "samp.error"


@pytest.mark.fault("clients stopped by SIGSTOP that are sent large messages", "they hold their queues, and nobody else")
def test_stopped_clients(scene: Scene, receiver: Receiver) -> None:
    victim = scene.start()
    assert victim.pid is not None
    receiver.join_by(victim.lock_file, "sender", "a")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = []
        for _ in range(8):
            with Receiver() as one:
                one.join_by(victim.lock_file, "deaf", "b")
                one.hub.setXmlrpcCallback(one.key, f"http://127.0.0.1:{deaf.getsockname()[1]}/")
                silent.append(one.key)
        with pinging(scene, victim):
            for _ in range(4):
                receiver.hub.notifyAll(receiver.key, message("b", text="x" * 15 * 2**20))
        held = psutil.Process(victim.pid).memory_info().rss
        scene.figures.remark += f"; the hub holds {held / 2**20:.0f} MiB"
        assert held < 350 * 2**20
        for key in silent:
            receiver.hub.unregister(key)
        wait_for(lambda: scene.farm.find(victim.label).queued == 0, "nothing waits for them any more")


@pytest.mark.fault("a delivery that makes the worker hang", "given up after the second time, and its sender told")
@pytest.mark.usefixtures("can_be_stuck")
def test_delivery_that_brings_the_worker_down(impatient: float, scene: Scene, receiver: Receiver) -> None:
    victim = scene.start()
    receiver.join_by(victim.lock_file, "sender", "a")
    with StuckReceiver() as stuck:
        stuck.join_by(victim.lock_file, "stuck", "b")
        receiver.hub.call(receiver.key, stuck.id, "tag", message("b"))
        for _ in range(2):
            assert receiver.received.empty()
            now = scene.farm.find(victim.label).pid
            assert now is not None
            scene.lose(victim, lambda pid=now: os.kill(pid, signal.SIGRTMIN))  # type: ignore[misc]
        assert "the hub fell 2 times" in receiver.next().params[3]["samp.error"]["samp.errortxt"]


@pytest.mark.long
@pytest.mark.fault("a worker that hangs again and again", "tried with growing pauses, then `failed`")
def test_worker_that_hangs_again_and_again_is_given_up(impatient: float, scene: Scene) -> None:
    victim = scene.start()
    over = threading.Event()
    begun = time.perf_counter()
    while not over.is_set():
        for hub in scene.farm.hubs():
            if hub.label == victim.label and hub.pid is not None and hub.state == "running":
                os.kill(hub.pid, signal.SIGSTOP)
            if hub.label == victim.label and hub.state == "failed":
                assert "fell of itself 10 times" in hub.problem
                over.set()
        time.sleep(0.05)
        assert time.perf_counter() - begun < 600
    scene.figures.noticed.append(time.perf_counter() - begun)
    scene.hubs.remove(victim)
    (again,) = scene.farm.start(label=victim.label)
    scene.farm.stop([again.label])
