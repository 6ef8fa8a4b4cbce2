"""A connection as a process: its life, from its guard to its end.

SIGTERM ends it for good, SIGQUIT for a successor that goes on with the programs that are in; SIGUSR1 lets it try now
what it would try again later, SIGHUP opens its log anew.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable

from loguru import logger

from hubfarm.connect.asked import Fetch
from hubfarm.connect.carried import CarriedFiles
from hubfarm.connect.direct_line import DirectLine
from hubfarm.connect.door import Door
from hubfarm.connect.exchanges import Exchange
from hubfarm.connect.files import HERE, FileDoor, NotThere
from hubfarm.connect.line import Line
from hubfarm.connect.members import Members
from hubfarm.connect.ssh_line import SshLine
from hubfarm.hub.profiles.front_door import FrontDoor
from hubfarm.hub.profiles.host_names import HostNames
from hubfarm.registry.claim import claim_for
from hubfarm.registry.connections import Connections, ConnectionState
from hubfarm.registry.entry import Standing
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import Record
from hubfarm.registry.wished import Wish
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.connection_spec import ConnectionSpec, ssh_address
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.rhythm import until_beat
from hubfarm.spec.states import HubKind, HubState
from hubfarm.wire.connections import raise_descriptor_limit, room
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_server import HttpServer
from hubfarm.wire.sockets import bind
from hubfarm.wire.urls import base_url
from hubfarm.worker.announcement import lock_file_tokens

LOOK_EVERY = 0.25
"""Between two looks whether there is anything to tell, seconds."""

MEND_EVERY = 3.5
"""Between two looks at its own files, seconds: as a hub does."""


class Connection:
    """One connection, in the running event loop.

    Parameters
    ----------
    wish : Wish
        What it is to be.
    connections : Connections
        Where its files lie.
    paths : Paths
        Where the farm's lie.
    """

    def __init__(self, wish: Wish[ConnectionSpec], connections: Connections, paths: Paths) -> None:
        self._spec = spec = wish.spec
        self._connections = connections
        self._paths = paths
        self._kept = connections.kept(spec.name)
        self._since = time.time()
        self._started = time.monotonic()
        self._files = CarriedFiles(self._kept, self._far_names, self._keep)
        self._line = self._make_line()
        self._members = Members(self._line, self._files, self._keep)
        self._file_door = FileDoor(self._fetch)
        self._told: ConnectionState | None = None
        self._mend_at = 0.0
        self._trouble = ""

    def _make_line(self) -> Line:
        if ssh_address(self._spec.address) is None:
            return DirectLine(self._spec)
        return SshLine(self._spec, self._connections.master(self._spec.name), self._kept, self._files.url_of)

    def _far_names(self) -> list[str]:
        return self._line.names if isinstance(self._line, SshLine) else []

    def _keep(self) -> None:
        self._kept.clients = self._members.kept()
        try:
            self._connections.keep(self._spec.name, self._kept)
        except HubfarmError as error:  # a full disk: if this process dies now, somebody has to come in again
            logger.error("cannot write down who is in: {}", error)

    async def _fetch(self, fetch: Fetch) -> Exchange:
        """Ask the far host for a file of its own."""
        url = self._files.far_url_of(fetch.url)
        if url is None:
            raise NotThere("there is no such file here (any more)")
        return await self._line.fetch(Fetch(url=url, method=fetch.method, range=fetch.range))

    # ------------------------------------------------------------------ its life

    async def start(self) -> None:
        """Take the guard, listen, publish the lock file.

        Raises
        ------
        HubfarmError
            The label is in use, or the disk is full.
        """
        self._clear_predecessor()
        sock = self._bind()
        self._kept.secret = self._kept.secret or secrets.token_hex(16)
        spec = self._hub_spec(self._kept.id)
        try:
            self._claim = claim_for(spec, LockDir(self._paths))
        except HubfarmError:
            if not self._kept.id:
                raise
            self._claim = claim_for(self._hub_spec(0), LockDir(self._paths))  # its id was given to another
        try:
            await self._open(sock)
        except BaseException:
            self._claim.withdraw()
            raise
        logger.info("{} is here as {}", self._spec.label, self._claim.name)

    async def _open(self, sock: socket.socket) -> None:
        if self._spec.carry_files and isinstance(self._line, SshLine):
            await self._file_door.start(self._kept.file_port)
        self._kept.file_port = self._file_door.port
        self._kept.id, self._kept.port = self._claim.name.id, sock.getsockname()[1]
        self._door = Door(self._kept.secret, self._line, self._members, self._files)
        front = FrontDoor(self._spec.label, self._door.handle, self._door.refusal_of, HostNames(sock, HERE).include)
        self._server = HttpServer(
            front.answer,
            HttpLimits(connections=room().connections),
            lambda error: logger.opt(exception=error).error("a request has failed: {}", error),
            admit=front.admit,
        )
        self._running = asyncio.create_task(self._line.run())
        self._members.go_on_with(self._kept.clients)
        self._keep()
        await self._server.start(sock)
        spec = self._hub_spec(self._claim.name.id)
        url = f"{base_url(sock)}xmlrpc"
        self._claim.publish(lock_file_tokens(spec, self._paths, self._claim.name, url, HubKind.CONNECTED))
        self.beat()

    def _hub_spec(self, id: int) -> HubSpec:
        return HubSpec(id=id, label=self._spec.label, secret=self._kept.secret)

    def _bind(self) -> socket.socket:
        try:
            return bind(HERE, self._kept.port)
        except HubfarmError:
            return bind(HERE, 0)  # somebody has taken its port: programs that are in have to find it anew

    def _clear_predecessor(self) -> None:
        """Remove the lock file of a process that was killed."""
        lockdir = LockDir(self._paths)
        for entry in lockdir.scan():
            if entry.label == self._spec.label and entry.name is not None and entry.standing is Standing.DEAD:
                lockdir.clear_dead(entry.name, entry.label)

    def beat(self) -> None:
        """Write the heartbeat, and put back what others have removed."""
        now = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(until_beat(now), self.beat)
        record = self._record(now)
        self._claim.write(record)
        if now >= self._mend_at:
            self._mend_at = now + MEND_EVERY
            try:
                for what in self._claim.mend(record):
                    logger.warning("put back {}", what)
                self._trouble = ""
            except (HubfarmError, OSError) as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    logger.error("cannot put back what is missing: {}; trying on", error)

    def _record(self, now: float, state: HubState | None = None) -> Record:
        return Record(
            os.getpid(),
            self._claim.name.id,
            state or (HubState.RUNNING if self._line.up.is_set() else HubState.AWAY),
            started=self._started,
            beat=now,
            active=self._door.active,
            clients=len(self._members),
            accepted=self._door.accepted,
            delivered=self._members.handed_on,
            requests=self._door.requests,
        )

    async def tell(self) -> None:
        """Tell of itself, if anything has changed."""
        state = ConnectionState(
            pid=os.getpid(),
            since=self._since,
            up=self._line.up.is_set(),
            changed=self._line.changed,
            clients=len(self._members),
            lost=self._line.lost,
            failures=self._line.failures,
            trouble=self._line.trouble,
        )
        if state != self._told:
            if self._told is None or state.up != self._told.up:
                self._claim.write(self._record(time.monotonic()))  # who lists hubs sees it at once
                self._keep()
            self._told = state
            await asyncio.to_thread(self._connections.tell, self._spec.name, state)

    def try_now(self) -> None:
        """Try now what would be tried again later."""
        self._line.try_now()

    @property
    def running(self) -> "asyncio.Task[None]":
        """Keeps the line; ends by a fault of ours alone."""
        return self._running

    async def stay(self, ended: "asyncio.Future[bool]") -> None:
        """Tell of itself until it is ended, for good or not."""
        while not ended.done():
            await self.tell()
            await asyncio.wait([ended], timeout=LOOK_EVERY)

    async def close(self, *, for_good: bool) -> None:
        """End, for good or for a successor."""
        self._claim.write(self._record(time.monotonic(), HubState.STOPPING))
        if for_good:
            self._claim.unpublish()
        await self._members.close(for_good=for_good)
        self._server.close()
        self._timer.cancel()
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError, HubfarmError):
            await self._running
        await self._file_door.close()
        if isinstance(self._line, SshLine):
            await self._line.close(for_good=for_good)
        if for_good:
            self._claim.withdraw()
        else:
            self._claim.leave()
        logger.info("ended" if for_good else "ended, for a successor")


async def _serve(connection: Connection, reopen_log: Callable[[], None], ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()

    def end(for_good: bool) -> None:
        if not ended.done():
            ended.set_result(for_good)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, True)
    loop.add_signal_handler(signal.SIGQUIT, end, False)
    loop.add_signal_handler(signal.SIGUSR1, connection.try_now)
    loop.add_signal_handler(signal.SIGHUP, reopen_log)
    await connection.start()
    connection.running.add_done_callback(lambda _: end(False))
    await connection.tell()
    ready()
    await connection.stay(ended)
    await connection.close(for_good=ended.result())


def run(
    wish: Wish[ConnectionSpec],
    connections: Connections,
    paths: Paths,
    reopen_log: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    """Be a connection, as all of this process."""
    import uvloop

    async def serve() -> None:
        await _serve(Connection(wish, connections, paths), reopen_log, ready)

    raise_descriptor_limit()
    uvloop.run(serve())
