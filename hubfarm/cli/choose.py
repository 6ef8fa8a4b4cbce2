"""``hubfarm choose``: pick a hub from a list, with the arrow keys."""

import shlex
from pathlib import Path

import click

from hubfarm.cli.show import say
from hubfarm.cli.use import SHELLS, why_not_in
from hubfarm.client.background import borrowed
from hubfarm.client.chooser import ask
from hubfarm.client.discovery import Choice, selectable_hubs
from hubfarm.farm import Farm
from hubfarm.samp.lockfile import lock_url


@click.command()
@click.option("--group", default="", metavar="G", help="Only hubs of this group.")
@click.option("--owner", default="", metavar="O", help="Only hubs of this owner.")
@click.option("--shell", type=click.Choice(list(SHELLS)), default="sh", show_default=True)
def choose(group: str, owner: str, shell: str) -> None:
    """Pick a hub from a list, and print the line that leads a shell's programs to it.

    The list is drawn on standard error, so that the line can be used at once.

    \b
    Example:
      eval "$(hubfarm choose --group mima)"
    """
    with borrowed() as background:
        hubs = background.run(selectable_hubs())
    chosen = ask(hubs, Choice(owner=owner, group=group))
    lock_file = Path(str(chosen.hub))
    known = {hub.lock_file: hub for hub in Farm().hubs()}
    hub = known.get(lock_file)
    say(SHELLS[shell].format(name="SAMP_HUB", value=shlex.quote(hub.samp_hub if hub else lock_url(lock_file))))
    if hub is not None and (warning := why_not_in(hub)):
        say(f"hubfarm choose: {warning}", err=True)
