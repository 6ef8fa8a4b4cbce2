"""The dashboard's front: each request, held against where it comes from and who it is of, and who answers it."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web
from loguru import logger

from hubfarm.dashboard.guard import HEADERS, refusal_of_name, refusal_of_origin
from hubfarm.dashboard.parts import Action, Handler, OpenHandler, Part, Topic
from hubfarm.dashboard.sessions import Session, Sessions
from hubfarm.dashboard.socket import PageSocket
from hubfarm.dashboard.visitor import NotAllowed, Visitor
from hubfarm.gateway.front import ends_of
from hubfarm.hub.profiles.throttle import Throttle
from hubfarm.registry.unix_socket import peer_account
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.principal import Principal
from hubfarm.visible import brief
from hubfarm.wire.host_sockets import HostSockets

LONGEST = 2**20
"""What a page asks in JSON, bytes."""

MOST_PAGES = 50
"""Pages that look on at a time."""

_KINDS = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str = ""
    user: str = ""
    password: str = ""


class Front:
    """Answers requests.

    Parameters
    ----------
    sessions : Sessions
        Who is logged in.
    parts : sequence of Part
        What the views add.
    cookie : str
        What the cookie is called.
    names : collection of str
        By which names this is called beside those of loopback; see `refusal_of_name`.
    trusts_socket : bool
        Whoever comes by the Unix socket is the farm's account: a proxy has asked already.
    """

    def __init__(
        self,
        sessions: Sessions,
        parts: Sequence[Part],
        *,
        cookie: str,
        names: Collection[str] = (),
        trusts_socket: bool = False,
    ) -> None:
        self._sessions = sessions
        self._cookie = cookie
        self._names = frozenset(name.lower() for name in names)
        self._trusts_socket = trusts_socket
        self._topics: dict[str, Topic] = {name: topic for part in parts for name, topic in part.topics.items()}
        self._actions: dict[str, Action] = {name: action for part in parts for name, action in part.actions.items()}
        self._gets: dict[str, Handler] = {name: handler for part in parts for name, handler in part.gets.items()}
        self._posts: dict[str, Handler] = {name: handler for part in parts for name, handler in part.posts.items()}
        self._open_gets: dict[str, OpenHandler] = {
            name: handler for part in parts for name, handler in part.open_gets.items()
        }
        self._files = _page_files()
        self._kernel = HostSockets()
        self._throttle = Throttle(time.monotonic)
        self._checking = asyncio.Semaphore(2)
        self.pages = 0
        """How many look on just now."""
        self.last_request = time.monotonic()

    def application(self) -> web.Application:
        """Return what answers."""
        app = web.Application(client_max_size=LONGEST, middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/page/{name}", self._page)
        app.router.add_get("/me", self._me)
        app.router.add_post("/enter", self._enter)
        app.router.add_post("/leave", self._leave)
        app.router.add_get("/ws", self._socket)
        app.router.add_post("/do/{name}", self._do)
        app.router.add_get("/get/{name}", self._get)
        app.router.add_post("/post/{name}", self._post)
        for name, handler in self._open_gets.items():
            app.router.add_get(f"/{name}/{{token}}/{{name}}", handler)
        return app

    def close(self) -> None:
        """Ask the kernel no more."""
        self._kernel.close()

    # ------------------------------------------------------------------ before anything else

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.last_request = time.monotonic()
        by_socket = _is_local(request)
        refusal = "" if by_socket else refusal_of_name(request.headers.get("Host"), self._names)
        if not refusal and (request.method not in ("GET", "HEAD") or request.path == "/ws"):
            refusal = refusal_of_origin(request.headers, is_proxied=by_socket or bool(self._names))
        if refusal:
            logger.warning("refused: {}", brief(refusal, 300))
            return _refusal(403, refusal)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = _refusal(error.status, "there is nothing here" if error.status == 404 else error.reason)
        except NotAllowed as error:
            response = _refusal(403, str(error))
        except WrongUse as error:
            response = _refusal(400, str(error))
        except HubfarmError as error:
            response = _refusal(409, str(error))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            logger.opt(exception=error).error("a request failed inside the dashboard")
            response = _refusal(500, "the dashboard has failed: its log says more")
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    def _account(self, request: web.Request) -> int | None:
        """Return whose connection a request comes by (a uid), by the kernel's word; None if that is not known."""
        transport = request.transport
        if transport is None:
            return None
        if _is_local(request):
            sock = transport.get_extra_info("socket")
            with socket.socket(fileno=os.dup(sock.fileno())) as own:  # what a transport shows is no whole socket
                return peer_account(own)
        return self._kernel.account(ends_of(transport)) if self._kernel.are_known else None

    def _session(self, request: web.Request) -> Session:
        """Return the session of a request.

        Raises
        ------
        HTTPUnauthorized
            It has none.
        """
        session = self._sessions.of(request.cookies.get(self._cookie, ""), self._account(request))
        if session is None:
            raise web.HTTPUnauthorized(reason="log in first")
        return session

    # ------------------------------------------------------------------ coming and going

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        if name not in self._files or (name == "index.html") != (request.path == "/"):
            raise web.HTTPNotFound
        kind = _KINDS[name.rpartition(".")[2]]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def _me(self, request: web.Request) -> web.StreamResponse:
        """Say who the visitor is; whoever is nobody is told whether a password would help."""
        session = self._sessions.of(request.cookies.get(self._cookie, ""), self._account(request))
        if session is None and self._trusts_socket and _is_local(request):
            if refusal := _refusal_of_visit(request):
                return _refusal(403, refusal)
            key = self._sessions.begin(Visitor(Principal(), is_account=True), self._account(request))
            return self._welcome(request, key)
        if session is None:
            return _json({"passwords": await asyncio.to_thread(lambda: self._sessions.takes_passwords)}, 401)
        return _json(_as_json(session.visitor))

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        asked = await _decoded(request, _Entry)
        account = self._account(request)
        address = str(account) if account is not None else request.remote or "somebody"
        await asyncio.sleep(self._throttle.wait(address))
        try:
            if asked.token:
                key = self._sessions.enter_by_token(asked.token, account)
            else:
                async with self._checking:
                    key = await asyncio.to_thread(self._sessions.enter_by_password, asked.user, asked.password, account)
        except NotAllowed:
            self._throttle.count(address)
            raise
        return self._welcome(request, key)

    def _welcome(self, request: web.Request, key: str) -> web.StreamResponse:
        session = self._sessions.of(key, self._account(request))
        if session is None:
            raise web.HTTPUnauthorized
        response = _json(_as_json(session.visitor))
        # Without a path it is that of the page, whatever a proxy calls it.
        secure = "; Secure" if request.headers.get("Origin", "").startswith("https:") else ""
        response.headers["Set-Cookie"] = f"{self._cookie}={key}; HttpOnly; SameSite=Strict{secure}"
        return response

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        self._sessions.end(request.cookies.get(self._cookie, ""))
        response = _json({})
        response.headers["Set-Cookie"] = f"{self._cookie}=; HttpOnly; SameSite=Strict; Max-Age=0"
        return response

    # ------------------------------------------------------------------ what views answer

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        if self.pages >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(reason=f"{MOST_PAGES} pages look on already")
        self.pages += 1
        try:
            return await PageSocket(self._topics, session).answer(request)
        finally:
            self.pages -= 1
            self.last_request = time.monotonic()

    async def _do(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        action = self._actions.get(request.match_info["name"])
        if action is None:
            raise web.HTTPNotFound
        asked = await _decoded(request, action.asked)
        logger.info("{} asks: {}", session.visitor, request.match_info["name"])
        return _json(await action.do(session.visitor, asked))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return await self._handled(request, self._gets)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        return await self._handled(request, self._posts)

    async def _handled(self, request: web.Request, handlers: Mapping[str, Handler]) -> web.StreamResponse:
        session = self._session(request)
        handler = handlers.get(request.match_info["name"])
        if handler is None:
            raise web.HTTPNotFound
        if refusal := _refusal_of_visit(request):
            return _refusal(403, refusal)
        return await handler(session.visitor, request)


def _page_files() -> dict[str, bytes]:
    """Return what a browser is served, by name: nothing else can be asked for."""
    directory = files("hubfarm.dashboard") / "page"
    return {each.name: each.read_bytes() for each in directory.iterdir() if each.name.rpartition(".")[2] in _KINDS}


def _is_local(request: web.Request) -> bool:
    """Tell whether a request comes by the Unix socket."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    return sock is not None and sock.family == socket.AF_UNIX


def _refusal_of_visit(request: web.Request) -> str:
    """Say why what only a page of ours asks for is not given; empty if it is."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return "a page of another site may not ask that"
    return ""


async def _decoded(request: web.Request, kind: type[Any]) -> Any:
    if request.content_type != "application/json":
        raise WrongUse("the request is no JSON")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise WrongUse(f"the request makes no sense: {error}") from None


def _as_json(visitor: Visitor) -> dict[str, Any]:
    return {"name": visitor.name, "admin": visitor.is_admin, "account": visitor.is_account}


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(data), content_type="application/json")


def _refusal(status: int, text: str) -> web.Response:
    response = _json({"error": text}, status)
    response.headers.update(HEADERS)
    return response
