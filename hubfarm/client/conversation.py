"""A conversation: what a watcher is told, put together to one entry a message, with all that became of it.

Of a broadcast each recipient is a part of the one entry, with its answer.  The last entries are kept, bounded by their
number and their size; what has fallen out is forgotten, and an answer to it too.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from hubfarm.spec.watching import Abandoned, Answered, Arrived, Came, Event, Lost, Sent

MOST = 5000
"""Messages that are kept."""

MOST_BYTES = 64 * 2**20
"""What is kept of them, bytes."""

ENTRY_SIZE = 1000
"""What an entry takes beside its contents, bytes; likewise each four of its parts."""

MOST_CLIENTS = 20_000
"""Clients whose names are remembered, also after they left."""


class Status(StrEnum):
    """How it stands with a message, or one of its parts; of several the one that comes last here counts."""

    OK = "ok"
    OPEN = "open"
    WARNING = "warning"
    ERROR = "error"
    UNDELIVERED = "undelivered"


_BY_RESPONSE = {"samp.ok": Status.OK, "samp.warning": Status.WARNING}


@dataclass(slots=True)
class Part:
    """What became of a message at one of its recipients.

    Parameters
    ----------
    id, msg_id : str
        Who, and the msg-id of a call.
    status : Status
        How it stands.
    arrived, answered : float
        When the recipient had taken it, and when it answered, seconds since 1970; 0 for not.
    response : str
        The status that the answer says, as ``samp.ok``; empty for none.
    reason : str
        Why it did not arrive, or what the answer says is wrong.
    instead : bool
        The hub answered in its stead.
    size : int
        Of the answer as encoded, bytes.
    xml : bytes
        The answer, encoded, if it was told.
    """

    id: str
    msg_id: str = ""
    status: Status = Status.OPEN
    arrived: float = 0.0
    answered: float = 0.0
    response: str = ""
    reason: str = ""
    instead: bool = False
    size: int = 0
    xml: bytes = b""


@dataclass(slots=True)
class Entry:
    """One message, and what became of it.

    Parameters
    ----------
    sent : Sent
        The message.
    parts : dict of str to Part
        Its recipients, by public id.
    counts : Counter of Status
        How many parts stand how; who was left out is counted too.
    size : int
        What is kept of it, bytes.
    """

    sent: Sent
    parts: dict[str, Part]
    counts: Counter[Status]
    size: int = 0

    @property
    def is_call(self) -> bool:
        """Whether an answer is asked for."""
        return self.sent.how.startswith("call")

    @property
    def took(self) -> float | None:
        """How long it took until the last recipient had answered (or had got what needs no answer), seconds."""
        ends = [part.answered or (0.0 if self.is_call else part.arrived) for part in self.parts.values()]
        return max(ends) - self.sent.at if ends and all(ends) else None

    @property
    def status(self) -> Status:
        """How it stands."""
        if self.sent.refused:
            return Status.UNDELIVERED
        return next((status for status in reversed(Status) if self.counts.get(status)), Status.OK)

    def set_status(self, part: Part, status: Status) -> None:
        """Note how it stands with a part; in constant time, as a broadcast has many."""
        self.counts[part.status] -= 1
        part.status = status
        self.counts[status] += 1


@dataclass(slots=True)
class Conversation:
    """The last messages of one hub, oldest first.

    Parameters
    ----------
    most : int
        How many are kept.
    most_bytes : int
        What is kept of them, bytes.

    Examples
    --------
    >>> from hubfarm.spec.watching import Recipient
    >>> conversation = Conversation()
    >>> sent = Sent(number=7, how="call", sender="c1", mtype="samp.app.ping", to=(Recipient("c2", "c1-m1"),))
    >>> conversation.apply(sent).status
    <Status.OPEN: 'open'>
    >>> answered = Answered(number=7, sender="c2", to="c1", msg_id="c1-m1", status="samp.ok")
    >>> conversation.apply(answered).status
    <Status.OK: 'ok'>
    """

    most: int = MOST
    most_bytes: int = MOST_BYTES
    entries: OrderedDict[int, Entry] = field(default_factory=OrderedDict)
    clients: OrderedDict[str, Came] = field(default_factory=OrderedDict)
    """What each client has said of itself last."""
    size: int = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def name_of(self, id: str) -> str:
        """Return what a client calls itself, empty if it is not known."""
        known = self.clients.get(id)
        return known.name if known else ""

    def apply(self, event: Event) -> Entry | None:
        """Take note of an event; return the entry that is new, or another now."""
        match event:
            case Sent():
                return self._add(event)
            case Came():
                self._know(event)
            case Arrived() | Lost() | Answered() | Abandoned():
                return self._change(event)
        return None

    def _know(self, came: Came) -> None:
        self.clients[came.id] = came
        self.clients.move_to_end(came.id)
        if len(self.clients) > MOST_CLIENTS:
            self.clients.popitem(last=False)

    def _add(self, sent: Sent) -> Entry:
        parts = {} if sent.refused else {to.id: Part(to.id, to.msg_id) for to in sent.to}
        counts = Counter({Status.OPEN: len(parts), Status.UNDELIVERED: len(sent.left_out)})
        size = ENTRY_SIZE + ENTRY_SIZE // 4 * (len(parts) + len(sent.left_out)) + len(sent.xml)
        entry = Entry(sent, parts, counts, size)
        if before := self.entries.pop(sent.number, None):  # loaded twice
            self.size -= before.size
        self.entries[sent.number] = entry
        self.size += entry.size
        self._make_room()
        return entry

    def _make_room(self) -> None:
        while len(self.entries) > self.most or (self.size > self.most_bytes and len(self.entries) > 1):
            _, oldest = self.entries.popitem(last=False)
            self.size -= oldest.size

    def _change(self, event: Arrived | Lost | Answered | Abandoned) -> Entry | None:
        entry = self.entries.get(event.number)
        if entry is None:
            return None
        part = entry.parts.get(event.sender if isinstance(event, Answered) else event.to)
        if part is None:
            return None
        match event:
            case Arrived():
                part.arrived = event.at
                if not entry.is_call:
                    entry.set_status(part, Status.OK)
            case Lost():
                entry.set_status(part, Status.UNDELIVERED)
                part.reason = event.reason
            case Abandoned() if part.status is Status.OPEN:
                entry.set_status(part, Status.ERROR)
                part.reason = "its sender waits no longer"
            case Answered():
                self._answer(entry, part, event)
        return entry

    def _answer(self, entry: Entry, part: Part, event: Answered) -> None:
        part.answered, part.response = event.at, event.status
        part.instead, part.size = event.instead, event.size
        if part.status is not Status.UNDELIVERED:  # the hub says so to the sender in the other's stead
            entry.set_status(part, _BY_RESPONSE.get(event.status, Status.ERROR))
            part.reason = event.error
        more = len(event.xml) - len(part.xml)
        part.xml = event.xml
        entry.size += more
        self.size += more
        self._make_room()


def events_of(entry: Entry) -> Iterator[Event]:
    """Yield the events that make an entry, for a file that is loaded again: what they tell, not in which order it was.

    Examples
    --------
    >>> from hubfarm.spec.watching import Recipient
    >>> one, again = Conversation(), Conversation()
    >>> entry = one.apply(Sent(number=7, how="notify", sender="c1", mtype="a.b", to=(Recipient("c2"),)))
    >>> one.apply(Lost(number=7, to="c2", reason="it has left")) is entry
    True
    >>> for event in events_of(entry):
    ...     copy = again.apply(event)
    >>> copy == entry
    True
    """
    yield entry.sent
    number = entry.sent.number
    for part in entry.parts.values():
        if part.arrived:
            yield Arrived(at=part.arrived, number=number, to=part.id)
        if part.status is Status.UNDELIVERED:
            yield Lost(number=number, to=part.id, reason=part.reason)
        if part.answered:
            yield Answered(
                at=part.answered,
                number=number,
                sender=part.id,
                to=entry.sent.sender,
                msg_id=part.msg_id,
                tag=entry.sent.tag,
                status=part.response,
                error="" if part.status is Status.UNDELIVERED else part.reason,
                instead=part.instead,
                size=part.size,
                xml=part.xml,
            )
        elif part.status is Status.ERROR:
            yield Abandoned(number=number, to=part.id, msg_id=part.msg_id)
