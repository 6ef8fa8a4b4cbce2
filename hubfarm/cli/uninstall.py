"""``hubfarm uninstall``: what lies where, and its removal."""

import sys
from dataclasses import asdict

import click

from hubfarm.cli.listing import print_table
from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm, HubInfo
from hubfarm.farm.removal import Remain
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.states import HubKind

COLUMNS: list[Column[Remain]] = [
    Column(name="what", of=lambda each: each.what, priority=1),
    Column(name="path", of=lambda each: each.path, priority=1, cut=Cut.MIDDLE, floor=24),
    Column(
        name="note",
        header="",
        of=lambda each: f"stays: {each.stays}" if each.stays else each.note,
        priority=2,
        cut=Cut.END,
        floor=16,
    ),
]


@click.command()
@click.option("--stop", "ending", is_flag=True, help="End the hubs and the coordinator first.")
@click.option("--dry-run", is_flag=True, help="Only say what lies where.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def uninstall(ending: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Say what hubfarm has left in your account, and remove it: state, settings, service, links.

    What other programs wrote stays. The package itself goes afterwards, with pip or apt.

    \b
    Example:
      hubfarm uninstall --dry-run
      hubfarm uninstall --stop
    """
    farm = Farm()
    running = [hub for hub in farm.hubs() if hub.alive and hub.kind in (HubKind.FARM, HubKind.STANDALONE)]
    others = [hub for hub in farm.hubs() if hub.alive and hub.kind is HubKind.EMBEDDED]
    found = farm.remains()
    if dry_run and as_json:
        print_json([asdict(each) | {"path": str(each.path)} for each in found])
        return
    if not found:
        say("hubfarm has left nothing here", err=True)
        return
    for hub in [*running, *others]:
        say(f"runs: {hub.name}{_used(hub)}", err=True)
    if not as_json:
        print_table(COLUMNS, found)
    if dry_run:
        say("nothing was done (--dry-run)")
        return
    if others:
        raise HubfarmError(
            f"end the programs first that run hubs of their own: {', '.join(hub.name for hub in others)}"
        )
    if (running or farm.coordinator_lives) and not ending:
        raise HubfarmError("a farm runs: hubfarm uninstall --stop ends it first")
    if not yes:
        _ask(bool(running))
    left = farm.uninstall()
    if as_json:
        print_json([asdict(each) | {"path": str(each.path)} for each in left])
        return
    say("removed; the package goes by what installed it, as: pip uninstall hubfarm")
    for each in left:
        say(f"left {each.path}: {each.stays}")


def _used(hub: HubInfo) -> str:
    return f", {hub.clients} client{'s' * (hub.clients != 1)}" if hub.clients else ""


def _ask(running: bool) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise WrongUse("there is no terminal to ask on: --yes says that you mean it")
    if not click.confirm("End the hubs, and remove this?" if running else "Remove this?", err=True):
        raise HubfarmError("nothing was removed")
