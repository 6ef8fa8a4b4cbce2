"""What may befall a bridge, and the hubs that it joins."""

import os
import signal
import threading
from contextlib import ExitStack
from functools import partial

import psutil
import pytest

from hubfarm.farm.bridging import BridgeInfo
from tests.faults.conftest import Scene
from tests.stories.test_bridges import seen
from tests.support import Receiver, is_dead, message, wait_for


class Joined:
    """Two hubs of a farm, joined, with clients on both."""

    def __init__(self, scene: Scene, stack: ExitStack, clients: int) -> None:
        self.scene = scene
        self.hub = scene.start()
        self.near = [self._client(stack, 0, f"A{number}") for number in range(clients)]
        self.far = [self._client(stack, 1, f"B{number}") for number in range(clients)]
        scene.farm.bridges.join([hub.label for hub in scene.hubs])
        wait_for(lambda: self.is_whole(clients), "all are mirrored")

    def _client(self, stack: ExitStack, hub: int, name: str) -> Receiver:
        path = self.scene.stable_name(self.scene.hubs[hub])
        return stack.enter_context(Receiver()).join_by(path, name, "my.*")

    @property
    def bridge(self) -> BridgeInfo:
        return self.scene.farm.bridges.all()[0]

    @property
    def process(self) -> psutil.Process:
        state = self.bridge.state
        assert state is not None
        return psutil.Process(state.pid)

    def is_whole(self, clients: int) -> bool:
        state = self.bridge.state
        return state is not None and [end.proxies for end in state.ends] == [clients, clients]

    def has_arrived(self, number: int) -> bool:
        """Tell whether a message that is sent now from the one hub to the other arrives, and nothing else does."""
        name = f"B0 ({self.scene.hubs[1].label})"
        proxies = seen(self.near[0], name)
        if len(proxies) != 1:
            return False
        self.near[0].hub.notify(self.near[0].key, proxies[0], message("my.number", n=str(number)))
        return self.far[0].next().params[-1]["samp.params"]["n"] == str(number)


@pytest.mark.fault("bridge killed by SIGKILL, 2 x 20 clients mirrored", "replaced; each client has one proxy again")
def test_killed_bridge_is_replaced(scene: Scene, full: bool) -> None:
    with ExitStack() as stack:
        clients = 20 if full else 3
        joined = Joined(scene, stack, clients)
        for number in range(4 if full else 2):  # of five early deaths in a row it would be given up
            process = joined.process

            def is_back(process: psutil.Process = process, number: int = number) -> bool:
                state = joined.bridge.state
                new = state is not None and state.pid != process.pid
                return new and joined.is_whole(clients) and joined.has_arrived(number)

            scene.measure(process.kill, partial(is_dead, process), is_back)


@pytest.mark.fault("a joined hub's worker killed under messages that cross", "0 lost; nobody is mirrored anew")
def test_messages_that_cross_outlive_a_killed_hub(scene: Scene, full: bool) -> None:
    with ExitStack() as stack:
        joined = Joined(scene, stack, 1)
        sender, receiver = joined.near[0], joined.far[0]
        (proxy,) = seen(sender, f"B0 ({scene.hubs[1].label})")
        ended = threading.Event()
        accepted: list[int] = []

        def send() -> None:
            number = 0
            while not ended.is_set():
                try:
                    sender.hub.notify(sender.key, proxy, message("my.number", n=str(number)))
                except OSError:
                    continue  # its hub is being replaced: said again, under the same number
                accepted.append(number)
                number += 1

        sending = threading.Thread(target=send)
        sending.start()
        try:
            for number in range(8 if full else 2):  # each hub four times: of five early deaths it would be given up
                hub = scene.hubs[number % 2]
                before = len(accepted)
                wait_for(lambda before=before: len(accepted) > before + 50, "messages cross")
                former = next(one.pid for one in scene.farm.hubs() if one.label == hub.label)
                assert former is not None
                kill = partial(os.kill, former, signal.SIGKILL)
                dead = partial(is_dead, psutil.Process(former))
                scene.measure(kill, dead, partial(scene.is_replaced, hub, former))
        finally:
            ended.set()
            sending.join()
        heard: set[int] = set()
        while accepted[-1] not in heard:
            heard.add(int(receiver.next().params[-1]["samp.params"]["n"]))
        assert set(accepted) <= heard
        assert seen(sender, f"B0 ({scene.hubs[1].label})") == [proxy]
        scene.figures.remark = f"{len(accepted)} messages"
