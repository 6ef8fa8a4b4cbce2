"""``sampy.py``: the 2008 command, kept; ``samp_hub`` is the same under another name (`hubfarm.cli.samp_hub`)."""

import os
from pathlib import Path

import click
from setproctitle import setproctitle

from hubfarm.cli.errors import entry_point
from hubfarm.version import __version__

LEVELS = {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")} | {
    "OFF": "CRITICAL",
    "NOTSET": "TRACE",
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
}
"""The levels that are taken, SAMPY's and the standard library's, and what our log calls each."""


@click.command("sampy.py", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-m", "--multi", is_flag=True, help="One of many hubs, in ~/.samp-1.")
@click.option("-l", "--label", default="", metavar="NAME", help="The hub's name.")
@click.option("-o", "--owner", default="", metavar="NAME", help="Whose it is: any name.")
@click.option("-g", "--group", default="", metavar="NAME", help="Which group's: any name.")
@click.option("-t", "--timeout", default=0.0, metavar="S", help="End after S seconds without activity; 0 for never.")
@click.option("-c", "--client-timeout", default=0.0, metavar="S", help="Throw out a client silent for S seconds.")
@click.option(
    "-f",
    "--lockfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lock file, instead of SAMP_HUB or ~/.samp.",
)
@click.option("-d", "--addr", default="127.0.0.1", show_default=True, metavar="ADDR", help="Address to listen on.")
@click.option("-p", "--port", default=0, metavar="PORT", help="Port to listen on; 0: chosen by the system.")
@click.option(
    "--callback-hosts",
    multiple=True,
    metavar="HOST",
    help="Call clients back on this host too: name, address, network, or '*'.",
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
    multi: bool,
    label: str,
    owner: str,
    group: str,
    timeout: float,
    client_timeout: float,
    lockfile: Path | None,
    addr: str,
    port: int,
    callback_hosts: tuple[str, ...],
    secret: str,
    no_web_profile: bool,
    pool_size: int | None,
    log_level: str,
    log_output: Path | None,
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
    from hubfarm.worker.standalone import run_standalone

    if secret:
        setproctitle(f"{context.command.name} {label}".rstrip())  # the process list is everybody's to read
    log_to(Path(os.devnull) if log_level == "OFF" else log_output, label or "hub", LEVELS[log_level])
    run_standalone(
        multi=multi,
        label=label,
        owner=owner,
        group=group,
        timeout=timeout,
        client_timeout=client_timeout,
        lock_file=lockfile,
        address=addr,
        port=port,
        callback_hosts=callback_hosts,
        secret=secret,
        started=context.obj or (lambda running: None),
    )


main = entry_point(lambda: sampy, "sampy.py")
