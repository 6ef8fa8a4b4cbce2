"""``hubfarm web``: which web pages ask to come in, which are in, and what the user decides about them."""

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hubfarm.cli.complete import complete_selector
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.visible import visible

if TYPE_CHECKING:
    from hubfarm.farm.web import State

HEEDED_WITHIN = 10.0
"""So soon a coordinator does what it was switched to, seconds."""

hub_option = click.option(
    "--hub", required=True, metavar="SELECTOR", shell_complete=complete_selector, help="Which hub it may enter."
)


@click.group(invoke_without_command=True)
@click.pass_context
def web(context: click.Context) -> None:
    """Web pages on the farm's hubs: who asks to come in, who is in, what is remembered.

    On a terminal hubfarm web alone waits for pages that ask, and lets you answer by the arrow keys.

    \b
    hubfarm web                              wait, answer
    hubfarm web ls                           what there is
    hubfarm web allow 3f2a90 --hub mima-1    let a page in
    hubfarm web trust https://sky.esa.int --hub mima-1
    """
    if context.invoked_subcommand is not None:
        return
    farm = Farm()
    coordinator = farm.coordinator()
    if coordinator is None:
        say("no coordinator runs, so no web page can come in; hubfarm start starts one", err=True)
    else:
        from hubfarm.farm.web import in_words

        say(in_words(coordinator["web"]), err=True)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        _print(farm.web.state())
        return
    from hubfarm.cli.web_asking import answer_on_the_terminal

    answer_on_the_terminal(farm.web)


# ---------------------------------------------------------------------- what there is to see

Row = dict[str, Any]
ROW_COLUMNS: list[Column[Row]] = [
    Column(name="what", of=lambda row: row["what"], priority=1),
    Column(name="id", of=lambda row: row["id"], priority=1, cut=Cut.MIDDLE, floor=10),
    Column(name="name", of=lambda row: row["name"], priority=3, cut=Cut.END, floor=10),
    Column(name="origin", of=lambda row: row["origin"], priority=2, cut=Cut.MIDDLE, floor=16),
    Column(name="hub", of=lambda row: row["hub"], priority=2, cut=Cut.END, floor=8),
    Column(name="referer", of=lambda row: row["referer"], priority=5, cut=Cut.MIDDLE, floor=12, rare=True),
    Column(name="warning", of=lambda row: row.get("warning", ""), priority=4, cut=Cut.END, floor=12, rare=True),
    Column(name="allowed", of=lambda row: row.get("allowed", ""), priority=3, rare=True),
]


def _rows(state: "State") -> list[Row]:
    kinds = (("waiting", "asks"), ("pages", "in"), ("remembered", "remembered"))
    return [{"what": what, **row} for kind, what in kinds for row in state[kind]]


def _print(state: "State") -> None:
    View(ROW_COLUMNS).show(lambda: _rows(state), "no page asks, none is in, and nothing is remembered")


@web.command("ls")
@listing(ROW_COLUMNS, watch=True)
@json_option
def list_all(view: View[Row], as_json: bool) -> None:
    """List who asks to come in, who is in, and what is remembered.

    \b
    Example:
      hubfarm web ls --json
    """
    farm = Farm()
    if as_json:
        print_json(farm.web.state())
    else:
        view.show(lambda: _rows(farm.web.state()), "no page asks, none is in, and nothing is remembered")


@web.command()
def url() -> None:
    """Print the address at which your browser shows who asks; it has a secret in it.

    \b
    Example:
      xdg-open "$(hubfarm web url)"
    """
    say(Farm().web.url())


# ---------------------------------------------------------------------- decided


@web.command()
@click.argument("id")
@hub_option
@click.option("--for", "lasts", type=click.Choice(["once", "day", "always"]), default="once", show_default=True,
              help="For how long pages of this origin may enter that hub unasked.")  # fmt: skip
