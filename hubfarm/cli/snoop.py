"""``hubfarm snoop``: print what is sent to all."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from queue import SimpleQueue

import click

from hubfarm.cli.asking import Who, as_user
from hubfarm.cli.complete import complete_mtype
from hubfarm.cli.hub_client import Names, command_on
from hubfarm.cli.options import selector_argument
from hubfarm.cli.show import print_json, say, wait_for_more
from hubfarm.client.data import LISTENS
from hubfarm.client.handlers import Message
from hubfarm.client.others import COMMAND, as_map
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.mtype import check_pattern, matching

COMINGS = "samp.hub.event.register"
GOINGS = "samp.hub.event.unregister"
METADATA = "samp.hub.event.metadata"
SUBSCRIPTIONS = "samp.hub.event.subscriptions"
END = "samp.hub.event.shutdown"
EVENTS = (COMINGS, METADATA, SUBSCRIPTIONS, GOINGS)
"""What a hub tells of its clients (SAMP 1.3, 3.11): here, who they are."""

UNKNOWN_FOR = 1.0
"""So long a client that comes may take to say who it is, seconds."""


class Hearing:
    """Decides what of all that is heard is shown.

    That our own commands come and go is of no interest; that a client is one is known by its metadata, which follow its
    registration.  So news of a client wait until it has said who it is.

    Parameters
    ----------
    pattern : str
        Which MTypes are shown.
    names : Names
        Learns the clients' names.
    """

    def __init__(self, pattern: str, names: Names) -> None:
        self._pattern = pattern
        self._names = names
        self._commands: set[str] = set()
        self._waiting: dict[str, tuple[float, list[Message]]] = {}

    def know(self, client: str, metadata: object) -> None:
        """Keep what a client has said of itself."""
        self._names.learn(client, metadata)
        if COMMAND in as_map(metadata):
            self._commands.add(client)

    def hear(self, message: Message, now: float) -> Iterator[Message]:
        """Yield what is to be shown now that `message` was heard."""
        if message.mtype not in EVENTS:
            yield from self._if_wanted([message])
            return
        client = str(message.params.get("id", ""))
        if message.mtype == METADATA:
            self.know(client, message.params.get("metadata"))
            _, held = self._waiting.pop(client, (now, []))
            yield from self._of(client, [*held, message])
        elif message.mtype == COMINGS and client not in self._commands:
            self._waiting[client] = (now + UNKNOWN_FOR, [message])
        elif client in self._waiting:
            self._waiting[client][1].append(message)
        else:
            yield from self._of(client, [message])
        if message.mtype == GOINGS:
            _, held = self._waiting.pop(client, (now, []))
            yield from self._of(client, held)
            self._commands.discard(client)

    def overdue(self, now: float) -> Iterator[Message]:
        """Yield what has waited long enough for a client that does not say who it is."""
        for client, (until, _) in list(self._waiting.items()):
            if now >= until:
                yield from self._of(client, self._waiting.pop(client)[1])

    @property
    def is_waiting(self) -> bool:
        """Whether something waits to be shown."""
        return bool(self._waiting)

    def _of(self, client: str, messages: list[Message]) -> Iterator[Message]:
        if client not in self._commands:
            yield from self._if_wanted(messages)

    def _if_wanted(self, messages: list[Message]) -> Iterator[Message]:
        yield from (each for each in messages if matching({self._pattern}, each.mtype))


@click.command()
@selector_argument
@as_user
@click.argument("pattern", default="*", metavar="[MTYPE-PATTERN]", shell_complete=complete_mtype)
@click.option("--all", "everything", is_flag=True, help="Also what is sent to one alone, calls, and their answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a message a line; with --all as trace does.")
def snoop(selector: str, who: Who, pattern: str, everything: bool, as_json: bool) -> None:
    """Print every message that is sent to all, until interrupted or the hub ends.

    It is a client like others; with --all it is none, and watches: see hubfarm trace.

    \b
    Example:
      hubfarm snoop mima-2 'table.*' --json
      hubfarm snoop mima-2 --all
    """
    check_pattern(pattern)
    if everything:
        from hubfarm.cli.trace import trace_hub

        trace_hub(selector, who, pattern, "hubfarm snoop", params=True, as_lines=as_json)
        return
    heard: SimpleQueue[Message] = SimpleQueue()
    more, there_is_more = os.pipe()
    os.set_blocking(there_is_more, False)

    def listen(message: Message) -> dict[str, object]:
        heard.put(message)
        with contextlib.suppress(BlockingIOError):  # it holds enough to wake us
            os.write(there_is_more, b".")
        return {
            "samp.status": "samp.warning",
            "samp.result": {},
            "samp.error": {"samp.errortxt": "hubfarm snoop only listens"},
        }

    with command_on(selector, "snoop", who, callable=True) as client:
        names = Names(client)
        hearing = Hearing(pattern, names)
        for id in (str(client.get_public_id()), *client.get_registered_clients()):
            with contextlib.suppress(HubfarmError):  # it has left meanwhile
                hearing.know(id, client.get_metadata(id))
        for each in (pattern, *(event for event in (*EVENTS, END) if not matching({pattern}, event))):
            client.on_call(each, {LISTENS: "1"})(listen)
        say(f"listening on {selector} for {pattern}; Ctrl-C ends", err=True)
        while True:
            if wait_for_more(more, UNKNOWN_FOR / 4 if hearing.is_waiting else None):
                os.read(more, 2**16)
            now = time.monotonic()
            while not heard.empty():
                one = heard.get()
                for message in hearing.hear(one, now):
                    _show(message, names, as_json=as_json)
                if one.mtype == END:
                    say(f"the hub {selector} has ended", err=True)
                    return
            for message in hearing.overdue(now):
                _show(message, names, as_json=as_json)


def _show(message: Message, names: Names, *, as_json: bool) -> None:
    if as_json:
        content = {"samp.mtype": message.mtype, "samp.params": message.params} | message.extra
        print_json({"sender": message.sender, "id": message.id, "message": content}, indent=None)
        return
    params = json.dumps(message.params, ensure_ascii=False)
    about = message.params.get("id") if message.mtype in EVENTS else None
    who = names.of(message.sender) + (f" of {names.of(about)}" if isinstance(about, str) else "")
    say(f"{time.strftime('%H:%M:%S')}  {who}  {message.mtype}  {params}")
