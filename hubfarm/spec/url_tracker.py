"""Which URLs a hub's web pages may read through the translator (SAMP 1.3, 5.2.6): JSAMP's rule.  Pure.

A page may read what the browser would not let it, a file of the user's say, if a program that the user trusts has named
it to pages in a message; and never what a page has named first.  So each URL in whatever passes between pages and the
hub is noted, and what is noted first is decided for good.  What was never noted may not be read.

What is kept has bounds.  Of what may be read the oldest is forgotten, and may not be read any more.  Of what may not be
read nothing is forgotten: once that is full, no further URL may be read.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b
from urllib.parse import unquote

MOST_PERMITTED = 20_000
"""URLs that may be read."""

MOST_NAMED = 100_000
"""URLs that pages have named first."""

DIGEST = 16
"""What is kept of a URL, bytes."""


class UrlTracker:
    """The URLs of one hub.

    Examples
    --------
    >>> tracker = UrlTracker()
    >>> noted = tracker.note_named(["file:///etc/passwd"])
    >>> noted = tracker.note_sent(["file:///etc/passwd", "file:///tmp/m31.fits"])
    >>> tracker.may_read("file:///tmp/m31.fits"), tracker.may_read("file:///etc/passwd"), tracker.may_read("file:///x")
    (True, False, False)
    """

    def __init__(self) -> None:
        self._permitted: dict[bytes, None] = {}
        self._named: set[bytes] = set()

    def note_sent(self, urls: Iterable[str]) -> list[bytes]:
        """Note URLs in what a page is sent; return the digests of those that may be read from now on."""
        return self.permit(map(digest_of, urls))

    def note_named(self, urls: Iterable[str]) -> list[bytes]:
        """Note URLs in what a page says; return the digests of those that no page may ever read from now on."""
        return self.deny(digest for digest in map(digest_of, urls) if digest not in self._permitted)

    def permit(self, digests: Iterable[bytes]) -> list[bytes]:
        """Let URLs be read that are not decided yet; return the digests of these."""
        new = []
        for digest in digests:
            if digest in self._permitted or digest in self._named or len(self._named) >= MOST_NAMED:
                continue
            self._permitted[digest] = None
            new.append(digest)
            if len(self._permitted) > MOST_PERMITTED:
                del self._permitted[next(iter(self._permitted))]
        return new

    def deny(self, digests: Iterable[bytes]) -> list[bytes]:
        """Let URLs never be read; return the digests of those of which that was not known."""
        new = []
        for digest in digests:
            if digest not in self._named and len(self._named) < MOST_NAMED:
                self._named.add(digest)
                self._permitted.pop(digest, None)
                new.append(digest)
        return new

    def may_read(self, url: str) -> bool:
        """Tell whether a page may read a URL."""
        return digest_of(url) in self._permitted

    def decisions(self) -> tuple[list[bytes], list[bytes]]:
        """Return the digests of the URLs that may be read, and of those that may not."""
        return list(self._permitted), list(self._named)


def digest_of(url: str) -> bytes:
    """Return what is kept of a URL: the same, however that which it leads to is written."""
    return blake2b(usual(url).encode(errors="surrogatepass"), digest_size=DIGEST).digest()


def usual(url: str) -> str:
    """Return a URL as it is usually written: a program that repeats what a page has named may write it otherwise.

    Examples
    --------
    >>> usual("file:///etc/pass%77d"), usual("file:/etc/passwd#: no table"), usual("FILE://localhost//etc/passwd?x")
    ('file:/etc/passwd', 'file:/etc/passwd', 'file:/etc/passwd')
    >>> usual("HTTP://A.example/B?c#d")
    'http://a.example/B?c'
    """
    scheme, _, rest = url.partition("#")[0].strip().partition(":")
    scheme = scheme.lower()
    if scheme != "file":
        place = re.match("//[^/?]*", rest)
        return f"{scheme}:{rest[: place.end()].lower()}{rest[place.end() :]}" if place else f"{scheme}:{rest}"
    path = re.sub("^//[^/]*", "", rest.partition("?")[0])  # the translator reads files of this host alone
    return "file:" + re.sub("/+", "/", unquote(path, errors="surrogateescape"))
