"""The synchronous calls that wait for their answer: who asked by `callAndWait` gets it as its response."""

import asyncio

from hubfarm.hub.model import Answer
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import EncodedMap, encode_fault, encode_response_around, encode_value
from hubfarm.wire.http_messages import Response


class Waits:
    """Those of one hub, by msg-id."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Response]] = {}

    def open(self, msg_id: str, seconds: float) -> "asyncio.Future[Response]":
        """Return the future that `answer` will set; after the seconds given, unless they are 0, it is a fault."""
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
        """Give an answer to the caller that waits for it."""
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
