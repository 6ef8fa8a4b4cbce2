"""Files over a line: at the one end somebody reads a URL, at the other it is fetched.

At both ends it is the same: a `FileDoor` is where programs of this host read what lies on the other, and a `Fetcher`
reads for the other end what lies here, as a file or behind a URL of this host.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hubfarm.client.files import FileServer
from hubfarm.connect.asked import Answer, Fetch, answer_in, written
from hubfarm.connect.exchanges import PIECE, Exchange
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import file_path
from hubfarm.wire.sockets import bind, close_in_child

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

HERE = "127.0.0.1"

PASSED_ON = (
    *("Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Content-Disposition"),
    *("Accept-Ranges", "Last-Modified", "ETag", "Location"),
)
"""What the answer's head says that goes over the line."""

CONNECTS_IN = 10.0
"""How long a program's own server may take to take a connection, seconds."""

Ask = Callable[[Fetch], Awaitable[Exchange]]
"""Asks the other end for a file that is named in a URL, by what stands for it; raises HubfarmError if it cannot."""


class NotThere(HubfarmError):
    """No file is known by what stands in a URL."""


class Fetcher:
    """Reads for the other end what lies on this host; in the running event loop."""

    def __init__(self) -> None:
        self._served = FileServer()
        self._urls: dict[str, str] = {}
        self._session: ClientSession | None = None

    async def answer(self, exchange: Exchange, url: str, asked: Fetch) -> None:
        """Answer with what is behind a URL."""
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECTS_IN),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        headers = {"Range": asked.range, "Accept-Encoding": "identity"} if asked.range else {}
        begun = False
        try:
            where = URL(await self._http_url(url), encoded=True)
            async with self._session.request(asked.method, where, headers=headers, allow_redirects=False) as answer:
                fields = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
                begun = True
                await exchange.begin(written(Answer(status=answer.status, fields=fields)))
                async for piece in answer.content.iter_chunked(PIECE):
                    await exchange.write(piece)
                await exchange.end()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, WrongUse) as error:
            if not begun:
                await exchange.say(written(Answer(trouble=f"it cannot be read: {error or type(error).__name__}")))

    async def _http_url(self, url: str) -> str:
        if not url.startswith("file:"):
            return url
        if url not in self._urls:
            self._urls[url] = await self._served.url_of(Path(file_path(url)), HERE)
        return self._urls[url]

    async def close(self) -> None:
        """Read no more."""
        await self._served.close()
        if self._session is not None:
            await self._session.close()


class FileDoor:
    """Where programs of this host read what lies on the other; in the running event loop.

    Parameters
    ----------
    ask : callable
        See `Ask`.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen, at a port of before if it is free.

        Raises
        ------
        HubfarmError
            No port is to be had.
        """
        from aiohttp import web  # a tenth of a second, which `hubfarm ls` need not pay

        try:
            sock = close_in_child(bind(HERE, port))
        except HubfarmError:
            sock = close_in_child(bind(HERE, 0))
        app = web.Application()
        app.router.add_get("/{token}/{name:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()
        self.port = sock.getsockname()[1]

    async def _answer(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        fetch = Fetch(
            url=request.match_info["token"], method=request.method, range=request.headers.get("Range", "")[:200]
        )
        try:
            exchange = await self._ask(fetch)
        except NotThere as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        except HubfarmError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        try:
            return await self._passed_on(request, exchange)
        finally:
            exchange.cancel()

    async def _passed_on(self, request: "web.Request", exchange: Exchange) -> "web.StreamResponse":
        from aiohttp import web

        try:
            answer = answer_in(await exchange.head())
        except HubfarmError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        if answer.trouble:
            raise web.HTTPNotFound(text=f"{answer.trouble}\n")
        response = web.StreamResponse(status=answer.status, headers=_usable(answer.fields))
        await response.prepare(request)
        try:
            while piece := await exchange.read():
                await response.write(piece)
        except (HubfarmError, asyncio.CancelledError):
            if request.transport is not None:
                request.transport.abort()  # who reads is to see that it is not all
            raise
        await response.write_eof()
        return response

    async def close(self) -> None:
        """Listen no more."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


def _usable(fields: Mapping[str, str]) -> dict[str, str]:
    known = {name.lower(): name for name in PASSED_ON}
    return {known[name.lower()]: value for name, value in fields.items() if name.lower() in known}
