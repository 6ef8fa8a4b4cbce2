"""``hubfarm drain``: no new clients, what is queued is delivered, and then the hub ends for good."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.conftest import RunCli, remains
from tests.support import PATIENCE, Receiver, StuckReceiver, message, read_lock_file, wait_for


@pytest.fixture
def sender() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


@pytest.fixture
def stuck() -> Iterator[StuckReceiver]:
    with StuckReceiver() as one:
        yield one


def occupy(hub: HubInfo, sender: Receiver, stuck: StuckReceiver) -> None:
    """Let messages wait in a hub."""
    stuck.join_by(hub.lock_file, "stuck", "test.*")
    sender.join_by(hub.lock_file, "sender")
    for number in range(5):
        sender.hub.notify(sender.key, stuck.id, message("test.number", n=str(number)))


def draining(hub: HubInfo) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hubfarm", "drain", hub.label]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def heard(receiver: Receiver) -> list[str]:
    """Return the numbers of the messages that have arrived."""
    received = [receiver.received.get_nowait() for _ in range(receiver.received.qsize())]
    return [each.params[-1]["samp.params"]["n"] for each in received]


@pytest.mark.parametrize("restart", ["on-failure", "always"])
def test_drained_hub_takes_nobody_new_delivers_what_waits_and_ends_for_good(
    farm: Farm, sender: Receiver, stuck: StuckReceiver, receiver: Receiver, home: Path, restart: str
) -> None:
    (hub,) = farm.start(label="h", restart=restart)
    secret = read_lock_file(hub.lock_file)["samp.secret"]
    occupy(hub, sender, stuck)
    with draining(hub) as command:
        wait_for(lambda: farm.find("h").state == "draining", "ls says that it drains")
        with pytest.raises(Fault, match="shutting down"):
            receiver.join(hub.url, secret)
        sender.hub.notify(sender.key, stuck.id, message("test.number", n="5"))  # who is there may still talk
        assert command.poll() is None
        stuck.gate.set()
        output, _ = command.communicate(timeout=PATIENCE)
    assert (command.returncode, output) == (0, "drained h\n")
    assert heard(stuck) == ["0", "1", "2", "3", "4", "5"]
    assert farm.hubs() == []
    assert [(each.label, each.how) for each in farm.history()] == [("h", "drained")]
    farm.stop(coordinator=True)
    wait_for(lambda: not remains(home), "nothing is left")


def test_hub_that_does_not_drain_in_time_is_stopped_as_it_is(
    farm: Farm, cli: RunCli, sender: Receiver, stuck: StuckReceiver
) -> None:
    (hub,) = farm.start(label="h")
    occupy(hub, sender, stuck)
    assert cli("drain", "h", "--wait", "0.5").stdout == "drained h\n"
    assert farm.hubs() == []


def test_hub_that_crashes_while_it_drains_goes_on_draining(farm: Farm, sender: Receiver, stuck: StuckReceiver) -> None:
    (hub,) = farm.start(label="h")
    occupy(hub, sender, stuck)
    with draining(hub) as command:
        wait_for(lambda: farm.find("h").state == "draining", "it drains")
        assert hub.pid is not None
        os.kill(hub.pid, signal.SIGKILL)
        wait_for(lambda: [each.state for each in farm.hubs() if each.pid != hub.pid] == ["draining"], "it drains again")
        assert command.poll() is None
        stuck.gate.set()
        output, _ = command.communicate(timeout=PATIENCE)
    assert output == "drained h\n"
    assert list(dict.fromkeys(heard(stuck))) == ["0", "1", "2", "3", "4"]
    assert farm.hubs() == []


def test_several_hubs_drain_at_the_same_time(farm: Farm, cli: RunCli) -> None:
    farm.start(count=3, group="g")
    assert cli("drain", "g-1", "g-3").stdout == "drained g-1, g-3\n"
    assert [hub.label for hub in farm.hubs()] == ["g-2"]
