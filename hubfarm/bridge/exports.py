"""Files that messages name, for hubs on other hosts: served from here, each under a path that nobody can guess.

A client of this host that says ``file:///data/m31.fits`` to one elsewhere means a file which that cannot open.  So the
bridge says an ``http:`` URL in its place, and serves the file, that one and no other, as long as the bridge lives.

What a far client has named first is never served: else it could have any file of the account's, by a client here that
says again what it was told.
"""

import os
from collections.abc import Callable
from typing import Protocol

from hubfarm.client.files import FileServer
from hubfarm.samp.errors import WrongUse
from hubfarm.samp.lockfile import file_path
from hubfarm.samp.values import Map, Value
from hubfarm.spec.url_tracker import UrlTracker

Serve = Callable[[str], FileServer]
"""Returns what serves files at an address of this host."""

MOST = 1000
"""Files that are served at a time; of more, the one that was named longest ago is no more."""


def serve_alone(host: str) -> FileServer:
    """Return what serves files at a port of its own; see `Serve`."""
    return FileServer()


class Place(Protocol):
    """Where a hub is, seen from here."""

    @property
    def is_on_this_host(self) -> bool:
        """Whether its clients open the files that ours do."""

    @property
    def own_address(self) -> str:
        """The address of this host that the hub sees."""


class Exports:
    """The files that one bridge serves; in the running event loop.

    Parameters
    ----------
    serve : callable
        Returns what serves files at an address of this host.
    """

    def __init__(self, serve: Serve = serve_alone) -> None:
        self._serve = serve
        self._servers: dict[str, FileServer] = {}
        self._urls: dict[tuple[str, str], str] = {}
        self._tracker = UrlTracker()

    async def exported(self, content: Map, origin: Place, goal: Place) -> Map:
        """Return a message or response as the other hub's clients can use it.

        Parameters
        ----------
        content : Map
            The message or response.
        origin, goal : Place
            The hub that it comes from, and the one that it goes to.
        """
        if origin.is_on_this_host and not goal.is_on_this_host:
            return {key: await self._for_afar(value, goal.own_address) for key, value in content.items()}
        if not origin.is_on_this_host:
            self._tracker.note_named(list(_file_urls(content)))
        return content

    async def _for_afar(self, value: Value, host: str) -> Value:
        match value:
            case str() if value.startswith("file:"):
                return await self._url_for(value, host)
            case list():
                return [await self._for_afar(each, host) for each in value]
            case dict():
                return {key: await self._for_afar(each, host) for key, each in value.items()}
            case _:
                return value

    async def _url_for(self, url: str, host: str) -> str:
        """Return the URL under which a file is served, for an address of ours; the file's own if it is not."""
        self._tracker.note_sent([url])
        if not self._tracker.may_read(url):
            return url
        try:
            path = file_path(url)
            if not (path.is_file() and os.access(path, os.R_OK)):
                return url
        except (WrongUse, OSError, ValueError):
            return url
        served = self._urls.pop((host, url), None)
        if served is None:
            served = await self._servers.setdefault(host, self._serve(host)).url_of(path, host)
        self._urls[host, url] = served
        if len(self._urls) > MOST:
            oldest = next(iter(self._urls))
            self._servers[oldest[0]].withdraw(self._urls.pop(oldest))
        return served

    def original(self, url: str) -> str:
        """Return the ``file:`` URL of what is served under a URL; empty if nothing is."""
        return next((original for (_, original), served in self._urls.items() if served == url), "")

    async def close(self) -> None:
        """Serve no more."""
        for server in self._servers.values():
            await server.close()


def _file_urls(value: Value) -> list[str]:
    match value:
        case str():
            return [value] if value.startswith("file:") else []
        case list():
            return [url for each in value for url in _file_urls(each)]
        case dict():
            return [url for each in value.values() for url in _file_urls(each)]
        case _:
            return []
