"""The door for who watches: who may see what all others say, and is no client among them; and may throw one out.

Who shows what follows from the hub's secret is of the farm's account.  On a hub that does not let in everybody that is
not enough: it has to be the hub's owner or an administrator too, by a password, a certificate or a ticket; there a
ticket's secret will do alone.
"""

import asyncio
import hmac
from collections.abc import Awaitable
from urllib.parse import unquote

from loguru import logger

from hubfarm.hub.profiles.passwords import TooMany as TooManyPasswords
from hubfarm.hub.profiles.passwords import credentials_in
from hubfarm.hub.profiles.standard import REFUSED_FOR, StandardProfile
from hubfarm.hub.watchers import TooMany, Watchers
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.spec.principal import Principal
from hubfarm.spec.watching import LONGEST_NAME, MOST_CONTENT
from hubfarm.visible import visible
from hubfarm.wire.http_connection import Answered
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.streams import Stream
from hubfarm.wire.web_door import DOOR, TICKET, watch_credential

SCHEME = b"watch"
"""How a request begins what it shows at this door."""

PATH = b"/watch"
DISCONNECT = b"/disconnect"
"""Who may watch may have a client leave too."""

_DOOR = DOOR.lower().encode()
_TICKET = TICKET.lower().encode()
_SHUT = "this is the door for who watches, and it is opened by the hub's secret, or by a ticket of who may watch"


class WatchDoor:
    """The door for watchers of one hub.

    Parameters
    ----------
    watchers : Watchers
        Where it leads to.
    profile : StandardProfile
        Finds out who somebody is.
    secret : str
        The hub's.
    """

    def __init__(self, watchers: Watchers, profile: StandardProfile, secret: str) -> None:
        self._watchers = watchers
        self._profile = profile
        self._shown = b"%s %s" % (SCHEME, watch_credential(secret).encode())

    @staticmethod
    def is_meant_by(request: Request) -> bool:
        """Tell whether a request with the field ``X-Hubfarm-Door`` is for this door."""
        return request.headers[_DOOR].lstrip().startswith(SCHEME)

    def answer(self, request: Request) -> Answered:
        """Answer a request that is for this door."""
        try:
            who = self._who(request)
        except Fault as fault:
            return _plain(403, str(fault))
        if who is None:
            return self._profile.held.hold(_plain(403, _SHUT), request.peer, "the door for watchers is not opened")
        if isinstance(who, Principal):
            return self._admit(request, who)
        return asyncio.ensure_future(self._admit_later(request, who))

    def admit(self, request: Request) -> Response | None:
        """Return what is to be answered to a request whose body is long: nobody who watches says anything."""
        self._profile.held.count(request.peer)
        return _plain(413, "the request's body is too long")

    def _who(self, request: Request) -> "Principal | Awaitable[Principal | None] | None":
        """Return who it is, by what the request shows; None if that opens nothing.

        Raises
        ------
        Fault
            What it shows cannot be read.
        """
        profile, ends = self._profile, request.ends
        who = Principal(profile="watch", host=request.peer)
        knows_secret = hmac.compare_digest(request.headers[_DOOR].strip(), self._shown)
        if not knows_secret and not profile.hub.refusal_to_watch(who):
            return None  # where nobody is told from others, who holds a ticket is not of the farm's account
        if _TICKET in request.headers:
            return profile.ticket_holder(request.headers[_TICKET].decode("latin-1").strip(), who)
        if not knows_secret:
            return None
        if (shown := credentials_in(request.headers.get(b"authorization"))) is not None:
            return profile.password_holder(shown, who, ends)
        return profile.certificate_holder(ends.certified, who) if ends.certified else who

    async def _admit_later(self, request: Request, asked: "Awaitable[Principal | None]") -> Response | Stream:
        try:
            who = await asked
        except TooManyPasswords as fault:
            answer = self._profile.held.hold_for(_plain(403, str(fault)), REFUSED_FOR)
            return await answer if isinstance(answer, asyncio.Future) else answer
        except HubfarmError as error:
            return _plain(403, str(error))
        if who is None:
            wrong = _plain(403, "the user or the password is wrong")
            answer = self._profile.held.hold(wrong, request.peer, "a wrong password at the door for watchers")
            return await answer if isinstance(answer, asyncio.Future) else answer
        return self._admit(request, who)

    def _disconnect(self, id: str, by: str) -> Response:
        hub = self._profile.hub
        client = next((client for client in hub.clients if client.id == id), None)
        if client is None:
            return _plain(404, "there is no such client")
        logger.info("the client {} is disconnected by {}", id, visible(by) or "somebody")
        self._profile.deliveries.carry_out(hub.throw_out(client, f"disconnected by {visible(by) or 'somebody'}"))
        return _plain(200, "it is disconnected")

    def _admit(self, request: Request, who: Principal) -> Response | Stream:
        path, _, query = request.target.partition(b"?")
        if (request.method, path) not in ((b"GET", PATH), (b"POST", DISCONNECT)):
            return _plain(404, "there is no such thing behind this door")
        if refusal := self._profile.hub.refusal_to_watch(who):
            return _plain(403, refusal)
        asked = dict(part.partition("=")[::2] for part in query.decode("latin-1").split("&", 10))
        if path == DISCONNECT:
            return self._disconnect(unquote(asked.get("client", "")), unquote(asked.get("by", ""))[:LONGEST_NAME])
        content = asked.get("content", "0")
        if not (content.isascii() and content.isdigit()):
            return _plain(400, "content= says how many bytes of a message are wanted at most")
        name = unquote(asked.get("name", ""))[:LONGEST_NAME] or "somebody"
        try:
            return self._watchers.admit(name, who, min(int(content[:20]), MOST_CONTENT))
        except TooMany as error:
            return _plain(503, str(error))


def _plain(status: int, text: str) -> Response:
    return Response(f"{text}\n".encode(), status, b"text/plain; charset=utf-8")
