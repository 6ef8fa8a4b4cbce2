"""A profile: one door of a hub, by which clients come in and call it in XML-RPC (SAMP 1.3, 4 and 5).

Several may stand beside each other on one hub; each client remembers by which it came, and a door can be shut, with its
clients, while the hub runs.  What is here all profiles share: a table says which call is which method of `Hub`.  A
profile decides nothing about messages; what it knows of its own is who may come in, the XML, and who waits for a
synchronous call.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeAlias

from loguru import logger

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.model import Client, Outcome
from hubfarm.hub.profiles.accounts import Accounts
from hubfarm.hub.profiles.large_requests import Files, LargeRequests
from hubfarm.hub.profiles.throttle import HeldAnswers
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.routes import Pull
from hubfarm.samp.errors import BadValue, Fault, WrongUse
from hubfarm.samp.methods import STRUCTURED, Caller, Method
from hubfarm.samp.values import Value, expect_string, parse_boolean, parse_float
from hubfarm.samp.xmlrpc import (
    COMPILED,
    UNKNOWN_METHOD,
    WRONG_PARAMETERS,
    CallInOutline,
    EncodedList,
    EncodedMap,
    Param,
    decode_call_in_outline,
    decode_start,
    encode_fault,
    encode_response,
    encode_response_around,
    encode_value,
)
from hubfarm.spec.principal import Principal
from hubfarm.visible import visible
from hubfarm.wire.carried_pulls import ARRIVED, PULL, names_in, pull_in
from hubfarm.wire.http_connection import ON_TRUST
from hubfarm.wire.http_messages import Request, Response

MAX_WAIT = 3.2e9
"""Longest timeout of a synchronous call that is told from none, seconds."""

LONGEST_PING = 1024
"""A longer ping is not remembered, bytes."""

LARGE = 256 * 2**10
"""A longer message goes into a file of its own, bytes."""

BESIDE = 2 * 2**20 if COMPILED else LARGE
"""A longer request is read beside the loop, bytes: others get their answers meanwhile.

