"""What the coordinator does now and then for itself: keep its own files, sweep those of the dead."""

import asyncio
import time
from collections.abc import Callable, Collection

from loguru import logger

from hubfarm.control.server import ControlServer
from hubfarm.coordinator.adoption import Adoption
from hubfarm.coordinator.guard import CoordinatorGuard
from hubfarm.coordinator.handovers import Handovers
from hubfarm.registry.history import trim_history
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import Settings
from hubfarm.registry.sweep import sweep
from hubfarm.samp.errors import HubfarmError

EVERY = 1.0
"""Between two looks at the coordinator's own files, seconds."""


class Housekeeping:
    """Runs beside the supervisor.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    settings : callable
        Returns the settings in force.
    guard, control, handovers, adoption
        What is kept, and done again.
    step_down : callable
        Called when another process has become the coordinator.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Callable[[], Settings],
        guard: CoordinatorGuard,
        control: ControlServer,
        handovers: Handovers,
        adoption: Adoption,
        step_down: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._guard = guard
        self._control = control
        self._handovers = handovers
        self._adoption = adoption
        self._step_down = step_down
        self._trouble = ""

    async def run(self) -> None:
        """Keep house until cancelled."""
        last_sweep = time.monotonic()
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self._mend()
                if time.monotonic() - last_sweep >= self._settings().sweep_every:
                    last_sweep = time.monotonic()
                    await self._sweep()
            except Exception:
                logger.exception("keeping house failed; trying on")  # the next round must come

    async def _mend(self) -> None:
        try:
            self._paths.prepare()
            if not self._keep_guard():
                return
            if await self._control.mend():
                logger.warning("put back the control socket")
            if self._handovers.mend():
                logger.warning("put back the handover socket")
            self._trouble = ""
        except HubfarmError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.error("{}; trying on", error)

    def _keep_guard(self) -> bool:
        try:
            if self._guard.mend():
                logger.warning("put back the coordinator's guard")
        except HubfarmError as error:
            logger.error("stepping down, the hubs run on: {}", error)
            self._step_down()
            return False
        return True

    async def _sweep(self) -> None:
        try:
            verdicts = await asyncio.to_thread(sweep, LockDir(self._paths), _ask)
            for verdict in verdicts:
                if verdict.removed:
                    logger.info("swept {}: {}", verdict.path, verdict.reason)
            await asyncio.to_thread(trim_history, self._paths)
            self._adoption.adopt_living()
        except HubfarmError as error:
            logger.warning("could not sweep: {}", error)


def _ask(urls: Collection[str]) -> Collection[str]:
    if not urls:
        return ()
    from hubfarm.client.discovery import answering_hubs  # a megabyte, and only foreign hubs need it

    return answering_hubs(urls)
