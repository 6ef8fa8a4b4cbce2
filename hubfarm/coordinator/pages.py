"""What a coordinator answers by HTTP: ``/metrics`` for Prometheus, and on the control socket what it coordinates.

The server is loaded with the first request, as most farms are never asked by HTTP: 2 MB, and 10 more for metrics.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from hubfarm.control.protocol import CoordinatorStatus
from hubfarm.samp.errors import HubfarmError
from hubfarm.version import __version__

if TYPE_CHECKING:
    from hubfarm.wire.http_messages import Request, Response
    from hubfarm.wire.http_server import HttpServer

MOST_CONNECTIONS = 100
"""More are not kept, neither on the control socket nor on TCP."""

Handler = Callable[["Request"], "Response"]


class Pages:
    """The pages of one coordinator.

    Parameters
    ----------
    status : callable
        Returns who coordinates what.
    metrics : callable
        Returns what Prometheus reads.
    """

    def __init__(self, status: Callable[[], CoordinatorStatus], metrics: Callable[[], bytes]) -> None:
        self._status = status
        self._metrics = metrics
        self._here: HttpServer | None = None
        self._on_tcp: tuple[str, HttpServer] | None = None

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve a connection of the control socket, whose first bytes were read already."""
        if self._here is None:
            self._here = _server(self._answer_here)
        self._here.take(transport, data)

    async def serve_metrics(self, address: str) -> None:
        """Serve ``/metrics`` on TCP at ``ADDRESS:PORT`` too, or no longer if `address` is empty.

        Raises
        ------
        HubfarmError
            The address cannot be had.
        """
        if self._on_tcp is not None and self._on_tcp[0] != address:
            self._on_tcp[1].close()
            self._on_tcp = None
        if not address or self._on_tcp is not None:
            return
        from hubfarm.wire.sockets import bind

        host, _, port = address.rpartition(":")
        try:
            sock = bind(host.strip("[]"), int(port))
        except HubfarmError as error:
            raise HubfarmError(f"cannot serve metrics at {address}: {error}") from None
        server = _server(self._answer_on_tcp)
        await server.start(sock)
        self._on_tcp = (address, server)

    def close(self) -> None:
        """End all connections, once their answers are on their way."""
        for server in (self._here, self._on_tcp and self._on_tcp[1]):
            if server is not None:
                server.close()

    def _answer_on_tcp(self, request: "Request") -> "Response":
        from hubfarm.wire.http_messages import Response

        match request.method, request.target.partition(b"?")[0]:
            case b"GET", b"/metrics":
                return Response(self._metrics(), content_type=b"text/plain; version=0.0.4")
            case b"GET", _:
                return _refusal(404, "there is only /metrics here")
            case _:
                return _refusal(405, "only GET is answered here")

    def _answer_here(self, request: "Request") -> "Response":
        from hubfarm.wire.http_messages import Response

        match request.method, request.target.partition(b"?")[0]:
            case b"GET", b"/":
                return Response(msgspec.json.encode(self._status()) + b"\n", content_type=b"application/json")
            case b"POST", _:  # so asked a hubfarm until 0.2
                return _refusal(
                    400,
                    f"this coordinator is of hubfarm {__version__}, and an earlier release asks it for something: "
                    f"upgrade that hubfarm to {__version__}",
                )
        return self._answer_on_tcp(request)


def _server(handler: Handler) -> "HttpServer":
    from hubfarm.wire.http_connection import HttpLimits
    from hubfarm.wire.http_server import HttpServer

    return HttpServer(handler, HttpLimits(body=2**20, connections=MOST_CONNECTIONS), _log_failure)


def _refusal(status: int, text: str) -> "Response":
    from hubfarm.wire.http_messages import Response

    return Response(f"{text}\n".encode(), status, b"text/plain; charset=utf-8")


def _log_failure(error: BaseException) -> None:
    logger.opt(exception=error).error("a page could not be made")
