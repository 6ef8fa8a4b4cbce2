"""What may befall the web's gateway, and what stands around it, while web pages are on hubs."""

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from hubfarm.farm.web import in_words
from hubfarm.samp.errors import HubfarmError
from tests.faults.conftest import Customize, Scene, full_disk
from tests.faults.test_coordinator import kill
from tests.stories.test_web_gateway import gateway_of, ping, state_of
from tests.stories.test_web_pages import A, Page, in_the_background
from tests.support import PATIENCE, Receiver, is_dead, message, wait_for

HUNG_UP = (OSError, HTTPException)


class Scenery:
    """A farm's hub with a page on it and a program that sends to it."""

    def __init__(self, scene: Scene, receiver: Receiver, port: int) -> None:
        self.scene, self.program, self.port = scene, receiver, port
        self.hub = scene.start()
        scene.farm.web.trust(A, self.hub.label)
        receiver.join_by(scene.stable_name(self.hub), "program", "table.load.votable")
        self.page = Page(port).register().callable("coord.pointAt.sky")

    def send(self, number: int) -> None:
        self.program.hub.notify(self.program.key, self.page.id, message("coord.pointAt.sky", ra=str(number), dec="0"))

    def numbers(self) -> list[int]:
        """Return what the page has been told so far, in order."""
        told = [params[-1] for _, params in self.page.heard]
        return [int(each["samp.params"]["ra"]) for each in told if each["samp.mtype"] == "coord.pointAt.sky"]

    def pull_until(self, happened: Callable[[], bool]) -> None:
        """Pull as a page does: at once again, whatever became of the last time."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"the page has been told {self.numbers()}"
            try:
                self.page.pull(1)
            except HUNG_UP:
                time.sleep(0.01)

    def is_served(self) -> bool:
        """Whether the page is answered under its key."""
        try:
            return bool(Page.proxy(self.page).samp.webhub.getMetadata(self.page.key, self.page.id) is not None)
        except HUNG_UP:
            return False


@pytest.fixture
def scenery(scene: Scene, receiver: Receiver, web_port: int) -> Scenery:
    return Scenery(scene, receiver, web_port)


@pytest.mark.fault("web gateway killed by SIGKILL under pages", "replaced; pages go on under their keys")
def test_killed_gateway_is_replaced_under_its_pages(scenery: Scenery, scene: Scene, full: bool) -> None:
    for number in range(3 if full else 2):
        gateway = gateway_of(scene.farm)
        scene.measure(gateway.kill, partial(is_dead, gateway), scenery.is_served)
        scenery.send(number)
        scenery.pull_until(lambda: number in scenery.numbers())  # noqa: B023
    assert sorted(set(scenery.numbers())) == list(range(3 if full else 2))  # at least once


_KILLED_WITH_IT = """
import os, signal, sys
if "hubfarm.gateway" in sys.orig_argv:
    import hubfarm.gateway.front as front
    carry = front._carry

    async def killed_with_it(request, response, pull):
        # The hub has answered, and the page has nothing of it yet, or all.
        marked = b"pointAt" in response.body and [each for each in ({before!r}, {after!r}) if os.path.exists(each)]
        if marked == [{after!r}]:
            response = await carry(request, response, Nobody)
        if marked:
            os.unlink(marked[0])
            os.kill(os.getpid(), signal.SIGKILL)
        return await carry(request, response, pull)

    class Nobody:
        over = staticmethod(lambda arrived: None)

    front._carry = killed_with_it
