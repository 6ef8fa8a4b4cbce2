"""``hubfarm env`` and ``hubfarm exec``: lead programs to a hub."""

import os
import shlex
import sys

import click

from hubfarm.cli.options import json_option, selector_argument
from hubfarm.cli.show import print_json, say
from hubfarm.farm import Farm
from hubfarm.samp.errors import WrongUse

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

        say(f"# {', '.join(sorted(KNOWN))} need more: hubfarm exec {shlex.quote(selector)} -- {next(iter(KNOWN))}")


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@selector_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
def execute(selector: str, command: tuple[str, ...]) -> None:
    """Run an unmodified program on a hub, and return its exit code.

    Programs that are known not to read SAMP_HUB, as Aladin, are shown a home in which ~/.samp is the
    hub's; the settings file can name more of them.

    As with env(1), 127 says that there is no such program, 126 that it cannot be run.

    \b
    Example:
      hubfarm exec mima-2 -- ds9 image.fits
    """
    arguments = command[1:] if command[0] == "--" else command
    if not (arguments and arguments[0]):
        raise WrongUse("name the program to run: hubfarm exec SELECTOR -- COMMAND …")
    environment = os.environ | Farm().environment(selector, arguments)
    sys.stdout.flush()
    try:
        os.execvpe(arguments[0], arguments, environment)
    except OSError as error:
        say(f"hubfarm exec: cannot run {arguments[0]}: {error.strerror}", err=True)
        raise click.exceptions.Exit(127 if isinstance(error, FileNotFoundError) else 126) from None
