"""What is heard of hubs while somebody looks: each is watched once, however many pages show it.

The last messages of a hub are kept as long as a page shows them, and a moment longer: a page that is loaded anew, or
asks for others of them, finds them still.  Beside these lie conversations that were loaded from files.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from loguru import logger

from hubfarm.client.conversation import Conversation, Entry
from hubfarm.client.watching import follow
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.watching import MOST_CONTENT, Came, Ended, Event, Hello, Left, Missed, Sent

CONTENT = 64 * 2**10
"""Longest content of a message that is kept unless a page wants more, bytes as encoded."""

LONG_CONTENT = MOST_CONTENT
"""Longest that is kept then, bytes as encoded."""

MAKES_WAY = 0.1
"""So long what the hub has told already is read on, once it tells with other contents, seconds."""

LINGER = 20.0
"""So long a hub is watched after the last page has left, seconds."""

MOST_LOADED = 4
"""Conversations from files that are kept; the oldest makes way."""

NAME = "the dashboard"
"""What the hub's clients are told of who watches."""


MOST_SHOWN = 500
"""Messages that a page was told of and can unfold, the last ones; and is told the changes of."""

MOST_SHOWN_BYTES = 16 * 2**20
"""What these may hold, bytes."""


class Look:
    """One page that shows a conversation: what it shows, and what has changed since it was told last.

    What it shows it can unfold, also when thousands of messages have passed meanwhile.

    Parameters
    ----------
    name : str
        What the page calls it.
    content : int
        Longest content of a message that the page wants to see, bytes as encoded.
    """

    def __init__(self, name: str, content: int) -> None:
        self.name = name
        self.content = content
        self.held = False
        """Whether the page is to be told nothing more: what it shows stays."""
        self.shown: OrderedDict[int, Entry] = OrderedDict()
        self.changed: dict[int, None] = {}
        """The numbers of the messages."""
        self.names: dict[str, None] = {}
        """The ids of the clients."""
        self.news = asyncio.Event()

    def note(self, number: int) -> None:
        """Note that a message is new, or stands otherwise."""
        self.changed[number] = None
        self.news.set()

    def show(self, entries: Iterable[Entry]) -> None:
        """Note that the page shows messages; those that it was told of longest ago make room."""
        shown = self.shown
        shown.update((entry.sent.number, entry) for entry in entries)
        size = sum(entry.size for entry in shown.values())
        while len(shown) > MOST_SHOWN or (size > MOST_SHOWN_BYTES and len(shown) > 1):
            size -= shown.popitem(last=False)[1].size


class Heard:
    """A conversation that pages look at.

    Parameters
    ----------
    hub : str
        What people call the hub.
    """

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self.content = 0
        """Longest content that the hub is asked for, bytes as encoded."""
        self.conversation = Conversation()
        self.missed = 0
        """Events that were too fast."""
        self.over = ""
        """Why nothing more will be heard; empty while something may be."""
        self.begun = asyncio.Event()
        """The hub is watched, with the contents that are wanted; or cannot be."""
        self.present: dict[str, None] = {}
        """The ids of the clients that are there."""
        self.looks: set[Look] = set()

    def look(self, content: int = CONTENT) -> Look:
        """Return what tells one page of changes, and wants to see contents up to so many bytes; see `leave`."""
        look = Look(secrets.token_hex(4), content)
        self.looks.add(look)
        return look

    def entry(self, number: int) -> Entry | None:
        """Return a message that is kept, or that a page shows; None if it is neither."""
        kept = self.conversation.entries.get(number)
        return kept or next((look.shown[number] for look in self.looks if number in look.shown), None)

    def hold(self, name: str) -> None:
        """Tell one page nothing more, so that what it shows can be looked at.

        Raises
        ------
        WrongUse
            There is no such page, or no longer.
        """
        look = next((look for look in self.looks if look.name == name), None)
        if look is None:
            raise WrongUse("this page is not told of this conversation any more")
        look.held = True

    def leave(self, look: Look) -> None:
        """Tell a page nothing more."""
        self.looks.discard(look)

    def take(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Sent) and event.number in self.conversation.entries:
            return  # told twice, while the hub begins to tell with other contents
        entry = self.conversation.apply(event)
        if entry is not None:
            for look in self.looks:
                if look.held:
                    continue
                look.note(entry.sent.number)
                if len(look.changed) > 2 * self.conversation.most:  # it takes nothing: what is not kept is forgotten
                    look.changed = dict.fromkeys(
                        number for number in look.changed if number in self.conversation.entries
                    )
        match event:
            case Came():
                self.present[event.id] = None
                self._note_client(event.id)
            case Left():
                self.present.pop(event.id, None)
                self._note_client(event.id)
            case Missed():
                self.missed += event.count
            case Hello():
                self.hub = event.hub
                self.present.clear()
                self.begun.set()
            case Ended(again=False):
                self.over = event.reason or "the hub has ended"

    def _note_client(self, id: str) -> None:
        for look in self.looks:
            look.names[id] = None
            look.news.set()

    def stop(self, why: str) -> None:
        """Say to the pages that nothing more will be heard."""
        self.over = self.over or why
        self.begun.set()
        for look in self.looks:
            look.news.set()


