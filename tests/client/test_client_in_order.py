"""Functions bound to messages: each on a thread of its own, or one after the other."""

import threading

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from tests.support import PATIENCE, wait_for


@pytest.fixture
def sender(farm: Farm) -> "SAMPIntegratedClient":
    farm.start(label="h")
    client = SAMPIntegratedClient("sender", callable=False)
    client.connect(label="h")
    return client


def test_one_after_the_other_in_the_order_of_the_messages(sender: SAMPIntegratedClient) -> None:
    heard: list[int] = []
    lock = threading.Lock()
    with SAMPIntegratedClient("receiver", in_order=True) as receiver, sender:
        receiver.connect(label="h")

        @receiver.on_notification("my.number")
        def hear(message: object) -> None:
            assert lock.acquire(blocking=False), "two run at the same time"
            heard.append(int(message.params["n"]))  # type: ignore[attr-defined]
            lock.release()

        for number in range(500):
            sender.enotify(receiver.get_public_id(), "my.number", n=number)
        wait_for(lambda: len(heard) == 500, "all have arrived")
    assert heard == list(range(500))


def test_each_on_a_thread_of_its_own_so_that_one_may_wait_for_another(sender: SAMPIntegratedClient) -> None:
    second = threading.Event()
    waited: list[bool] = []
    with SAMPIntegratedClient("receiver") as receiver, sender:
        receiver.connect(label="h")
        receiver.on_notification("my.first")(lambda message: waited.append(second.wait(PATIENCE)))
        receiver.on_notification("my.second")(lambda message: second.set())
        for mtype in ("my.first", "my.second"):
            sender.enotify(receiver.get_public_id(), mtype)
        wait_for(lambda: waited == [True], "the first has heard of the second")
