"""Files that messages name, between a desktop and this end.

What a program here names goes out as a URL at the page's own server, which serves that file and no other, to whoever
has the URL: it cannot be guessed, and programs have no cookie.  What a program of the desktop names is read there by
the page, as far as that hub's translator lets it (SAMP 1.3, 5.2.6), and lies here as a file of this account's.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from loguru import logger

from hubfarm.bridge.exports import Exports, Place
from hubfarm.client.files import FileServer
from hubfarm.desktop.line import PageLine
from hubfarm.desktop.page_reach import ByPage
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.values import Map, Value

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""What is called so on the desktop is not what is called so here."""

MOST = 200
"""Files of the desktop that lie here at a time; of more, the one that was named longest ago goes."""

TAKES = 300.0
"""How long bringing one may take, seconds."""


class MountedFiles(FileServer):
    """Files that another's HTTP server serves.

    Parameters
    ----------
    base : str
        The URL below which it does.
    """

    def __init__(self, base: str) -> None:
        super().__init__()
        self._own_base = base

    async def _start(self, host: str) -> str:
        return self._own_base


class DesktopFiles:
    """The files of one joined desktop, both ways; see `hubfarm.bridge.bridge.Files`.

    Parameters
    ----------
    line : PageLine
        To the page that reads what the desktop names.
    reach : ByPage
        The desktop's hub.
    served : MountedFiles
        Serves what this end names.
    """

    def __init__(self, line: PageLine, reach: ByPage, served: MountedFiles) -> None:
        self._line = line
        self._reach = reach
        self._exports = Exports(lambda host: served)
        self._brought: OrderedDict[str, asyncio.Task[Path | None]] = OrderedDict()
        self._directory: Path | None = None

    async def exported(self, content: Map, origin: Place, goal: Place) -> Map:
        """See `hubfarm.bridge.bridge.Files`."""
        content = await self._exports.exported(content, origin, goal)  # which notes what the desktop names first
        if origin.is_on_this_host:
            return content
        return {key: await self._here(value) for key, value in content.items()}

    async def _here(self, value: Value) -> Value:
        match value:
            case str():
                return await self._url_here(value)
            case list():
                return [await self._here(each) for each in value]
            case dict():
                return {key: await self._here(each) for key, each in value.items()}

    async def _url_here(self, text: str) -> str:
        """Return what a URL of the desktop's is called here; any other text as it is."""
        if not text.startswith(("file:", "http:", "https:")):
            return text
        if original := self._exports.original(text):
            return original
        if not (text.startswith("file:") or _is_on_loopback(text)) or not self._reach.translator:
            return text
        if text not in self._brought:
            self._brought[text] = asyncio.create_task(self._bring(text))
            await self._make_room()
        self._brought.move_to_end(text)
        path = await asyncio.shield(self._brought[text])
        if path is None:
            self._brought.pop(text, None)
            return text
        return path.as_uri()

    async def _bring(self, url: str) -> Path | None:
        """Have the page bring a file; None if it cannot be had."""
        if self._directory is None:
            self._directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="hubfarm-desktop-"))
        place = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._directory))
        path = place / _name_in(url)
        try:
            await self._line.read(self._reach.translator + quote(url, safe=""), path, TAKES)
        except HubfarmError as error:
            logger.info("{}: a file that was named there cannot be had: {}", self._reach.label, error)
            return None
        return path

    async def _make_room(self) -> None:
        while len(self._brought) > MOST:
            _, oldest = self._brought.popitem(last=False)
            path = await oldest
            if path is not None:
                await asyncio.to_thread(shutil.rmtree, path.parent, ignore_errors=True)

    async def close(self) -> None:
        """Serve no more, and remove what was brought."""
        await self._exports.close()
        for task in self._brought.values():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._brought.values(), return_exceptions=True)
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)


def _is_on_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def _name_in(url: str) -> str:
    """Return what a file is called, made of a URL's last part.

    Examples
    --------
    >>> _name_in("file:///tmp/m%2031.fits"), _name_in("http://localhost:9/"), _name_in("file:///tmp/.."), _name_in("file:///a%2Fb")
    ('m 31.fits', 'file', 'file', 'b')
    """
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        path = ""
    name = "".join(character for character in path.rpartition("/")[2] if character.isprintable())
    return name[-100:].lstrip(".").strip() or "file"
