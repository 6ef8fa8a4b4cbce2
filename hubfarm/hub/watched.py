"""A hub that is watched: it decides as `Hub` does, and tells of it.

While nobody watches there is nothing of this: a hub becomes a `WatchedHub` when the first watcher comes, and a `Hub`
again when the last one leaves (`watch`, `unwatch`).  No line of `Hub` asks whether anybody watches, so that nobody pays
for it who does not.  Rule: nothing here changes what happens to a message.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from hubfarm.hub.core import Hub
from hubfarm.hub.model import HUB_ID, Client, Delivery, Effect, LeftOut, Outcome, Payload, PendingCall
from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.methods import Kind
from hubfarm.samp.values import Map, outline_of
from hubfarm.samp.xmlrpc import EncodedMap, Param, encode_value
from hubfarm.spec.principal import Principal
from hubfarm.spec.watching import (
    LONGEST_NAME,
    Abandoned,
    Answered,
    Arrived,
    Came,
    Event,
    Left,
    Lost,
    Recipient,
    Sent,
)

RECIPIENT = 32
"""What a recipient takes in an event, bytes."""


class Listener(Protocol):
    """Who is told."""

    @property
    def content(self) -> int:
        """Longest content of a message that anybody wants to see, bytes as encoded."""

    def tell(self, event: Event, size: int = 0) -> None:
        """Take note of an event with content and recipients of so many bytes; returns at once."""


class Watch:
    """What is known of the messages that were sent while somebody watched.

    Parameters
    ----------
    listener : Listener
        Who is told.
    clock : callable
        Returns the time, seconds since 1970.
    """

    def __init__(self, listener: Listener, clock: Callable[[], float]) -> None:
        self.listener = listener
        self.clock = clock
        self.numbers: dict[int, int] = {}
        """The message of each delivery that waits, by the delivery's number."""
        self.calls: dict[str, int] = {}
        """The message of each call that waits for its answer, by its msg-id."""
        self.own_answer: Map = {}
        """What the hub has answered last, as a client among its clients."""
        self._last = int(clock() * 1e6)

    def new_number(self) -> int:
        """Return a message's number: a larger one than any before, also before the hub's restart."""
        self._last += 1
        return self._last


def watch(hub: Hub, listener: Listener, clock: Callable[[], float]) -> None:
    """Have a hub tell from now on what happens to messages."""
    hub.__class__ = WatchedHub
    assert isinstance(hub, WatchedHub)
    hub.watch = Watch(listener, clock)


def unwatch(hub: Hub) -> None:
    """Have a hub tell nothing any more."""
    if isinstance(hub, WatchedHub):
        hub.watch = None  # type: ignore[assignment]  # not to be asked for any more; to delete it would cost the hub
        hub.__class__ = Hub  # type: ignore[assignment]  # mypy: not back


def came(client: Client, at: float) -> Came:
    """Return what is told of a client that is there."""
    who = client.principal
    return Came(
        at=at, id=client.id, name=client.name[:LONGEST_NAME], user=who.user, door=who.profile, origin=who.origin
    )


