"""``hubfarm status``: the coordinator on a page, or one hub on a page."""

import contextlib
import time

import click

from hubfarm.cli.complete import complete_selector
from hubfarm.cli.coordinator import absence
from hubfarm.cli.hub_columns import lets_in
from hubfarm.cli.look import local_time
from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json, rows
from hubfarm.farm import Farm
from hubfarm.registry.history import End, Ending
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.log_reading import last_lines
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.states import HubKind, HubState
from hubfarm.visible import span

FALLS = (End.CRASHED, End.HUNG, End.RESTARTED)
"""Ends of a worker after which a successor goes on."""

ENDINGS = 3
"""So many of a hub's restarts are told."""

LINES = 5
"""So many lines of its log."""

NO_CODEC = "in Python: no C compiler was at hand when hubfarm was installed; large messages take longer"


@click.command()
@click.argument("selector", required=False, metavar="[SELECTOR]", shell_complete=complete_selector)
@json_option
def status(selector: str | None, as_json: bool) -> None:
    """Show the coordinator, or all of one hub on a page.

    Without SELECTOR: the coordinator's process, version, uptime, hubs by state, restarts. Exit code 1 if none
    runs; hubs go on without one, and hubfarm coordinator start adopts them.

    \b
    Example:
      hubfarm status
      hubfarm status mima-2
    """
    if selector is None:
        _show_coordinator(Farm(), as_json=as_json)
    else:
        _show_hub(Farm(), selector, as_json=as_json)


def _show_coordinator(farm: Farm, *, as_json: bool) -> None:
    coordinator = farm.coordinator()
    if coordinator is None:
        if farm.coordinator_lives:
            raise HubfarmError("the coordinator does not answer: hubfarm logs coordinator says what it did last")
        raise HubfarmError(absence(farm, farm.hubs()) or "no coordinator runs; hubfarm start starts one")
    if as_json:
        print_json(coordinator | {"compiled": _compiled()})
        return
    from hubfarm.farm.web import in_words

    hubs = coordinator["hubs"]
    phases = sorted({hub["phase"] for hub in hubs})
    states = ", ".join(f"{sum(hub['phase'] == phase for hub in hubs)} {phase}" for phase in phases)
    rows(
        ("coordinator", f"process {coordinator['pid']}, hubfarm {coordinator['version']}"),
        ("uptime", span(coordinator["uptime"])),
        ("hubs", f"{len(hubs)}" + (f": {states}" if hubs else "")),
        ("restarts", str(sum(hub["restarts"] for hub in hubs))),
        ("web pages", in_words(coordinator["web"])),
        ("codec", "" if _compiled() else NO_CODEC),
        ("log", str(farm.paths.logs / "coordinator.log")),
    )


def _compiled() -> bool:
    from hubfarm.samp.xmlrpc import COMPILED

    return COMPILED


# ---------------------------------------------------------------------- one hub


def _show_hub(farm: Farm, selector: str, *, as_json: bool) -> None:
    hub = farm.find(selector)
    clients = _clients(hub)
    falls = [ending for ending in farm.history() if _is_of(ending, hub)][-ENDINGS:]
    log = None
    lines: list[str] = []
    with contextlib.suppress(WrongUse, OSError):  # it logs elsewhere
        log = farm.log_file(selector)
        lines = last_lines(log, LINES)
    if as_json:
        told = {
            "connected": clients,
            "ends": [each.as_json() for each in falls],
            "log": log and str(log),
            "lines": lines,
        }
        print_json(hub.as_json() | told)
        return
    rows(
        ("hub", _what(hub)),
        ("state", _state(hub)),
        ("line", _line(farm, hub)),
        ("lets in", lets_in(hub) if hub.kind is not HubKind.CONNECTED else ""),
        ("trouble", hub.problem),
        ("coordinator", absence(farm, [hub])),
        ("restarts", "" if hub.restarts is None else str(hub.restarts)),
        ("", [f"{local_time(each.time)} {each.how.value}: {each.reason.partition(chr(10))[0]}" for each in falls]),
        ("clients", _connected(hub, clients)),
        ("watched", f"by {hub.watchers}; hubfarm clients says who" if hub.watchers else ""),
        ("messages", _messages(hub)),
        ("queues", _queues(hub)),
        ("idle", f"{span(hub.idle)}; {_until(hub)}" if hub.idle is not None else ""),
        ("url", hub.url),
        ("lock file", str(hub.lock_file)),
        ("SAMP_HUB", hub.samp_hub),
        ("log", str(log) if log else ""),
        ("", lines),
    )


def _line(farm: Farm, hub: HubInfo) -> str:
    """Say how a hub of another host is reached, or why it is not."""
    if hub.kind is not HubKind.CONNECTED:
        return ""
    with contextlib.suppress(HubfarmError):
        info = farm.connections.find(hub.label)
        if info.state is not None:
            for_so_long = span(time.time() - info.state.changed)
            return f"{'there' if info.is_up else 'lost'} for {for_so_long}, lost {info.state.lost} times: " + (
                info.trouble or info.shown_address
            )
    return ""


def _is_of(ending: Ending, hub: HubInfo) -> bool:
    # By the time too: an id is given anew once its hub is gone.
    restarted = (ending.id, ending.label, ending.kind) == (hub.id, hub.label, hub.kind) and ending.how in FALLS
    return restarted and bool(hub.restarts)


def _clients(hub: HubInfo) -> list[str]:
    """Ask the hub who is registered; nothing if it cannot say."""
    if hub.state is HubState.HUNG or hub.clients == 0:
        return []
    from hubfarm.cli.hub_client import client_of
    from hubfarm.client.membership import called
    from hubfarm.client.others import clients_on

    with contextlib.suppress(HubfarmError), client_of(hub.lock_file, "status") as client:
        others = [one for one in clients_on(client) if one["id"] != client.client.membership.hub_id]
        return [called(str(one["metadata"].get("samp.name", "")), one["id"]) for one in others]
    return []


def _what(hub: HubInfo) -> str:
    names = [f"id {hub.id}" if hub.id is not None else "", hub.kind]
    names += [f"owner {hub.owner}" if hub.owner else "", f"group {hub.group}" if hub.group else ""]
    return f"{hub.name}: {', '.join(filter(None, names))}, on {hub.host}"


def _state(hub: HubInfo) -> str:
    since = ""
    if hub.uptime is not None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - hub.uptime))
        since = f" since {moment} ({span(hub.uptime)})"
    process = f", process {hub.pid}" if hub.pid is not None else ""
    return f"{hub.state}{since}{process}" + (f", hubfarm {hub.version}" if hub.version else "")


def _connected(hub: HubInfo, clients: list[str]) -> str:
    if hub.clients is None and not clients:
        return ""
    return f"{hub.clients if hub.clients is not None else len(clients)}" + (
        f": {', '.join(clients)}" if clients else ""
    )


def _messages(hub: HubInfo) -> str:
    if hub.messages is None:
        return ""
    return f"{hub.messages} accepted, {hub.delivered} deliveries made, {hub.failed} failed"


def _queues(hub: HubInfo) -> str:
    if hub.queued is None:
        return ""
    return f"{hub.queued} deliveries wait, {hub.queued_bytes} bytes; at most {hub.peak} have waited"


def _until(hub: HubInfo) -> str:
    return f"it ends after {span(hub.timeout)} unused" if hub.timeout else "it ends when it is stopped"
