"""``hubfarm trace``: what all clients of a hub say to each other, message by message, with what was answered.

The hub tells it of who watches (`hubfarm.client.watching`); ``hubfarm snoop --all`` prints the same.
"""

import asyncio
import json
import select
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from hubfarm.cli.asking import Who, as_user
from hubfarm.cli.complete import complete_mtype
from hubfarm.cli.options import seconds, selector_argument
from hubfarm.cli.show import print_json, say
from hubfarm.client.conversation import Conversation, Entry, Status
from hubfarm.client.credentials import Credentials
from hubfarm.client.membership import called
from hubfarm.client.watching import NotWatched, follow
from hubfarm.farm import Farm
from hubfarm.registry.lockdir import LockDir
from hubfarm.samp.lockfile import SECRET
from hubfarm.samp.mtype import check_pattern, matching
from hubfarm.spec.watching import (
    MOST_CONTENT,
    Abandoned,
    Answered,
    Arrived,
    Ended,
    Event,
    Hello,
    Left,
    Lost,
    Missed,
    Sent,
    as_json,
)

LOOK_EVERY = 0.5
"""Between two looks whether anybody reads what is printed still, seconds."""

NAMED = 3
"""Of more recipients the rest is counted."""

REMEMBERED = 20_000
"""Messages of which is known what their answers are answers to."""

_STYLES: dict[Status, dict[str, Any]] = {
    Status.WARNING: {"fg": "yellow"},
    Status.ERROR: {"fg": "red"},
    Status.UNDELIVERED: {"fg": "magenta"},
}


@click.command()
@selector_argument
@as_user
@click.argument("pattern", default="*", metavar="[MTYPE-PATTERN]", shell_complete=complete_mtype)
@click.option("--params", is_flag=True, help="Also what was said: parameters and results.")
@click.option("--json", "as_lines", is_flag=True, help="Print JSON, an event a line; the dashboard loads it.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End once N messages are settled.")
@click.option("--seconds", "limit", default=0.0, callback=seconds, metavar="S", help="End after S seconds.")
def trace(selector: str, who: Who, pattern: str, params: bool, as_lines: bool, count: int | None, limit: float) -> None:
    """Print who says what to whom on a hub, and what is answered, until interrupted or the hub ends.

    Directed messages and calls too. The hub's clients can see that it is watched.

    \b
    Example:
      hubfarm trace mima-2
      hubfarm trace mima-2 --json --params > said.jsonl
      hubfarm trace mima-2 samp.app.ping --count 1
    """
    trace_hub(selector, who, pattern, "hubfarm trace", params=params, as_lines=as_lines, count=count, limit=limit)


def trace_hub(
    selector: str,
    who: Who,
    pattern: str,
    name: str,
    *,
    params: bool,
    as_lines: bool,
    count: int | None = None,
    limit: float = 0.0,
) -> None:
    """Print the conversation on a hub; see `trace`.

    Parameters
    ----------
    selector, who, pattern, params, as_lines, count, limit
        As the command has them.
    name : str
        What the hub's clients are told of who watches.
    """
    check_pattern(pattern)
    farm = Farm()
    hub = farm.find(selector)
    lockdir = LockDir(farm.paths)
    tokens = lockdir.read(hub.lock_file).tokens
    credentials = Credentials(who.user, who.password()) if who.user else None
    at_hand = None if who.user else farm.ticket_at_hand(hub.lock_file)
    ticket = lockdir.read(at_hand).tokens.get(SECRET, "") if at_hand else ""
    if SECRET not in tokens:
        raise NotWatched(f"the hub {hub.name} is of another account: who watches has to be of the same")
    printer = Printer(pattern, params=params, as_lines=as_lines, count=count)
    try:
        asyncio.run(_trace(printer, tokens, selector, name, credentials, ticket, limit))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None  # that is how one ends it


async def _trace(
    printer: "Printer",
    tokens: Mapping[str, str],
    selector: str,
    name: str,
    credentials: Credentials | None,
    ticket: str,
    limit: float,
) -> None:
    reading = asyncio.current_task()
    looking = asyncio.ensure_future(_end_with_reader(reading))
    content = MOST_CONTENT if printer.params else 0
    try:
        async with asyncio.timeout(limit or None):
            async for event in follow(tokens, name=name, content=content, credentials=credentials, ticket=ticket):
                if isinstance(event, Hello):
                    say(f"watching {selector}; Ctrl-C ends", err=True)
                printer.take(event)
                if isinstance(event, Ended) and not event.again:
                    say(f"the hub {selector} tells no more: {event.reason}", err=True)
                if printer.is_done:
                    return
    except TimeoutError:
        pass  # that was all that was asked for
    except asyncio.CancelledError:
        if looking.done() and not looking.cancelled():
            raise BrokenPipeError from None
        raise
    finally:
        looking.cancel()


