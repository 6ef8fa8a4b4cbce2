"""What a coordinator does when it is asked: a branch for each request of the control protocol."""

import os
import time
from collections.abc import Callable

from hubfarm.control.protocol import (
    AnyRequest,
    Coordinator,
    CoordinatorStatus,
    Hub,
    NoCoordinator,
    Restart,
    Shutdown,
    Sleep,
    Start,
    Status,
    Stop,
    Wake,
)
from hubfarm.control.server import Tell
from hubfarm.coordinator.hubs import Hubs
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.supervisor import Told
from hubfarm.coordinator.web_port import WebPort
from hubfarm.spec.hub_request import HubRequest, specs_for
from hubfarm.version import __version__


class Control:
    """Does what one coordinator is asked for.

    Parameters
    ----------
    hubs : Hubs
        Those that it is about.
    web : WebPort
        Where web pages come in.
    shut_down : callable
        Begins the end of the farm.
    """

    def __init__(self, hubs: Hubs, web: WebPort, shut_down: Callable[[], None]) -> None:
        self._hubs = hubs
        self._web = web
        self._shut_down = shut_down
        self._since = time.monotonic()
        self._starting = 0
        self._proven = False

    async def answer(self, request: AnyRequest, tell: Tell) -> None:
        """Do what is asked for, and tell of it as it happens.

        Raises
        ------
        WrongUse
            A label is in use, or there is no room for that many hubs.
        NoCoordinator
            Hubs are asked for, and the farm is ending.
        HubfarmError
            A hub could not start; those that had are taken down again.
        """

        async def told(hub: ManagedHub) -> None:
            await tell(Hub(hub.state()))

        match request:
            case Status():
                await tell(Coordinator(self.status()))
            case Start(requests):
                await self._start(requests, told)
            case Stop(ids):
                await self._hubs.stop(ids, told)
            case Restart(ids):
                await self._hubs.restart(ids, told)
            case Sleep(ids):
                await self._hubs.sleep(ids, told)
            case Wake(ids):
                await self._hubs.wake(ids, told)
            case Shutdown():
                self._shut_down()

    def status(self) -> CoordinatorStatus:
        """Return who coordinates what."""
        hubs = [hub.state() for hub in self._hubs.by_id().values()]
        return CoordinatorStatus(os.getpid(), __version__, time.monotonic() - self._since, hubs, self._web.status())

    async def _start(self, requests: list[HubRequest], told: Told[ManagedHub]) -> None:
        if self._hubs.supervisor.closing:
            raise NoCoordinator("the coordinator is ending: try again")
        self._starting += 1
        try:
            await self._hubs.start(lambda used: specs_for(requests, used), told)
        finally:
            self._starting -= 1
            self._proven = self._proven or bool(self._hubs.by_id())
            if not (self._proven or self._starting):
                # Started for hubs that could not start: nothing is to be left of it.
                self._shut_down()
