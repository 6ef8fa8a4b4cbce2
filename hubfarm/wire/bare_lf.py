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

    __slots__ = ("_body_left", "_held", "_max_head", "transparent")

    def __init__(self, max_head: int) -> None:
        self.transparent = False
        """True once the peer is known to end its lines in CRLF: `feed` is no longer needed."""
        self._max_head = max_head
        self._held = b""
        self._body_left = 0

    @property
    def holding(self) -> bool:
        """Whether it holds back the beginning of a head."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes from the socket, return those that are ready for the parser."""
        if self.transparent:
            return data
        data = self._held + data
        self._held = b""
        ready = []
        while data:
            if self._body_left:
                ready.append(data[: self._body_left])
                data = data[self._body_left :]
                self._body_left -= len(ready[-1])
                continue
            first_end = data.find(b"\n")
            if (first_end > 0 and data[first_end - 1] == 13) or (first_end < 0 and len(data) > self._max_head):
                self.transparent = True
                ready.append(data)
                break
            end = _END_OF_HEAD.search(data)
            if end is None and len(data) <= self._max_head:
                self._held = data
                break
            cut = end.end() if end else len(data)
            head = data[:cut].replace(b"\r\n", b"\n")
            ready.append(head.replace(b"\n", b"\r\n"))
            data = data[cut:]
            length = _CONTENT_LENGTH.search(head)
            if length:
                self._body_left = int(length[1])
            elif head.startswith(b"HTTP/") or _TRANSFER_ENCODING.search(head):
                self.transparent = True  # the body ends as the parser finds, or with the connection
                ready.append(data)
                break
        return b"".join(ready)
