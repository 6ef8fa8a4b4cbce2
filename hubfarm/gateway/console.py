"""The gateway's own pages and what stands behind them: who asks, who is in, what is remembered; and the user's answers.

Two ways lead here: the gateway's Unix socket, which is the account's alone, and by TCP a browser that shows the user's
token.  The token never is in a cookie, as those are sent to every port of a host, nor in an address that goes
anywhere: a page gets it behind the ``#`` of its first one, and shows it in a header that no other page may send.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from hubfarm.gateway.asking import Asking, Lasts
from hubfarm.gateway.board import Board
from hubfarm.gateway.door import Door
from hubfarm.gateway.pages import Pages
from hubfarm.registry.settings import WebSettings
from hubfarm.registry.web_memory import WebMemory
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.origins import can_be_remembered

LONGEST_WAIT = 25.0
"""How long a looker-on waits for a change, seconds."""

MOST_LOOKERS = 50
"""Who look on at a time."""

LONGEST_REQUEST = 16 * 2**10

_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_FILES = {
    "": ("consent.html", "text/html"),
    "consent.js": ("consent.js", "text/javascript"),
    "consent.css": ("consent.css", "text/css"),
}


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user decides.

    Parameters
    ----------
    id : str
        About which question or page.
    hub : str
        The hub that it may enter; a selector.
    lasts : Lasts
        For how long, told as ``for``.
    """

    id: str
    hub: str = ""
    lasts: Lasts = msgspec.field(default=Lasts.ONCE, name="for")


