"""The standard's one hub: where its lock file lies, and whether a hub lives there (SAMP 1.3, 4.2).

A hub that is to be that one asks here before it takes the lock file; so it serves both ways to run one,
`hubfarm.worker.standalone` and `hubfarm.worker.embedded`.  It may know the registry and how to ask over HTTP.
"""

import asyncio
import os
import threading
from pathlib import Path

from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import file_path, parse_samp_hub
from hubfarm.samp.methods import STANDARD_PREFIX
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.wire.http_client import HttpClient
from hubfarm.wire.tls import believing_all

PING_TIMEOUT = 2.0
"""How long a hub may take to answer a ping, seconds."""


def standard_lock_file(paths: Paths) -> Path:
    """Return the lock file of the one hub: what ``SAMP_HUB`` names, or ``~/.samp``.

    Raises
    ------
    WrongUse
        ``SAMP_HUB`` names no file of this host.
    """
    named = os.environ.get("SAMP_HUB")
    return file_path(parse_samp_hub(named)) if named else paths.single


def living_hub(path: Path, paths: Paths) -> Entry | None:
    """Return the lock file `path` if a hub lives that holds it: by its guard, or by its answer to a ping."""
    try:
        entry = LockDir(paths).read(path)
    except FileNotFoundError:
        return None
    alive = entry.standing is Standing.ALIVE or (entry.url and _answers_now(entry.url))
    return entry if alive else None


def _answers_now(url: str) -> bool:
    # In a thread of its own: the caller's may have an event loop that runs.
    answer: list[bool] = []
    thread = threading.Thread(target=lambda: answer.append(asyncio.run(answers(url))))
    thread.start()
    thread.join()
    return answer == [True]


async def answers(url: str, timeout: float = PING_TIMEOUT) -> bool:
    """Tell whether a hub answers ``samp.hub.ping`` at `url`; a fault is no hub's answer to that.

    It is told nothing, so it need not show who it is.

    Parameters
    ----------
    url : str
        The XML-RPC endpoint.
    timeout : float
        How long it may take, seconds.
    """
    try:
        client = HttpClient(url, connect_timeout=timeout, tls=[believing_all()] if url.startswith("https:") else [])
        try:
            decode_response(await client.post(encode_call(f"{STANDARD_PREFIX}ping", []), timeout=timeout))
        finally:
            client.close()
    except HubfarmError:
        return False
    return True
