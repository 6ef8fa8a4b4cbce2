"""``hubfarm sleep``, ``wake``: hubs without a process, which the next connection brings back."""

import click

from hubfarm.cli.hub_columns import HUB_COLUMNS
from hubfarm.cli.listing import print_table
from hubfarm.cli.options import group_option, json_option, owner_option, selectors_argument
from hubfarm.cli.show import print_json, progress, say
from hubfarm.farm import Farm, HubInfo


@click.command()
@selectors_argument
@group_option("All hubs of this group.")
@owner_option("All hubs of this owner.")
@click.option("--all", "everything", is_flag=True, help="All hubs that the coordinator runs.")
@json_option
def sleep(selectors: tuple[str, ...], group: str, owner: str, everything: bool, as_json: bool) -> None:
    """Let hubs sleep with their clients: no process runs, and the next connection wakes the hub as it was.

    A hub that is in use stays awake: a client waits for an answer, or a message is on its way.

    \b
    Example:
      hubfarm sleep mima-2
      hubfarm sleep --group mima
    """
    with progress("falling asleep", None) as told:
        hubs = Farm().sleep(selectors, group=group, owner=owner, everything=everything, progress=told)
    _print(hubs, as_json, "no hub to let sleep")


@click.command()
@selectors_argument
@group_option("All hubs of this group.")
@owner_option("All hubs of this owner.")
@click.option("--all", "everything", is_flag=True, help="All hubs that the coordinator runs.")
@json_option
def wake(selectors: tuple[str, ...], group: str, owner: str, everything: bool, as_json: bool) -> None:
    """Wake hubs, as the next connection would.

    \b
    Example:
      hubfarm wake mima-2
      hubfarm wake --all
    """
    with progress("waking", None) as told:
        hubs = Farm().wake(selectors, group=group, owner=owner, everything=everything, progress=told)
    _print(hubs, as_json, "no hub to wake")


def _print(hubs: list[HubInfo], as_json: bool, none: str) -> None:
    if as_json:
        print_json([hub.as_json() for hub in hubs])
    elif hubs:
        print_table(HUB_COLUMNS, hubs, "hubfarm ls --wide shows all")
    else:
        say(none)
