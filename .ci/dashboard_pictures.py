"""Make the pictures of docs/dashboard.md anew: ``python .ci/dashboard_pictures.py``.

It needs chromium, and hubfarm[interop]. A farm in a home of its own, some clients that talk, and the dashboard as a
user sees it.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hubfarm.client.aio import AsyncClient  # noqa: E402
from tests.dashboard.dashboard_support import started_dashboard  # noqa: E402
from tests.interop.browser_support import chromium  # noqa: E402

HUBFARM = [sys.executable, "-m", "hubfarm"]
HUBS = (
    ("--count", "4", "--group", "mima", "--owner", "luigi"),
    ("--count", "3", "--group", "vandels", "--owner", "anna"),
    ("--label", "night-shift", "--owner", "marta", "--group", "oact"),
    ("--label", "teaching", "--owner", "luigi"),
)
TALK = (("mima-1", 4, 0.1), ("mima-2", 2, 0.6), ("night-shift", 3, 0.3), ("vandels-2", 2, 1.5))
PROGRAMS = {
    "TOPCAT": ("Tool for OPerations on Catalogues And Tables", ["table.load.votable", "table.load.fits"]),
    "Aladin": ("The Aladin sky atlas", ["image.load.fits", "table.load.votable", "coord.pointAt.sky"]),
    "DS9": ("SAOImage DS9", ["image.load.fits", "ds9.set", "ds9.get"]),
    "reduction": ("The pipeline of the night", ["coord.pointAt.sky"]),
}  # fmt: skip
WATCHED = 95.0
"""So long they talk before the pictures: as long as a line shows, seconds."""


def hubfarm(*arguments: str) -> str:
    """Run a command."""
    return subprocess.run([*HUBFARM, *arguments], check=True, capture_output=True, text=True).stdout


def load(message: Any) -> dict[str, Any]:
    """Find one table, and the other one not."""
    if message.params["name"] == "galaxies":
        return {}
    return {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "no such file: /data/night/stars.vot"}}


async def talk(label: str, count: int, pause: float, ended: threading.Event) -> None:
    """Be some clients of a hub, of which the first points at the sky now and then."""
    clients = []
    for name, (about, mtypes) in list(PROGRAMS.items())[:count]:
        client = AsyncClient(name, about, label=label)
        for mtype in mtypes:
            client.on_notification(mtype)(lambda message: None)
        client.on_call("table.load.votable")(load if name == "Aladin" else lambda message: {})
        clients.append(await client.connect())
    while not ended.is_set():
        await asyncio.sleep(random.expovariate(1 / pause))
        for _ in range(random.randint(1, 12)):
            await clients[0].notify_all(
                {"samp.mtype": "coord.pointAt.sky", "samp.params": {"ra": "10.68", "dec": "41.27"}}
            )
        if random.random() < 0.1:
            name = random.choice(["galaxies", "stars"])
            params = {"name": name, "table-id": name, "url": f"file:///data/night/{name}.vot"}
            await clients[0].call_all("load", {"samp.mtype": "table.load.votable", "samp.params": params})
    for client in clients:
        await client.disconnect()


async def talk_on_all(ended: threading.Event) -> None:
    """Talk on some hubs."""
    await asyncio.gather(*(talk(*each, ended) for each in TALK))


def main() -> None:
    """Make them."""
    random.seed(7)
    with tempfile.TemporaryDirectory() as directory:
        os.environ |= {"HOME": directory, "HUBFARM_WEB_PORT": "0", "HUBFARM_SHARED_DIR": f"{directory}/shared"}
        for options in HUBS:
            hubfarm("start", *options)
        ended = threading.Event()
        talking = threading.Thread(target=lambda: asyncio.run(talk_on_all(ended)))
        talking.start()
        try:
            with (
                started_dashboard() as shown,
                chromium(Path(directory) / "profile", "--force-device-scale-factor=1") as browser,
            ):
                time.sleep(WATCHED)
                _take(browser, shown.address)
        finally:
            ended.set()
            talking.join()
            hubfarm("stop", "--all", "--coordinator")


def _take(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.set_viewport_size({"width": 1280, "height": 760})
    page.emulate_media(color_scheme="light")
    page.goto(address)
    page.locator(".rows .row").nth(8).wait_for()
    place = page.url.partition("#")[0]
    time.sleep(2.0)
    page.screenshot(path=ROOT / "docs" / "dashboard-light.png")
    page.emulate_media(color_scheme="dark")
    page.goto(f"{place}#/hub/1")
    page.locator(".client").nth(3).wait_for()
    time.sleep(2.5)
    page.screenshot(path=ROOT / "docs" / "dashboard-dark.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 960})
    page.goto(f"{place}#/hub/1/conversation")
    page.get_by_label("MType:").fill("table.load")
    failed = page.locator(".messages > li", has_text="error")
    failed.nth(1).wait_for()
    failed.last.locator(".line").click()
    page.locator(".whole .tree").first.wait_for()
    page.get_by_role("button", name="Pause").click()
    page.locator(".scroll").evaluate("node => (node.scrollTop = node.scrollHeight)")
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=ROOT / "docs" / "dashboard-conversation.png")
    page.set_viewport_size({"width": 390, "height": 720})
    page.goto(f"{place}#/")
    page.locator(".rows .row").nth(4).wait_for()
    time.sleep(2.0)
    page.screenshot(path=ROOT / "docs" / "dashboard-phone.png")


if __name__ == "__main__":
    main()
