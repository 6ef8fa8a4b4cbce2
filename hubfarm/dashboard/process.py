"""The dashboard as a process: what it is put together of, and its life.

SIGTERM and SIGINT end it.  It ends by itself when nobody has looked for a while.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from loguru import logger

from hubfarm.dashboard import access_view, consent_view, conversation_view, desktop_view, farm_view, hub_view, log_view
from hubfarm.dashboard.front import Front
from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Part
from hubfarm.dashboard.sessions import Sessions
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.unix_socket import UnixSocket
from hubfarm.samp.errors import BadLockFile, HubfarmError
from hubfarm.wire.loopback import listen_on_loopback

PARTS: Sequence[Callable[[House], Part]] = (
    farm_view.part,
    hub_view.part,
    conversation_view.part,
    log_view.part,
    consent_view.part,
    access_view.part,
    desktop_view.part,
)
"""The views."""

PORT = 8621
"""Where a dashboard is found, or at one of the next ports."""

MOST_TRIES = 50
"""So many ports are tried."""

IDLE = 600.0
"""It ends when nobody has looked for so long, seconds."""

LOOK = 1.0
"""Between two looks whether somebody does, seconds."""

THREADS = 32
"""What waits for hubs waits in so many threads at most."""


class Running(NamedTuple):
    """A dashboard that runs, as the account finds it.

    Parameters
    ----------
    port : int
        Where it listens.
    token : str
        What shows to it that somebody is the farm's account.
    """

    port: int
    token: str

    @property
    def address(self) -> str:
        """Return its address with the token in it, where no request carries it."""
        return address_of(self.port, self.token)


def address_of(port: int, token: str) -> str:
    """Return a dashboard's address with its token, where no request carries it.

    Examples
    --------
    >>> address_of(8621, "abc")
    'http://localhost:8621/#token=abc'
    """
    return f"http://localhost:{port}/#token={token}"


def running(paths: Paths) -> Running | None:
    """Return the dashboard that this account runs already, if it does."""
    if not guard_is_held(paths.dashboard_guard):
        return None
    try:
        told = json.loads(read_private(paths.dashboard))
        return Running(int(told["port"]), str(told["token"]))
    except (OSError, BadLockFile, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a dashboard is asked to be.

    Parameters
    ----------
    port : int or None
        Where it listens on loopback; None: where it can, from `PORT` on.
    socket : Path or None
        The Unix socket where it listens instead.
    names : collection of str
        By which names it is called beside those of loopback.
    token : bool
        Whether who comes by the Unix socket has to show the token.
    idle : float
        It ends when nobody has looked for so long, seconds; 0 for never.
    icons : bool
        Whether clients' icons are fetched that lie on other hosts.
    """

    port: int | None = None
    socket: Path | None = None
    names: Collection[str] = ()
    token: bool = True
    idle: float = IDLE
    icons: bool = True


class Dashboard:
    """One dashboard, in the running event loop.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    asked : Asked
        How it is to be.

    Raises
    ------
    HubfarmError
        It cannot listen, or the settings file is wrong.
    """

    def __init__(self, paths: Paths, asked: Asked) -> None:
        self._paths = paths
        self._asked = asked
        self._token = secrets.token_hex(24)
        self._house = House(paths, icons=asked.icons)
        self._parts = [make(self._house) for make in PARTS]
        self._front = Front(
            Sessions(paths, self._token, time.monotonic),
            self._parts,
            cookie=f"hubfarm-{secrets.token_hex(4)}",  # every port of a host gets it: dashboards are told apart by it
            names=asked.names,
            trusts_socket=not asked.token,
        )
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Serve no more; `run` returns soon."""
        self._ended.set()

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until `end` is called, or nobody has looked for a while.

        Parameters
        ----------
        ready : callable
            Told its address when it serves; by a Unix socket, the token alone.

        Raises
        ------
        HubfarmError
            It cannot listen.
        """
        async with contextlib.AsyncExitStack() as closing:
            sockets, address = self._listen(closing)
            runner = web.AppRunner(
                self._front.application(), handle_signals=False, access_log=None, shutdown_timeout=1.0,
                handler_cancellation=True, max_line_size=16 * 2**10,
            )  # fmt: skip
            await runner.setup()
            closing.callback(self._front.close)
            closing.push_async_callback(runner.cleanup)
            for part in self._parts:
                if part.close is not None:
                    closing.push_async_callback(part.close)
            await self._house.lookout.look()
            looking = asyncio.create_task(self._house.lookout.run())
            closing.callback(looking.cancel)
            for sock in sockets:
                await web.SockSite(runner, sock).start()
            logger.info("serving")
            ready(address)
            while not self._ended.is_set() and not self._is_idle():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._ended.wait()
        logger.info("ended")

    def _is_idle(self) -> bool:
        if self._front.pages or not self._asked.idle:
            return False
        return time.monotonic() - self._front.last_request >= self._asked.idle

    def _listen(self, closing: contextlib.AsyncExitStack) -> tuple[list[socket.socket], str]:
        if self._asked.socket is not None:
            place = UnixSocket(self._asked.socket, "dashboard's socket")
            sock = place.listen()
            closing.callback(place.remove)
            return [sock], self._token if self._asked.token else ""
        port, sockets = listen_near(self._asked.port)
        write_private(self._paths.dashboard, json.dumps({"port": port, "token": self._token, "pid": os.getpid()}))
        closing.callback(lambda: self._paths.dashboard.unlink(missing_ok=True))
        return sockets, address_of(port, self._token)


async def serve(paths: Paths, asked: Asked, ready: Callable[[str], None]) -> None:
    """Be a dashboard until a signal ends it, or nobody has looked for a while; see `Dashboard.run`.

    Raises
    ------
    HubfarmError
        It cannot listen, or the settings file is wrong.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    dashboard = Dashboard(paths, asked)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, dashboard.end)
    await dashboard.run(ready)


def listen_near(port: int | None) -> tuple[int, list[socket.socket]]:
    """Return a port and what listens there, on loopback; without a port the first free one from `PORT` on.

    Raises
    ------
    HubfarmError
        It is in use, or all are.
    """
    if port is not None:
        return port, list(listen_on_loopback(port).values())
    for candidate in range(PORT, PORT + MOST_TRIES):
        with contextlib.suppress(HubfarmError):
            return candidate, list(listen_on_loopback(candidate).values())
    raise HubfarmError(f"the ports from {PORT} on are all in use: choose one by --port")
