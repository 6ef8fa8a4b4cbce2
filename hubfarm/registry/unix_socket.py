"""A listening Unix socket in the farm's directory: made for its user alone, known again by its file, and removed."""

import contextlib
import os
import socket
import struct
from pathlib import Path

from hubfarm.registry.files import identity_of
from hubfarm.samp.errors import HubfarmError

BACKLOG = 1024
"""Connections that may wait to be accepted: as many as a farm has hubs."""


_LOCAL_PEERPID = 2
"""macOS's option for what SO_PEERCRED tells on Linux."""


def peer_process(connection: socket.socket) -> int:
    """Return the process at the other end of a Unix socket, by the kernel's word: who listens, if we have connected."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    else:
        (pid,) = struct.unpack("i", connection.getsockopt(0, _LOCAL_PEERPID, 4))
    return int(pid)


def peer_account(connection: socket.socket) -> int | None:
    """Return the account (its uid) at the other end of a Unix socket, by the kernel's word; None if it tells none."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def process_that_listens(path: Path) -> int | None:
    """Return the process that listens at a Unix socket; None if none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            return peer_process(connection)
        except OSError:
            return None


class UnixSocket:
    """The place of one socket, and the socket that was made there last.

    Parameters
    ----------
    path : Path
        Where it lies.
    what : str
        What it is, for errors.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        self._identity: tuple[int, int] | None = None

    def listen(self) -> socket.socket:
        """Return a new listening socket (mode 0600) in place of whatever lies there; it does not block.

        Raises
        ------
        HubfarmError
            It cannot be made.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)
            sock.bind(str(self.path))
            os.chmod(self.path, 0o600)
            sock.listen(BACKLOG)
            self._identity = identity_of(self.path)
        except OSError as error:
            sock.close()
            raise HubfarmError(f"cannot make the {self._what} {self.path}: {error.strerror}") from None
        sock.setblocking(False)
        return sock

    def is_in_place(self) -> bool:
        """Tell whether what lies there is the socket that was made here."""
        return self._identity is not None and identity_of(self.path) == self._identity

    def remove(self) -> None:
        """Remove it, if it is still in place."""
        if self.is_in_place():
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._identity = None
