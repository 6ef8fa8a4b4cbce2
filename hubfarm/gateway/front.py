"""The gateway's front: each request by HTTP, held against who asks and by which name, and given to who answers it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web
from loguru import logger

from hubfarm.gateway.carrier import Told
from hubfarm.gateway.door import LONGEST_FROM_ANYBODY, READ, START, Door
from hubfarm.gateway.visitors import Visitors, is_our_name
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import encode_fault
from hubfarm.spec.origins import origin_said
from hubfarm.wire.cors import preflight, readable
from hubfarm.wire.http_messages import Ends

LARGEST = 64 * 2**20
"""A longer request is refused, bytes."""

LARGEST_TOGETHER = 256 * 2**20
"""What requests that are being read may hold together, bytes."""

BODY_TIMEOUT = 60.0
"""How long a request may take until it is whole, seconds."""

MOST_OF_OTHERS = 100
"""Connections of other accounts at a time."""

CONSOLE = "/hubfarm"
"""Below this lie the gateway's own pages."""

WELCOME = """\
This is the SAMP Web Profile of hubfarm: web pages find the hubs of this account here.
hubfarm web shows which pages ask to come in, and which are in; hubfarm web url, where a browser shows it.
"""


class Answerer(Protocol):
    """Who answers a kind of requests."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer."""


class Front:
    """Answers requests.

    Parameters
    ----------
    visitors : Visitors
        Who may ask.
    door : Door
        The Web Profile.
    translator : Answerer
        The URL translator.
    console : Answerer
        The gateway's own pages.
    """

    def __init__(self, visitors: Visitors, door: Door, translator: Answerer, console: Answerer) -> None:
        self._visitors = visitors
        self._door = door
        self._translator = translator
        self._console = console
        self._held = 0
        self.last_request = time.monotonic()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever goes wrong, the gateway lives on."""
        try:
            return await self._answer(request)
        except (asyncio.CancelledError, web.HTTPException):
            raise
        except ConnectionError:
            raise
        except Exception as error:
            logger.opt(exception=error).error("a request failed inside the gateway")
            return _text(500, "the gateway has failed: its log says more", request)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        ends = ends_of(request.transport)
        if not is_our_name(request.headers.get("Host"), ends.own_port):
            logger.warning("refused: called by the name {!r}", request.headers.get("Host", "")[:200])
            return web.Response(status=403, text="this is localhost, and answers by that name only\n")
        path = request.path_qs.partition("?")[0]
        if refusal := await self._visitors.refusal_of(ends):
            logger.warning("refused: {}", refusal)
            return await self._refuse(request, refusal)
        self.last_request = time.monotonic()  # not for those who are refused: they may not keep it awake
        if path == CONSOLE or path.startswith(f"{CONSOLE}/"):
            return await self._console.answer(request)
        if request.method == "OPTIONS":
            return web.Response(headers=dict(preflight(request.headers) or []))
        if request.method == "POST":
            return await self._call(request)
        if path.startswith(READ):
            return await self._translator.answer(request)
        if request.method in ("GET", "HEAD") and path == "/":
            return _text(200, WELCOME, request)
        return _text(404 if request.method in ("GET", "HEAD") else 405, "there is nothing here\n", request)

    async def _refuse(self, request: web.BaseRequest, refusal: str) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(headers=dict(preflight(request.headers) or []))
        if request.method == "POST":
            return _xml(request, encode_fault(Fault(refusal)))
        return _text(403, f"{refusal}\n", request)

    # ------------------------------------------------------------------ XML-RPC

    async def _call(self, request: web.BaseRequest) -> web.StreamResponse:
        origin = origin_said(request.headers.get("Origin"))
        length = request.content_length
        if length is not None and length > LARGEST:
            return _text(413, f"a request of {length} bytes is too long: {LARGEST} at most\n", request)
        held = _Held()
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body, refusal = await self._read(request, origin, held)
            if refusal is not None:
                return _xml(request, refusal)
            answer = await self._door.answer(body, origin, request.headers.get("Referer", ""))
        except TimeoutError:
            return _text(408, f"the request was not whole within {BODY_TIMEOUT:g} s\n", request)
        finally:
            self._held -= held.bytes
        response = _xml(request, answer.body, answer.status)
        return response if answer.pull is None else await _carry(request, response, answer.pull)

    async def _read(self, request: web.BaseRequest, origin: str, held: "_Held") -> tuple[bytes, bytes | None]:
        """Return a request's body, or what is to be answered without reading on."""
        parts: list[bytes] = []
        checked = False
        while part := await request.content.readany():
            parts.append(part)
            held.bytes += len(part)
            self._held += len(part)
            if held.bytes > LARGEST or self._held > LARGEST_TOGETHER:
                return b"", encode_fault(Fault("the request is too long, or too many long ones come at a time"))
            if not checked and held.bytes > LONGEST_FROM_ANYBODY:
                checked = True
                if (refusal := await self._door.refusal_of(b"".join(parts)[:START], origin)) is not None:
                    return b"", refusal
        return (parts[0] if len(parts) == 1 else b"".join(parts)), None


class _Held:
    """What one request holds."""

    def __init__(self) -> None:
        self.bytes = 0


def ends_of(transport: asyncio.BaseTransport | None) -> Ends:
    """Return both ends of a connection; nothing of one that has gone."""
    peer = transport.get_extra_info("peername") if transport else None
    own = transport.get_extra_info("sockname") if transport else None
    return Ends(peer[0], peer[1], own[0], own[1]) if isinstance(peer, tuple) and isinstance(own, tuple) else Ends()


async def _carry(request: web.BaseRequest, response: web.Response, pull: Told) -> web.Response:
    """Answer a pull, and note whether the kernel has all of the answer for the browser."""
    arrived = False
    try:
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=0)  # to have written is to have handed over
        await response.prepare(request)
        await response.write_eof()
        arrived = request.transport is not None and not request.transport.is_closing()
    finally:
        pull.over(arrived=arrived)
    return response


def _xml(request: web.BaseRequest, body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="text/xml", headers=dict(readable(request.headers)))


def _text(status: int, text: str, request: web.BaseRequest) -> web.Response:
    return web.Response(
        status=status, text=text, headers={**dict(readable(request.headers)), "X-Content-Type-Options": "nosniff"}
    )


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Server(web.Server):
    """Hangs up on other accounts' connections, beyond those few that are told why: they may not use up what is ours."""

    def __init__(self, handler: Handler, visitors: Visitors | None, **more: Any) -> None:
        super().__init__(handler, **more)
        self._visitors = visitors
        self._others: set[web.RequestHandler] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._visitors is None or self._visitors.are_ours(ends_of(transport)):
            return
        if len(self._others) >= MOST_OF_OTHERS:
            transport.abort()
        else:
            self._others.add(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._others.discard(handler)
        super().connection_lost(handler, exc)


def server_for(handler: Handler, visitors: Visitors | None = None) -> web.Server:
    """Return what makes a protocol for each connection, whose requests go to a handler.

    A handler is cancelled when its caller has gone: nobody waits for an answer that nobody gets.
    """
    return _Server(
        handler,
        visitors,
        handler_cancellation=True,
        keepalive_timeout=75.0,
        access_log=None,
        max_line_size=16 * 2**10,
        lingering_time=2.0,
    )
