"""The gateway as a process: what it is put together of, and its life.

SIGTERM ends it, SIGHUP opens its log anew and has it read the settings again, SIGUSR2 hands its sockets to a new
coordinator.  It ends by itself when no page has been there for a while.
"""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Sequence

from loguru import logger

from hubfarm.gateway.alerts import Browser, Notifications
from hubfarm.gateway.asking import Asking, Lasts
from hubfarm.gateway.board import Board
from hubfarm.gateway.carrier import Carrier
from hubfarm.gateway.console import Console
from hubfarm.gateway.door import Door
from hubfarm.gateway.forward import Forward
from hubfarm.gateway.front import Front, server_for
from hubfarm.gateway.hubs import Hubs
from hubfarm.gateway.line import Line
from hubfarm.gateway.pages import Pages
from hubfarm.gateway.translator import Translator
from hubfarm.gateway.visitors import Visitors
from hubfarm.registry.handover import WEB, hand_over
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.registry.unix_socket import UnixSocket
from hubfarm.registry.web_memory import WebMemory
from hubfarm.registry.web_token import page_address, web_token
from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.connections import raise_descriptor_limit

LOOK = 1.0
"""Between two looks at what has run out, seconds."""


class Gateway:
    """The gateway of one farm, in the running event loop.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    listening : sequence of socket
        Where pages come in.
    switchboard : socket or None
        The line by which the host's switchboard hands them over.
    reopen_log : callable
        Opens the log anew.

    Raises
    ------
    HubfarmError
        The settings are wrong, or the token cannot be made.
    """

    def __init__(
        self,
        paths: Paths,
        listening: Sequence[socket.socket],
        switchboard: socket.socket | None,
        reopen_log: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._listening = listening
        self._reopen_log = reopen_log
        self._settings = load_settings().web
        port = listening[0].getsockname()[1] if listening else self._settings.port
        token = web_token(paths)
        self._board = Board()
        self._memory = WebMemory(paths)
        self._hubs = Hubs(paths)
        self._forward = Forward(self._hubs)
        self._pages = Pages(paths)
        self._asking = Asking(self._hubs, self._memory, self._board, lambda: self._settings)
        base = f"http://localhost:{port}"
        self._carrier = Carrier(self._forward.tell_of_pulls)
        self._door = Door(self._hubs, self._forward, self._pages, self._asking, self._carrier, self._pages_change, base)
        self._translator = Translator(self._forward, self._pages)
        self._console = Console(
            self._asking, self._pages, self._door, self._memory, self._board, lambda: self._settings, token
        )
        self._visitors = Visitors()
        self._front = Front(self._visitors, self._door, self._translator, self._console)
        self._notifications = Notifications(lambda: self._settings, self._answered_on_the_desktop)
        browser = Browser(paths, self._board, lambda: self._settings, page_address(port, token))
        self._asking.alerts += [browser.show, self._notifications.show]
        self._asking.settled.append(self._notifications.withdraw)
        self._line = Line(switchboard) if switchboard else None
        self._ended = asyncio.Event()
        self._used = time.monotonic()
        self._answering: set[asyncio.Task[None]] = set()
        self._trouble = ""

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until a signal or idleness ends it.

        Parameters
        ----------
        ready : callable
            Called when it serves.

        Raises
        ------
        HubfarmError
            The Unix socket cannot be made.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR2, self._hand_over)
        self._pages.recall(time.monotonic())
        place = UnixSocket(self._paths.web_socket, "web gateway's socket")
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(place.remove)
            local = server_for(self._console.answer_locally)
            closing.push_async_callback(local.shutdown, 1.0)
            closing.callback((await loop.create_unix_server(local, sock=place.listen())).close)
            pages = server_for(self._front, self._visitors)
            closing.push_async_callback(pages.shutdown, 1.0)
            for sock in self._listening:
                server = await loop.create_server(pages, sock=sock)
                closing.callback(server.close)
            if self._line is not None:
                closing.callback(self._line.close)
                self._line.open(pages)
            closing.push_async_callback(self._forward.close)
            closing.push_async_callback(self._carrier.close)
            closing.push_async_callback(self._translator.close)
            closing.callback(self._notifications.close)
            closing.callback(self._visitors.close)
            logger.info("serving on {} sockets", len(self._listening))
            ready()
            while not self._ended.is_set() and not self._is_idle():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._ended.wait()
                self._look()
        logger.info("ended")

    def _look(self) -> None:
        now = time.monotonic()
        self._asking.expire()
        if self._pages.forget_silent(now):
            self._pages_change()
        if len(self._pages) or self._asking.consent.waiting or self._board.lookers:
            self._used = now

    def _is_idle(self) -> bool:
        unused = time.monotonic() - max(self._used, self._front.last_request)
        return unused >= self._settings.idle

    def _pages_change(self) -> None:
        self._board.change()
        self._write_down()

    def _write_down(self) -> None:
        try:
            self._pages.write_down()
            self._trouble = ""
        except HubfarmError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.error("{}; trying on", error)

    def _answered_on_the_desktop(self, id: str, label: str) -> None:
        async def answer() -> None:
            try:
                if label:
                    await self._asking.allow(id, label, Lasts.ONCE)
                else:
                    self._asking.deny(id)
            except HubfarmError as error:
                logger.warning("an answer on the desktop came to nothing: {}", error)

        task = asyncio.ensure_future(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _reload(self) -> None:
        self._reopen_log()
        try:
            self._settings = load_settings().web
        except HubfarmError as error:
            logger.error("the settings stay as they were: {}", error)

    def _hand_over(self) -> None:
        for sock in self._listening:
            try:
                hand_over(sock, self._paths.handover_socket, f"{WEB} {sock.getsockname()[0]}")
            except OSError as error:
                logger.warning("could not hand a listening socket over: {}", error.strerror)
                return
        logger.info("handed the listening sockets to a new coordinator")


def run(
    paths: Paths,
    listening: Sequence[int],
    switchboard: int | None,
    reopen_log: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    """Be the gateway, on sockets that this process has inherited.

    Raises
    ------
    HubfarmError
        It cannot start.
    """
    import uvloop

    raise_descriptor_limit()
    sockets = [socket.socket(fileno=descriptor) for descriptor in listening]
    line = socket.socket(fileno=switchboard) if switchboard is not None else None

    async def serve() -> None:
        await Gateway(paths, sockets, line, reopen_log).run(ready)

    uvloop.run(serve())
