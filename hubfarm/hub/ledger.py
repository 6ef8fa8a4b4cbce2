"""What a hub knows: clients, subscriptions, calls that wait, deliveries on their way.

Rule: everything that has to outlive the worker is changed by a method of `Ledger` and by
nothing else, and every such change leaves a record for the journal.  What to change is the
hub's to decide; nothing here refuses anything.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from itertools import islice

from hubfarm.hub.model import EMPTY, HUB_ID, Client, Counters, Delivery, Payload, PendingCall
from hubfarm.hub.recall import Recalled
from hubfarm.hub.records import (
    AlsoRecord,
    AnsweredRecord,
    ClientRecord,
    CountersRecord,
    DrainingRecord,
    GoneRecord,
    MessageRecord,
    Record,
    Routed,
    SettledRecord,
    SuspectRecord,
    UrlsRecord,
    WaitingRecord,
)
from hubfarm.hub.routes import Route, write_route
from hubfarm.samp.methods import Kind
from hubfarm.samp.urls_in import urls_in
from hubfarm.samp.values import Map
from hubfarm.samp.xmlrpc import EncodedList, EncodedMap, encode_value
from hubfarm.spec.principal import Principal
from hubfarm.spec.url_tracker import UrlTracker

MOST_URLS = 1000
"""URLs of one message that are looked at: each takes some microseconds."""


class Ledger:
    """What one hub knows.

    Parameters
    ----------
    noting : bool
        Keep a record of every change until `take_changes`.
    """

    def __init__(self, *, noting: bool = False) -> None:
        self.clients: dict[str, Client] = {}
        self.by_key: dict[str, Client] = {}
        self.by_pattern: dict[str, dict[str, Client]] = {}
        self.by_user: Counter[str] = Counter()
        """How many clients each user has, or each account of this host."""
        self.pending: dict[str, PendingCall] = {}
        self.queues: dict[str, OrderedDict[int, Delivery]] = {}
        """What waits for each client, in order; the first may be under way."""
        self.counters = Counters()
        self.declared = 0
        """The size of all clients' metadata and subscriptions, bytes."""
        self.suspects: Counter[int] = Counter()
        """How often a worker fell of itself while a delivery was under way."""
        self.draining = False
        """No new clients are taken, and the hub ends once nothing waits for any."""
        self.urls = UrlTracker()
        """What web pages may read."""
        self.files: set[str] = set()
        """The files in which payloads lie that wait for somebody."""
        self._changes: list[Record] = []
        self._left_files: list[str] = []
        self._noting = noting
        self._last_payload: Payload | None = None
        self._registered: EncodedList | None = None
        self._last_client = 0
        self._last_message = 0
        self._last_delivery = 0

    # ------------------------------------------------------------------ the journal's side

    @property
    def has_changed(self) -> bool:
        """Whether `take_changes` or `take_files` would return anything."""
        return bool(self._changes or self._left_files)

    def take_changes(self) -> list[Record]:
        """Return the records of what has changed since the last time."""
        changes, self._changes = self._changes, []
        self._last_payload = None
        return changes

    def take_files(self) -> list[str]:
        """Return the files whose payloads have gone to all their receivers since the last time."""
        files, self._left_files = self._left_files, []
        return files

    def _note(self, record: Record) -> None:
        if self._noting:
            self._changes.append(record)
            self._last_payload = None

    def drain(self) -> None:
        """Note that the hub is being drained."""
        self.draining = True
        self._note(DrainingRecord())

    # ------------------------------------------------------------------ clients

    def add_client(self, key: str, who: Principal, metadata: EncodedMap, now: float) -> Client:
        """Add a client with the next id, and the metadata that it has from the first."""
        self._last_client += 1
        client = Client(f"c{self._last_client}", key, active=now, principal=who, metadata=metadata, since=now)
        self._count_declared(client, len(metadata.xml) - len(EMPTY.xml))
        self._enter(client)
        self._note_client(client)
        return client

    def registered(self) -> EncodedList:
        """Return the ids of the hub and of all clients; encoded once for all who ask until somebody comes or goes."""
        if self._registered is None:
            self._registered = EncodedList(encode_value([HUB_ID, *self.clients]))
        return self._registered

    def _enter(self, client: Client) -> None:
        self._registered = None
        self.clients[client.id] = self.by_key[client.key] = client
        if user := client.principal.counted_as:
            self.by_user[user] += 1
        self.queues[client.id] = OrderedDict()

    def remove_client(self, client: Client) -> None:
        """Remove a client and all that waits for it; its calls stay pending."""
        client.gone = True
        self._registered = None
        del self.clients[client.id], self.by_key[client.key]
        if user := client.principal.counted_as:
            self.by_user[user] -= 1
            if not self.by_user[user]:
                del self.by_user[user]
        self._index(client, {})
        self.declared -= client.declared
        self.counters.failed += client.queued
        self.counters.queued -= client.queued
        self.counters.queued_bytes -= client.queued_bytes
        for delivery in self.queues.pop(client.id).values():
            self._let_go(delivery.payload)
        self._note(GoneRecord(client.id))

    def set_route(self, client: Client, route: Route | None) -> None:
        """Change how a client is reached."""
        client.route = route
        self._note_client(client)

    def set_metadata(self, client: Client, metadata: EncodedMap) -> None:
        """Replace a client's metadata."""
        self._count_declared(client, len(metadata.xml) - len(client.metadata.xml))
        client.metadata = metadata
        self._note_client(client)

    def set_subscriptions(self, client: Client, subscriptions: Map, size: int) -> None:
        """Replace a client's subscriptions, of this encoded size (bytes)."""
        self._count_declared(client, size - client.subscriptions_size)
        client.subscriptions_size = size
        self._index(client, subscriptions)
        self._note_client(client)

    def _count_declared(self, client: Client, more: int) -> None:
        client.declared += more
        self.declared += more

    def _index(self, client: Client, subscriptions: Map) -> None:
        for pattern in client.subscriptions:
            holders = self.by_pattern[pattern]
            del holders[client.id]
            if not holders:
                del self.by_pattern[pattern]
        client.subscriptions = subscriptions
        for pattern in subscriptions:
            self.by_pattern.setdefault(pattern, {})[client.id] = client

    def _note_client(self, client: Client) -> None:
        if self._noting:
            self._note(_client_record(client))

    # ------------------------------------------------------------------ messages

    def new_message_id(self, sender: str) -> str:
        """Return a msg-id that was never used before."""
        self._last_message += 1
        return f"{sender}-m{self._last_message}"

    def queue(
        self, to: Client, kind: Kind, sender: str, tag: str, payload: Payload, call: PendingCall | None = None
    ) -> Delivery:
        """Put a delivery into a client's queue; with `call`, wait for the reply to the msg-id `tag`."""
        if to.is_page and not payload.urls_are_noted:
            self._note_sent(payload)
        self._last_delivery += 1
        delivery = Delivery(to, kind, sender, tag, payload, self._last_delivery)
        self._enqueue(delivery)
        if call is not None:
            self._await_reply(tag, call)
        if self._noting:
            self._note_delivery(delivery, call)
        return delivery

    def _note_sent(self, payload: Payload) -> None:
        payload.urls_are_noted = True
        self.note_sent_to_page(payload.xml)

    def _enqueue(self, delivery: Delivery) -> None:
        to, size, counters = delivery.to, len(delivery.payload.xml), self.counters
        delivery.payload.deliveries += 1
        if delivery.payload.file:
            self.files.add(delivery.payload.file)
        self.queues[to.id][delivery.number] = delivery
        to.queued += 1
        to.queued_bytes += size
        counters.queued += 1
        counters.queued_bytes += size
        counters.peak = max(counters.peak, counters.queued)

    def _await_reply(self, msg_id: str, call: PendingCall) -> None:
        self.pending[msg_id] = call
        call.recipient.owing.add(msg_id)
        if call.sender is not None:
            call.sender.asked.add(msg_id)

    def _note_delivery(self, delivery: Delivery, call: PendingCall | None) -> None:
        if call is not None and call.synchronous:
            return  # its caller waits in vain after a crash: it is not worth keeping
        routed = Routed(delivery.number, delivery.to.id, delivery.tag)
        if self._last_payload is delivery.payload:
            last = self._changes[-1]
            assert isinstance(last, MessageRecord)
            last.to.append(routed)
            return
        record = _message_record(delivery, routed)
        if call is not None:
            record.caller = call.sender.id if call.sender else HUB_ID
            record.msg_tag = call.tag
        self._note(record)
        self._last_payload = delivery.payload

    def dequeue(self, delivery: Delivery) -> bool:
        """Take a delivery out of its client's queue; tell whether it was there."""
        queue = self.queues.get(delivery.to.id)
        if queue is None or queue.pop(delivery.number, None) is None:
            return False
        size = len(delivery.payload.xml)
        delivery.to.queued -= 1
        delivery.to.queued_bytes -= size
        self.counters.queued -= 1
        self.counters.queued_bytes -= size
        self.suspects.pop(delivery.number, None)
        self._let_go(delivery.payload)
        if self._noting and not self._is_synchronous(delivery):
            last = self._changes[-1] if self._changes else None
            if isinstance(last, SettledRecord):
                last.numbers.append(delivery.number)
            else:
                self._note(SettledRecord([delivery.number]))
        return True

    def _let_go(self, payload: Payload) -> None:
        payload.deliveries -= 1
        if payload.file and payload.deliveries == 0:
            self.files.discard(payload.file)
            self._left_files.append(payload.file)

    def suspect(self, numbers: Collection[int]) -> None:
        """Note that a worker fell of itself while these deliveries were under way."""
        if numbers:
            self.suspects.update(numbers)
            self._note(SuspectRecord(list(numbers)))

    def end_call(self, msg_id: str) -> PendingCall | None:
        """Wait no longer for the reply to `msg_id`; return what waited, if anything did."""
        call = self.pending.pop(msg_id, None)
        if call is not None:
            call.recipient.owing.discard(msg_id)
            if call.sender is not None:
                call.sender.asked.discard(msg_id)
            if not call.synchronous:
                self._note(AnsweredRecord(msg_id))
        return call

    # ------------------------------------------------------------------ what web pages may read

    def note_sent_to_page(self, xml: bytes) -> None:
        """Note the URLs that a web page is told of; see `UrlTracker`.  Of very many the first are noted."""
        if new := self.urls.note_sent(islice(urls_in(xml), MOST_URLS)):
            self._note(UrlsRecord(True, new))

    def note_named_by_page(self, urls: Collection[str]) -> None:
        """Note URLs that a web page names."""
        if new := self.urls.note_named(urls):
            self._note(UrlsRecord(False, new))

    # ------------------------------------------------------------------ the whole, for a journal

    def snapshot(self) -> Iterator[Record]:
        """Yield records of the present state; it may change between two of them.

        What changes meanwhile has records of its own, so that both together, in whichever
        order, make the state after.
        """
        yield CountersRecord(self._last_client, self._last_message, self._last_delivery)
        if self.draining:
            yield DrainingRecord()
        for permitted, digests in zip((True, False), self.urls.decisions(), strict=True):
            for first in range(0, len(digests), MOST_URLS):
                yield UrlsRecord(permitted, digests[first : first + MOST_URLS])
        for client in list(self.clients.values()):
            if not client.gone:
                yield _client_record(client)
        for msg_id, call in list(self.pending.items()):
            if msg_id in self.pending and not call.synchronous:
                caller = call.sender.id if call.sender else HUB_ID
                yield WaitingRecord(msg_id, caller, call.recipient.id, call.tag)
        for number, falls in list(self.suspects.items()):
            yield SuspectRecord([number] * falls)
        written: dict[Payload, int] = {}
        for client_id in list(self.queues):
            for number, delivery in list(self.queues.get(client_id, {}).items()):
                if number in self.queues.get(client_id, {}) and not self._is_synchronous(delivery):
                    routed = Routed(number, client_id, delivery.tag)
                    first = written.setdefault(delivery.payload, number)
                    yield AlsoRecord(first, routed) if first != number else _message_record(delivery, routed)

    def _is_synchronous(self, delivery: Delivery) -> bool:
        call = self.pending.get(delivery.tag) if delivery.kind is Kind.CALL else None
        return call is not None and call.synchronous

    def restore(self, recalled: Recalled) -> None:
        """Make this (empty) state what a predecessor's records say."""
        for client, metadata, subscriptions, size in recalled.clients:
            self._enter(client)
            self.set_metadata(client, metadata)
            self.set_subscriptions(client, subscriptions, size)
        for delivery in recalled.deliveries:
            self._enqueue(delivery)
        for msg_id, call in recalled.calls:
            self._await_reply(msg_id, call)
        self.suspects.update(recalled.suspects)
        self.urls.deny(recalled.named)
        self.urls.permit(recalled.permitted)
        self.draining = recalled.draining
        self.take_changes()  # all that stands there already
        self._last_client, self._last_message, self._last_delivery = recalled.last
        self._note(CountersRecord(*recalled.last))


def _client_record(client: Client) -> ClientRecord:
    return ClientRecord(
        client.id,
        client.key,
        write_route(client.route),
        client.metadata.xml,
        client.subscriptions,
        client.since,
        client.principal,
    )


def _message_record(delivery: Delivery, routed: Routed) -> MessageRecord:
    payload = delivery.payload
    xml = b"" if payload.file else payload.xml
    return MessageRecord(delivery.kind.name, delivery.sender, xml, [routed], file=payload.file)
