"""A desktop in a network of its own, with JSAMP's hub, joined with a hub of a farm through Chromium alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import listens
from tests.interop.browser_support import axe, chromium
from tests.interop.test_bridges import JAVA_PATIENCE
from tests.interop.test_jsamp_web import ip
from tests.stories.test_bridges import proxy_of, seen
from tests.support import Receiver, message, need, running, wait_for

pytestmark = pytest.mark.interop

PORT = 8621

RELAY = """
import asyncio, sys

async def carry(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def meet(reader, writer):
    there = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))

async def main():
    async with await asyncio.start_server(meet, "localhost", int(sys.argv[2])) as server:
        print("ready", flush=True)
        await server.serve_forever()

asyncio.run(main())
"""
"""What ``ssh -L`` is on a real desktop."""

VIEWER = """
import sys, threading, urllib.request
from astropy.samp import SAMPIntegratedClient

client = SAMPIntegratedClient(name="viewer")
client.connect()

def load(private_key, sender_id, msg_id, mtype, params, extra):
    content = urllib.request.urlopen(params["url"], timeout=20).read()
    print(sender_id, client.get_metadata(sender_id)["samp.name"], content.decode(), flush=True)
    client.reply(msg_id, {"samp.status": "samp.ok", "samp.result": {"rows": "7"}})

client.bind_receive_call("table.load.votable", load)
print("ready", flush=True)
threading.Event().wait()
"""


class Laptop:
    """A desktop in a network of its own.

    Parameters
    ----------
    home : Path
        Where its programs find each other.
    network : str
        The network's name.
    """

    def __init__(self, home: Path, network: str) -> None:
        home.mkdir()
        self.inside = ["ip", "netns", "exec", network]
        self.lock_file = home / "samp"
        self.environment = os.environ | {"HOME": str(home), "SAMP_HUB": f"std-lockurl:file://{self.lock_file}"}

    def run(self, *command: str) -> Any:
        """Run a program there until the end of the block."""
        return running(*self.inside, *command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.fixture
def laptop(home: Path) -> Iterator[Laptop]:
    need("jsamp")
    network = f"hfd{os.getpid()}"
    ip("netns", "add", network)
    try:
        ip("-n", network, "link", "set", "lo", "up")
        one = Laptop(home / "laptop", network)
        with one.run("jsamp", "hub", "-mode", "no-gui", "-profiles", "std,web", "-web:auth", "true"):
            wait_for(one.lock_file.exists, "JSAMP's hub is there")
            yield one
    finally:
        subprocess.run(["ip", "netns", "del", network], check=False, timeout=30)


@pytest.fixture
def page(farm: Farm, laptop: Laptop, home: Path) -> Iterator[Any]:
    """The dashboard of the farm, in a browser of the laptop."""
    farm.start(label="mima-1")
    socket = home / "dashboard"
    with ExitStack() as stack:
        shown = [sys.executable, "-m", "hubfarm", "dashboard", "--socket", str(socket), "--no-token"]
        stack.enter_context(running(*shown, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for(lambda: socket.exists() and listens(socket), "the dashboard is there")
        relay = stack.enter_context(laptop.run(sys.executable, "-c", RELAY, str(socket), str(PORT)))
        assert relay.stdout.readline().strip() == "ready"
        browser = stack.enter_context(chromium(home / "profile", inside=laptop.inside))
        one = browser.new_page()
        one.complaints = []
        one.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.on("console", lambda said: said.type == "error" and one.complaints.append(said.text))
        one.goto(f"http://localhost:{PORT}/")
        one.get_by_role("link", name="mima-1").click()
        one.get_by_role("link", name="Desktop").click()
        yield one


def test_table_opens_on_the_desktop_and_a_call_comes_back(farm: Farm, laptop: Laptop, page: Any, home: Path) -> None:
    (hub,) = [hub for hub in farm.hubs() if hub.label == "mima-1"]
    table, theirs = home / "m 31.xml", laptop.lock_file.with_name("table.xml")
    table.write_text("made here")
    theirs.write_text("made there")
    with Receiver() as notebook, laptop.run(sys.executable, "-c", VIEWER) as viewer:
        notebook.join_by(hub.lock_file, "notebook", "table.*")
        assert viewer.stdout.readline().strip() == "ready"
        page.get_by_role("button", name="Join this desktop").click()
        page.get_by_text("Joined.").wait_for()
        page.get_by_role("region", name="On this desktop").get_by_text("viewer").wait_for()
        page.evaluate(axe())
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")]

        there = proxy_of(notebook, "viewer (desktop)")
        notebook.hub.call(notebook.key, there, "tag", message("table.load.votable", url=table.as_uri()))
        id, _, said = viewer.stdout.readline().strip().partition(" ")
        assert said == "notebook (mima-1) made here"
        assert notebook.next().params[3]["samp.result"] == {"rows": "7"}

        sender = ["jsamp", "messagesender", "-mode", "sync", "-mtype", "table.load.votable", "-targetid"]
        with laptop.run(*sender, id, "-param", "url", theirs.as_uri()) as asked:
            _, (_, _, msg_id, got) = notebook.next()
            brought = Path(got["samp.params"]["url"].removeprefix("file://"))
            assert brought != theirs
            assert brought.read_text() == "made there"
            notebook.hub.reply(notebook.key, msg_id, {"samp.status": "samp.ok", "samp.result": {"rows": "8"}})
            output, _ = asked.communicate(timeout=JAVA_PATIENCE)
            assert "8" in output
            assert asked.returncode == 0

        page.reload()
        page.get_by_text("Joined.").wait_for()
        assert seen(notebook, "viewer (desktop)") == [there], "nobody has noticed"
        page.get_by_role("button", name="Part").click()
        wait_for(lambda: not seen(notebook, "viewer (desktop)"), "the desktop has gone")
        wait_for(lambda: not brought.exists(), "what it has named is gone")
        viewer.terminate()
    assert not page.complaints
