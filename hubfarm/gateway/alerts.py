"""Where a question is shown besides the terminal: in the user's browser, and as a notification of the desktop."""

import asyncio
import os
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loguru import logger

from hubfarm.gateway.board import Board
from hubfarm.gateway.consent import Question
from hubfarm.gateway.hubs import WebHub
from hubfarm.registry.files import write_private
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import WebSettings
from hubfarm.samp.errors import HubfarmError

OPEN_AGAIN = 30.0
"""A browser that was opened is given so long to show the questions, seconds."""

Answer = Callable[[str, str], None]
"""Told the id of a question, and the label of the hub that the page may enter; an empty one is no."""


class Browser:
    """Opens the gateway's page in the user's browser, if there is a display and nobody looks on.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    board : Board
        Knows whether somebody looks on.
    settings : callable
        Returns the settings in force.
    address : str
        The page's address, with the token.
    """

    def __init__(self, paths: Paths, board: Board, settings: Callable[[], WebSettings], address: str) -> None:
        self._file = paths.runtime / "web.html"
        self._board = board
        self._settings = settings
        self._address = address
        self._opened = -OPEN_AGAIN

    def show(self, question: Question, hubs: Sequence[WebHub]) -> None:
        """Open it."""
        now = asyncio.get_running_loop().time()
        if not self._settings().browser or self._board.lookers or now - self._opened < OPEN_AGAIN or not has_display():
            return
        self._opened = now
        try:
            file = leading_to(self._address, self._file)
        except HubfarmError as error:
            logger.warning("no browser is opened: {}", error)
            return
        threading.Thread(target=open_in_browser, args=(file,), daemon=True).start()


def has_display() -> bool:
    """Tell whether this process could show a window."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def leading_to(address: str, file: Path) -> str:
    """Write a file that leads a browser to an address with a secret in it; return the file's URL.

    Other accounts see a browser's argument list.

    Raises
    ------
    HubfarmError
        It cannot be written.
    """
    write_private(
        file,
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>hubfarm</title>'
        f'<meta http-equiv="refresh" content="0; url={quote(address, safe=":/#=")}">\n',
    )
    return file.as_uri()


def open_in_browser(url: str) -> None:
    """Open the user's browser, whatever it is; it may take as long as that is there."""
    with suppress(Exception):
        webbrowser.open(url)


class Notifications:
    """Asks by notifications of the desktop, with buttons; with `hubfarm[desktop]`, and where there is a session bus.

    Parameters
    ----------
    settings : callable
        Returns the settings in force.
    answer : callable
        Told what the user has clicked.
    """

    NAME = "org.freedesktop.Notifications"
    PATH = "/org/freedesktop/Notifications"

    def __init__(self, settings: Callable[[], WebSettings], answer: Answer) -> None:
        self._settings = settings
        self._answer = answer
        self._desktop: Any = None
        self._bus: Any = None
        self._shown: dict[int, tuple[str, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def show(self, question: Question, hubs: Sequence[WebHub]) -> None:
        """Show a question."""
        if self._settings().notify and os.environ.get("DBUS_SESSION_BUS_ADDRESS") and hubs:
            self._begin(self._show(question, hubs[0].label))

    def withdraw(self, id: str) -> None:
        """Take a question away that waits no more."""
        for number, (question, _) in list(self._shown.items()):
            if question == id:
                del self._shown[number]
                self._begin(self._desktop.call_close_notification(number))

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Any) -> None:
        try:
            await work
        except ImportError:
            logger.info("no notifications of the desktop: pip install 'hubfarm[desktop]' brings them")
        except Exception as error:
            logger.warning("the desktop does not show a question: {!r}", error)

    async def _show(self, question: Question, label: str) -> None:
        desktop = await self._connected()
        buttons = ["allow", f"Let it into {label}, this time", "deny", "No"]
        body = f"{question.origin}\n{question.suspicion}".strip()
        number = await desktop.call_notify(
            "hubfarm", 0, "", f"{question.name or 'A web page'} asks to come in", _as_text(body), buttons, {},
            int(1000 * self._settings().patience),
        )  # fmt: skip
        self._shown[number] = question.id, label

    async def _connected(self) -> Any:
        if self._desktop is None or not self._bus.connected:
            from dbus_fast.aio import MessageBus

            self._bus = await MessageBus().connect()
            seen = await self._bus.introspect(self.NAME, self.PATH)
            self._desktop = self._bus.get_proxy_object(self.NAME, self.PATH, seen).get_interface(self.NAME)
            self._desktop.on_action_invoked(self._clicked)
            self._desktop.on_notification_closed(self._closed)
        return self._desktop

    def _clicked(self, number: int, action: str) -> None:
        question, label = self._shown.pop(number, ("", ""))
        if question and action in ("allow", "deny"):
            self._answer(question, label if action == "allow" else "")

    def _closed(self, number: int, reason: int) -> None:
        self._shown.pop(number, None)  # to wipe it away is no answer: it is asked elsewhere too

    def close(self) -> None:
        """Show nothing more."""
        if self._bus is not None:
            self._bus.disconnect()


def _as_text(text: str) -> str:
    """Return a text for a notification's body, which may have markup in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
