"""Options and arguments that several commands share."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from hubfarm.cli.complete import complete_group, complete_owner, complete_selector
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import check_seconds

if TYPE_CHECKING:
    from hubfarm.spec.options import Field

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")


def is_given(context: click.Context, name: str) -> bool:
    """Tell whether an option stands on the command line."""
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def given(_context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Refuse an option that was given and says nothing, as with a shell's variable that is not set; a `callback`."""
    if value == "" and is_given(_context, str(parameter.name)):
        raise WrongUse(f"{parameter.opts[0]} is empty: leave it out, or say what it is to be")
    return value


def group_option(help: str = "Only hubs of this group.") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that narrows to a group."""
    return click.option("--group", default="", metavar="G", help=help, callback=given, shell_complete=complete_group)


def owner_option(help: str = "Only hubs of this owner.") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that narrows to an owner."""
    return click.option("--owner", default="", metavar="O", help=help, callback=given, shell_complete=complete_owner)


log_level_option = click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help="What a coordinator and its hubs log.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
selector_argument = click.argument("selector", metavar="SELECTOR", shell_complete=complete_selector)
selectors_argument = click.argument("selectors", nargs=-1, metavar="SELECTOR…", shell_complete=complete_selector)


def seconds(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Return the value of an option if it is a time span; for its `callback`."""
    return check_seconds(value, f"--{parameter.name}")


def _moment(_context: click.Context, parameter: click.Parameter, value: str) -> datetime | None:
    if not value:
        return None
    try:
        ago = timedelta(seconds=float(value.rstrip("smhd")) * _UNITS[value[-1]])
        if ago >= timedelta():
            return datetime.now() - ago
    except (KeyError, ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(value).astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        raise WrongUse(
            f"--{parameter.name} is {value!r}: write a time span as 90s, 10m, 2h or 1d, or a time as 2026-01-31T12:00"
        ) from None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

since_option = click.option(
    "--since",
    default="",
    callback=_moment,
    metavar="TIME",
    help="What is younger: 90s, 10m, 2h, 1d, or 2026-01-31T12:00.",
)


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
        type=click.Path() if how.is_file else str if several else field.type,
        multiple=several,
        default=() if several else field.default,
        show_default=isinstance(field.default, str) and field.default != "",
        metavar=how.metavar,
        help=how.help,
        callback=given,
        shell_complete=_COMPLETIONS.get(field.name),
    )


_COMPLETIONS = {"group": complete_group, "owner": complete_owner}
"""What a shell completes of those options of a hub that name what there is already."""
