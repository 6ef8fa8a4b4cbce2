"""The answering end of the control protocol: connections on a Unix socket, each with one request.

A line of JSON begins with a brace.  What begins otherwise is HTTP: for Prometheus, for curl, and for a ``hubfarm`` of
a release that asked by HTTP.  What requests do it is told by its caller; here they are only heard and answered.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
from loguru import logger

from hubfarm.control.protocol import (
    MOST,
    VERSION,
    AnyEvent,
    AnyRequest,
    Done,
    Failed,
    decode_hello,
    decode_request,
    encode,
    hello,
)
from hubfarm.registry.unix_socket import UnixSocket
from hubfarm.samp.errors import HubfarmError, WrongUse

PATIENCE = 20.0
"""How long a connection may take until its request is whole, seconds."""

LINGER = 5.0
"""How long who has its answer may go on sending, seconds."""

CLOSE_TIMEOUT = 1.0
"""How long `ControlServer.close` waits for answers under way, seconds.

By the end of the farm every request has been answered: what is left came too late.
"""

Tell = Callable[[AnyEvent], Awaitable[None]]
"""Sends an event to who has asked; `ConnectionError` if it is gone."""

Handler = Callable[[AnyRequest, Tell], Awaitable[None]]
"""Does what is asked for, and raises `HubfarmError` if it cannot."""

TakeHttp = Callable[[asyncio.Transport, bytes], None]
"""Given a connection on which HTTP is spoken, and its first bytes."""


class ControlServer:
    """Hears requests on one Unix socket.

    Parameters
    ----------
    place : UnixSocket
        Where the socket lies.
    handler : callable
        Does what is asked for; see `Handler`.
    take_http : callable
        Takes connections on which HTTP is spoken; see `TakeHttp`.
    """

    def __init__(self, place: UnixSocket, handler: Handler, take_http: TakeHttp) -> None:
        self._place = place
        self._handler = handler
        self._take_http = take_http
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket that a dead coordinator left is replaced.

        Raises
        ------
        HubfarmError
            The socket cannot be made.
        """
        loop = asyncio.get_running_loop()
        sock = self._place.listen()
        self._server = await loop.create_unix_server(lambda: _Opening(self._converses, self._take_http), sock=sock)

    async def mend(self) -> bool:
        """Make the socket again if somebody has removed it; tell whether it was so.

        Raises
        ------
        HubfarmError
            It cannot be made, now.
        """
        if self._place.is_in_place():
            return False
        if self._server is not None:
            self._server.close()
        await self.start()
        return True

    async def close(self) -> None:
        """Stop listening, once what is under way is answered, and remove the socket."""
        if self._server is not None:
            self._server.close()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=CLOSE_TIMEOUT)
            for task in late:
                task.cancel()
        self._place.remove()

    def _converses(self) -> asyncio.Protocol:
        reader = asyncio.StreamReader(limit=MOST)
        return asyncio.StreamReaderProtocol(reader, self._converse)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

        async def tell(event: msgspec.Struct) -> None:
            writer.write(encode(event))
            await writer.drain()

        try:
            await self._answer(reader, tell)
            writer.write_eof()
            await _hear_out(reader)
        except ConnectionError:
            logger.info("who has asked for something is gone before it was done")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, tell: Callable[[msgspec.Struct], Awaitable[None]]) -> None:
        try:
            try:
                request = await _heard(reader)
            except WrongUse:
                await tell(hello())
                raise
            await tell(hello())
            if request is not None:
                await self._handler(request, tell)
                await tell(Done())
        except HubfarmError as error:
            logger.warning("a request failed: {}", error)
            await tell(Failed.by(error))
        except ConnectionError:
            raise
        except Exception as error:
            logger.exception("a request failed")
            await tell(Failed(f"the coordinator failed: {error!r}; its log says more"))


async def _heard(reader: asyncio.StreamReader) -> AnyRequest | None:
    """Return what is asked for; None if the asking end speaks another version: it sees that by our hello, and says so.

    Raises
    ------
    WrongUse
        It is no request.
    """
    theirs = decode_hello(await _read(reader))
    if theirs.protocol != VERSION:
        logger.warning("hubfarm {} has called: it speaks another version than we do", theirs.release)
        return None
    return decode_request(await _read(reader))


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Return the next line.

    Raises
    ------
    WrongUse
        It is too long, or takes too long.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.readline()
    except TimeoutError:
        raise WrongUse(f"the request was not whole within {PATIENCE:g} s") from None
    except ValueError:
        raise WrongUse(f"the request is longer than {MOST} bytes") from None


async def _hear_out(reader: asyncio.StreamReader) -> None:
    """Read what still comes until the peer has closed: to close before would take the answer from it, unread."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while await reader.read(MOST):
                pass


class _Opening(asyncio.Protocol):
    """A connection until its first byte says what is spoken on it."""

    def __init__(self, converse: Callable[[], asyncio.Protocol], take_http: TakeHttp) -> None:
        self._converse = converse
        self._take_http = take_http
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._timer.cancel()
        if not data.startswith(b"{"):
            self._take_http(self._transport, data)
            return
        protocol = self._converse()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)
