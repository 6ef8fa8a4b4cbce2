"""``hubfarm ls`` and ``history``: see what runs, and what did."""

from collections.abc import Callable, Sequence
from datetime import datetime

import click

from hubfarm.cli.coordinator import absence
from hubfarm.cli.hub_columns import HUB_COLUMNS
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import group_option, json_option, owner_option
from hubfarm.cli.show import print_json
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm
from hubfarm.registry.history import Ending
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import WrongUse
from hubfarm.visible import span


@click.command("ls")
@group_option()
@owner_option()
@click.option("--label", metavar="L", help="Only hubs whose label begins so.")
@click.option("--host", metavar="H", help="Only hubs on this host.")
@click.option("--all", "everything", is_flag=True, help="Also what dead hubs left, and hubs of other hosts.")
@click.option("--all-users", is_flag=True, help="The hubs of all accounts of this host, and their memory; for root.")
@listing(HUB_COLUMNS, watch=True)
@json_option
def list_hubs(
    group: str,
    owner: str,
    label: str | None,
    host: str | None,
    everything: bool,
    all_users: bool,
    view: View[HubInfo],
    as_json: bool,
) -> None:
    """List the hubs that run, foreign ones marked as such.

    A terminal shows the columns that say something and that it has room for.

    \b
    Example:
      hubfarm ls --group mima
      hubfarm ls --sort clients --watch
      hubfarm ls --format '{label}\\t{url}'
      sudo hubfarm ls --all-users --sort -memory
    """

    def wanted(hub: HubInfo) -> bool:
        return (
            (not group or hub.group == group)
            and (not owner or hub.owner == owner)
            and (label is None or hub.label.startswith(label))
            and (host is None or hub.host == host)
        )

    narrowed = bool(group or owner or label is not None or host is not None)
    nothing = "no hub runs" + (" that fits" if narrowed else "")
    if all_users:
        if everything:
            raise WrongUse("--all-users lists what runs: leave out --all")
        _list_all_users(wanted, nothing, view, as_json)
        return
    farm = Farm()

    def look() -> list[HubInfo]:
        return [hub for hub in farm.hubs(everything=everything or host is not None) if wanted(hub)]

    if as_json:
        print_json([hub.as_json() for hub in view.sorted(look())])
        return
    view.show(look, nothing, lambda hubs: absence(farm, hubs))


def _list_all_users(wanted: Callable[[HubInfo], bool], nothing: str, view: View[HubInfo], as_json: bool) -> None:
    from hubfarm.farm.host import AccountFarm, all_farms

    farms: list[AccountFarm] = []

    def look() -> list[HubInfo]:
        farms[:] = all_farms()
        return [hub for farm in farms for hub in farm.hubs if wanted(hub)]

    def summed(hubs: Sequence[HubInfo]) -> str:
        memory = sum(farm.memory for farm in farms) / 2**20
        clients = sum(hub.clients or 0 for hub in hubs)
        counted = f"{len(hubs)} hub{'s' * (len(hubs) != 1)}, {clients} client{'s' * (clients != 1)}"
        said = f"{counted}; all processes of hubfarm on this host take {memory:.1f} MB"
        unread = "".join(f"; {farm.account}: {farm.problem}" for farm in farms if farm.problem)
        return said + unread

    if as_json:
        print_json([hub.as_json() for hub in view.sorted(look())])
    else:
        view.show(look, nothing, summed)


def local_time(time: str) -> str:
    """Write a time of the history as this host's clocks have it."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


ENDING_COLUMNS: list[Column[Ending]] = [
    Column(name="time", of=lambda ending: ending.time, text=local_time, priority=1),
    Column(name="id", of=lambda ending: ending.id, priority=3, right=True),
    Column(name="label", of=lambda ending: ending.label, priority=1, cut=Cut.END, floor=16),
    Column(name="owner", of=lambda ending: ending.owner, priority=0, cut=Cut.END),
    Column(name="group", of=lambda ending: ending.group, priority=0, cut=Cut.END),
    Column(name="kind", of=lambda ending: ending.kind, priority=0),
    Column(name="pid", of=lambda ending: ending.pid, priority=0, right=True),
    Column(name="how", of=lambda ending: ending.how.value, priority=1),
    Column(name="uptime", of=lambda ending: ending.uptime, text=span, priority=4, right=True, largest_first=True),
    Column(name="restarts", of=lambda ending: ending.restarts, priority=5, right=True, largest_first=True, dull="0"),
    Column(name="asked_by", of=lambda ending: ending.asked_by, priority=4, cut=Cut.END, floor=12, header="ASKED BY"),
    Column(name="reason", header="WHY", of=lambda ending: ending.reason, priority=2, cut=Cut.END, floor=12),
]


@click.command()
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, metavar="N", help="The last N."
)
@listing(ENDING_COLUMNS)
@json_option
def history(lines: int, view: View[Ending], as_json: bool) -> None:
    """Show what ended, when and why, the newest last.

    \b
    Example:
      hubfarm history -n 10
    """
    endings = Farm().history()[-lines:] if lines else []
    if as_json:
        print_json([ending.as_json() for ending in view.sorted(endings)])
    else:
        view.show(lambda: endings, "nothing has ended yet" if lines else "no line was asked for (-n 0)")
