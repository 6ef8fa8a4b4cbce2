"""The line to the host's switchboard: connections that it hands over, unread, are served as our own."""

import asyncio
import socket

from aiohttp import web
from loguru import logger

from hubfarm.wire.switchboard_line import HELLO

MOST_AT_ONCE = 64
"""Connections that are taken before others have their turn."""


class Line:
    """The line; when it breaks, the coordinator sees it too, and starts a gateway on another.

    Parameters
    ----------
    line : socket
        As the coordinator has it.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line: socket.socket | None = line
        self._server: web.Server | None = None
        self._taking: set[asyncio.Task[None]] = set()

    def open(self, server: web.Server) -> None:
        """Have a server serve who comes."""
        self._server = server
        assert self._line is not None
        self._line.setblocking(False)
        asyncio.get_running_loop().add_reader(self._line, self._take)

    def _take(self) -> None:
        assert self._line is not None
        for _ in range(MOST_AT_ONCE):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._line, len(HELLO) + 1, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                logger.warning("the switchboard has gone")
                self.close()
                return
            for descriptor in descriptors:
                self._serve(socket.socket(fileno=descriptor))

    def _serve(self, sock: socket.socket) -> None:
        async def serve() -> None:
            assert self._server is not None
            try:
                sock.setblocking(False)
                await asyncio.get_running_loop().connect_accepted_socket(self._server, sock)
            except OSError:
                sock.close()

        task = asyncio.ensure_future(serve())
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    def close(self) -> None:
        """Give the line up."""
        if self._line is not None:
            asyncio.get_running_loop().remove_reader(self._line)
            self._line.close()
            self._line = None
