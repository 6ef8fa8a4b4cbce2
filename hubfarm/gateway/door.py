"""The Web Profile's XML-RPC as the gateway answers it: who may come in; whatever else goes to the page's hub unread.

Of a request no more is parsed than its method and its private key; only a registration is read whole.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loguru import logger

from hubfarm.gateway.asking import Asking
from hubfarm.gateway.carrier import Carrier, Told
from hubfarm.gateway.forward import Forward
from hubfarm.gateway.hubs import Hubs
from hubfarm.gateway.pages import Page, Pages, new_page
from hubfarm.samp.errors import Fault
from hubfarm.samp.values import Value
from hubfarm.samp.xmlrpc import (
    UNKNOWN_METHOD,
    WRONG_PARAMETERS,
    decode_call,
    decode_response,
    decode_start,
    encode_call,
    encode_fault,
    encode_response,
)
from hubfarm.visible import brief

PREFIX = "samp.webhub."
REGISTER = f"{PREFIX}register"
UNREGISTER = f"{PREFIX}unregister"
PING = f"{PREFIX}ping"
PULL = f"{PREFIX}pullCallbacks"

START = 8 * 2**10
"""Where at the latest a request says what it is, bytes from its beginning."""

LONGEST_FROM_ANYBODY = 64 * 2**10
"""A longer request is taken from registered pages only, bytes."""

READ = "/read/"
"""The path of the URL translator; a page's private key comes behind it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page is answered.

    Parameters
    ----------
    status : int
        By HTTP.
    body : bytes
        As it goes out.
    pull : Told, optional
        To be told whether it has arrived, if it is the answer to a pull.
    """

    status: int
    body: bytes
    pull: Told | None = None


class Door:
    """Answers pages.

    Parameters
    ----------
    hubs, forward, pages, asking, carrier
        The other parts.
    pages_change : callable
        Called when a page has come or gone.
    base : str
        Where pages reach this: ``http://localhost:21012``.
    """

    def __init__(
        self,
        hubs: Hubs,
        forward: Forward,
        pages: Pages,
        asking: Asking,
        carrier: Carrier,
        pages_change: Callable[[], None],
        base: str,
    ) -> None:
        self._hubs = hubs
        self._forward = forward
        self._pages = pages
        self._asking = asking
        self._carrier = carrier
        self._pages_change = pages_change
        self._base = base

    async def refusal_of(self, start: bytes, origin: str) -> bytes | None:
        """Return what is to be answered to a long request, if its beginning names no page's private key.

        Raises
        ------
        Fault
            It does not.
        """
        _, key = decode_start(start)
        if key and await self._hubs.of_key(key) is not None and self._may_use(key, origin):
            return None
        return encode_fault(Fault(
            f"a request of over {LONGEST_FROM_ANYBODY} bytes is taken from registered pages only: it has to begin "
            "with its method and a private key"
        ))  # fmt: skip

    async def answer(self, body: bytes, origin: str, referer: str) -> Answer:
        """Return the answer to a call; what is wrong with it is a fault."""
        method, key = decode_start(body[:START])
        try:
            if not key or method == REGISTER:
                return Answer(200, await self._answer_newcomer(body, origin, referer))
            if not method.startswith(PREFIX):
                raise Fault(f"unknown method {method[:80]!r}: this is the Web Profile", UNKNOWN_METHOD)
            return await self._pass_on(method, key, body, origin)
        except Fault as fault:
            logger.debug("fault to {}: {}", origin, fault.text)
            return Answer(200, encode_fault(fault))

    async def _answer_newcomer(self, body: bytes, origin: str, referer: str) -> bytes:
        """Return the answer to what has no private key: a ping or a registration, which are short."""
        call = decode_call(body)
        if call.method == PING:
            return await self._ping()
        if call.method == REGISTER:
            return await self._register(_name_in(call.params), body, origin, referer)
        raise Fault(f"unknown method {call.method[:80]!r}, or a method without its private key", UNKNOWN_METHOD)

    async def _ping(self) -> bytes:
        if await self._hubs.find_living() is None:
            raise Fault("no hub runs in the farm that answers here: hubfarm start starts one")
        return encode_response("")

    async def _pass_on(self, method: str, key: str, body: bytes, origin: str) -> Answer:
        if not self._may_use(key, origin):
            logger.warning("the private key of a page of another origin comes from {}: refused", origin)
            raise Fault("this private key was given to a page of another origin")
        told = self._carrier.request(key, is_pull=method == PULL)
        self._pages.begin(key)
        try:
            answer = await self._forward.call(key, body, origin, told.fields)
        except Fault:  # its hub is not there, and a successor knows of no pull
            told.is_not_heard(by_a_hub_that_is_there=False)
            raise
        except BaseException:
            told.is_not_heard(by_a_hub_that_is_there=True)
            raise
        finally:
            self._pages.end(key, time.monotonic())
        told.is_heard()
        if method == UNREGISTER and self._pages.remove(key):
            self._carrier.forget(key)
            self._pages_change()
        return Answer(answer.status, answer.body, told if told.pull else None)

    def _may_use(self, key: str, origin: str) -> bool:
        page = self._pages.of(key)
        return page is None or page.origin == origin

    # ------------------------------------------------------------------ coming in

    async def _register(self, name: str, body: bytes, origin: str, referer: str) -> bytes:
        hub = await self._asking.hub_for(origin, name, referer)
        answer = await self._forward.call(hub.token, body, origin)
        if answer.status != 200:
            raise Fault(f"the hub {hub.label} takes no web pages (HTTP {answer.status})")
        told: Value = decode_response(answer.body)
        if not isinstance(told, dict):
            raise Fault(f"the hub {hub.label} has not answered as a hub does")
        page = new_page(dict(told), hub.label, origin, brief(name, 200), brief(referer, 200))
        self._pages.add(page, time.monotonic())
        self._pages_change()
        logger.info("{} of {} is {} on {}", page.name, origin, page.client, hub.label)
        return encode_response({**told, "samp.url-translator": f"{self._base}{READ}{page.key}?"})

    async def disconnect(self, page: Page) -> None:
        """Have a page leave its hub.

        Raises
        ------
        Fault
            Its hub does not answer.
        """
        await self._forward.call(page.key, encode_call(UNREGISTER, [page.key]), page.origin)
        self._pages.remove(page.key)
        self._pages_change()


def _name_in(params: Sequence[Any]) -> str:
    """Return the name by which a page introduces itself: in a map, or as old pages do it.

    Raises
    ------
    Fault
        It does not.
    """
    match list(params):
        case [str(name)]:
            return name
        case [dict(identity)] if isinstance(name := identity.get("samp.name", ""), str):
            return name
    raise Fault(f"{REGISTER} takes one parameter, a map with samp.name", WRONG_PARAMETERS)
