"""The hub itself: clients, subscriptions, routing (SAMP 1.3, 3).  No I/O and no clock.

Rules it lives by:

1. Everything that decides what happens to a message is here; a profile only translates.
2. Methods take plain values and the time, change the hub's state, and return an `Outcome`:
   the result for the caller, and the effects that follow from it, in order.  Nothing here waits.
3. A call is answered exactly once: by its recipient's reply, or by the hub in its stead.
4. What cannot be done is a `Fault` (or `BadValue`), raised before anything has changed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice

from hubfarm.hub.ledger import MOST_URLS, Ledger
from hubfarm.hub.model import (
    HUB_ID,
    Answer,
    Client,
    Counters,
    Delivery,
    Departure,
    Effect,
    LeftOut,
    Outcome,
    Payload,
    PendingCall,
    Rerouted,
)
from hubfarm.hub.own_answers import own_answers
from hubfarm.hub.routes import Pull, Route
from hubfarm.hub.said_by_hub import declared_in, metadata_of
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.methods import Kind
from hubfarm.samp.mtype import candidates, check_mtype, check_pattern, matching, without_x
from hubfarm.samp.urls_in import urls_in
from hubfarm.samp.values import (
    Map,
    Value,
    check_map,
    check_message,
    check_response,
    error_response,
    expect_string,
    ok_response,
)
from hubfarm.samp.xmlrpc import EncodedList, EncodedMap, Param, encode_map_around, encode_value
from hubfarm.spec.limits import Limits
from hubfarm.spec.policy import OPEN, Policy
from hubfarm.spec.principal import Principal

PING_GRACE = 10.0
"""How long a silent client has to answer the hub's ``samp.app.ping``, seconds."""

LONGEST_NAME = 1024
"""Longest msg-tag, characters: it is kept, and goes back with the response."""

LONGEST_ANNOTATIONS = 4096
"""What may stand beside one subscription, encoded, bytes: all subscribers' stand in one answer."""

LONGEST_QUESTION = 64 * 2**10
"""Longest message that the hub answers itself, bytes."""

MOST_FALLS = 2
"""How many workers in a row have to fall of themselves, while a delivery is under way, until it is given up."""

MOST_PULLED = 4096
"""Longest queue of a client that pulls, messages (JSAMP's): it may have stopped, and nobody would see it."""

UNDER_WAY = 32
"""How many of what waits for a client may be under way; see `hubfarm.hub.delivery.push.STREAM`."""


