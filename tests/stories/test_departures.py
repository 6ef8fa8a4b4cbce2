"""Whoever waits on a client that leaves, is thrown out or dies, is told so at once: real processes, real sockets."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from xmlrpc.client import ServerProxy

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.support import Receiver, message, wait_for

CLIENT = """
import sys
from pathlib import Path
from tests.support import Receiver
one = Receiver().join_by(Path(sys.argv[1]), "mortal", "test.*")
print(one.id, one.key, flush=True)
while True:
    print(one.received.get().method, flush=True)
"""


class Mortal:
    """A client in a process of its own."""

    def __init__(self, hub: HubInfo) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(hub.lock_file)], stdout=subprocess.PIPE, text=True
        )
        self.id, self.key = self._line().split()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def has_got(self, calls: int) -> None:
        """Wait until so many calls have arrived, none of which it answers."""
        assert [self._line() for _ in range(calls)] == ["samp.client.receiveCall\n"] * calls

    def die(self) -> None:
        self._process.kill()

    def __enter__(self) -> "Mortal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    """A hub that throws out whoever is silent for two seconds."""
    return farm.start(label="h", client_timeout=2)[0]


@pytest.fixture
def sender(hub: HubInfo) -> Iterator[Receiver]:
    with Receiver() as one:
        yield one.join_by(hub.lock_file, "sender", "samp.app.ping", "samp.hub.event.unregister")


def unregister(client: Mortal, sender: Receiver) -> None:
    sender.hub.unregister(client.key)


def die(client: Mortal, sender: Receiver) -> None:
    client.die()


def be_silent(client: Mortal, sender: Receiver) -> None:
    """Do nothing: it is the hub that ends it."""


@pytest.mark.parametrize("depart", [unregister, die, be_silent])
def test_everybody_who_waits_on_a_client_that_departs_gets_an_error_that_names_it(
    hub: HubInfo, sender: Receiver, depart: Callable[[Mortal, Receiver], None]
) -> None:
    returned: list[Any] = []

    def wait(client: Mortal) -> None:
        with ServerProxy(hub.url) as proxy:
            samp: Any = proxy.samp.hub
            returned.append(samp.callAndWait(sender.key, client.id, message("test.wait"), "0"))

    def is_told() -> bool:
        sender.hub.declareMetadata(sender.key, {"samp.name": "sender"})  # it is not silent
        return len(returned) == 3

    with Mortal(hub) as client:
        for number in range(3):
            sender.hub.call(sender.key, client.id, f"tag-{number}", message("test.call"))
        waiting = [threading.Thread(target=wait, args=(client,)) for _ in range(3)]
        for each in waiting:
            each.start()
        client.has_got(calls=6)
        depart(client, sender)
        wait_for(is_told, "all synchronous calls have returned")
        for each in waiting:
            each.join()
        told = [sender.next() for _ in range(4)]
    responses = {params[2]: params[3] for method, params in told if method == "samp.client.receiveResponse"}
    assert set(responses) == {"tag-0", "tag-1", "tag-2"}
    for response in [*responses.values(), *returned]:
        assert response["samp.status"] == "samp.error"
        assert f"{client.id} (mortal)" in response["samp.error"]["samp.errortxt"]
    (event,) = [params[2] for method, params in told if method == "samp.client.receiveNotification"]
    assert event == message("samp.hub.event.unregister", id=client.id)
    assert sender.received.empty()
