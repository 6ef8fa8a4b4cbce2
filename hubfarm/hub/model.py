"""The nouns of a hub, as plain data: clients, deliveries, calls that wait, and what follows from a call.

Nothing here decides anything: `hubfarm.hub.core` does.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from hubfarm.hub.routes import Route
from hubfarm.samp.methods import Kind
from hubfarm.samp.values import Map, Value
from hubfarm.samp.xmlrpc import EncodedMap, decode_value, encode_value
from hubfarm.spec.principal import ANYBODY, Principal
from hubfarm.spec.web_pages import WEB
from hubfarm.visible import visible

HUB_ID = "hub"
"""The hub's own public id."""

EMPTY = EncodedMap.of({})
"""What a client's metadata are before it declares any."""


class Payload:
    """A message or response on its way, encoded once however many receive it.

    Parameters
    ----------
    xml : bytes
        The message or response as a ``<value>`` element.
    file : str
        The name of the file in which a journal has it already; empty for none.
    """

    __slots__ = ("deliveries", "file", "urls_are_noted", "xml")

    def __init__(self, xml: bytes, file: str = "") -> None:
        self.xml = xml
        self.file = file
        self.deliveries = 0
        """How many deliveries of it wait in queues."""
        self.urls_are_noted = False
        """The URLs in it were noted as ones of which pages were told."""

    @classmethod
    def of(cls, value: Map | EncodedMap) -> "Payload":
        """Encode a message or response, if it is not encoded still."""
        return cls(value.xml, value.file) if isinstance(value, EncodedMap) else cls(encode_value(value))

    @property
    def value(self) -> Value:
        """The message or response itself."""
        return decode_value(self.xml)


@dataclass(slots=True, eq=False)
class Client:
    """One registered client.

    Parameters
    ----------
    id : str
        Public id.
    key : str
        Private key.
    active : float
        When it last did something that counts as activity, seconds.
    principal : Principal
        Who it is.
    route : Route or None
        How it is reached; None if it is not callable.
    metadata : EncodedMap
        As declared.
    subscriptions : Map
        As declared.
    subscriptions_size, declared : int
        The encoded size of the subscriptions, and of both together, bytes.
    asked, owing : set of str
        The msg-ids of calls that it sent, or has to answer.
    since : float
        When it registered, seconds.
    messages : int
        Messages accepted from it, since this worker runs.
    queued, queued_bytes : int
        Deliveries on their way to it, and their size, bytes.
    pinged : float or None
        When the hub asked it for a sign of life, since it was last active.
    gone : bool
        It has left or was thrown out.
    """

    id: str
    key: str = field(repr=False)
    active: float
    principal: Principal = ANYBODY
    route: Route | None = None
    metadata: EncodedMap = EMPTY
    subscriptions: Map = field(default_factory=dict)
    subscriptions_size: int = 0
    declared: int = 0
    asked: set[str] = field(default_factory=set)
    owing: set[str] = field(default_factory=set)
    since: float = 0.0
    messages: int = 0
    queued: int = 0
    queued_bytes: int = 0
    pinged: float | None = None
    gone: bool = False

    is_page: bool = field(init=False)
    """It is a web page."""

    def __post_init__(self) -> None:
        self.is_page = self.principal.profile == WEB

    @property
    def name(self) -> str:
        """Its ``samp.name`` if it has declared one."""
        name = self.metadata.outline.get("samp.name")
        return name if isinstance(name, str) else ""

    def __str__(self) -> str:
        return f"{self.id} ({visible(self.name)})" if self.name else self.id  # a line end would forge lines of the log


class PendingCall(NamedTuple):
    """A call that waits for its reply.

    Parameters
    ----------
    sender : Client or None
        Who asked; None for the hub.
    recipient : Client
        Who has to reply.
    tag : str
        The sender's msg-tag.
    synchronous : bool
        The sender waits for it in `callAndWait`.
    """

    sender: Client | None
    recipient: Client
    tag: str
    synchronous: bool


@dataclass(slots=True, eq=False)
class Delivery:
    """Effect: one message or response to hand to one client.

    Parameters
    ----------
    to : Client
        The receiver.
    kind : Kind
        Which of the client's methods to call.
    sender : str
        Public id of the sender or responder.
    tag : str
        The msg-id of a call, the msg-tag of a response; unused for notifications.
    payload : Payload
        The message or response.
    number : int
        Its place in the order of all deliveries; 0 if it is in no queue.
    """

    to: Client
    kind: Kind
    sender: str
    tag: str
    payload: Payload
    number: int = 0


class Answer(NamedTuple):
    """Effect: the call `msg_id`, which somebody waits for synchronously, is answered."""

    msg_id: str
    response: Map | EncodedMap


class Departure(NamedTuple):
    """Effect: `client` is gone; what waits for it is void, `farewell` is the last it gets."""

    client: Client
    reason: str
    farewell: Delivery | None


class Rerouted(NamedTuple):
    """Effect: what waits for `client` goes out another way from now on."""

    client: Client


class LeftOut(NamedTuple):
    """Effect: `client` did not get the broadcast `mtype`, because its queue is full."""

    client: Client
    mtype: str


Effect = Delivery | Answer | Departure | LeftOut | Rerouted


class Outcome(NamedTuple):
    """What a method of the hub returns: the caller's result, and what follows from it."""

    result: Value
    effects: list[Effect]


@dataclass(slots=True)
class Counters:
    """What the hub has done so far; see `hubfarm.registry.statetable.Record`."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    queued: int = 0
    queued_bytes: int = 0
    peak: int = 0
