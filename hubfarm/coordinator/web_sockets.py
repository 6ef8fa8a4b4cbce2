"""What the web's port is had by: listening sockets of our own on loopback, or a line to the host's switchboard.

Both become readable when somebody comes, and wait with whoever came until a gateway takes it.
"""

import socket
from collections.abc import Sequence
from pathlib import Path

from hubfarm.access.switchboard import trusted_line
from hubfarm.wire.loopback import PLACES, listen_on_loopback
from hubfarm.wire.switchboard_line import is_broken


class WebSockets:
    """The sockets of one port, as far as they are had.

    Parameters
    ----------
    port : int
        Which.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.listening: dict[str, socket.socket] = {}
        self.switchboard: socket.socket | None = None
        self.edition = 0
        """Counted up when others take their place: a gateway on the old ones hears nobody."""

    def __bool__(self) -> bool:
        return bool(self.listening) or self.switchboard is not None

    def all(self) -> list[socket.socket]:
        """Return all of them."""
        return [*self.listening.values(), *([self.switchboard] if self.switchboard else [])]

    def descriptors(self) -> list[int]:
        """Return their numbers, for a process that inherits them."""
        return [each.fileno() for each in self.all()]

    def as_arguments(self) -> Sequence[str]:
        """Return what tells ``python -m hubfarm.gateway`` of them."""
        told = [argument for each in self.listening.values() for argument in ("--listen", str(each.fileno()))]
        return [*told, "--switchboard", str(self.switchboard.fileno())] if self.switchboard else told

    def prefer_switchboard(self, path: Path) -> bool:
        """Have the host's switchboard hand over who comes to this account, if there is one; tell whether it is so.

        Sockets of our own are given up for it: it needs the port.
        """
        line = trusted_line(path)
        if line is not None:
            self.close()
            self.switchboard = line
            self.edition += 1
        return line is not None

    def listen(self) -> None:
        """Listen ourselves.

        Raises
        ------
        HubfarmError
            Another program has the port.
        """
        self.listening = listen_on_loopback(self.port)
        self.edition += 1

    def drop_broken_line(self) -> bool:
        """Let go of the line to a switchboard that has hung up; tell whether it was so."""
        if self.switchboard is None or not is_broken(self.switchboard):
            return False
        self.switchboard.close()
        self.switchboard = None
        return True

    def take(self, place: str, sock: socket.socket) -> None:
        """Keep a socket that a gateway has handed over, unless it is of another port or we have one."""
        if place not in PLACES or place in self.listening or self.switchboard or sock.getsockname()[1] != self.port:
            sock.close()
            return
        self.listening[place] = sock

    def close(self) -> None:
        """Let go of all."""
        for each in self.all():
            each.close()
        self.listening = {}
        self.switchboard = None
