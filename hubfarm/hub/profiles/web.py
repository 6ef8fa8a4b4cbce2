"""The Web Profile: pages in a browser, which a gateway brings in; they pull (SAMP 1.3, 5).

No page comes here by itself: who speaks shows that it knows the hub's secret, for each request anew, and says of which
origin the page is, by the browser's word.  It has asked the user: to register here is to be let in, unless the hub's
policy says otherwise.  Who a page is nobody knows; on a hub for certain accounts it is of the gateway's account, whose
user has let it in.  Pages may not send everything, and URLs that pass by are noted: see `hubfarm.spec.web_pages` and
`hubfarm.spec.url_tracker`.  Whoever asks whether a page may read one is told here, and fetches it elsewhere.
What a page pulls counts as delivered when the gateway says that the page has it: `hubfarm.wire.carried_pulls`.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Sequence
from urllib.parse import unquote

from loguru import logger
from msgspec.structs import replace

from hubfarm.access.host_accounts import Account
from hubfarm.hub.profiles.profile import Answered, Inside, Profile, Result, Strategy, answer_with, refuse
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.methods import WEB_METHODS, WEB_PREFIX
from hubfarm.samp.values import check_string
from hubfarm.samp.xmlrpc import CallInOutline, EncodedMap, Param
from hubfarm.spec.principal import Principal
from hubfarm.spec.web_pages import WEB
from hubfarm.visible import visible
from hubfarm.wire.carried_pulls import ARRIVED, names_in
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.web_door import DOOR, ORIGIN, door_credential, hub_token

LONGEST_ORIGIN = 2048
"""Longest origin, as it is sent, bytes."""

DOOR_FIELD = DOOR.lower().encode()
"""The header field of a request that is for this door."""

_ORIGIN = ORIGIN.lower().encode()
_ARRIVED = ARRIVED.lower().encode()


class WebProfile(Profile):
    """The Web Profile of one hub.

    Parameters
    ----------
    inside : Inside
        What it leads to; a gateway shows what follows from the hub's secret.
    """

    NAME = WEB
    PREFIX = WEB_PREFIX
    METHODS = WEB_METHODS

    def __init__(self, inside: Inside) -> None:
        super().__init__(inside)
        self.key_prefix = f"{hub_token(inside.secret)}."
        # What was pulled was noted when it was queued, and the translator is no URL of a program's.
        self._not_noted = {f"{self.PREFIX}pullCallbacks", f"{self.PREFIX}register"}
        self._shown = b"web " + door_credential(inside.secret).encode()

    def own_strategies(self) -> dict[str, Strategy]:
        """Return what is done for the methods that are this profile's alone."""
        return {"register": self._register}

    # ------------------------------------------------------------------ the door

    def answer(self, request: Request) -> Answered:
        """Answer a request that is for the web's door."""
        if not self._is_opened_by(request):
            return self.held.hold(_plain(403, _SHUT), request.peer, "the web's door is not opened by what it has shown")
        if request.method == b"POST":
            return self.handle(request)
        path, _, query = request.target.partition(b"?")
        if request.method == b"GET" and path == b"/may-read":
            return self._may_read(query, request.peer)
        if request.method == b"GET" and path == b"/pulled":
            return self._note_pulled(query, request.peer)
        return _plain(404, "there is no such thing behind this door")

    def admit(self, request: Request) -> Response | None:
        """Return what is to be answered to a request whose body is long, if it is not to be read on."""
        if not self._is_opened_by(request):
            self.held.count(request.peer)
            return _plain(403, _SHUT)
        return self.refusal_of(request) if request.method == b"POST" else _plain(413, "the request's body is too long")

    def _is_opened_by(self, request: Request) -> bool:
        return hmac.compare_digest(request.headers[DOOR_FIELD].strip(), self._shown)

    def _register(self, params: Sequence[Param], request: Request) -> "Param | Answered":
        """Register a page that its user has let in."""
        name = name_in(params[0])
        uid = self.uid_of(request)
        who = Principal(profile=self.NAME, host=request.peer, uid=uid, origin=origin_in(request))
        logger.debug("a page of {} that calls itself {!r} comes in", visible(who.origin) or "no origin", visible(name))
        if uid is not None and self.accounts is not None:
            return asyncio.ensure_future(self._enter_by_account(self.accounts.account(uid), who))
        return self.enter(who)

    async def _enter_by_account(self, asked: Awaitable[Account], who: Principal) -> Response:
        account = await asked
        try:
            return answer_with(self.enter(replace(who, account=account.name, account_groups=account.groups)))
        except Fault as fault:
            return refuse(fault)

    # ------------------------------------------------------------------ what pages pull

    def _note_pulled(self, query: bytes, peer: str) -> Answered:
        """Note what has become of answers, from a gateway that has no other request to say it with."""
        asked = _decoded(query)
        try:
            client = self.client_of(asked.get("key", ""))
        except Fault:
            return self.held.hold(_plain(403, _NO_PAGE), peer)
        arrived, lost = (names_in(asked.get(what, "").encode("latin-1", "replace")) for what in ("arrived", "lost"))
        self.deliveries.note_carried(client, arrived, lost)
        return _plain(200, "it is noted")

    # ------------------------------------------------------------------ what passes by

    def _answer(self, call: CallInOutline, request: Request) -> Answered:
        answer = super()._answer(call, request)
        if call.method in self._not_noted:
            return answer
        if isinstance(answer, Response):
            self.hub.note_sent_to_page(answer.body)
        else:
            answer.add_done_callback(self._note_answer)
        return answer

    def _note_answer(self, answer: "asyncio.Future[Response]") -> None:
        if not answer.cancelled() and answer.exception() is None:
            self.hub.note_sent_to_page(answer.result().body)

    def _run(self, call: CallInOutline, request: Request) -> "Result | Answered":
        if call.params and (arrived := request.headers.get(_ARRIVED)):
            self.deliveries.note_carried(self.client_of(call.params[0]), names_in(arrived))
        said = [param.xml for param in call.params if isinstance(param, EncodedMap)]
        if said and isinstance(call.params[0], str):
            self.client_of(call.params[0])
            self.hub.note_named_by_page(said)  # before anybody is told
        return super()._run(call, request)

    def _may_read(self, query: bytes, peer: str) -> Answered:
        """Tell whether a page may read a URL; whoever asks fetches it (SAMP 1.3, 5.2.6)."""
        asked = _decoded(query)
        try:
            self.client_of(asked.get("key", ""))
        except Fault:
            return self.held.hold(_plain(403, _NO_PAGE), peer)
        url = asked.get("url", "")
        if not url:
            return _plain(404, "there is no URL")
        if self.hub.may_read(url):
            return _plain(200, "it may be read")
        return _plain(403, "no program has sent this URL to the pages of this hub")


