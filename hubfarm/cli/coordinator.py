"""``hubfarm coordinator``: start, stop, restart what looks after the hubs, and leave the hubs alone."""

from collections.abc import Iterable

import click

from hubfarm.cli.options import log_level_option
from hubfarm.cli.show import say
from hubfarm.farm import Farm, HubInfo
from hubfarm.spec.states import HubKind

_START = "hubfarm coordinator start"


def absence(farm: Farm, hubs: Iterable[HubInfo]) -> str:
    """Say that hubs of the farm have lost their coordinator, and what to do; empty if all is well."""
    if farm.coordinator_lives:
        return ""
    lost = sum(hub.kind is HubKind.FARM and hub.alive for hub in hubs)
    if not lost:
        return ""
    return f"{'a hub has' if lost == 1 else f'{lost} hubs have'} no coordinator to replace what dies: {_START}"


@click.group()
def coordinator() -> None:
    """Start, stop or restart the coordinator; hubs serve on.

    \b
    Example:
      hubfarm coordinator start
    """


@coordinator.command()
@log_level_option
def start(log_level: str) -> None:
    """Start a coordinator and no hub; hubs that lost theirs are taken on.

    \b
    Example:
      hubfarm coordinator start
    """
    _say_who(Farm().start_coordinator(log_level))


@coordinator.command()
def stop() -> None:
    """End the coordinator alone: its hubs serve on, and the next one takes them on.

    To end the hubs too: hubfarm stop --coordinator.

    \b
    Example:
      hubfarm coordinator stop
    """
    farm = Farm()
    pid = farm.end_coordinator()
    say(f"ended the coordinator, process {pid}" if pid else "no coordinator to end")
    if warning := absence(farm, farm.hubs()):
        say(warning, err=True)


@coordinator.command()
@log_level_option
def restart(log_level: str) -> None:
    """Replace the coordinator by one of the release that is installed; hubs serve on.

    \b
    Example:
      hubfarm coordinator restart
    """
    _say_who(Farm().restart_coordinator(log_level))


def _say_who(status: dict[str, object]) -> None:
    hubs = status["hubs"]
    assert isinstance(hubs, list)
    count = len(hubs)
    care = f"it looks after {count} hub{'s' * (count != 1)}"
    say(f"the coordinator is process {status['pid']}, hubfarm {status['version']}; {care}")
