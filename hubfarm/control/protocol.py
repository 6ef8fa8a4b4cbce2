"""What ``hubfarm`` and a coordinator say to each other on the control socket: requests, events, errors and the version.

Each message is one line of JSON.  The asking end sends its `Hello` and one request.  The coordinator reads both, says
`Hello` itself, and then tells events as things happen, the last one `Done` or `Failed`.  Both ends compare the versions
before they look at anything else, and go no further if they differ.  Who has heard no `Hello` knows that nothing was
done.  This file says what is said; it knows no socket.

Rule: `Hello` stays as it is, whatever else changes, so that any two releases can tell each other apart.
"""

import os
import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest, check_together
from hubfarm.spec.limits import Limits
from hubfarm.spec.states import Phase
from hubfarm.version import __version__, in_order

MOST = 2**20
"""The longest request, bytes."""


class NoCoordinator(HubfarmError):
    """No coordinator answers on the control socket, or it is ending; nothing was done."""


class OtherVersion(HubfarmError):
    """The coordinator speaks another version of the protocol."""


class Hello(msgspec.Struct, frozen=True):
    """What each end says first.

    Parameters
    ----------
    release : str
        Of hubfarm.
    protocol : str
        The version of the protocol that it speaks; see `VERSION`.
    pid : int
        Its process.
    """

    release: str
    protocol: str
    pid: int


# ---------------------------------------------------------------------- requests


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag=str.lower):
    """What can be asked of a coordinator."""


class Status(Request, frozen=True):
    """Who coordinates what?  Answered by a `Coordinator`."""


class Start(Request, frozen=True):
    """Start hubs, all or none.  A `Hub` tells of each as it serves.

    Parameters
    ----------
    requests : list of HubRequest
        Which.
    """

    requests: list[HubRequest]

    def __post_init__(self) -> None:
        check_together(self.requests)


class Stop(Request, frozen=True):
    """End hubs in order.  A `Hub` tells of each as it is gone.

    Parameters
    ----------
    ids : list of int
        Which; ids of no hub of the farm are passed over.
    """

    ids: list[int]


class Restart(Request, frozen=True):
    """End the workers of hubs in order, and start successors.  A `Hub` tells of each as it serves.

    Parameters
    ----------
    ids : list of int
        Which; ids of no hub of the farm are passed over.
    """

    ids: list[int]


class Sleep(Request, frozen=True):
    """Let hubs sleep with their clients, if nobody uses them.  A `Hub` tells of each as it does.

    Parameters
    ----------
    ids : list of int
        Which; ids of no hub of the farm are passed over.
    """

    ids: list[int]


class Wake(Request, frozen=True):
    """Wake hubs.  A `Hub` tells of each as it serves.

    Parameters
    ----------
    ids : list of int
        Which; ids of no hub of the farm are passed over.
    """

    ids: list[int]


class Shutdown(Request, frozen=True):
    """End the farm.  It has only begun when that is answered."""


AnyRequest = Status | Start | Stop | Restart | Sleep | Wake | Shutdown


# ---------------------------------------------------------------------- events


class HubStatus(msgspec.Struct, frozen=True):
    """One hub as its coordinator knows it; no secrets.

    Parameters
    ----------
    id : int
        Its number on this host.
    label, owner, group : str
        Free names; empty for none.
    phase : Phase
        Where it is in its life.
    pid : int or None
        Its worker; None if it has none.
    url : str
        Its XML-RPC endpoint; empty until it has served.
    restarts : int
        How often it was restarted.
    early_deaths, falls : int
        How its workers died of late; see `hubfarm.coordinator.aftermath.Deaths`.
    lock_file : str or None
        Its lock file; None if it has no worker.
    stable_name : str
        A path that leads to its lock file, restarts included.
    """

    id: int
    label: str
    owner: str
    group: str
    phase: Phase
    pid: int | None
    url: str
    restarts: int
    early_deaths: int
    falls: int
    lock_file: str | None
    stable_name: str


class WebState(StrEnum):
    """How a farm has the port where web pages look for a hub."""

    OFF = "off"
    """It does not want it."""
    TAKEN = "taken"
    """Another program has it; it is tried for."""
    ASLEEP = "asleep"
    """It has it, and no gateway runs: one starts when somebody comes."""
    AWAKE = "awake"
    """It has it, and a gateway runs."""


class WebStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The port where web pages look for a hub.

    Parameters
    ----------
    state : WebState
        How it is had.
    port : int
        Which it is.
    switchboard : bool
        The host's switchboard has it, and hands over who comes to this account.
    pid : int or None
        The gateway's process.
    problem : str
        Why it is not had; empty if it is.
    """

    state: WebState
    port: int
    switchboard: bool = False
    pid: int | None = None
    problem: str = ""


class CoordinatorStatus(msgspec.Struct, frozen=True):
    """A coordinator and its hubs.

    Parameters
    ----------
    pid : int
        Its process.
    version : str
        Its release.
    uptime : float
        Since it started, seconds.
    hubs : list of HubStatus
        Those that it looks after, in the order of their coming.
    web : WebStatus or None
        Where web pages come in.
    """

    pid: int
    version: str
    uptime: float
    hubs: list[HubStatus]
    web: WebStatus | None = None


class Event(msgspec.Struct, frozen=True, tag_field="tell", tag=str.lower):
    """What a coordinator tells of a request."""


class Coordinator(Event, frozen=True):
    """Who coordinates what.

    Parameters
    ----------
    status : CoordinatorStatus
        That.
    """

    status: CoordinatorStatus


class Hub(Event, frozen=True):
    """What was asked for has happened to a hub.

    Parameters
    ----------
    status : HubStatus
        The hub, now.
    """

    status: HubStatus


class Done(Event, frozen=True):
    """All that was asked for is done."""


class Failure(StrEnum):
    """Whose fault it is that a request failed."""

    WRONG_USE = "wrong use"
    NO_COORDINATOR = "no coordinator"
    """The coordinator is ending; the next one may be asked."""
    FAILED = "failed"


_ERRORS: dict[Failure, type[HubfarmError]] = {
    Failure.WRONG_USE: WrongUse,
    Failure.NO_COORDINATOR: NoCoordinator,
    Failure.FAILED: HubfarmError,
}


class Failed(Event, frozen=True):
    """It is not done, and what had begun was taken back where `Farm` says so.

    Parameters
    ----------
    message : str
        What happened, to what, and what to do.
    failure : Failure
        Whose fault it is.
    """

    message: str
    failure: Failure = Failure.FAILED

    @classmethod
    def by(cls, error: HubfarmError) -> "Failed":
        """Return what is told of an error."""
        return cls(str(error), next(failure for failure, kind in _ERRORS.items() if isinstance(error, kind)))

    def error(self) -> HubfarmError:
        """Return the error that was told of."""
        return _ERRORS[self.failure](self.message)


AnyEvent = Coordinator | Hub | Done | Failed


# ---------------------------------------------------------------------- the version

EDITION = 2
"""Counted up when what is said stays, and what is meant by it changes.  1 was HTTP (until 0.2)."""


def fingerprint(structures: Sequence[type[msgspec.Struct]]) -> str:
    """Return what changes when a structure gets, loses or renames a field: so nobody can forget to count that."""
    return f"{zlib.crc32(repr([(each.__name__, each.__struct_fields__) for each in structures]).encode()):08x}"


STRUCTURES = (
    *(Status, Start, Stop, Restart, Sleep, Wake, Shutdown),
    *(Coordinator, Hub, Done, Failed),
    *(HubRequest, Limits, HubStatus, CoordinatorStatus, WebStatus),
)
VERSION = f"{EDITION}-{fingerprint(STRUCTURES)}"
"""What this release speaks."""


def hello() -> Hello:
    """Return what this process says first."""
    return Hello(__version__, VERSION, os.getpid())


def check_same_version(ours: Hello, coordinators: Hello) -> None:
    """Refuse a coordinator that speaks another version than we do.

    Raises
    ------
    OtherVersion
        The message says which release talks to which, and what to restart or upgrade.

    Examples
    --------
    >>> check_same_version(Hello("0.4.0", "3-1", 7), Hello("0.3.0", "2-1", 4711))
    Traceback (most recent call last):
        ...
    hubfarm.control.protocol.OtherVersion: this is hubfarm 0.4.0, and the coordinator (process 4711) is of hubfarm \
0.3.0: bring it to this release by hubfarm upgrade, its hubs keep their clients
    >>> check_same_version(Hello("0.3.0", "2-1", 7), Hello("0.4.0", "3-1", 4711))
    Traceback (most recent call last):
        ...
    hubfarm.control.protocol.OtherVersion: this is hubfarm 0.3.0, and the coordinator (process 4711) is of hubfarm \
0.4.0: upgrade this hubfarm to 0.4.0
    """
    if ours.protocol == coordinators.protocol:
        return
    pid, theirs = coordinators.pid, coordinators.release
    build = ""
    if in_order(theirs) > in_order(ours.release):
        what_to_do = f"upgrade this hubfarm to {theirs}"
    elif theirs != ours.release:
        what_to_do = "bring it to this release by hubfarm upgrade, its hubs keep their clients"
    else:  # of two states of a checkout, which hubfarm upgrade takes for the same
        build = ", from another state of its source"
        what_to_do = f"kill -9 {pid}, the next hubfarm start begins a new one, which takes on its hubs"
    raise OtherVersion(
        f"this is hubfarm {ours.release}, and the coordinator (process {pid}) is of hubfarm {theirs}{build}: "
        f"{what_to_do}"
    )


# ---------------------------------------------------------------------- lines

Message = TypeVar("Message")
_hellos = msgspec.json.Decoder(Hello)
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(message: msgspec.Struct) -> bytes:
    """Return a message as a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_hello(line: bytes) -> Hello:
    """Return what the other end says first.

    Raises
    ------
    WrongUse
        It is nothing of the kind.
    """
    return _decode(line, _hellos)


def decode_request(line: bytes) -> AnyRequest:
    """Return the request of a line.

    Raises
    ------
    WrongUse
        It is none, or asks for what cannot be.

    Examples
    --------
    >>> decode_request(b'{"ask": "stop", "ids": [1, 2]}')
    Stop(ids=[1, 2])
    """
    return _decode(line, _requests)


def decode_event(line: bytes) -> AnyEvent:
    """Return the event of a line.

    Raises
    ------
    WrongUse
        It is none.
    """
    return _decode(line, _events)


def _decode(line: bytes, decoder: "msgspec.json.Decoder[Message]") -> Message:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WrongUse(" ".join(f"not a message of the control protocol: {error}".split())) from None
