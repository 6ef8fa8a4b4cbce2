"""The Conversation view: who says what to whom on a hub, and what is answered; live, or from a file.

A page is told of the last messages that it wants to see, and of those that have changed, a few times a second.  What
was said it asks for, message by message.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable
from itertools import islice
from typing import Any

import msgspec
from aiohttp import web

from hubfarm.client.conversation import Conversation, Entry, Part, events_of
from hubfarm.dashboard import parts
from hubfarm.dashboard.hearing import CONTENT, LONG_CONTENT, Heard, Hearing, Look
from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Action, Asked, Topic
from hubfarm.dashboard.replay import Replay, replay
from hubfarm.dashboard.visitor import Visitor
from hubfarm.hub.model import HUB_ID
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.xmlrpc import decode_value
from hubfarm.spec.states import HubState
from hubfarm.spec.watching import Hello, Sent, as_json, from_json
from hubfarm.visible import brief

EVERY = 0.3
"""Between two things that a page is told, seconds."""

EVERY_OF_MANY = 1.0
"""Likewise while more passes than a page is told of: a browser would be busy with what nobody can read, seconds."""

FIRST = 200
"""Messages that a page gets at first, and when it asks for earlier ones."""

MOST_AT_ONCE = 60
"""New messages that a page is told of at a time: nobody reads more, and the rest is kept here."""

MOST_NAMED = 4
"""Of more recipients a line counts the rest."""

MOST_PARTS = 200
"""Of more recipients the whole message shows the first."""

MOST_PRESENT = 500
"""Clients that a page can choose from."""

LONGEST_FILE = 160 * 2**20
"""Longest file that is loaded, bytes: one holds all that is kept, which may be twice as long in JSON."""

LONGEST_LINE = 4 * 2**20
"""Longest line of one, bytes: likewise."""

LONGEST_FILTER = 200
"""Longest text that is looked for, characters."""

AT_ONCE = 200
"""Lines that are read or written before others have their turn."""

_HUBS_OWN = "samp.hub."
_ABOUT_THE_HUB = "hubfarm.query."  # asked of the hub by commands, and by the dashboard every few seconds


class Which(Asked, frozen=True):
    """Which messages a page wants to see.

    Parameters
    ----------
    hub : str
        The hub's key; empty for a file that was loaded.
    loaded : str
        What the file is called.
    client : str
        Those that a client sends or gets: its id, or a part of its name; empty for all.
    mtype : str
        Those of an MType: a part of it, or a pattern that ends in a star; empty for all.
    status : str
        Those that stand so; empty for all.
    events : bool
        Also what the hub says of its clients, and what it is asked about them.
    """

    hub: str = ""
    loaded: str = ""
    client: str = ""
    mtype: str = ""
    status: str = ""
    events: bool = False


class Live(Which, frozen=True):
    """What a page listens to.

    Parameters
    ----------
    long : bool
        Keep contents of up to `LONG_CONTENT` from now on.
    """

    long: bool = False


class Earlier(Which, frozen=True):
    """The messages before one, by its number."""

    before: int = 0


class One(Asked, frozen=True):
    """One message, by its number."""

    number: int
    hub: str = ""
    loaded: str = ""


class Hold(Asked, frozen=True):
    """Which page is to be told nothing more, by the hub's key and what the page's look is called."""

    hub: str
    look: str


class ReplayOf(Which, frozen=True):
    """What is to be sent again, and to whom.

    Parameters
    ----------
    number : int
        This message alone; 0 for all that the page shows.
    at : str
        The key of the hub on which.
    to : str
        The id of a client there.
    pauses : bool
        With the pauses that there were.
    """

    number: int = 0
    at: str = ""
    to: str = ""
    pauses: bool = False


def part(house: House) -> parts.Part:
    """Return what this view adds."""
    view = _ConversationView(house)
    return parts.Part(
        topics={"conversation": Topic(Live, view.follow), "replay": Topic(ReplayOf, view.replay)},
        actions={
            "message": Action(One, view.message),
            "earlier": Action(Earlier, view.earlier),
            "hold": Action(Hold, view.hold),
        },
        gets={"conversation": view.save},
        posts={"conversation": view.load},
        close=view.hearing.close,
    )


class _ConversationView:
    def __init__(self, house: House) -> None:
        self._house = house
        self.hearing = Hearing()

    # ------------------------------------------------------------------ seen

    async def follow(self, visitor: Visitor, asked: Live) -> AsyncIterator[Any]:
        """Yield the last messages, and then what has changed."""
        if asked.loaded:
            yield _Telling(self.hearing.loaded(asked.loaded, visitor.name), asked).first()
            return
        hub = await self._house.owned(visitor, asked.hub)
        if hub.state is HubState.DORMANT:
            raise HubfarmError(f"the hub {hub.name} sleeps, and nothing is said there: its first client wakes it")
        tokens, door = await self._house.tokens(hub), await self._house.door(visitor, hub)
        content = LONG_CONTENT if asked.long else CONTENT
        heard = self.hearing.of_hub(asked.hub, visitor.name, hub.name, tokens, door, content)
        telling = _Telling(heard, asked, content)
        try:
            await heard.begun.wait()
            yield telling.first()
            while not heard.over or telling.look.news.is_set():
                await telling.look.news.wait()
                await asyncio.sleep(telling.pause)
                telling.look.news.clear()
                if not telling.look.held and (told := telling.next()):
                    yield told
            raise HubfarmError(heard.over)
        finally:
            heard.leave(telling.look)
            self.hearing.left(asked.hub, visitor.name)

    async def earlier(self, visitor: Visitor, asked: Earlier) -> Any:
        """Return the messages before one, the oldest first."""
        heard = await self._heard(visitor, asked)
        wanted = _Wanted(asked, heard.conversation)
        entries = (each for each in reversed(heard.conversation.entries.values()) if each.sent.number < asked.before)
        found = [_line(each) for each in islice(filter(wanted.is_met_by, entries), FIRST)]
        return {"entries": found[::-1], "more": len(found) == FIRST, "names": _names(heard.conversation, found)}

    async def message(self, visitor: Visitor, asked: One) -> Any:
        """Return all that is known of one message."""
        heard = await self._heard(visitor, asked)
        return _whole(_kept(heard, asked.number))

    async def hold(self, visitor: Visitor, asked: Hold) -> Any:
        """Tell a page nothing more, so that what it shows can be looked at; it listens anew to go on."""
        await self._house.owned(visitor, asked.hub)
        self.hearing.known(asked.hub, visitor.name).hold(asked.look)
        return {}

    async def _heard(self, visitor: Visitor, asked: Which | One) -> Heard:
        if asked.loaded:
            return self.hearing.loaded(asked.loaded, visitor.name)
        await self._house.owned(visitor, asked.hub)
        return self.hearing.known(asked.hub, visitor.name)

    # ------------------------------------------------------------------ files

    async def save(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        """Answer with the messages that a page wants to see, as `hubfarm trace --json --params` writes them."""
        try:
            asked = msgspec.convert(dict(request.query), Which, strict=False)
        except msgspec.ValidationError as error:
            raise WrongUse(str(error)) from None
        heard = await self._heard(visitor, asked)
        wanted = _Wanted(asked, heard.conversation)
        entries = list(filter(wanted.is_met_by, heard.conversation))
        response = web.StreamResponse()
        response.content_type = "application/x-ndjson"
        response.headers["Content-Disposition"] = 'attachment; filename="conversation.jsonl"'
        await response.prepare(request)
        known = [Hello(hub=heard.hub), *heard.conversation.clients.values()]
        await response.write(_lines(known))
        for first in range(0, len(entries), AT_ONCE):
            events = [event for entry in entries[first : first + AT_ONCE] for event in events_of(entry)]
            await response.write(_lines(events))
        await response.write_eof()
        return response

    async def load(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        """Take a file of such lines; say what it is called from now on, and what hub it is of."""
        heard = Heard("a file")
        number = messages = 0
        async for line in _lines_of(request):
            number += 1
            if line.strip():
                try:
                    event = from_json(json.loads(line))
                    messages += isinstance(event, Sent)
                    heard.take(event)
                except (ValueError, RecursionError) as error:  # BadValue is one too
                    raise WrongUse(f"line {number} of the file: {brief(str(error), 200)}") from None
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        if not heard.conversation.entries:
            raise WrongUse("there is no message in this file: hubfarm trace --json --params writes such files")
        heard.over = ""
        kept = len(heard.conversation.entries)
        told = {"loaded": self.hearing.keep(visitor.name, heard), "hub": heard.hub, "kept": kept, "messages": messages}
        return web.json_response(told)

    # ------------------------------------------------------------------ sent again

    async def replay(self, visitor: Visitor, asked: ReplayOf) -> AsyncIterator[Any]:
        """Send messages again, to one client; yield what becomes of each."""
        heard = await self._heard(visitor, asked)
        if asked.number:
            entries = [_kept(heard, asked.number)]
        else:
            entries = list(filter(_Wanted(asked, heard.conversation).is_met_by, heard.conversation))
        if not entries:
            raise WrongUse("there is nothing to be sent again")
        hub = await self._house.owned(visitor, asked.at)
        tokens, door = await self._house.tokens(hub), await self._house.door(visitor, hub)
        wish = Replay([entry.sent for entry in entries], asked.to, pauses=asked.pauses)
        async for told in replay(wish, tokens, door):
            yield told


def _kept(heard: Heard, number: int) -> Entry:
    entry = heard.entry(number)
    if entry is None:
        raise WrongUse("this message is not kept any more: the last few thousand are, and what is on a page")
    return entry


class _Wanted:
    """Tells which messages a page wants to see; what a name is part of is looked up once."""

    def __init__(self, asked: Which, conversation: Conversation) -> None:
        if max(len(asked.client), len(asked.mtype)) > LONGEST_FILTER:
            raise WrongUse(f"what is looked for is longer than {LONGEST_FILTER} characters")
        self._events = asked.events
        self._status = asked.status
        self._mtype = asked.mtype
        self._ids: Collection[str] | None = None
        if text := asked.client.strip():
            low = text.casefold()
            named = (came.id for came in conversation.clients.values() if low in came.name.casefold())
            self._ids = {text, *named} | ({HUB_ID} if low in HUB_ID else set())

    def is_met_by(self, entry: Entry) -> bool:
        """Tell whether it wants to see a message."""
        sent = entry.sent
        if not self._events and _is_hubs_own(sent):
            return False
        if self._status and entry.status != self._status:
            return False
        if self._mtype and not self._is_mtype(sent.mtype):
            return False
        if self._ids is None or sent.sender in self._ids:
            return True
        return any(to.id in self._ids for to in sent.to) or any(id in self._ids for id in sent.left_out)

    def _is_mtype(self, mtype: str) -> bool:
        if self._mtype.endswith("*"):
            return mtype.startswith(self._mtype[:-1])
        return self._mtype in mtype


def _is_hubs_own(sent: Sent) -> bool:
    if sent.sender == HUB_ID:
        return sent.mtype.startswith(_HUBS_OWN)
    return sent.mtype.startswith(_ABOUT_THE_HUB) and all(to.id == HUB_ID for to in sent.to)


class _Telling:
    """What one page was told, and is to be told."""

    def __init__(self, heard: Heard, asked: Which, content: int = CONTENT) -> None:
        self.look: Look = heard.look(content)
        self._heard = heard
        self._asked = asked
        self._named: set[str] = set()
        self._last = 0
        self._missed = 0
        self.pause = EVERY
        """Before the page is told again, seconds."""

    def first(self) -> dict[str, Any]:
        """Return the last messages that the page wants to see, the oldest first."""
        conversation = self._heard.conversation
        wanted = _Wanted(self._asked, conversation)
        last = list(islice(filter(wanted.is_met_by, reversed(conversation.entries.values())), FIRST))[::-1]
        self._last = next(reversed(conversation.entries), 0)
        return {
            "whole": True,
            "hub": self._heard.hub,
            "look": self.look.name,
            "entries": self._lines(last),
            "more": len(last) == FIRST,
            "names": self._new_names(last),
            "present": self._present(),
        }

    def _present(self) -> list[list[str]]:
        """Return the clients that are there, with their names."""
        ids = islice(self._heard.present, MOST_PRESENT)
        return [[id, self._heard.conversation.name_of(id)] for id in ids]

    def next(self) -> dict[str, Any]:
        """Return what has changed; nothing if that is nothing that the page shows."""
        look, entries = self.look, self._heard.conversation.entries
        changed, look.changed = look.changed, {}
        names, look.names = look.names, {}
        wanted = _Wanted(self._asked, self._heard.conversation)
        new, again = [], []
        for number in changed:
            entry = entries.get(number)
            if entry is None:
                continue
            if number > self._last or (number not in self.look.shown and self._asked.status):
                if wanted.is_met_by(entry):
                    new.append(entry)
            elif number in self.look.shown:
                again.append(entry)
        self._last = max([self._last, *changed])
        passed = max(len(new) - MOST_AT_ONCE, 0)
        new = new[passed:]
        told: dict[str, Any] = {}
        if new or again:
            told = {"entries": self._lines([*again, *new]), "names": self._new_names([*again, *new])}
        self.pause = EVERY_OF_MANY if passed else EVERY
        if passed:
            told["passed"] = passed
        if self._heard.missed != self._missed:
            told["missed"], self._missed = self._heard.missed - self._missed, self._heard.missed
        if names:
            told["present"] = self._present()
        if renamed := {id: self._heard.conversation.name_of(id) for id in names if id in self._named}:
            told["names"] = told.get("names", {}) | renamed
        return told

    def _lines(self, entries: Iterable[Entry]) -> list[Any]:
        told = list(entries)
        self.look.show(told)
        return [_line(entry) for entry in told]

    def _new_names(self, entries: Iterable[Entry]) -> dict[str, str]:
        ids = {id for entry in entries for id in _shown_ids(entry)} - self._named
        self._named |= ids
        return {id: name for id in ids if (name := self._heard.conversation.name_of(id))}


def _shown_ids(entry: Entry) -> list[str]:
    sent = entry.sent
    return [sent.sender, *(to.id for to in sent.to[:MOST_NAMED]), *sent.left_out[:MOST_NAMED]]


def _names(conversation: Conversation, lines: Iterable[dict[str, Any]]) -> dict[str, str]:
    ids = {id for line in lines for id in (line["from"], *(to[0] for to in line["to"]))}
    return {id: name for id in ids if (name := conversation.name_of(id))}


def _line(entry: Entry) -> dict[str, Any]:
    """Return what the line of a message shows."""
    sent, shown = entry.sent, list(islice(entry.parts.values(), MOST_NAMED))
    to = [[part.id, part.status] for part in shown] or [[each.id, entry.status] for each in sent.to[:MOST_NAMED]]
    count = max(len(entry.parts), len(sent.to)) + len(sent.left_out)
    to += [[id, "undelivered"] for id in sent.left_out[: MOST_NAMED - len(to)]]
    return {
        "number": sent.number,
        "at": sent.at,
        "how": sent.how,
        "from": sent.sender,
        "mtype": sent.mtype,
        "status": entry.status,
        "took": entry.took,
        "to": to,
        "count": count,
    }


def _whole(entry: Entry) -> dict[str, Any]:
    """Return all that is known of a message."""
    sent = entry.sent
    return _line(entry) | {
        "size": sent.size,
        "tag": sent.tag,
        "refused": sent.refused,
        "left_out": sent.left_out[:MOST_PARTS],
        "message": _said(sent.xml),
        "parts": [_part(each) for each in islice(entry.parts.values(), MOST_PARTS)],
        "more_parts": max(len(entry.parts) - MOST_PARTS, 0),
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "id": part.id,
        "msg_id": part.msg_id,
        "status": part.status,
        "arrived": part.arrived or None,
        "answered": part.answered or None,
        "says": part.response,
        "reason": part.reason,
        "instead": part.instead,
        "size": part.size,
        "response": _said(part.xml),
    }


def _said(xml: bytes) -> Any:
    return decode_value(xml) if xml else None


def _lines(events: Iterable[Any]) -> bytes:
    return b"".join(msgspec.json.encode(as_json(event)) + b"\n" for event in events)


async def _lines_of(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the lines of what is sent.

    Raises
    ------
    WrongUse
        It is too long, or a line is.
    """
    held, size = b"", 0
    async for piece in request.content.iter_chunked(256 * 2**10):
        size += len(piece)
        if size > LONGEST_FILE:
            raise WrongUse(f"the file is longer than {LONGEST_FILE // 2**20} MB")
        *lines, held = (held + piece).split(b"\n")
        if max(map(len, [*lines, held])) > LONGEST_LINE:
            raise WrongUse(f"a line of the file is longer than {LONGEST_LINE // 2**20} MB: this is no conversation")
        for line in lines:
            yield line
    if held:
        yield held