def allow(id: str, hub: str, lasts: str) -> None:
    """Let a page that asks into a hub.

    \b
    Example:
      hubfarm web allow 3f2a90 --hub mima-1 --for day
    """
    farm = Farm()
    name = farm.find(hub).name
    farm.web.allow(id, hub, lasts)
    say(f"let in: {id} enters {name}")


@web.command()
@click.argument("id")
def deny(id: str) -> None:
    """Refuse a page that asks.

    \b
    Example:
      hubfarm web deny 3f2a90
    """
    Farm().web.deny(id)
    say(f"refused {id}")


@web.command()
@click.argument("id")
def disconnect(id: str) -> None:
    """Have a page leave its hub; its ID is that of hubfarm web ls.

    \b
    Example:
      hubfarm web disconnect mima-1/c3
    """
    Farm().web.disconnect(id)
    say(f"disconnected {id}")


@web.command()
@click.argument("origin")
@hub_option
def trust(origin: str, hub: str) -> None:
    """Let pages of an origin into a hub unasked, also where nobody is there to ask.

    \b
    Example:
      hubfarm web trust https://sky.esa.int --hub mima-1
    """
    farm = Farm()
    label = _label_of(farm, hub)
    say(f"pages of {farm.web.trust(origin, label)} enter {label} unasked; hubfarm web forget takes it back")


def _label_of(farm: Farm, selector: str) -> str:
    """Return the label that a selector means; a whole label need not run yet."""
    try:
        return farm.find(selector).label or selector
    except WrongUse:
        from hubfarm.spec.checks import check_label

        return check_label(selector)


@web.command()
@click.argument("origins", nargs=-1, metavar="ORIGIN…")
@click.option("--all", "everything", is_flag=True, help="Whatever is remembered.")
def forget(origins: tuple[str, ...], everything: bool) -> None:
    """Remember nothing of an origin: its next page asks. Pages that are in stay.

    \b
    Example:
      hubfarm web forget https://sky.esa.int
    """
    if bool(origins) == everything:
        raise WrongUse("say of which origins to remember nothing, or --all")
    farm = Farm()
    if everything:
        say(f"forgot {farm.web.forget_all()}")
    for origin in origins:
        farm.web.forget(origin)
        say(f"forgot {visible(origin)}")


# ---------------------------------------------------------------------- on and off


@web.command()
def on() -> None:
    """Let web pages come.

    \b
    Example:
      hubfarm web on
    """
    _switch(on=True)


@web.command()
def off() -> None:
    """Let no web page come, and let go of the port; pages that are in are cut off.

    \b
    Example:
      hubfarm web off
    """
    _switch(on=False)


def _switch(*, on: bool) -> None:
    farm = Farm()
    farm.web.switch(on=on)
    if on and not farm.web.is_on:
        raise HubfarmError("the settings say that web pages may not come: [web] on, or HUBFARM_WEB_PORT")
    deadline = time.monotonic() + HEEDED_WITHIN
    told: dict[str, Any] | None = None
    with suppress(HubfarmError):
        while (told := farm.coordinator()) and (told["web"]["state"] == "off") == on and time.monotonic() < deadline:
            time.sleep(0.05)
    from hubfarm.farm.web import in_words

    say(in_words(told["web"]) if told else f"{'on' if on else 'off'}, once a coordinator runs")


# ---------------------------------------------------------------------- for the whole host


@web.command()
@click.option("--port", type=click.IntRange(1, 65535), default=21012, show_default=True, help="The web's port.")
def switchboard(port: int) -> None:
    """Give each account's web pages to its own farm: a service for a host of many accounts, in the foreground.

    It has the port where web pages look for a hub, and hands each connection, unread, to the farm of the account whose
    it is, by the kernel's word. It needs no privileges, but a directory that all accounts can reach (/run/hubfarm).

    \b
    Example:
      hubfarm web switchboard
    """
    from hubfarm.cli.web_switchboard import serve

    serve(port)
