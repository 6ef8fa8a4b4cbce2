"""A desktop's hub and one of the farm's, joined for as long as somebody wants it."""

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

from loguru import logger

from hubfarm.bridge.bridge import Bridge
from hubfarm.bridge.reach import ByLockFile
from hubfarm.bridge.rights import Who
from hubfarm.bridge.side import Side
from hubfarm.client.discovery import Choice
from hubfarm.client.others import COMMAND
from hubfarm.desktop.files import DesktopFiles, MountedFiles
from hubfarm.desktop.line import PageLine
from hubfarm.desktop.page_reach import LONGEST_NAME, ByPage
from hubfarm.visible import brief

MOST_SHOWN = 200
"""Programs of either end that a page is told of: others choose how many there are, and what they are called."""

LOOK = 0.5
"""Between two looks what there is to show, seconds."""


class Joined:
    """One hub of the farm, joined with the hub of a visitor's desktop; in the running event loop.

    Parameters
    ----------
    lock_file : Path
        The farm's hub.
    label : str
        What people call it.
    base : str
        The URL, as the desktop sees it, below which files of this end are to be had.
    who : Who
        The visitor.
    """

    def __init__(self, lock_file: Path, label: str, base: str, who: Who) -> None:
        self.line = PageLine()
        self.files = MountedFiles(base)
        self._reach = ByPage(self.line, label, base, who)
        self._moving = DesktopFiles(self.line, self._reach, self.files)
        by = f"{time.time_ns():016x}-{secrets.token_hex(4)}"
        here = ByLockFile(Choice(hub=str(lock_file)))
        self._bridge = Bridge((here, self._reach), by, self._moving, lambda host: self.files)
        self._tasks = [asyncio.create_task(self._bridge.run()), asyncio.create_task(self._show())]

    def ask(self) -> None:
        """Let the desktop's user be asked once, if the page is not in."""
        self._reach.may_ask = True

    async def close(self) -> None:
        """Part them in order, as far as the page is there."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await self._reach.unregister()
        await self._moving.close()
        await self.files.close()
        logger.info("the desktop is joined no more")

    def state(self) -> dict[str, Any]:
        """Return what people are shown of it."""
        here, there = self._bridge.sides
        proxies = self._bridge.proxies()
        return {
            "joined": here.is_up and there.is_up,
            "trouble": here.trouble or there.trouble,
            "asks": self._reach.may_ask or self._reach.is_asking,
            "here": _names(here),
            "there": _names(there),
            "missing": [proxy.trouble for proxy in proxies if proxy.trouble and not proxy.is_there][:1],
        }

    async def _show(self) -> None:
        shown: dict[str, Any] = {}
        while True:
            state = self.state()
            if state != shown:
                shown = state
                self.line.show({"state": state})
            await asyncio.sleep(LOOK)


def _names(side: Side) -> list[str]:
    shown = [one.metadata for one in side.real_clients().values() if COMMAND not in one.metadata][:MOST_SHOWN]
    return sorted(brief(str(metadata.get("samp.name", "")), LONGEST_NAME) for metadata in shown)
