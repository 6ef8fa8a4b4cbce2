"""The port where web pages look for a hub: held as long as the farm lives, and a gateway on it when somebody comes.

Asleep it is sockets and no process.  A port that another program has is no error: it is taken when it is free.
"""

import asyncio
import socket
import time
from collections.abc import Callable

from loguru import logger

from hubfarm.control.protocol import WebState, WebStatus
from hubfarm.coordinator.doorbell import Doorbell
from hubfarm.coordinator.managed_gateway import ManagedGateway
from hubfarm.coordinator.supervisor import Supervisor
from hubfarm.coordinator.web_sockets import WebSockets
from hubfarm.registry.handover import WEB
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import Settings
from hubfarm.registry.web_memory import WebMemory
from hubfarm.registry.web_token import renew_web_token
from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.switchboard_line import is_broken

TRY_EVERY = 3.0
"""Between two tries to get the port, and how long a gateway that was adopted may take to hand it over, seconds."""

PATIENCE = 10.0
"""How long a switchboard that was there may be away until we have the port ourselves, seconds."""

AFTER_FAILURE = 60.0
"""How long nobody is waited for after a gateway was given up, seconds."""


class WebPort:
    """One farm's hold on the web's port.

    Parameters
    ----------
    supervisor : Supervisor
        Runs the gateway.
    paths : Paths
        Where the farm's files lie.
    settings : callable
        Returns the settings in force.
    level : str
        What the gateway logs.
    """

    def __init__(self, supervisor: Supervisor, paths: Paths, settings: Callable[[], Settings], level: str) -> None:
        self._supervisor = supervisor
        self._paths = paths
        self._settings = settings
        self._level = level
        self._memory = WebMemory(paths)
        self._edition = (-1, -1)
        self._on = True
        self._sockets = WebSockets(settings().web.port)
        self._gateway: ManagedGateway | None = None
        self._ending: asyncio.Task[None] | None = None
        self._doorbell = Doorbell(self._somebody_comes)
        self._moving: asyncio.Task[None] | None = None
        self._try_at = self._own_at = self._handed_over_by = 0.0
        self._not_before = 0.0
        self._trouble = ""

    # ------------------------------------------------------------------ what others ask

    def status(self) -> WebStatus:
        """Return how the port is had."""
        gateway = self._gateway.state() if self._gateway is not None else None
        if not self._is_on():
            state = WebState.OFF
        elif gateway is not None:
            state = WebState.AWAKE
        else:
            state = WebState.ASLEEP if self._sockets else WebState.TAKEN
        return WebStatus(
            state=state,
            port=self._settings().web.port,
            switchboard=self._sockets.switchboard is not None,
            pid=gateway.pid if gateway is not None else None,
            problem=self._trouble,
        )

    def adopt(self) -> None:
        """Take over the gateway that an earlier coordinator has left, if one lives; it hands its sockets over."""
        gateway = self._make()
        if self._supervisor.adopt(gateway):
            self._handed_over_by = time.monotonic() + TRY_EVERY
            self._follow(gateway)

    def take_socket(self, name: str, sock: socket.socket) -> bool:
        """Keep a socket that a gateway has handed over; tell whether it is one of the web's."""
        kind, _, place = name.partition(" ")
        if kind != WEB:
            return False
        self._sockets.take(place, sock)
        return True

    def heed_settings(self) -> None:
        """Tell the gateway that the settings were read again."""
        if self._gateway is not None:
            self._gateway.heed_settings()

    # ------------------------------------------------------------------ now and then

    def look(self) -> None:
        """Get the port, or let go of it, as the user wants; called once a second."""
        if self._supervisor.closing:
            self._doorbell.unwatch()
            return
        if not self._is_on() or self._settings().web.port != self._sockets.port:
            self._let_go()
            if self._gateway is None:
                self._sockets = WebSockets(self._settings().web.port)
        if self._is_on() and self._ending is None:
            self._tend()
        if self._sockets and self._gateway is None and not self._doorbell and time.monotonic() >= self._not_before:
            self._doorbell.watch(self._sockets.all())

    def _tend(self) -> None:
        now = time.monotonic()
        if self._sockets.switchboard is not None and is_broken(self._sockets.switchboard):
            self._doorbell.unwatch()
            self._sockets.drop_broken_line()
            self._own_at = now + PATIENCE  # it may only have been started anew
            self._try_at = now
        if now >= self._try_at and now >= self._handed_over_by:
            self._try_at = now + TRY_EVERY
            self._get()
        gateway = self._gateway
        if gateway is not None and self._sockets and gateway.edition != self._sockets.edition and self._moving is None:
            logger.info("the web gateway goes on with other sockets")
            self._moving = asyncio.create_task(self._move(gateway))

    async def _move(self, gateway: ManagedGateway) -> None:
        try:
            await self._supervisor.restart([gateway], _nobody)
        except HubfarmError as error:
            logger.error("{}", error)
        finally:
            self._moving = None

    def close(self) -> None:
        """Let go of the port; a gateway that goes on holds it itself."""
        self._doorbell.unwatch()
        self._sockets.close()

    def _is_on(self) -> bool:
        if (edition := self._memory.edition()) != self._edition:
            self._edition = edition
            try:
                self._on = self._memory.read().on
            except HubfarmError as error:
                logger.error("{}", error)
        return self._on and self._settings().web.on

    def _for_a_gateway(self) -> None:
        """See to it that there are sockets for a gateway that is to start.

        Raises
        ------
        HubfarmError
            The port is not to be had.
        """
        self._sockets.drop_broken_line()
        if not self._sockets:
            self._get()
        if not self._sockets:
            raise HubfarmError(self._trouble or "the host's switchboard is away")

    def _get(self) -> None:
        """Have the port by the host's switchboard if there is one, or else ourselves."""
        if self._sockets.switchboard is not None:
            return
        if self._sockets.listening and not self._paths.switchboard.exists():
            return
        had = bool(self._sockets.listening)
        watched = bool(self._doorbell)
        self._doorbell.unwatch()
        try:
            if self._sockets.prefer_switchboard(self._paths.switchboard):
                renew_web_token(self._paths)
                logger.info("web pages come in by the host's switchboard")
            elif not had and time.monotonic() >= self._own_at:
                self._sockets.listen()
                renew_web_token(self._paths)
                if self._trouble:
                    logger.info("web pages come in at port {} now", self._sockets.port)
            self._trouble = ""
        except HubfarmError as error:
            if str(error) != self._trouble:  # once, and not every few seconds
                self._trouble = str(error)
                logger.warning("no web page can come in: {}; trying on", error)
        if watched and self._sockets and self._gateway is None:
            self._doorbell.watch(self._sockets.all())

    def _let_go(self) -> None:
        self._doorbell.unwatch()
        self._trouble = ""
        if self._gateway is not None:
            if self._ending is None:
                self._ending = asyncio.create_task(self._supervisor.stop([self._gateway], _nobody))
            return  # it has what it needs of the sockets, and ends soon
        if self._sockets:
            self._sockets.close()
            logger.info("let go of port {}", self._sockets.port)

    # ------------------------------------------------------------------ somebody comes

    def _somebody_comes(self) -> None:
        gateway = self._make()
        self._supervisor.revive(gateway)
        self._follow(gateway)

    def _make(self) -> ManagedGateway:
        return ManagedGateway(self._sockets, self._for_a_gateway, self._paths, self._level, self._supervisor.clock)

    def _follow(self, gateway: ManagedGateway) -> None:
        self._gateway = gateway
        gateway.gone.add_done_callback(lambda _: self._is_gone(gateway))

    def _is_gone(self, gateway: ManagedGateway) -> None:
        self._gateway = self._ending = None
        if gateway.deaths.too_many:
            self._not_before = time.monotonic() + AFTER_FAILURE
        self.look()  # who has come since is not to wait for the next time


async def _nobody(_: ManagedGateway) -> None:
    pass
