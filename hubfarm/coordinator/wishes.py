"""What is written down as wanted besides hubs, and nothing else, among what the coordinator runs: bridges, say."""

import asyncio
import os
from typing import Any

from loguru import logger

from hubfarm.coordinator.managed_wish import ManagedWish, Sort
from hubfarm.coordinator.supervisor import Supervisor
from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.wished import Wish


class ManagedWishes:
    """All that one farm wants of one sort.

    Parameters
    ----------
    supervisor : Supervisor
        Runs them.
    sort : Sort
        What they are.
    level : str
        What they log.
    """

    def __init__(self, supervisor: Supervisor, sort: Sort, level: str) -> None:
        self._supervisor = supervisor
        self._sort = sort
        self._wished = sort.wished
        self._level = level
        self._running: dict[str, ManagedWish] = {}
        self._seen = -1
        self._ending: set[asyncio.Task[None]] = set()

    def adopt(self) -> None:
        """Take on what an earlier coordinator has left: those that live, and those that died meanwhile."""
        for wish in self._wished.all():
            if wish.boot != boot_id():
                self._wished.drop(wish.spec.name)
                self._wished.clear(wish.spec.name)
                continue
            one = self._follow(wish)
            if not self._supervisor.adopt(one):
                self._supervisor.revive(one)

    def look(self) -> None:
        """Start what is wanted since the last time, end what is wanted no more; called every tick."""
        try:
            edition = os.stat(self._wished.directory).st_mtime_ns
        except OSError:
            return
        if edition == self._seen or self._supervisor.closing:
            return
        self._seen = edition
        wanted = {wish.spec.name: wish for wish in self._wished.all()}
        gone = [one for name, one in self._running.items() if wanted.get(name) != one.wish and one.wanted]
        if gone:
            task = asyncio.create_task(self._end(gone))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for name, wish in wanted.items():
            if name not in self._running:
                self._supervisor.revive(self._follow(wish))

    def reopen_logs(self) -> None:
        """Let all of them open their logs anew."""
        for one in self._running.values():
            one.reopen_log()

    def _follow(self, wish: Wish[Any]) -> ManagedWish:
        one = ManagedWish(wish, self._sort, self._level, self._supervisor.clock)
        self._running[wish.spec.name] = one
        one.gone.add_done_callback(lambda _: self._forget(one))
        return one

    def _forget(self, one: ManagedWish) -> None:
        self._running.pop(one.wish.spec.name, None)
        self._seen = -1  # another of its name may be wanted meanwhile

    async def _end(self, some: list[ManagedWish]) -> None:
        logger.info("ending {}", ", ".join(one.name for one in some))
        await self._supervisor.stop(some, _nobody)


async def _nobody(_: ManagedWish) -> None:
    pass
