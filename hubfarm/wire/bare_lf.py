"""Heads whose lines end in a bare LF, as DS9's do, made fit for httptools.

httptools takes CRLF only, whatever its leniency flags.  `CrlfHeads` stands between the
socket and the parser on every connection: it looks at the first line once, and if that ends
in CRLF it steps aside.  Otherwise it rewrites each head and passes bodies on untouched.  No I/O.
"""

import re

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_TRANSFER_ENCODING = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)
_CONTENT_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,18})[ \t]*$", re.IGNORECASE | re.MULTILINE)


class CrlfHeads:
    r"""A filter from what a peer sent to what an HTTP parser takes.

    Parameters
    ----------
    max_head : int
        Longest head that is held back while it is incomplete, bytes.  Over it, what came is
        passed on as it is, for the parser to refuse.

    Examples
    --------
    >>> heads = CrlfHeads(max_head=1000)
    >>> heads.feed(b"POST / HTTP/1.0\nContent-length: 2\n\nhi")
    b'POST / HTTP/1.0\r\nContent-length: 2\r\n\r\nhi'
    """

    __slots__ = ("_bare", "_body_left", "_held", "_max_head", "_searched", "transparent")

    def __init__(self, max_head: int) -> None:
        self.transparent = False
        """True once the peer is known to end its lines in CRLF: `feed` is no longer needed."""
        self._max_head = max_head
        self._held = bytearray()
        self._searched = 0  # up to here there is no end of a head: each byte is looked at once
        self._bare = False  # the first line of what is held ends in a bare LF
        self._body_left = 0

    @property
    def holding(self) -> bool:
        """Whether it holds back the beginning of a head."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes from the socket, return those that are ready for the parser."""
        if self.transparent:
            return data
        held, ready = self._held, []
        held += data
        while held:
            if self._body_left:
                ready.append(bytes(held[: self._body_left]))
                del held[: self._body_left]
                self._body_left -= len(ready[-1])
                continue
            if self._ends_in_crlf():
                ready.append(self._step_aside())
                break
            end = _END_OF_HEAD.search(held, max(0, self._searched - 3))
            if end is None and len(held) <= self._max_head:
                self._searched = len(held)
                break
            ready.append(self._take_head(end.end() if end else len(held)))
            if self.transparent:
                ready.append(self._step_aside())
        return b"".join(ready)

    def _ends_in_crlf(self) -> bool:
        """Tell whether the first line ends in CRLF, or is so long that the parser will refuse it."""
        if self._bare:
            return False
        end = self._held.find(b"\n", self._searched)
        if end < 0:
            return len(self._held) > self._max_head
        self._bare = end == 0 or self._held[end - 1] != ord("\r")
        return not self._bare

    def _step_aside(self) -> bytes:
        self.transparent = True
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _take_head(self, size: int) -> bytes:
        head = bytes(self._held[:size]).replace(b"\r\n", b"\n")
        del self._held[:size]
        self._searched = 0
        self._bare = False
        if length := _CONTENT_LENGTH.search(head):
            self._body_left = int(length[1])
        elif head.startswith(b"HTTP/") or _TRANSFER_ENCODING.search(head):
            self.transparent = True  # the body ends as the parser finds, or with the connection
        return head.replace(b"\n", b"\r\n")
