"""Run the coordinator: detached in the background, or in the foreground under systemd.

Rule: the process that holds the coordinator's guard is the coordinator.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from loguru import logger
from msgspec import to_builtins
from setproctitle import setproctitle

from hubfarm.control.server import ControlServer
from hubfarm.coordinator.adoption import Adoption
from hubfarm.coordinator.control import Control
from hubfarm.coordinator.guard import CoordinatorGuard
from hubfarm.coordinator.handovers import Handovers
from hubfarm.coordinator.housekeeping import Housekeeping
from hubfarm.coordinator.hubs import Hubs
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.managed_wish import Sort
from hubfarm.coordinator.pages import Pages
from hubfarm.coordinator.service import Purpose
from hubfarm.coordinator.spawner import Spawner
from hubfarm.coordinator.supervisor import Supervisor
from hubfarm.coordinator.web_port import WebPort
from hubfarm.coordinator.wishes import ManagedWishes
from hubfarm.registry.bridges import Bridges
from hubfarm.registry.connections import Connections
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.registry.unix_socket import UnixSocket
from hubfarm.samp.errors import HubfarmError
from hubfarm.visible import visible


class Coordinator:
    """One coordinator, from its guard to its end, in the running event loop.

    SIGTERM and SIGINT end the farm in order, SIGHUP reopens logs and reads the settings again,
    SIGUSR1 logs a dump of what is known; SIGUSR2 ends the coordinator alone, and the hubs serve on.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie; prepared.
    spawner : Spawner
        Where workers come from.
    reopen_log : callable
        Opens the coordinator's log anew.
    reload : callable, optional
        Awaited at SIGHUP too, with the hubs.
    level : str
        What the web's gateway logs.

    Raises
    ------
    WrongUse
        The settings file is wrong.
    HubfarmError
        Another coordinator runs.
    """

    def __init__(
        self,
        paths: Paths,
        spawner: Spawner,
        reopen_log: Callable[[], None],
        reload: Callable[[Hubs], Awaitable[None]] | None = None,
        level: str = "INFO",
    ) -> None:
        self._paths = paths
        self._reload_hubs = reload
        self._reopen_log = reopen_log
        self._guard = CoordinatorGuard(paths)
        self._ended = asyncio.Event()
        self._settings = load_settings()
        self._supervisor = Supervisor()
        lockdir = LockDir(paths)
        self._hubs = Hubs(self._supervisor, lockdir, spawner, lambda: self._settings)
        self._web = WebPort(self._supervisor, paths, lambda: self._settings, level)
        sorts = (
            Sort("bridge", "hubfarm.bridge", Bridges(paths)),
            Sort("connection", "hubfarm.connect", Connections(paths)),
        )
        self._wishes = [ManagedWishes(self._supervisor, sort, level) for sort in sorts]
        control = Control(self._hubs, self._web, self._ended.set)
        self._pages = Pages(control.status, self._metrics)
        place = UnixSocket(paths.control_socket, "control socket")
        self._control = ControlServer(place, control.answer, self._pages.take)
        self._handovers = Handovers(paths, self._take_socket)
        self._adoption = Adoption(self._hubs, lockdir)
        self._reloading: asyncio.Task[None] | None = None

    async def run(self, ready: Callable[[Hubs], Awaitable[None]]) -> None:
        """Coordinate until a signal or a shutdown request ends the farm.

        Parameters
        ----------
        ready : callable
            Awaited once requests are taken; an exception from it ends the farm.

        Raises
        ------
        HubfarmError
            A socket cannot be made.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR1, self._dump)
        loop.add_signal_handler(signal.SIGUSR2, self._step_down)
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(self._handovers.close)
            self._handovers.listen()
            closing.callback(self._pages.close)
            closing.push_async_callback(self._control.close)
            await self._control.start()
            await self._pages.serve_metrics(self._settings.metrics)
            self._adoption.adopt()
            closing.callback(self._web.close)
            self._web.adopt()
            for wishes in self._wishes:
                wishes.adopt()
            self._supervisor.each_tick += [self._web.look, *(wishes.look for wishes in self._wishes)]
            watching = asyncio.create_task(self._supervisor.run())
            closing.push_async_callback(self._end_farm, watching)
            housekeeping = asyncio.create_task(self._housekeeping().run())
            closing.callback(housekeeping.cancel)
            self._web.look()
            logger.info("coordinating as process {}", os.getpid())
            await ready(self._hubs)
            notify_service_manager("READY=1")
            await self._ended.wait()
        logger.info("ended")

    async def _end_farm(self, watching: "asyncio.Task[None]") -> None:
        notify_service_manager("STOPPING=1")
        leaving = self._supervisor.closing
        logger.info("ending; the hubs serve on" if leaving else "ending the farm")
        await self._supervisor.close()
        await watching

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            self._paths,
            lambda: self._settings,
            self._guard,
            self._control,
            self._handovers,
            self._adoption,
            self._step_down,
        )

    def _take_socket(self, name: str, sock: socket.socket) -> None:
        if not self._web.take_socket(name, sock):
            self._hubs.take_socket(name, sock)

    def _step_down(self) -> None:
        self._supervisor.leave()
        self._ended.set()

    def _reload(self) -> None:
        self._reopen_log()
        logger.info("logs reopened; reading the settings again")
        self._reloading = asyncio.get_running_loop().create_task(self._read_settings())
        for wishes in self._wishes:
            wishes.reopen_logs()
        for hub in self._hubs.by_id().values():
            hub.reopen_log()

    async def _read_settings(self) -> None:
        try:
            settings = load_settings()
            await self._pages.serve_metrics(settings.metrics)
            self._settings = settings
            self._web.heed_settings()
        except HubfarmError as error:
            logger.error("the settings stay as they were: {}", error)
        if self._reload_hubs is not None:
            try:
                await self._reload_hubs(self._hubs)
            except HubfarmError as error:
                logger.error("the hubs stay as they were: {}", error)

    def _dump(self) -> None:
        logger.info("settings: {}", self._settings)
        for hub in self._hubs.by_id().values():
            logger.info("hub: {}", json.dumps(to_builtins(hub.state())))

    def _metrics(self) -> bytes:
        from hubfarm.coordinator.metrics import metrics  # 40 ms to load, which most farms never need

        return metrics(self._hubs, self._paths)