async def _end_with_reader(reading: "asyncio.Task[None] | None") -> None:
    """End the command once nobody reads what it prints any more."""
    poller = select.poll()
    poller.register(sys.stdout.fileno(), 0)  # for what is always told: that its other end is gone
    while not poller.poll(0):
        await asyncio.sleep(LOOK_EVERY)
    if reading is not None:
        reading.cancel()


class Printer:
    """Prints what is told, as far as it is wanted.

    Parameters
    ----------
    pattern : str
        Which MTypes are wanted.
    params : bool
        Also what was said.
    as_lines : bool
        As JSON.
    count : int or None
        So many messages are wanted.
    """

    def __init__(self, pattern: str, *, params: bool, as_lines: bool, count: int | None) -> None:
        self.params = params
        self._pattern = pattern
        self._as_lines = as_lines
        self._count = count
        self._conversation = Conversation(most=REMEMBERED)
        self._shown = 0
        self._open: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether all messages that are wanted were printed, and what became of them."""
        return self._count is not None and self._shown >= self._count and not self._open

    def take(self, event: Event) -> None:
        """Take note of an event, and print it."""
        entry = self._conversation.apply(event)
        if not self._is_wanted(event, entry):
            return
        if self._count is not None and entry is not None:
            self._note_open(entry)
        if isinstance(event, Missed):
            say(f"{event.count} events were missed: the hub waits for nobody", err=True)
        if self._as_lines:
            print_json(as_json(event), indent=None)
        else:
            self._print(event, entry)

    def _is_wanted(self, event: Event, entry: Entry | None) -> bool:
        match event:
            case Sent():
                enough = self._count is not None and self._shown >= self._count
                if enough or not (self._pattern == "*" or matching({self._pattern}, event.mtype)):
                    del self._conversation.entries[event.number]
                    return False
                self._shown += 1
            case Answered(number=0):
                return self._pattern == "*" and self._count is None
            case Arrived() | Lost() | Answered() | Abandoned():
                return entry is not None
        return True

    def _note_open(self, entry: Entry) -> None:
        if entry.counts[Status.OPEN]:
            self._open.add(entry.sent.number)
        else:
            self._open.discard(entry.sent.number)

    def _name(self, id: str) -> str:
        return called(self._conversation.name_of(id), id)

    def _print(self, event: Event, entry: Entry | None) -> None:
        text, status = "", Status.OK
        match event:
            case Sent():
                text, status = self._of_sent(event)
            case Answered():
                text, status = self._of_answer(event, entry)
            case Lost() if entry is not None:
                text = f"{self._name(event.to)} did not get {entry.sent.mtype}: {event.reason}"
                status = Status.UNDELIVERED
            case Abandoned() if entry is not None:
                text = f"{self._name(entry.sent.sender)} waits no longer for {self._name(event.to)}: {entry.sent.mtype}"
                status = Status.ERROR
            case Left():
                text = f"{self._name(event.id)} has left: {event.reason}"
        if text:
            moment = time.strftime("%H:%M:%S", time.localtime(event.at)) + f".{int(event.at * 1000) % 1000:03}"
            say(f"{moment}  {text}", **_STYLES.get(status, {}) if sys.stdout.isatty() else {})

    def _of_sent(self, event: Sent) -> tuple[str, Status]:
        to = [self._name(each.id) for each in event.to[:NAMED]]
        if len(event.to) > NAMED:
            to.append(f"{len(event.to) - NAMED} more")
        left_out = "".join(f"; {self._name(id)} is left out: its queue is full" for id in event.left_out[:NAMED])
        how = "" if event.how == "notify" else f" ({event.how})"
        text = f"{self._name(event.sender)} → {', '.join(to) or 'nobody'}  {event.mtype}{how}{left_out}"
        if event.refused:
            return f"{text}: refused: {event.refused}", Status.UNDELIVERED
        return text + self._said(event), Status.UNDELIVERED if event.left_out else Status.OK

    def _of_answer(self, event: Answered, entry: Entry | None) -> tuple[str, Status]:
        what = entry.sent.mtype if entry is not None else event.msg_id
        after = f" after {max(event.at - entry.sent.at, 0):.3f} s" if entry is not None else ""
        wrong = f": {event.error}" if event.error else ""
        instead = ", says the hub in its stead" if event.instead else ""
        text = f"{self._name(event.sender)} → {self._name(event.to)}  {what}: {event.status}{after}{instead}{wrong}"
        status = {"samp.ok": Status.OK, "samp.warning": Status.WARNING}.get(event.status, Status.ERROR)
        return text + self._said(event), status

    def _said(self, event: Sent | Answered) -> str:
        """Return what stands in a message or response, if it is wanted and was told."""
        if not self.params:
            return ""
        told = as_json(event)
        said = told.get("message", told.get("response"))
        if said is None:
            return f"  ({event.size} bytes)" if event.size else ""
        if isinstance(event, Sent):
            said = {key: value for key, value in said.items() if key not in ("samp.mtype", "samp.params")} | said.get(
                "samp.params", {}
            )
        else:
            said = said.get("samp.result", {})
        return f"  {json.dumps(said, ensure_ascii=False)}"
