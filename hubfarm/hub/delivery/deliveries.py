"""What follows from the hub's decisions: each client's messages go out by its own outbox.

So a slow or dead client delays nobody else.  `Deliveries` carries out the effects that the hub returns; what becomes of
each delivery is told to the hub, whose further effects it carries out in turn.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from loguru import logger

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.pull import PullOutbox
from hubfarm.hub.delivery.push import PushOutbox
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.model import Answer, Client, Delivery, Departure, Effect, LeftOut, Rerouted
from hubfarm.hub.routes import Pull, Push
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_response
from hubfarm.wire.carried_pulls import CarriedPull
from hubfarm.wire.http_client import HttpClient, HttpError
from hubfarm.wire.http_messages import Response

Outbox: TypeAlias = PushOutbox | PullOutbox
"""What waits for one client, by its route."""

MOST_AT_ONCE = 200
"""Clients that are sent something in one turn of the loop: others get their turn between two such."""


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
    lines : FrequentLines, optional
        Those of the hub's log.
    """

    def __init__(
        self,
        hub: Hub,
        answer: Callable[[Answer], None],
        keep_soon: Callable[[], None] = lambda: None,
        new_client: Callable[[str], HttpClient] = HttpClient,
        suspect: Callable[[int], None] = lambda number: None,
        lines: FrequentLines | None = None,
    ) -> None:
        self.new_client = new_client
        self.client_of_account: Callable[[str, int], HttpClient] = lambda url, uid: self.new_client(url)
        """Returns a connection to a callback URL that has to be of an account of this host, by its uid."""
        self.client_of_listener: Callable[[str, int], HttpClient] = lambda url, uid: self.new_client(url)
        """Returns a connection to one at which this account, by its uid, listens still, as far as is known."""
        self._keep_soon = keep_soon
        self._suspect = suspect
        self._hub = hub
        self._lines = lines or FrequentLines(time.monotonic)
        self._answer = answer
        self._outboxes: dict[str, Outbox] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._soon: deque[Callable[[], None]] = deque()
        self.suspended = False
        """Nothing more is sent."""

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Carry out effects in their order; returns at once."""
        for effect in effects:
            match effect:
                case Delivery():
                    self._outbox_of(effect.to).put(effect)
                case Answer():
                    self._answer(effect)
                case Departure():
                    self._depart(effect)
                case LeftOut():
                    self._lines.log("WARNING", "{}: left out of {}: its queue is full", effect.client, effect.mtype)
                case Rerouted():
                    self._reroute(effect.client)

    def client_for(self, client: Client, url: str) -> HttpClient:
        """Return a connection to where a client is called back."""
        if client.principal.uid is not None:
            return self.client_of_account(url, client.principal.uid)
        if isinstance(client.route, Push) and client.route.uid is not None:
            return self.client_of_listener(url, client.route.uid)
        return self.new_client(url)

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

    @property
    def at_rest(self) -> bool:
        """Whether nothing is sent, nor will be by itself: what waits is for clients to fetch, who do not just now."""
        return not (self._leaving or self._soon) and all(outbox.at_rest for outbox in self._outboxes.values())

    def is_connected(self, client: Client) -> bool:
        """Tell whether a connection to a client's callback URL stands."""
        outbox = self._outboxes.get(client.id)
        return outbox is not None and outbox.connected

    def pull(
        self, client: Client, seconds: float, by: CarriedPull | None = None
    ) -> "Response | asyncio.Future[Response]":
        """Answer a pull of a client's; see `PullOutbox.pull`.

        Raises
        ------
        Fault
            It does not pull.
        """
        outbox = self._outbox_of(client)
        if not isinstance(outbox, PullOutbox):
            raise Fault("you are not callable by pulling: call allowReverseCallbacks first")
        return outbox.pull(seconds, by)

    def note_carried(self, client: Client, arrived: Iterable[str], lost: Iterable[str] = ()) -> None:
        """Note what has become of answers that are carried on to a client that pulls."""
        outbox = self._outboxes.get(client.id)
        if isinstance(outbox, PullOutbox):
            outbox.arrived(arrived)
            outbox.lost(lost)

    def silence_of(self, client: Client) -> float:
        """Return how long a client that pulls has not pulled, seconds; 0 for any other."""
        outbox = self._outbox_of(client)
        return outbox.silence if isinstance(outbox, PullOutbox) else 0.0

    def _outbox_of(self, client: Client) -> Outbox:
        try:
            return self._outboxes[client.id]
        except KeyError:
            new: Outbox = PullOutbox(client, self) if isinstance(client.route, Pull) else PushOutbox(client, self)
            return self._outboxes.setdefault(client.id, new)

    def _reroute(self, client: Client) -> None:
        outbox = self._outboxes.get(client.id)
        if outbox is None or outbox.serves(client.route):
            return
        del self._outboxes[client.id]
        outbox.leave(None)
        for delivery in self._hub.deliveries_to(client):
            self._outbox_of(client).put(delivery)

    def _depart(self, departure: Departure) -> None:
        self._lines.log("INFO", "{}: gone: {}", departure.client, departure.reason)
        outbox = self._outboxes.pop(departure.client.id, None)
        if outbox is None and departure.farewell is not None:
            outbox = PushOutbox(departure.client, self)
        if outbox is None:
            return
        outbox.leave(departure.farewell)
        if departure.farewell is not None and outbox.task is not None:
            self._leaving.add(outbox.task)
            outbox.task.add_done_callback(self._leaving.discard)

    def resume(self) -> None:
        """Deliver what a predecessor has left in the queues."""
        for client in self._hub.clients:
            for delivery in self._hub.deliveries_to(client):
                self._outbox_of(client).put(delivery)

    def settle(self, delivery: Delivery, reason: str) -> None:
        """Tell the hub that a delivery has arrived, or (with a reason) that it never will."""
        self._keep_soon()
        if not reason:
            self._hub.delivered(delivery)
            return
        self._lines.log("WARNING", "{}: {} not delivered: {}", delivery.to, delivery.kind, reason)
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
        for outbox in list(self._outboxes.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await outbox.answered()
        for outbox in self._outboxes.values():
            outbox.close()

    async def close(self, grace: float) -> None:
        """Let what is queued be delivered for at most `grace` seconds, then drop the rest."""
        tasks = [asyncio.ensure_future(box.drained()) for box in self._outboxes.values()] + list(self._leaving)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
        for outbox in self._outboxes.values():
            outbox.leave(None)
