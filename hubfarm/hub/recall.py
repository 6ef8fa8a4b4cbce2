"""What a predecessor's records say, taken together: the state that a hub goes on from.

Nothing of a hub is changed here: records are others' bytes, and only if all of them make sense is any of it used.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hubfarm.hub.model import HUB_ID, Client, Delivery, Payload, PendingCall
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
from hubfarm.hub.routes import read_route
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.methods import Kind
from hubfarm.samp.values import Map, outline_of
from hubfarm.samp.xmlrpc import EncodedMap, decode_value, encode_value


class Nonsense(HubfarmError):
    """Records do not make sense together."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """The state that records make.

    Parameters
    ----------
    clients : list
        Each client with its metadata, its subscriptions, and their encoded size (bytes).
    deliveries : list of Delivery
        Those that wait, in order.
    calls : list
        The msg-ids of the calls that wait for their reply, and the calls.
    suspects : dict of int to int
        How often a worker fell while a delivery was under way.
    draining : bool
        The hub takes no new clients.
    permitted, named : list of bytes
        The digests of URLs that web pages may read, and of those that they may not.
    last : tuple of int
        The numbers of the last client, message and delivery.
    """

    clients: list[tuple[Client, EncodedMap, Map, int]]
    deliveries: list[Delivery]
    calls: list[tuple[str, PendingCall]]
    suspects: dict[int, int]
    draining: bool
    permitted: list[bytes]
    named: list[bytes]
    last: tuple[int, int, int]


def recall(records: Iterable[Record], now: float, load: Callable[[str], bytes | None] = lambda name: None) -> Recalled:
    """Return the state that a journal's records make.

    Records of clients that have gone, of deliveries that are settled and of calls that are
    answered may stand in any order towards those that took them back.

    Parameters
    ----------
    records : iterable of Record
        A journal's.
    now : float
        The time: every client counts as active.
    load : callable
        Returns what is in the file of this name, None if it is gone.

    Raises
    ------
    Nonsense
        They do not make sense together.
    """
    try:
        return _recall(records, now, load)
    except (HubfarmError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Nonsense(f"its records make no sense: {error!r}") from None


def _recall(records: Iterable[Record], now: float, load: Callable[[str], bytes | None]) -> Recalled:
    reading = _Reading()
    for record in records:
        reading.take(record)
    known = {record.id: _client_of(record, now) for record in reading.clients.values()}
    clients = {client_id: client for client_id, (client, *_) in known.items()}
    deliveries = list(_deliveries(reading, clients, load))
    calls = []
    for msg_id, waiting in reading.waiting.items():
        sender, recipient = clients.get(waiting.caller), clients.get(waiting.recipient)
        if recipient is not None and (sender is not None or waiting.caller == HUB_ID):
            calls.append((msg_id, PendingCall(sender, recipient, waiting.msg_tag, synchronous=False)))
    return Recalled(
        list(known.values()),
        deliveries,
        calls,
        {each.number: falls for each in deliveries if (falls := reading.suspects[each.number])},
        reading.draining,
        list(reading.permitted),
        list(reading.named),
        # The predecessor may have given out numbers that left no record (of synchronous calls):
        # count on from where it cannot have been.
        (reading.last["client"], _next_era(reading.last["message"]), _next_era(reading.last["delivery"])),
    )


def _client_of(record: ClientRecord, now: float) -> tuple[Client, EncodedMap, Map, int]:
    client = Client(record.id, record.key, now, record.principal, read_route(record.route), since=record.since)
    size = len(encode_value(record.subscriptions))
    if not isinstance(record.metadata, bytes):
        return client, EncodedMap.of(record.metadata), record.subscriptions, size
    metadata = decode_value(record.metadata)
    if not isinstance(metadata, dict):
        raise TypeError("metadata that are no map")
    return client, EncodedMap(record.metadata, outline_of(metadata)), record.subscriptions, size


def _deliveries(
    reading: "_Reading", clients: dict[str, Client], load: Callable[[str], bytes | None]
) -> Iterator[Delivery]:
    for number in sorted(reading.deliveries):
        message, routed = reading.deliveries[number]
        payload = reading.payload_of(message, load)
        if routed.client in clients and payload is not None:
            yield Delivery(clients[routed.client], Kind[message.kind], message.sender, routed.tag, payload, number)


def _next_era(number: int) -> int:
    return ((number >> 32) + 1) << 32


class _Reading:
    """Records being read: what is there, and what has been taken back already."""

    def __init__(self) -> None:
        self.clients: dict[str, ClientRecord] = {}
        self.deliveries: dict[int, tuple[MessageRecord, Routed]] = {}
        self.waiting: dict[str, WaitingRecord] = {}
        self.suspects: Counter[int] = Counter()
        self.draining = False
        self.permitted: dict[bytes, None] = {}
        self.named: dict[bytes, None] = {}
        self._messages: dict[int, MessageRecord] = {}
        self._payloads: dict[int, Payload | None] = {}
        self._gone: set[str] = set()
        self._settled: set[int] = set()
        self._answered: set[str] = set()
        self.last: defaultdict[str, int] = defaultdict(int)

    def take(self, record: Record) -> None:
        match record:
            case ClientRecord():
                self._seen("client", int(record.id[1:]))
                if record.id not in self._gone:
                    self.clients[record.id] = record
            case GoneRecord():
                self._gone.add(record.id)
                self.clients.pop(record.id, None)
            case MessageRecord():
                self._take_message(record, record.to)
            case AlsoRecord():
                self._take_message(self._messages[record.first], [record.to])
            case SuspectRecord():
                self.suspects.update(record.numbers)
            case SettledRecord():
                for number in record.numbers:
                    self._settled.add(number)
                    self.deliveries.pop(number, None)
            case WaitingRecord():
                self._await(record)
            case AnsweredRecord():
                self._answered.add(record.msg_id)
                self.waiting.pop(record.msg_id, None)
            case CountersRecord():
                self._seen("client", record.last_client)
                self._seen("message", record.last_message)
                self._seen("delivery", record.last_delivery)
            case DrainingRecord():
                self.draining = True
            case UrlsRecord():
                (self.permitted if record.permitted else self.named).update(dict.fromkeys(record.digests))

    def _take_message(self, record: MessageRecord, to: Iterable[Routed]) -> None:
        for routed in to:
            self._seen("delivery", routed.number)
            self._messages[routed.number] = record
            if routed.number not in self._settled:
                self.deliveries[routed.number] = (record, routed)
            if record.caller is not None:
                self._await(WaitingRecord(routed.tag, record.caller, routed.client, record.msg_tag))

    def _await(self, waiting: WaitingRecord) -> None:
        self._seen("message", int(waiting.msg_id.rpartition("-m")[2]))
        if waiting.msg_id not in self._answered:
            self.waiting[waiting.msg_id] = waiting

    def payload_of(self, record: MessageRecord, load: Callable[[str], bytes | None]) -> Payload | None:
        """Return the payload of a message, one for all its receivers; None if its file is gone."""
        if id(record) not in self._payloads:
            xml = load(record.file) if record.file else record.payload
            self._payloads[id(record)] = None if xml is None else Payload(xml, record.file)
        return self._payloads[id(record)]

    def _seen(self, what: str, number: int) -> None:
        self.last[what] = max(self.last[what], number)
