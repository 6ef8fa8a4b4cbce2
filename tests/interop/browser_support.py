"""Chromium as a user has it, and pages that use sampjs, for tests of the Web Profile."""

import os
import shlex
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import need, need_module

HERE = Path(__file__).parent / "pages"

QUIET = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def sampjs() -> str:
    """Return sampjs as its authors ship it: ``HUBFARM_SAMPJS`` names it, or npm fetches it once."""
    return _from_npm("sampjs", "1.0.3", "samp.js", "HUBFARM_SAMPJS")


def axe() -> str:
    """Return axe-core, which finds what keeps people from using a page: ``HUBFARM_AXE`` names it, or npm fetches it."""
    return _from_npm("axe-core", "4.10.3", "axe.min.js", "HUBFARM_AXE")


def _from_npm(package: str, version: str, file: str, variable: str) -> str:
    named = os.environ.get(variable)
    path = Path(named) if named else Path(f"/tmp/hubfarm-{package}-{version}/package/{file}")
    if not path.exists() and not named:
        need("npm")
        directory = path.parents[1]
        directory.mkdir(exist_ok=True)
        environment = os.environ | {"HOME": str(directory)}
        options: dict[str, Any] = {"cwd": directory, "env": environment, "check": True, "capture_output": True}
        subprocess.run(["npm", "pack", f"{package}@{version}"], **options)
        subprocess.run(["tar", "xzf", f"{package}-{version}.tgz"], **options)
    return path.read_text()


class Site:
    """A web site of one origin, whose pages look for a hub at the given port."""

    def __init__(self, hub_port: int, host: str = "localhost") -> None:
        code = sampjs().replace("WEBSAMP_PORT = 21012", f"WEBSAMP_PORT = {hub_port}")

        class Serve(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.partition("?")[0].lstrip("/")
                if name == "samp.js":
                    body, kind = code.encode(), "text/javascript"
                elif (HERE / name).is_file():
                    body, kind = (HERE / name).read_bytes(), "text/html"
                else:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.origin = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def chromium(profile: Path, *flags: str, inside: Sequence[str] = ()) -> Iterator[Any]:
    """Run a browser with a fresh profile, by the command `inside` if given; yield Playwright's browser context."""
    playwright = need_module("playwright.sync_api")
    executable = need("chromium")
    if inside:
        script = profile.with_name("chromium-inside")
        script.write_text(f'#!/bin/sh\nexec {shlex.join(inside)} {executable} "$@"\n')
        script.chmod(0o755)
        executable = str(script)
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            str(profile), executable_path=executable, headless=True, args=[*QUIET, *flags], env=dict(os.environ)
        )
        context.set_default_timeout(20_000)
        try:
            yield context
        finally:
            context.close()


@pytest.fixture
def sites(web_port: int) -> Iterator[Any]:
    """Make sites: ``sites("localhost")``."""
    made: list[Site] = []

    def make(host: str = "localhost") -> Site:
        made.append(Site(web_port, host))
        return made[-1]

    yield make
    for site in made:
        site.close()
