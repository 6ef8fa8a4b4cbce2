"""``hubfarm env`` and ``hubfarm exec``: lead programs to a hub."""

import os
import shlex
import sys

import click

from hubfarm.cli.asking import Who, as_user
from hubfarm.cli.options import json_option, selector_argument
from hubfarm.cli.show import print_json, say
from hubfarm.farm import Farm, HubInfo
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.states import Access, HubKind

PROGRAM_LASTS = 400 * 86400.0
"""No program runs longer, seconds: its ticket ends with it."""

SHELLS = {
    "sh": "export {name}={value}",
    "bash": "export {name}={value}",
    "zsh": "export {name}={value}",
    "fish": "set -gx {name} {value}",
    "csh": "setenv {name} {value}",
    "tcsh": "setenv {name} {value}",
}


@click.command()
@selector_argument
@click.option("--shell", type=click.Choice(list(SHELLS)), default="sh", show_default=True)
@json_option
def env(selector: str, shell: str, as_json: bool) -> None:
    """Print the line that leads a shell's programs to a hub.

    The name it gives lasts: it leads to the same hub after a restart. Aladin and some others do
    not read it: hubfarm exec starts them with what they need.

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
        say(SHELLS[shell].format(name=name, value=shlex.quote(value)))
    if sys.stdout.isatty():  # for people: not every shell takes a comment from `eval`
        from hubfarm.registry.programs import KNOWN

        name = shlex.quote(selector)
        say(f"# {', '.join(sorted(KNOWN))} need more: hubfarm exec {name} -- {next(iter(KNOWN))}")
    if warning := why_not_in(Farm().find(selector)):
        say(f"hubfarm env: {warning}", err=True)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@as_user
@selector_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
def execute(selector: str, command: tuple[str, ...], who: Who) -> None:
    """Run an unmodified program on a hub, and return its exit code.

    With --user it enters as that user, by a ticket that ends with the program.

    Programs that are known not to read SAMP_HUB, as Aladin, are shown a home in which ~/.samp is the
    hub's; the settings file can name more of them.

    As with env(1), 127 says that there is no such program, 126 that it cannot be run.

    \b
    Example:
      hubfarm exec mima-2 -- ds9 image.fits
      hubfarm exec --user luigi mima-2 -- topcat
    """
    arguments = command[1:] if command[0] == "--" else command
    if not (arguments and arguments[0]):
        raise WrongUse("name the program to run: hubfarm exec SELECTOR -- COMMAND …")
    farm = Farm()
    login = None
    if who.user:
        farm.check_login(selector)  # before anybody types a password
        password = who.password()
        login = farm.log_in(selector, user=who.user, password=password, seconds=PROGRAM_LASTS, for_this_process=True)
    elif warning := why_not_in(farm.find(selector)):
        say(f"hubfarm exec: {warning}", err=True)
    environment = os.environ | farm.environment(selector, arguments, login=login)
    sys.stdout.flush()
    try:
        os.execvpe(arguments[0], arguments, environment)
    except OSError as error:
        say(f"hubfarm exec: cannot run {arguments[0]}: {error.strerror}", err=True)
        raise click.exceptions.Exit(127 if isinstance(error, FileNotFoundError) else 126) from None


def why_not_in(hub: HubInfo) -> str:
    """Say that a hub will not let in a program that shows nothing, if so it is, and what to do."""
    if hub.access == Access.OPEN or hub.kind is HubKind.SHARED or any(who.startswith("account") for who in hub.allow):
        return ""
    return (
        f"{hub.name} lets in nobody who does not say who they are: hubfarm exec --user NAME {hub.name} -- PROGRAM, or "
        f"hubfarm login {hub.name} --user NAME"
    )
