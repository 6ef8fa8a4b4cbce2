"""A dashboard as its user starts it, or in the test's own process; and a browser's part as far as it is HTTP."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from hubfarm.dashboard.process import Asked, Dashboard
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from hubfarm.spec.states import HubState
from tests.support import PATIENCE, running, wait_for


def free_port() -> int:
    """Return a port that is free just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(path: Path) -> bool:
    """Whether a Unix socket takes connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        return connection.connect_ex(str(path)) == 0


def give_up(farm: Farm, label: str) -> None:
    """Kill a hub and each of its successors, until the coordinator gives it up."""
    killed: set[int] = set()

    def is_given_up() -> bool:
        hub = next((hub for hub in farm.hubs() if hub.label == label), None)
        if hub is not None and hub.pid is not None and hub.alive and hub.pid not in killed:
            with suppress(ProcessLookupError):
                os.kill(hub.pid, signal.SIGKILL)
                killed.add(hub.pid)
        return hub is not None and hub.state is HubState.FAILED

    wait_for(is_given_up, f"{label} is given up")


@dataclass(frozen=True)
class Shown:
    """A dashboard that serves at a port."""

    port: int
    token: str

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def address(self) -> str:
        return f"{self.origin}/#token={self.token}"


@dataclass(frozen=True)
class Started(Shown):
    """A dashboard that its user has started."""

    process: subprocess.Popen[str]


@contextmanager
def started_dashboard(*options: str) -> Iterator[Started]:
    """Run ``hubfarm dashboard`` until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "hubfarm", "dashboard", "--no-browser", "--port", str(port), *options]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield Started(port, address.partition("#token=")[2], process)
        process.terminate()
        assert process.wait(PATIENCE) == 0


@contextmanager
def dashboard(**asked: Any) -> Iterator[Shown]:
    """Run a dashboard in this process until the end of the block, in a thread with a loop of its own."""
    with serving(**asked) as address:
        place, _, token = address.partition("/#token=")
        yield Shown(int(place.rpartition(":")[2]), token)


@contextmanager
def serving(**asked: Any) -> Iterator[str]:
    """Do as `dashboard`; yield what it says when it serves: its address, or by a Unix socket its token."""
    serves: Future[str] = Future()
    ends: list[Callable[[], None]] = []

    async def main() -> None:
        loop, one = asyncio.get_running_loop(), Dashboard(Paths.from_environment().prepare(), Asked(**asked))
        ends.append(lambda: loop.call_soon_threadsafe(one.end))
        await one.run(serves.set_result)

    def run() -> None:
        try:
            asyncio.run(main())
        except Exception as error:
            if serves.done():
                raise
            serves.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield serves.result(PATIENCE)
    finally:
        for end in ends:
            with suppress(RuntimeError):  # it has ended by itself
                end()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Page:
    """A page of a dashboard: it has a cookie once it has entered."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self.session = session
        self.origin = origin

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Return an answer's status and JSON; the origin is a page's of the dashboard if nothing else is said."""
        headers = {"Origin": self.origin} | options.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        async with self.session.request(method, f"{self.origin}/{path}", headers=headers, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else {"text": text}

    async def enter(self, **entry: str) -> int:
        """Log in."""
        return (await self.ask("POST", "enter", json=entry))[0]

    async def act(self, name: str, /, **asked: Any) -> dict[str, Any]:
        """Have something done."""
        status, told = await self.ask("POST", f"do/{name}", json=asked)
        assert status == 200, told
        return told

    @asynccontextmanager
    async def listen(self, topic: str, **asked: Any) -> AsyncIterator[AsyncIterator[Any]]:
        """Listen to a topic."""
        async with self.session.ws_connect(f"{self.origin}/ws", headers={"Origin": self.origin}) as socket:
            await socket.send_json({"listen": topic, "as": 1, "with": asked})

            async def told() -> AsyncIterator[Any]:
                async for message in socket:
                    said = json.loads(message.data)
                    if "over" in said:
                        raise AssertionError(said["over"])
                    yield said["data"]

            yield told()


@asynccontextmanager
async def page(shown: Shown, *, enters: bool = True) -> AsyncIterator[Page]:
    """Open a page."""
    jar = aiohttp.CookieJar(unsafe=True)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) as session:
        one = Page(session, shown.origin)
        if enters:
            assert await one.enter(token=shown.token) == 200
        yield one


@asynccontextmanager
async def page_by_socket(path: Path) -> AsyncIterator[Page]:
    """Open a page behind a proxy that comes by a Unix socket."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), cookie_jar=jar) as session:
        yield Page(session, "http://localhost")
