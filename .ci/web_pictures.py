"""Make the pictures of docs/web.md anew: ``python .ci/web_pictures.py`` (needs chromium, and hubfarm[interop]).

A farm in a home of its own, pages of sampjs, and the gateway's page as a user sees it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.interop.browser_support import Site, chromium  # noqa: E402

PORT = 21112
HUBFARM = [sys.executable, "-m", "hubfarm"]


def hubfarm(*arguments: str) -> str:
    """Run a command."""
    return subprocess.run([*HUBFARM, *arguments], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Make them."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ |= {"HOME": directory, "HUBFARM_WEB_PORT": str(PORT), "HUBFARM_SHARED_DIR": f"{directory}/shared"}
        hubfarm("start", "--count", "2", "--group", "mima", "--owner", "luigi")
        site = Site(PORT)
        try:
            with chromium(Path(directory) / "profile", "--force-device-scale-factor=1") as browser:
                _take(browser, site)
        finally:
            site.close()
            hubfarm("stop", "--all", "--coordinator")


def _take(browser: Any, site: Site) -> None:
    console = browser.new_page()
    console.set_viewport_size({"width": 760, "height": 660})
    console.goto(hubfarm("web", "url").strip())
    viewer = browser.new_page()
    viewer.goto(f"{site.origin}/viewer.html")
    viewer.evaluate("enter('Sky viewer of an archive')")
    console.locator(".card").wait_for()
    time.sleep(1.0)
    console.screenshot(path=ROOT / "docs" / "web-asks.png")
    console.locator("select.for").select_option("day")
    console.get_by_role("button", name="Let it in").click()
    console.locator("#pages tbody tr").wait_for()
    time.sleep(0.5)
    console.screenshot(path=ROOT / "docs" / "web-in.png")


if __name__ == "__main__":
    main()
