"""The Standard Profile: ``samp.hub.*`` calls in XML-RPC to the hub, its answers back (SAMP 1.3, 4).

A thin adapter: one table says which call is which method of `Hub`.  It decides nothing about
messages; what it knows of its own is the secret, the XML, and who waits for a synchronous call.
"""

import asyncio
import hmac
from collections.abc import Callable, Sequence
from typing import NamedTuple

from loguru import logger

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.callback_rule import CallbackRule
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.model import Answer, Client, Outcome
from hubfarm.hub.profiles.large_requests import Files, LargeRequests
from hubfarm.hub.profiles.throttle import Failures
from hubfarm.samp.errors import BadValue, Fault, WrongUse
from hubfarm.samp.values import Value, expect_string, parse_float
from hubfarm.samp.xmlrpc import (
    UNKNOWN_METHOD,
    WRONG_PARAMETERS,
    CallInOutline,
    EncodedMap,
    Param,
    decode_call_in_outline,
    decode_start,
    encode_fault,
    encode_response,
    encode_response_around,
    encode_value,
)
from hubfarm.wire.http_messages import Response
from hubfarm.wire.http_server import ON_TRUST
from hubfarm.wire.urls import check_http_url

MAX_WAIT = 3.2e9
"""Longest timeout of a synchronous call that is told from none, seconds."""


LONGEST_PING = 1024
"""A longer ping is not remembered, bytes."""

MAX_HELD = 100
"""Answers to failures that are held back at the same time; over it, the address is told at once."""

LARGE = 256 * 2**10
"""A longer request is read beside the loop, bytes: others get their answers meanwhile."""

START = 8 * 2**10
"""Who sends a request stands in so much of its beginning, bytes."""


class _NotAdmitted(Fault):
    """The secret or private key is wrong."""


_DONE = Response(encode_response(""))
"""The answer of calls without a result."""


class Waits:
    """The synchronous calls that wait for their answer, by msg-id."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Response]] = {}

    def open(self, msg_id: str, seconds: float) -> "asyncio.Future[Response]":
        """Return the future that `answer` will set; after so many seconds, unless they are 0, it is a fault."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        self._futures[msg_id] = future
        timer = loop.call_later(seconds, self._give_up, msg_id, seconds) if seconds > 0 else None
        future.add_done_callback(lambda _: self._close(msg_id, timer))
        return future

    def _close(self, msg_id: str, timer: asyncio.TimerHandle | None) -> None:
        del self._futures[msg_id]
        if timer is not None:
            timer.cancel()

    def answer(self, answer: Answer) -> None:
        """Give an answer to whoever waits for it."""
        response = answer.response
        encoded = response.xml if isinstance(response, EncodedMap) else encode_value(response)
        self._set(answer.msg_id, Response(encode_response_around(encoded)))

    def _give_up(self, msg_id: str, seconds: float) -> None:
        fault = Fault(f"the recipient has not replied within {seconds:g} s")
        self._set(msg_id, Response(encode_fault(fault)))

    def _set(self, msg_id: str, response: Response) -> None:
        future = self._futures.get(msg_id)
        if future is not None and not future.done():
            future.set_result(response)


class _Method(NamedTuple):
    """One method of the Standard Profile that takes a private key.

    `run` gets the hub, the client and the parameters; an active one gets the time as well, and
    returns an `Outcome`.
    """

    run: Callable[..., "Outcome | Param"]
    parameters: tuple[str, ...] = ()
    active: bool = True


_STRUCTURED = frozenset({"message", "response", "metadata", "subscriptions"})
"""Parameters that the hub checks itself; all others are strings."""

_METHODS = {
    "samp.hub.unregister": _Method(Hub.unregister),
    "samp.hub.setXmlrpcCallback": _Method(Hub.set_callback, ("url",)),
    "samp.hub.declareMetadata": _Method(Hub.declare_metadata, ("metadata",)),
    "samp.hub.declareSubscriptions": _Method(Hub.declare_subscriptions, ("subscriptions",)),
    "samp.hub.notify": _Method(Hub.notify, ("recipient-id", "message")),
    "samp.hub.notifyAll": _Method(Hub.notify_all, ("message",)),
    "samp.hub.call": _Method(Hub.call, ("recipient-id", "msg-tag", "message")),
    "samp.hub.callAll": _Method(Hub.call_all, ("msg-tag", "message")),
    "samp.hub.reply": _Method(Hub.reply, ("msg-id", "response")),
    "samp.hub.getMetadata": _Method(lambda hub, _, id: hub.get_metadata(id), ("client-id",), active=False),
    "samp.hub.getSubscriptions": _Method(lambda hub, _, id: hub.get_subscriptions(id), ("client-id",), active=False),
    "samp.hub.getRegisteredClients": _Method(Hub.get_registered_clients, active=False),
    "samp.hub.getSubscribedClients": _Method(Hub.get_subscribed_clients, ("mtype",), active=False),
}

