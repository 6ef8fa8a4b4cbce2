"""Take the listening sockets that workers of an earlier coordinator hand over; see `hubfarm.registry.handover`."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from hubfarm.registry import handover
from hubfarm.registry.paths import Paths
from hubfarm.registry.unix_socket import UnixSocket


class Handovers:
    """Where sockets are handed over.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    take : callable
        Told the name of what hands over, as a hub's ``<PID>-<ID>``, and given its socket.
    """

    def __init__(self, paths: Paths, take: Callable[[str, socket.socket], None]) -> None:
        self._place = UnixSocket(paths.handover_socket, "handover socket")
        self._take = take
        self._listener: socket.socket | None = None

    def listen(self) -> None:
        """Take sockets from now on.

        Raises
        ------
        HubfarmError
            The Unix socket for it cannot be made.
        """
        self._listener = self._place.listen()
        asyncio.get_running_loop().add_reader(self._listener, self._take_one, self._listener)

    def mend(self) -> bool:
        """Make the Unix socket again if somebody has removed it; tell whether it was so.

        Raises
        ------
        HubfarmError
            It cannot be made, now.
        """
        if self._place.is_in_place():
            return False
        self._stop_listening()
        self.listen()
        return True

    def close(self) -> None:
        """Take no more, and remove the Unix socket."""
        self._stop_listening()
        self._place.remove()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _take_one(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            taken = handover.take(listener)
            if taken is not None:
                self._take(*taken)
