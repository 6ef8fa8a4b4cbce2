"""A client's callback server: what a hub calls (SAMP 1.3, 4.3.2), handed on as `Callback`."""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.values import Map, Value, check_map, expect_string
from hubfarm.samp.xmlrpc import UNKNOWN_METHOD, WRONG_PARAMETERS, decode_call, encode_fault, encode_response
from hubfarm.wire.fork import close_in_child
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.http_server import HttpLimits, HttpServer, bind


class Kind(Enum):
    """What a hub hands over; the value is the method that it calls."""

    NOTIFICATION = "samp.client.receiveNotification"
    CALL = "samp.client.receiveCall"
    RESPONSE = "samp.client.receiveResponse"


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


_TAKEN = Response(encode_response(""))


class CallbackServer:
    """Listens for a hub; in the running event loop.

    Parameters
    ----------
    receive : callable
        Gets each `Callback`, and returns at once; raises `Fault` to refuse it.
    """

    def __init__(self, receive: Callable[[Callback], None]) -> None:
        self._receive = receive
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
        )
        await self._server.start(sock)
        return f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}/"

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _answer(self, request: Request) -> Response:
        if request.method != b"POST":
            return Response(b"a SAMP client takes POST\n", 405, b"text/plain")
        try:
            call = decode_call(request.body)
            self._receive(_callback(call.method, call.params))
        except Fault as fault:
            return Response(encode_fault(fault))
        except WrongUse as error:
            return Response(encode_fault(Fault(str(error), WRONG_PARAMETERS)))
        return _TAKEN


def _callback(method: str, params: list[Value]) -> Callback:
    try:
        kind = Kind(method)
    except ValueError:
        raise Fault(f"unknown method {method[:80]!r}", UNKNOWN_METHOD) from None
    takes = 3 if kind is Kind.NOTIFICATION else 4
    if len(params) != takes:
        raise Fault(f"{method} takes {takes} parameters, not {len(params)}", WRONG_PARAMETERS)
    *strings, content = params
    key, sender, *tag = [expect_string(value, f"a parameter of {method}") for value in strings]
    return Callback(kind, key, sender, tag[0] if tag else None, check_map(content, "a message or response"))