_KEPT = frozenset({"samp.hub.notify", "samp.hub.notifyAll", "samp.hub.call", "samp.hub.callAll", "samp.hub.reply"})
"""What these carry outlives the worker."""

_CALL_AND_WAIT = ("recipient-id", "message", "timeout")


class StandardProfile:
    """The adapter between XML-RPC bodies and a hub.

    Parameters
    ----------
    hub : Hub
        The hub.
    deliveries : Deliveries
        Carries out what follows from each call.
    waits : Waits
        Where `deliveries` puts the answers of synchronous calls.
    secret : str
        Admits a client to ``register``.
    clock : callable
        Returns the time, seconds.
    callbacks : CallbackRule, optional
        Where clients may be called back; without one, anywhere.
    files : Files, optional
        Where large messages are kept.
    """

    def __init__(
        self,
        hub: Hub,
        deliveries: Deliveries,
        waits: Waits,
        *,
        secret: str,
        clock: Callable[[], float],
        callbacks: CallbackRule | None = None,
        files: Files | None = None,
    ) -> None:
        self.requests = 0
        self._hub = hub
        self._deliveries = deliveries
        self._waits = waits
        self._secret = secret.encode()
        self._clock = clock
        self._callbacks = callbacks
        self._failures = Failures(clock)
        self._large = LargeRequests(self._read, files, _KEPT, LARGE)
        self._held = 0
        self._ping: bytes | None = None  # the last one: clients send theirs with the same bytes each time

    def handle(self, body: bytes, peer: str = "") -> "Response | asyncio.Future[Response]":
        """Answer one call; what is wrong with it becomes an XML-RPC fault.

        An answer that is a future is to be cancelled if its caller goes away.

        Parameters
        ----------
        body : bytes
            The call.
        peer : str
            The address that it comes from.
        """
        self.requests += 1
        if body == self._ping:  # a seventh of what a ping costs
            return _DONE
        if len(body) > ON_TRUST and (refusal := self.refusal_of(body[:START], peer)) is not None:
            return refusal
        if len(body) > LARGE:
            return asyncio.ensure_future(self._handle_large(body, peer))
        try:
            call = self._read(body)
        except Fault as fault:
            return _refusal(fault)
        if call.method == "samp.hub.ping":
            self._ping = body if len(body) <= LONGEST_PING else None
        return self._answer(call, peer)

    def _read(self, body: bytes) -> CallInOutline:
        limits = self._hub.limits
        return decode_call_in_outline(body, depth=limits.depth, string=limits.string, values=limits.values)

    async def _handle_large(self, body: bytes, peer: str) -> Response:
        try:
            call = await self._large.read(body)
        except Fault as fault:
            return _refusal(fault)
        answer = self._answer(call, peer)
        self._large.drop_unless(self._hub.keeps, call)
        return await answer if isinstance(answer, asyncio.Future) else answer

    def refusal_of(self, start: bytes, peer: str) -> Response | None:
        """Return what is to be answered to a long request, if its beginning names no client of the hub's.

        Parameters
        ----------
        start : bytes
            The beginning of the call.
        peer : str
            The address that it comes from.
        """
        _, key = decode_start(start[:START])
        try:
            self._hub.client_with_key(key)
        except Fault:
            self._failures.count(peer)
            logger.warning("{}: a long request without a client's private key", peer or "a client")
            return Response(encode_fault(Fault(
                f"a request of over {ON_TRUST} bytes is taken from the hub's clients only: it has to begin with "
                "its method and a private key"
            )))  # fmt: skip
        return None

    def _answer(self, call: CallInOutline, peer: str) -> "Response | asyncio.Future[Response]":
        method, params = call
        try:
            if method == "samp.hub.callAndWait":
                return self._call_and_wait(params)
            if method == "samp.hub.setXmlrpcCallback" and self._must_resolve(params):
                return asyncio.ensure_future(self._resolve_and_run(method, params))
            if method == "samp.hub.ping":
                return _DONE
            result = self._run(method, params)
        except _NotAdmitted as fault:
            return self._hold_back(Response(encode_fault(fault)), peer)
        except (Fault, WrongUse) as error:
            return _refusal(error)
        if result == "":
            return _DONE
        encoded = result.xml if isinstance(result, EncodedMap) else encode_value(result)
        return Response(encode_response_around(encoded))

    def _hold_back(self, response: Response, peer: str) -> "Response | asyncio.Future[Response]":
        delay = self._failures.count(peer)
        logger.warning("{}: a wrong secret or private key{}", peer or "a client", f", held {delay:g} s" * bool(delay))
        if not delay:
            return response
        if self._held >= MAX_HELD:
            return Response(b"too many wrong secrets and private keys\n", 429, b"text/plain; charset=utf-8")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        timer = loop.call_later(delay, answer.set_result, response)
        self._held += 1
        answer.add_done_callback(lambda _: self._release(timer))
        return answer

    def _release(self, timer: asyncio.TimerHandle) -> None:
        self._held -= 1
        timer.cancel()

    def _must_resolve(self, params: Sequence[Param]) -> bool:
        _, (url,) = self._take("samp.hub.setXmlrpcCallback", params, ("url",))
        return bool(url) and self._callbacks is not None and self._callbacks.needs_resolving(str(url))

    async def _resolve_and_run(self, method: str, params: Sequence[Param]) -> Response:
        assert self._callbacks is not None
        try:
            await self._callbacks.resolve(str(params[1]))
            self._run(method, params)
            return _DONE
        except (Fault, WrongUse) as error:  # the client may have left meanwhile
            return _refusal(error)

    def _run(self, name: str, params: Sequence[Param]) -> Param:
        if name == "samp.hub.register":
            return self._register(params)
        if name not in _METHODS:
            raise Fault(f"unknown method {name[:80]!r}", UNKNOWN_METHOD)
        method = _METHODS[name]
        client, arguments = self._take(name, params, method.parameters)
        if name == "samp.hub.setXmlrpcCallback" and arguments[0]:
            check_http_url(expect_string(arguments[0], "the callback URL"))
        if not method.active:
            return method.run(self._hub, client, *arguments)  # type: ignore[return-value]
        logger.debug("{}: {}", client, name)
        outcome = method.run(self._hub, client, *arguments, self._clock())
        assert isinstance(outcome, Outcome)
        self._deliveries.carry_out(outcome.effects)
        return outcome.result

    def _register(self, params: Sequence[Param]) -> Value:
        if len(params) != 1:
            raise Fault("samp.hub.register takes one string: the secret of the lock file", WRONG_PARAMETERS)
        given = params[0].encode(errors="replace") if isinstance(params[0], str) else b""
        if not hmac.compare_digest(given, self._secret):
            raise _NotAdmitted("the secret is wrong: it stands in the hub's lock file as samp.secret")
        outcome = self._hub.register(self._clock())
        self._deliveries.carry_out(outcome.effects)
        assert isinstance(outcome.result, dict)
        logger.info("{}: registered", outcome.result["samp.self-id"])
        return outcome.result

    def _take(self, name: str, params: Sequence[Param], parameters: tuple[str, ...]) -> tuple[Client, Sequence[Param]]:
        if len(params) != 1 + len(parameters):
            takes = ", ".join(("private-key", *parameters))
            raise Fault(f"{name} takes {1 + len(parameters)} parameters ({takes}), not {len(params)}", WRONG_PARAMETERS)
        # By hash first, and Python's is keyed: the time that this takes tells nothing of a key.
        try:
            client = self._hub.client_with_key(params[0] if isinstance(params[0], str) else "")
        except Fault as fault:
            raise _NotAdmitted(fault.text) from None
        for value, parameter in zip(params[1:], parameters, strict=True):
            if parameter not in _STRUCTURED:
                expect_string(value, f"the parameter {parameter}")
        return client, params[1:]

    def _call_and_wait(self, params: Sequence[Param]) -> "Response | asyncio.Future[Response]":
        client, (recipient, message, timeout) = self._take("samp.hub.callAndWait", params, _CALL_AND_WAIT)
        seconds = parse_float(str(timeout))
        if seconds > MAX_WAIT:
            raise BadValue(f"the timeout is {seconds:g} s: give seconds, or 0 for none")
        outcome = self._hub.call_and_wait(client, str(recipient), message, self._clock())
        logger.debug("{}: samp.hub.callAndWait {}", client, outcome.result)
        msg_id = str(outcome.result)
        waiting = self._waits.open(msg_id, seconds)
        waiting.add_done_callback(lambda _: self._hub.abandon(msg_id))  # also when its caller goes away
        self._deliveries.carry_out(outcome.effects)
        return waiting

    def close(self) -> None:
        """Read no more large requests."""
        self._large.close()


def _refusal(error: Fault | WrongUse) -> Response:
    fault = error if isinstance(error, Fault) else Fault(str(error), WRONG_PARAMETERS)
    logger.debug("fault: {}", fault.text)
    return Response(encode_fault(fault))
