"""`SAMPHubServer`: a hub of ours in a thread of somebody's program."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from hubfarm import (
    SAMP_HUB_MULTIPLE_INSTANCE,
    Farm,
    SAMPHubError,
    SAMPHubServer,
    SAMPIntegratedClient,
    WrongUse,
)
from tests.client.client_support import our_threads
from tests.conftest import remains
from tests.support import Receiver, read_lock_file, wait_for


def multiple(label: str = "", **options: object) -> SAMPHubServer:
    return SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label=label, **options)  # type: ignore[arg-type]


def test_hubs_of_one_program_are_told_apart_by_their_ids(home: Path) -> None:
    with multiple("one") as one, multiple("two") as two:
        assert {one.id, two.id} == {f"{os.getpid()}-1", f"{os.getpid()}-2"}
        hubs = Farm().hubs()
        assert [(hub.label, hub.kind, hub.state) for hub in hubs] == [
            ("one", "embedded", "running"),
            ("two", "embedded", "running"),
        ]
    assert remains(home) == []
    assert our_threads() == []


def test_single_mode_is_the_standards_one_hub(home: Path) -> None:
    with SAMPHubServer() as hub, SAMPIntegratedClient() as client:
        assert read_lock_file(home / ".samp")["samp.hub.xmlrpc.url"] == hub.params["samp.hub.xmlrpc.url"]
        client.connect()
        with pytest.raises(SAMPHubError, match="runs already"):
            SAMPHubServer().start()
    assert not (home / ".samp").exists()


def test_it_does_not_start_over_a_foreign_hub_that_lives(home: Path) -> None:
    with Receiver() as foreign:
        (home / ".samp").write_text(f"samp.secret=x\nsamp.hub.xmlrpc.url={foreign.url}\nsamp.profile.version=1.3\n")
        with pytest.raises(SAMPHubError, match="runs already"):
            SAMPHubServer().start()
    assert our_threads() == []


def test_a_program_that_took_a_dead_hubs_port_is_no_hub(home: Path) -> None:
    with SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as other:  # answers a ping with a fault
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{other.server_address[1]}/"
        (home / ".samp").write_text(f"samp.secret=x\nsamp.hub.xmlrpc.url={url}\nsamp.profile.version=1.3\n")
        with SAMPHubServer() as hub:
            assert hub.params["samp.hub.xmlrpc.url"] != url
        other.shutdown()
        thread.join()


def test_it_starts_again_after_it_was_stopped(home: Path) -> None:
    hub = multiple("again")
    for _ in range(2):
        hub.start()
        assert hub.is_running
        hub.stop()
        assert not hub.is_running
    assert remains(home) == []


def test_a_hub_that_cannot_start_leaves_nothing_behind(home: Path) -> None:
    with multiple("taken"), pytest.raises(WrongUse, match="in use"):
        multiple("taken").start()
    assert remains(home) == []
    assert our_threads() == []


def test_it_ends_when_it_is_not_used(home: Path) -> None:
    hub = multiple(timeout=1)
    hub.start(wait=True)
    assert not hub.is_running
    assert remains(home) == []


def test_it_touches_neither_signal_handlers_nor_the_programs_log(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)]
    with multiple() as hub, SAMPIntegratedClient() as client:
        client.connect(hub)
        assert before == [
            signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
        ]
    assert capfd.readouterr() == ("", "")


def test_a_program_that_forgets_to_stop_it_leaves_nothing_behind(home: Path) -> None:
    program = "from hubfarm import *; SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE).start()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert remains(home) == []


def test_stop_refuses_it_because_it_would_end_the_program(home: Path) -> None:
    with multiple("mine"):
        with pytest.raises(WrongUse, match="embedded in the process"):
            Farm().stop(["mine"])
        assert Farm().stop(everything=True) == []
        assert [hub.label for hub in Farm().hubs()] == ["mine"]


def test_a_forked_child_that_lives_on_does_not_keep_the_dead_hub_alive(home: Path) -> None:
    program = """
import os, sys, time
from hubfarm import *
hub = SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="parent")
hub.start()
child = os.fork()
if child == 0:
    assert not hub.is_running
    hub.stop()
    os.close(1), os.close(2)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    child = int(done.stdout)
    try:
        os.kill(child, 0)
        wait_for(lambda: [hub.state for hub in Farm().hubs(everything=True)] == ["dead"], "the guard is free")
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_hub_can_be_started_in_any_thread(home: Path) -> None:
    running = []

    def use() -> None:
        with multiple() as hub:
            running.append(hub.is_running)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert running == [True]
