"""A connection that is not encrypted yet: it counts, and has to be as quick, as one whose request comes in."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from hubfarm.wire.connections import LINGER, Activity, Connections


class Handshake(asyncio.Protocol):
    """The beginning of one encrypted connection.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The running one.
    connections : Connections
        Those of the server, among which it counts meanwhile.
    context : ssl.SSLContext
        What it is encrypted with.
    patience : float
        How long it may take, seconds.
    over : callable
        Gets the encrypted transport (asyncio's or uvloop's), the one below it, and what has come already.
    failed : callable
        Told of a transport that could not be encrypted, and why; it is closed then.
    """

    activity = Activity.HEAD
    at_rest = False
    received = unsent = 0

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections[Any],
        context: ssl.SSLContext,
        patience: float,
        over: Callable[[Any, asyncio.Transport, bytes], None],
        failed: Callable[[asyncio.Transport, BaseException], None],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._context = context
        self._patience = patience
        self._hand_on = over
        self._failed = failed
        self._transport: asyncio.Transport
        self._steps: Any  # a coroutine
        self._early: list[bytes] = []  # what has come before it has ended: asyncio does not wait for that
        self.since = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._connections.admit(self):
            self._transport.abort()
            return
        self._steps = self._loop.start_tls(
            self._transport,
            self,
            self._context,
            server_side=True,
            ssl_handshake_timeout=self._patience,
            ssl_shutdown_timeout=LINGER,
        )
        # Its first step is made here: in a task, the peer's first bytes might come before it, and to us.
        self._steps.send(None).add_done_callback(self._over)

    def data_received(self, data: bytes) -> None:
        """Keep what comes early."""
        self._early.append(data)

    def _over(self, _: "asyncio.Future[None]") -> None:
        self._connections.discard(self)
        encrypted = None
        try:
            self._steps.send(None)
        except StopIteration as done:
            encrypted = done.value
        except (OSError, asyncio.CancelledError) as error:
            self._failed(self._transport, error)
        if encrypted is None or encrypted.is_closing():  # the peer may have left meanwhile
            self._transport.abort()
            return
        self._hand_on(encrypted, self._transport, b"".join(self._early))

    def time_out(self, text: str) -> None:
        """Close: there is no language yet to answer in."""
        self._transport.abort()

    def abort(self) -> None:
        """Close."""
        self._transport.abort()

    give_way = close = abort
