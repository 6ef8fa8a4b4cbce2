"""Options and arguments that several commands share."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.checks import check_seconds
from hubfarm.spec.states import HubKind
from hubfarm.visible import visible

if TYPE_CHECKING:
    from hubfarm.spec.options import Field

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")


def complete_selector(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a selector with the names of the hubs that run."""
    from hubfarm.farm import Farm

    with contextlib.suppress(HubfarmError):  # a shell that completes has no place for errors
        hubs = [hub for hub in Farm().hubs() if hub.kind is not HubKind.FOREIGN and hub.name.isprintable()]
        return [CompletionItem(hub.name, help=visible(hub.url)) for hub in hubs if hub.name.startswith(incomplete)]
    return []


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
selector_argument = click.argument("selector", metavar="SELECTOR", shell_complete=complete_selector)
selectors_argument = click.argument("selectors", nargs=-1, metavar="SELECTOR…", shell_complete=complete_selector)


def seconds(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Return the value of an option if it is a time span; for its `callback`."""
    return check_seconds(value, f"--{parameter.name}")


def hub_options(
    spelt: Mapping[str, Sequence[str]] = MappingProxyType({}), without: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that say what a hub is to be, as `hubfarm.spec.options.HubOptions` has them.

    Parameters
    ----------
    spelt : mapping
        The flags of options that this command spells otherwise, by field.
    without : collection of str
        Fields that it does not take.
    """
    from hubfarm.spec.options import options  # it loads msgspec: 10 ms that `hubfarm ls` need not pay

    flags = [hub_option(field, spelt.get(field.name, ())) for field in options() if field.name not in without]
    return lambda command: reduce(lambda inner, flag: flag(inner), reversed(flags), command)


def hub_option(field: "Field", flags: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the click option of one field."""
    from hubfarm.spec.options import Option

    how = field.how
    assert isinstance(how, Option)
    names = (*(flags or [how.flag or f"--{field.name.replace('_', '-')}"]), field.name)
    if field.type is bool:
        return click.option(*names, is_flag=True, help=how.help)
    several = not isinstance(field.default, (str, int, float))
    if isinstance(field.default, StrEnum):
        return click.option(
            *names,
            type=click.Choice([each.value for each in type(field.default)]),
            default=str(field.default),
            show_default=True,
            help=how.help,
        )
    return click.option(
        *names,
        type=str if several else field.type,
        multiple=several,
        default=() if several else field.default,
        show_default=isinstance(field.default, str) and field.default != "",
        metavar=how.metavar,
        help=how.help,
    )
