"""Messages out to clients' callback URLs: one ordered queue and one kept connection a client.

So a slow or dead client delays nobody else.  `Deliveries` carries out the effects that the hub
returns; what becomes of each delivery is told to the hub, whose further effects it carries out
in turn.  Here too: when to try again, and when a client counts as dead.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from loguru import logger

from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_response, encode_call_around
from hubfarm.wire.http_client import HttpClient, HttpError, NoAnswer, Unreachable
from hubfarm.worker.hub import Hub
from hubfarm.worker.model import Answer, Client, Delivery, Departure, Effect, Kind, LeftOut

ANSWER_TIMEOUT = 60.0
"""How long a client may take to answer a delivery, seconds: DS9 answers only when it has drawn."""

RETRY_AFTER = (0.1, 0.5, 2.0)
"""Waits between attempts to reach a client that refuses connections, seconds; then it is out."""

MAX_UNANSWERED = 3
"""A client is out after so many deliveries in a row that it took and never answered."""

STREAM = 32
"""Deliveries that a client may have to answer at a time, if its server has proved to keep connections.

With one at a time a hub that is busy with 16 senders turns to each receiver once a round, and
delivers 600 a second; with 32, all that it accepts.
"""

STREAM_BYTES = 8 * 2**20
"""No more are sent behind so many bytes that are still to be answered."""

FAREWELL_TIMEOUT = 2.0
"""How long ``samp.hub.disconnect`` to a client being thrown out may take, seconds."""


class _Mailbox:
    """What waits for one client, and its connection.

    At first, and whenever there was trouble, a task delivers one after the other, and waits for
    each answer (`_run`).  A client whose server keeps its connection as HTTP/1.1 says gets
    several before it has answered the first (`_stream`).  The order is the same.
    """

    def __init__(self, client: Client, deliveries: "Deliveries") -> None:
        self.task: asyncio.Task[None] | None = None
        self._client = client
        self._deliveries = deliveries
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Delivery] = deque()
        self._streamed: deque[Delivery] = deque()
        self._streamed_bytes = 0
        self._may_stream = True
        self._streaming_soon = False
        self._answered_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._http: HttpClient | None = None
        self._unanswered = 0

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
        elif self._takes_stream():
            if not self._streaming_soon:
                self._streaming_soon = True
                self._loop.call_soon(self._stream)
        elif not self._streamed:
            self.task = self._loop.create_task(self._run())

    async def drained(self) -> None:
        """Wait until nothing waits here any more."""
        while self._waiting or self._streamed or self.task is not None:
            if self.task is not None:
                await asyncio.wait([self.task])
            else:
                self._drained = self._loop.create_future()
                await self._drained

    async def _run(self) -> None:
        try:
            while self._waiting and not self._takes_stream():
                delivery = self._waiting[0]
                reason = await self._attempt(delivery)
                self._waiting.popleft()
                self._deliveries.settle(delivery, reason)
                if self._unanswered >= MAX_UNANSWERED:
                    self._deliveries.throw_out(self._client, "it does not answer its callbacks")
                    return
        except Unreachable as error:
            self._deliveries.throw_out(self._client, f"its callback URL cannot be reached: {error}")
        finally:
            self.task = None
        self._go_on()

    # -------------------------------------------------------------- several at a time

    def _takes_stream(self) -> bool:
        http = self._http
        return http is not None and self._may_stream and http.takes_more and http.url == self._client.callback

    def _stream(self) -> None:
        """Send what waits, as far as there is room for it, in one write: once a turn of the loop."""
        self._streaming_soon = False
        if self._http is None or not self._takes_stream():
            self._go_on()
            return
        if self._waiting and not self._streamed:
            self._answered_at = self._loop.time()
            if self._watch is None:
                self._watch = self._loop.call_later(ANSWER_TIMEOUT, self._look_at_stream)
        bodies = []
        while self._waiting and len(self._streamed) < STREAM and self._streamed_bytes < STREAM_BYTES:
            delivery = self._waiting.popleft()
            self._streamed.append(delivery)
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
        delivery = self._streamed.popleft()
        self._streamed_bytes -= len(delivery.payload.xml)
        self._answered_at = self._loop.time()
        reason = str(answer) if isinstance(answer, HttpError) else _fault_in(answer)
        self._unanswered = self._unanswered + 1 if isinstance(answer, NoAnswer) else 0
        self._deliveries.settle(delivery, reason)
        if self._waiting or self._drained is not None:
            self._go_on()

    def _give_stream_up(self) -> None:
        """Deliver one after the other from now on, beginning with the first that is unanswered."""
        self._may_stream = False
        self._waiting.extendleft(reversed(self._streamed))
        self._streamed.clear()
        self._streamed_bytes = 0
        self.close()
        self._go_on()

    def _look_at_stream(self) -> None:
        self._watch = None
        if not self._streamed:
            return
        late = self._answered_at + ANSWER_TIMEOUT - self._loop.time()
        if late > 0:
            self._watch = self._loop.call_later(late, self._look_at_stream)
        else:
            # Slow, or a server that reads one request and drops what has come with it: it has another chance.
            self._unanswered += 1
            self._give_stream_up()

    # -------------------------------------------------------------- one at a time

    async def _attempt(self, delivery: Delivery) -> str:
        """Deliver once; return why it failed for good, or nothing.  A dead client is `Unreachable`."""
        for wait in RETRY_AFTER:
            try:
                return await self._send(delivery)
            except Unreachable as error:
                logger.info("{}: {}; trying again in {:g} s", self._client, error, wait)
                await asyncio.sleep(wait)
        return await self._send(delivery)

    @property
    def connected(self) -> bool:
        return self._http is not None and self._http.connected

    async def _send(self, delivery: Delivery, timeout: float | None = None) -> str:
        url = self._client.callback
        if not url:
            return "it is not callable any more"
        if self._http is None or self._http.url != url:
            self.close()
            self._http = self._deliveries.new_client(url)
        try:
            answer = await self._http.post(encode_delivery(delivery), timeout=timeout or ANSWER_TIMEOUT)
        except Unreachable:
            raise
        except HttpError as error:
            self._unanswered = self._unanswered + 1 if isinstance(error, NoAnswer) else 0
            return str(error)
        self._unanswered = 0
        return _fault_in(answer)

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
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._http is not None:
            self._http.close()
            self._http = None


def encode_delivery(delivery: Delivery) -> bytes:
    """Encode the call on the client's callback URL that hands over `delivery` (SAMP 1.3, 4.3.2)."""
    params = [delivery.to.key, delivery.sender]
    if delivery.kind is not Kind.NOTIFICATION:
        params.append(delivery.tag)
    return encode_call_around(delivery.kind.value, params, delivery.payload.xml)


