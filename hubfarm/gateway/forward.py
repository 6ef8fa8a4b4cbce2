"""Requests passed on to hubs as they are, over kept connections; a hub that is being replaced is waited for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from urllib.parse import quote, urlsplit

import aiohttp
from loguru import logger
from yarl import URL

from hubfarm.gateway.hubs import Hubs, WebHub
from hubfarm.samp.errors import Fault
from hubfarm.wire.carried_pulls import as_list
from hubfarm.wire.http_client import BadAnswer, HttpClient, HttpError, NoAnswer, Unreachable
from hubfarm.wire.http_messages import encode_fields
from hubfarm.wire.web_door import DOOR, ORIGIN

PATIENCE = 15.0
"""How long a hub that has gone may take to be back, seconds."""

AGAIN = 0.05
"""Between two looks whether it is, seconds."""

LARGEST_ANSWER = 256 * 2**20
"""Bytes."""

MOST_HUBS = 200
"""Hubs to which connections are kept."""

_LONGEST_ORIGIN = 2048
_HAS_GONE = (
    Unreachable,
    NoAnswer,
    aiohttp.ClientConnectionError,
    aiohttp.ServerTimeoutError,
    aiohttp.ClientPayloadError,
)
_NOTHING: Mapping[str, str] = MappingProxyType({})


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


MOST_IDLE = 64
"""Connections to one hub that wait for their next request."""

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
        self._idle: dict[str, list[HttpClient]] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """What asks hubs for something beside XML-RPC; made with the first such request."""
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

    async def call(self, key: str, body: bytes, origin: str, told: Mapping[str, str] = _NOTHING) -> Answer:
        """Return the answer of the hub that a private key is of; also of one that is being replaced meanwhile.

        Parameters
        ----------
        key : str
            The private key, or what it begins with.
        body : bytes
            The request, as the page has sent it.
        origin : str
            Whose page it is.
        told : mapping, optional
            Header fields by which the hub is told what a page has pulled before.

        Raises
        ------
        Fault
            There is no such hub, or it does not come back.
        """
        return await self._until_answered(key, lambda hub: self.post(hub, body, origin, told))

    async def may_read(self, key: str, url: str) -> int:
        """Return how a hub answers whether the page of a private key may read a URL: 200, 403 or 404.

        Raises
        ------
        Fault
            As for `call`.
        """
        return (
            await self._until_answered(key, lambda hub: self._get(hub, "may-read", {"key": key, "url": url}))
        ).status

    async def _until_answered(self, key: str, ask: Ask) -> Answer:
        deadline = time.monotonic() + PATIENCE
        anew = False
        while True:
            hub = await self._hubs.of_key(key, anew=anew)
            if hub is not None:
                try:
                    return await ask(hub)
                except _HAS_GONE:
                    pass  # it has died, or has closed a connection that was long unused
            elif anew and time.monotonic() >= deadline:
                raise Fault("the hub of this private key does not run any more: register again")
            if time.monotonic() >= deadline:
                raise Fault("the hub does not answer: try again")
            if anew:
                await asyncio.sleep(AGAIN)
            anew = True

    async def tell_of_pulls(self, key: str, arrived: Iterable[str], lost: Iterable[str]) -> None:
        """Tell a hub which answers to pulls have arrived at a page and which are lost, if it is there to hear it."""
        what = {"arrived": as_list(arrived), "lost": as_list(lost)}
        try:
            await self._until_answered(key, lambda hub: self._get(hub, "pulled", {"key": key, **what}))
        except (Fault, HttpError, aiohttp.ClientError) as error:
            logger.debug("a hub was not told what its page has pulled: {}", error)

    async def post(self, hub: WebHub, body: bytes, origin: str, told: Mapping[str, str] = _NOTHING) -> Answer:
        """Return what a hub answers to a page's XML-RPC.

        Raises
        ------
        HttpError
            It does not.
        """
        fields = encode_fields([(DOOR, f"web {hub.door}"), (ORIGIN, quoted(origin)), *told.items()])
        client = self._client_of(hub)
        try:
            answer = Answer(200, await client.post(body, timeout=None, fields=fields))
        except BadAnswer as error:
            client.close()
            if not error.status:
                raise Fault(f"the hub {hub.label} has not answered as a hub does: it {error}") from None
            return Answer(error.status, error.body)
        except BaseException:
            client.close()
            raise
        if len(idle := self._idle.setdefault(hub.url, [])) < MOST_IDLE:
            idle.append(client)
        else:
            client.close()
        return answer

    def _client_of(self, hub: WebHub) -> HttpClient:
        """Return a connection for one request: aiohttp's costs a gateway a third of all that it does."""
        if idle := self._idle.get(hub.url):
            return idle.pop()
        if len(self._idle) > MOST_HUBS:  # whose hubs have gone, mostly
            self._close_idle()
        return HttpClient(hub.url, max_body=LARGEST_ANSWER, tls=[hub.known_by] if hub.known_by else ())

    def _close_idle(self) -> None:
        for client in chain.from_iterable(self._idle.values()):
            client.close()
        self._idle.clear()

    async def _get(self, hub: WebHub, what: str, query: Mapping[str, str]) -> Answer:
        parts = urlsplit(hub.url)
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        where = f"{parts.scheme}://{parts.netloc}/{what}?{asked}"
        headers = {DOOR: f"web {hub.door}"}
        tls = hub.known_by or True
        async with self.session.get(_as_it_is(where), headers=headers, allow_redirects=False, ssl=tls) as answer:
            return Answer(answer.status, await _whole(answer))

    async def close(self) -> None:
        """End all connections."""
        self._close_idle()
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