"""


@pytest.mark.fault("web gateway killed with a message for a page in its hand", "the page gets it from the next one")
def test_message_in_the_hand_of_a_killed_gateway_is_not_lost(
    customize: Customize, home: Path, scene: Scene, receiver: Receiver, web_port: int, full: bool
) -> None:
    before, after = home / "kill before", home / "kill after"
    customize(_KILLED_WITH_IT.format(before=str(before), after=str(after)))
    scenery = Scenery(scene, receiver, web_port)
    count = 3 if full else 2
    for number in range(count):
        gateway = gateway_of(scene.farm)
        before.touch()
        begun = time.perf_counter()
        scenery.send(number)
        scenery.pull_until(lambda: number in scenery.numbers())  # noqa: B023
        scene.figures.served.append(time.perf_counter() - begun)
        assert is_dead(gateway)
        assert not before.exists()
    assert scenery.numbers() == list(range(count))  # once each: none of them had left the gateway
    # And if it is killed when the page has it, but nobody knows, the page is told twice rather than never.
    after.touch()
    scenery.send(count)
    scenery.pull_until(lambda: count in scenery.numbers())
    wait_for(lambda: not after.exists(), "the gateway was killed")
    scenery.send(count + 1)
    scenery.pull_until(lambda: count + 1 in scenery.numbers())
    assert scenery.numbers() in ([*range(count + 1), count, count + 1], [*range(count + 2)])
    wait_for(lambda: scene.farm.find(scenery.hub.label).queued == 0, "and nothing waits any more")


@pytest.mark.fault("hub and web gateway killed under pages", "both replaced; what was accepted arrives")
def test_hub_and_gateway_killed_together(scenery: Scenery, scene: Scene, full: bool) -> None:
    for number in range(3 if full else 1):
        scenery.send(number)
        gateway, worker = gateway_of(scene.farm), psutil.Process(scene.farm.find(scenery.hub.label).pid or 0)

        def fall(victims: tuple[psutil.Process, ...] = (gateway, worker)) -> None:
            for victim in victims:
                victim.kill()

        scene.measure(fall, lambda: is_dead(gateway) and is_dead(worker), scenery.is_served)  # noqa: B023
        scenery.pull_until(lambda: number in scenery.numbers())  # noqa: B023
    assert sorted(set(scenery.numbers())) == list(range(3 if full else 1))


@pytest.mark.fault("coordinator killed while a page asks", "the question stays, and the user's answer counts")
def test_coordinator_killed_while_a_page_asks(scene: Scene, web_port: int) -> None:
    hub = scene.start()
    asking, came = in_the_background(Page(web_port).register)
    (question,) = wait_for(lambda: scene.farm.web.state()["waiting"], "the page asks")
    kill(scene.coordinator)
    begun = time.perf_counter()
    scene.farm.web.allow(question["id"], hub.label)
    asking.join(PATIENCE)
    scene.figures.served.append(time.perf_counter() - begun)
    (page,) = came
    assert page.hub.getRegisteredClients(page.key) == ["hub"]
    gateway = gateway_of_a_new_coordinator(scene)
    assert [each["id"] for each in scene.farm.web.state()["pages"]] == [f"{hub.label}/{page.id}"]
    page.hub.unregister(page.key)
    assert not is_dead(gateway)


def gateway_of_a_new_coordinator(scene: Scene) -> psutil.Process:
    scene.farm.start_coordinator()
    return gateway_of(scene.farm)


@pytest.mark.fault("web gateway killed while a page asks", "nobody is let in; the page asks again, of the next one")
def test_gateway_killed_while_a_page_asks(scene: Scene, web_port: int) -> None:
    hub = scene.start()
    asking, came = in_the_background(Page(web_port).register)
    (question,) = wait_for(lambda: scene.farm.web.state()["waiting"], "the page asks")
    gateway = gateway_of(scene.farm)
    scene.measure(gateway.kill, partial(is_dead, gateway), partial(ping, web_port))
    (again,) = wait_for(lambda: scene.farm.web.state()["waiting"], "the page asks again, as its connection broke")
    assert again["id"] != question["id"]
    assert scene.farm.find(hub.label).clients == 0
    scene.farm.web.allow(again["id"], hub.label)
    asking.join(PATIENCE)
    assert isinstance(came[0], Page), came


@pytest.mark.fault(
    "the web's port is another program's", "hubs serve; `status` says whose it is; taken as soon as it is free"
)
def test_port_that_another_program_has(scene: Scene, web_port: int) -> None:
    with socket.create_server(("127.0.0.1", web_port)):
        scene.start()
        coordinator = scene.farm.coordinator()
        assert coordinator is not None
        assert f"(process {os.getpid()} of " in in_words(coordinator["web"])
    begun = time.perf_counter()
    wait_for(lambda: state_of(scene.farm) != "taken", "the farm has the port")
    scene.figures.noticed.append(time.perf_counter() - begun)
    assert ping(web_port)
    scene.figures.served.append(time.perf_counter() - begun)


@pytest.mark.fault(
    "file of what is remembered of web pages overwritten by rubbish",
    "said in a line; pages that are in go on, and others are asked about; the file stays as it is",
)
def test_damaged_memory_of_the_web(scenery: Scenery, scene: Scene, web_port: int) -> None:
    memory = scene.farm.paths.web_memory
    memory.write_bytes(b"\0rubbish")
    assert scenery.is_served()
    with pytest.raises(HubfarmError, match="mend it or remove it"):
        scene.farm.web.state()
    asking, came = in_the_background(Page(web_port, "https://b.example").register)
    question = next(state["waiting"][0] for state in scene.farm.web.watch() if state["waiting"])
    scene.farm.web.allow(question["id"], scenery.hub.label)
    asking.join(PATIENCE)
    assert isinstance(came[0], Page), came
    assert memory.read_bytes() == b"\0rubbish"
    memory.unlink()
    assert scene.farm.web.state()["remembered"] == []


@pytest.mark.fault("disk full as a page is let in", "it is in; it is written down once there is room")
def test_page_let_in_on_a_full_disk(small_disk: Path, scene: Scene, receiver: Receiver, web_port: int) -> None:
    scenery = Scenery(scene, receiver, web_port)
    with full_disk(small_disk):
        page = Page(web_port).register()
        assert page.hub.getRegisteredClients(page.key)
        assert scenery.is_served()
    again = Page(web_port).register()
    wait_for(lambda: len(scene.farm.web.state()["pages"]) == 3, "all are listed")
    kill(gateway_of(scene.farm))
    wait_for(scenery.is_served, "the next gateway serves")
    assert len(scene.farm.web.state()["pages"]) == 3  # what could not be written was written later
    assert again.hub is not page.hub
