"""Files that messages name, for programs on the other host: a URL there stands for what lies here, and the other way.

A program here that says ``file:///data/m31.fits`` means a file which one over there cannot open, and by
``http://127.0.0.1:4000/`` a server which that cannot reach.  So what is said there is a URL of a server on that host,
behind which the line is.  What comes back is what it was, on both hosts.

What the other side has named first of this host's is never read for it: else it could have any file of the account's,
by a program here that says again what it was told.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Collection
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

from hubfarm.connect.files import HERE
from hubfarm.registry.connections import Kept
from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.lockfile import file_path
from hubfarm.samp.values import Value
from hubfarm.samp.xmlrpc import decode_call, decode_response, encode_call, encode_response
from hubfarm.spec.url_tracker import UrlTracker
from hubfarm.wire.addresses import is_loopback

MOST = 1000
"""Files that are known at a time; of more, the one that was named longest ago is no more."""

LARGE = 256 * 2**10
"""A longer message is read in a thread, bytes: others get their answers meanwhile."""

T = TypeVar("T")

_NEAR, _FAR = "n", "f"
"""What a token begins with, by where the file lies."""


class CarriedFiles:
    """The files of one connection.

    Parameters
    ----------
    kept : Kept
        Where they are noted.
    far_names : callable
        Returns what the far host is called by its own programs.
    changed : callable
        Told that a file is new.
    """

    def __init__(self, kept: Kept, far_names: Callable[[], Collection[str]], changed: Callable[[], None]) -> None:
        self._kept = kept
        self._far_names = far_names
        self._changed = changed
        self._tokens = {token[0] + url: token for token, url in kept.files.items()}
        self._tracker = UrlTracker()
        name = socket.gethostname()
        self._near_names = {name, name.partition(".")[0]}

    def url_of(self, token: str) -> str | None:
        """Return the URL of this host that a token stands for."""
        return self._kept.files.get(token) if token.startswith(_NEAR) else None

    def far_url_of(self, token: str) -> str | None:
        """Return the URL of the far host that a token stands for."""
        return self._kept.files.get(token) if token.startswith(_FAR) else None

    # ------------------------------------------------------------------ whole calls and answers

    async def call_outward(self, body: bytes) -> bytes:
        """Return a call as the far hub is to have it.

        Raises
        ------
        Fault
            It is none.
        """
        if not self._may_name_files(body):
            return body
        call = await read(decode_call, body)
        params = [self.outward(each) for each in call.params]
        return await read(lambda _: encode_call(call.method, params), body)

    async def answer_inward(self, body: bytes) -> bytes:
        """Return an answer of the far hub's as a program here is to have it."""
        if not self._may_name_files(body):
            return body
        try:
            value = self.inward(await read(decode_response, body))
        except Fault:
            return body
        return await read(lambda _: encode_response(value), body)

    def _may_name_files(self, body: bytes) -> bool:
        return b"file:" in body or b"http" in body

    # ------------------------------------------------------------------ what is in them

    def outward(self, value: Value) -> Value:
        """Return what a program here says as the far hub's programs can use it."""
        return _changed(value, self._outward)

    def inward(self, value: Value) -> Value:
        """Return what the far hub says as a program here can use it."""
        return _changed(value, self._inward)

    def _outward(self, url: str) -> str:
        if (token := _token_in(url, self._kept.file_port)) and (original := self.far_url_of(token)):
            return original
        if not self._kept.far_port or not _is_of(url, self._near_names):
            return url
        self._tracker.note_sent([url])
        if not self._tracker.may_read(url) or not _can_be_read(url):
            return url
        return self._standing_for(url, _NEAR, self._kept.far_port)

    def _inward(self, url: str) -> str:
        if (token := _token_in(url, self._kept.far_port)) and (original := self.url_of(token)):
            return original
        if not _is_of(url, self._far_names()):
            return url
        self._tracker.note_named([url])
        if not self._kept.file_port:
            return url
        return self._standing_for(url, _FAR, self._kept.file_port)

    def _standing_for(self, url: str, side: str, port: int) -> str:
        files = self._kept.files
        token = self._tokens.get(side + url)
        if token is None:
            token = self._tokens[side + url] = side + secrets.token_urlsafe(12)
            self._changed()
        files[token] = files.pop(token, url)
        if len(files) > MOST:
            oldest = next(iter(files))
            del self._tokens[oldest[0] + files.pop(oldest)]
        name = unquote(urlsplit(url).path.rpartition("/")[2])
        return f"http://{HERE}:{port}/{token}/{quote(name, safe='')}"


def _changed(value: Value, change: Callable[[str], str]) -> Value:
    match value:
        case str():
            return change(value) if value.startswith(("file:", "http:")) else value
        case list():
            return [_changed(each, change) for each in value]
        case dict():
            return {key: _changed(each, change) for key, each in value.items()}
        case _:
            return value


def _is_of(url: str, names: Collection[str]) -> bool:
    """Tell whether a URL is of a host of these names alone."""
    if url.startswith("file:"):
        return True
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or host in names or ((host[:1].isdigit() or ":" in host) and is_loopback(host))


def _token_in(url: str, port: int) -> str:
    """Return the token in a URL of a connection's; empty if it is none."""
    before = f"http://{HERE}:{port}/"
    return url[len(before) :].partition("/")[0] if port and url.startswith(before) else ""


def _can_be_read(url: str) -> bool:
    if not url.startswith("file:"):
        return True
    try:
        path = file_path(url)
        return path.is_file() and os.access(path, os.R_OK)
    except (WrongUse, OSError, ValueError):
        return False


async def read(how: Callable[[bytes], T], body: bytes) -> T:
    """Return what `how` makes of a body; in a thread if it is large."""
    return how(body) if len(body) <= LARGE else await asyncio.to_thread(how, body)
