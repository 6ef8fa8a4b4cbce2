"""The dashboard inside JupyterLab: in its launcher, under its prefix, on a Unix socket."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from hubfarm.farm import Farm
from tests.interop.browser_support import chromium
from tests.support import need_module, running, wait_for

pytestmark = pytest.mark.interop

PREFIX = "/user/luigi/"


@pytest.fixture
def lab(home: Path) -> Iterator[str]:
    """JupyterLab as a hub of Jupyter's would run it; its address."""
    need_module("jupyterlab")
    need_module("jupyter_server_proxy")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    options = ["--IdentityProvider.token=sesame", f"--ServerApp.base_url={PREFIX}", f"--ServerApp.root_dir={home}"]
    address = f"http://localhost:{port}{PREFIX}"
    with running(*command, *options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: _answers(f"{address}api"), "JupyterLab")
        yield address
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def test_launcher_leads_to_the_dashboard(lab: str, farm: Farm, home: Path) -> None:
    farm.start(count=2, group="mima")
    with chromium(home / "profile") as browser:
        page = browser.new_page()
        page.goto(f"{lab}lab?token=sesame")
        with browser.expect_page() as opened:
            page.locator(".jp-LauncherCard", has_text="SAMP hubs").click()
        hubs = opened.value
        complaints: list[str] = []
        hubs.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        hubs.locator(".rows .row", has_text="mima-2").wait_for()
        assert hubs.url.startswith(f"{lab}hubfarm/")
        hubs.locator(".live", has_text="Live").wait_for()
        hubs.get_by_label("Select mima-2").check()
        hubs.get_by_role("button", name="Stop").click()
        hubs.get_by_role("dialog").get_by_role("button", name="Stop").click()
        hubs.get_by_text("1 hub stopped").wait_for()
        assert not complaints
    assert [hub.label for hub in farm.hubs()] == ["mima-1"]
