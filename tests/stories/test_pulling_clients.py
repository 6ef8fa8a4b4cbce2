"""Clients that pull, when their hub is killed: what was accepted reaches them, and they go on under their keys."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from xmlrpc.client import ServerProxy

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from tests.client.client_support import Inbox
from tests.support import message, read_lock_file, wait_for


@contextmanager
def puller(lock_file: str, inbox: Inbox) -> Iterator[SAMPIntegratedClient]:
    with SAMPIntegratedClient("puller", callbacks="pull") as client:
        client.connect(lock_file)
        client.bind_receive_notification("test.number", inbox)
        yield client


def hears(inbox: Inbox, number: str) -> None:
    """Wait for a message; what was pulled just before a kill may come again."""
    seen = [inbox.next()[-2]["n"]]
    while seen[-1] != number:
        seen.append(inbox.next()[-2]["n"])
    assert len(set(seen)) <= 2


def fall(farm: Farm) -> None:
    """Kill the hub ``h`` and wait until another process serves."""
    pid = farm.find("h").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [hub for hub in farm.hubs() if hub.state == "running" and hub.pid != pid], "a successor serves")


def test_client_that_pulls_stays_over_a_kill_and_gets_what_comes_after_it(farm: Farm) -> None:
    (hub,) = farm.start(label="h")
    inbox = Inbox()
    with puller(str(hub.lock_file), inbox) as client, SAMPIntegratedClient("sender", callable=False) as sender:
        sender.connect(str(hub.lock_file))
        own_id = client.get_public_id()
        for number in range(3):
            sender.enotify(own_id, "test.number", n=str(number))
            hears(inbox, str(number))
            fall(farm)
        assert client.get_public_id() == own_id
        assert own_id in sender.get_registered_clients()
        sender.enotify(own_id, "test.number", n="last")
        hears(inbox, "last")


def test_what_was_accepted_and_not_pulled_is_there_after_a_kill(farm: Farm) -> None:
    (hub,) = farm.start(label="h")
    tokens = read_lock_file(hub.lock_file)
    with ServerProxy(tokens["samp.hub.xmlrpc.url"]) as proxy:
        keys = [proxy.samp.hub.register(tokens["samp.secret"]) for _ in range(2)]
        (sender, _), (key, own_id) = [(each["samp.private-key"], each["samp.self-id"]) for each in keys]
        proxy.samp.hub.allowReverseCallbacks(key, "1")
        proxy.samp.hub.declareSubscriptions(key, {"test.*": {}})
        for number in range(10):
            proxy.samp.hub.notify(sender, own_id, message("test.number", n=str(number)))
    fall(farm)
    with ServerProxy(tokens["samp.hub.xmlrpc.url"]) as proxy:
        pulled = proxy.samp.hub.pullCallbacks(key, "10")
        assert [each["samp.params"][1]["samp.params"]["n"] for each in pulled] == [str(number) for number in range(10)]
        assert proxy.samp.hub.pullCallbacks(key, "0") == []


def test_hub_that_is_restarted_in_order_lets_pulls_end_and_keeps_who_waits(farm: Farm) -> None:
    (hub,) = farm.start(label="h")
    tokens = read_lock_file(hub.lock_file)
    with ServerProxy(tokens["samp.hub.xmlrpc.url"]) as proxy:
        key = proxy.samp.hub.register(tokens["samp.secret"])["samp.private-key"]
        proxy.samp.hub.allowReverseCallbacks(key, "1")
        pulled: list[object] = []
        waiting = threading.Thread(target=lambda: pulled.append(proxy.samp.hub.pullCallbacks(key, "600")))
        waiting.start()
        farm.restart("h")
        waiting.join(20)
        assert pulled == [[]]
        assert proxy.samp.hub.pullCallbacks(key, "0") == []
