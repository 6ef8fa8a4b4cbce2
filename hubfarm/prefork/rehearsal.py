"""A hub's start and end, rehearsed before workers are forked.

What Python works out when a function is first called (specialised bytecode, cached lookups,
compiled patterns) it writes down beside the code.  Rehearsed here, that is shared; in a worker
it would copy the page.  docs/decisions/0005-what-is-done-before-forks.md says what that spares.
"""

import contextlib
import os
import signal
import tempfile
from asyncio import create_task
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hubfarm.prefork.packing import packing
from hubfarm.registry.logs import log_to, log_to_nowhere
from hubfarm.registry.paths import Paths
from hubfarm.samp.methods import STANDARD_PREFIX
from hubfarm.samp.values import Value
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import HubKind
from hubfarm.wire.http_client import HttpClient
from hubfarm.wire.sockets import bind
from hubfarm.worker.run import run

TIMES = 8
"""Python 3.11 specialises a function when it is called for the eighth time; later ones, earlier.  Each takes 5 ms."""


def rehearse(level: str) -> None:
    """Start and end a hub in this process, in a directory of its own; if that fails, workers start all the same.

    Parameters
    ----------
    level : str
        What workers will log.
    """
    with contextlib.suppress(Exception), _handlers_kept(), _scratch() as paths:
        with packing():
            _start_and_end(paths, level)
        for _ in range(TIMES):
            _start_and_end(paths, level)
    log_to_nowhere()


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    # uvloop leaves signals to a loop that is closed.
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextlib.contextmanager
def _scratch() -> Iterator[Paths]:
    paths = Paths.from_environment()
    with tempfile.TemporaryDirectory(dir=paths.scratch) as home:
        yield replace(paths, home=Path(home), runtime=Path(home) / "runtime").prepare()


def _start_and_end(paths: Paths, level: str) -> None:
    log_to(paths.logs / "rehearsal.log", "rehearsal", level)
    spec = HubSpec(id=1, label="rehearsal", secret="none")
    talks = []
    with bind("127.0.0.1", 0) as sock:
        run(spec, sock, paths, kind=HubKind.FARM, started=lambda running: talks.append(create_task(_talk(running.url))))


async def _talk(url: str) -> None:
    """Be a client that comes and goes, and end the hub."""
    client = HttpClient(url)

    async def call(method: str, *params: Value) -> Value:
        return decode_response(await client.post(encode_call(f"{STANDARD_PREFIX}{method}", params), timeout=1.0))

    try:
        for _ in range(2):
            await call("ping")
        registered = await call("register", "none")
        assert isinstance(registered, dict)
        key = registered["samp.private-key"]
        await call("declareMetadata", key, {"samp.name": "rehearsal"})
        await call("declareSubscriptions", key, {"samp.app.ping": {}})
        await call("notifyAll", key, {"samp.mtype": "samp.app.ping", "samp.params": {}})
        await call("unregister", key)
    finally:
        client.close()
        os.kill(os.getpid(), signal.SIGTERM)
