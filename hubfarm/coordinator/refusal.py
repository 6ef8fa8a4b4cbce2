"""Who comes to a hub that cannot be woken just now is told so at once: HTTP 503.

The server is loaded then, and not before: two megabytes.
"""

import socket
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from hubfarm.wire.http_messages import Request, Response
    from hubfarm.wire.http_server import HttpServer

RETRY_AFTER = b"Retry-After: 1\r\n"


class Refusal:
    """Answers everybody at one socket that it is to be tried again.

    Parameters
    ----------
    text : str
        What they are told.
    """

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._server: HttpServer | None = None

    async def begin(self, sock: socket.socket) -> None:
        """Answer those who wait at a listening socket, and those who come; it stays open."""
        from hubfarm.wire.http_connection import HttpLimits
        from hubfarm.wire.http_server import HttpServer

        self._server = HttpServer(self._refuse, HttpLimits(connections=100), _log_failure)
        self._server.leaving = True  # each connection is closed behind its answer
        await self._server.start(sock.dup())

    def end(self) -> None:
        """Answer no more; who comes waits."""
        if self._server is not None:
            self._server.close()

    def _refuse(self, _: "Request") -> "Response":
        from hubfarm.wire.http_messages import Response

        return Response(self._text, 503, b"text/plain; charset=utf-8", RETRY_AFTER)


def _log_failure(error: BaseException) -> None:
    logger.opt(exception=error).error("a request could not be refused")
