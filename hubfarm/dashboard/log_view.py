"""The Log view: what a hub, or the coordinator, has logged, and logs now."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Asked, Part, Topic
from hubfarm.dashboard.visitor import Visitor
from hubfarm.registry.log_reading import Entry, Tail, entries_in
from hubfarm.samp.errors import HubfarmError
from hubfarm.visible import brief

LOOK_EVERY = 0.5
"""Between two looks at the file, seconds."""

FIRST = 500
"""So many entries are shown of what was logged before."""

MOST_AT_ONCE = 500
"""So many of what comes between two looks; of a flood the last ones."""

LONGEST = 2000
"""So much of a line is shown, characters."""

MOST_LINES = 60
"""So many lines of an entry: a traceback's."""

READ_BACK = 512 * 2**10
"""So much of the file is read before the first look, bytes."""


class ALog(Asked, frozen=True):
    """Whose log: a hub's by its key, or ``coordinator``."""

    hub: str


def part(house: House) -> Part:
    """Return what this view adds."""

    async def follow(visitor: Visitor, asked: ALog) -> AsyncIterator[Any]:
        path = await house.log_of(visitor, asked.hub)
        try:
            tail, lines = await asyncio.to_thread(_opened, path)
        except OSError as error:
            raise HubfarmError(f"there is no log of it: {error.strerror}") from None
        try:
            entries = list(entries_in(lines))
            yield {"entries": [_as_json(entry) for entry in entries[-FIRST:]], "left": max(0, len(entries) - FIRST)}
            while True:
                await asyncio.sleep(LOOK_EVERY)
                entries = list(entries_in(await asyncio.to_thread(tail.read)))
                if entries:
                    told = [_as_json(entry) for entry in entries[-MOST_AT_ONCE:]]
                    yield {"entries": told, "left": max(0, len(entries) - MOST_AT_ONCE)}
        finally:
            tail.close()

    return Part(topics={"log": Topic(ALog, follow)})


def _opened(path: Path) -> tuple[Tail, list[str]]:
    """Return a log that is followed, and the lines at its end."""
    size = os.stat(path).st_size
    tail = Tail(path, skip=max(0, size - READ_BACK))
    lines = tail.read()
    return tail, lines[1:] if size > READ_BACK else lines


def _as_json(entry: Entry) -> list[str]:
    lines = [brief(line, LONGEST) for line in entry.lines[:MOST_LINES]]
    if entry.time:
        # What the first line begins with stands beside it: the time, the level, and whose log it is.
        lines[0] = brief(entry.lines[0].partition(": ")[2] or entry.lines[0], LONGEST)
    return [entry.time, entry.level, "\n".join(lines)]
