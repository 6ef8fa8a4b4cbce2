"""Those who watch a hub: what it tells goes to each of them as a stream, and waits for none.

What a watcher does not take waits for it, up to a bound.  When half of that is used, it gets no more content of
messages; when all is, it misses events, and is told how many as soon as there is room again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, islice

import msgspec
from loguru import logger

from hubfarm.hub.core import Hub
from hubfarm.hub.watched import came, unwatch, watch
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.principal import Principal
from hubfarm.spec.watching import CONTENT_TYPE, Answered, Ended, Event, Hello, Missed, Sent, pack
from hubfarm.visible import visible
from hubfarm.wire.streams import Stream

MOST_WATCHERS = 16
"""Who watches at the same time."""

MOST_WAITING = 8 * 2**20
"""What may wait for one watcher, bytes."""

HALF = MOST_WAITING // 2

MOST_UNSENT = 256 * 2**10
"""So much is given to a watcher's connection at a time, bytes."""

EVERY = 0.02
"""So long events wait for others to be told together, seconds: each alone would cost four times as much."""

MOST_TOGETHER = 1000
"""Events that are told together."""


class TooMany(HubfarmError):
    """As many watch as may."""


class Watcher:
    """One of them, and what waits for it.

    Parameters
    ----------
    name : str
        What it calls itself.
    who : Principal
        Who it has proved to be.
    content : int
        Longest content of a message that it wants to see, bytes as encoded.
    on_end : callable
        Called once when it has left.
    """

    def __init__(self, name: str, who: Principal, content: int, on_end: "Callable[[Watcher], None]") -> None:
        self.name = name
        self.who = who
        self.content = content
        self.stream = Stream(CONTENT_TYPE.encode(), self.flush, lambda: on_end(self))
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._missed = 0

    def __str__(self) -> str:
        return visible(f"{self.name} ({self.who})")

    def longest_content(self) -> int:
        """Return the longest content that it gets now, bytes."""
        return self.content if self._size <= HALF else 0

    def put(self, frame: bytes, count: int) -> None:
        """Have so many events told behind what waits already, or missed."""
        if self._missed and self._size <= HALF:
            self._say_missed()
        if self._missed or self._size + len(frame) > MOST_WAITING:
            self._missed += count
            return
        self._append(frame)

    def _append(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._size += len(frame)

    def _say_missed(self) -> None:
        missed, self._missed = self._missed, 0
        self._append(pack([Missed(count=missed)]))

    def flush(self) -> None:
        """Write what waits, as far as the peer takes it."""
        stream, waiting = self.stream, self._waiting
        while stream.is_open and stream.unsent < MOST_UNSENT:
            if self._missed and self._size <= HALF:
                self._say_missed()
            if not waiting:
                break
            pieces, size = [], 0
            while waiting and size < MOST_UNSENT:
                pieces.append(waiting.popleft())
                size += len(pieces[-1])
            self._size -= size
            stream.write(b"".join(pieces))

    def end(self, event: Ended) -> None:
        """Tell that this was all, and close; what does not fit is not waited for."""
        self.put(pack([event]), 1)
        self.flush()
        self.stream.end()


class Watchers:
    """The watchers of one hub.

    Parameters
    ----------
    hub : Hub
        Which.
    hello : callable
        Returns what a watcher is told first.
    clock : callable
        Returns the time, seconds since 1970.
    changed : callable
        Told that there are more, or fewer.
    """

    def __init__(
        self, hub: Hub, hello: Callable[[], Hello], clock: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        self.content = 0
        """Longest content that one of them wants to see, bytes as encoded."""
        self._hub = hub
        self._hello = hello
        self._clock = clock
        self._changed = changed
        self._all: list[Watcher] = []
        self._events: list[Event] = []
        """What happened since it was told last."""
        self._size = 0
        """What contents and recipients take in these, bytes."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    @property
    def names(self) -> Sequence[str]:
        """Who watches, for the hub's clients to know."""
        return [f"{each.name} (the user {each.who.user})" if each.who.user else each.name for each in self._all]

    def admit(self, name: str, who: Principal, content: int) -> Stream:
        """Let somebody watch from now on; return what it is told by.

        Raises
        ------
        TooMany
            So it is.
        """
        if len(self._all) >= MOST_WATCHERS:
            raise TooMany(f"{MOST_WATCHERS} watch this hub already: end one")
        self._tell_all()  # what was before it came
        new = Watcher(name, who, content, self._leave)
        at = self._clock()
        hello: Event = msgspec.structs.replace(self._hello(), at=at)
        told = chain([hello], (came(each, at) for each in self._hub.clients))
        while some := list(islice(told, MOST_TOGETHER)):
            new.put(pack(some), len(some))
        self._all.append(new)
        if len(self._all) == 1:
            watch(self._hub, self, self._clock)
        logger.info("watched by {}", new)
        self._look_at_all()
        return new.stream

    def _leave(self, watcher: Watcher) -> None:
        if watcher not in self._all:
            return
        self._all.remove(watcher)
        if not self._all:
            unwatch(self._hub)
            self._tell_all()
        logger.info("not watched any more by {}", watcher)
        self._look_at_all()

    def _look_at_all(self) -> None:
        self.content = max((each.content for each in self._all), default=0)
        self._changed()

    def tell(self, event: Event, size: int = 0) -> None:
        """Tell all of them of an event; soon, together with what follows it.

        Parameters
        ----------
        event : Event
            What has happened.
        size : int
            What its content and recipients take, bytes.
        """
        events = self._events
        if not events:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tell_all)
        events.append(event)
        self._size += size
        if len(events) >= MOST_TOGETHER or self._size >= MOST_UNSENT:
            self._tell_all()

    def _tell_all(self) -> None:
        """Tell what has happened, to each with the contents that it wants; encoded once for all who want the same."""
        events, self._events, self._size = self._events, [], 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not events:
            return
        longest = max((len(event.xml) for event in events if isinstance(event, (Sent, Answered))), default=0)
        frames: dict[int, bytes] = {}
        for each in list(self._all):
            content = min(each.longest_content(), longest)
            if content not in frames:
                frames[content] = pack(events if content == longest else [_without(event, content) for event in events])
            each.put(frames[content], len(events))
            each.flush()

    @property
    def principals(self) -> Sequence[Principal]:
        """Who they have proved to be."""
        return [each.who for each in self._all]

    def restrict(self, reason_to_leave: Callable[[Principal], str]) -> None:
        """Let go those who may not watch any more.

        Parameters
        ----------
        reason_to_leave : callable
            Says why one may not; empty if it may.
        """
        for each in list(self._all):
            if reason := reason_to_leave(each.who):
                self._end(each, Ended(at=self._clock(), reason=reason))

    def end(self, reason: str, *, again: bool) -> None:
        """Tell all that the hub says nothing more.

        Parameters
        ----------
        reason : str
            Why.
        again : bool
            A successor goes on with its clients.
        """
        for each in list(self._all):
            self._end(each, Ended(at=self._clock(), reason=reason, again=again))

    def _end(self, watcher: Watcher, event: Ended) -> None:
        self._tell_all()
        watcher.end(event)
        self._leave(watcher)


def _without(event: Event, content: int) -> Event:
    """Return an event without its content, if that is longer than so many bytes."""
    if isinstance(event, (Sent, Answered)) and len(event.xml) > content:
        return msgspec.structs.replace(event, xml=b"")
    return event
