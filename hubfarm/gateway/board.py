"""What lookers-on wait for: that anything has changed."""

import asyncio
import contextlib


class Board:
    """Counts changes, and wakes who waits for the next one."""

    def __init__(self) -> None:
        self.edition = 1
        self.lookers = 0
        """How many wait just now: somebody sees what is asked."""
        self._changed = asyncio.Event()

    def change(self) -> None:
        """Something has changed."""
        self.edition += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def beyond(self, edition: int, seconds: float) -> int:
        """Wait until something has changed since an edition, or so long; return the present one."""
        self.lookers += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self.edition == edition:
                        await self._changed.wait()
        finally:
            self.lookers -= 1
        return self.edition
