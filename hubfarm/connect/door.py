"""The door on this host of a hub elsewhere: the Standard Profile, as the hub itself has it (SAMP 1.3, 4).

A program that comes in is a client of that hub, with the ids that everybody there sees.  Its calls are passed on as
they are, but for what is of this host: the secret of this door, the URL at which the program listens, files.
"""

import asyncio
import hmac
import time

from loguru import logger

from hubfarm.client.calls import LONGEST_WAIT
from hubfarm.connect.carried import CarriedFiles
from hubfarm.connect.line import Line, LineDown
from hubfarm.connect.members import Members
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.profiles.throttle import HeldAnswers
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import STANDARD_METHODS, STANDARD_PREFIX
from hubfarm.samp.values import parse_float
from hubfarm.samp.xmlrpc import (
    UNKNOWN_METHOD,
    decode_call,
    decode_response,
    decode_start,
    encode_call,
    encode_fault,
    encode_response,
)
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.urls import check_http_url

ANSWERS_IN = 30.0
"""How long the hub may take to answer what is no synchronous call, seconds."""

LEAVES_IN = 5.0
"""How long a program that leaves waits until the hub has heard of it, seconds."""

DONE = Response(encode_response(""))

_WRONG_SECRET = "the secret is wrong: it stands in the lock file as samp.secret"
_NOT_IN = "this private key is nobody's here: register first"


class Door:
    """Answers the programs of this host.

    Parameters
    ----------
    secret : str
        Lets a program in.
    line : Line
        Where the hub is.
    members : Members
        Who is in.
    files : CarriedFiles
        What messages name.
    """

    def __init__(self, secret: str, line: Line, members: Members, files: CarriedFiles) -> None:
        self._secret = secret.encode()
        self._line = line
        self._members = members
        self._files = files
        self._held = HeldAnswers(time.monotonic, FrequentLines(time.monotonic))
        self.requests = 0
        self.accepted = 0
        """Calls that the hub has answered with no fault."""
        self.active = time.monotonic()

    def handle(self, request: Request) -> "Response | asyncio.Future[Response]":
        """Answer one call; what is wrong with it becomes an XML-RPC fault."""
        self.requests += 1
        method, first = decode_start(request.body)
        if not method:
            try:
                method = decode_call(request.body).method  # one without parameters
            except Fault as fault:
                return Response(encode_fault(fault))
        name = method.removeprefix(STANDARD_PREFIX) if method.startswith(STANDARD_PREFIX) else ""
        if name == "ping":
            return DONE  # the door is there, whether or not the hub is reached
        return asyncio.ensure_future(self._answer(name, method, first, request))

    def refusal_of(self, request: Request) -> Response | None:
        """Return what is to be answered to a long call whose beginning names nobody who is in."""
        _, key = decode_start(request.body)
        if key in self._members:
            return None
        self._held.count(request.peer)
        return Response(encode_fault(Fault(_NOT_IN)))

    async def _answer(self, name: str, method: str, first: str, request: Request) -> Response:
        try:
            match name:
                case "register":
                    return await self._register(first, request)
                case _ if name not in STANDARD_METHODS:
                    raise Fault(f"unknown method {method[:80]!r}", UNKNOWN_METHOD)
                case "pullCallbacks" | "allowReverseCallbacks":
                    raise Fault("who comes in by this door is called at a URL: setXmlrpcCallback says which")
            if first not in self._members:
                return await self._hold(_NOT_IN, request.peer)
            self.active = time.monotonic()
            match name:
                case "unregister":
                    leaving = self._members.leave(first)
                    if leaving is not None and self._line.up.is_set():  # so that nobody finds it after that
                        await asyncio.wait([leaving], timeout=LEAVES_IN)
                    return DONE
                case "setXmlrpcCallback":
                    return await self._set_callback(first, request.body)
            return await self._pass_on(name, request.body)
        except (Fault, WrongUse) as error:
            return Response(encode_fault(error if isinstance(error, Fault) else Fault(str(error))))
        except LineDown as error:
            return Response(encode_fault(Fault(str(error))))
        except HubfarmError as error:
            logger.error("{}", error)
            return Response(encode_fault(Fault(str(error))))

    async def _hold(self, text: str, peer: str) -> Response:
        answer = self._held.hold(Response(encode_fault(Fault(text))), peer)
        return await answer if isinstance(answer, asyncio.Future) else answer

    async def _register(self, shown: str, request: Request) -> Response:
        if not hmac.compare_digest(shown.encode(errors="replace"), self._secret):
            return await self._hold(_WRONG_SECRET, request.peer)
        answer = await self._line.call(encode_call(f"{STANDARD_PREFIX}register", [self._line.secret]))
        told = decode_response(answer)
        key = told.get("samp.private-key") if isinstance(told, dict) else None
        if not isinstance(key, str):
            raise Fault("the hub gave no private key at registration")
        self._members.add(key)
        return Response(answer)

    async def _set_callback(self, key: str, body: bytes) -> Response:
        params = decode_call(body).params
        if len(params) != 2 or not isinstance(params[1], str):
            raise Fault("setXmlrpcCallback takes 2 parameters (private-key, url), strings")
        url = params[1]
        if url:
            check_http_url(url)
        answer = await self._line.call(
            encode_call(f"{STANDARD_PREFIX}allowReverseCallbacks", [key, "1" if url else "0"])
        )
        decode_response(answer)  # a fault is raised
        self._members.listens_at(key, url)
        return DONE

    async def _pass_on(self, name: str, body: bytes) -> Response:
        seconds = ANSWERS_IN
        if name == "callAndWait":
            params = decode_call(body).params
            given = parse_float(str(params[-1])) if len(params) == 4 else 0.0
            seconds = min(given, LONGEST_WAIT) + ANSWERS_IN if given > 0 else LONGEST_WAIT
        answer = await self._line.call(await self._files.call_outward(body), seconds=seconds)
        self.accepted += 1
        return Response(await self._files.answer_inward(answer))
