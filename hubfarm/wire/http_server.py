"""Bytes from sockets to one handler, and back.

`HttpServer` speaks HTTP/1.1 and 1.0 with keep-alive and pipelining: httptools parses, an
asyncio protocol moves the bytes.  A handler gets a whole `Request` and returns a `Response`,
a future of one, or a `Stream`.  Whatever a peer sends, it gets an answer or is closed, and nothing else is disturbed.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from hubfarm.wire.connections import Connections
from hubfarm.wire.handshake import Handshake
from hubfarm.wire.http_connection import MOST_UNREAD, Answered, Connection, HttpLimits, Says, ends_of
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.known_heads import KnownHeads
from hubfarm.wire.sockets import BACKLOG
from hubfarm.wire.streams import Stream

Handler = Callable[[Request], Answered]


class HttpServer:
    """An HTTP server on one listening socket.

    Parameters
    ----------
    handler : callable
        Gets each `Request`, returns a `Response`, a `Stream`, or a future of one; a future is cancelled
        when its client goes away.
    limits : HttpLimits
        Over them a request is answered 413, 431 or 503 and its connection closed.
    on_error : callable
        Told of an exception that `handler` raised; the client is answered 500.
    before_answers : callable
        Called before answers leave, once for all that have become ready in one turn of the loop.
    admit : callable
        Gets a `Request` with the beginning of its body, if that is longer than ``limits.on_trust``, and
        returns None, or the `Response` that refuses it.
    tls : callable, optional
        Returns what the next connection is to be encrypted with; without it none is.
    on_no_handshake : callable
        Told from which address a connection came that could not be encrypted, and why.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        on_error: Callable[[BaseException], None],
        before_answers: Callable[[], None] = lambda: None,
        admit: Callable[[Request], Response | None] = lambda request: None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        on_no_handshake: Callable[[str, BaseException], None] = lambda peer, error: None,
    ) -> None:
        self.limits = limits
        self.leaving = False
        """Each connection is closed behind its next answer."""
        self.admit = admit
        self.held_on_trust = 0
        self.held = 0
        self.known: KnownHeads[Says] = KnownHeads()
        self.loop = asyncio.get_running_loop()
        self.connections: Connections[Connection | Handshake] = Connections(
            self.loop, limits.connections, limits.patience
        )
        self._handler = handler
        self._on_error = on_error
        self._before_answers = before_answers
        self._tls = tls
        self._on_no_handshake = on_no_handshake
        self._to_flush: list[Connection] = []
        self._server: asyncio.Server | None = None
        self._sock: socket.socket | None = None

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on `sock`, which is bound already."""
        self._sock = sock
        await self._listen(sock)

    async def _listen(self, sock: socket.socket) -> None:
        # By another descriptor, as the loop closes that when it is to listen no more; `leave_if` may go on.
        self._server = await self.loop.create_server(self._accept, sock=sock.dup(), backlog=BACKLOG)

    async def leave_if(self, may_leave: Callable[[], bool]) -> bool:
        """Stop listening and close every connection, if nobody is using one; or else go on; tell whether it has left.

        Who connects meanwhile waits in the socket's backlog, for us or for who else holds the socket.

        Parameters
        ----------
        may_leave : callable
            Asked then whether it may; nothing can be asked of us between that and our leaving.
        """
        assert self._server is not None
        assert self._sock is not None
        self._server.close()
        for _ in range(2):  # what was accepted already appears now, and what it asked is read
            await asyncio.sleep(0)
        if may_leave() and all(connection.at_rest for connection in self.connections):
            self.leave()
            for connection in self.connections.close():
                connection.give_way()
            return True
        await self._listen(self._sock)
        return False

    def _accept(self) -> asyncio.Protocol:
        if self._tls is None:
            return Connection(self)
        patience = self.limits.patience.head
        return Handshake(self.loop, self.connections, self._tls(), patience, self._take_encrypted, self._no_handshake)

    def _take_encrypted(self, encrypted: Any, below: asyncio.Transport, early: bytes) -> None:
        # Not the 256 KiB that it takes by itself, for each of many who wait for an answer.
        encrypted.set_read_buffer_limits(high=MOST_UNREAD)
        self._begin(Connection(self, below), encrypted, early)

    def _no_handshake(self, transport: asyncio.Transport, error: BaseException) -> None:
        self._on_no_handshake(ends_of(transport).peer, error)

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve a connection that another has accepted and begun to read: `data` is what it has read."""
        self._begin(Connection(self), transport, data)

    @staticmethod
    def _begin(connection: Connection, transport: asyncio.Transport, data: bytes) -> None:
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if data:
            connection.data_received(data)

    def flush_soon(self, connection: Connection) -> None:
        """Write a connection's answers at the end of this turn of the loop."""
        if not self._to_flush:
            self.loop.call_soon(self.flush)
        self._to_flush.append(connection)

    def flush(self) -> None:
        """Write all answers that are ready."""
        connections, self._to_flush = self._to_flush, []
        try:
            self._before_answers()
        except Exception as error:
            self._on_error(error)
        for connection in connections:
            connection.flush()

    def handle(self, request: Request) -> Answered:
        """Hand one request to the handler; an exception becomes a 500."""
        try:
            return self._handler(request)
        except Exception as error:
            return self._failed(error)

    def result_of(self, future: "asyncio.Future[Any]") -> "Response | Stream":
        """Return what a finished future holds; an exception becomes a 500."""
        try:
            result: Response | Stream = future.result()
            return result
        except (Exception, asyncio.CancelledError) as error:
            return self._failed(error)

    def _failed(self, error: BaseException) -> Response:
        self._on_error(error)
        return Response(b"the hub failed on this request; its log says why\n", 500, b"text/plain; charset=utf-8")

    def leave(self) -> None:
        """Stop listening, and let connections go one by one; `close` ends those that stay."""
        self.leaving = True
        if self._server is not None:
            self._server.close()
        if self._sock is not None:
            self._sock.close()

    def close(self) -> None:
        """Stop listening and close every connection, once its answers are on their way."""
        self.leave()
        self.flush()
        for connection in self.connections.close():
            connection.close()