def notify_service_manager(state: str) -> None:
    """Tell systemd (``Type=notify``) about our state, if it has started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def run_in_background(paths: Paths, level: str, spawner: Spawner, ready_descriptor: int) -> None:
    """Be the coordinator that `hubfarm.coordinator.launch` has started; tell it by the pipe when ready.

    Raises
    ------
    HubfarmError
        The coordinator cannot start.
    """

    async def ready(_: Hubs) -> None:
        os.write(ready_descriptor, b"ready\n")
        os.close(ready_descriptor)

    _run(paths, level, spawner, paths.logs / "coordinator.log", ready)


def run_in_foreground(
    paths: Paths, level: str, spawner: Spawner, purpose: Purpose, *, reloads: bool, as_json: bool
) -> None:
    """Be the coordinator, see to some hubs, and print how each is reached; logs go to standard error.

    Parameters
    ----------
    paths, level, spawner
        As for `Coordinator`; what it logs.
    purpose : Purpose
        Sees to the hubs.
    reloads : bool
        Do so again at SIGHUP.
    as_json : bool
        Print JSON.

    Raises
    ------
    HubfarmError
        The coordinator or a hub cannot start.
    """

    async def told(hub: ManagedHub) -> None:
        known = hub.state()
        line = f"{known.label}  {known.url}  {known.stable_name}"
        print(json.dumps(to_builtins(known)) if as_json else visible(line), flush=True)

    async def ready(hubs: Hubs) -> None:
        await purpose(hubs, told)

    _run(paths, level, spawner, None, ready, ready if reloads else None)


def _run(
    paths: Paths,
    level: str,
    spawner: Spawner,
    log: Path | None,
    ready: Callable[[Hubs], Awaitable[None]],
    reload: Callable[[Hubs], Awaitable[None]] | None = None,
) -> None:
    setproctitle("hubfarm coordinator")

    def open_log() -> None:
        log_to(log, "coordinator", level)

    async def coordinate() -> None:
        await Coordinator(paths.prepare(), spawner, open_log, reload, level).run(ready)

    open_log()
    asyncio.run(coordinate())
