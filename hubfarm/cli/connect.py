"""``hubfarm connect``, ``connections``, ``disconnect``: hubs of other hosts, here."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from typing import Any

import click
from msgspec import to_builtins

from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import given, json_option
from hubfarm.cli.show import print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm
from hubfarm.farm.connecting import ConnectionInfo
from hubfarm.samp.errors import WrongUse
from hubfarm.visible import span


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": True})
@click.argument("address")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.option("--label", default="", metavar="NAME", help="What it is called here; else LABEL@HOST.", callback=given)
@click.option("--ssh", default="ssh", show_default=True, metavar="COMMAND", help="What to run as ssh, with options.")
@click.option(
    "--remote-hubfarm",
    default="hubfarm",
    show_default=True,
    metavar="COMMAND",
    help="What to run as hubfarm over there.",
)
@click.option("--no-files", is_flag=True, help="Do not carry files that messages name.")
@json_option
def connect(
    address: str,
    command: tuple[str, ...],
    label: str,
    ssh: str,
    remote_hubfarm: str,
    no_files: bool,
    as_json: bool,
) -> None:
    """Bring a hub of another host here: programs of this host are clients of it.

    ADDRESS is ssh://[USER@]HOST[:PORT]/LABEL, or the URL of the lock file of a hub that speaks TLS, as hubfarm share
    prints it. All goes over one connection that is made from here. If it is lost it is made again; programs stay
    registered, and what was sent to them waits. hubfarm disconnect ends it.

    With a COMMAND a program is started on it, and the connection ends with the program.

    \b
    Example:
      hubfarm connect ssh://luigi@obs.example.org/mima-1
      hubfarm connect ssh://obs.example.org/mima-1 -- topcat
    """
    farm = Farm()
    known = {info.label for info in farm.connections.all()}
    info = farm.connections.connect(
        address.removeprefix("std-lockurl:"),
        label=label,
        ssh=_words(ssh),
        remote_hubfarm=remote_hubfarm,
        carry_files=not no_files,
        may_ask=sys.stdin.isatty(),
    )
    if command:
        try:
            code = _run(farm, info, command)
        finally:
            if info.label not in known:
                farm.connections.end([info.label])
        raise click.exceptions.Exit(code)
    if as_json:
        print_json(described(info))
        return
    say(f"{info.label} is here: hubfarm exec {info.label} -- PROGRAM")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise WrongUse(f"not a command: {command!r} ({error})") from None


def _run(farm: Farm, info: ConnectionInfo, command: tuple[str, ...]) -> int:
    """Run a program on the hub; return its exit code, as env(1) has it."""
    environment = os.environ | farm.environment(info.label, command)
    sys.stdout.flush()
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        say(f"hubfarm connect: cannot run {command[0]}: {error.strerror}", err=True)
        return 127 if isinstance(error, FileNotFoundError) else 126
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # it is the program's to end by it
            code = process.wait()
            return code if code >= 0 else 128 - code


def described(info: ConnectionInfo) -> dict[str, Any]:
    """Return a connection as JSON can carry it; the URL of a share is a secret."""
    return {
        "label": info.label,
        "address": info.shown_address,
        "carry_files": info.spec.carry_files,
        "failure": info.failure,
        "state": to_builtins(info.state),
    }


COLUMNS: list[Column[ConnectionInfo]] = [
    Column(name="label", of=lambda info: info.label, priority=1, cut=Cut.END, floor=12),
    Column(name="state", of=lambda info: _state(info), priority=1),
    Column(name="clients", of=lambda info: info.state.clients if info.state else "", priority=2, right=True),
    Column(name="for", of=lambda info: _since(info), priority=2),
    Column(name="lost", of=lambda info: info.state.lost if info.state else "", priority=4, right=True),
    Column(name="address", of=lambda info: info.shown_address, priority=4, cut=Cut.END, floor=16),
    Column(name="pid", of=lambda info: info.state.pid if info.state else "", priority=5, right=True),
    Column(name="why", of=lambda info: info.trouble, priority=3, cut=Cut.END, floor=16),
]


def _state(info: ConnectionInfo) -> str:
    if info.failure:
        return "failed"
    if info.state is None:
        return "starting"
    return "reached" if info.state.up else "away"


def _since(info: ConnectionInfo) -> str:
    return span(time.time() - info.state.changed) if info.state else ""


@click.command()
@listing(COLUMNS)
@json_option
def connections(view: View[ConnectionInfo], as_json: bool) -> None:
    """List the hubs of other hosts that are here, and whether each is reached.

    FOR is since when that is so, LOST how often the line was lost, CLIENTS the programs of this host that are in.

    \b
    Example:
      hubfarm connections
    """
    farm = Farm()
    if as_json:
        print_json([described(info) for info in farm.connections.all()])
    else:
        view.show(farm.connections.all, "there are no connections")


@click.command()
@click.argument("labels", nargs=-1, metavar="LABEL…")
@click.option("--all", "everything", is_flag=True, help="All connections.")
def disconnect(labels: tuple[str, ...], everything: bool) -> None:
    """End connections: programs of this host leave the hubs elsewhere, which run on.

    \b
    Example:
      hubfarm disconnect mima-1@obs.example.org
    """
    if bool(labels) == everything:
        raise WrongUse("say which connections to end: their labels, or --all")
    known = Farm().connections
    if labels:
        known.end(labels)
    ended = labels or known.end_all()
    say(f"ended {', '.join(ended)}" if ended else "there are no connections")


@click.command(hidden=True)
@click.argument("label")
def line(label: str) -> None:
    """Be the far end of a connection: what hubfarm connect runs by ssh; not for people to type."""
    from hubfarm.connect.agent import serve

    serve(label)
