"""Push: a client's messages go out to its callback URL, over one kept connection (SAMP 1.3, 4.3.2).

Here too: when to try again, and when a client counts as gone.  A client that takes its time is not gone: an answer is
waited for as long as the connection stands, and what comes meanwhile waits in the queue, whose bounds are the
hub's.  One that refuses connections is gone.  One whose host does not answer is away, and tried again now and then.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from loguru import logger

from hubfarm.hub.model import Client, Delivery
from hubfarm.hub.routes import Pull, Push, Route
from hubfarm.samp.methods import CLIENT_PREFIX
from hubfarm.samp.xmlrpc import encode_call_around
from hubfarm.wire.http_client import HttpClient, HttpError, NoAnswer, Unreachable

RETRY_AFTER = (0.1, 0.5, 2.0)
"""Waits between attempts to reach a client that refuses connections, seconds; then it is out."""

AWAY_FOR = (5.0, 10.0, 30.0, 60.0)
"""Waits between attempts to reach a client whose host does not answer, seconds; the last one from then on."""

PROOF_TIMEOUT = 60.0
"""How long an answer to the first deliveries that were sent ahead may take, seconds.

A server may read one request and drop what has come with it, so that the answer to the next never comes.
Once one has answered what was sent ahead, it has only to be waited for.
"""

STREAM = 32
"""Deliveries that a client may have to answer at a time, if its server has proved to keep connections.

