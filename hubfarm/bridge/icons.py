"""The icons of proxies: those of their clients, with a corner cut off, as JSAMP's bridge does it.

An icon is read here, drawn anew and served by the bridge: so it can be had from the other host too, and is a picture
whatever lay at the client's address.  That takes Pillow (``hubfarm[icons]``); without it icons stay as they are.
"""

import asyncio
import io
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from hubfarm.bridge.exports import Serve, serve_alone
from hubfarm.client.files import FileServer
from hubfarm.client.icons import icon_url
from hubfarm.samp.values import Map

if TYPE_CHECKING:
    from hubfarm.client.guarded_icons import GuardedIcons

MOST = 500
"""Icons that are served at a time; of more, the one that was made first is no more."""

LARGEST = 512
"""Pixels of an icon's side at most: a larger one is none."""


class _Key(NamedTuple):
    """One icon that is asked for: where it lies, whether a web page has named it, and where it is to be had."""

    url: str
    for_page: bool
    host: str


class Icons:
    """The icons of one bridge's proxies; in the running event loop.

    Parameters
    ----------
    changed : callable
        Called when an icon has been made that was asked for.
    serve : callable
        Returns what serves icons at an address of this host.
    """

    def __init__(self, changed: Callable[[], None], serve: Serve = serve_alone) -> None:
        self._changed = changed
        self._serve = serve
        self._servers: dict[str, FileServer] = {}
        self._fetcher: GuardedIcons | None = None
        self._urls: dict[_Key, str] = {}
        self._making: dict[_Key, asyncio.Task[None]] = {}
        self._can_draw = find_spec("PIL") is not None

    def marked(self, metadata: Map, host: str) -> Map:
        """Return a client's metadata with its proxy's icon; the client's own until that is made.

        Parameters
        ----------
        metadata : Map
            The client's.
        host : str
            The address of this host at which the icon is to be had.
        """
        url = icon_url(metadata)
        if not (url and self._can_draw):
            return metadata
        key = _Key(url, metadata.get("hubfarm.door") == "web", host)
        if key not in self._urls and key not in self._making:
            self._making[key] = asyncio.get_running_loop().create_task(self._make(key))
        return {**metadata, "samp.icon.url": self._urls.get(key) or url}

    async def _make(self, key: _Key) -> None:
        from hubfarm.client.guarded_icons import GuardedIcons  # brings aiohttp, which a bridge without icons needs not

        self._fetcher = self._fetcher or GuardedIcons(far=True)
        try:
            content, _ = await self._fetcher.fetch(key.url, for_page=key.for_page)
            drawn = await asyncio.to_thread(cut, content)
            server = self._servers.setdefault(key.host, self._serve(key.host))
            served = await server.url_of_content(drawn, "icon.png", key.host) if drawn else ""
        finally:
            del self._making[key]
        self._urls[key] = served
        if len(self._urls) > MOST:
            oldest = next(iter(self._urls))
            self._servers[oldest.host].withdraw(self._urls.pop(oldest))
        if served:
            self._changed()

    async def close(self) -> None:
        """Serve no more."""
        for task in self._making.values():
            task.cancel()
        for server in self._servers.values():
            await server.close()


def cut(content: bytes) -> bytes:
    """Return an icon with the half under its diagonal cut off, as PNG; nothing if it is no picture of that kind."""
    from PIL import Image, ImageDraw

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "GIF", "JPEG")) as icon:
            if max(icon.size) > LARGEST:
                return b""
            drawn = icon.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow says of broken files
        return b""
    width, height = drawn.size
    ImageDraw.Draw(drawn).polygon([(width, 0), (width, height), (0, height)], fill=(0, 0, 0, 0))
    written = io.BytesIO()
    drawn.save(written, "PNG")
    return written.getvalue()