class Hearing:
    """All that is heard.  Who may hear what is asked before."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], Heard] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._leaving: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._loaded: OrderedDict[str, tuple[str, Heard]] = OrderedDict()

    def of_hub(
        self, key: str, visitor: str, hub: str, tokens: Mapping[str, str], door: Mapping[str, Any], content: int
    ) -> Heard:
        """Return what is heard of a hub; from now on, if nobody has looked.

        Parameters
        ----------
        key : str
            The hub's, between page and server.
        visitor : str
            For whom: on a hub that does not let in everybody each visitor watches by a ticket of its own.
        hub : str
            What people call it.
        tokens : mapping
            The content of its lock file.
        door : mapping
            By what the visitor enters; see `House.door`.
        content : int
            Longest content of a message that is to be kept, bytes as encoded; another page may want longer ones.
        """
        place = (key, visitor)
        if (leaving := self._leaving.pop(place, None)) is not None:
            leaving.cancel()
        heard = self._heard.get(place)
        before = None
        if heard is None or heard.over:
            heard = self._heard[place] = Heard(hub)
        else:
            before = self._tasks[place]
        wanted = max([content, *(look.content for look in heard.looks)])
        if wanted != heard.content:
            heard.content = wanted
            heard.begun.clear()
            self._tasks[place] = asyncio.create_task(self._hear(heard, tokens, door, before))
        return heard

    def known(self, key: str, visitor: str) -> Heard:
        """Return what was heard of a hub that a page of the visitor's shows, or has just shown.

        Raises
        ------
        WrongUse
            Nobody has looked.
        """
        heard = self._heard.get((key, visitor))
        if heard is None:
            raise WrongUse("nothing was heard of this hub: open its conversation first")
        return heard

    async def _hear(
        self, heard: Heard, tokens: Mapping[str, str], door: Mapping[str, Any], before: asyncio.Task[None] | None
    ) -> None:
        """Hear what a hub tells; in place of what hears it now, if anything does."""
        try:
            async for event in follow(tokens, name=NAME, content=heard.content, **door):
                if before is not None:
                    await asyncio.wait([before], timeout=MAKES_WAY)
                    before.cancel()
                    before = None
                heard.take(event)
        except HubfarmError as error:
            heard.stop(str(error))
        except Exception as error:
            logger.opt(exception=error).error("what the hub {} tells cannot be heard", heard.hub)
            heard.stop("the dashboard has failed: its log says more")
        finally:
            if before is not None:
                before.cancel()
        heard.stop("the hub tells no more")

    def left(self, key: str, visitor: str) -> None:
        """Note that a page has left: the last one takes with it what was heard, after a moment."""
        place = (key, visitor)
        heard = self._heard.get(place)
        if heard is not None and not heard.looks and place not in self._leaving:
            loop = asyncio.get_running_loop()
            self._leaving[place] = loop.call_later(LINGER, self._forget, place)

    def _forget(self, place: tuple[str, str]) -> None:
        self._leaving.pop(place, None)
        self._heard.pop(place, None)
        if (task := self._tasks.pop(place, None)) is not None:
            task.cancel()

    # ------------------------------------------------------------------ from files

    def keep(self, visitor: str, heard: Heard) -> str:
        """Keep a conversation that was loaded; return what it is called from now on."""
        name = secrets.token_hex(8)
        self._loaded[name] = (visitor, heard)
        while len(self._loaded) > MOST_LOADED:
            self._loaded.popitem(last=False)
        return name

    def loaded(self, name: str, visitor: str) -> Heard:
        """Return a conversation that was loaded by this visitor.

        Raises
        ------
        WrongUse
            There is none of that name.
        """
        whose, heard = self._loaded.get(name, ("", None))
        if heard is None or whose != visitor:
            raise WrongUse("this file is not kept any more: open it again")
        return heard

    async def close(self) -> None:
        """Hear nothing more."""
        for timer in self._leaving.values():
            timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
