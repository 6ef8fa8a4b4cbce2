"""A hub's start and end, rehearsed once before workers are forked.

What Python works out when a function is first called (specialised bytecode, cached lookups,
compiled patterns) it writes down beside the code.  Rehearsed here, that is shared; in a worker
it would copy the page, and so does a tenth of the memory that a hub has of its own.
"""

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from socket import socket

import uvloop

from hubfarm.registry.history import End
from hubfarm.registry.hubspec import HubSpec
from hubfarm.registry.paths import Paths
from hubfarm.wire.http_server import bind
from hubfarm.worker.process import HubProcess


def rehearse() -> None:
    """Start and end one hub in this process, in a directory of its own; if that fails, workers start all the same."""
    with contextlib.suppress(Exception):
        paths = Paths.from_environment()
        with tempfile.TemporaryDirectory(dir=paths.scratch) as home, bind("127.0.0.1", 0) as sock:
            scratch = replace(paths, home=Path(home), runtime=Path(home) / "runtime").prepare()
            uvloop.run(_start_and_end(HubSpec(id=1, label="rehearsal", secret="none"), sock, scratch))


async def _start_and_end(spec: HubSpec, sock: socket, paths: Paths) -> None:
    hub = HubProcess(spec, paths, kind="farm")
    await hub.start(sock)
    await hub.stop(End.STOPPED, "rehearsed")
