"""Which connections a server keeps, and how long: none that stands still may cost another its turn.

`Connections` knows every open connection.  Twice a second it looks at all of them: one that has
begun a request and does not finish it, takes no answers, or has been idle too long is told so
or closed.  When a new one is one too many, those that have been idle longest give way, then the
one whose request has been coming in, or its answer going out, for longest.  Nothing here reads
or writes a socket.
"""

import asyncio
import contextlib
import heapq
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

LOOK_EVERY = 0.5
"""Between two looks at the connections, seconds."""

LINGER = 5.0
"""How long a refused peer may go on sending before its connection is closed, seconds.

Closing at once would reset the connection and destroy the answer before the peer has read it.
"""

MAX_CONNECTIONS = 10_000
"""More are never kept, however many descriptors there are: a look at all of them costs milliseconds."""

RESERVED = 64
"""Descriptors for the hub's own files, its listening socket and its log."""

FEWEST = 8
"""Connections that are kept however few descriptors there are."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may stand still.

    Parameters
    ----------
    head : float
        From a request's first byte until its head is whole, seconds.
    body : float
        From there on, plus the time that its body takes at `rate`, seconds.
    rate : float
        How fast a body has to come on average, bytes a second.
    idle : float
        Without any request under way, seconds.
    unread : float
        Without taking any of an answer that waits, seconds.
    """

    head: float = 20.0
    body: float = 20.0
    rate: float = 10_000.0
    idle: float = 300.0
    unread: float = 60.0


class Activity(Enum):
    """What a connection is at."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()


class Connection(Protocol):
    """What is asked of a connection here."""

    since: float
    """When it began to be idle, or its present request began to come, by the loop's clock."""

    @property
    def activity(self) -> Activity:
        """What it is at."""

    @property
    def received(self) -> int:
        """How much of the present request's body has come, bytes."""

    @property
    def unsent(self) -> int:
        """How much of its answers the peer has not taken yet, bytes."""

    def time_out(self, text: str) -> None:
        """Answer that the request took too long, and close."""

    def give_way(self) -> None:
        """Close for the sake of another."""

    def abort(self) -> None:
        """Close at once, and drop what is unsent."""


C = TypeVar("C", bound=Connection)


class Connections(Generic[C]):
    """The open connections of one server.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Whose clock counts.
    most : int
        How many are kept.
    patience : Patience
        How long they may stand still.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, patience: Patience) -> None:
        self._loop = loop
        self._most = most
        self._patience = patience
        self._open: dict[C, None] = {}  # in the order of their coming
        self._unread: dict[C, tuple[int, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[C]:
        return iter(self._open)

    def close(self) -> list[C]:
        """Look no more; return what is open."""
        if self._timer is not None:
            self._timer.cancel()
        return list(self._open)

    def admit(self, connection: C) -> bool:
        """Keep a new connection; false if there is no room, and nobody can give way."""
        if len(self._open) >= self._most and not self._make_room():
            return False
        self._open[connection] = None
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look)
        return True

    def discard(self, connection: C) -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)
        self._unread.pop(connection, None)

    def _make_room(self) -> bool:
        # Several at once, so that a flood pays for a look at all of them once in a while only.
        idle = [each for each in self._open if each.activity is Activity.IDLE]
        leaving = heapq.nsmallest(max(1, self._most // 100), idle, key=_since)
        if not leaving:
            unfinished = [each for each in self._open if each.activity is not Activity.ANSWERING or each.unsent]
            leaving = heapq.nsmallest(1, unfinished, key=_since)
        for each in leaving:
            self.discard(each)
            each.give_way()
        return bool(leaving)

    def _look(self) -> None:
        # An idle hub is not woken for nothing: a hundred of them would take 1 % of a core.
        self._timer = self._loop.call_later(LOOK_EVERY, self._look) if self._open else None
        now = self._loop.time()
        patience = self._patience
        for each in list(self._open):
            age = now - each.since
            match each.activity:
                case Activity.IDLE if age > patience.idle:
                    each.give_way()
                case Activity.HEAD if age > patience.head:
                    each.time_out(f"the request's head was not whole within {patience.head:g} s")
                case Activity.BODY if age > patience.head + patience.body + each.received / patience.rate:
                    each.time_out(f"the request's body comes too slowly: {each.received} bytes in {age:.0f} s")
                case Activity.ANSWERING if self._takes_nothing(each, now):
                    each.abort()

    def _takes_nothing(self, connection: C, now: float) -> bool:
        unsent = connection.unsent
        if not unsent:
            self._unread.pop(connection, None)
            return False
        before, since = self._unread.get(connection, (unsent + 1, now))
        if unsent < before:
            self._unread[connection] = unsent, now
            return False
        return now - since > self._patience.unread


def _since(connection: Connection) -> float:
    return connection.since


@dataclass(frozen=True, slots=True)
class Room:
    """What this process's descriptors suffice for.

    Parameters
    ----------
    connections : int
        That others make to it.
    callbacks : int
        That it makes.
    """

    connections: int
    callbacks: int


def raise_descriptor_limit() -> None:
    """Let this process open as many files and sockets as it ever may; for processes of our own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # the system may have less than the hard limit says (macOS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def room() -> Room:
    """Share out the descriptors that this process may have.

    Half is for connections that come in, half for those to callback URLs: a flood of the
    former must not make living clients unreachable.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 4 * MAX_CONNECTIONS
    share = max(FEWEST, (soft - RESERVED) // 2)
    return Room(connections=min(share, MAX_CONNECTIONS), callbacks=share)
