"""Ask a person on a terminal which hub is meant."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubNotNamed
from hubfarm.registry.entry import Entry
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import with_names
from hubfarm.registry.statetable import read_records
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.toolkit import SAMPHubError
from hubfarm.spec.states import Access
from hubfarm.visible import visible

if TYPE_CHECKING:
    from prompt_toolkit.application import Application


def ask(hubs: list[Entry], wanted: Choice | None = None) -> Choice:
    """Let the user pick one of `hubs` by arrow keys or by letters of its line, and return what leads to it.

    The list is drawn on standard error: standard output is for what is done with the answer.

    Parameters
    ----------
    hubs : list of Entry
        Those that run.
    wanted : Choice, optional
        Only those of its label's beginning, owner and group are offered.

    Raises
    ------
    SAMPHubError
        There is none to pick.
    SAMPHubNotNamed
        There is no terminal, and the message says how to select without one; or `wanted` names a hub already.
    KeyboardInterrupt
        The user will not pick.
    """
    wanted = wanted or Choice()
    if wanted.hub is not None or wanted.hub_params is not None:
        raise SAMPHubNotNamed("choose among the hubs that run, or name one by hub or hub_params: not both")
    offered = with_names(hubs, label=wanted.label, owner=wanted.owner, group=wanted.group)
    if not offered:
        raise SAMPHubError("no hub runs that could be chosen: start one with hubfarm start")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        names = ", ".join(str(hub.names) for hub in offered)
        raise SAMPHubNotNamed(
            f"there is no terminal to choose a hub on; there are {names}: in a shell take "
            f"hubfarm env {offered[0].names}, in Python connect(label={str(offered[0].names)!r})"
        )
    return Choice(hub=str(_pick(offered).path))


def _pick(hubs: list[Entry]) -> Entry:
    return hubs[pick("Which hub?", _lines(hubs))]


LOOK_AGAIN = 0.5
"""Between two looks whether a question stands, seconds."""


class NoQuestion(Exception):
    """What was asked is no question any more: it has been answered elsewhere."""


def pick(what: str, lines: Sequence[str], stands: Callable[[], bool] | None = None) -> int:
    """Let the user pick one of some lines by arrow keys or by letters of it; return its place.

    Parameters
    ----------
    what : str
        The question.
    lines : sequence of str
        What is offered.
    stands : callable, optional
        Tells whether it is still a question; asked now and then, in a thread.

    Raises
    ------
    KeyboardInterrupt
        The user will not pick.
    NoQuestion
        It does not stand any more.
    """
    import questionary  # a fifth of a second, and only people need it
    from prompt_toolkit.output import create_output

    question = questionary.select(
        what,
        choices=[questionary.Choice(line, value=place) for place, line in enumerate(lines)],
        instruction="(arrows move, typing filters, Enter takes; Esc leaves, or q first)",
        use_search_filter=True,
        use_jk_keys=False,
        output=create_output(stdout=sys.stderr),
    )
    _add_keys(question.application)
    if stands is not None:
        _leave_when_it_falls(question.application, stands)
    picked = question.unsafe_ask()
    assert isinstance(picked, int)
    return picked


def _leave_when_it_falls(application: "Application[Any]", stands: Callable[[], bool]) -> None:
    async def look() -> None:
        while await asyncio.to_thread(stands):
            await asyncio.sleep(LOOK_AGAIN)
        if not application.is_done:
            application.exit(exception=NoQuestion)

    def begin() -> None:
        application.create_background_task(look())

    application.pre_run_callables.append(begin)


def _lines(hubs: list[Entry]) -> list[str]:
    """Return a line a hub: name, clients, owner, group, whom it lets in if not all, URL, one below the other."""
    clients = _clients(hubs)
    rows = [
        (str(hub.names), count, *map(visible, (hub.owner, hub.group, _restriction(hub), hub.url)))
        for hub, count in zip(hubs, clients, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True) if width) for row in rows]


def _restriction(hub: Entry) -> str:
    access = hub.tokens.get("hubfarm.access", Access.OPEN)
    return "" if access == Access.OPEN else f"for {access}"


def _clients(hubs: list[Entry]) -> list[str]:
    records = {}
    with contextlib.suppress(HubfarmError):  # nobody has to know how many there are
        records = read_records(Paths.from_environment().state_table)
    counts = [record.clients if hub.name and (record := records.get(hub.name)) else None for hub in hubs]
    return ["" if count is None else f"{count} client{'' if count == 1 else 's'}" for count in counts]


def _add_keys(application: "Application[Any]") -> None:
    """Let Esc leave, and q as long as it is no part of a filter; and Enter take nothing if nothing fits."""
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from questionary.prompts.common import InquirerControl

    (shown,) = (each for each in application.layout.find_all_controls() if isinstance(each, InquirerControl))
    keys = application.key_bindings
    assert isinstance(keys, KeyBindings)

    @keys.add("escape", eager=True)
    @keys.add("q", eager=True, filter=Condition(lambda: not shown.search_filter))
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt)

    @keys.add("enter", eager=True, filter=Condition(lambda: bool(shown.search_filter and not shown.found_in_search)))
    def nothing(event: KeyPressEvent) -> None:
        pass
