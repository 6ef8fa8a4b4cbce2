"""What a hub tells who watches it: each message and what becomes of it, as plain data, and as bytes on the way.

A message is known by its number, which rises, also over restarts of the hub.  What was said lies in an event as it
went over the wire (`xml`): a watcher reads of it what it wants to see.  `as_json` and `from_json` are the lines that
`hubfarm trace` writes and the dashboard saves and loads.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.values import check_map
from hubfarm.samp.xmlrpc import decode_value, encode_value

EDITION = 1
"""Counted up with each change of meaning."""

CONTENT_TYPE = f"application/x-hubfarm-watch; edition={EDITION}"

LONGEST_NAME = 200
"""Of a client's name no more is told, characters; likewise of a reason."""

MOST_CONTENT = 2**20
"""Longest content of a message that is told, bytes as encoded."""

LONGEST_FRAME = 32 * 2**20
"""Events that go together are not longer, bytes: one to very many recipients can be long."""


LARGEST_NUMBER = 2**53
"""Of a message; pages in a browser know larger ones inexactly."""


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event", tag=str.lower, omit_defaults=True):
    """Something that a hub tells; `at` is when it was, seconds since 1970.

    Events hold no events, so the garbage collector need not look at them: a busy hub makes thousands a second.
    """

    at: float = 0.0


class Hello(_Event, frozen=True, kw_only=True, gc=False):
    """The first that is told: which hub it is."""

    hub: str
    url: str = ""
    release: str = ""
    edition: int = EDITION


class Came(_Event, frozen=True, kw_only=True, gc=False):
    """A client is there, or says anew what it is called."""

    id: str
    name: str = ""
    user: str = ""
    door: str = ""
    origin: str = ""


class Left(_Event, frozen=True, kw_only=True, gc=False):
    """A client is gone."""

    id: str
    reason: str = ""


