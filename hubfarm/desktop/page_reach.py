"""The hub of somebody's desktop, as a bridge gets to it: by a page there, and by one registration.

That hub asks its user about every page that registers, so there is one registration for all that stand for clients
here (`_Standing`): to the desktop it is one client, which takes what any of them takes.  A message to it goes to those
that are subscribed to it; a call to the one that came first, as somebody has to answer; a response to who has called.
"""

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from loguru import logger

from hubfarm.bridge.marks import DESCRIPTION, NAME
from hubfarm.bridge.reach import Receive
from hubfarm.bridge.rights import Who
from hubfarm.client.callback_server import Callback
from hubfarm.client.calls import TIMEOUT, to_parameter
from hubfarm.client.errors import SAMPHubUnreachable, SAMPProxyError
from hubfarm.client.others import COMMAND
from hubfarm.client.puller import AGAIN_AFTER, callback_of
from hubfarm.client.web import CONSENT
from hubfarm.desktop.line import PageLine
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import WEB_METHODS, WEB_PREFIX, Kind
from hubfarm.samp.mtype import matching
from hubfarm.samp.values import Map, Value
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.visible import brief

PULL = 30.0
"""How long a page's pull waits at the hub, seconds."""

MARGIN = 10.0
"""How much later a page is given up, seconds."""

MOST_TAGS = 10_000
"""Calls to the desktop whose response is waited for."""

MOST_NAMES = 10
"""Of several that stand there, so many are named."""

LONGEST_NAME = 120
"""What is shown of a program's name among others, characters."""


@dataclass(slots=True)
class _Standing:
    """Who stands for a client here, or for the bridge itself.

    Parameters
    ----------
    metadata, subscriptions : Map
        What it has declared.
    """

    metadata: Map = field(default_factory=dict)
    subscriptions: Map = field(default_factory=dict)


