"""Files over HTTP, for recipients on other hosts: each under a path that nobody can guess."""

import secrets
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hubfarm.wire.sockets import bind, close_in_child
from hubfarm.wire.urls import written

if TYPE_CHECKING:
    from aiohttp import web


class FileServer:
    """Serves the files it is given, until it is closed; in the running event loop."""

    def __init__(self) -> None:
        self._files: dict[str, Path | bytes] = {}
        self._runner: web.AppRunner | None = None
        self._base = ""

    async def url_of(self, path: Path, host: str) -> str:
        """Return the URL under which `path` is served from now on; the first call decides on the host.

        Raises
        ------
        HubfarmError
            `host` is not an address of this machine.
        """
        return await self._url_of(path, path.name, host)

    async def url_of_content(self, content: bytes, name: str, host: str) -> str:
        """Return the URL under which some bytes are served from now on, as a file of this name; see `url_of`."""
        return await self._url_of(content, name, host)

    async def _url_of(self, what: Path | bytes, name: str, host: str) -> str:
        self._base = self._base or await self._start(host)
        token = secrets.token_urlsafe(16)
        self._files[token] = what
        return f"{self._base}{token}/{quote(name)}"

    async def _start(self, host: str) -> str:
        from aiohttp import web  # a tenth of a second, and few serve files

        sock = close_in_child(bind(host, 0))
        app = web.Application()
        app.router.add_get("/{token}/{name}", self.answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()
        return f"http://{written(host)}:{sock.getsockname()[1]}/"

    def __contains__(self, token: str) -> bool:
        """Tell whether something is served under a path that begins with this."""
        return token in self._files

    async def answer(self, request: "web.Request") -> "web.StreamResponse":
        """Answer a request for ``TOKEN/NAME``."""
        from aiohttp import web

        what = self._files.get(request.match_info["token"])
        if isinstance(what, bytes):
            return web.Response(body=what, content_type=guess_type(request.path)[0] or "application/octet-stream")
        if what is None or not what.is_file():
            raise web.HTTPNotFound(text="there is no such file here (any more)\n")
        return web.FileResponse(what)

    def withdraw(self, url: str) -> None:
        """Serve the file under this URL no more."""
        self._files.pop(url.removeprefix(self._base).partition("/")[0], None)

    async def close(self) -> None:
        """Stop serving."""
        runner, self._runner = self._runner, None
        self._base = ""
        self._files.clear()
        if runner is not None:
            await runner.cleanup()
