"""A client's callback server: what a hub calls (SAMP 1.3, 4.3.2), handed on as `Callback`.

Anybody on this host can reach it, so nothing is believed: a long call is read on only if it begins with the
private key that the hub alone knows, and beside the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.methods import CLIENT_PREFIX, Kind
from hubfarm.samp.values import Map, Value, check_map, expect_string
from hubfarm.samp.xmlrpc import (
    UNKNOWN_METHOD,
    WRONG_PARAMETERS,
    Call,
    decode_call,
    decode_start,
    encode_fault,
    encode_response,
)
from hubfarm.wire.http_connection import ON_TRUST, HttpLimits
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.http_server import HttpServer
from hubfarm.wire.sockets import bind, close_in_child
from hubfarm.wire.urls import written


class Callback(NamedTuple):
    """One call of a hub.

    Parameters
    ----------
    kind : Kind
        What it is.
    key : str
        The private key by which the hub shows who it is.
    sender : str
        The public id of the message's sender, or of the responder.
    tag : str or None
        A call's msg-id, a response's msg-tag.
    content : Map
        The message or response.
    """

    kind: Kind
    key: str
    sender: str
    tag: str | None
    content: Map


Receive = Callable[[Callback], "Awaitable[None] | None"]
"""Gets each `Callback`, and returns at once; what it may return is awaited before the hub is answered."""

_KINDS = {f"{CLIENT_PREFIX}{kind}": kind for kind in Kind}

_TAKEN = Response(encode_response(""))

LARGE = 256 * 2**10
"""A longer call is read in a thread, bytes: the program's loop goes on meanwhile."""


class CallbackServer:
    """Listens for a hub; in the running event loop.

    Parameters
    ----------
    receive : callable
        See `Receive`; raises `Fault` to refuse a call.
    knows : callable
        Tells whether a private key is this client's.
    """

    def __init__(self, receive: Receive, knows: Callable[[str], bool]) -> None:
        self._receive = receive
        self._knows = knows
        self._server: HttpServer | None = None

    async def start(self, host: str, port: int = 0) -> str:
        """Listen, and return the URL at which a hub reaches this.

        Raises
        ------
        HubfarmError
            The address or port is not to be had.
        """
        sock = close_in_child(bind(host, port))
        loop = asyncio.get_running_loop()
        self._server = HttpServer(
            self._answer,
            HttpLimits(),
            lambda error: loop.call_exception_handler({"message": "a callback failed", "exception": error}),
            admit=self._admit,
        )
        await self._server.start(sock)
        return f"http://{written(host)}:{sock.getsockname()[1]}/"

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _admit(self, request: Request) -> Response | None:
        if self._knows(decode_start(request.body)[1]):
            return None
        return Response(encode_fault(Fault("a long call has to begin with its method and this client's private key")))

    def _answer(self, request: Request) -> "Response | asyncio.Future[Response]":
        if request.method != b"POST":
            return Response(b"a SAMP client takes POST\n", 405, b"text/plain")
        if len(request.body) > ON_TRUST and (refusal := self._admit(request)) is not None:
            return refusal
        if len(request.body) > LARGE:
            return asyncio.ensure_future(self._answer_large(request.body))
        return self._take(lambda: decode_call(request.body))

    async def _answer_large(self, body: bytes) -> Response:
        try:
            call = await asyncio.get_running_loop().run_in_executor(None, decode_call, body)
        except Fault as fault:
            return Response(encode_fault(fault))
        taken = self._take(lambda: call)
        return taken if isinstance(taken, Response) else await taken

    def _take(self, read: Callable[[], Call]) -> "Response | asyncio.Future[Response]":
        try:
            call = read()
            under_way = self._receive(_callback(call.method, call.params))
        except (Fault, WrongUse) as error:
            return _refused(error)
        return _TAKEN if under_way is None else asyncio.ensure_future(_taken(under_way))


async def _taken(under_way: Awaitable[None]) -> Response:
    try:
        await under_way
    except (Fault, WrongUse) as error:
        return _refused(error)
    return _TAKEN


def _refused(error: Fault | WrongUse) -> Response:
    return Response(encode_fault(error if isinstance(error, Fault) else Fault(str(error), WRONG_PARAMETERS)))


def _callback(method: str, params: list[Value]) -> Callback:
    kind = _KINDS.get(method)
    if kind is None:
        raise Fault(f"unknown method {method[:80]!r}", UNKNOWN_METHOD)
    if len(params) != len(kind.takes):
        raise Fault(f"{method} takes {len(kind.takes)} parameters, not {len(params)}", WRONG_PARAMETERS)
    *strings, content = params
    key, sender, *tag = [expect_string(value, f"a parameter of {method}") for value in strings]
    return Callback(kind, key, sender, tag[0] if tag else None, check_map(content, "a message or response"))
