"""One hub in the foreground, without a coordinator: what the 2008 command ``sampy.py`` starts.

Single mode is the standard's: one lock file, and a hub that finds a living one there must not
start (SAMP 1.3, 4.2).  Multi mode puts the hub among those of ``~/.samp-1``.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from hubfarm.access.somebody import check_somebody
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import HubOptions
from hubfarm.spec.states import HubKind
from hubfarm.standard_hub import living_hub, standard_lock_file
from hubfarm.wire.sockets import bind
from hubfarm.worker.process import Pages, Running
from hubfarm.worker.run import run

if TYPE_CHECKING:
    from hubfarm.worker.consent import Dialogue

WEB_PORT = 21012
"""Where web pages look for a hub (SAMP 1.3, 5.2.1)."""


def run_standalone(
    options: HubOptions,
    *,
    multi: bool = False,
    lock_file: Path | None = None,
    secret: str = "",
    paths: Paths | None = None,
    web_profile: bool = False,
    started: Callable[[Running], None] = lambda running: None,
) -> str:
    """Run one hub until SIGTERM, SIGINT or its timeout ends it; return what did.

    Parameters
    ----------
    options : HubOptions
        What the hub is to be; nobody starts it again.
    multi : bool
        One of the hubs in ``~/.samp-1``; otherwise the one of `lock_file`.
    lock_file : Path, optional
        In single mode; by default what ``SAMP_HUB`` names, or ``~/.samp``.
    secret : str
        Admits a client; by default a random one.
    paths : Paths, optional
        Where the files lie; by default as the environment says.
    web_profile : bool
        Let web pages join that the user lets in, who is asked on the terminal; without a terminal nobody is.
    started : callable
        Told when the hub serves.

    Raises
    ------
    WrongUse
        A parameter is wrong, or the label in use.
    HubfarmError
        A living hub holds the lock file, or the hub cannot start.
    """
    _check(multi, lock_file, secret)
    paths = (paths or Paths.from_environment()).prepare()
    spec = HubSpec.of(options, id=0, secret=secret or secrets.token_hex(16))
    check_somebody([spec], paths)
    path = None if multi else _free_lock_file(lock_file, paths)
    sock = bind(spec.host, spec.port)
    pages = pages_on(WEB_PORT) if web_profile else None
    return run(spec, sock, paths, kind=HubKind.STANDALONE, lock_path=path, pages=pages, started=started)


def pages_on(port: int, dialogue: "Dialogue | None" = None) -> Pages | None:
    """Return how web pages come to a hub at this port; None if they cannot.

    Parameters
    ----------
    port : int
        Of this host; 0 lets the system choose.
    dialogue : Dialogue, optional
        Asks the user about them; by default the terminal does.
    """
    from hubfarm.worker.consent import can_ask

    if not can_ask(dialogue):
        logger.debug("no web pages: there is nobody to ask about them")
        return None
    try:
        return Pages(bind("127.0.0.1", port), dialogue)
    except HubfarmError as error:
        logger.warning("no web pages: {}", error)
        return None


def _check(multi: bool, lock_file: Path | None, secret: str) -> None:
    if multi and lock_file is not None:
        raise WrongUse("a hub in multi mode names its lock file itself: leave the lock file out, or multi mode")
    if secret != secret.strip() or not secret.isprintable() or "=" in secret:
        raise WrongUse("the secret must be of printable characters but =, with no white space around it")


def _free_lock_file(chosen: Path | None, paths: Paths) -> Path:
    """Return the lock file of the hub in single mode; refuse one that a living hub holds."""
    path = (chosen or standard_lock_file(paths)).absolute()
    if path.is_dir():
        raise WrongUse(f"the lock file {path} is a directory: name a file")
    hub = living_hub(path, paths)
    if hub is not None:
        raise HubfarmError(
            f"a hub runs already with the lock file {path}, at {hub.url}: use it, or start yours with --multi"
        )
    return path