class Console:
    """Answers the user.

    Parameters
    ----------
    asking, pages, door, memory, board
        The other parts.
    settings : callable
        Returns the settings in force.
    token : str
        What a browser of the user's shows.
    """

    def __init__(
        self,
        asking: Asking,
        pages: Pages,
        door: Door,
        memory: WebMemory,
        board: Board,
        settings: Callable[[], WebSettings],
        token: str,
    ) -> None:
        self._asking = asking
        self._pages = pages
        self._door = door
        self._memory = memory
        self._board = board
        self._settings = settings
        self._token = token
        self._posts: dict[str, Callable[[Answered], Awaitable[None]]] = {
            "allow": self._allow,
            "deny": self._deny,
            "disconnect": self._disconnect,
            "forget": self._forget,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a browser: the pages are for everybody of this account, what is in them for who shows the token."""
        below = request.path_qs.partition("?")[0].removeprefix("/hubfarm").removeprefix("/")
        if below.startswith("api/"):
            if not self._is_the_users(request):
                return _refusal(403, "show the token: hubfarm web url prints the address with it")
            return await self._answer_api(request, below.removeprefix("api/"))
        if request.method not in ("GET", "HEAD") or below not in _FILES:
            return _refusal(404, "there is no such page")
        if not below and not request.path_qs.partition("?")[0].endswith("/"):
            return web.Response(status=308, headers={"Location": "/hubfarm/", **_PAGE_HEADERS})
        name, kind = _FILES[below]
        body = (files("hubfarm.gateway") / "page" / name).read_bytes()
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_PAGE_HEADERS)

    async def answer_locally(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer who has connected to the Unix socket: a program of the account's."""
        return await self._answer_api(request, request.path_qs.partition("?")[0].removeprefix("/"))

    def _is_the_users(self, request: web.BaseRequest) -> bool:
        said = request.headers.get("Origin")
        if said is not None and said != f"http://{request.headers.get('Host', '')}":
            return False
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        shown = request.headers.get("Authorization", "")
        return hmac.compare_digest(shown.encode(errors="replace"), f"Bearer {self._token}".encode())

    async def _answer_api(self, request: web.BaseRequest, what: str) -> web.StreamResponse:
        try:
            if request.method == "GET" and what == "state":
                return _json(await self._state_when_changed(request.query))
            if request.method == "POST" and what in self._posts:
                await self._posts[what](await _decoded(request))
                return _json({"done": True})
        except WrongUse as error:
            return _refusal(400, str(error))
        except HubfarmError as error:
            return _refusal(500, str(error))
        return _refusal(404, "nothing of the kind can be asked here")

    # ------------------------------------------------------------------ what there is to see

    async def _state_when_changed(self, query: Any) -> dict[str, Any]:
        try:
            since, wait = int(query.get("since", 0)), float(query.get("wait", 0.0))
        except ValueError:
            raise WrongUse("since is a number, and wait are seconds") from None
        if since == self._board.edition and wait > 0:
            if self._board.lookers >= MOST_LOOKERS:
                raise WrongUse(f"{MOST_LOOKERS} look on already")
            await self._board.beyond(since, min(wait, LONGEST_WAIT))
        return await self.state()

    async def state(self) -> dict[str, Any]:
        """Return all that a user is shown."""
        now, edition = time.monotonic(), self._board.edition  # what changes while this is put together is told next
        waiting = []
        for question in list(self._asking.consent.waiting.values()):
            hubs = await self._asking.to_choose(question)
            waiting.append(
                {
                    "id": question.id,
                    "name": question.name,
                    "origin": question.origin,
                    "referer": question.referer,
                    "hub": hubs[0].label if hubs else "",
                    "hubs": [_hub_as_json(hub) for hub in hubs],
                    "warning": question.suspicion,
                    "pages": question.pages,
                    "seconds": max(0.0, round(question.until - now, 1)),
                    "rememberable": can_be_remembered(question.origin),
                }
            )
        pages = [
            {
                "id": page.id,
                "name": page.name,
                "origin": page.origin,
                "referer": page.referer,
                "hub": page.hub,
                "client": page.client,
                "since": page.since,
            }
            for page in self._pages
        ]
        known, trouble = [], ""
        try:
            known = await asyncio.to_thread(remembered, self._memory, self._settings())
        except HubfarmError as error:  # who asks is to be seen, and answered, all the same
            trouble = str(error)
        return {
            "edition": edition,
            "waiting": waiting,
            "pages": pages,
            "remembered": known,
            "trouble": trouble,
        }

    # ------------------------------------------------------------------ what the user decides

    async def _allow(self, answer: Answered) -> None:
        await self._asking.allow(answer.id, answer.hub, answer.lasts)

    async def _deny(self, answer: Answered) -> None:
        self._asking.deny(answer.id)

    async def _disconnect(self, answer: Answered) -> None:
        await self._door.disconnect(self._pages.find(answer.id))

    async def _forget(self, answer: Answered) -> None:
        await asyncio.to_thread(self._memory.change, lambda memory: memory.without(answer.id))
        self._board.change()


def remembered(memory: WebMemory, settings: WebSettings) -> list[dict[str, str]]:
    """Return what is remembered of origins, and which the settings trust, as a listing has it.

    Raises
    ------
    HubfarmError
        The file makes no sense.
    """
    known = [(page.origin, page.hub, page.allowed) for page in memory.read().page]
    trusted = [(origin, hub, "settings") for origin, hub in settings.trusted.items()]
    return [
        {"id": origin, "name": "", "origin": origin, "referer": "", "hub": hub, "allowed": allowed}
        for origin, hub, allowed in known + trusted
    ]


def _hub_as_json(hub: Any) -> dict[str, Any]:
    return {"label": hub.label, "owner": hub.names.owner, "group": hub.names.group, "clients": hub.clients}


async def _decoded(request: web.BaseRequest) -> Answered:
    body = await request.content.read(LONGEST_REQUEST + 1)
    while len(body) <= LONGEST_REQUEST and (more := await request.content.read(LONGEST_REQUEST)):
        body += more
    if len(body) > LONGEST_REQUEST:
        raise WrongUse("the request is too long")
    try:
        return msgspec.json.decode(body, type=Answered)
    except msgspec.DecodeError as error:
        raise WrongUse(f"the request makes no sense: {error}") from None


def _json(data: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(data), content_type="application/json", headers=_PAGE_HEADERS)


def _refusal(status: int, text: str) -> web.Response:
    body = msgspec.json.encode({"error": text})
    return web.Response(status=status, body=body, content_type="application/json", headers=_PAGE_HEADERS)
