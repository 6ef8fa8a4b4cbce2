"""Both ends of HTTP for tests: a server under test, a raw peer, a scripted server; all in one event loop."""

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
import uvloop

from hubfarm.access.make_certificate import main as make_certificate
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_server import Handler, HttpServer
from hubfarm.wire.sockets import bind
from hubfarm.wire.tls import certificates_in, server_context, trusting
from tests.support import PATIENCE

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""Workers run on uvloop, embedded hubs on what the program has."""


ENCRYPTED: ContextVar[bool] = ContextVar("encrypted", default=False)
"""Whether servers under test speak TLS, and their peers too."""


@cache
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server shows, and what its clients believe."""
    with TemporaryDirectory() as directory:
        make_certificate(Path(directory), ["127.0.0.1"])
        pem = Path(directory, "hub.pem")
        known_by = certificates_in(pem.read_text())[-1]
        return server_context(pem, pem), trusting(known_by)


async def until(happened: Callable[[], Any], what: str) -> None:
    """Let the loop go on until `happened()` is true; fail saying `what` did not happen."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not happened():
                await asyncio.sleep(0.001)
    except TimeoutError:
        pytest.fail(f"did not happen within {PATIENCE:g} s: {what}")


async def next_moment() -> None:
    """Wait until the loop's clock shows another time: uvloop's counts milliseconds."""
    clock = asyncio.get_running_loop().time
    now = clock()
    await until(lambda: clock() > now, "time goes on")


def run_in(loop: str, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a test's coroutine in a loop of this kind, for as long as tests wait at most."""

    async def in_time() -> None:
        async with asyncio.timeout(3 * PATIENCE):
            await coroutine

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(in_time())


class Answer(NamedTuple):
    """One HTTP answer as a peer reads it."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """One raw connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send `pieces` so that the server reads them one by one."""
        for piece in pieces:
            self.writer.write(piece)
            for _ in range(3 if len(pieces) > 1 else 1):
                await asyncio.sleep(0)

    async def answer(self) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            version, status, _ = head[0].split(" ", 2)
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(version, int(status), headers, body)

    async def ask(self, *pieces: bytes) -> Answer:
        """Send a request, read its answer."""
        await self.send(*pieces)
        return await self.answer()

    async def end(self) -> bytes:
        """Wait until the server closes; return what it still sent."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except (ConnectionResetError, ssl.SSLError):
                return b""

    def close(self) -> None:
        self.writer.close()


class Served(NamedTuple):
    """A server under test, and what it reported."""

    server: HttpServer
    port: int
    errors: list[BaseException]

    async def peer(self) -> Peer:
        """Connect to it."""
        context = certificates()[1] if ENCRYPTED.get() else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        return Peer(reader, writer)


@contextlib.asynccontextmanager
async def serving(handler: Handler, limits: HttpLimits | None = None) -> AsyncIterator[Served]:
    """Serve `handler` on a port of 127.0.0.1."""
    errors: list[BaseException] = []
    tls = (lambda: certificates()[0]) if ENCRYPTED.get() else None
    server = HttpServer(handler, limits or HttpLimits(), errors.append, tls=tls)
    sock = bind("127.0.0.1", 0)
    await server.start(sock)
    try:
        yield Served(server, sock.getsockname()[1], errors)
    finally:
        server.close()


class Heard(NamedTuple):
    """One request as a scripted server reads it."""

    head: bytes
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Heard:
    """Read one request; `asyncio.IncompleteReadError` if the client has closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    return Heard(head, await reader.readexactly(int(fields[b"content-length"])))


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Scripted:
    """A server that runs `script` on each connection; it closes the connection when the script ends."""

    def __init__(self, script: Script, host: str = "127.0.0.1", ssl: Any = None) -> None:
        self.connections = 0
        self._script = script
        self._host = host
        self._ssl = ssl
        self._tasks: set[asyncio.Task[Any] | None] = set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self._script(reader, writer)
        writer.close()

    async def __aenter__(self) -> "Scripted":
        self._server = await asyncio.start_server(self._connected, self._host, 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{'https' if self._ssl else 'http'}://{host}:{self.port}/"
        return self

    def stop(self) -> None:
        """Close the listening socket and every connection, as a program that dies."""
        self._server.close()
        for task in self._tasks:
            if task is not None:
                task.cancel()

    async def __aexit__(self, *_: object) -> None:
        self.stop()


def unused_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """Cut `data` at these places."""
    places = [0, *sorted(place for place in set(at) if 0 < place < len(data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]
