"""``hubfarm service``: hubfarm as a service of systemd."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from hubfarm.cli.options import json_option
from hubfarm.cli.run import ask_first
from hubfarm.cli.show import print_json, rows, say
from hubfarm.farm import Farm
from hubfarm.farm.unit import FARMS, NOT_THERE, Did, Service, Step, own_command
from hubfarm.samp.errors import HubfarmError, WrongUse

system_option = click.option("--system", is_flag=True, help="The template for all accounts, hubfarm@ACCOUNT; for root.")
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    metavar="DIR",
    help="With --system, write below DIR, for an image of a host.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group()
def service() -> None:
    """Let systemd start the farm: for this account, or as root for others.

    \b
    hubfarm service install
    hubfarm service status
    """


def _service(system: bool, root: Path = Path("/")) -> Service:
    root = Path(os.path.abspath(root))
    if root != Path("/") and not system:
        raise WrongUse("--root is for --system: an account's service lies in its home")
    if system and root == Path("/") and os.geteuid() != 0:
        raise WrongUse("--system writes for all accounts: sudo hubfarm service … --system")
    return Service(system=system, root=root)


@service.command()
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[FARM.TOML]")
@system_option
@root_option
@click.option("--no-start", is_flag=True, help="Write it, and start nothing.")
@dry_run_option
def install(file: Path | None, system: bool, root: Path, no_start: bool, dry_run: bool) -> None:
    """Make the farm a service that systemd starts, and starts again if it dies.

    It runs hubfarm up --foreground with FARM.TOML, by default farm.toml beside your settings, which is made if it is
    missing. With --system an administrator gets hubfarm@ACCOUNT for each account, and accounts a directory in which to
    share hubs.

    \b
    Example:
      hubfarm service install farm.toml
      sudo hubfarm service install --system
    """
    chosen = _service(system, root)
    if file is not None and not system:
        Farm().declared(file)  # refuses what could not be started
    steps = chosen.install(file, dry_run=dry_run, start=not no_start, end_coordinator=Farm().end_coordinator)
    _tell(steps, dry_run)
    if not chosen.runs_here and root == Path("/"):
        farm_file = f"{FARMS}/ACCOUNT.toml" if system else str(file or chosen.farm_file)
        command = shlex.join([*own_command(), "up", "--foreground", farm_file])
        say(NOT_THERE.format(command=command), err=True)
    elif system:
        say(f"For each account write {FARMS}/ACCOUNT.toml, then: systemctl enable --now hubfarm@ACCOUNT")
    elif not chosen.status().lingers:
        say("It runs while you are logged in; always, after: loginctl enable-linger")


@service.command()
@system_option
@root_option
@dry_run_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even if clients are registered.")
def uninstall(system: bool, root: Path, dry_run: bool, yes: bool) -> None:
    """End the service with its hubs, and remove what install wrote; farm files stay.

    \b
    Example:
      hubfarm service uninstall --dry-run
    """
    chosen = _service(system, root)
    if not (system or dry_run or yes) and chosen.runs_here:
        ask_first(Farm().hubs())
    steps = chosen.uninstall(dry_run=dry_run)
    if not steps:
        say("no service is installed", err=True)
    _tell(steps, dry_run)


def _tell(steps: list[Step], dry_run: bool) -> None:
    for step in steps:
        if step.did is not Did.FAILED:
            say(f"would {step.did.infinitive} {step.what}" if dry_run else f"{step.did} {step.what}")
        if dry_run:
            for line in step.text.splitlines():
                say(f"    {line}")
    failed = [step.what for step in steps if step.did is Did.FAILED]
    if failed:
        raise HubfarmError(failed[0])


@service.command()
@system_option
@json_option
def status(system: bool, as_json: bool) -> None:
    """Say whether there is a service, what it runs, and what systemd says of it. Exit code 1 if there is none.

    \b
    Example:
      hubfarm service status
    """
    told = Service(system=system).status()
    if as_json:
        print_json(asdict(told) | {"unit": str(told.unit)})
    if not told.installed:
        raise HubfarmError(f"no service is installed, there is no {told.unit}: hubfarm service install")
    if not as_json:
        rows(
            ("unit", str(told.unit)),
            ("runs", told.command),
            ("enabled", told.enabled),
            ("active", told.active),
            ("lingers", "" if system else "yes" if told.lingers else "no: loginctl enable-linger"),
        )
