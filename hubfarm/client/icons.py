"""Clients' icons, fetched for those who are shown them (SAMP 1.3, 3.6: ``samp.icon.url``).

We fetch them, and no browser does: it may run on another host than the clients, and would show who looks.  What an
address leads to is somebody else's: little of it is read, for a short time, and it may be no picture at all.
"""

import asyncio
from collections.abc import Iterable, Mapping

from hubfarm.client.background import borrowed
from hubfarm.samp.errors import WrongUse
from hubfarm.wire.urls import check_http_url

LARGEST = 64 * 2**10
"""An icon's size at most, bytes."""

PATIENCE = 1.0
"""How long all icons together may take, seconds."""

MOST = 50
"""Icons that are fetched at a time, at most."""


def icon_url(metadata: Mapping[str, object]) -> str:
    """Return the address of the icon that a client's metadata names; empty if it is none to fetch from."""
    url = metadata.get("samp.icon.url")
    if not isinstance(url, str):
        return ""
    try:
        check_http_url(url)
    except WrongUse:
        return ""
    return url


def icons_of(clients: Iterable[Mapping[str, object]]) -> dict[str, bytes]:
    """Return what lies at the icons' addresses in clients' metadata; what cannot be had in time is missing.

    Examples
    --------
    >>> icons_of([{"samp.icon.url": "http://127.0.0.1:9/icon.png"}, {"samp.icon.url": "file:///etc/passwd"}])
    {}
    """
    urls = [url for url in dict.fromkeys(map(icon_url, clients)) if url]
    if not urls:
        return {}
    with borrowed() as background:
        return background.run(_fetch_all(urls[:MOST]))


async def _fetch_all(urls: list[str]) -> dict[str, bytes]:
    import aiohttp  # a tenth of a second, and few show icons

    async def fetch(url: str) -> tuple[str, bytes]:
        try:
            async with session.get(url) as answer:
                return url, await read(answer.content) if answer.ok else b""
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return url, b""

    async def read(stream: aiohttp.StreamReader) -> bytes:
        content = b""
        async for part in stream.iter_any():
            content += part
            if len(content) > LARGEST:
                return b""
        return content

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        fetched = await asyncio.gather(*map(fetch, urls))
    return {url: content for url, content in fetched if content}
