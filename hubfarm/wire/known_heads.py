"""Heads that were seen before, byte for byte: what the parser made of them is known.

A peer sends the same head with every message, but for the length of the body (and the time of
day), and what a head says follows from its bytes alone.  So a head that the parser has read
once, of a message with nothing unusual in it, is not read again: to look it up takes 1 µs,
httptools with its ten callbacks into Python 10 µs.
"""

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_END = b"\r\n\r\n"

MAX_SIZE = 2048
"""Longer heads are never remembered, bytes."""

MAX_KNOWN = 512
"""How many are remembered of clients; then all are forgotten. Each length of a body makes another."""


class KnownHead(NamedTuple, Generic[T]):
    """A head that says that its message is complete with `length` bytes of body, and leaves the connection open.

    Parameters
    ----------
    size : int
        The head's own, with the empty line behind it, bytes.
    length : int
        The body's, bytes.
    says : T
        What else is in it.
    """

    size: int
    length: int
    says: T


def head_of(data: bytes) -> bytes:
    r"""Return the head that `data` begins with, if it is whole and short enough to be remembered.

    Examples
    --------
    >>> head_of(b"HTTP/1.1 200 OK\r\n\r\nbody")
    b'HTTP/1.1 200 OK\r\n\r\n'
    """
    if data[:1] in (b"\r", b"\n"):
        return b""  # parsers pass over empty lines: what ends them is the end of no head
    end = data.find(_END, 0, MAX_SIZE)
    return data[: end + len(_END)] if end >= 0 else b""


class KnownHeads(Generic[T]):
    """The heads that one side of HTTP has seen.

    Parameters
    ----------
    most : int
        How many are remembered; then all are forgotten.
    """

    def __init__(self, most: int = MAX_KNOWN) -> None:
        self._most = most
        self._known: dict[bytes, KnownHead[T]] = {}

    def find(self, data: bytes) -> KnownHead[T] | None:
        """Return what the head says that `data` begins with, if it is known."""
        return self._known.get(head_of(data))

    def remember(self, head: bytes, length: int, says: T) -> None:
        """Remember what the parser has found a head to say."""
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[head] = KnownHead(len(head), length, says)
