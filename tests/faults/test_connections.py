"""What may befall a hub elsewhere, here: its door, the line to it, and the far end of that."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from xmlrpc.client import Fault

import psutil
import pytest

from tests.far_host import FarHost
from tests.faults.conftest import Scene
from tests.stories.test_connections import far, process_of  # noqa: F401 - a fixture
from tests.support import Receiver, is_dead, message, wait_for


class Talk:
    """Programs of both hosts, one of each sending to the other all the while; what was accepted has to arrive."""

    def __init__(self, stack: ExitStack, here: Path, there: Path, others: int) -> None:
        self.near, self.far = (
            stack.enter_context(Receiver()).join_by(path, name, "my.*") for path, name in ((here, "A"), (there, "B"))
        )
        for number in range(others):
            stack.enter_context(Receiver()).join_by(here, f"C{number}", "my.*")
        self.accepted = {self.near.id: 0, self.far.id: 0}
        self._ended = threading.Event()
        pairs = ((self.near, self.far), (self.far, self.near))
        self._senders = [threading.Thread(target=self._send, args=pair) for pair in pairs]

    def _send(self, who: Receiver, to: Receiver) -> None:
        while not self._ended.wait(0.001):
            try:
                who.hub.notify(who.key, to.id, message("my.number", n=str(self.accepted[who.id])))
            except (Fault, OSError):
                continue  # said again, under the same number
            self.accepted[who.id] += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        for sender in self._senders:
            sender.start()
        try:
            yield
        finally:
            self._ended.set()
            for sender in self._senders:
                sender.join()

    def flows(self) -> Callable[[], bool]:
        """Return what tells whether messages are accepted on both sides after this moment."""
        before = dict(self.accepted)
        return lambda: all(self.accepted[id] > before[id] + 5 for id in before)

    def check(self) -> int:
        """See that all that was accepted arrives; return how many that were."""
        for who, to in ((self.near, self.far), (self.far, self.near)):
            heard: set[int] = set()
            while len(heard) < self.accepted[who.id]:
                heard.add(int(to.next().params[-1]["samp.params"]["n"]))
        return sum(self.accepted.values())


class Broken:
    """A process that is killed; and whether messages flow again since."""

    def __init__(self, process: psutil.Process, talk: Talk) -> None:
        self._process = process
        self._talk = talk
        self.flows: Callable[[], bool] = lambda: False

    def kill(self) -> None:
        self._process.kill()
        self.flows = self._talk.flows()


def break_and_heal(
    scene: Scene,
    far: FarHost,  # noqa: F811
    full: bool,
    victim: Callable[[], psutil.Process],
) -> None:
    scene.start()
    far.connect(scene.farm)
    with ExitStack() as stack:
        here = scene.farm.find("tel@far").stable_name
        assert here is not None
        talk = Talk(stack, here, far.lock_file(), 20 if full else 1)
        with talk.going_on():
            for _ in range(4 if full else 1):  # of five early deaths in a row it would be given up
                wait_for(talk.flows(), "messages flow")
                process = victim()
                broken = Broken(process, talk)
                scene.measure(broken.kill, partial(is_dead, process), lambda broken=broken: broken.flows())
        scene.figures.remark = f"{talk.check()} messages"
    scene.farm.connections.end_all()


@pytest.mark.fault(
    "door of a hub elsewhere killed by SIGKILL, messages both ways", "replaced; who is in stays in; 0 lost"
)
def test_killed_door_is_replaced(scene: Scene, far: FarHost, full: bool) -> None:  # noqa: F811
    break_and_heal(scene, far, full, lambda: process_of(scene.farm))


@pytest.mark.fault("far end of a line by ssh killed by SIGKILL, messages both ways", "a line is made again; 0 lost")
def test_killed_far_end_is_replaced(scene: Scene, far: FarHost, full: bool) -> None:  # noqa: F811
    break_and_heal(scene, far, full, lambda: far.agents()[0])
