"""Ask a person on a terminal which hub is meant."""

import sys

from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubNotNamed
from hubfarm.registry.entry import Entry
from hubfarm.registry.select import with_names
from hubfarm.samp.toolkit import SAMPHubError
from hubfarm.visible import visible


def ask(hubs: list[Entry], wanted: Choice | None = None) -> Choice:
    """Let the user pick one of `hubs` with the arrow keys, and return what leads to it.

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
    import questionary  # a fifth of a second, and only people need it
    from prompt_toolkit.output import create_output

    width = max(len(str(hub.names)) for hub in hubs)
    choices = [
        questionary.Choice(f"{hub.names!s:{width}}  {visible(f'{hub.owner} {hub.group} {hub.url}')}", value=hub)
        for hub in hubs
    ]
    picked = questionary.select("Which hub?", choices=choices, output=create_output(stdout=sys.stderr)).unsafe_ask()
    assert isinstance(picked, Entry)
    return picked
