"""``hubfarm``: the commands."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from hubfarm.cli.errors import entry_point
from hubfarm.cli.show import print_hubs, print_json, print_table, progress
from hubfarm.farm import Farm, HubInfo, start_request
from hubfarm.registry.hubspec import Limits, Restart
from hubfarm.samp.errors import WrongUse
from hubfarm.version import __version__

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")


def _complete_selector(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    hubs = [hub for hub in Farm().hubs() if hub.kind != "foreign"]
    return [CompletionItem(hub.name, help=hub.url) for hub in hubs if hub.name.startswith(incomplete)]


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def hub_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a hub is to be."""
    defaults = ", ".join(f"{name}={getattr(Limits(), name)}" for name in Limits.__dataclass_fields__)
    for option in reversed(
        [
            click.option(
                "--restart",
                type=click.Choice([policy.value for policy in Restart]),
                default=Restart.ON_FAILURE.value,
                show_default=True,
                help="When a hub that ended is started again.",
            ),
            click.option("--label", default="", metavar="NAME", help="Its name; several get NAME-1, NAME-2, …"),
            click.option("--owner", default="", metavar="NAME", help="Whose it is: any name, not the UNIX user."),
            click.option("--group", default="", metavar="NAME", help="Which group's: any name, not the UNIX group."),
            click.option("--timeout", default=0.0, metavar="S", help="End it after S seconds unused; 0 for never."),
            click.option(
                "--client-timeout", default=0.0, metavar="S", help="Throw out a client silent for S seconds; 0 never."
            ),
            click.option(
                "--host", default="127.0.0.1", show_default=True, metavar="ADDR", help="Address to listen on."
            ),
            click.option(
                "--port", default=0, metavar="P", help="Port of the first hub, the next ones' follow; 0: chosen."
            ),
            click.option(
                "--limit", "limits", multiple=True, metavar="NAME=N", help=f"Set a limit. Defaults: {defaults}."
            ),
        ]
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hubfarm")
def hubfarm() -> None:
    """Run a farm of SAMP hubs on this host.

    TOPCAT, DS9, Aladin, astropy and others talk through a hub; a farm has many, each with its
    own lock file, label, owner and group.

    \b
    hubfarm start --count 4 --group mima    four hubs for the group mima
    hubfarm ls                              what runs
    hubfarm exec mima-2 -- topcat           a program on one of them
    hubfarm stop --group mima               end them

    A SELECTOR is a hub's id, its label or the label's unique beginning, or its PID-ID.

    Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.
    """


@hubfarm.command()
@click.option("--count", default=1, show_default=True, metavar="N", help="How many hubs.")
@hub_options
@click.option("--foreground", is_flag=True, help="Be the coordinator: stay, log to standard error, end with SIGTERM.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS, case_sensitive=False), default="INFO", show_default=True)
@_json
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
        request = {"hubs": [start_request(count=count, **options)]}
        _become_coordinator(request, log_level, as_json)
    farm = Farm()
    with progress("starting", count) as told:
        hubs = farm.start(count=count, log_level=log_level, progress=told, **options)
    if as_json:
        print_json([hub.as_json() for hub in hubs])
        return
    print_hubs(hubs)
    name = shlex.quote(hubs[0].name)
    click.echo(f"\nRun a program on one:        hubfarm exec {name} -- topcat")
    click.echo(f'Or let your shell lead to it: eval "$(hubfarm env {name})"')


def _become_coordinator(request: dict[str, Any], log_level: str, as_json: bool) -> None:
    Farm().paths.prepare()
    arguments = ["--log-level", log_level, "--start", json.dumps(request), *(["--json"] if as_json else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "hubfarm.coordinator", *arguments])


@hubfarm.command("ls")
@click.option("--group", metavar="G", help="Only hubs of this group.")
@click.option("--owner", metavar="O", help="Only hubs of this owner.")
@click.option("--label", metavar="L", help="Only hubs whose label begins so.")
@click.option("--host", metavar="H", help="Only hubs on this host.")
@click.option("--all", "everything", is_flag=True, help="Also what dead hubs left, and hubs of other hosts.")
@_json
def list_hubs(
    group: str | None, owner: str | None, label: str | None, host: str | None, everything: bool, as_json: bool
) -> None:
    """List the hubs that run, foreign ones marked as such.

    \b
    Example:
      hubfarm ls --group mima
      hubfarm ls --json | jq -r '.[].url'
    """

    def wanted(hub: HubInfo) -> bool:
        return (
            (group is None or hub.group == group)
            and (owner is None or hub.owner == owner)
            and (label is None or hub.label.startswith(label))
            and (host is None or hub.host == host)
        )

    hubs = [hub for hub in Farm().hubs(everything=everything or host is not None) if wanted(hub)]
    if as_json:
        print_json([hub.as_json() for hub in hubs])
    elif hubs:
        print_hubs(hubs)
    else:
        click.echo("no hub runs" + ("" if (group, owner, label, host) == (None,) * 4 else " that fits"), err=True)


@hubfarm.command()
@click.argument("selectors", nargs=-1, metavar="SELECTOR…", shell_complete=_complete_selector)
@click.option("--group", default="", metavar="G", help="All hubs of this group.")
@click.option("--owner", default="", metavar="O", help="All hubs of this owner.")
@click.option("--all", "everything", is_flag=True, help="All hubs of hubfarm on this host.")
@click.option("--coordinator", is_flag=True, help="The coordinator too, and every hub that it runs.")
@_json
def stop(
    selectors: tuple[str, ...], group: str, owner: str, everything: bool, coordinator: bool, as_json: bool
) -> None:
    """End hubs in order, and wait until they are gone.

    Each tells its clients, delivers what is queued for a moment, and removes its lock file.

    \b
    Example:
      hubfarm stop mima-2
      hubfarm stop --all --coordinator
    """
    with progress("stopping", 2) as told:
        names = Farm().stop(
            selectors, group=group, owner=owner, everything=everything, coordinator=coordinator, progress=told
        )
    if as_json:
        print_json(names)
    else:
        click.echo(f"stopped {', '.join(names)}" if names else "no hub to stop")


@hubfarm.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_json
def gc(dry_run: bool, as_json: bool) -> None:
    """Clear what crashed hubs left: lock files, guards, stable names.

    Says file by file what was removed or kept, and why. A file of a living hub, or of one that
    may live, is never removed.

    \b
    Example:
      hubfarm gc --dry-run
    """
    verdicts = Farm().gc(dry_run=dry_run)
    if as_json:
        print_json([{"path": str(v.path), "removed": v.removed, "reason": v.reason} for v in verdicts])
    elif not verdicts:
        click.echo("nothing to clear", err=True)
    else:
        done = "would remove" if dry_run else "removed"
        print_table(("DONE", "FILE", "WHY"), [(done if v.removed else "kept", str(v.path), v.reason) for v in verdicts])


_SHELLS = {
    "sh": "export {name}={value}",
    "bash": "export {name}={value}",
    "zsh": "export {name}={value}",
    "fish": "set -gx {name} {value}",
    "csh": "setenv {name} {value}",
    "tcsh": "setenv {name} {value}",
}


@hubfarm.command()
@click.argument("selector", metavar="SELECTOR", shell_complete=_complete_selector)
@click.option("--shell", type=click.Choice(list(_SHELLS)), default="sh", show_default=True)
@_json
def env(selector: str, shell: str, as_json: bool) -> None:
    """Print the line that leads a shell's programs to a hub.

    The name it gives lasts: it leads to the same hub after a restart.

    \b
    Example:
      eval "$(hubfarm env mima-2)"
      hubfarm env mima-2 --shell fish | source
    """
    variables = Farm().environment(selector)
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        click.echo(_SHELLS[shell].format(name=name, value=shlex.quote(value)))


@hubfarm.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("selector", metavar="SELECTOR", shell_complete=_complete_selector)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
def execute(selector: str, command: tuple[str, ...]) -> None:
    """Run an unmodified program on a hub, and return its exit code.

    As with env(1), 127 says that there is no such program, 126 that it cannot be run.

    \b
    Example:
      hubfarm exec mima-2 -- ds9 image.fits
    """
    arguments = command[1:] if command[0] == "--" else command
    if not arguments:
        raise WrongUse("name the program to run: hubfarm exec SELECTOR -- COMMAND …")
    environment = os.environ | Farm().environment(selector)
    sys.stdout.flush()
    try:
        os.execvpe(arguments[0], arguments, environment)
    except OSError as error:
        click.echo(f"hubfarm exec: cannot run {arguments[0]}: {error.strerror}", err=True)
        raise click.exceptions.Exit(127 if isinstance(error, FileNotFoundError) else 126) from None


main = entry_point(lambda: hubfarm, "hubfarm")
