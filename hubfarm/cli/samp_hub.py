"""``samp_hub``: astropy's command, which pyvo does not have; ``sampy.py`` under the name that scripts call."""

import click

from hubfarm.cli.errors import entry_point
from hubfarm.cli.sampy import sampy

samp_hub = click.Command(
    "samp_hub",
    params=sampy.params,
    callback=sampy.callback,
    context_settings=sampy.context_settings,
    help="""Run one SAMP hub in the foreground, until Ctrl-C or SIGTERM; the options are astropy's, and more.

    Without --multi it is the desktop's one hub, at ~/.samp or what SAMP_HUB names: it refuses to
    start where a living hub is, and takes a dead one's place.

    \b
    Example:
      samp_hub --label MyHub --timeout 3600

    Exit codes: 0 ended in order, 1 failed, 2 wrong use.
    """,
)

main = entry_point(lambda: samp_hub, "samp_hub")