With one at a time a hub that is busy with 16 senders turns to each receiver once a round, and
delivers 600 a second; with 32, all that it accepts.
"""

STREAM_BYTES = 8 * 2**20
"""No more are sent while more bytes than this are still to be answered."""

FAREWELL_TIMEOUT = 2.0
"""How long ``samp.hub.disconnect`` to a client being thrown out may take, seconds."""


class Post(Protocol):
    """Whom an outbox tells what becomes of its deliveries; see `hubfarm.hub.delivery.deliveries.Deliveries`."""

    suspended: bool

    def client_for(self, client: Client, url: str) -> HttpClient:
        """Return a connection to where a client is called back."""

    def soon(self, work: Callable[[], None]) -> None:
        """Do some work at the end of this turn of the loop, or of one soon."""

    def reason(self, delivery: Delivery, answer: bytes | HttpError) -> str:
        """Return why a delivery has failed, by what its client answered; empty if it has not."""

    def settle(self, delivery: Delivery, reason: str) -> None:
        """Take note that a delivery has arrived, or (with a reason) that it never will."""

    def throw_out(self, client: Client, reason: str) -> None:
        """Unregister a client that cannot be reached any more."""


class PushOutbox:
    """What waits for one client, and its connection.

    At first, and whenever there was trouble, a task delivers one after the other, and waits for
    each answer (`_run`).  A client whose server keeps its connection as HTTP/1.1 says gets
    several before it has answered the first (`_stream`).  The order is the same.
    """

    def __init__(self, client: Client, post: Post) -> None:
        self.task: asyncio.Task[None] | None = None
        self._client = client
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Delivery] = deque()
        self._streamed: deque[_Streamed] = deque()
        self._streamed_bytes = 0
        self._may_stream = True
        self._sending_soon = False
        self._proved = False  # it has answered what was sent ahead
        self._proof: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._http: HttpClient | None = None

    @property
    def _url(self) -> str:
        route = self._client.route
        return route.url if isinstance(route, Push) else ""

    def serves(self, route: Route | None) -> bool:
        """Tell whether this is the way of a route; without one, this says so to the senders of what waits."""
        return not isinstance(route, Pull)

    def put(self, delivery: Delivery) -> None:
        """Deliver this behind what waits already."""
        self._waiting.append(delivery)
        self._go_on()

    def _go_on(self) -> None:
        if self.task is not None:
            return
        if not self._waiting:
            if not self._streamed and self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
        elif not (self._sending_soon or self._post.suspended) and (self._takes_stream() or not self._streamed):
            self._sending_soon = True
            self._post.soon(self._send_some)

    def _send_some(self) -> None:
        self._sending_soon = False
        if self.task is not None or not self._waiting or self._post.suspended:
            self._go_on()
        elif self._takes_stream():
            self._stream()
        elif not self._streamed:
            self.task = self._loop.create_task(self._run())

    @property
    def at_rest(self) -> bool:
        """Whether nothing is done here, or will be by itself."""
        return not (self._waiting or self._streamed or self.task is not None)

    async def drained(self) -> None:
        """Wait until nothing waits here any more."""
        while not self.at_rest:
            if self.task is not None:
                await asyncio.wait([self.task])
            else:
                self._drained = self._loop.create_future()
                await self._drained

    async def answered(self) -> None:
        """Wait until the client has answered what it was sent."""
        if self.task is not None and self.connected:
            await asyncio.wait([self.task])
        while self._streamed:
            self._settled = self._loop.create_future()
            await self._settled

    async def _run(self) -> None:
        try:
            while self._waiting and not (self._takes_stream() or self._post.suspended):
                delivery = self._waiting[0]
                reason = await self._attempt(delivery)
                self._waiting.popleft()
                self._post.settle(delivery, reason)
        except Unreachable as error:
            self._post.throw_out(self._client, f"its callback URL cannot be reached: {error}")
        finally:
            self.task = None
        self._go_on()

    # -------------------------------------------------------------- several at a time

    def _takes_stream(self) -> bool:
        http = self._http
        return http is not None and self._may_stream and http.takes_more and http.url == self._url

    def _stream(self) -> None:
        """Send what waits, as far as there is room for it, in one write."""
        assert self._http is not None
        bodies = []
        while self._waiting and len(self._streamed) < STREAM and self._streamed_bytes < STREAM_BYTES:
            delivery = self._waiting.popleft()
            self._streamed.append(_Streamed(delivery, ahead=bool(self._streamed)))
            self._streamed_bytes += len(delivery.payload.xml)
            bodies.append(encode_delivery(delivery))
        if bodies:
            self._http.send(bodies, self._take_answer)

    def _take_answer(self, answer: bytes | HttpError) -> None:
        if not self._streamed:
            return  # it has left
        if isinstance(answer, NoAnswer) and answer.again:
            self._give_stream_up()
            return
        delivery, ahead = self._streamed.popleft()
        self._streamed_bytes -= len(delivery.payload.xml)
        if not self._proved:
            self._look_for_proof(ahead)
        self._post.settle(delivery, self._post.reason(delivery, answer))
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        if self._waiting or self._drained is not None:
            self._go_on()

    def _look_for_proof(self, ahead: bool) -> None:
        if ahead:
            self._proved = True
            self._stop_waiting_for_proof()
        elif self._streamed:
            self._proof = self._loop.call_later(PROOF_TIMEOUT, self._give_stream_up)

    def _stop_waiting_for_proof(self) -> None:
        if self._proof is not None:
            self._proof.cancel()
            self._proof = None

    def _give_stream_up(self) -> None:
        """Deliver one after the other from now on, beginning with the first that is unanswered."""
        self._may_stream = False
        self._waiting.extendleft(delivery for delivery, _ in reversed(self._streamed))
        self._streamed.clear()
        self._streamed_bytes = 0
        self.close()
        self._go_on()

    # -------------------------------------------------------------- one at a time

    async def _attempt(self, delivery: Delivery) -> str:
        """Deliver; return why it failed, or nothing.  `Unreachable` says that the client is gone."""
        refusals, failures = iter(RETRY_AFTER), 0
        while True:
            try:
                return await self._send(delivery, None)
            except Unreachable as error:
                if error.for_good:
                    wait = next(refusals, None)
                    if wait is None:
                        raise
                else:
                    wait = AWAY_FOR[min(failures, len(AWAY_FOR) - 1)]
                    failures += 1
                logger.info("{}: {}; trying again in {:g} s", self._client, error, wait)
                await asyncio.sleep(wait)

    @property
    def connected(self) -> bool:
        """Whether a connection to the client stands."""
        return self._http is not None and self._http.connected

    async def _send(self, delivery: Delivery, timeout: float | None) -> str:
        url = self._url
        if not url:
            return "it is not callable any more"
        if self._http is None or self._http.url != url:
            self.close()
            self._http = self._post.client_for(self._client, url)
        answer: bytes | HttpError
        try:
            answer = await self._http.post(*encode_delivery(delivery), timeout=timeout)
        except Unreachable:
            raise
        except HttpError as error:
            answer = error
        return self._post.reason(delivery, answer)

    def leave(self, farewell: Delivery | None) -> None:
        """Deliver nothing more but the farewell, if there is one, and close."""
        self._waiting.clear()
        self._streamed.clear()
        self._go_on()  # who waits for it to drain waits no longer
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        if farewell is None:
            self.close()
        else:
            self.task = asyncio.get_running_loop().create_task(self._say_farewell(farewell))

    async def _say_farewell(self, farewell: Delivery) -> None:
        try:
            self.close()
            await self._send(farewell, FAREWELL_TIMEOUT)
        except HttpError as error:
            logger.debug("{}: no farewell: {}", self._client, error)
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._stop_waiting_for_proof()
        if self._http is not None:
            self._http.close()
            self._http = None


class _Streamed(NamedTuple):
    """A delivery that was sent and is unanswered; `ahead` of the answer to the one before it."""

    delivery: Delivery
    ahead: bool


def encode_delivery(delivery: Delivery) -> Sequence[bytes]:
    """Encode the call on the client's callback URL that hands over `delivery`, in pieces (SAMP 1.3, 4.3.2)."""
    tag = [delivery.tag] if delivery.kind.is_tagged else []
    params = [delivery.to.key, delivery.sender, *tag]
    return encode_call_around(f"{CLIENT_PREFIX}{delivery.kind}", params, delivery.payload.xml)