class Recipient(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Who gets a message, and the msg-id of a call to it."""

    id: str
    msg_id: str = ""


class Sent(_Event, frozen=True, kw_only=True, gc=False):
    """A client, or the hub, has sent a message.

    Parameters
    ----------
    number : int
        Names the message.
    how : str
        The method by which: ``notify``, ``notifyAll``, ``call``, ``callAll``, ``callAndWait``.
    sender : str
        Public id.
    mtype : str
        As it stands in the message; what was refused may say anything.
    size : int
        As encoded, bytes.
    tag : str
        The sender's msg-tag.
    to : tuple of Recipient
        To whom it goes.
    left_out : tuple of str
        Whose queue was full.
    refused : str
        Why it was not taken; empty if it was.
    xml : bytes
        The message, encoded, if it was asked for and is not too long.
    """

    number: int
    how: str
    sender: str
    mtype: str
    size: int = 0
    tag: str = ""
    to: tuple[Recipient, ...] = ()
    left_out: tuple[str, ...] = ()
    refused: str = ""
    xml: bytes = b""


class Arrived(_Event, frozen=True, kw_only=True, gc=False):
    """A message has reached one of its recipients."""

    number: int
    to: str


class Lost(_Event, frozen=True, kw_only=True, gc=False):
    """A message will not reach one of its recipients any more."""

    number: int
    to: str
    reason: str = ""


class Answered(_Event, frozen=True, kw_only=True, gc=False):
    """A call was answered; one from before anybody watched has the number 0.

    Parameters
    ----------
    number : int
        The message's.
    sender, to : str
        Who answers, and whom.
    msg_id, tag : str
        The call's.
    status : str
        ``samp.ok``, ``samp.warning``, ``samp.error``, or what else the response says.
    error : str
        Its ``samp.errortxt``, if it has one.
    instead : bool
        The hub answers in the other's stead.
    size : int
        As encoded, bytes.
    xml : bytes
        The response, encoded, likewise.
    """

    number: int
    sender: str
    to: str
    msg_id: str
    status: str
    tag: str = ""
    error: str = ""
    instead: bool = False
    size: int = 0
    xml: bytes = b""


class Abandoned(_Event, frozen=True, kw_only=True, gc=False):
    """The sender of a synchronous call waits no longer for its answer."""

    number: int
    to: str
    msg_id: str


class Missed(_Event, frozen=True, kw_only=True, gc=False):
    """The watcher was too slow for so many events."""

    count: int


class Ended(_Event, frozen=True, kw_only=True, gc=False):
    """The hub says nothing more; `again` if a successor goes on with its clients."""

    reason: str = ""
    again: bool = False


Event: TypeAlias = Hello | Came | Left | Sent | Arrived | Lost | Answered | Abandoned | Missed | Ended

# ------------------------------------------------------------------ on the way

_LENGTH = 4
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Event]).decode


def pack(events: Sequence[Event]) -> bytes:
    """Return events as they go over the wire: a frame of their length in four bytes, and a list of them as msgpack."""
    packed = _encode(events)
    return len(packed).to_bytes(_LENGTH, "big") + packed


class Unpacker:
    """Takes events out of what comes over the wire, in pieces as it comes.

    Examples
    --------
    >>> bytes_on_the_way = pack([Missed(count=3)])
    >>> unpacker = Unpacker()
    >>> list(unpacker.feed(bytes_on_the_way[:5])), list(unpacker.feed(bytes_on_the_way[5:]))
    ([], [Missed(at=0.0, count=3)])
    """

    def __init__(self) -> None:
        self._held = b""
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = _LENGTH

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that are whole now.

        Raises
        ------
        BadValue
            These are no events.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return  # joined when there is enough: of a long event each piece is copied once
        held, begin = memoryview(b"".join(self._pieces)), 0
        self._wanted = _LENGTH
        try:
            while len(held) - begin >= _LENGTH:
                length = int.from_bytes(held[begin : begin + _LENGTH], "big")
                if length > LONGEST_FRAME:
                    raise BadValue(f"events of {length} bytes: this is no hub that is watched")
                end = begin + _LENGTH + length
                if end > len(held):
                    self._wanted = end - begin
                    break
                yield from _decode(held[begin + _LENGTH : end])
                begin = end
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadValue(f"what the hub tells is no event: {error}") from None
        rest = bytes(held[begin:])
        self._pieces, self._size = ([rest] if rest else []), len(rest)


# ------------------------------------------------------------------ as a line of JSON

_CONTENT = {"sent": "message", "answered": "response"}
"""Under which name what was said stands, by the kind of event."""

_read = msgspec.convert


def as_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON can carry it, what was said as a tree.

    Examples
    --------
    >>> as_json(Lost(at=1.5, number=7, to="c2", reason="it answered HTTP 500"))
    {'event': 'lost', 'at': 1.5, 'number': 7, 'to': 'c2', 'reason': 'it answered HTTP 500'}
    """
    told: dict[str, Any] = msgspec.to_builtins(event, builtin_types=(bytes,))
    if xml := told.pop("xml", b""):
        told[_CONTENT[told["event"]]] = decode_value(xml)
    return told


def from_json(told: object) -> Event:
    """Return the event that a line of JSON tells.

    Raises
    ------
    BadValue
        It tells none.

    Examples
    --------
    >>> from_json({"event": "lost", "number": 7, "to": "c2"})
    Lost(at=0.0, number=7, to='c2', reason='')
    """
    try:
        if not isinstance(told, dict):
            raise BadValue("this is no event: an event is a map")
        rest = dict(told)
        name = _CONTENT.get(str(rest.get("event")), "")
        content = rest.pop(name, None) if name else None
        if content is not None:
            rest["xml"] = encode_value(check_map(content, f"the {name}"))
        event: Event = _read(rest, Event)
        if not 0 <= getattr(event, "number", 0) <= LARGEST_NUMBER:
            raise BadValue("this is no event: no message has that number")
    except (msgspec.ValidationError, Fault, RecursionError) as error:
        raise BadValue(f"this is no event: {error}") from None
    return event
