"""What a journal holds: one record for each change of what a hub knows.

Records say what *is*, not what was done, so that a journal can be made shorter by writing the
present state in the very same records.  They refer to clients by id and to deliveries by number.
"""

from typing import Any, TypeAlias

import msgspec

from hubfarm.spec.principal import ANYBODY, Principal


class ClientRecord(msgspec.Struct, array_like=True, tag="c", frozen=True):
    """A client as it is now; replaces an earlier record of it."""

    id: str
    key: str
    route: str
    metadata: bytes | dict[str, Any]  # encoded; release 0.1.0 wrote the Map itself
    subscriptions: dict[str, Any]  # a Map; msgspec does not resolve the recursive type
    since: float = 0.0
    principal: Principal = ANYBODY


class GoneRecord(msgspec.Struct, array_like=True, tag="g", frozen=True):
    """A client has gone, and all that waits for it."""

    id: str


class Routed(msgspec.Struct, array_like=True):
    """One receiver of a message: the delivery's number, the client, and msg-id or msg-tag."""

    number: int
    client: str
    tag: str


class MessageRecord(msgspec.Struct, array_like=True, tag="m"):
    """A message or response was accepted, and is on its way to one or more clients.

    Parameters
    ----------
    kind : str
        The name of the `Kind`.
    sender : str
        Public id of the sender or responder.
    payload : bytes
        The message, encoded; empty if it lies in a file of its own.
    to : list of Routed
        Its receivers.
    caller : str or None
        For a call: public id of the client that waits for the reply, or the hub's.
    msg_tag : str
        For a call: the caller's msg-tag.
    file : str
        The name of that file.
    """

    kind: str
    sender: str
    payload: bytes
    to: list[Routed]
    caller: str | None = None
    msg_tag: str = ""
    file: str = ""


class AlsoRecord(msgspec.Struct, array_like=True, tag="b", frozen=True):
    """The message of the delivery `first` is on its way to one more (in a shortened journal)."""

    first: int
    to: Routed


class SettledRecord(msgspec.Struct, array_like=True, tag="s"):
    """Deliveries have arrived, or never will."""

    numbers: list[int]


class SuspectRecord(msgspec.Struct, array_like=True, tag="x", frozen=True):
    """These deliveries were under way when a worker fell of itself."""

    numbers: list[int]


class WaitingRecord(msgspec.Struct, array_like=True, tag="w", frozen=True):
    """A call that has been delivered still waits for its reply (in a shortened journal)."""

    msg_id: str
    caller: str
    recipient: str
    msg_tag: str


class AnsweredRecord(msgspec.Struct, array_like=True, tag="a", frozen=True):
    """A call waits for no reply any more."""

    msg_id: str


class CountersRecord(msgspec.Struct, array_like=True, tag="n", frozen=True):
    """The numbers that make ids unique (in a shortened journal)."""

    last_client: int
    last_message: int
    last_delivery: int


class DrainingRecord(msgspec.Struct, array_like=True, tag="d", frozen=True):
    """The hub takes no new clients, and ends once nothing waits for any."""


class UrlsRecord(msgspec.Struct, array_like=True, tag="u", frozen=True):
    """It was decided of URLs whether web pages may read them; see `hubfarm.spec.url_tracker`."""

    permitted: bool
    digests: list[bytes]


Record: TypeAlias = (
    ClientRecord
    | GoneRecord
    | MessageRecord
    | AlsoRecord
    | SettledRecord
    | SuspectRecord
    | WaitingRecord
    | AnsweredRecord
    | CountersRecord
    | DrainingRecord
    | UrlsRecord
)
