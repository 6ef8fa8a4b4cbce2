"""What the hub's port answers: XML-RPC by POST, and to a person with a browser a short page.

Web pages in that browser are refused: see `hubfarm.hub.profiles.host_names`.
"""

import asyncio
import html
from collections.abc import Callable
from importlib.resources import files

from hubfarm.hub.profiles.shares import PATH as SHARES
from hubfarm.hub.profiles.watching import WatchDoor
from hubfarm.hub.profiles.web import DOOR_FIELD, WebProfile
from hubfarm.wire.http_connection import Answered
from hubfarm.wire.http_messages import Request, Response

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}: a SAMP hub</title></head>
<body><h1>{name}</h1>
<p>This is a hub of the messaging protocol SAMP, by which astronomy tools such as TOPCAT, DS9,
Aladin and astropy talk with each other. It was started by hubfarm and speaks XML-RPC: there is
nothing more to see here. Programs find it by its lock file; <code>hubfarm ls</code> lists it.</p>
<p>The protocol: <a href="https://www.ivoa.net/documents/SAMP/">IVOA Recommendation SAMP</a>.</p>
</body></html>
"""

_NO_PAGE = "there is no such page here"
_NO_DOOR = "this leads to a hub of another host: it is watched there, and pages enter it there"

ICON = files("hubfarm.hub.profiles").joinpath("icon.png").read_bytes()
"""The hub's icon, which its metadata names."""


class FrontDoor:
    """What one hub's port answers.

    Parameters
    ----------
    name : str
        The hub's.
    rpc : callable
        Answers an XML-RPC call.
    refusal_of : callable
        Returns what is to be answered to a long XML-RPC call, if its beginning names no client.
    is_ours : callable
        Tells whether a ``Host`` header names the hub.
    web : WebProfile, optional
        Answers what the web's gateway asks; without one nobody does.
    watching : WatchDoor, optional
        Answers who wants to watch; likewise.
    share : callable
        Answers who asks for a lock file that is shared.
    """

    def __init__(
        self,
        name: str,
        rpc: Callable[[Request], "Response | asyncio.Future[Response]"],
        refusal_of: Callable[[Request], Response | None],
        is_ours: Callable[[bytes], bool],
        web: WebProfile | None = None,
        watching: WatchDoor | None = None,
        share: "Callable[[Request], Response | asyncio.Future[Response]]" = lambda request: _plain(404, _NO_PAGE),
    ) -> None:
        self._web = web
        self._watching = watching
        self._rpc = rpc
        self._refusal_of = refusal_of
        self._is_ours = is_ours
        self._share = share
        self._page = Response(_PAGE.format(name=html.escape(name)).encode(), content_type=b"text/html; charset=utf-8")
        self._icon = Response(ICON, content_type=b"image/png")

    def answer(self, request: Request) -> Answered:
        """Answer a request."""
        if DOOR_FIELD in request.headers:
            door = self._further_door(request)
            return door.answer(request) if door is not None else _plain(403, _NO_DOOR)
        refusal = self._refuse(request)
        if refusal is not None:
            return refusal
        if request.method == b"POST":
            return self._rpc(request)
        path = request.target.partition(b"?")[0]
        if path == b"/icon.png":
            return self._icon
        if path.startswith(SHARES):
            return self._share(request)
        return self._page if path in (b"/", b"/xmlrpc") else _plain(404, _NO_PAGE)

    def admit(self, request: Request) -> Response | None:
        """Return what is to be answered to a request whose body is long, if it is not to be read on."""
        if DOOR_FIELD in request.headers:
            door = self._further_door(request)
            return door.admit(request) if door is not None else _plain(403, _NO_DOOR)
        if request.method != b"POST":
            return self._refuse(request) or _plain(413, "the request's body is too long")
        return self._refuse(request) or self._refusal_of(request)

    def _further_door(self, request: Request) -> WebProfile | WatchDoor | None:
        return self._watching if WatchDoor.is_meant_by(request) else self._web

    def _refuse(self, request: Request) -> Response | None:
        headers = request.headers
        if b"origin" in headers:
            return _plain(403, "web pages may not talk to this hub (the request has an Origin header)")
        if b"host" in headers and not self._is_ours(headers[b"host"]):
            return _plain(403, "this hub has no such name: use the URL of its lock file")
        if request.method not in (b"POST", b"GET"):
            return _plain(405, "a SAMP hub takes POST, and GET for a page about itself")
        return None


def _plain(status: int, text: str) -> Response:
    return Response(f"{text}\n".encode(), status, b"text/plain; charset=utf-8")
