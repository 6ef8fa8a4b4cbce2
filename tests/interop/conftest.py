"""What the tests against other people's programs share: hubs to point them at, and who is on a hub."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xmlrpc.client import ServerProxy

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.interop.browser_support import sites  # noqa: F401  # fixtures
from tests.interop.dashboard_page import browser, shown, told  # noqa: F401
from tests.support import need, read_lock_file

OnHub = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hubs(farm: Farm) -> list[HubInfo]:
    """Four hubs of one farm: mima-1 to mima-4."""
    return farm.start(count=4, group="mima")


@pytest.fixture
def on_hub(home: Path) -> Iterator[OnHub]:
    """Start an unmodified program on a hub by ``hubfarm exec``: ``on_hub("mima-2", "jsamp", "snooper")``.

    Its output is a pipe of text; it is ended with the test.
    """
    started = []

    def start(selector: str, *command: str, **options: object) -> subprocess.Popen[str]:
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        line = [sys.executable, "-m", "hubfarm", "exec", selector, "--", *command]
        started.append(subprocess.Popen(line, **(settings | options)))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:  # closes its pipe and reaps it
            pass


@pytest.fixture
def display(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An X server of this test's own; Xvfb chooses a free display."""
    reading, writing = os.pipe()
    line = [need("Xvfb"), "-displayfd", str(writing), "-screen", "0", "746x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(line, pass_fds=[writing], stderr=subprocess.DEVNULL) as server, os.fdopen(reading) as answer:
        os.close(writing)
        name = f":{answer.readline().strip()}"
        monkeypatch.setenv("DISPLAY", name)
        yield name
        server.terminate()


def names_on(hub: HubInfo) -> list[str]:
    """Return the names of the clients of a hub, the hub's own left out."""
    tokens = read_lock_file(hub.lock_file)
    with ServerProxy(hub.url) as proxy:
        samp = proxy.samp.hub
        registration = samp.register(tokens["samp.secret"])
        key, hub_id = registration["samp.private-key"], registration["samp.hub-id"]
        try:
            clients = [each for each in samp.getRegisteredClients(key) if each != hub_id]
            return [samp.getMetadata(key, each).get("samp.name", "") for each in clients]  # type: ignore[union-attr]
        finally:
            samp.unregister(key)