def _fault_in(answer: bytes) -> str:
    # A client's answer carries nothing unless it is a fault: anything else, even if it is no
    # XML-RPC at all, says that the message has arrived.
    if b"<fault" not in answer:
        return ""
    try:
        decode_response(answer)
    except Fault as fault:
        return f"it answered with a fault: {fault.text}"
    return ""


class Deliveries:
    """Carries out what the hub's outcomes ask for.

    Parameters
    ----------
    hub : Hub
        Is told what became of each delivery.
    answer : callable
        Takes the answers of synchronous calls.
    keep_soon : callable
        Told that the hub's state has changed by what became of a delivery.
    new_client : callable
        Returns a connection to a callback URL.
    """

    def __init__(
        self,
        hub: Hub,
        answer: Callable[[Answer], None],
        keep_soon: Callable[[], None] = lambda: None,
        new_client: Callable[[str], HttpClient] = HttpClient,
    ) -> None:
        self.new_client = new_client
        self._keep_soon = keep_soon
        self._hub = hub
        self._answer = answer
        self._mailboxes: dict[str, _Mailbox] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Carry out effects in their order; returns at once."""
        for effect in effects:
            match effect:
                case Delivery():
                    self._mailbox(effect.to).put(effect)
                case Answer():
                    self._answer(effect)
                case Departure():
                    self._depart(effect)
                case LeftOut():
                    logger.warning("{}: left out of {}: its queue is full", effect.client, effect.mtype)

    def is_connected(self, client: Client) -> bool:
        """Tell whether a connection to a client's callback URL stands."""
        mailbox = self._mailboxes.get(client.id)
        return mailbox is not None and mailbox.connected

    def _mailbox(self, client: Client) -> _Mailbox:
        try:
            return self._mailboxes[client.id]
        except KeyError:
            return self._mailboxes.setdefault(client.id, _Mailbox(client, self))

    def _depart(self, departure: Departure) -> None:
        logger.info("{}: gone: {}", departure.client, departure.reason)
        mailbox = self._mailboxes.pop(departure.client.id, None)
        if mailbox is None and departure.farewell is not None:
            mailbox = _Mailbox(departure.client, self)
        if mailbox is None:
            return
        mailbox.leave(departure.farewell)
        if departure.farewell is not None and mailbox.task is not None:
            self._leaving.add(mailbox.task)
            mailbox.task.add_done_callback(self._leaving.discard)

    def resume(self) -> None:
        """Deliver what a predecessor has left in the queues."""
        for client in self._hub.clients:
            for delivery in self._hub.deliveries_to(client):
                self._mailbox(client).put(delivery)

    def settle(self, delivery: Delivery, reason: str) -> None:
        """Tell the hub that a delivery has arrived, or (with a reason) that it never will."""
        self._keep_soon()
        if not reason:
            self._hub.delivered(delivery)
            return
        logger.warning("{}: {} not delivered: {}", delivery.to, delivery.kind.value, reason)
        self.carry_out(self._hub.undelivered(delivery, reason))

    def throw_out(self, client: Client, reason: str) -> None:
        """Unregister a client that cannot be reached any more."""
        logger.warning("{}: thrown out: {}", client, reason)
        self._keep_soon()
        self.carry_out(self._hub.throw_out(client, reason, tell=False))

    async def close(self, grace: float) -> None:
        """Let what is queued be delivered for at most `grace` seconds, then drop the rest."""
        tasks = [asyncio.ensure_future(box.drained()) for box in self._mailboxes.values()] + list(self._leaving)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
        for mailbox in self._mailboxes.values():
            mailbox.leave(None)
