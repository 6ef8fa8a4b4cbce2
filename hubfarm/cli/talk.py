"""``hubfarm clients``, ``ping``, ``send``, ``snoop``, ``load``: talk on a hub, as a client like others."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import click

from hubfarm.cli.options import json_option, selector_argument
from hubfarm.cli.show import print_json, print_table, span
from hubfarm.client.bindings import Message
from hubfarm.client.data import DATA_TIMEOUT
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.client.sniff import SNIFFED, kind_of
from hubfarm.farm import Farm
from hubfarm.samp.errors import HubfarmError, WrongUse

wait_option = click.option(
    "--wait", default=DATA_TIMEOUT, show_default=True, metavar="S", help="How long to wait for each answer."
)


@contextmanager
def _client_of(selector: str, *, callable: bool = False) -> Iterator[SAMPIntegratedClient]:
    hub = Farm().find(selector)
    with SAMPIntegratedClient("hubfarm", "The command line of hubfarm", callable=callable) as client:
        client.connect(hub.lock_file)
        yield client


@click.command()
@selector_argument
@click.option("-v", "--verbose", is_flag=True, help="Also subscriptions and metadata.")
@json_option
def clients(selector: str, verbose: bool, as_json: bool) -> None:
    """List the clients of a hub.

    \b
    Example:
      hubfarm clients mima-2 -v
    """
    with _client_of(selector) as client:
        known = _what_the_hub_knows(client)
        found = [
            {"id": id, "metadata": client.get_metadata(id), "subscriptions": client.get_subscriptions(id)}
            | known.get(id, {"registered": None, "messages": None})
            for id in client.get_registered_clients()
        ]
    if as_json:
        print_json(found)
        return
    rows = []
    for one in found:
        messages = "-" if one["messages"] is None else str(one["messages"])
        row = [one["id"], str(one["metadata"].get("samp.name", "")), span(one["registered"]), messages]
        if verbose:
            row += [" ".join(sorted(one["subscriptions"])), json.dumps(one["metadata"], ensure_ascii=False)]
        rows.append(row)
    columns = ("CLIENT", "NAME", "REGISTERED", "MESSAGES")
    print_table((*columns, "SUBSCRIPTIONS", "METADATA") if verbose else columns, rows)


def _what_the_hub_knows(client: SAMPIntegratedClient) -> dict[str, dict[str, float | int]]:
    """Ask a hub of ours for how long each client is registered (seconds), and how many messages it has sent."""
    for hub in client.get_subscribed_clients("hubfarm.query.clients"):
        response = client.ecall_and_wait(hub, "hubfarm.query.clients", DATA_TIMEOUT)
        _check(response, hub)
        break
    else:
        return {}  # a foreign hub tells nothing of it
    return {
        id: {"registered": float(known["registered"]), "messages": int(known["messages"])}
        for id, known in response["samp.result"]["clients"].items()
    }


@click.command()
@selector_argument
@click.argument("recipient", required=False, metavar="[CLIENT]")
@click.option("--wait", default=10.0, show_default=True, metavar="S", help="How long to wait for the answer.")
def ping(selector: str, recipient: str | None, wait: float) -> None:
    """Ask a hub, or one of its clients, whether it answers, and say how long that took.

    \b
    Example:
      hubfarm ping mima-2 topcat
    """
    with _client_of(selector) as client:
        target = client.find_client(recipient) if recipient else None
        begun = time.perf_counter()
        if target is None:
            client.ping()
        else:
            _check(client.ecall_and_wait(target, "samp.app.ping", wait), target)
        click.echo(f"{recipient or selector} answered in {(time.perf_counter() - begun) * 1e3:.1f} ms")


def _check(response: dict[str, Any], who: str) -> None:
    if response.get("samp.status") == "samp.error":
        raise HubfarmError(f"{who} answered with an error: {response.get('samp.error', {}).get('samp.errortxt', '')}")


@click.command()
@selector_argument
@click.argument("mtype")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE…]")
@click.option("--to", metavar="CLIENT", help="Its id or name; by default all who are subscribed.")
@click.option("--call/--notify", "calling", help="Wait for answers and print them, or not (the default).")
@wait_option
def send(selector: str, mtype: str, parameters: tuple[str, ...], to: str | None, calling: bool, wait: float) -> None:
    """Send a message, and print who got it, or what they answered.

    \b
    Example:
      hubfarm send mima-2 coord.pointAt.sky ra=10.68 dec=41.27
      hubfarm send mima-2 samp.app.ping --call --to topcat
    """
    params = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if not equals:
            raise WrongUse(f"not a parameter: {parameter!r}; write KEY=VALUE")
        params[key] = value
    message = {"samp.mtype": mtype, "samp.params": params}
    with _client_of(selector) as client:
        recipients = [client.find_client(to)] if to else list(client.get_subscribed_clients(mtype))
        if not recipients:
            raise HubfarmError(f"nobody on the hub {selector} is subscribed to {mtype}")
        for recipient in recipients:
            answer = client.call_and_wait(recipient, message, wait) if calling else client.notify(recipient, message)
            click.echo(f"{recipient}\t{json.dumps(answer, ensure_ascii=False)}" if calling else recipient)


@click.command()
@selector_argument
@click.argument("pattern", default="*", metavar="[MTYPE-PATTERN]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a message a line.")
def snoop(selector: str, pattern: str, as_json: bool) -> None:
    """Print every message that is sent to all, until interrupted.

    \b
    Example:
      hubfarm snoop mima-2 'table.*' --json
    """
    heard: Queue[Message] = Queue()
    with _client_of(selector, callable=True) as client:

        @client.on_call(pattern)
        def listen(message: Message) -> dict[str, object]:
            heard.put(message)
            return {
                "samp.status": "samp.warning",
                "samp.result": {},
                "samp.error": {"samp.errortxt": "hubfarm snoop only listens"},
            }

        click.echo(f"listening on {selector} for {pattern}; Ctrl-C ends", err=True)
        while True:
            message = heard.get()
            if as_json:
                content = {"samp.mtype": message.mtype, "samp.params": message.params} | message.extra
                click.echo(json.dumps({"sender": message.sender, "id": message.id, "message": content}))
            else:
                params = json.dumps(message.params, ensure_ascii=False)
                click.echo(f"{time.strftime('%H:%M:%S')}  {message.sender}  {message.mtype}  {params}")


@click.command()
@selector_argument
@click.argument("source", metavar="FILE|URL")
@click.option("--to", metavar="CLIENT", help="Its id or name; by default all who can take it.")
@click.option("--name", default="", help="What they shall call it.")
@click.option("--serve", is_flag=True, help="Serve the file over HTTP while it is loaded, for other hosts.")
@wait_option
def load(selector: str, source: str, to: str | None, name: str, serve: bool, wait: float) -> None:
    """Send a table, image or spectrum to who can take it; which it is, its content says.

    \b
    Example:
      hubfarm load mima-2 galaxies.vot --to topcat
    """
    kind = kind_of(_start_of(source))
    with _client_of(selector) as client:
        send_it = getattr(client, f"send_{kind}")
        receipts = send_it(source, name, to, serve=serve, timeout=wait)
    if not receipts:
        raise HubfarmError(f"nobody on the hub {selector} takes this {kind}")
    for receipt in receipts:
        click.echo(f"{receipt.name or receipt.id}\t{'took the ' + kind if receipt.ok else receipt.error}")
    if not any(receipt.ok for receipt in receipts):
        raise HubfarmError(f"nobody took the {kind}")


def _start_of(source: str) -> bytes:
    try:
        if source.startswith(("http:", "https:", "file:")):
            with urllib.request.urlopen(source, timeout=10) as answer:
                return bytes(answer.read(SNIFFED))
        with Path(source).open("rb") as file:
            return file.read(SNIFFED)
    except OSError as error:
        raise WrongUse(f"cannot read {source}: {error.strerror or error}") from None
