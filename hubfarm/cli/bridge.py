"""``hubfarm bridge``, ``bridges``, ``unbridge``: hubs joined, so that their clients talk as if on one."""

import time
from typing import Any

import click
from msgspec import to_builtins

from hubfarm.cli.complete import complete_selector
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import given, json_option
from hubfarm.cli.show import print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm
from hubfarm.farm.bridging import BridgeInfo
from hubfarm.registry.bridges import EndState
from hubfarm.samp.errors import WrongUse
from hubfarm.samp.lockfile import shown
from hubfarm.visible import span


@click.command()
@click.argument("hubs", nargs=-1, required=True, metavar="HUB HUB…", shell_complete=complete_selector)
@click.option("--name", default="", metavar="NAME", help="What it is called; else after its hubs.", callback=given)
@click.option("--no-export-urls", is_flag=True, help="Do not serve files that messages name to hubs on other hosts.")
@json_option
def bridge(hubs: tuple[str, ...], name: str, no_export_urls: bool, as_json: bool) -> None:
    """Join hubs: the clients of each are clients of the others too.

    A HUB is a selector, or the path or URL of a lock file; another program's hub will do. A client's proxy on
    another hub is called as the client, with its hub's label behind. The bridge is looked after as hubs are: it
    comes back if it falls, and joins a hub again that was away. hubfarm unbridge ends it.

    \b
    Example:
      hubfarm bridge mima-1 mima-2
      hubfarm bridge mima-1 ~/.samp --name desktop
    """
    info = Farm().bridges.join(hubs, name=name, export_urls=not no_export_urls)
    if as_json:
        print_json(described(info))
        return
    assert info.state is not None
    say(f"bridge {info.name} joins {' and '.join(end.label for end in info.state.ends)}")


def described(info: BridgeInfo) -> dict[str, Any]:
    """Return a bridge as JSON can carry it; the URL of a share is a secret."""
    spec = info.spec
    state = to_builtins(info.state)
    for end in state["ends"] if state else []:
        end["hub"] = shown(end["hub"])
    return {
        "name": spec.name,
        "hubs": [shown(hub) for hub in spec.hubs],
        "export_urls": spec.export_urls,
        "failure": info.failure,
        "state": state,
    }


_Row = tuple[BridgeInfo, EndState | None]

COLUMNS: list[Column[_Row]] = [
    Column(name="bridge", of=lambda row: row[0].name, priority=1, cut=Cut.END, floor=12),
    Column(name="hub", of=lambda row: row[1].label if row[1] else "", priority=1, cut=Cut.END, floor=12),
    Column(name="state", of=lambda row: _state(row), priority=1),
    Column(name="clients", of=lambda row: row[1].clients if row[1] else "", priority=2, right=True),
    Column(name="proxies", of=lambda row: row[1].proxies if row[1] else "", priority=2, right=True),
    Column(name="since", of=lambda row: _since(row[0]), priority=4),
    Column(name="pid", of=lambda row: row[0].state.pid if row[0].state else "", priority=5, right=True),
    Column(name="why", of=lambda row: row[1].trouble if row[1] else row[0].failure, priority=3, cut=Cut.END, floor=16),
]


def _state(row: _Row) -> str:
    if row[0].failure:
        return "failed"
    if row[1] is None:
        return "starting"
    return "joined" if row[1].joined else "away"


def _since(info: BridgeInfo) -> str:
    return span(time.time() - info.state.since) if info.state else ""


@click.command()
@listing(COLUMNS)
@json_option
def bridges(view: View[_Row], as_json: bool) -> None:
    """List the bridges, a line for each hub of each.

    CLIENTS are those of the hub itself, PROXIES those of the others that it has.

    \b
    Example:
      hubfarm bridges
    """
    farm = Farm()
    if as_json:
        print_json([described(info) for info in farm.bridges.all()])
    else:
        view.show(lambda: _rows(farm), "there are no bridges")


def _rows(farm: Farm) -> list[_Row]:
    return [(info, end) for info in farm.bridges.all() for end in (info.state.ends if info.state else [None])]


@click.command()
@click.argument("names", nargs=-1, metavar="NAME…")
@click.option("--all", "everything", is_flag=True, help="All bridges.")
def unbridge(names: tuple[str, ...], everything: bool) -> None:
    """End bridges: proxies leave, hubs and clients stay.

    \b
    Example:
      hubfarm unbridge mima-1-mima-2
    """
    if bool(names) == everything:
        raise WrongUse("say which bridges to end: their names, or --all")
    known = Farm().bridges
    if names:
        known.end(names)
    ended = names or known.end_all()
    say(f"ended {', '.join(ended)}" if ended else "there are no bridges")
