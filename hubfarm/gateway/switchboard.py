"""The host's switchboard: it has the port where web pages look for a hub, and gives each connection to its account.

Whose a connection is the kernel says; it is handed over as it is, unread, to the farm of that account, over a Unix
socket on which the kernel says whose farm it is.  An account without a farm gets an answer that its page can show.  It
needs no privileges, keeps nothing, and starts nothing.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from hubfarm.access.host_accounts import name_of
from hubfarm.registry.files import identity_of
from hubfarm.registry.unix_socket import peer_account
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.xmlrpc import encode_fault
from hubfarm.wire.connections import raise_descriptor_limit
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_messages import Ends
from hubfarm.wire.loopback import listen_on_loopback
from hubfarm.wire.sockets import BACKLOG
from hubfarm.wire.switchboard_line import HELLO, line_to_switchboard

TRY_EVERY = 0.5
"""Between two tries to get the port, seconds."""

MOST_LINES = 1000
"""Farms that are served at a time."""

MOST_LINES_OF_ONE = 8
"""Of one account."""

MOST_TURNED_AWAY = 200
"""Connections of accounts without a farm that are answered at a time."""

MOST_TURNED_AWAY_OF_ONE = 20
"""Of one account."""

PATIENCE = 5.0
"""How long one of these may take to ask, seconds."""

_HEAD = 64 * 2**10


class Switchboard:
    """The switchboard of one host, in the running event loop.

    Parameters
    ----------
    path : Path
        Where farms find it.
    port : int
        The web's.
    blame : callable
        Says which program has the port.

    Raises
    ------
    HubfarmError
        The kernel does not say whose connections are, or the path is not to be had.
    """

    def __init__(self, path: Path, port: int, blame: Callable[[], str]) -> None:
        self._path = path
        self._port = port
        self._blame = blame
        self._trouble = ""
        self._sockets = HostSockets()
        if not self._sockets.are_known:
            raise HubfarmError("a switchboard needs Linux, whose kernel says whose connections are (sock_diag)")
        self._lines: dict[int, list[socket.socket]] = {}
        self._turning_away: dict[asyncio.Task[None], int | None] = {}
        self._listening: list[socket.socket] = []
        self._door = self._make_door()
        self._identity = identity_of(path)

    def _make_door(self) -> socket.socket:
        try:
            line_to_switchboard(self._path).close()
        except OSError:
            pass
        else:
            raise HubfarmError(f"a switchboard answers at {self._path} already")
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made = self._path.with_name(f".{self._path.name}-{os.getpid()}")
        try:
            door.bind(str(made))
            os.chmod(made, 0o666)
            door.listen(BACKLOG)
            os.replace(made, self._path)  # who finds it is answered
        except OSError as error:
            door.close()
            raise HubfarmError(f"cannot make the switchboard's socket {self._path}: {error.strerror}") from None
        door.setblocking(False)
        return door

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT.

        Parameters
        ----------
        ready : callable
            Called when it serves.
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        loop.add_reader(self._door, self._take_line)
        logger.info("farms are found at {}", self._path)
        ready()
        try:
            while not ended.is_set():
                self._listen()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if self._listening else TRY_EVERY):
                        await ended.wait()
        finally:
            self._close()

    def _listen(self) -> None:
        """Take the port, if it is free: farms that have it give it up when they have found us."""
        try:
            self._listening = list(listen_on_loopback(self._port).values())
        except HubfarmError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.warning("{}; trying on{}", error, self._blame())
            return
        for sock in self._listening:
            asyncio.get_running_loop().add_reader(sock, self._connect, sock)
        logger.info("web pages come in at port {}", self._port)

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in (self._door, *self._listening, *(line for lines in self._lines.values() for line in lines)):
            loop.remove_reader(sock)
            sock.close()
        for task in self._turning_away:
            task.cancel()
        if identity_of(self._path) == self._identity:
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._sockets.close()

    # ------------------------------------------------------------------ farms

    def _take_line(self) -> None:
        try:
            line, _ = self._door.accept()
        except OSError:
            return
        uid = peer_account(line)
        mine = self._lines.setdefault(uid, []) if uid is not None else []
        if uid is None or len(mine) >= MOST_LINES_OF_ONE or sum(map(len, self._lines.values())) >= MOST_LINES:
            line.close()
            return
        line.setblocking(False)
        mine.append(line)
        asyncio.get_running_loop().add_reader(line, self._hang_up, uid, line)
        logger.info("a farm of {} is there", name_of(uid))

    def _hang_up(self, uid: int, line: socket.socket) -> None:
        """Let go of a line that is readable: its farm has nothing to say, so it has gone."""
        asyncio.get_running_loop().remove_reader(line)
        line.close()
        self._lines[uid].remove(line)
        if not self._lines[uid]:
            del self._lines[uid]
            logger.info("no farm of {} is there", name_of(uid))

    # ------------------------------------------------------------------ pages

    def _connect(self, listening: socket.socket) -> None:
        try:
            connection, peer = listening.accept()
        except OSError:
            return
        own = connection.getsockname()
        uid = self._sockets.account(Ends(peer[0], peer[1], own[0], own[1]))
        if uid is not None and self._hand_over(uid, connection):
            connection.close()
            return
        of_one = sum(each == uid for each in self._turning_away.values())
        if len(self._turning_away) >= MOST_TURNED_AWAY or of_one >= MOST_TURNED_AWAY_OF_ONE:
            connection.close()
            return
        task = asyncio.ensure_future(_turn_away(connection, uid))
        self._turning_away[task] = uid
        task.add_done_callback(self._turning_away.pop)

    def _hand_over(self, uid: int, connection: socket.socket) -> bool:
        for line in self._lines.get(uid, ()):
            try:
                socket.send_fds(line, [HELLO], [connection.fileno()])
                return True
            except OSError:  # it takes nothing just now, or has gone
                continue
        return False


def _why(uid: int | None) -> str:
    if uid is None:
        return "this port is for programs of this host"
    return (
        f"no farm of SAMP hubs runs for the account {name_of(uid)} on this host, or it does not answer: "
        "start one by hubfarm start"
    )


async def _turn_away(connection: socket.socket, uid: int | None) -> None:
    """Answer whatever is asked, so that a page of any origin can show it; then hang up."""
    body = encode_fault(Fault(await asyncio.to_thread(_why, uid)))
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nAccess-Control-Allow-Origin: *\r\n"
        b"Access-Control-Allow-Methods: POST, OPTIONS\r\nAccess-Control-Allow-Headers: Content-Type\r\n"
        b"Access-Control-Allow-Private-Network: true\r\nAccess-Control-Allow-Local-Network: true\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    try:
        async with asyncio.timeout(PATIENCE):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _HEAD and (more := await loop.sock_recv(connection, 4096)):
                head += more
            await loop.sock_sendall(connection, answer)
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, _HEAD):
                pass
    except (OSError, TimeoutError):
        pass
    finally:
        connection.close()


def run(path: Path, port: int, blame: Callable[[], str], ready: Callable[[], None]) -> None:
    """Be the switchboard until a signal.

    Raises
    ------
    HubfarmError
        It cannot be.
    """
    # Farms that do not take what they are handed have it count as ours, against this very limit.
    raise_descriptor_limit()

    async def serve() -> None:
        await Switchboard(path, port, blame).run(ready)

    asyncio.run(serve())
