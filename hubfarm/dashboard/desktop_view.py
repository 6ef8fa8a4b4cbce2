"""The Desktop view: the hub of the desktop that the visitor's browser runs on, joined with one of the farm's.

The page makes the calls there, as no program here can: it is told each by a topic, and brings the answer by a request.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from hubfarm.access.host_accounts import name_of
from hubfarm.bridge.rights import Who
from hubfarm.client.calls import LONGEST_PULLED
from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Action, Asked, Part, Topic
from hubfarm.dashboard.visitor import Visitor
from hubfarm.desktop.joined import Joined
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.states import Access, HubKind
from hubfarm.visible import brief

LARGEST_FILE = 512 * 2**20
"""A file of the desktop's that a message names, bytes."""

LONGEST_BASE = 2000
"""The page's own address, characters."""

FILE = "file"
"""Below which path files are served."""


class ADesktop(Asked, frozen=True):
    """Which hub is to be joined with the desktop's.

    Parameters
    ----------
    hub : str
        See `hubfarm.dashboard.lookout.key_of`.
    base : str
        The page's own address, without what it shows.
    join : bool
        The user has just asked for it, and may be asked by the desktop's hub.
    """

    hub: str
    base: str = ""
    join: bool = False


def part(house: House) -> Part:
    """Return what this view adds."""
    view = _DesktopView(house)
    return Part(
        topics={"desktop": Topic(ADesktop, view.follow)},
        actions={"desktop-part": Action(ADesktop, view.part)},
        posts={"desktop": view.take},
        open_gets={FILE: view.serve},
        close=view.close,
    )


class _DesktopView:
    def __init__(self, house: House) -> None:
        self._house = house
        self._joined: dict[tuple[str, str], Joined] = {}

    async def follow(self, visitor: Visitor, asked: ADesktop) -> AsyncIterator[Any]:
        """Yield what the page is to ask its desktop's hub, and what there is to show."""
        place = (visitor.name, asked.hub)
        if place not in self._joined and not asked.join:
            raise WrongUse("that desktop is not joined, or no longer")
        hub = await self._house.owned(visitor, asked.hub)
        if hub.kind is not HubKind.FARM:
            raise WrongUse(f"the hub {hub.name} is {hub.kind}: only hubs of this farm can be joined with a desktop")
        if place not in self._joined:
            # A restricted hub lets in nobody in particular; by the account's own name it lets in the account.
            name = visitor.name or ("" if hub.access == Access.OPEN else name_of(os.getuid()))
            who = Who(name, tuple(visitor.who.groups))
            self._joined[place] = Joined(hub.lock_file, hub.name, f"{_checked(asked.base)}{FILE}/", who)
        joined = self._joined[place]
        if asked.join:
            joined.ask()
        async for told in joined.line.follow():
            yield told

    async def part(self, visitor: Visitor, asked: ADesktop) -> Any:
        """Part a desktop from a hub."""
        if (joined := self._joined.pop((visitor.name, asked.hub), None)) is not None:
            await joined.close()
        return {}

    async def take(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        """Take what the page brings, or why it cannot."""
        joined = self._joined.get((visitor.name, request.query.get("hub", "")))
        id = request.query.get("id", "")
        if joined is None or not joined.line.waits_for(id):
            return web.Response(status=204)  # it has taken too long, which is not the page's fault
        into = joined.line.goal_of(id)
        try:
            if "failed" in request.query:
                joined.line.fail(id, brief(request.query["failed"], 300))
            else:
                joined.line.answer(id, await _read(request) if into is None else await _saved(request, into))
        except HubfarmError as error:
            joined.line.fail(id, str(error))
            raise
        return web.Response(status=204)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve a file that a message to a desktop has named, to whoever knows its URL."""
        token = request.match_info["token"]
        files = next((each.files for each in self._joined.values() if token in each.files), None)
        if files is None:
            raise web.HTTPNotFound
        response = await files.answer(request)
        # For pages on the desktop too, as Aladin Lite: it is given to whoever knows the URL.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    async def close(self) -> None:
        """Part all."""
        await asyncio.gather(*(joined.close() for joined in self._joined.values()))
        self._joined.clear()


def _checked(base: str) -> str:
    """Return a page's own address, if it is one.

    Raises
    ------
    WrongUse
        It is none.
    """
    try:
        parts = urlsplit(base)
    except ValueError:
        parts = urlsplit("")
    good = parts.scheme in ("http", "https") and parts.hostname and base.endswith("/") and not parts.query
    if not good or len(base) > LONGEST_BASE or parts.username is not None:
        raise WrongUse("the page does not say where it is")
    return base


async def _read(request: web.Request) -> bytes:
    """Return the answer of a desktop's hub.

    Raises
    ------
    WrongUse
        It is too long.
    """
    parts, size = [], 0
    async for piece in request.content.iter_chunked(256 * 2**10):
        size += len(piece)
        if size > LONGEST_PULLED:
            raise WrongUse(f"what the desktop's hub answers is too long: {LONGEST_PULLED} bytes at most")
        parts.append(piece)
    return b"".join(parts)


async def _saved(request: web.Request, path: Path) -> Path:
    """Write a file that a page brings; return where.

    Raises
    ------
    HubfarmError
        It is too large, or cannot be written.
    """
    size = 0
    try:
        with await asyncio.to_thread(open, path, "xb") as file:
            async for piece in request.content.iter_chunked(256 * 2**10):
                size += len(piece)
                if size > LARGEST_FILE:
                    raise WrongUse(f"the file is too large: {LARGEST_FILE} bytes at most")
                await asyncio.to_thread(file.write, piece)
    except (OSError, WrongUse) as error:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise error if isinstance(error, WrongUse) else HubfarmError(f"{path.name}: {error.strerror}") from None
    return path
