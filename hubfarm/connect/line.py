"""A line to a hub elsewhere, whatever it is made of: lost again and again, and made again with growing pauses.

Who calls over a line that is lost is told so at once.  What was under way when it was lost ends likewise, and may or
may not have come to the hub.
"""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod

from loguru import logger

from hubfarm.connect.asked import Fetch
from hubfarm.connect.exchanges import Exchange
from hubfarm.samp.errors import HubfarmError

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between two tries to make a line, seconds; the last one from then on."""


class LineDown(HubfarmError):
    """The hub elsewhere is not reached."""


class Line(ABC):
    """A line.

    Parameters
    ----------
    label : str
        What people call the hub at its end.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.up = asyncio.Event()
        """The hub is reached."""
        self.changed = time.time()
        """Since when that is so, or not so, seconds since the epoch."""
        self.lost = 0
        """How often it was lost."""
        self.failures = 0
        """Tries that have failed since it was reached last."""
        self.trouble = "it is being reached for the first time"
        """Why the hub is not reached; empty if it is."""
        self.secret = ""
        """Admits a client to the hub."""
        self._now = asyncio.Event()

    # ------------------------------------------------------------------ what it is made of

    @abstractmethod
    async def make(self) -> None:
        """Make the line.

        Raises
        ------
        HubfarmError
            It cannot be made now.
        """

    @abstractmethod
    async def stay(self) -> None:
        """Wait until it is lost.

        Raises
        ------
        HubfarmError
            So it is; says by what.
        """

    @abstractmethod
    async def cut(self) -> None:
        """End what is left of it."""

    @abstractmethod
    async def pass_on(self, body: bytes, fields: bytes, seconds: float) -> bytes:
        """Return the hub's answer to a call.

        Raises
        ------
        HubfarmError
            The line is lost, or the hub does not answer.
        """

    async def fetch(self, fetch: Fetch) -> Exchange:
        """Ask for a file of the far host.

        Raises
        ------
        LineDown
            The line is lost, or carries none.
        """
        raise LineDown(f"no files are carried from {self.label}")

    # ------------------------------------------------------------------ its life

    async def run(self) -> None:
        """Make the line, and make it again whenever it is lost, until cancelled."""
        try:
            while True:
                try:
                    await self.make()
                    self._note(up=True, trouble="")
                    await self.stay()
                except HubfarmError as error:
                    self._note(up=False, trouble=str(error))
                await self.cut()
                await self._pause(PAUSES[min(self.failures, len(PAUSES)) - 1])
        finally:
            self.up.clear()
            await self.cut()

    def _note(self, *, up: bool, trouble: str) -> None:
        if up != self.up.is_set():
            self.changed = time.time()
            self.lost += not up
        self.failures = 0 if up else self.failures + 1
        if up:
            self._now.clear()
            logger.info("{} is reached", self.label)
            self.up.set()
        else:
            if trouble != self.trouble or self.up.is_set():
                logger.warning("{} is not reached: {}; trying on", self.label, trouble)
            self.up.clear()
        self.trouble = trouble

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._now.wait()
        self._now.clear()

    def try_now(self) -> None:
        """Let it not wait for the next try, if it does, or if the one that is under way fails."""
        self._now.set()

    async def call(self, body: bytes, fields: bytes = b"", seconds: float = 30.0) -> bytes:
        """Return the hub's answer to a call.

        Parameters
        ----------
        body, fields : bytes
            The call, and header fields for it.
        seconds : float
            How long the answer may take.

        Raises
        ------
        LineDown
            The line is lost, or was before the answer came.
        """
        if not self.up.is_set():
            raise LineDown(f"the hub {self.label} cannot be reached now: {self.trouble}; it is tried again and again")
        try:
            return await self.pass_on(body, fields, seconds)
        except HubfarmError as error:
            raise LineDown(f"the hub {self.label} has not answered, and may have got this or not: {error}") from None
