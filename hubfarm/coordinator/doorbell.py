"""Sockets at which nobody listens just now: somebody who comes is noticed, once, and waits."""

import asyncio
import socket
from collections.abc import Callable, Iterable


class Doorbell:
    """Rings once when somebody comes at one of some sockets.

    Parameters
    ----------
    ring : callable
        Called then; nothing is watched any more.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._watched: list[int | socket.socket] = []

    def __bool__(self) -> bool:
        return bool(self._watched)

    def watch(self, sockets: Iterable[int | socket.socket]) -> None:
        """Ring when somebody comes at one of these, from now on."""
        self.unwatch()
        self._watched = list(sockets)
        loop = asyncio.get_running_loop()
        for each in self._watched:
            loop.add_reader(each, self._somebody_comes)

    def unwatch(self) -> None:
        """Ring no more; to be called before the sockets are closed."""
        watched, self._watched = self._watched, []
        for each in watched:
            asyncio.get_running_loop().remove_reader(each)

    def _somebody_comes(self) -> None:
        self.unwatch()
        self._ring()
