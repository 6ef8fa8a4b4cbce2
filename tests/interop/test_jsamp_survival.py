"""JSAMP's own clients on a hub that is killed or restarted while they are idle: they go on as if nothing had been."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.conftest import fall_asleep
from tests.interop.conftest import OnHub, names_on
from tests.support import Receiver, message, need, wait_for

pytestmark = pytest.mark.interop

JAVA_PATIENCE = 60
"""How long a Java program may take on a busy machine, seconds."""


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    need("jsamp")
    return farm.start(label="h")[0]


def lines_of(process: "subprocess.Popen[str]") -> "queue.Queue[str]":
    """Return what a program prints, line by line as it comes."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    return lines


def wait_for_line(lines: "queue.Queue[str]", text: str) -> None:
    while text not in lines.get(timeout=JAVA_PATIENCE):
        pass


def kill(farm: Farm, hub: HubInfo) -> None:
    assert hub.pid is not None
    os.kill(hub.pid, signal.SIGKILL)
    wait_for(lambda: [each.pid for each in farm.hubs() if each.pid not in (None, hub.pid)], "a successor serves")


def restart(farm: Farm, hub: HubInfo) -> None:
    farm.restart([hub.label])


def sleep(farm: Farm, hub: HubInfo) -> None:
    fall_asleep(farm, hub.label)


@pytest.mark.parametrize("bring_down", [kill, restart, sleep])
def test_jsamps_clients_idle_across_a_kill_a_restart_or_a_sleep_work_on_under_their_old_ids(
    farm: Farm, hub: HubInfo, on_hub: OnHub, receiver: Receiver, bring_down: Callable[[Farm, HubInfo], None]
) -> None:
    printed = lines_of(on_hub("h", "jsamp", "snooper", "-clientname", "Idler", "-mtype", "test.*"))
    on_hub("h", "jsamp", "hubmonitor", "-nogui")
    wait_for(lambda: len(names_on(hub)) == 2 and "Idler" in names_on(hub), "both are registered")
    receiver.join_by(hub.lock_file, "caller", "test.*")
    samp, key = receiver.hub, receiver.key
    before = samp.getRegisteredClients(key)
    wait_for(lambda: len(samp.getSubscribedClients(key, "test.idle")) == 1, "the snooper listens")
    wait_for(lambda: {*before} <= {*samp.getSubscribedClients(key, "samp.app.ping")}, "all of them answer")

    bring_down(farm, hub)

    assert samp.getRegisteredClients(key) == before
    (snooper,) = samp.notifyAll(key, message("test.idle", n="afterwards"))
    wait_for_line(printed, "afterwards")
    for client in before:
        pong: Any = samp.callAndWait(key, client, message("samp.app.ping"), str(JAVA_PATIENCE))
        assert pong["samp.status"] == "samp.ok"
    sender = on_hub("h", "jsamp", "messagesender", "-mtype", "test.idle", "-mode", "async", "-targetid", snooper)
    output, _ = sender.communicate(timeout=JAVA_PATIENCE)
    assert snooper in output
    assert "Message logged" in output  # the snooper's answer to every call

    storm = on_hub("h", "jsamp", "calcstorm", "-nclient", "10", "-nquery", "50", "-mode", "random")
    output, _ = storm.communicate(timeout=JAVA_PATIENCE)
    assert storm.returncode == 0, output
    assert samp.getRegisteredClients(key) == before
