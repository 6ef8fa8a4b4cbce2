"""The bridges among what the coordinator runs: those that are written down as wanted, and no others."""

import asyncio
import os

from loguru import logger

from hubfarm.coordinator.managed_bridge import ManagedBridge
from hubfarm.coordinator.supervisor import Supervisor
from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.bridges import Bridges, Wish
from hubfarm.registry.paths import Paths


class ManagedBridges:
    """The bridges of one farm.

    Parameters
    ----------
    supervisor : Supervisor
        Runs them.
    paths : Paths
        Where the farm's files lie.
    level : str
        What they log.
    """

    def __init__(self, supervisor: Supervisor, paths: Paths, level: str) -> None:
        self._supervisor = supervisor
        self._bridges = Bridges(paths)
        self._level = level
        self._running: dict[str, ManagedBridge] = {}
        self._seen = -1
        self._ending: set[asyncio.Task[None]] = set()

    def adopt(self) -> None:
        """Take on what an earlier coordinator has left: those that live, and those that died meanwhile."""
        for wish in self._bridges.all():
            if wish.boot != boot_id():
                self._bridges.drop(wish.spec.name)
                self._bridges.clear(wish.spec.name)
                continue
            bridge = self._follow(wish)
            if not self._supervisor.adopt(bridge):
                self._supervisor.revive(bridge)

    def look(self) -> None:
        """Start what is wanted since the last time, end what is wanted no more; called every tick."""
        try:
            edition = os.stat(self._bridges.directory).st_mtime_ns
        except OSError:
            return
        if edition == self._seen or self._supervisor.closing:
            return
        self._seen = edition
        wanted = {wish.spec.name: wish for wish in self._bridges.all()}
        gone = [bridge for name, bridge in self._running.items() if wanted.get(name) != bridge.wish and bridge.wanted]
        if gone:
            task = asyncio.create_task(self._end(gone))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for name, wish in wanted.items():
            if name not in self._running:
                self._supervisor.revive(self._follow(wish))

    def reopen_logs(self) -> None:
        """Let all of them open their logs anew."""
        for bridge in self._running.values():
            bridge.reopen_log()

    def _follow(self, wish: Wish) -> ManagedBridge:
        bridge = ManagedBridge(wish, self._bridges, self._level, self._supervisor.clock)
        self._running[wish.spec.name] = bridge
        bridge.gone.add_done_callback(lambda _: self._forget(bridge))
        return bridge

    def _forget(self, bridge: ManagedBridge) -> None:
        self._running.pop(bridge.wish.spec.name, None)
        self._seen = -1  # another of its name may be wanted meanwhile

    async def _end(self, bridges: list[ManagedBridge]) -> None:
        logger.info("ending {}", ", ".join(bridge.name for bridge in bridges))
        await self._supervisor.stop(bridges, _nobody)


async def _nobody(_: ManagedBridge) -> None:
    pass
