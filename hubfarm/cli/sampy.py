"""``sampy.py``: the 2008 command, kept; ``samp_hub`` is the same under another name (`hubfarm.cli.samp_hub`)."""

import os
from pathlib import Path
from typing import Any

import click
from setproctitle import setproctitle

from hubfarm.cli.errors import entry_point
from hubfarm.cli.options import hub_options
from hubfarm.spec.options import HubOptions, asked
from hubfarm.version import __version__

LEVELS = {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")} | {
    "OFF": "CRITICAL",
    "NOTSET": "TRACE",
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
}
"""The levels that are taken, SAMPY's and the standard library's, and what our log calls each."""

SPELT = {
    "label": ("-l", "--label"),
    "owner": ("-o", "--owner"),
    "group": ("-g", "--group"),
    "timeout": ("-t", "--timeout"),
    "client_timeout": ("-c", "--client-timeout"),
    "host": ("-d", "--addr"),
    "port": ("-p", "--port"),
}
"""How SAMPY spelt the options of a hub."""


@click.command("sampy.py", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@hub_options(SPELT, without=["restart"])
@click.option("-m", "--multi", is_flag=True, help="One of many hubs, in ~/.samp-1.")
@click.option(
    "-f",
    "--lockfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lock file, instead of SAMP_HUB or ~/.samp.",
)
@click.option(
    "-k",
    "--secret",
    default="",
    metavar="SECRET",
    help="The hub's secret, instead of a random one. Others can read it in the process list for a moment.",
)
@click.option("-w", "--no-web-profile", is_flag=True, help="Taken; there is no Web Profile yet.")
@click.option("-P", "--pool-size", type=int, metavar="N", help="Taken; connections to clients are made as needed.")
@click.option(
    "-L",
    "--log-level",
    type=click.Choice(list(LEVELS), case_sensitive=False),
    default="INFO",
    show_default=True,
    metavar="LEVEL",
    help=f"{', '.join(LEVELS)}.",
)
@click.option(
    "-O", "--log-output", type=click.Path(path_type=Path), metavar="FILE", help="Log there, not to standard error."
)
@click.version_option(__version__)
@click.pass_context
def sampy(
    context: click.Context,
    /,
    multi: bool,
    lockfile: Path | None,
    secret: str,
    no_web_profile: bool,
    pool_size: int | None,
    log_level: str,
    log_output: Path | None,
    **options: Any,
) -> None:
    """Run one SAMP hub in the foreground, until Ctrl-C or SIGTERM.

    Without --multi it is the desktop's one hub, at ~/.samp or what SAMP_HUB names: it refuses to
    start where a living hub is, and takes a dead one's place.

    \b
    Example:
      sampy.py --multi --label=MyHub --owner=luigi --group=mima --timeout=3600

    Exit codes: 0 ended in order, 1 failed, 2 wrong use.
    """
    from hubfarm.registry.logs import log_to
    from hubfarm.registry.settings import load_settings
    from hubfarm.worker.standalone import run_standalone

    hub = asked(HubOptions, options, load_settings().limits)
    if secret:
        setproctitle(f"{context.command.name} {hub.label}".rstrip())  # the process list is everybody's to read
    log_to(Path(os.devnull) if log_level == "OFF" else log_output, hub.label or "hub", LEVELS[log_level])
    run_standalone(hub, multi=multi, lock_file=lockfile, secret=secret, started=context.obj or (lambda running: None))


main = entry_point(lambda: sampy, "sampy.py")