class WatchedHub(Hub):
    """A hub that tells what happens to messages."""

    watch: Watch

    # ------------------------------------------------------------------ messages

    def notify(self, sender: Client, recipient: str, message: Param, now: float) -> Outcome:
        """Do as `Hub.notify`, and tell."""
        try:
            outcome = super().notify(sender, recipient, message, now)
        except (Fault, WrongUse) as error:
            self._tell_refused("notify", sender, message, error, recipient)
            raise
        self._tell_sent("notify", sender, message, outcome, to_hub=recipient == HUB_ID)
        return outcome

    def notify_all(self, sender: Client, message: Param, now: float) -> Outcome:
        """Do as `Hub.notify_all`, and tell."""
        try:
            outcome = super().notify_all(sender, message, now)
        except (Fault, WrongUse) as error:
            self._tell_refused("notifyAll", sender, message, error)
            raise
        self._tell_sent("notifyAll", sender, message, outcome, to_hub=HUB_ID in outcome.result)
        return outcome

    def call(self, sender: Client, recipient: str, tag: str, message: Param, now: float) -> Outcome:
        """Do as `Hub.call`, and tell."""
        try:
            outcome = super().call(sender, recipient, tag, message, now)
        except (Fault, WrongUse) as error:
            self._tell_refused("call", sender, message, error, recipient)
            raise
        msg_id = str(outcome.result) if recipient == HUB_ID else ""
        self._tell_sent("call", sender, message, outcome, tag, to_hub=recipient == HUB_ID, msg_id=msg_id)
        return outcome

    def call_all(self, sender: Client, tag: str, message: Param, now: float) -> Outcome:
        """Do as `Hub.call_all`, and tell."""
        try:
            outcome = super().call_all(sender, tag, message, now)
        except (Fault, WrongUse) as error:
            self._tell_refused("callAll", sender, message, error)
            raise
        msg_id = str(outcome.result.get(HUB_ID, "")) if isinstance(outcome.result, dict) else ""
        self._tell_sent("callAll", sender, message, outcome, tag, to_hub=bool(msg_id), msg_id=msg_id)
        return outcome

    def call_and_wait(self, sender: Client, recipient: str, message: Param, now: float) -> Outcome:
        """Do as `Hub.call_and_wait`, and tell."""
        try:
            outcome = super().call_and_wait(sender, recipient, message, now)
        except (Fault, WrongUse) as error:
            self._tell_refused("callAndWait", sender, message, error, recipient)
            raise
        msg_id = str(outcome.result) if recipient == HUB_ID else ""
        self._tell_sent("callAndWait", sender, message, outcome, to_hub=recipient == HUB_ID, msg_id=msg_id)
        return outcome

    def abandon(self, msg_id: str) -> None:
        """Do as `Hub.abandon`, and tell."""
        call = self._ledger.pending.get(msg_id)
        super().abandon(msg_id)
        if call is not None:
            self._tell_abandoned(msg_id, call)

    def reply(self, client: Client, msg_id: str, response: Param, now: float) -> Outcome:
        """Do as `Hub.reply`, and tell."""
        call = self._ledger.pending.get(msg_id)
        outcome = super().reply(client, msg_id, response, now)
        if call is not None:
            self._tell_answered(msg_id, call, response)
        return outcome

    def _answer_instead(self, msg_id: str, reason: str) -> list[Effect]:
        call = self._ledger.pending.get(msg_id)
        if call is not None and call.sender is not None and call.sender.gone:
            self._tell_abandoned(msg_id, call)
        elif call is not None:
            self.watch.listener.tell(
                Answered(
                    at=self.watch.clock(),
                    number=self.watch.calls.pop(msg_id, 0),
                    sender=call.recipient.id,
                    to=_caller(call),
                    msg_id=msg_id,
                    tag=call.tag,
                    status="samp.error",
                    error=reason[:LONGEST_NAME],
                    instead=True,
                )
            )
        return super()._answer_instead(msg_id, reason)

    def _own_answer(self, message: Map | EncodedMap, mtype: str, now: float) -> Map:
        self.watch.own_answer = super()._own_answer(message, mtype, now)
        return self.watch.own_answer

    # ------------------------------------------------------------------ what the hub itself sends

    def _call(
        self, sender: Client | None, receiver: Client, tag: str, payload: Payload, *, synchronous: bool
    ) -> Delivery:
        delivery = super()._call(sender, receiver, tag, payload, synchronous=synchronous)
        if sender is None:
            self._tell_of_hub("call", "samp.app.ping", [delivery])
        return delivery

    def _event(
        self,
        name: str,
        params: Map,
        what: str = "",
        declared: EncodedMap | None = None,
        *,
        only: Callable[[Client], bool] | None = None,
    ) -> Iterator[Effect]:
        effects = list(super()._event(name, params, what, declared, only=only))
        if effects:
            self._tell_of_hub("notifyAll", f"samp.hub.event.{name}", effects)
        return iter(effects)

    # ------------------------------------------------------------------ what became of deliveries

    def delivered(self, delivery: Delivery) -> None:
        """Do as `Hub.delivered`, and tell."""
        super().delivered(delivery)
        if number := self.watch.numbers.pop(delivery.number, 0):
            self.watch.listener.tell(Arrived(at=self.watch.clock(), number=number, to=delivery.to.id))

    def undelivered(self, delivery: Delivery, reason: str) -> list[Effect]:
        """Do as `Hub.undelivered`, and tell."""
        self._tell_lost(delivery, reason)
        return super().undelivered(delivery, reason)

    # ------------------------------------------------------------------ clients

    def register(self, who: Principal, now: float, key_prefix: str = "") -> Outcome:
        """Do as `Hub.register`, and tell."""
        outcome = super().register(who, now, key_prefix)
        assert isinstance(outcome.result, dict)
        client = self._ledger.clients[str(outcome.result["samp.self-id"])]
        self.watch.listener.tell(came(client, self.watch.clock()))
        return outcome

    def declare_metadata(self, client: Client, metadata: Param, now: float) -> Outcome:
        """Do as `Hub.declare_metadata`, and tell."""
        before = client.name
        outcome = super().declare_metadata(client, metadata, now)
        if client.name != before:
            self.watch.listener.tell(came(client, self.watch.clock()))
        return outcome

    def _remove(self, client: Client, reason: str, farewell: Delivery | None = None) -> list[Effect]:
        if not client.gone:
            for delivery in self.deliveries_to(client):
                self._tell_lost(delivery, f"client {client} has gone: {reason}")
            self.watch.listener.tell(Left(at=self.watch.clock(), id=client.id, reason=reason[:LONGEST_NAME]))
        return super()._remove(client, reason, farewell)

    # ------------------------------------------------------------------ telling

    def _tell_sent(
        self,
        how: str,
        sender: Client,
        message: Param,
        outcome: Outcome,
        tag: str = "",
        *,
        to_hub: bool,
        msg_id: str = "",
    ) -> None:
        watch = self.watch
        number = watch.new_number()
        to, left_out, payload = self._routes(number, outcome.effects)
        if to_hub:
            to = (Recipient(HUB_ID, msg_id), *to)
        xml = payload.xml if payload is not None else _xml_of(message)
        self._tell_message(number, how, sender.id, _mtype_of(message), xml, to, left_out, tag)
        if to_hub:
            watch.listener.tell(Arrived(at=watch.clock(), number=number, to=HUB_ID))
            if msg_id:
                self._tell_own_answer(number, sender, tag, msg_id)

    def _tell_message(
        self,
        number: int,
        how: str,
        sender: str,
        mtype: str,
        xml: bytes,
        to: tuple[Recipient, ...],
        left_out: tuple[str, ...] = (),
        tag: str = "",
        refused: str = "",
    ) -> None:
        watch, size = self.watch, len(xml)
        told = xml if size <= watch.listener.content else b""
        event = Sent(
            at=watch.clock(),
            number=number,
            how=how,
            sender=sender,
            mtype=mtype,
            size=size,
            tag=tag,
            to=to,
            left_out=left_out,
            refused=refused,
            xml=told,
        )
        watch.listener.tell(event, len(told) + RECIPIENT * len(to))

    def _routes(
        self, number: int, effects: Iterable[Effect]
    ) -> tuple[tuple[Recipient, ...], tuple[str, ...], Payload | None]:
        """Note where a message goes; return its recipients, who is left out, and its payload if it goes anywhere."""
        watch, payload = self.watch, None
        to: list[Recipient] = []
        left_out: list[str] = []
        for effect in effects:
            if isinstance(effect, Delivery) and effect.kind is not Kind.RESPONSE:
                payload = effect.payload
                to.append(Recipient(effect.to.id, effect.tag))
                watch.numbers[effect.number] = number
                if effect.kind is Kind.CALL:
                    watch.calls[effect.tag] = number
            elif isinstance(effect, LeftOut):
                left_out.append(effect.client.id)
        return tuple(to), tuple(left_out), payload

    def _tell_of_hub(self, how: str, mtype: str, effects: Iterable[Effect]) -> None:
        number = self.watch.new_number()
        to, left_out, payload = self._routes(number, effects)
        self._tell_message(number, how, HUB_ID, mtype, payload.xml if payload is not None else b"", to, left_out)

    def _tell_refused(self, how: str, sender: Client, message: Param, error: Exception, recipient: str = "") -> None:
        to = (Recipient(recipient[:LONGEST_NAME]),) if recipient else ()
        refused = str(error)[:LONGEST_NAME]
        number = self.watch.new_number()
        self._tell_message(number, how, sender.id, _mtype_of(message), _xml_of(message), to, refused=refused)

    def _tell_own_answer(self, number: int, sender: Client, tag: str, msg_id: str) -> None:
        xml = encode_value(self.watch.own_answer)
        self._tell_response(number, HUB_ID, sender.id, msg_id, tag, "samp.ok", xml)

    def _tell_answered(self, msg_id: str, call: PendingCall, response: Param) -> None:
        outline = _outline_of(response)
        error = outline.get("samp.error")
        text = _text(error.get("samp.errortxt", "")) if isinstance(error, dict) else ""
        number, status = self.watch.calls.pop(msg_id, 0), _text(outline.get("samp.status"))
        by, to = call.recipient.id, _caller(call)
        self._tell_response(number, by, to, msg_id, call.tag, status, _xml_of(response), text)

    def _tell_response(
        self, number: int, by: str, to: str, msg_id: str, tag: str, status: str, xml: bytes, error: str = ""
    ) -> None:
        watch, size = self.watch, len(xml)
        told = xml if size <= watch.listener.content else b""
        event = Answered(
            at=watch.clock(),
            number=number,
            sender=by,
            to=to,
            msg_id=msg_id,
            tag=tag,
            status=status,
            error=error,
            size=size,
            xml=told,
        )
        watch.listener.tell(event, len(told))

    def _tell_abandoned(self, msg_id: str, call: PendingCall) -> None:
        watch = self.watch
        number = watch.calls.pop(msg_id, 0)
        watch.listener.tell(Abandoned(at=watch.clock(), number=number, to=call.recipient.id, msg_id=msg_id))

    def _tell_lost(self, delivery: Delivery, reason: str) -> None:
        if number := self.watch.numbers.pop(delivery.number, 0):
            event = Lost(at=self.watch.clock(), number=number, to=delivery.to.id, reason=reason[:LONGEST_NAME])
            self.watch.listener.tell(event)


def _caller(call: PendingCall) -> str:
    return call.sender.id if call.sender is not None else HUB_ID


def _outline_of(said: Param) -> Map:
    if isinstance(said, EncodedMap):
        return said.outline
    return outline_of(said) if isinstance(said, dict) else {}


def _xml_of(said: Param) -> bytes:
    return said.xml if isinstance(said, EncodedMap) else encode_value(said)


def _mtype_of(message: Param) -> str:
    return _text(_outline_of(message).get("samp.mtype"))


def _text(value: object) -> str:
    return value[:LONGEST_NAME] if isinstance(value, str) else ""