To read so much holds the loop for 25 ms at most, if it is done in C.
"""

START = 8 * 2**10
"""Where at the latest a request says who sends it, bytes from its beginning."""

_PULL = PULL.lower().encode()
_ARRIVED = ARRIVED.lower().encode()

DONE = Response(encode_response(""))
"""The answer of calls without a result."""

Answered: TypeAlias = "Response | asyncio.Future[Response]"
Result: TypeAlias = "Param | EncodedList"
"""What a method returns to its caller."""
Strategy: TypeAlias = "Callable[[Sequence[Param], Request], Result | Answered]"
"""What is done for a method: gets all its parameters, and the HTTP request that they came in."""


class NotAdmitted(Fault):
    """The secret, or whatever else a newcomer shows, or the private key is wrong."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What lies behind all doors of one hub.

    Parameters
    ----------
    hub : Hub
        The hub.
    deliveries : Deliveries
        Carries out what follows from each call.
    waits : Waits
        Where `deliveries` puts the answers of synchronous calls.
    secret : str
        The hub's, as its lock file has it.
    clock : callable
        Returns the time, seconds.
    files : Files, optional
        Where large messages are kept.
    lines : FrequentLines, optional
        Those of the hub's log.
    """

    hub: Hub
    deliveries: Deliveries
    waits: Waits
    secret: str
    clock: Callable[[], float]
    files: Files | None = None
    lines: FrequentLines | None = None


class Profile:
    """One door of a hub.

    Parameters
    ----------
    inside : Inside
        What it leads to.
    """

    NAME: ClassVar[str]
    PREFIX: ClassVar[str]
    METHODS: ClassVar[Mapping[str, Method]]

    def __init__(self, inside: Inside) -> None:
        self.requests = 0
        self.is_open = True
        self.key_prefix = ""
        """What the private keys of this profile's clients begin with."""
        self.hub = inside.hub
        self.deliveries = inside.deliveries
        self.waits = inside.waits
        self.clock = inside.clock
        self.lines = inside.lines or FrequentLines(inside.clock)
        self.held = HeldAnswers(inside.clock, self.lines)
        self.accounts: Accounts | None = None
        """Asks the kernel whose connections are, if that counts on this hub."""
        shared = {name: partial(strategy, self) for name, strategy in SHARED.items()}
        strategies = shared | self.own_strategies()
        self._calls = {f"{self.PREFIX}{name}": (method, strategies[name]) for name, method in self.METHODS.items()}
        kept = {name for name, (method, _) in self._calls.items() if method.kept}
        self._large = LargeRequests(self._read, inside.files, kept, LARGE)
        self._ping: bytes | None = None  # the last one: clients send theirs with the same bytes each time

    def own_strategies(self) -> dict[str, Strategy]:
        """Return what is done for the methods that are this profile's alone."""
        raise NotImplementedError

    # ------------------------------------------------------------------ the door

    def enter(self, who: Principal) -> Value:
        """Register a client that has shown what this profile asks for; return what it is told.

        Raises
        ------
        Fault
            The door is shut, or the hub takes no more.
        """
        try:
            if not self.is_open:
                raise Fault(f"this hub takes no clients by the {self.NAME} profile now")
            outcome = self.hub.register(who, self.clock(), self.key_prefix)
        except Fault as fault:
            self.lines.log_once("WARNING", "not let in: {}: {}", visible(str(who)), visible(fault.text))
            raise
        self.deliveries.carry_out(outcome.effects)
        assert isinstance(outcome.result, dict)
        self.lines.log("INFO", "{}: registered: {}", outcome.result["samp.self-id"], visible(str(who)))
        return outcome.result

    def disconnect_all(self, reason: str) -> None:
        """Throw out all clients that came by this profile."""
        for client in list(self.hub.clients):
            if client.principal.profile == self.NAME:
                self.deliveries.carry_out(self.hub.throw_out(client, reason))

    def shut(self, reason: str) -> None:
        """Take no clients any more, and throw out those that are in."""
        self.is_open = False
        self.disconnect_all(reason)

    def open_again(self) -> None:
        """Take clients again."""
        self.is_open = True

    # ------------------------------------------------------------------ one call

    def handle(self, request: Request) -> Answered:
        """Answer one call; what is wrong with it becomes an XML-RPC fault.

        An answer that is a future is to be cancelled if its caller goes away.
        """
        self.requests += 1
        body = request.body
        if body == self._ping:  # a seventh of what a ping costs
            return DONE
        if len(body) > ON_TRUST and (refusal := self.refusal_of(request)) is not None:
            return refusal
        if len(body) > BESIDE:
            return asyncio.ensure_future(self._handle_beside(request))
        is_large = len(body) > LARGE
        try:
            call = self._large.read(body) if is_large else self._read(body)
        except Fault as fault:
            return refuse(fault)
        answer = self._answer(call, request)
        if is_large:
            self._large.drop_unless(self.hub.keeps, call)
        if answer is DONE and not call.params and len(body) <= LONGEST_PING:
            self._ping = body
        return answer

    def _read(self, body: bytes) -> CallInOutline:
        limits = self.hub.limits
        return decode_call_in_outline(body, depth=limits.depth, string=limits.string, values=limits.values)

    async def _handle_beside(self, request: Request) -> Response:
        try:
            call = await self._large.read_beside(request.body)
        except Fault as fault:
            return refuse(fault)
        answer = self._answer(call, request)
        self._large.drop_unless(self.hub.keeps, call)
        return await answer if isinstance(answer, asyncio.Future) else answer

    def refusal_of(self, request: Request) -> Response | None:
        """Return what is to be answered to a long request, if its beginning names no client of the hub's.

        Parameters
        ----------
        request : Request
            Its body may be the beginning alone.
        """
        _, key = decode_start(request.body[:START])
        try:
            self.hub.client_with_key(key)
        except Fault:
            self.held.count(request.peer)
            sender = request.peer or "a client"
            self.lines.log_once("WARNING", "{}: a long request without a client's private key", sender)
            return Response(encode_fault(Fault(
                f"a request of over {ON_TRUST} bytes is taken from the hub's clients only: it has to begin with "
                "its method and a private key"
            )))  # fmt: skip
        return None

    def _answer(self, call: CallInOutline, request: Request) -> Answered:
        try:
            result = self._run(call, request)
        except NotAdmitted as fault:
            logger.debug("fault: {}", fault.text)
            return self.held.hold(Response(encode_fault(fault)), request.peer)
        except (Fault, WrongUse) as error:
            return refuse(error)
        return result if isinstance(result, (Response, asyncio.Future)) else answer_with(result)

    def _run(self, call: CallInOutline, request: Request) -> "Result | Answered":
        method, strategy = self._calls.get(call.method, (None, None))
        if method is None or strategy is None:
            raise Fault(f"unknown method {call.method[:80]!r}", UNKNOWN_METHOD)
        takes, given = method.takes, len(call.params)
        if given != len(takes) and method.caller is not Caller.ANYBODY:
            count = f"{len(takes)} parameter{'s' * (len(takes) != 1)}"
            raise Fault(f"{call.method} takes {count} ({', '.join(takes)}), not {given}", WRONG_PARAMETERS)
        if method.caller is Caller.CLIENT:
            if self.accounts is not None:
                self._check_account(self.client_of(call.params[0]), request)
            for value, parameter in zip(call.params[1:], method.parameters, strict=True):
                if parameter not in STRUCTURED:
                    expect_string(value, f"the parameter {parameter}")
        return strategy(call.params, request)

    def uid_of(self, request: Request) -> int | None:
        """Return whose account a request is from; None if that does not count here, or is not known."""
        return None if self.accounts is None else self.accounts.uid(request.ends)

    def _check_account(self, client: Client, request: Request) -> None:
        """Refuse a private key that comes from another account than the one that it was given to."""
        bound = client.principal.uid
        if bound is None:
            return
        uid = self.uid_of(request)
        if uid != bound:
            self.lines.log_once("WARNING", "{}: its private key comes from the account {}: refused", str(client), uid)
            raise NotAdmitted("this private key was given to another account")

    def client_of(self, key: Param) -> Client:
        """Return the client that a call's private key names.

        Raises
        ------
        NotAdmitted
            There is none.
        """
        # By hash first, and Python's is keyed: the time that this takes tells nothing of a key.
        try:
            return self.hub.client_with_key(key if isinstance(key, str) else "")
        except Fault as fault:
            raise NotAdmitted(fault.text) from None

    def close(self) -> None:
        """Read no more large requests, and ask the kernel no more."""
        if self.accounts is not None:
            self.accounts.close()
        self._large.close()


