"""An answer that has no length: it goes on in pieces, until either side leaves (RFC 9112, 7.1).

A handler returns a `Stream` in place of a `Response`.  Who writes to it looks at `unsent` first: nothing here waits,
and what a peer does not take is held.
"""

from collections.abc import Callable
from typing import Protocol

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


class Sink(Protocol):
    """The connection below a stream."""

    @property
    def buffered(self) -> int:
        """How much of what was written the peer has not taken yet, bytes."""

    def write_at_once(self, data: bytes) -> None:
        """Write some bytes, without a look at whether the peer takes them."""

    def end_stream(self) -> None:
        """Close, once what was written is on its way."""


class Stream:
    """One answer that goes on.

    Parameters
    ----------
    content_type : bytes
        The media type.
    on_room : callable
        Called when the peer has taken what was written.
    on_end : callable
        Called once when the peer has left, or the connection is closed.
    """

    def __init__(self, content_type: bytes, on_room: Callable[[], None], on_end: Callable[[], None]) -> None:
        self._content_type = content_type
        self._on_room = on_room
        self._on_end = on_end
        self._sink: Sink | None = None
        self._written = 0
        self._closing = False
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether anything may be written: it has begun, and not ended."""
        return self._sink is not None and not self._closing

    @property
    def unsent(self) -> int:
        """How much of what was written the peer has not taken yet, bytes."""
        return self._sink.buffered if self._sink is not None else 0

    @property
    def taken(self) -> int:
        """How much the peer has taken so far, bytes."""
        return self._written - self.unsent

    def write(self, data: bytes) -> None:
        """Write one piece; nothing once it has ended."""
        if self.is_open and data:
            self._put(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        """Say that this was all, and close."""
        if self._sink is not None and not self._closing:
            self._put(b"0\r\n\r\n")
            self._closing = True
            self._sink.end_stream()

    def _put(self, data: bytes) -> None:
        assert self._sink is not None
        self._written += len(data)
        self._sink.write_at_once(data)

    # ---------------------------------------------------------------- what the connection calls

    def begin(self, sink: Sink) -> None:
        """Answer with the head; who returned the stream may write from now on."""
        self._sink = sink
        self._put(_HEAD % self._content_type)
        self._on_room()

    def has_room(self) -> None:
        """Take note that the peer has taken what was written."""
        if not self._closing:
            self._on_room()

    def lost(self) -> None:
        """Take note that the connection is closed."""
        self._closing = True
        if not self._ended:
            self._ended = True
            self._on_end()
