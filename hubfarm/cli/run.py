"""``hubfarm start``, ``stop``, ``restart``, ``up``: what runs, and what no longer does."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubfarm.cli.hub_columns import HUB_COLUMNS
from hubfarm.cli.listing import print_table
from hubfarm.cli.options import (
    group_option,
    hub_options,
    json_option,
    log_level_option,
    owner_option,
    selectors_argument,
)
from hubfarm.cli.show import print_json, progress, say
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm, HubInfo
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest, encode_requests
from hubfarm.spec.hub_spec import in_the_clear
from hubfarm.spec.states import Access, HubKind
from hubfarm.wire.addresses import is_loopback
from hubfarm.wire.urls import place_of

if TYPE_CHECKING:
    from hubfarm.spec.farm_file import Change


@click.command()
@click.option("--count", default=1, show_default=True, metavar="N", help="How many hubs.")
@hub_options()
@click.option("--foreground", is_flag=True, help="Be the coordinator: stay, log to standard error, end with SIGTERM.")
@log_level_option
@json_option
def start(count: int, foreground: bool, log_level: str, as_json: bool, **options: Any) -> None:
    """Start hubs, all or none, and wait until every one answers.

    Starts the coordinator in the background if none runs. Without --label, labels are
    GROUP-1, GROUP-2, … (or OWNER-…, or hub-…).

    \b
    Example:
      hubfarm start --count 4 --group mima
      hubfarm start --label reduction --timeout 3600
    """
    if foreground:
        farm = Farm()
        request = farm.request(options | {"count": count})
        farm.check_requests([request])
        _become_coordinator("--start", encode_requests([request]).decode(), log_level, as_json)
    farm = Farm()
    with progress("starting", count) as told:
        hubs = farm.start(count=count, log_level=log_level, progress=told, **options)
    for hub in hubs:
        if hub.url.startswith("http:") and not is_loopback(place_of(hub.url)[0]):
            say(f"hubfarm: {in_the_clear(hub.name, options['host'])}", err=True)
    if as_json:
        print_json([hub.as_json() for hub in hubs])
        return
    print_table(HUB_COLUMNS, hubs, "hubfarm ls --wide shows all")
    name = shlex.quote(hubs[0].name)
    exec_as, lead = ("--user NAME ", "login --user NAME") if hubs[0].access != Access.OPEN else ("", "env")
    say()
    say(f"Run a program on one:        hubfarm exec {exec_as}{name} -- topcat")
    say(f'Or let your shell lead to it: eval "$(hubfarm {lead} {name})"')


def _become_coordinator(option: str, purpose: str, log_level: str, as_json: bool) -> None:
    Farm().paths.prepare()
    arguments = ["--log-level", log_level, option, purpose, *(["--json"] if as_json else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "hubfarm.coordinator", *arguments])


@click.command()
@selectors_argument
@group_option("All hubs of this group.")
@owner_option("All hubs of this owner.")
@click.option("--all", "everything", is_flag=True, help="All hubs of hubfarm on this host.")
@click.option("--coordinator", is_flag=True, help="The coordinator too, and every hub that it runs.")
@click.option("--user", "account", metavar="NAME", help="Hubs of this account, all unless you say which; for root.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even if clients are registered.")
@json_option
def stop(
    selectors: tuple[str, ...],
    group: str,
    owner: str,
    everything: bool,
    coordinator: bool,
    account: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """End hubs in order, and wait until they are gone.

    Each tells its clients, delivers what is queued for a moment, and removes its lock file. With --all or
    --coordinator it asks first, on a terminal, if clients are registered.

    \b
    Example:
      hubfarm stop mima-2
      hubfarm stop --all --coordinator
      sudo hubfarm stop --user luigi
    """
    if account is not None:
        from hubfarm.farm.host import become

        become(account)
        everything = everything or not (selectors or group or owner)
    if (everything or coordinator) and not yes:
        ask_first(Farm().hubs())
    with progress("stopping", None if account is None else 1) as told:  # a bar is more to load
        names = Farm().stop(
            selectors, group=group, owner=owner, everything=everything, coordinator=coordinator, progress=told
        )
    if as_json:
        print_json(names)
    else:
        say(f"stopped {', '.join(names)}" if names else "no hub to stop")


def ask_first(hubs: list[HubInfo]) -> None:
    """Let a person on a terminal say whether hubs that have clients are to end.

    Raises
    ------
    HubfarmError
        They are not.
    """
    ending = [hub for hub in hubs if hub.alive and hub.kind in (HubKind.FARM, HubKind.STANDALONE)]
    used = [hub for hub in ending if hub.clients]
    if not (used and sys.stdin.isatty() and sys.stderr.isatty()):
        return
    say(f"{len(ending)} hubs will end; of these have clients:", err=True)
    for hub in used:
        say(f"  {hub.name}: {hub.clients}" + (f", owner {hub.owner}" if hub.owner else ""), err=True)
    if not click.confirm("End them?", err=True):
        raise HubfarmError("nothing was stopped")


@click.command()
@selectors_argument
@click.option("--wait", default=60.0, show_default=True, metavar="S", help="Stop it as it is after S seconds.")
@json_option
def drain(selectors: tuple[str, ...], wait: float, as_json: bool) -> None:
    """Let hubs take no new clients, deliver what is queued, and then end.

    \b
    Example:
      hubfarm drain mima-2
    """
    if not selectors:
        raise WrongUse("say which hubs to drain")
    with progress("draining", len(selectors)) as told:
        names = Farm().drain(selectors, wait=wait, progress=told)
    if as_json:
        print_json(names)
    else:
        say(f"drained {', '.join(names)}")


@click.command()
@selectors_argument
@group_option("All hubs of this group.")
@owner_option("All hubs of this owner.")
@click.option("--all", "everything", is_flag=True, help="All hubs that the coordinator runs.")
@json_option
def restart(selectors: tuple[str, ...], group: str, owner: str, everything: bool, as_json: bool) -> None:
    """Restart hubs in order, under the same id, label, URL and secret; they keep their clients.

    \b
    Example:
      hubfarm restart mima-2
      hubfarm restart --group mima
    """
    with progress("restarting", None) as told:
        hubs = Farm().restart(selectors, group=group, owner=owner, everything=everything, progress=told)
    if as_json:
        print_json([hub.as_json() for hub in hubs])
    elif hubs:
        print_table(HUB_COLUMNS, hubs, "hubfarm ls --wide shows all")
    else:
        say("no hub to restart")


CHANGE_COLUMNS: list[Column["Change"]] = [
    Column(name="action", of=lambda change: change.action, priority=1),
    Column(name="label", of=lambda change: change.label, priority=1, cut=Cut.END, floor=16),
    Column(name="detail", header="WHY", of=lambda change: change.detail, priority=2, cut=Cut.END, floor=16),
]


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FARM.TOML")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--prune", is_flag=True, help="Stop hubs that the file once declared and no longer does.")
@click.option("--replace", is_flag=True, help="Stop and start hubs that run with other options than declared.")
@click.option("--foreground", is_flag=True, help="Be the coordinator of that farm: stay, log to standard error.")
@log_level_option
@json_option
def up(file: Path, dry_run: bool, prune: bool, replace: bool, foreground: bool, log_level: str, as_json: bool) -> None:
    """Make what runs match a farm file: start what is missing, leave the rest alone.

    A hub that lets in more than the file declares is restricted at once; who may not be in is thrown out.

    With --foreground it is the service itself: SIGHUP reads the file again, starts what is missing and stops what is
    gone from it; SIGTERM ends the farm.

    \b
    Example:
      hubfarm up farm.toml --dry-run
      hubfarm up farm.toml --prune
    """
    if foreground:
        if dry_run or replace or prune:
            raise WrongUse("--foreground starts and prunes by itself: leave out --dry-run, --prune and --replace")
        farm = Farm()
        farm.check_requests([HubRequest.of(hub) for hub in farm.declared(file).hubs])
        _become_coordinator("--farm-file", os.path.abspath(file), log_level, as_json)
    changes = Farm().up(file, dry_run=dry_run, prune=prune, replace_changed=replace)
    if as_json:
        print_json([{"action": c.action, "label": c.label, "detail": c.detail} for c in changes])
    elif not changes:
        say("nothing to do: the farm file declares no hub, and none runs that it once declared")
    else:
        print_table(CHANGE_COLUMNS, changes)
        for change in changes:
            if change.action == "differs" and re.search(r"(^|, )(access|allow) ", change.detail):
                command = f"hubfarm access {shlex.quote(change.label)}"
                say(f"hubfarm up: {change.label} lets in others than declared: {command} changes that", err=True)
        if dry_run:
            say()
            say("nothing was done (--dry-run)")
