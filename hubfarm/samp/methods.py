"""SAMP's methods as one table: what a hub can be asked, and what it says to its clients.

Hubs, profiles and clients read their parameters here, and nowhere else does a list of methods stand.  A method has
its name of the abstract API (SAMP 1.3, 3.11); a profile puts its own prefix before it (4.3).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

KEY = "private-key"


class Caller(Enum):
    """Who may call a method of the hub."""

    ANYBODY = "anybody"
    NEWCOMER = "newcomer"
    """Who shows what the profile asks of newcomers: the lock file's secret, say."""
    CLIENT = "client"
    """A registered client, which gives its private key as the first parameter."""


STRUCTURED = frozenset({"message", "response", "metadata", "subscriptions"})
"""Parameters that are maps; all others are strings."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the hub.

    Parameters
    ----------
    name : str
        As ``notify``.
    parameters : tuple of str
        What it takes, the private key of a client not counted.
    caller : Caller
        Who may call it.
    kept : bool
        What it carries goes to others, and outlives the hub's process.

    Examples
    --------
    >>> METHODS["call"].takes
    ('private-key', 'recipient-id', 'msg-tag', 'message')
    """

    name: str
    parameters: tuple[str, ...] = ()
    caller: Caller = Caller.CLIENT
    kept: bool = False

    @property
    def takes(self) -> tuple[str, ...]:
        """All its parameters."""
        return (KEY, *self.parameters) if self.caller is Caller.CLIENT else self.parameters


def _table(*methods: Method) -> dict[str, Method]:
    return {method.name: method for method in methods}


METHODS = _table(
    Method("ping", caller=Caller.ANYBODY),
    Method("unregister"),
    Method("declareMetadata", ("metadata",)),
    Method("getMetadata", ("client-id",)),
    Method("declareSubscriptions", ("subscriptions",)),
    Method("getSubscriptions", ("client-id",)),
    Method("getRegisteredClients"),
    Method("getSubscribedClients", ("mtype",)),
    Method("notify", ("recipient-id", "message"), kept=True),
    Method("notifyAll", ("message",), kept=True),
    Method("call", ("recipient-id", "msg-tag", "message"), kept=True),
    Method("callAll", ("msg-tag", "message"), kept=True),
    Method("callAndWait", ("recipient-id", "message", "timeout")),
    Method("reply", ("msg-id", "response"), kept=True),
    Method("allowReverseCallbacks", ("allow",)),
    Method("pullCallbacks", ("timeout",)),
)
"""The methods of every profile (SAMP 1.3, 3.11).

The last two are the Web Profile's (5.2.4); the Standard Profile has them here as an extension, for clients that cannot
be called.
"""

STANDARD_METHODS = METHODS | _table(
    Method("register", ("secret",), Caller.NEWCOMER),
    Method("setXmlrpcCallback", ("url",)),
)
"""Those of the Standard Profile (SAMP 1.3, 4.3.1)."""

STANDARD_PREFIX = "samp.hub."
"""What the Standard Profile puts before a method of the hub."""


WEB_METHODS = METHODS | _table(
    Method("register", ("identity-info",), Caller.NEWCOMER),
)
"""Those of the Web Profile (SAMP 1.3, 5.2)."""

WEB_PREFIX = "samp.webhub."
"""What the Web Profile puts before a method of the hub."""


class Kind(StrEnum):
    """What a hub hands to a client; the value is the client's method for it (SAMP 1.3, 3.11)."""

    NOTIFICATION = "receiveNotification"
    CALL = "receiveCall"
    RESPONSE = "receiveResponse"

    @property
    def takes(self) -> tuple[str, ...]:
        """The parameters of that method, the client's private key first."""
        return (KEY, *_DELIVERED[self])

    @property
    def is_tagged(self) -> bool:
        """Whether there is a msg-id or msg-tag among them."""
        return self is not Kind.NOTIFICATION


_DELIVERED = {
    Kind.NOTIFICATION: ("sender-id", "message"),
    Kind.CALL: ("sender-id", "msg-id", "message"),
    Kind.RESPONSE: ("responder-id", "msg-tag", "response"),
}

CLIENT_PREFIX = "samp.client."
"""What comes before a method of a client."""
