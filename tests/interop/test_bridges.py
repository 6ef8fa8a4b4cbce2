"""Bridges to hubs that nobody here wrote, with their clients, and beside JSAMP's own bridge."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubfarm.farm import Farm
from tests.interop.conftest import OnHub
from tests.interop.test_ds9 import picture, ring, shows_the_ring
from tests.stories.test_bridges import enter, proxy_of, seen, texts  # noqa: F401 - a fixture
from tests.stories.test_two_hosts import OTHER, hosts  # noqa: F401 - a fixture
from tests.support import Receiver, message, need, need_module, running, serves, wait_for

pytestmark = pytest.mark.interop

JAVA_PATIENCE = 100
"""How long a Java program may take on a busy machine, seconds."""

ASTROPYS_HUB = """
import sys
from astropy.samp import SAMPHubServer
hub = SAMPHubServer(web_profile=False, lockfile=sys.argv[1])
hub.start()
print("serves", flush=True)
sys.stdin.readline()
hub.stop()
"""


@pytest.fixture(autouse=True)
def _peers() -> None:
    need("jsamp")
    need_module("astropy.samp")


@contextmanager
def jsamps_hub(lock_file: Path) -> Iterator[Path]:
    environment = os.environ | {"SAMP_HUB": f"std-lockurl:file://{lock_file}"}
    command = ["jsamp", "hub", "-mode", "no-gui", "-profiles", "std"]
    with running(*command, stderr=subprocess.DEVNULL, env=environment):
        wait_for(lambda: serves(lock_file), "JSAMP's hub has started")
        yield lock_file


@contextmanager
def astropys_hub(lock_file: Path) -> Iterator[Path]:
    command = [sys.executable, "-W", "ignore", "-c", ASTROPYS_HUB, str(lock_file)]
    with running(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as hub:
        assert hub.stdout is not None
        while hub.stdout.readline() != "serves\n":  # it says other things too
            assert hub.poll() is None
        yield lock_file


def test_three_kinds_of_hub_are_one_conversation(
    farm: Farm,
    enter: Callable[..., Receiver],  # noqa: F811
    tmp_path: Path,
) -> None:
    (ours,) = farm.start(label="ours")
    with jsamps_hub(tmp_path / "jsamps") as theirs, astropys_hub(tmp_path / "astropys") as pythons:
        farm.bridges.join(["ours", str(theirs), str(pythons)], name="all")
        labels = {end.hub: end.label for end in farm.bridges.find("all").state.ends}  # type: ignore[union-attr]
        clients = [
            enter(ours, "A", "my.*"),
            Receiver().join_by(theirs, "B", "my.*"),
            Receiver().join_by(pythons, "C", "my.*"),
        ]
        places = ["ours", labels[str(theirs)], labels[str(pythons)]]
        for client in clients:
            for other, name, place in zip(clients, "ABC", places, strict=True):
                if other is not client:
                    proxy_of(client, f"{name} ({place})")
        for number, client in enumerate(clients):
            client.hub.notifyAll(client.key, message("my.text", text=str(number)))
        for number, client in enumerate(clients):
            assert sorted(texts(client, 2)) == [text for text in "012" if text != str(number)]
        a, b, c = clients
        for caller, name, place, called in ((a, "B", places[1], b), (b, "C", places[2], c), (c, "A", places[0], a)):
            caller.hub.call(caller.key, proxy_of(caller, f"{name} ({place})"), "tag", message("my.question"))
            called.hub.reply(
                called.key, called.next().params[2], {"samp.status": "samp.ok", "samp.result": {"by": name}}
            )
            assert caller.next().params[3]["samp.result"] == {"by": name}
        for one in (b, c):
            one.close_server()


def test_each_client_gets_each_broadcast_once_beside_jsamps_bridge_too(
    farm: Farm,
    enter: Callable[..., Receiver],  # noqa: F811
) -> None:
    hubs = farm.start(count=3, group="h")
    clients = [enter(hub, f"C{number}", "my.*") for number, hub in enumerate(hubs)]
    for pair in (("h-1", "h-2"), ("h-2", "h-3"), ("h-3", "h-1")):
        farm.bridges.join(pair)
    files = [word for hub in hubs for word in ("-sampfile", str(hub.lock_file))]
    with running("jsamp", "bridge", "-nostandard", *files, stderr=subprocess.DEVNULL) as theirs_too:
        for number, client in enumerate(clients):
            for other in {0, 1, 2} - {number}:
                theirs, ours = f"C{other} (proxy)", f"C{other} (h-{other + 1})"
                wait_for(
                    lambda client=client, theirs=theirs, ours=ours: (
                        len(seen(client, theirs)) == 1 and not seen(client, ours)
                    ),
                    "JSAMP's proxy alone is there",
                )
        _broadcast(clients)
        theirs_too.terminate()
        theirs_too.wait(JAVA_PATIENCE)
    for number, client in enumerate(clients):  # JSAMP's bridge has ended
        for other in {0, 1, 2} - {number}:
            proxy_of(client, f"C{other} (h-{other + 1})")
            wait_for(lambda client=client, other=other: not seen(client, f"C{other} (proxy)"), "JSAMP's has gone")
    _broadcast(clients)


def _broadcast(clients: list[Receiver]) -> None:
    """Have a thousand broadcasts sent, and see that each other client gets each once."""
    for number in range(1000):
        sender = clients[number % 3]
        sender.hub.notifyAll(sender.key, message("my.text", text=str(number)))
    for own, client in enumerate(clients):
        expected = [number for number in range(1000) if number % 3 != own]
        assert sorted(map(int, texts(client, len(expected)))) == expected
    assert all(client.received.empty() for client in clients)


def test_the_hub_tester_passes_on_a_hub_that_is_joined(farm: Farm, on_hub: OnHub) -> None:
    farm.start(count=2, group="h")
    farm.bridges.join(["h-1", "h-2"])
    tester = on_hub("h-1", "jsamp", "hubtester")
    output, _ = tester.communicate(timeout=JAVA_PATIENCE)
    assert tester.returncode == 0, output


def test_image_by_file_url_is_shown_by_ds9_on_another_host(
    hosts: tuple[str, str],  # noqa: F811
    display: str,
    home: Path,
    tmp_path: Path,
) -> None:
    need("ds9")
    there = home / "there"
    there.mkdir()
    sent = tmp_path / "ring.fits"
    sent.write_bytes(ring())

    def on(host: int, *command: str) -> list[str]:
        ours = os.environ["HOME"] if host == 0 else str(there)
        return ["ip", "netns", "exec", hosts[host], "env", f"HOME={ours}", f"DISPLAY={display}", *command]

    def hubfarm(host: int, *command: str) -> str:
        line = on(host, sys.executable, "-m", "hubfarm", *command)
        done = subprocess.run(line, timeout=60, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    hubfarm(0, "start", "--label", "near")
    hubfarm(1, "start", "--label", "far", "--host", OTHER)
    try:
        (lock_file,) = (there / ".samp-1").glob("samp-hub-*")
        ds9 = on(1, sys.executable, "-m", "hubfarm", "exec", "far", "--", "ds9")
        with running(*ds9, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            assert hubfarm(0, "bridge", "near", str(lock_file)) == "bridge near-far joins near and far\n"
            wait_for(
                lambda: "image.load.fits" in hubfarm(0, "clients", "near", "-v"), "DS9's proxy is there, subscribed"
            )
            assert "(far)" in hubfarm(0, "send", "near", "image.load.fits", f"url={sent.as_uri()}", "--call")
            wait_for(lambda: shows_the_ring(picture(tmp_path / "ds9.png")), "DS9 shows the image")
    finally:
        for host in (0, 1):
            hubfarm(host, "stop", "--all", "--coordinator", "-y")
