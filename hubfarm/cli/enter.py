"""``hubfarm login``, ``share``, ``ticket``, ``access``: enter restricted hubs, and say whom they let in."""

import shlex
import time
from datetime import datetime
from typing import Any

import click

from hubfarm.cli.asking import password_of, password_option
from hubfarm.cli.hub_columns import lets_in
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import json_option, selector_argument
from hubfarm.cli.show import print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.cli.use import SHELLS
from hubfarm.farm import Farm
from hubfarm.registry.tickets import Ticket
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import LONGEST_SPAN_IN_WORDS, read_span
from hubfarm.spec.states import Access
from hubfarm.visible import span
from hubfarm.wire.addresses import is_loopback
from hubfarm.wire.urls import place_of


@click.command()
@selector_argument
@click.option("--user", required=True, metavar="NAME", help="Who enters.")
@password_option
@click.option(
    "--for",
    "lasting",
    default="12h",
    show_default=True,
    metavar="TIME",
    help=f"How long: 45m, 12h, 2d; {LONGEST_SPAN_IN_WORDS} at most.",
)
@click.option("--shell", type=click.Choice(list(SHELLS)), default="sh", show_default=True)
@json_option
def login(selector: str, user: str, password_file: str | None, lasting: str, shell: str, as_json: bool) -> None:
    """Prove who you are, and print the line that leads a shell's programs to a hub, as that user.

    What they enter by is a ticket: a lock file of your own, which counts for a while; hubfarm ticket lists and
    revokes them.

    \b
    Example:
      eval "$(hubfarm login mima-2 --user luigi)"
    """
    farm = Farm()
    farm.check_login(selector)  # before anybody types a password
    seconds = read_span(lasting, "--for")
    done = farm.log_in(selector, user=user, password=password_of(user, password_file), seconds=seconds)
    if as_json:
        print_json(described(done.ticket) | {"SAMP_HUB": done.samp_hub})
    else:
        say(SHELLS[shell].format(name="SAMP_HUB", value=shlex.quote(done.samp_hub)))


@click.command()
@selector_argument
@click.option("--with", "user", required=True, metavar="NAME", help="As whom programs enter that are given it.")
@click.option("--for", "lasting", default="8h", show_default=True, metavar="TIME", help="How long: 45m, 12h, 2d.")
@json_option
def share(selector: str, user: str, lasting: str, as_json: bool) -> None:
    """Share a hub by URL: programs of another account or host enter as that user, unmodified ones too.

    Prints the value of SAMP_HUB to start them with. Who has it is that user on that hub until it runs out, or
    hubfarm ticket revoke ends it: hand it on as you would a password. It leads no further than the hub's port does: to
    other hosts if it listens there (--host), and unread on the way if it speaks TLS (--tls).

    \b
    Example:
      hubfarm share mima-2 --with anna --for 2h
      SAMP_HUB='std-lockurl:https://…' topcat    # elsewhere
    """
    farm = Farm()
    done = farm.share(selector, user=user, seconds=read_span(lasting, "--for"))
    if as_json:
        print_json(described(done.ticket) | {"SAMP_HUB": done.samp_hub})
        return
    say(done.samp_hub)
    if done.url.startswith("http:") and not is_loopback(place_of(done.url)[0]):
        say("hubfarm: the hub speaks no TLS: whoever is on the way can read this share, and use it", err=True)


def described(ticket: Ticket) -> dict[str, Any]:
    """Return what others may know of a ticket, as JSON can carry it."""
    return {
        "id": ticket.id,
        "user": ticket.user,
        "groups": list(ticket.groups),
        "label": ticket.label,
        "made": _utc(ticket.made),
        "until": None if ticket.guarded else _utc(ticket.until),
        "program": ticket.guarded,
        "shared": ticket.shared,
    }


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@click.group("ticket")
def ticket() -> None:
    """Tickets: for a while, or for one program, their holders enter a hub without a password.

    \b
    hubfarm ticket ls
    hubfarm ticket revoke 3f2a
    """


def _left(ticket: Ticket) -> str:
    return "its program" if ticket.guarded else span(ticket.until - time.time())


TICKET_COLUMNS: list[Column[Ticket]] = [
    Column(name="ticket", of=lambda ticket: ticket.id, priority=1),
    Column(name="user", of=lambda ticket: ticket.user, priority=1, cut=Cut.END, floor=12),
    Column(name="label", of=lambda ticket: ticket.label, priority=2, cut=Cut.END, floor=12),
    Column(name="made", of=lambda ticket: f"{datetime.fromtimestamp(ticket.made):%Y-%m-%d %H:%M:%S}", priority=4),
    Column(name="for", of=_left, priority=2),
    Column(name="by", of=lambda ticket: "URL" if ticket.shared else "file", priority=3),
]


@ticket.command("ls")
@click.option("--user", metavar="NAME", help="Only this user's.")
@listing(TICKET_COLUMNS)
@json_option
def list_tickets(user: str | None, view: View[Ticket], as_json: bool) -> None:
    """List the tickets that count.

    \b
    Example:
      hubfarm ticket ls --user luigi
    """
    tickets = [each for each in Farm().tickets.all() if user in (None, each.user)]
    if as_json:
        print_json([described(each) for each in tickets])
    else:
        view.show(lambda: tickets, "there are no tickets")


@ticket.command()
@click.argument("ids", nargs=-1, metavar="ID…")
@click.option("--user", metavar="NAME", help="All of this user's.")
@click.option("--all", "everything", is_flag=True, help="All.")
def revoke(ids: tuple[str, ...], user: str | None, everything: bool) -> None:
    """Make an end of tickets; who came in by one is thrown out.

    \b
    Example:
      hubfarm ticket revoke 3f2a
    """
    if not (ids or user or everything):
        raise WrongUse("say which tickets to revoke: their ids, a user's, or all")
    tickets = Farm().tickets
    chosen = {tickets.find(id).id for id in ids}
    chosen |= {each.id for each in tickets.all() if everything or each.user == user}
    for id in sorted(chosen):
        tickets.revoke(id)
    say(f"revoked {', '.join(sorted(chosen))}" if chosen else "no ticket to revoke")


@click.command()
@selector_argument
@click.argument("access", required=False, type=click.Choice([each.value for each in Access]), metavar="[ACCESS]")
@click.option("--allow", multiple=True, metavar="WHO", help="Let in these too: user:NAME, group:NAME, account:NAME.")
@json_option
def access(selector: str, access: str | None, allow: tuple[str, ...], as_json: bool) -> None:
    """Show whom a hub lets in, or change it while it runs.

    ACCESS is open, users, group, owner or listed. Who is in and may not be is thrown out. The hub's owner and
    group are those that it was started with.

    \b
    Example:
      hubfarm access mima-2
      hubfarm access mima-2 group --allow user:anna
    """
    farm = Farm()
    if access is None and allow:
        raise WrongUse(f"say what access is to be beside: hubfarm access {selector} listed --allow {allow[0]}")
    hub = farm.find(selector) if access is None else farm.set_access(selector, access, allow)
    if as_json:
        print_json({"label": hub.label, "access": hub.access, "allow": list(hub.allow)})
    else:
        say(f"{hub.name} is {hub.access}: it lets in {lets_in(hub)}")
