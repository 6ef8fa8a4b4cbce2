"""JSAMP's own clients of the Web Profile on a hub in a program: by the fixed port, in a network of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import need

pytestmark = pytest.mark.interop

HUB = """
import threading, hubfarm

class Dialogue(hubfarm.WebProfileDialog):
    def show_dialog(self, name, details, client, origin):
        self.consent()

dialogue = Dialogue()
hub = hubfarm.SAMPHubServer(mode="multiple", label="w", web_profile_dialog=dialogue, web_mtypes=["test.*", "calc.*"])
hub.start()
print(hub._web_port, flush=True)
while True:
    dialogue.handle_queue()
    threading.Event().wait(0.02)
"""


def ip(*arguments: str) -> None:
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need ip (Debian's iproute2)")
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"network namespaces are not allowed here: {done.stderr.strip()}")


@pytest.fixture
def network() -> Iterator[list[str]]:
    """What runs a command where the port 21012 is free."""
    need("jsamp")
    name = f"hfw{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, timeout=30)


@pytest.fixture
def _hub(network: list[str], home: Path) -> Iterator[None]:
    with subprocess.Popen([*network, sys.executable, "-c", HUB], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "21012\n"
            yield
        finally:
            process.kill()


def as_page(network: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a JSAMP command whose clients are web pages, as they understand it."""
    environment = os.environ | {"SAMP_HUB": "web-appname:jsamp"}
    line = [*network, *command]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100)


@pytest.mark.usefixtures("_hub")
def test_hub_tester_passes_in_the_web_profile(network: list[str]) -> None:
    done = as_page(network, "jsamp", "hubtester")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_hub")
@pytest.mark.parametrize("mode", ["sync", "async", "notify", "random"])
def test_storm_of_calculators_gets_every_answer_in_the_web_profile(network: list[str], mode: str) -> None:
    done = as_page(network, "jsamp", "calcstorm", "-nclient", "10", "-nquery", "50", "-mode", mode)
    assert done.returncode == 0, done.stderr
    assert "Elapsed time" in done.stdout + done.stderr
