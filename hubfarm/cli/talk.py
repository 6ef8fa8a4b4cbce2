"""``hubfarm clients``, ``ping``, ``send``, ``load``: talk on a hub, as a client like others."""

import http.client
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import click

from hubfarm.cli.asking import Who, as_user
from hubfarm.cli.complete import complete_client, complete_mtype
from hubfarm.cli.hub_client import Names, client_of, command_on
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import given, json_option, seconds, selector_argument
from hubfarm.cli.show import compact, print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.client.data import DATA_TIMEOUT, Receipt, only_listens
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.client.membership import called
from hubfarm.client.others import as_map, check, clients_on, watchers_of
from hubfarm.client.sniff import SNIFFED, kind_of
from hubfarm.farm import Farm
from hubfarm.hub.said_by_hub import DOOR, GROUPS, ORIGIN, USER
from hubfarm.samp.errors import BadValue, HubfarmError, WrongUse
from hubfarm.samp.mtype import check_mtype
from hubfarm.visible import span

wait_option = click.option(
    "--wait",
    default=DATA_TIMEOUT,
    callback=seconds,
    show_default=True,
    metavar="S",
    help="How long to wait for each answer.",
)


to_option = click.option(
    "--to",
    metavar="CLIENT",
    callback=given,
    shell_complete=complete_client,
    help="Its id or name; by default all who can take it.",
)

Told = dict[str, Any]


def name_of(one: Told) -> str:
    """Return the name that a client of `clients_on` gives itself; empty for none."""
    return str(one["metadata"].get("samp.name", ""))


def said(one: Told, name: str) -> str:
    """Return what a hub of ours says of a client of `clients_on`; of a foreign one's it would be a claim."""
    value = one["metadata"].get(name, "") if one["registered"] is not None else ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


CLIENT_COLUMNS: list[Column[Told]] = [
    Column(name="client", of=lambda one: called(name_of(one), one["id"]), priority=1, cut=Cut.END, floor=20),
    Column(name="user", of=lambda one: said(one, USER), priority=2, cut=Cut.END, rare=True),
    Column(name="groups", of=lambda one: said(one, GROUPS), priority=3, cut=Cut.END, rare=True),
    Column(name="door", of=lambda one: said(one, DOOR), priority=3, rare=True),
    Column(name="origin", of=lambda one: said(one, ORIGIN), priority=3, cut=Cut.END, floor=16, rare=True),
    Column(name="registered", of=lambda one: one["registered"], text=span, priority=2, right=True, largest_first=True),
    Column(name="messages", of=lambda one: one["messages"], priority=2, right=True, largest_first=True),
    Column(name="id", of=lambda one: one["id"], priority=0),
    Column(name="name", of=name_of, priority=0, cut=Cut.END),
    Column(
        name="description", of=lambda one: one["metadata"].get("samp.description.text", ""), priority=3, cut=Cut.END
    ),
    Column(name="mtypes", of=lambda one: len(one["subscriptions"]), priority=0, right=True, largest_first=True),
]


@click.command()
@selector_argument
@as_user
@click.option("-v", "--verbose", is_flag=True, help="Also subscriptions and metadata, one a line.")
@listing(CLIENT_COLUMNS, watch=True)
@json_option
def clients(selector: str, who: Who, verbose: bool, view: View[Told], as_json: bool) -> None:
    """List the clients of a hub.

    \b
    Example:
      hubfarm clients mima-2 -v
    """
    hub = Farm().find(selector)
    with client_of(hub.lock_file, "clients", who) as client:
        if as_json:
            print_json(view.sorted(clients_on(client)))
        elif verbose:
            for one in clients_on(client):
                _show_whole(one)
            if watched := _watched(client):
                say(watched, err=True)
        else:
            view.show(lambda: clients_on(client), "no other client is registered", lambda _: _watched(client))


def _watched(client: SAMPIntegratedClient) -> str:
    """Say who sees what all clients of a hub say to each other; empty if nobody does."""
    watchers = watchers_of(client)
    return f"the hub is watched by {', '.join(watchers)}" if watchers else ""


def _show_whole(one: Told) -> None:
    messages = "" if one["messages"] is None else f", {one['messages']} messages sent"
    registered = "" if one["registered"] is None else f"registered for {span(one['registered'])}{messages}"
    say("  ".join(filter(None, (called(name_of(one), one["id"]), registered))))
    for key, value in one["metadata"].items():
        say(f"    {key}: {compact(value)}")
    for mtype in sorted(one["subscriptions"]):
        say(f"    takes {mtype}")