class Hub:
    """One SAMP hub.

    Parameters
    ----------
    metadata : Map
        The hub's own, as a client of itself.
    limits : Limits
        How many clients, and how long their queues.
    new_key : callable
        Makes an unguessable private key.
    now : float
        The time, seconds; any clock that does not go back.
    ledger : Ledger, optional
        What it knows already: a predecessor's; by default, nothing.
    policy : Policy, optional
        What clients may do; by default, everything.

    Examples
    --------
    >>> from hubfarm.spec.principal import ANYBODY
    >>> keys = iter(["key-1", "key-2"])
    >>> hub = Hub({"samp.name": "Hub"}, limits=Limits(), new_key=lambda: next(keys), now=0.0)
    >>> hub.register(ANYBODY, now=1.0).result
    {'samp.private-key': 'key-1', 'samp.self-id': 'c1', 'samp.hub-id': 'hub'}
    """

    def __init__(
        self,
        metadata: Map,
        *,
        limits: Limits,
        new_key: Callable[[], str],
        now: float,
        ledger: Ledger | None = None,
        policy: Policy = OPEN,
    ) -> None:
        self.metadata = EncodedMap.of(metadata)
        self.limits = limits
        self.last_active = now
        self._ledger = ledger or Ledger()
        self._policy = policy
        self._new_key = new_key
        self._closing = False
        self.watchers: Callable[[], Sequence[str]] = lambda: ()
        """Returns the names of those who watch; any client may know."""
        self._own_answers = own_answers(self.metadata, self._ledger.clients, lambda: self.watchers())

    # ------------------------------------------------------------------ clients

    @property
    def clients(self) -> Collection[Client]:
        """The registered clients, the hub itself not among them."""
        return self._ledger.clients.values()

    @property
    def counters(self) -> Counters:
        """What the hub has done so far."""
        return self._ledger.counters

    def client_with_key(self, key: str) -> Client:
        """Return the client whose private key this is.

        Raises
        ------
        Fault
            There is none.
        """
        try:
            return self._ledger.by_key[key]
        except KeyError:
            raise Fault("no client is registered with this private key: register first") from None

    def refusal_to_enter(self, who: Principal) -> str:
        """Return why somebody may not register; empty if they may. See `Policy.refusal_to_enter`."""
        return self._policy.refusal_to_enter(who)

    def refusal_to_watch(self, who: Principal) -> str:
        """Return why somebody may not see what all others say; empty if they may. See `Policy.refusal_to_watch`."""
        return self._policy.refusal_to_watch(who)

    def register(self, who: Principal, now: float, key_prefix: str = "") -> Outcome:
        """Register a new client (SAMP 1.3, 4.3.1).

        Parameters
        ----------
        who : Principal
            Who it is.
        now : float
            The time, seconds.
        key_prefix : str
            What its private key begins with.

        Raises
        ------
        Fault
            The policy refuses it, as many clients are registered as the hub takes (or takes of one user), or it is
            shutting down.
        """
        if self._closing or self._ledger.draining:
            raise Fault("the hub is shutting down: look for another")
        if len(self._ledger.clients) >= self.limits.clients:
            raise Fault(f"{self.limits.clients} clients are registered: this hub takes no more")
        if refusal := self._policy.refusal_to_enter(who):
            raise Fault(refusal)
        if who.counted_as and self._ledger.by_user[who.counted_as] >= self.limits.user_clients:
            raise Fault(f"{self.limits.user_clients} clients of {who.counted_as} are registered: no more are taken")
        client = self._ledger.add_client(f"{key_prefix}{self._new_key()}", who, metadata_of(who), now)
        self._touch(client, now)
        result: Map = {"samp.private-key": client.key, "samp.self-id": client.id, "samp.hub-id": HUB_ID}
        return Outcome(result, list(self._event("register", {"id": client.id})))

    def unregister(self, client: Client, now: float) -> Outcome:
        """Unregister a client at its own wish."""
        self._touch(client, now)
        return Outcome("", self._remove(client, "unregistered"))

    def restrict(self, policy: Policy) -> list[Effect]:
        """Decide by another policy from now on, and throw out the clients that it would not let in."""
        self._policy = policy
        effects: list[Effect] = []
        for client in list(self.clients):
            if refusal := policy.refusal_to_enter(client.principal):
                effects += self.throw_out(client, refusal)
        return effects

    def throw_out(self, client: Client, reason: str, *, tell: bool = True) -> list[Effect]:
        """Unregister a client at the hub's wish; it is told by ``samp.hub.disconnect`` if it can be."""
        farewell = None
        if tell and _is_subscribed(client, "samp.hub.disconnect"):
            message: Map = {"samp.mtype": "samp.hub.disconnect", "samp.params": {"reason": reason}}
            farewell = Delivery(client, Kind.NOTIFICATION, HUB_ID, "", Payload.of(message))
        return self._remove(client, reason, farewell)

    def _remove(self, client: Client, reason: str, farewell: Delivery | None = None) -> list[Effect]:
        if client.gone:
            return []
        self._ledger.remove_client(client)
        effects: list[Effect] = [Departure(client, reason, farewell)]
        for msg_id in sorted(client.asked | client.owing):
            effects += self._answer_instead(msg_id, f"client {client} has gone: {reason}")
        effects += self._event("unregister", {"id": client.id})
        return effects

    def check_silence(self, timeout: float, now: float) -> list[Effect]:
        """Ask clients that were silent for `timeout` for a sign of life, throw out those that gave none."""
        effects: list[Effect] = []
        for client in list(self.clients):
            if now - client.active < timeout:
                continue
            if client.pinged is None and _is_subscribed(client, "samp.app.ping"):
                client.pinged = now
                ping = Payload.of({"samp.mtype": "samp.app.ping", "samp.params": {}})
                effects.append(self._call(None, client, "", ping, synchronous=False))
            elif client.pinged is None or now - client.pinged >= PING_GRACE:
                effects += self.throw_out(client, f"silent for {now - client.active:.0f} s")
        return effects

    def _touch(self, client: Client, now: float) -> None:
        client.active = self.last_active = now
        client.pinged = None

    # ------------------------------------------------------------------ declarations

    def set_route(self, client: Client, route: Route | None, now: float) -> Outcome:
        """Make `client` callable by a route; without one it is not callable."""
        self._touch(client, now)
        self._ledger.set_route(client, route)
        return Outcome("", [Rerouted(client)])

    def declare_metadata(self, client: Client, metadata: Param, now: float) -> Outcome:
        """Replace a client's metadata (SAMP 1.3, 3.2).

        Raises
        ------
        BadValue
            `metadata` is not a map.
        Fault
            It is larger than the hub keeps.
        """
        declared = self._take_declared(client, metadata, "metadata", len(client.metadata.xml))
        declared = metadata_of(client.principal, declared)
        self._touch(client, now)
        self._ledger.set_metadata(client, declared)
        return Outcome("", self._metadata_event(client, declared))

    def _metadata_event(self, client: Client, declared: EncodedMap) -> list[Effect]:
        for_pages = declared_in(declared)
        if for_pages is declared:
            return list(self._event("metadata", {"id": client.id}, "metadata", declared))
        about: Map = {"id": client.id}
        to_programs = self._event("metadata", about, "metadata", declared, only=lambda each: not each.is_page)
        return [*to_programs, *self._event("metadata", about, "metadata", for_pages, only=lambda each: each.is_page)]

    def declare_subscriptions(self, client: Client, subscriptions: Param, now: float) -> Outcome:
        """Replace a client's subscriptions (SAMP 1.3, 3.7).

        Raises
        ------
        BadValue
            `subscriptions` is not a map from patterns to maps.
        Fault
            It is larger than the hub keeps.
        """
        declared = self._take_declared(client, subscriptions, "subscriptions", client.subscriptions_size)
        checked = declared.decode()
        for pattern, annotations in checked.items():
            check_pattern(pattern)
            if check_map(annotations, f"the annotations of the subscription {pattern}"):
                _check_size(len(encode_value(annotations)), LONGEST_ANNOTATIONS, f"the annotations of {pattern}")
        self._touch(client, now)
        self._ledger.set_subscriptions(client, checked, len(declared.xml))
        return Outcome("", self._subscriptions_event(client, declared, checked))

    def _subscriptions_event(self, client: Client, declared: EncodedMap, checked: Map) -> list[Effect]:
        page = next((each for each, _ in self._subscribers("samp.hub.event.subscriptions") if each.is_page), None)
        for_pages = checked if page is None else self._concerning(page, checked)
        about: Map = {"id": client.id}
        if len(for_pages) == len(checked):
            return list(self._event("subscriptions", about, "subscriptions", declared))
        shown = EncodedMap.of(for_pages)

        def is_other_page(each: Client) -> bool:
            return each.is_page and each is not client

        to_programs = self._event(
            "subscriptions", about, "subscriptions", declared, only=lambda each: not is_other_page(each)
        )
        return [*to_programs, *self._event("subscriptions", about, "subscriptions", shown, only=is_other_page)]

    def _concerning(self, page: Client, declared: Map) -> Map:
        """Return those subscriptions by which a page, like any other, could send something."""
        may_send, who = self._policy.may_send, page.principal
        return {
            pattern: said
            for pattern, said in declared.items()
            if isinstance(said, dict) and may_send(who, pattern, said)
        }

    def _take_declared(self, client: Client, given: Param, what: str, before: int) -> EncodedMap:
        declared = given if isinstance(given, EncodedMap) else EncodedMap.of(check_map(given, what))
        size = len(declared.xml)
        _check_size(size, self.limits.declared, f"the {what} of a client")
        if self._ledger.declared - before + size > self.limits.total_declared:
            raise Fault(
                f"the metadata and subscriptions of all clients together are longer than {self.limits.total_declared} "
                "bytes: declare less, or look for another hub"
            )
        return declared

    def get_metadata(self, client_id: str, caller: Client | None = None) -> EncodedMap:
        """Return the metadata of any client, the hub's included; to a page without what the hub says of it.

        Raises
        ------
        Fault
            There is no such client.
        """
        metadata = self.metadata if client_id == HUB_ID else self._client(client_id).metadata
        return declared_in(metadata) if caller is not None and caller.is_page else metadata

    def get_subscriptions(self, client_id: str, caller: Client | None = None) -> Map:
        """Return the subscriptions of any client as declared, the hub's included; to a page those that concern it.

        Raises
        ------
        Fault
            There is no such client.
        """
        if client_id == HUB_ID:
            declared: Map = {mtype: {} for mtype in self._own_answers}
        else:
            declared = self._client(client_id).subscriptions
        if caller is None or not caller.is_page or caller.id == client_id:
            return declared
        return self._concerning(caller, declared)

    def get_registered_clients(self, caller: Client) -> EncodedList:
        """Return the ids of all clients but the caller, the hub's included."""
        return self._ledger.registered().without(caller.id)

    def get_subscribed_clients(self, caller: Client, mtype: str) -> Map:
        """Return the id and annotations of every client but the caller that would get `mtype`.

        Raises
        ------
        BadValue
            `mtype` is not an MType.
        """
        check_mtype(mtype)
        result: Map = {HUB_ID: {}} if self._answers(caller, mtype) else {}
        for client, pattern in self._subscribers(mtype):
            if client is not caller and self._may_send(caller, mtype, client, pattern):
                result[client.id] = client.subscriptions[pattern]
        return result

    def _client(self, client_id: str) -> Client:
        try:
            return self._ledger.clients[client_id]
        except KeyError:
            raise Fault(f"no client has the id {client_id[:80]!r}") from None

    def _subscribers(self, mtype: str) -> Iterator[tuple[Client, str]]:
        """Yield the callable clients subscribed to `mtype`, each once, with the most specific of its patterns."""
        seen: set[str] = set()
        for pattern in candidates(mtype):
            for client in self._ledger.by_pattern.get(pattern, {}).values():
                if client.route is not None and client.id not in seen:
                    seen.add(client.id)
                    yield client, pattern

    # ------------------------------------------------------------------ messages

    def notify(self, sender: Client, recipient: str, message: Param, now: float) -> Outcome:
        """Send a notification to one client (SAMP 1.3, 3.10.1).

        Raises
        ------
        Fault
            The recipient is unknown, not subscribed or not callable, or its queue is full.
        BadValue
            `message` is not a message.
        """
        checked, mtype = self._take_message(message)
        receiver = self._recipient(sender, recipient, mtype)
        effects: list[Effect] = []
        if receiver is not None:
            payload = self._payload_for(receiver, checked)
            effects.append(self._ledger.queue(receiver, Kind.NOTIFICATION, sender.id, "", payload))
        self._accept(sender, now)
        return Outcome("", effects)

    def notify_all(self, sender: Client, message: Param, now: float) -> Outcome:
        """Send a notification to every other subscribed client; the result is their ids.

        Raises
        ------
        BadValue
            `message` is not a message.
        """
        checked, mtype = self._take_message(message)
        ids: list[Value] = [HUB_ID] if self._answers(sender, mtype) else []
        effects: list[Effect] = []
        for effect in self._broadcast(Kind.NOTIFICATION, sender, mtype, Payload.of(checked)):
            effects.append(effect)
            if isinstance(effect, Delivery):
                ids.append(effect.to.id)
        self._accept(sender, now)
        return Outcome(ids, effects)

    def call(self, sender: Client, recipient: str, tag: str, message: Param, now: float) -> Outcome:
        """Send an asynchronous call to one client; the result is its msg-id (SAMP 1.3, 3.10.2).

        A sender that is not callable gets no response; to others its call is as good as any.

        Raises
        ------
        Fault
            As for `notify`, or too many calls wait for their reply.
        BadValue
            `message` is not a message, or `tag` too long.
        """
        checked, mtype = self._take_message(message)
        _check_size(len(tag), LONGEST_NAME, "the msg-tag", "characters")
        receiver = self._recipient(sender, recipient, mtype)
        effects: list[Effect] = []
        if receiver is None:
            msg_id = self._ledger.new_message_id(sender.id)
            effects += self._deliver_own_answer(sender, tag, checked, mtype, now)
        else:
            self._check_calls(sender, receiver)
            delivery = self._call(sender, receiver, tag, self._payload_for(receiver, checked), synchronous=False)
            msg_id = delivery.tag
            effects.append(delivery)
        self._accept(sender, now)
        return Outcome(msg_id, effects)

    def call_all(self, sender: Client, tag: str, message: Param, now: float) -> Outcome:
        """Send an asynchronous call to every other subscribed client; the result maps id to msg-id.

        Raises
        ------
        Fault
            Too many of the sender's calls wait for their reply.
        BadValue
            `message` is not a message, or `tag` too long.
        """
        checked, mtype = self._take_message(message)
        _check_size(len(tag), LONGEST_NAME, "the msg-tag", "characters")
        self._check_calls(sender)
        ids: Map = {}
        effects: list[Effect] = []
        if self._answers(sender, mtype):
            ids[HUB_ID] = self._ledger.new_message_id(sender.id)
            effects += self._deliver_own_answer(sender, tag, checked, mtype, now)
        payload = Payload.of(checked)
        for client, pattern in list(self._subscribers(mtype)):
            if client is sender or not self._may_send(sender, mtype, client, pattern):
                continue
            if not self._has_room(client, payload) or len(client.owing) >= self.limits.calls:
                effects.append(LeftOut(client, mtype))
                continue
            delivery = self._call(sender, client, tag, payload, synchronous=False)
            ids[client.id] = delivery.tag
            effects.append(delivery)
        self._accept(sender, now)
        return Outcome(ids, effects)

    def call_and_wait(self, sender: Client, recipient: str, message: Param, now: float) -> Outcome:
        """Send a synchronous call to one client (SAMP 1.3, 3.10.3).

        The result is the msg-id; an `Answer` with it follows, now or as the effect of a
        later method.  A caller that stops waiting says so by `abandon`.

        Raises
        ------
        Fault, BadValue
            As for `notify`.
        """
        checked, mtype = self._take_message(message)
        receiver = self._recipient(sender, recipient, mtype)
        if receiver is None:
            msg_id = self._ledger.new_message_id(sender.id)
            effect: Effect = Answer(msg_id, self._own_answer(checked, mtype, now))
        else:
            self._check_calls(sender, receiver)
            delivery = self._call(sender, receiver, "", self._payload_for(receiver, checked), synchronous=True)
            msg_id, effect = delivery.tag, delivery
        self._accept(sender, now)
        return Outcome(msg_id, [effect])

    def abandon(self, msg_id: str) -> None:
        """Forget a call whose sender waits no longer; a later reply to it is a fault."""
        self._ledger.end_call(msg_id)

    def reply(self, client: Client, msg_id: str, response: Param, now: float) -> Outcome:
        """Answer a call that `client` has received (SAMP 1.3, 3.10.2).

        Raises
        ------
        Fault
            No call of this msg-id waits for this client's reply, or the sender's queue is full.
        BadValue
            `response` is not a response.
        """
        if isinstance(response, EncodedMap):
            checked: Map | EncodedMap = response
            check_response(response.outline)
        else:
            checked = check_response(response)
        call = self._ledger.pending.get(msg_id)
        if call is None or call.recipient is not client:
            raise Fault(
                f"no call with the msg-id {msg_id[:80]!r} waits for your reply: "
                "it was answered already, or its sender has gone or waits no longer"
            )
        effects: list[Effect] = []
        if call.synchronous:
            effects.append(Answer(msg_id, checked))
        elif call.sender is not None and call.sender.route is not None:
            payload = self._payload_for(call.sender, checked)
            effects.append(self._ledger.queue(call.sender, Kind.RESPONSE, client.id, call.tag, payload))
        self._ledger.end_call(msg_id)
        self._touch(client, now)
        return Outcome("", effects)

    def _take_message(self, message: Param) -> tuple[Map | EncodedMap, str]:
        checked = check_message(message.outline if isinstance(message, EncodedMap) else message)
        mtype = check_mtype(expect_string(checked["samp.mtype"], "samp.mtype"))
        if without_x(mtype).startswith("samp.hub."):
            raise Fault(f"only the hub sends {mtype}")
        return message if isinstance(message, EncodedMap) else checked, mtype

    def _accept(self, sender: Client, now: float) -> None:
        self.counters.accepted += 1
        sender.messages += 1
        self._touch(sender, now)

    def _recipient(self, sender: Client, client_id: str, mtype: str) -> Client | None:
        """Return the client that a targeted message goes to, None for the hub itself."""
        if client_id == HUB_ID:
            if mtype not in self._own_answers:
                raise Fault(f"the hub is not subscribed to {mtype}")
            if not self._policy.may_send(sender.principal, mtype, {}):
                raise Fault(f"you may not send {mtype} to the hub")
            return None
        client = self._client(client_id)
        pattern = matching(client.subscriptions, mtype)
        if pattern is None:
            raise Fault(f"client {client} is not subscribed to {mtype}")
        if not self._may_send(sender, mtype, client, pattern):
            raise Fault(f"you may not send {mtype} to client {client}")
        if client.route is None:
            raise Fault(f"client {client} is not callable: it has not said how to reach it")
        return client

    def _answers(self, sender: Client, mtype: str) -> bool:
        """Tell whether the hub itself answers a message to all."""
        return mtype in self._own_answers and self._policy.may_send(sender.principal, mtype, {})

    def _may_send(self, sender: Client, mtype: str, receiver: Client, pattern: str) -> bool:
        annotations = receiver.subscriptions[pattern]
        return self._policy.may_send(sender.principal, mtype, annotations if isinstance(annotations, dict) else {})

    def _check_calls(self, sender: Client, receiver: Client | None = None) -> None:
        if len(sender.asked) >= self.limits.calls:
            raise Fault(f"{len(sender.asked)} of your calls wait for their reply: wait for some before you call again")
        if receiver is not None and len(receiver.owing) >= self.limits.calls:
            raise Fault(f"client {receiver} has {len(receiver.owing)} calls to reply to: try again later")

    def _payload_for(self, client: Client, value: Map | EncodedMap) -> Payload:
        payload = Payload.of(value)
        if self._has_room(client, payload):
            return payload
        if self._has_room_beside_others(payload):
            raise Fault(
                f"the queue of client {client} is full ({client.queued} messages, {client.queued_bytes} bytes): "
                "it does not take its messages; try again later"
            )
        raise Fault(
            f"the hub's queues are full ({self.counters.queued} messages, {self.counters.queued_bytes} bytes): "
            "try again later"
        )

    def _has_room(self, client: Client, payload: Payload) -> bool:
        # An empty queue takes a message that is longer than the queue may be.
        limits, size = self.limits, len(payload.xml)
        own = client.queued < limits.queue and client.queued_bytes + size <= limits.queue_bytes
        if client.queued >= MOST_PULLED and isinstance(client.route, Pull):
            own = False
        return (own or client.queued == 0) and self._has_room_beside_others(payload)

    def _has_room_beside_others(self, payload: Payload) -> bool:
        # Nothing at all takes a message that is longer than all queues may be.
        limits, counters, size = self.limits, self.counters, len(payload.xml)
        return counters.queued == 0 or (
            counters.queued < limits.total_queue and counters.queued_bytes + size <= limits.total_queue_bytes
        )

    def _call(
        self, sender: Client | None, receiver: Client, tag: str, payload: Payload, *, synchronous: bool
    ) -> Delivery:
        caller = sender.id if sender else HUB_ID
        msg_id = self._ledger.new_message_id(caller)
        call = PendingCall(sender, receiver, tag, synchronous)
        return self._ledger.queue(receiver, Kind.CALL, caller, msg_id, payload, call)

    def _broadcast(
        self,
        kind: Kind,
        sender: Client | None,
        mtype: str,
        payload: Payload,
        only: Callable[[Client], bool] | None = None,
    ) -> Iterator[Effect]:
        for client, pattern in self._subscribers(mtype):
            if only is not None and not only(client):
                continue
            if client is sender or not (sender is None or self._may_send(sender, mtype, client, pattern)):
                continue
            if self._has_room(client, payload):
                yield self._ledger.queue(client, kind, sender.id if sender else HUB_ID, "", payload)
            else:
                yield LeftOut(client, mtype)

    def _event(
        self,
        name: str,
        params: Map,
        what: str = "",
        declared: EncodedMap | None = None,
        *,
        only: Callable[[Client], bool] | None = None,
    ) -> Iterator[Effect]:
        """Tell all who are subscribed, or some of them.

        With `declared`, under the name `what` among the parameters.
        """
        mtype = f"samp.hub.event.{name}"
        if any(pattern in self._ledger.by_pattern for pattern in candidates(mtype)):
            encoded = encode_value(params) if declared is None else encode_map_around(params, what, declared.xml)
            payload = Payload(encode_map_around({"samp.mtype": mtype}, "samp.params", encoded))
            yield from self._broadcast(Kind.NOTIFICATION, None, mtype, payload, only)

    # ------------------------------------------------------------------ what web pages may read

    def note_named_by_page(self, said: Iterable[bytes]) -> None:
        """Note the URLs in what a page says, encoded: what it names first, no page may read.

        Raises
        ------
        Fault
            There are very many.
        """
        urls = list(islice(chain.from_iterable(map(urls_in, said)), MOST_URLS + 1))
        if len(urls) > MOST_URLS:
            raise Fault(f"a web page may name {MOST_URLS} URLs at a time: send fewer")
        self._ledger.note_named_by_page(urls)

    def note_sent_to_page(self, xml: bytes) -> None:
        """Note the URLs in what a page is told otherwise than by a delivery."""
        self._ledger.note_sent_to_page(xml)

    def may_read(self, url: str) -> bool:
        """Tell whether pages may read a URL through the translator (SAMP 1.3, 5.2.6)."""
        return self._ledger.urls.may_read(url)

    # ------------------------------------------------------------------ the hub's own answers

    def _own_answer(self, message: Map | EncodedMap, mtype: str, now: float) -> Map:
        if isinstance(message, EncodedMap):
            _check_size(len(message.xml), LONGEST_QUESTION, "a message to the hub itself")
            message = message.decode()
        params = check_map(message.get("samp.params", {}), "samp.params")
        return ok_response(self._own_answers[mtype](params, now))

    def _deliver_own_answer(
        self, sender: Client, tag: str, message: Map | EncodedMap, mtype: str, now: float
    ) -> list[Effect]:
        answer = self._own_answer(message, mtype, now)
        if sender.route is None:
            return []
        payload = self._payload_for(sender, answer)
        return [self._ledger.queue(sender, Kind.RESPONSE, HUB_ID, tag, payload)]

    def _answer_instead(self, msg_id: str, reason: str) -> list[Effect]:
        """Answer a call in its recipient's stead: it cannot, and nobody shall wait for it."""
        call = self._ledger.end_call(msg_id)
        if call is None:
            return []
        response = error_response(reason)
        if call.synchronous:
            return [Answer(msg_id, response)]
        if call.sender is None or call.sender.gone or call.sender.route is None:
            return []
        payload = Payload.of(response)
        return [self._ledger.queue(call.sender, Kind.RESPONSE, call.recipient.id, call.tag, payload)]

    # ------------------------------------------------------------------ what became of deliveries

    def keeps(self, file: str) -> bool:
        """Tell whether a delivery waits whose payload lies in this file."""
        return file in self._ledger.files

    def next_delivery(self, client: Client) -> Delivery | None:
        """Return what is to be delivered to a client next; it stays in the queue until it is settled."""
        queue = self._ledger.queues.get(client.id)
        return next(iter(queue.values())) if queue else None

    def deliveries_to(self, client: Client) -> list[Delivery]:
        """Return all that is to be delivered to a client, in order."""
        return list(self._ledger.queues[client.id].values())

    def delivered(self, delivery: Delivery) -> None:
        """Note that a delivery has reached its client."""
        if self._ledger.dequeue(delivery):
            self.counters.delivered += 1

    def undelivered(self, delivery: Delivery, reason: str) -> list[Effect]:
        """Note that a delivery has failed for good; a call is answered to its sender at once."""
        if not self._ledger.dequeue(delivery):
            return []
        self.counters.failed += 1
        if delivery.kind is Kind.CALL:
            return self._answer_instead(delivery.tag, f"client {delivery.to} did not get the call: {reason}")
        return []

    def suspect(self, number: int) -> list[Effect]:
        """Note that the last worker fell of itself, and give up what was under way whenever one did.

        Parameters
        ----------
        number : int
            The delivery that the worker had in hand; 0 if that is not known: then all are suspected that
            may have been under way.
        """
        queues = self._ledger.queues.values()
        under_way = [queue[number] for queue in queues if number in queue]
        if not under_way:
            under_way = [delivery for queue in queues for delivery in islice(queue.values(), UNDER_WAY)]
        self._ledger.suspect([delivery.number for delivery in under_way])
        effects: list[Effect] = []
        for delivery in under_way:
            if self._ledger.suspects[delivery.number] >= MOST_FALLS:
                effects += self.undelivered(delivery, f"the hub fell {MOST_FALLS} times while it was under way")
        return effects

    def drain(self) -> None:
        """Register no more clients, now and in a successor."""
        self._ledger.drain()

    @property
    def drained(self) -> bool:
        """Whether it is being drained, and nothing waits for any client any more."""
        return self._ledger.draining and not self.counters.queued

    def shut_down(self) -> list[Effect]:
        """Say ``samp.hub.event.shutdown`` to all, and answer every synchronous call that waits."""
        self._closing = True
        return [*self._event("shutdown", {}), *self.give_up_waiting("the hub is shutting down")]

    @property
    def is_waited_for(self) -> bool:
        """Whether a client waits for the answer to a synchronous call, on its connection."""
        return any(call.synchronous for call in self._ledger.pending.values())

    def give_up_waiting(self, reason: str) -> list[Effect]:
        """Answer every synchronous call that waits, in its recipient's stead."""
        effects: list[Effect] = []
        for msg_id in [msg_id for msg_id, call in self._ledger.pending.items() if call.synchronous]:
            effects += self._answer_instead(msg_id, reason)
        return effects


def _is_subscribed(client: Client, mtype: str) -> bool:
    return client.route is not None and matching(client.subscriptions, mtype) is not None


def _check_size(size: int, most: int, what: str, unit: str = "bytes") -> None:
    if size > most:
        raise BadValue(f"{what} is {size} {unit} long: {most} at most")
