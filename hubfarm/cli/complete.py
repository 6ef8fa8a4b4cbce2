"""What a shell completes: hubs, their groups and owners, their clients, MTypes.

Rule: a shell that completes has no place for errors, and nobody waits for it: what cannot be had is not offered.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem, split_arg_string

from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.states import HubKind
from hubfarm.visible import visible

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

MTYPES = (
    "coord.pointAt.sky",
    "client.env.get",
    "image.load.fits",
    "samp.app.ping",
    "script.aladin.send",
    "spectrum.load.ssa-generic",
    "table.highlight.row",
    "table.load.cdf",
    "table.load.fits",
    "table.load.votable",
    "table.select.rowList",
    "voresource.loadlist",
)
"""Those that programs share (the IVOA's list of MTypes); a hub knows more."""


def _completing(offers: Callable[[click.Context], Iterable[tuple[str, str]]]) -> Completion:
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: dict[str, str] = {}
        with contextlib.suppress(HubfarmError, OSError):
            found = {value: help for value, help in offers(context) if value.isprintable() and value}
        return [
            CompletionItem(value, help=visible(help)) for value, help in found.items() if value.startswith(incomplete)
        ]

    return complete


def _hubs() -> list[HubInfo]:
    from hubfarm.farm import Farm

    return [hub for hub in Farm().hubs() if hub.kind is not HubKind.FOREIGN]


def _logs(_: click.Context) -> Iterator[tuple[str, str]]:
    from hubfarm.farm import Farm

    yield "coordinator", "what looks after the hubs"
    for path in sorted(Farm().paths.logs.glob("*.log")):
        yield path.stem, "its log"


def _clients(context: click.Context) -> Iterator[tuple[str, str]]:
    for one in _told_by_hub(context):
        yield str(one["name"] or one["id"]), str(one["id"])


def _mtypes(context: click.Context) -> Iterator[tuple[str, str]]:
    for mtype in MTYPES:
        yield mtype, "of the IVOA's list"
    for one in _told_by_hub(context):
        for mtype in one["subscriptions"]:
            if "*" not in mtype:
                yield mtype, str(one["name"] or one["id"])


def _told_by_hub(context: click.Context) -> list[dict[str, Any]]:
    selector = context.params.get("selector") or _selector_typed(context)
    if not selector:
        return []
    from hubfarm.cli.hub_client import command_on
    from hubfarm.client.others import clients_on

    with command_on(selector, "complete") as client:
        return [one | {"name": one["metadata"].get("samp.name", "")} for one in clients_on(client)]


def _selector_typed(context: click.Context) -> str:
    """Return the word after the command: while an option has no value yet, click says of no argument what it is."""
    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    after = words[words.index(context.info_name) + 1 :] if context.info_name in words else []
    return next((word for word in after if not word.startswith("-")), "")


complete_selector = _completing(lambda _: ((hub.name, hub.url) for hub in _hubs()))
complete_group = _completing(lambda _: ((hub.group, "a group") for hub in _hubs()))
complete_owner = _completing(lambda _: ((hub.owner, "an owner") for hub in _hubs()))
complete_log = _completing(_logs)
complete_client = _completing(_clients)
complete_mtype = _completing(_mtypes)
