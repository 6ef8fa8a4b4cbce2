"""Somebody's desktop, for tests: its hub with a door for web pages, and what a page in a browser does there."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hubfarm
from hubfarm.bridge.rights import Who
from hubfarm.desktop.joined import Joined
from hubfarm.desktop.line import PageLine
from tests.support import PATIENCE, wait_for


class User(hubfarm.WebProfileDialog):
    """Who sits there, and is asked about pages."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.says_yes = True
        self.has_thought = threading.Event()
        self.has_thought.set()

    def show_dialog(self, samp_name: Any, details: Any, client: Any, origin: Any) -> None:
        self.asked.append(str(samp_name["samp.name"] if isinstance(samp_name, dict) else samp_name))
        self.has_thought.wait(PATIENCE)
        self.consent() if self.says_yes else self.reject()


@contextmanager
def desktop_hub(directory: Path) -> Iterator[tuple[hubfarm.SAMPHubServer, User]]:
    """Run a desktop's hub in this process until the end of the block."""
    user, ended = User(), threading.Event()
    hub = hubfarm.SAMPHubServer(lockfile=str(directory / "samp"), web_profile_dialog=user, web_port=0)
    hub.start()

    def sit_there() -> None:
        while not ended.wait(0.02):
            user.handle_queue()

    thread = threading.Thread(target=sit_there)
    thread.start()
    try:
        yield hub, user
    finally:
        ended.set()
        thread.join(PATIENCE)
        hub.stop()


def _asked_there(port: int, told: dict[str, Any]) -> bytes:
    """Do what a page is told to, at the port of the desktop's hub."""
    if "get" in told:
        request = urllib.request.Request(told["get"].replace("localhost:21012", f"localhost:{port}"))
    else:
        request = urllib.request.Request(
            f"http://localhost:{port}/", told["post"].encode(), {"Content-Type": "text/xml"}
        )
    request.add_header("Origin", "http://localhost:8621")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()  # type: ignore[no-any-return]


class Page:
    """A page in a browser of the desktop, as far as a line to it goes; in the running event loop.

    Parameters
    ----------
    line : PageLine
        To it.
    port : int
        Where the desktop's hub answers pages.
    """

    def __init__(self, line: PageLine, port: int) -> None:
        self.state: dict[str, Any] = {}
        self._line = line
        self._port = port
        self._doing: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._be())

    async def _be(self) -> None:
        told: AsyncIterator[dict[str, Any]] = self._line.follow()
        try:
            async for each in told:
                if "state" in each:
                    self.state = each["state"]
                else:
                    task = asyncio.create_task(self._do(each))
                    self._doing.add(task)
                    task.add_done_callback(self._doing.discard)
        finally:
            await told.aclose()  # type: ignore[attr-defined]

    async def _do(self, told: dict[str, Any]) -> None:
        try:
            answer = await asyncio.to_thread(_asked_there, self._port, told)
        except (OSError, urllib.error.URLError) as error:
            self._line.fail(told["id"], str(error))
            return
        if not self._line.waits_for(told["id"]):
            return
        into = self._line.goal_of(told["id"])
        if into is not None:
            into.write_bytes(answer)
        self._line.answer(told["id"], into or answer)

    async def close(self) -> None:
        """Be closed, as a tab is."""
        self._task.cancel()
        await asyncio.gather(self._task, *self._doing, return_exceptions=True)


class Desktop:
    """A desktop that is joined with a hub of the farm, from the test's thread.

    Parameters
    ----------
    lock_file : Path
        The farm's hub.
    port : int
        Where the desktop's hub answers pages.
    who : Who
        The visitor.
    """

    def __init__(self, lock_file: Path, port: int, who: Who) -> None:
        self._port = port
        self._who = who
        self._lock_file = lock_file
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.joined: Joined = self.run(self._begin())
        self.page: Page | None = None

    def run(self, what: Any) -> Any:
        """Run a coroutine where all of it lives."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(PATIENCE)

    async def _begin(self) -> Joined:
        joined = Joined(self._lock_file, "mima-1", "http://there:1/file/", self._who)
        joined.ask()
        return joined

    def open_page(self) -> None:
        """Open the page."""

        async def begin() -> Page:
            return Page(self.joined.line, self._port)

        self.page = self.run(begin())

    def close_page(self) -> None:
        """Close it."""
        if self.page is not None:
            self.run(self.page.close())
            self.page = None

    @property
    def state(self) -> dict[str, Any]:
        """What the page shows."""
        return self.page.state if self.page is not None else {}

    def close(self) -> None:
        """Part the two, and close the page."""
        self.run(self.joined.close())
        self.close_page()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


@contextmanager
def joined_desktop(lock_file: Path, port: int, who: Who = Who()) -> Iterator[Desktop]:  # noqa: B008
    """Join a desktop until the end of the block; the page is open."""
    desktop = Desktop(lock_file, port, who)
    try:
        desktop.open_page()
        yield desktop
    finally:
        desktop.close()


def is_joined(desktop: Desktop) -> Callable[[], bool]:
    """Return what tells whether the two are joined."""
    return lambda: bool(desktop.state.get("joined"))


def wait_until_joined(desktop: Desktop) -> None:
    """Wait until the two are joined."""
    wait_for(is_joined(desktop), "the desktop is joined")
