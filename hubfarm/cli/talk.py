"""``hubfarm clients``, ``ping``, ``send``, ``snoop``, ``load``: talk on a hub, as a client like others."""

import contextlib
import http.client
import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from hubfarm.cli.options import json_option, seconds, selector_argument
from hubfarm.cli.show import print_json, print_table, say, span, wait_for_more
from hubfarm.client.data import DATA_TIMEOUT
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.handlers import Message
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.client.sniff import SNIFFED, kind_of
from hubfarm.farm import Farm
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.visible import visible

wait_option = click.option(
    "--wait",
    default=DATA_TIMEOUT,
    callback=seconds,
    show_default=True,
    metavar="S",
    help="How long to wait for each answer.",
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
        found = []
        for id in client.get_registered_clients():
            with contextlib.suppress(SAMPProxyError):  # it has left meanwhile
                found.append(
                    {"id": id, "metadata": client.get_metadata(id), "subscriptions": client.get_subscriptions(id)}
                    | known.get(id, {"registered": None, "messages": None})
                )
    if as_json:
        print_json(found)
        return
    rows = []
    for one in found:
        messages = "-" if one["messages"] is None else str(one["messages"])
        metadata = _map(one["metadata"])
        row = [one["id"], str(metadata.get("samp.name", "")), span(one["registered"]), messages]
        if verbose:
            row += ["\n".join(sorted(map(visible, _map(one["subscriptions"]))))]
            row += ["\n".join(visible(f"{key}: {_compact(value)}") for key, value in metadata.items())]
        rows.append(row)
    columns = ("CLIENT", "NAME", "REGISTERED", "MESSAGES")
    print_table((*columns, "SUBSCRIPTIONS", "METADATA") if verbose else columns, rows)


def _map(value: Any) -> dict[str, Any]:
    """Return what a hub answered where SAMP has a map, or an empty one if it did not."""
    return value if isinstance(value, dict) else {}


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _what_the_hub_knows(client: SAMPIntegratedClient) -> dict[str, dict[str, float | int]]:
    """Ask a hub of ours for how long each client is registered (seconds), and how many messages it has sent."""
    hub = client.client.membership.hub_id
    if hub not in _map(client.get_subscribed_clients("hubfarm.query.clients")):
        return {}  # a foreign hub tells nothing of it
    response = client.ecall_and_wait(hub, "hubfarm.query.clients", DATA_TIMEOUT)
    _check(response, hub)
    told: dict[str, dict[str, float | int]] = {}
    for id, known in _map(_map(response.get("samp.result")).get("clients")).items():
        with contextlib.suppress(KeyError, TypeError, ValueError):  # another's hub may mean something else by it
            told[id] = {"registered": float(known["registered"]), "messages": int(known["messages"])}
    return told


@click.command()
@selector_argument
@click.argument("recipient", required=False, metavar="[CLIENT]")
@click.option(
    "--wait",
    default=10.0,
    callback=seconds,
    show_default=True,
    metavar="S",
    help="How long to wait for the answer.",
)
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
        say(f"{recipient or selector} answered in {(time.perf_counter() - begun) * 1e3:.1f} ms")


def _check(response: Any, who: str) -> None:
    """Refuse a response that is not good.

    Raises
    ------
    HubfarmError
        It tells of an error, or is none.
    """
    status = _map(response).get("samp.status")
    if status == "samp.error":
        text = _map(response.get("samp.error")).get("samp.errortxt", "")
        raise HubfarmError(f"{who} answered with an error: {text}")
    if status not in ("samp.ok", "samp.warning"):
        raise HubfarmError(f"{who} answered with {_compact(response)[:200]}, which is no response")


@click.command()
@selector_argument
@click.argument("mtype")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE…]")
@click.option("--to", metavar="CLIENT", help="Its id or name; by default all who are subscribed.")
@click.option("--call/--notify", "calling", help="Wait for answers and print them, or not (the default).")
@wait_option
def send(selector: str, mtype: str, parameters: tuple[str, ...], to: str | None, calling: bool, wait: float) -> None:
    """Send a message, and print who got it, or what they answered.

    Exit code 1 if nobody got it, or, with --call, nobody answered well.

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
        failures = []
        for recipient in recipients:
            try:
                if calling:
                    answer = client.call_and_wait(recipient, message, wait)
                    say(recipient, json.dumps(answer, ensure_ascii=False))
                    _check(answer, recipient)
                else:
                    client.notify(recipient, message)
                    say(recipient)
            except HubfarmError as error:
                failures.append(str(error) if recipient in str(error) else f"{recipient}: {error}")
    if len(failures) == len(recipients):
        raise HubfarmError(f"nobody {'answered well' if calling else 'got it'}: {'; '.join(failures)}")
    for failure in failures:
        say(f"hubfarm: {failure}", err=True)


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
    heard: SimpleQueue[Message] = SimpleQueue()
    more, there_is_more = os.pipe()
    os.set_blocking(there_is_more, False)
    with _client_of(selector, callable=True) as client:

        @client.on_call(pattern)
        def listen(message: Message) -> dict[str, object]:
            heard.put(message)
            with contextlib.suppress(BlockingIOError):  # it holds enough to wake us
                os.write(there_is_more, b".")
            return {
                "samp.status": "samp.warning",
                "samp.result": {},
                "samp.error": {"samp.errortxt": "hubfarm snoop only listens"},
            }

        say(f"listening on {selector} for {pattern}; Ctrl-C ends", err=True)
        while True:
            wait_for_more(more)
            os.read(more, 2**16)
            while not heard.empty():
                _show(heard.get(), as_json=as_json)


def _show(message: Message, *, as_json: bool) -> None:
    if as_json:
        content = {"samp.mtype": message.mtype, "samp.params": message.params} | message.extra
        print_json({"sender": message.sender, "id": message.id, "message": content}, indent=None)
    else:
        params = json.dumps(message.params, ensure_ascii=False)
        say(f"{time.strftime('%H:%M:%S')}  {message.sender}  {message.mtype}  {params}")


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
        try:
            receipts = send_it(source, name, to, serve=serve, timeout=wait)
        except (HubfarmError, OSError):
            raise
        except Exception as error:  # what astropy raises of a file that it cannot read, whatever that is
            why = str(error).strip().partition("\n")[0]
            raise WrongUse(f"cannot read {source} as a {kind}: {why or type(error).__name__}") from None
    if not receipts:
        raise HubfarmError(f"nobody on the hub {selector} takes this {kind}")
    for receipt in receipts:
        say(receipt.name or receipt.id, f"took the {kind}" if receipt.ok else receipt.error)
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
    except (ValueError, http.client.HTTPException) as error:  # no URL, or no HTTP behind it
        raise WrongUse(f"cannot read {source}: {error}") from None
