"""``sampy.py``: the 2008 command, kept; ``samp_hub`` is the same under another name (`hubfarm.cli.samp_hub`)."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from setproctitle import setproctitle

from hubfarm.cli.errors import entry_point
from hubfarm.cli.options import hub_options
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.options import HubOptions, asked
from hubfarm.spec.states import Access
from hubfarm.version import __version__

LEVELS = {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")} | {
    "OFF": "CRITICAL",
    "NOTSET": "TRACE",
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
}
"""The levels that are taken, SAMPY's and the standard library's, and what our log calls each."""

PROTOCOLS = {"SSLv23": "", "TLS": "", "TLSv1.2": "", "TLSv1_2": ""} | dict.fromkeys(
    ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1_1"), "has been broken, and no program that is safe speaks it"
)
"""What ``--ssl-version`` could say, and why not."""

SPELT = {
    "label": ("-l", "--label"),
    "owner": ("-o", "--owner"),
    "group": ("-g", "--group"),
    "timeout": ("-t", "--timeout"),
    "client_timeout": ("-c", "--client-timeout"),
    "host": ("-d", "--addr"),
    "port": ("-p", "--port"),
    "tls": ("-s", "--https", "--tls"),
    "cert_file": ("-C", "--cert-file"),
    "key_file": ("-K", "--key-file"),
    "client_ca": ("--ca-certs", "--client-ca"),
}
"""How SAMPY spelt the options of a hub."""


@click.command("sampy.py", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@hub_options(SPELT, without=["restart", "idle", "dormant"])
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
@click.option(
    "-a", "--auth-file", type=click.Path(path_type=Path), metavar="FILE", help="The users file, if not the farm's own."
)
@click.option(
    "-r",
    "--restrict",
    type=click.Choice(["OWNER", "GROUP"], case_sensitive=False),
    help="Let in its owner, or its group: --access owner or group.",
)
@click.option("-A", "--admin", default="", metavar="NAME", help="Let in this user too: --allow user:NAME.")
@click.option(
    "--cert-reqs",
    type=click.Choice(["NONE", "OPTIONAL", "REQUIRED"], case_sensitive=False),
    help="Whether clients have to show a certificate that --ca-certs has signed.",
)
@click.option("--ssl-version", metavar="NAME", help="Taken, if it is safe: TLS 1.2 and later are spoken.")
@click.option("-w", "--no-web-profile", is_flag=True, help="No web pages; else the terminal asks about each.")
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
@click.option("-E", "--log-error", type=click.Path(path_type=Path), metavar="FILE", help="Log errors there too.")
@click.version_option(__version__)
@click.pass_context
def sampy(
    context: click.Context,
    /,
    multi: bool,
    lockfile: Path | None,
    secret: str,
    auth_file: Path | None,
    restrict: str | None,
    admin: str,
    cert_reqs: str | None,
    ssl_version: str | None,
    no_web_profile: bool,
    pool_size: int | None,
    log_level: str,
    log_output: Path | None,
    log_error: Path | None,
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
    from hubfarm.registry.logs import log_errors_to, log_to
    from hubfarm.registry.settings import load_settings
    from hubfarm.worker.standalone import run_standalone

    _check_protocol(ssl_version)
    restriction = _restriction(options, auth_file, restrict, admin)
    hub = asked(HubOptions, options | restriction | _client_certificates(options, cert_reqs), load_settings().limits)
    paths = replace(Paths.from_environment(), users_file=_users_file(auth_file) if auth_file else None)
    if secret:
        setproctitle(f"{context.command.name} {hub.label}".rstrip())  # the process list is everybody's to read
    log_to(Path(os.devnull) if log_level == "OFF" else log_output, hub.label or "hub", LEVELS[log_level])
    if log_error is not None:
        log_errors_to(log_error)
    started = context.obj or (lambda running: None)
    run_standalone(
        hub,
        multi=multi,
        lock_file=lockfile,
        secret=secret,
        paths=paths,
        web_profile=not no_web_profile,
        started=started,
    )


def _check_protocol(name: str | None) -> None:
    if name is None:
        return
    if name not in PROTOCOLS:
        raise WrongUse(f"--ssl-version is {name!r}: leave it out, TLS 1.2 and later are spoken")
    if why_not := PROTOCOLS[name]:
        raise WrongUse(f"{name} {why_not}: leave --ssl-version out, TLS 1.2 and later are spoken")


def _restriction(options: Mapping[str, Any], users: Path | None, restrict: str | None, admin: str) -> dict[str, Any]:
    """Return what SAMPY's options say of who may enter, in ours."""
    access = options["access"]
    if restrict:
        if access not in (Access.OPEN, restrict.lower()):
            raise WrongUse(f"--restrict says {restrict.lower()}, and --access {access}: leave one out")
        access = restrict.lower()
    elif users and access == Access.OPEN:
        access = Access.USERS
    return {"access": access, "allow": [*options["allow"], *([f"user:{admin}"] if admin else [])]}


def _client_certificates(options: Mapping[str, Any], needed: str | None) -> dict[str, Any]:
    if needed is None:
        return {}
    if needed == "NONE":
        return {"client_ca": "", "need_client_cert": False}
    if not options["client_ca"]:
        raise WrongUse(f"--cert-reqs is {needed}, and nobody signs the certificates of clients: say --ca-certs too")
    return {"need_client_cert": needed == "REQUIRED"}


def _users_file(path: Path) -> Path:
    """Return a users file of ours; of another kind, say how to make one.

    Raises
    ------
    WrongUse
        It is SAMPY's, or there is none.
    """
    make_ours = (
        "make ours by hubfarm user add NAME --group GROUP, once for each user (passwords cannot be read out of it), "
        "and leave out --auth-file"
    )
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise WrongUse(f"there is no users file {path}: {make_ours}") from None
    except OSError as error:
        raise HubfarmError(f"cannot read the users file {path}: {error.strerror}") from None
    if not start.lstrip().startswith(b"{"):
        raise WrongUse(f"{path} is no users file of hubfarm, but a database as SAMPY had it: {make_ours}")
    return path.absolute()


main = entry_point(lambda: sampy, "sampy.py")
