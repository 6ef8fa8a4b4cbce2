"""Requests passed on to hubs as they are, over kept connections; a hub that is being replaced is waited for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from hubfarm.gateway.hubs import Hubs, WebHub
from hubfarm.samp.errors import Fault
from hubfarm.wire.web_door import DOOR, ORIGIN

PATIENCE = 15.0
"""How long a hub that has gone may take to be back, seconds."""

AGAIN = 0.05
"""Between two looks whether it is, seconds."""

LARGEST_ANSWER = 256 * 2**20
"""Bytes."""

_LONGEST_ORIGIN = 2048


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hub has answered.

    Parameters
    ----------
    status : int
        By HTTP.
    body : bytes
        As it came.
    """

    status: int
    body: bytes


Ask = Callable[[WebHub], Awaitable[Answer]]


class Forward:
    """Passes requests on.

    Parameters
    ----------
    hubs : Hubs
        Where to.
    """

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """What holds the connections to hubs; made with the first request."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"],
                trust_env=False,
            )
        return self._session

    async def call(self, key: str, body: bytes, origin: str) -> Answer:
        """Return the answer of the hub that a private key is of; also of one that is being replaced meanwhile.

        Raises
        ------
        Fault
            There is no such hub, or it does not come back.
        """
        return await self._until_answered(key, lambda hub: self.post(hub, body, origin))

    async def may_read(self, key: str, url: str) -> int:
        """Return how a hub answers whether the page of a private key may read a URL: 200, 403 or 404.

        Raises
        ------
        Fault
            As for `call`.
        """
        return (await self._until_answered(key, lambda hub: self._ask_may_read(hub, key, url))).status

    async def _until_answered(self, key: str, ask: Ask) -> Answer:
        deadline = time.monotonic() + PATIENCE
        anew = False
        while True:
            hub = await self._hubs.of_key(key, anew=anew)
            if hub is not None:
                try:
                    return await ask(hub)
                except (aiohttp.ClientConnectionError, aiohttp.ServerTimeoutError, aiohttp.ClientPayloadError):
                    pass  # it has died, or has closed a connection that was long unused
            elif anew and time.monotonic() >= deadline:
                raise Fault("the hub of this private key does not run any more: register again")
            if time.monotonic() >= deadline:
                raise Fault("the hub does not answer: try again")
            if anew:
                await asyncio.sleep(AGAIN)
            anew = True

    async def post(self, hub: WebHub, body: bytes, origin: str) -> Answer:
        """Return what a hub answers to a page's XML-RPC.

        Raises
        ------
        aiohttp.ClientError
            It does not.
        """
        headers = {"Content-Type": "text/xml", DOOR: f"web {hub.door}", ORIGIN: quoted(origin)}
        tls = hub.known_by or True
        async with self.session.post(hub.url, data=body, headers=headers, allow_redirects=False, ssl=tls) as answer:
            return Answer(answer.status, await _whole(answer))

    async def _ask_may_read(self, hub: WebHub, key: str, url: str) -> Answer:
        parts = urlsplit(hub.url)
        where = f"{parts.scheme}://{parts.netloc}/may-read?key={quote(key, safe='')}&url={quote(url, safe='')}"
        headers = {DOOR: f"web {hub.door}"}
        tls = hub.known_by or True
        async with self.session.get(_as_it_is(where), headers=headers, allow_redirects=False, ssl=tls) as answer:
            return Answer(answer.status, await _whole(answer))

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()


def quoted(origin: str) -> str:
    """Return an origin as it goes into a header."""
    return quote(origin, safe=":/[]")[:_LONGEST_ORIGIN]


def _as_it_is(url: str) -> URL:
    return URL(url, encoded=True)


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    body = await answer.content.read(LARGEST_ANSWER)
    while more := await answer.content.read(LARGEST_ANSWER):
        body += more
        if len(body) > LARGEST_ANSWER:
            raise Fault("the hub's answer is too long")
    return body