@click.command()
@selector_argument
@as_user
@click.argument("recipient", required=False, metavar="[CLIENT]", shell_complete=complete_client)
@click.option(
    "--wait",
    default=10.0,
    callback=seconds,
    show_default=True,
    metavar="S",
    help="How long to wait for the answer.",
)
def ping(selector: str, who: Who, recipient: str | None, wait: float) -> None:
    """Ask a hub, or one of its clients, whether it answers, and say how long that took.

    \b
    Example:
      hubfarm ping mima-2 topcat
    """
    with command_on(selector, "ping", who) as client:
        target = client.find_client(recipient) if recipient else None
        begun = time.perf_counter()
        if target is None:
            client.ping()
        else:
            check(client.ecall_and_wait(target, "samp.app.ping", wait), target)
        say(f"{recipient or selector} answered in {(time.perf_counter() - begun) * 1e3:.1f} ms")


@click.command()
@selector_argument
@as_user
@click.argument("mtype", shell_complete=complete_mtype)
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE…]")
@to_option
@click.option("--call/--notify", "calling", help="Wait for answers and print them, or not (the default).")
@wait_option
def send(
    selector: str, who: Who, mtype: str, parameters: tuple[str, ...], to: str | None, calling: bool, wait: float
) -> None:
    """Send a message, and print who got it, or what they answered.

    Exit code 1 if nobody got it, or, with --call, nobody answered well.

    \b
    Example:
      hubfarm send mima-2 coord.pointAt.sky ra=10.68 dec=41.27
      hubfarm send mima-2 samp.app.ping --call --to topcat
    """
    try:
        check_mtype(mtype)
    except BadValue as error:
        raise WrongUse(str(error)) from None
    params: dict[str, str] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if not (key and equals):
            raise WrongUse(f"not a parameter: {parameter!r}; write KEY=VALUE")
        if key in params:
            raise WrongUse(f"the parameter {key!r} is given twice")
        params[key] = value
    message = {"samp.mtype": mtype, "samp.params": params}
    with command_on(selector, "send", who) as client:
        names = Names(client)
        subscribed = {client.find_client(to): {}} if to else as_map(client.get_subscribed_clients(mtype))
        recipients = [id for id, how in subscribed.items() if not (calling and only_listens(how))]
        if not recipients:
            raise HubfarmError(f"nobody on the hub {selector} is subscribed to {mtype}")
        for listener in subscribed.keys() - set(recipients):
            client.notify(listener, message)
        failures = []
        for recipient in recipients:
            name = names.of(recipient)
            try:
                if calling:
                    answer = client.call_and_wait(recipient, message, wait)
                    say(name, json.dumps(answer, ensure_ascii=False))
                    check(answer, name)
                else:
                    client.notify(recipient, message)
                    say(name)
            except HubfarmError as error:
                failures.append(str(error) if name in str(error) else f"{name}: {error}")
    if len(failures) == len(recipients):
        raise HubfarmError(f"nobody {'answered well' if calling else 'got it'}: {'; '.join(failures)}")
    for failure in failures:
        say(f"hubfarm: {failure}", err=True)


@click.command()
@selector_argument
@as_user
@click.argument("source", metavar="FILE|URL", type=click.Path(allow_dash=False))
@to_option
@click.option("--name", default="", help="What they shall call it.")
@click.option("--serve", is_flag=True, help="Serve the file over HTTP while it is loaded, for other hosts.")
@wait_option
def load(selector: str, who: Who, source: str, to: str | None, name: str, serve: bool, wait: float) -> None:
    """Send a table, image or spectrum to who can take it; which it is, its content says.

    \b
    Example:
      hubfarm load mima-2 galaxies.vot --to topcat
    """
    start = _start_of(source)
    kind = kind_of(start)
    with command_on(selector, "load", who) as client:
        if not start:
            raise WrongUse(f"{source} is empty")
        send_it = getattr(client, f"send_{kind}")
        receipts = send_it(source, name, to, serve=serve, timeout=wait)
    if not receipts:
        raise HubfarmError(f"nobody on the hub {selector} takes this {kind}")
    for receipt in receipts:
        say(receipt.name or receipt.id, _what_became(receipt, kind))
    if not any(receipt.ok for receipt in receipts):
        raise HubfarmError(f"nobody took the {kind}")


def _what_became(receipt: Receipt, kind: str) -> str:
    if not receipt.ok:
        return receipt.error
    return f"took the {kind}" + (f", and warns: {receipt.error}" if receipt.error else "")


def _start_of(source: str) -> bytes:
    try:
        if source.startswith(("http:", "https:", "file:")):
            with urllib.request.urlopen(source, timeout=10) as answer:
                return bytes(answer.read(SNIFFED))
        with Path(source).open("rb") as file:
            return file.read(SNIFFED)
    except OSError as error:
        reason = getattr(error, "reason", error)  # urllib's errors have another inside
        raise WrongUse(f"cannot read {source}: {getattr(reason, 'strerror', None) or reason}") from None
    except (ValueError, http.client.HTTPException) as error:  # no URL, or no HTTP behind it
        raise WrongUse(f"cannot read {source}: {error}") from None
