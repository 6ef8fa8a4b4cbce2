"""What a page in somebody's browser does for this process there: calls of the desktop's hub, and files that it reads.

A page can ask the hub of the desktop that it is shown on, at the Web Profile's address, and nobody else can from here.
So each call is told to a page, as what it is to post; and the page brings back what it was answered.  Several pages may
be open: the one that came last is told.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hubfarm.client.errors import SAMPHubUnreachable

MOST_ASKED = 1000
"""What is asked of pages at a time."""


class PageLine:
    """A line to the pages of one visitor; in the running event loop."""

    def __init__(self) -> None:
        self._pages: list[asyncio.Queue[dict[str, Any]]] = []
        self._asked: dict[str, _Asked] = {}
        self._said: dict[str, Any] = {}

    @property
    def is_up(self) -> bool:
        """Whether a page is there."""
        return bool(self._pages)

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what one page is to do, or to show; what it has not done when it goes has failed."""
        page: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._pages.append(page)
        try:
            if self._said:
                yield self._said
            while True:
                yield await page.get()
        finally:
            self._pages.remove(page)
            for asked in [asked for asked in self._asked.values() if asked.page is page]:
                asked.fail("the page has gone")

    def show(self, said: dict[str, Any]) -> None:
        """Have all pages show something, also those that come later."""
        self._said = said
        for page in self._pages:
            page.put_nowait(said)

    async def post(self, body: bytes, seconds: float) -> bytes:
        """Have a call posted to the desktop's hub; return the answer's body.

        Parameters
        ----------
        body : bytes
            XML-RPC, in UTF-8.
        seconds : float
            How long that may take.

        Raises
        ------
        SAMPHubUnreachable
            No page is there, or the hub does not answer it, or not in time.
        """
        answer = await self._ask({"post": body.decode()}, seconds)
        return answer if isinstance(answer, bytes) else b""

    async def read(self, url: str, into: Path, seconds: float) -> None:
        """Have a page read a URL and bring what is there.

        Parameters
        ----------
        url : str
            At the desktop's hub.
        into : Path
            Where it is to lie.
        seconds : float
            How long that may take.

        Raises
        ------
        SAMPHubUnreachable
            It cannot be had.
        """
        await self._ask({"get": url}, seconds, into)

    async def _ask(self, what: dict[str, Any], seconds: float, into: Path | None = None) -> bytes | Path:
        if not self._pages:
            raise SAMPHubUnreachable("no page of the dashboard is open on that desktop")
        if len(self._asked) >= MOST_ASKED:
            raise SAMPHubUnreachable(f"the page on that desktop has {MOST_ASKED} calls to make already")
        id, page = secrets.token_hex(8), self._pages[-1]
        asked = self._asked[id] = _Asked(page, into)
        page.put_nowait({"id": id, **what})
        try:
            async with asyncio.timeout(seconds):
                return await asked.answer
        except TimeoutError:
            raise SAMPHubUnreachable(f"the page on that desktop has not answered in {seconds:g} s") from None
        finally:
            del self._asked[id]

    def waits_for(self, id: str) -> bool:
        """Tell whether something is asked by that name, still."""
        return id in self._asked

    def goal_of(self, id: str) -> Path | None:
        """Return where the answer to what is asked by a name is to lie; None if it is to be brought as bytes."""
        return self._asked[id].into

    def answer(self, id: str, answer: bytes | Path) -> None:
        """Take in what a page has brought; of what nobody waits for any more, nothing becomes."""
        if (asked := self._asked.get(id)) is not None and not asked.answer.done():
            asked.answer.set_result(answer)

    def fail(self, id: str, why: str) -> None:
        """Take in that a page could not do what it was asked."""
        if (asked := self._asked.get(id)) is not None:
            asked.fail(why)


class _Asked:
    """One thing that is asked of a page.

    Parameters
    ----------
    page : asyncio.Queue
        Which page.
    into : Path or None
        See `PageLine.goal_of`.
    """

    def __init__(self, page: "asyncio.Queue[dict[str, Any]]", into: Path | None) -> None:
        self.page = page
        self.into = into
        self.answer: asyncio.Future[bytes | Path] = asyncio.get_running_loop().create_future()

    def fail(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(SAMPHubUnreachable(why))
