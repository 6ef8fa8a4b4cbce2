"""Pull: a client fetches what waits for it, over a connection that it has made (SAMP 1.3, 5.2.4).

One pull waits at a time, for as long as it says or until there is something; it gets all that there is, as far as one
answer takes it.  What it got is settled once the kernel has all of the answer: if the connection breaks before that,
the next pull gets it.  An answer that somebody carries on to the client (a gateway to a web page) is settled when its
carrier says that it has arrived; what is neither being carried nor has arrived goes to the next pull.  Whether a client
that does not pull is gone is `hubfarm.hub.delivery.liveness`' to say.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import partial

from hubfarm.hub.delivery.push import Post
from hubfarm.hub.model import Client, Delivery
from hubfarm.hub.routes import Pull, Route
from hubfarm.samp.xmlrpc import encode_response_around, encode_value
from hubfarm.wire.carried_pulls import CarriedPull
from hubfarm.wire.http_messages import Response

MOST = 1000
"""Deliveries in one answer."""

MOST_BYTES = 8 * 2**20
"""No more are put into an answer that has more bytes than this already."""

LONGEST_PULL = 3.2e9
"""Longest timeout that is told from none, seconds."""


class PullOutbox:
    """What waits for one client until it pulls."""

    def __init__(self, client: Client, post: Post) -> None:
        self.task: asyncio.Task[None] | None = None
        """None: nothing is done here by itself."""
        self._client = client
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Delivery] = deque()
        self._under_way = 0
        """How many were put into answers that are still being written."""
        self._carried: dict[str, list[Delivery]] = {}
        """What was put into answers that are carried on, by the names of the pulls."""
        self._pull: asyncio.Future[Response] | None = None
        self._name = ""
        """How the carrier of the pull that waits calls it."""
        self._answering_soon = False
        self._left = False
        self._quiet: asyncio.Future[None] | None = None
        self._last_pull = self._loop.time()

    def serves(self, route: Route | None) -> bool:
        """Tell whether this is the way of a route."""
        return isinstance(route, Pull)

    @property
    def connected(self) -> bool:
        """Whether a pull waits: a connection of the client's stands."""
        return self._pull is not None

    @property
    def at_rest(self) -> bool:
        """Whether nothing is done here until its client pulls; what waits for that may wait."""
        return self._pull is None and not self._under_way

    @property
    def silence(self) -> float:
        """How long the client has not pulled, seconds; 0 while it does."""
        return 0.0 if self._pull is not None or self._under_way else self._loop.time() - self._last_pull

    def put(self, delivery: Delivery) -> None:
        """Have this fetched behind what waits already."""
        self._waiting.append(delivery)
        self._answer_soon()

    def pull(self, seconds: float, by: CarriedPull | None = None) -> "Response | asyncio.Future[Response]":
        """Answer with what waits, or wait for something; it ends a pull that waits.

        Parameters
        ----------
        seconds : float
            How long to wait; negative for as long as the connection stands.
        by : CarriedPull, optional
            How its carrier calls it, if the answer is carried on to the client.
        """
        self._end_pull()
        self._last_pull = self._loop.time()
        self.lost([name for name in self._carried if by is None or name not in by.carried])
        name = by.name if by is not None else ""
        if self._waiting and not self._post.suspended:
            return self._take(name)
        if seconds == 0 or self._post.suspended:
            return _answer([])
        self._name = name
        self._pull = pull = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._end_pull) if 0 < seconds <= LONGEST_PULL else None
        pull.add_done_callback(partial(self._pull_is_over, timer))
        return pull

    def _pull_is_over(self, timer: asyncio.TimerHandle | None, pull: "asyncio.Future[Response]") -> None:
        if timer is not None:
            timer.cancel()
        if self._pull is pull:  # its connection is gone
            self._pull = None
            self._last_pull = self._loop.time()

    def _end_pull(self) -> None:
        """Answer a pull that waits, with nothing."""
        self._answer_pull(_answer([]))

    def _answer_pull(self, answer: Response) -> None:
        pull, self._pull = self._pull, None
        if pull is not None and not pull.done():
            pull.set_result(answer)
        elif answer.written is not None:
            answer.written(False)
        self._last_pull = self._loop.time()

    def _answer_soon(self) -> None:
        if self._pull is not None and not self._answering_soon:
            self._answering_soon = True
            self._post.soon(self._answer_now)

    def _answer_now(self) -> None:
        self._answering_soon = False
        if self._pull is not None and self._waiting and not self._post.suspended:
            self._answer_pull(self._take(self._name))

    def _take(self, name: str) -> Response:
        """Put what waits into an answer, as far as it takes it; it is carried on if its pull has a name."""
        taken: list[Delivery] = []
        size = 0
        while self._waiting and len(taken) < MOST and size < MOST_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1].payload.xml)
        self._under_way += len(taken)
        if name:
            self._carried[name] = taken
        return _answer(taken)._replace(written=partial(self._written, taken, name))

    def _written(self, taken: list[Delivery], name: str, whole: bool) -> None:
        """Note whether an answer has left."""
        self._under_way -= len(taken)
        self._last_pull = self._loop.time()
        if name and self._carried.get(name) is not taken:
            pass  # its carrier was quicker, and has said what became of it
        elif not whole:
            self._carried.pop(name, None)
            self._put_back(taken)
        elif not name:
            self._settle(taken)
        self._look_whether_quiet()

    def arrived(self, names: Iterable[str]) -> None:
        """Note that answers have arrived, which were carried on."""
        for name in names:
            self._settle(self._carried.pop(name, []))
        self._look_whether_quiet()

    def lost(self, names: Iterable[str]) -> None:
        """Hand out again what was put into answers that were carried on, and have not arrived."""
        for name in names:
            self._put_back(self._carried.pop(name, []))

    def _settle(self, taken: list[Delivery]) -> None:
        for delivery in taken:
            if self._left:  # one may be the end of the client
                return
            self._post.settle(delivery, "")

    def _put_back(self, taken: list[Delivery]) -> None:
        if taken and not self._left:
            # In the order in which they were sent, whichever of two answers was lost.
            self._waiting = deque(sorted([*taken, *self._waiting], key=lambda delivery: delivery.number))
            self._answer_soon()

    # -------------------------------------------------------------- the end

    async def drained(self) -> None:
        """Wait until nothing waits here any more."""
        while (self._waiting or self._is_under_way) and not self._left:
            await self._next_quiet()

    async def answered(self) -> None:
        """Wait until what was put into answers is on its way, or has arrived if it is carried on."""
        while self._is_under_way and not self._left:
            await self._next_quiet()

    @property
    def _is_under_way(self) -> bool:
        return bool(self._under_way or self._carried)

    async def _next_quiet(self) -> None:
        if self._quiet is None or self._quiet.done():
            self._quiet = self._loop.create_future()
        await asyncio.shield(self._quiet)

    def _look_whether_quiet(self) -> None:
        if self._quiet is not None and not self._quiet.done() and (self._left or not self._is_under_way):
            self._quiet.set_result(None)

    def leave(self, farewell: Delivery | None) -> None:
        """Have nothing more fetched but the farewell, if there is one and a pull waits for it."""
        self._left = True
        self._waiting.clear()
        self._carried.clear()
        self._answer_pull(_answer([farewell] if farewell is not None else []))
        self._look_whether_quiet()

    def close(self) -> None:
        """Let a pull wait no longer."""
        self._end_pull()


def _answer(deliveries: Iterable[Delivery]) -> Response:
    return Response(encode_response_around(encode_pulled(deliveries)))


def encode_pulled(deliveries: Iterable[Delivery]) -> bytes:
    """Encode what a pull is answered with, as its ``<value>`` element (SAMP 1.3, 5.2.4)."""
    return b"<value><array><data>%s</data></array></value>" % b"".join(map(_encode_one, deliveries))


def _encode_one(delivery: Delivery) -> bytes:
    before = [delivery.sender, delivery.tag] if delivery.kind.is_tagged else [delivery.sender]
    return (
        b"<value><struct><member><name>samp.methodName</name><value><string>%s</string></value></member>"
        b"<member><name>samp.params</name><value><array><data>%s%s</data></array></value></member></struct></value>"
    ) % (delivery.kind.value.encode(), b"".join(map(encode_value, before)), delivery.payload.xml)
