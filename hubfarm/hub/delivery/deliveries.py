"""Messages out to clients' callback URLs: one ordered queue and one kept connection a client.

So a slow or dead client delays nobody else.  `Deliveries` carries out the effects that the hub
returns; what becomes of each delivery is told to the hub, whose further effects it carries out
in turn.  Here too: when to try again, and when a client counts as gone.

A client that takes its time is not gone: an answer is waited for as long as the connection stands, and what comes
meanwhile waits in the queue, whose bounds are the hub's.  One that refuses connections is gone.  One
whose host does not answer is away, and tried again now and then.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from loguru import logger

from hubfarm.hub.core import Hub
from hubfarm.hub.model import Answer, Client, Delivery, Departure, Effect, Kind, LeftOut
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_response, encode_call_around
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
"""No more are sent behind so many bytes that are still to be answered."""

MOST_AT_ONCE = 200
"""Clients that are sent something in one turn of the loop: others get their turn between two such."""

FAREWELL_TIMEOUT = 2.0
"""How long ``samp.hub.disconnect`` to a client being thrown out may take, seconds."""

LONGEST_ANSWER = 2**20
"""Longest answer to a delivery, bytes: there is nothing to be said in it but a fault."""


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
        self._streamed: deque[_Streamed] = deque()
        self._streamed_bytes = 0
        self._may_stream = True
        self._sending_soon = False
        self._proved = False  # it has answered what was sent ahead
        self._proof: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._http: HttpClient | None = None

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
        elif not (self._sending_soon or self._deliveries.suspended) and (self._takes_stream() or not self._streamed):
            self._sending_soon = True
            self._deliveries.soon(self._send_some)

    def _send_some(self) -> None:
        self._sending_soon = False
        if self.task is not None or not self._waiting or self._deliveries.suspended:
            self._go_on()
        elif self._takes_stream():
            self._stream()
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

    async def answered(self) -> None:
        """Wait until the client has answered what it was sent."""
        if self.task is not None and self.connected:
            await asyncio.wait([self.task])
        while self._streamed:
            self._settled = self._loop.create_future()
            await self._settled

    async def _run(self) -> None:
        try:
            while self._waiting and not (self._takes_stream() or self._deliveries.suspended):
                delivery = self._waiting[0]
                reason = await self._attempt(delivery)
                self._waiting.popleft()
                self._deliveries.settle(delivery, reason)
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
        self._deliveries.settle(delivery, self._deliveries.reason(delivery, answer))
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        if self._waiting or self._drained is not None:
            self._go_on()

    def _look_for_proof(self, ahead: bool) -> None:
        if ahead:
            self._proved = True
            self._stop_waiting_for_proof()
        elif self._streamed:
            self._stop_waiting_for_proof()
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
        return self._http is not None and self._http.connected

    async def _send(self, delivery: Delivery, timeout: float | None) -> str:
        url = self._client.callback
        if not url:
            return "it is not callable any more"
        if self._http is None or self._http.url != url:
            self.close()
            self._http = self._deliveries.new_client(url)
        answer: bytes | HttpError
        try:
            answer = await self._http.post(*encode_delivery(delivery), timeout=timeout)
        except Unreachable:
            raise
        except HttpError as error:
            answer = error
        return self._deliveries.reason(delivery, answer)

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
    params = [delivery.to.key, delivery.sender]
    if delivery.kind is not Kind.NOTIFICATION:
        params.append(delivery.tag)
    return encode_call_around(delivery.kind.value, params, delivery.payload.xml)


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
    suspect : callable
        Told the number of a delivery before what its client answered is read, and 0 after it.
    """

    def __init__(
        self,
        hub: Hub,
        answer: Callable[[Answer], None],
        keep_soon: Callable[[], None] = lambda: None,
        new_client: Callable[[str], HttpClient] = HttpClient,
        suspect: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.new_client = new_client
        self._keep_soon = keep_soon
        self._suspect = suspect
        self._hub = hub
        self._answer = answer
        self._mailboxes: dict[str, _Mailbox] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._soon: deque[Callable[[], None]] = deque()
        self.suspended = False
        """Nothing more is sent."""

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

    def soon(self, work: Callable[[], None]) -> None:
        """Do some work at the end of this turn of the loop, or of one soon."""
        if not self._soon:
            asyncio.get_running_loop().call_soon(self._do_some)
        self._soon.append(work)

    def _do_some(self) -> None:
        try:
            for _ in range(min(len(self._soon), MOST_AT_ONCE)):
                self._soon.popleft()()
        finally:
            if self._soon:
                asyncio.get_running_loop().call_soon(self._do_some)

    def reason(self, delivery: Delivery, answer: bytes | HttpError) -> str:
        """Return why a delivery has failed, by what its client answered; empty if it has not."""
        if isinstance(answer, HttpError):
            return str(answer)
        # An answer carries nothing unless it is a fault: anything else, even if it is no
        # XML-RPC at all, says that the message has arrived.
        if b"<fault" not in answer:
            return ""
        self._suspect(delivery.number)
        try:
            decode_response(answer)
        except Fault as fault:
            return f"it answered with a fault: {fault.text}"
        finally:
            self._suspect(0)
        return ""

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

    async def suspend(self, grace: float) -> None:
        """Send nothing more, and wait at most `grace` seconds for the answers to what is under way."""
        self.suspended = True
        deadline = asyncio.get_running_loop().time() + grace
        for mailbox in list(self._mailboxes.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await mailbox.answered()
        for mailbox in self._mailboxes.values():
            mailbox.close()

    async def close(self, grace: float) -> None:
        """Let what is queued be delivered for at most `grace` seconds, then drop the rest."""
        tasks = [asyncio.ensure_future(box.drained()) for box in self._mailboxes.values()] + list(self._leaving)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
        for mailbox in self._mailboxes.values():
            mailbox.leave(None)