# ---------------------------------------------------------------------- strategies


SharedStrategy: TypeAlias = "Callable[[Profile, Sequence[Param], Request], Result | Answered]"


def acting(run: Callable[..., Outcome]) -> SharedStrategy:
    """Return the strategy of a method that counts as a client's activity; `run` is a method of `Hub`."""
    name = run.__name__

    def act(profile: Profile, params: Sequence[Param], _: Request) -> Param:
        client = profile.client_of(params[0])
        logger.debug("{}: {}", client, name)
        # By its name: a hub that is watched has another one (`hubfarm.hub.watched`).
        outcome: Outcome = getattr(profile.hub, name)(client, *params[1:], profile.clock())
        profile.deliveries.carry_out(outcome.effects)
        return outcome.result

    return act


def asking(run: Callable[..., Result]) -> SharedStrategy:
    """Return the strategy of a method that only asks; `run` gets the hub, the client and the parameters."""
    return lambda profile, params, _: run(profile.hub, profile.client_of(params[0]), *params[1:])


def call_and_wait(profile: Profile, params: Sequence[Param], _: Request) -> Answered:
    """Call a client, and answer with its response (SAMP 1.3, 3.10.3)."""
    key, recipient, message, timeout = params
    client = profile.client_of(key)
    seconds = parse_float(str(timeout))
    if seconds > MAX_WAIT:
        raise BadValue(f"the timeout is {seconds:g} s: give seconds, or 0 for none")
    outcome = profile.hub.call_and_wait(client, str(recipient), message, profile.clock())
    logger.debug("{}: call_and_wait {}", client, outcome.result)
    msg_id = str(outcome.result)
    waiting = profile.waits.open(msg_id, seconds)
    waiting.add_done_callback(lambda _: profile.hub.abandon(msg_id))  # also when its caller goes away
    profile.deliveries.carry_out(outcome.effects)
    return waiting


def allow_reverse_callbacks(profile: Profile, params: Sequence[Param], _: Request) -> Answered:
    """Let a client pull what it is called with, or make it not callable any more (SAMP 1.3, 5.2.4)."""
    client = profile.client_of(params[0])
    allowed = parse_boolean(str(params[1]))
    if allowed is not isinstance(client.route, Pull):
        outcome = profile.hub.set_route(client, Pull() if allowed else None, profile.clock())
        profile.deliveries.carry_out(outcome.effects)
    return DONE


def pull_callbacks(profile: Profile, params: Sequence[Param], request: Request) -> Answered:
    """Answer with what a client is called with, at once or when there is something (SAMP 1.3, 5.2.4).

    Who pulls may say what has arrived, and that this answer is carried on; see `hubfarm.wire.carried_pulls`.
    """
    client = profile.client_of(params[0])
    if arrived := request.headers.get(_ARRIVED):
        profile.deliveries.note_carried(client, names_in(arrived))
    return profile.deliveries.pull(client, parse_float(str(params[1])), pull_in(request.headers.get(_PULL, b"")))


SHARED: Mapping[str, SharedStrategy] = {
    "ping": lambda profile, params, request: "",
    "unregister": acting(Hub.unregister),
    "declareMetadata": acting(Hub.declare_metadata),
    "declareSubscriptions": acting(Hub.declare_subscriptions),
    "getMetadata": asking(lambda hub, caller, client_id: hub.get_metadata(client_id, caller)),
    "getSubscriptions": asking(lambda hub, caller, client_id: hub.get_subscriptions(client_id, caller)),
    "getRegisteredClients": asking(Hub.get_registered_clients),
    "getSubscribedClients": asking(Hub.get_subscribed_clients),
    "notify": acting(Hub.notify),
    "notifyAll": acting(Hub.notify_all),
    "call": acting(Hub.call),
    "callAll": acting(Hub.call_all),
    "callAndWait": call_and_wait,
    "reply": acting(Hub.reply),
    "allowReverseCallbacks": allow_reverse_callbacks,
    "pullCallbacks": pull_callbacks,
}
"""What is done for the methods of every profile."""


def answer_with(result: Result) -> Response:
    """Return the answer that carries a result."""
    if result == "":
        return DONE
    encoded = result.xml if isinstance(result, (EncodedMap, EncodedList)) else encode_value(result)
    return Response(encode_response_around(encoded))


def refuse(error: Fault | WrongUse) -> Response:
    """Return the answer that says why a call was refused."""
    fault = error if isinstance(error, Fault) else Fault(str(error), WRONG_PARAMETERS)
    logger.debug("fault: {}", fault.text)
    return Response(encode_fault(fault))