class ByPage:
    """A desktop's hub that a page leads to; see `hubfarm.bridge.reach.Reach`.

    Parameters
    ----------
    line : PageLine
        To the page.
    here : str
        What people call the hub of this end.
    base : str
        The URL, as that desktop sees it, below which files of this end are to be had.
    who : Who
        Whose desktop it is.
    """

    def __init__(self, line: PageLine, here: str, base: str, who: Who) -> None:
        self.label = "desktop"
        self.is_on_this_host = False
        self.own_address = base
        self.receivers: dict[str, Receive] = {}
        self.may_ask = False
        """Whether the desktop's user may be asked, once, to let the page in."""
        self.is_asking = False
        """Whether that user is asked just now."""
        self.translator = ""
        """What stands before a URL that is to be read through that hub (SAMP 1.3, 5.2.6)."""
        self._line = line
        self._here = here
        self._who = who
        self._key = self._id = self._hub_id = ""
        self._standing: dict[str, _Standing] = {}
        self._tags: OrderedDict[str, str] = OrderedDict()
        self._declared: tuple[Map, Map] = ({}, {})
        self._declaring = asyncio.Lock()
        self._pulling: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ coming and going

    async def open(self) -> None:
        """See `Reach`; who was let in before is not asked about again, as long as that hub knows the registration."""
        await self._ask("ping")
        if self._key:
            try:
                await self._ask("getSubscriptions", self._key, self._id)
            except SAMPProxyError:
                self._key = ""
        if not self._key:
            await self._enter()
        self._declared = ({}, {})
        self._pulling = asyncio.get_running_loop().create_task(self._pull())

    async def _enter(self) -> None:
        if not self.may_ask:
            raise HubfarmError("the desktop's hub does not know this page any more: join it again")
        self.may_ask, self.is_asking = False, True
        try:
            told = await self._ask("register", {NAME: f"hubfarm: {self._here}"}, timeout=CONSENT)
        finally:
            self.is_asking = False
        given = told if isinstance(told, dict) else {}
        key, id, hub = (str(given.get(f"samp.{name}", "")) for name in ("private-key", "self-id", "hub-id"))
        if not (key and id):
            raise HubfarmError("the desktop's hub gave no id or no private key at registration")
        self._key, self._id, self._hub_id = key, id, hub
        self.translator = str(given.get("samp.url-translator", ""))
        await self._ask("allowReverseCallbacks", key, "1")

    async def look(self) -> bool:
        """See `Reach`; a pull that waits at the hub is proof enough."""
        if not self._line.is_up:
            raise SAMPHubUnreachable("no page of the dashboard is open on that desktop")
        return self._pulling is not None and not self._pulling.done()

    def leave(self) -> None:
        """See `Reach`; the registration stays, for a page that comes back."""
        if self._pulling is not None:
            self._pulling.cancel()
            self._pulling = None
        self.receivers.clear()
        self._standing.clear()
        self._tags.clear()

    def close(self) -> None:
        """See `Reach`; see `unregister` too, which takes longer."""
        self.leave()

    async def unregister(self) -> None:
        """Leave the desktop's hub in order, if it can be asked."""
        key, self._key = self._key, ""
        if key and self._line.is_up:
            with contextlib.suppress(HubfarmError):
                await self._ask("unregister", key)

    # ------------------------------------------------------------------ calls

    async def call(self, method: str, *params: object) -> Value:
        """See `Reach`: the private keys are of those that stand there."""
        match method, params:
            case "register", _:
                key = secrets.token_hex(8)
                self._standing[key] = _Standing()
                return {"samp.private-key": key, "samp.self-id": self._id, "samp.hub-id": self._hub_id}
            case _, (str(key), *_) if key not in self._standing:
                raise SAMPProxyError(1, "the private key is nobody's here")
            case "unregister", (str(key),):
                del self._standing[key]
                await self._declare()
            case "declareMetadata", (str(key), dict(metadata)):
                self._standing[key].metadata = metadata
                await self._declare()
            case "declareSubscriptions", (str(key), dict(subscriptions)):
                self._standing[key].subscriptions = subscriptions
                await self._declare()
            case _, (str(key), *others):
                if method == "call":
                    self._remember(str(others[1]), key)
                return await self._ask(method, self._key, *others)
        return ""

    def _remember(self, tag: str, key: str) -> None:
        self._tags[tag] = key
        if len(self._tags) > MOST_TAGS:
            self._tags.popitem(last=False)

    async def _declare(self) -> None:
        """Declare what has changed of what the one client says for all."""
        async with self._declaring:  # what was made later is not to be told earlier
            metadata = described([each.metadata for each in self._standing.values()], self._here)
            subscriptions = {of: said for each in self._standing.values() for of, said in each.subscriptions.items()}
            if metadata != self._declared[0]:
                await self._ask("declareMetadata", self._key, metadata)
                self._declared = (metadata, self._declared[1])
            if subscriptions != self._declared[1]:
                await self._ask("declareSubscriptions", self._key, subscriptions)
                self._declared = (metadata, subscriptions)

    async def _ask(self, method: str, *params: object, timeout: float = TIMEOUT) -> Value:
        """Call a method of the desktop's hub.

        Raises
        ------
        SAMPProxyError
            The hub answers with a fault.
        SAMPHubUnreachable
            It does not answer, or no page is there to ask it.
        """
        named = zip(WEB_METHODS[method].takes, params, strict=True)
        body = encode_call(f"{WEB_PREFIX}{method}", [to_parameter(name, value) for name, value in named])
        answer = await self._line.post(body, timeout)
        try:
            return await asyncio.to_thread(decode_response, answer)
        except Fault as fault:
            raise SAMPProxyError(fault.code, fault.text) from None
        except WrongUse as error:
            raise SAMPHubUnreachable(f"what answers on that desktop is no hub: {error}") from None

    # ------------------------------------------------------------------ what the desktop's hub has for us

    async def be_callable(self, key: str) -> None:
        """See `Reach`: all are, by the one registration."""

    def be_gone(self, key: str) -> None:
        """See `Reach`."""
        self.receivers.pop(key, None)

    async def _pull(self) -> None:
        failures = 0
        while True:
            try:
                pulled = await self._ask("pullCallbacks", self._key, f"{PULL:g}", timeout=PULL + MARGIN)
            except SAMPProxyError as fault:
                logger.info("{}: pulls no more: {}", self.label, fault)
                return
            except HubfarmError:
                await asyncio.sleep(AGAIN_AFTER[min(failures, len(AGAIN_AFTER) - 1)])
                failures += 1
                continue
            failures = 0
            for each in pulled if isinstance(pulled, list) else []:
                await self._hand_on(each)

    async def _hand_on(self, pulled: Value) -> None:
        try:
            callback = callback_of(pulled, self._key)
        except (Fault, WrongUse) as error:
            logger.warning("{}: the hub had something that is not understood: {}", self.label, error)
            return
        meant = self._meant(callback)
        if callback.kind is Kind.CALL and not meant:
            refusal = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "nobody here takes that any more"}}
            with contextlib.suppress(HubfarmError):
                await self._ask("reply", self._key, str(callback.tag), refusal)
        for key in meant:
            try:
                await self.receivers[key](callback._replace(key=key))
            except (Fault, HubfarmError) as error:
                logger.debug("{}: not handed on: {}", self.label, error)

    def _meant(self, callback: Callback) -> list[str]:
        """Return the private keys of those that something is for."""
        if callback.kind is Kind.RESPONSE:
            keys = [self._tags.pop(str(callback.tag), "")]
        else:
            mtype = str(callback.content.get("samp.mtype"))
            takes = [key for key, each in self._standing.items() if matching(each.subscriptions, mtype) is not None]
            keys = takes[:1] if callback.kind is Kind.CALL else takes
        return [key for key in keys if key in self.receivers]

    # ------------------------------------------------------------------ who is who

    def who(self, metadata: Map) -> Who:
        """See `Reach`: all clients of a desktop are whoever sits there."""
        return self._who

    async def secret(self, who: Who | None) -> str:
        """See `Reach`: a page has none; the user is asked."""
        return ""


def described(said: list[Map], here: str) -> Map:
    """Return what one client says of itself that stands for several.

    Parameters
    ----------
    said : list of Map
        What each says; the first is the bridge itself.  Our own commands count only if nobody else is there.
    here : str
        What people call the hub that they come from.

    Examples
    --------
    >>> described([{"samp.name": "hubfarm bridge"}, {"samp.name": "notebook (mima-1)"}], "mima-1")
    {'samp.name': 'notebook (mima-1)'}
    >>> several = [{"x.mark": "2f"}, {"samp.name": "notebook (mima-1)"}, {"samp.name": "DS9 (mima-1)"}]
    >>> for key, value in described(several, "mima-1").items():
    ...     print(key, "=", value)
    x.mark = 2f
    samp.name = 2 programs (mima-1)
    samp.description.text = notebook (mima-1), DS9 (mima-1)
    """
    itself, *others = said or [{}]
    others = [each for each in others if COMMAND not in each] or others
    match others:
        case []:
            return itself
        case [one]:
            return one
    names = [brief(str(each.get(NAME, "")), LONGEST_NAME) or "without a name" for each in others[:MOST_NAMES]]
    if len(others) > MOST_NAMES:
        names.append(f"and {len(others) - MOST_NAMES} more")
    return {**itself, NAME: f"{len(others)} programs ({here})", DESCRIPTION: ", ".join(names)}