_NO_PAGE = "no page is registered with this key"
_SHUT = "this is the door of the web's gateway, and it is opened by the hub's secret"


def _decoded(query: bytes) -> dict[str, str]:
    parts = (part.partition("=") for part in query.decode("latin-1").split("&", 10))
    return {name: unquote(value) for name, _, value in parts}


def _plain(status: int, text: str) -> Response:
    return Response(f"{text}\n".encode(), status, b"text/plain; charset=utf-8")


def name_in(identity: Param) -> str:
    """Return what a page that registers calls itself.

    Raises
    ------
    BadValue
        It does not say so.

    Examples
    --------
    >>> name_in(EncodedMap.of({"samp.name": "Aladin Lite"})), name_in("an old page")
    ('Aladin Lite', 'an old page')
    """
    name = identity.outline.get("samp.name") if isinstance(identity, EncodedMap) else identity
    if not isinstance(name, str):
        raise BadValue("a page that registers has to say what it is called: a map with the string samp.name")
    return name


def origin_in(request: Request) -> str:
    """Return the origin that a gateway says a page is of; empty for none.

    Raises
    ------
    BadValue
        It is none that a browser says.
    """
    sent = request.headers.get(_ORIGIN, b"").strip()
    if len(sent) > LONGEST_ORIGIN:
        raise BadValue(f"the origin of the page has {len(sent)} bytes: {LONGEST_ORIGIN} at most")
    origin = check_string(unquote(sent.decode("latin-1")))
    return "" if origin == "none" else origin
