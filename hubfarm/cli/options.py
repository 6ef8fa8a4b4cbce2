"""Options and arguments that several commands share."""

import contextlib
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import Limits, Restart, check_seconds
from hubfarm.visible import visible

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")


def complete_selector(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a selector with the names of the hubs that run."""
    from hubfarm.farm import Farm

    with contextlib.suppress(HubfarmError):  # a shell that completes has no place for errors
        hubs = [hub for hub in Farm().hubs() if hub.kind != "foreign" and hub.name.isprintable()]
        return [CompletionItem(hub.name, help=visible(hub.url)) for hub in hubs if hub.name.startswith(incomplete)]
    return []


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
selector_argument = click.argument("selector", metavar="SELECTOR", shell_complete=complete_selector)
selectors_argument = click.argument("selectors", nargs=-1, metavar="SELECTOR…", shell_complete=complete_selector)


def seconds(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Return the value of an option if it is a time span; for its `callback`."""
    return check_seconds(value, f"--{parameter.name}")


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
                "--callback-hosts",
                multiple=True,
                metavar="HOST",
                help="Call clients back on this host too: name, address, network, or '*'. "
                "By default a hub on loopback calls back its own host only.",
            ),
            click.option(
                "--limit", "limits", multiple=True, metavar="NAME=N", help=f"Set a limit. Defaults: {defaults}."
            ),
        ]
    ):
        command = option(command)
    return command
