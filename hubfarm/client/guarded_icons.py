"""Clients' icons, for those who serve them again: fetched with care, and pictures alone.

An icon's address is a client's word.  What is fetched: by http, little, for a short time, with nothing of ours in the
request; for a web page's client nothing of this host, as a page could reach programs by it that it may not reach
itself; for nobody the link's own addresses (169.254.169.254 is where clouds keep secrets).  What is served: what begins
as a raster picture does.  So whoever names another thing as icon learns at most that somebody has looked.
"""

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from hubfarm.client.icons import LARGEST
from hubfarm.samp.errors import WrongUse
from hubfarm.wire.urls import check_http_url

PATIENCE = 3.0
"""How long an icon may take, seconds."""

MOST_REDIRECTS = 3
MOST_AT_A_TIME = 8
MOST_KEPT = 300
"""Icons that are kept, with those that could not be had."""

KEPT = 600.0
"""For so long, seconds."""

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
)


def kind_of_picture(content: bytes) -> str:
    """Return the media type of a raster picture by its beginning; empty if it is none.

    Examples
    --------
    >>> kind_of_picture(b"GIF89a..."), kind_of_picture(b"<svg onload='alert(1)'/>")
    ('image/gif', '')
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in _BEGINNINGS if content.startswith(begin)), "")


def is_reachable(address: str, *, for_page: bool, far: bool) -> bool:
    """Tell whether an icon may be fetched from an address.

    Parameters
    ----------
    address : str
        An IP address.
    for_page : bool
        Its client is a web page.
    far : bool
        Other hosts may be asked.

    Examples
    --------
    >>> is_reachable("127.0.0.1", for_page=False, far=True), is_reachable("127.0.0.1", for_page=True, far=True)
    (True, False)
    >>> is_reachable("169.254.169.254", for_page=False, far=True)
    False
    >>> is_reachable("::ffff:127.0.0.1", for_page=True, far=True)
    False
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
        return False
    if parsed.is_loopback:
        return not for_page
    return far and not (for_page and parsed.is_private)


class GuardedIcons:
    """Fetches icons, and keeps them for a while.

    Parameters
    ----------
    far : bool
        Other hosts may be asked.
    """

    def __init__(self, *, far: bool) -> None:
        self._far = far
        self._kept: OrderedDict[tuple[str, bool], tuple[float, bytes]] = OrderedDict()
        self._under_way = asyncio.Semaphore(MOST_AT_A_TIME)

    async def fetch(self, url: str, *, for_page: bool) -> tuple[bytes, str]:
        """Return a picture and its media type; empty ones if it is not to be had."""
        place = (url, for_page)
        at, content = self._kept.get(place, (-KEPT, b""))
        if time.monotonic() - at >= KEPT:
            async with self._under_way:
                content = await self._fetch(url, for_page=for_page)
            self._kept[place] = time.monotonic(), content
            self._kept.move_to_end(place)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return content, kind_of_picture(content)

    async def _fetch(self, url: str, *, for_page: bool) -> bytes:
        connector = aiohttp.TCPConnector(resolver=_Resolver(for_page=for_page, far=self._far), force_close=True)
        try:
            async with (
                asyncio.timeout(PATIENCE),
                aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
                ) as session,
            ):
                for _ in range(MOST_REDIRECTS + 1):
                    self._check(url, for_page=for_page)
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status in (301, 302, 303, 307, 308):
                            url = str(URL(url).join(URL(answer.headers.get("Location", ""))))
                            continue
                        return await _read(answer.content) if answer.ok else b""
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, UnicodeError):
            pass
        return b""

    def _check(self, url: str, *, for_page: bool) -> None:
        """Refuse an address that is not asked.

        Raises
        ------
        ValueError
            Why.
        """
        parts = check_http_url(url)
        if parts.username or parts.password:
            raise WrongUse("no icon is fetched with somebody's password")
        host = urlsplit(url).hostname or ""
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            return  # a name: the resolver looks where it leads
        if not is_reachable(address, for_page=for_page, far=self._far):
            raise WrongUse("no icon is fetched from there")


async def _read(stream: aiohttp.StreamReader) -> bytes:
    content = b""
    async for part in stream.iter_any():
        content += part
        if len(content) > LARGEST:
            return b""
    return content if kind_of_picture(content) else b""


class _Resolver(AbstractResolver):
    """Resolves names, and leaves out addresses from which nothing is fetched, whatever a name's owner says today."""

    def __init__(self, *, for_page: bool, far: bool) -> None:
        self._resolver = ThreadedResolver()
        self._for_page = for_page
        self._far = far

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        usable = [each for each in found if is_reachable(each["host"], for_page=self._for_page, far=self._far)]
        if not usable:
            raise OSError(None, f"no icon is fetched from {host}")
        return usable

    async def close(self) -> None:
        await self._resolver.close()
