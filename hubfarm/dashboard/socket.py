"""One page's WebSocket: whatever the page listens to, each topic in a task of its own, with a number of the page's.

The page says ``{"listen": TOPIC, "as": N, "with": {…}}`` and ``{"leave": N}``.  It is told ``{"as": N, "data": …}``,
and ``{"as": N, "over": WHY}`` at the end.  A topic goes on when the page has taken what it said: a slow one makes
nothing grow.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import WSMsgType, web
from loguru import logger

from hubfarm.dashboard.parts import Topic
from hubfarm.dashboard.sessions import Session
from hubfarm.samp.errors import HubfarmError

LONGEST = 64 * 2**10
"""What a page says at a time, bytes."""

MOST_TOPICS = 16
"""What one page listens to at a time."""

HEARTBEAT = 20.0
"""A page that does not answer within half of it has gone, seconds."""


class _Said(msgspec.Struct, frozen=True, rename={"number": "as", "asked": "with"}):
    number: int = 0
    listen: str = ""
    leave: int | None = None
    asked: msgspec.Raw = msgspec.Raw(b"{}")


class PageSocket:
    """Answers one page.

    Parameters
    ----------
    topics : mapping
        What there is to listen to.
    session : Session
        Whose page it is; when that is over, so is this.
    """

    def __init__(self, topics: Mapping[str, Topic], session: Session) -> None:
        self._topics = topics
        self._session = session
        self._socket = web.WebSocketResponse(max_msg_size=LONGEST, heartbeat=HEARTBEAT)
        self._following: dict[int, asyncio.Task[None]] = {}

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        """Serve until the page goes."""
        await self._socket.prepare(request)
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(self._close)

        self._session.endings.append(end)
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT or not await self._heed(message.data):
                    break
        finally:
            self._session.endings.remove(end)
            for task in self._following.values():
                task.cancel()
            await asyncio.gather(*self._following.values(), return_exceptions=True)
            await self._socket.close()
        return self._socket

    def _close(self) -> None:
        for task in self._following.values():
            task.cancel()
        if not self._socket.closed:
            self._closing = asyncio.ensure_future(self._socket.close(code=4401, message=b"log in"))

    async def _heed(self, text: str) -> bool:
        """Do what a page has said; tell whether it made sense."""
        try:
            said = msgspec.json.decode(text, type=_Said)
        except (msgspec.DecodeError, UnicodeError):
            return False
        if said.leave is not None:
            task = self._following.pop(said.leave, None)
            if task is not None:
                task.cancel()
            return True
        if said.number in self._following or len(self._following) >= MOST_TOPICS or said.listen not in self._topics:
            await self._tell({"as": said.number, "over": "that cannot be listened to"})
            return True
        topic = self._topics[said.listen]
        try:
            asked = msgspec.json.decode(said.asked, type=topic.asked)
        except msgspec.DecodeError as error:
            await self._tell({"as": said.number, "over": str(error)})
            return True
        task = asyncio.create_task(self._follow(said.number, topic, asked))
        self._following[said.number] = task
        task.add_done_callback(lambda _: self._forget(said.number, task))
        return True

    def _forget(self, number: int, task: asyncio.Task[None]) -> None:
        if self._following.get(number) is task:
            del self._following[number]

    async def _follow(self, number: int, topic: Topic, asked: Any) -> None:
        why = ""
        try:
            async with contextlib.aclosing(topic.follow(self._session.visitor, asked)) as told:  # type: ignore[type-var]
                async for data in told:
                    await self._tell({"as": number, "data": data})
        except HubfarmError as error:
            why = str(error)
        except ConnectionError:
            return
        except Exception as error:
            logger.opt(exception=error).error("a view failed inside the dashboard")
            why = "the dashboard has failed: its log says more"
        with contextlib.suppress(ConnectionError):
            await self._tell({"as": number, "over": why})

    async def _tell(self, told: Mapping[str, Any]) -> None:
        await self._socket.send_str(msgspec.json.encode(told).decode())
