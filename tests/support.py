"""A SAMP client for tests, built on the standard library's XML-RPC: nothing of hubfarm in it."""

import asyncio
import functools
import os
import queue
import shutil
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn, ParamSpec, Self
from xmlrpc.client import Fault, ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

import psutil
import pytest
from loguru import logger

from tests.mutation import FAULTS_ARE_TRIED

ROOT = Path(__file__).parents[1]
"""The checkout."""

PATIENCE = 12.0 if FAULTS_ARE_TRIED else 20.0
"""How long a test waits for what must happen, seconds; only failing tests wait so long."""


P = ParamSpec("P")


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function: it runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: P.args, **keywords: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **keywords), PATIENCE))

    return run


class Received(NamedTuple):
    """One call on a client's callback URL."""

    method: str
    params: tuple[Any, ...]


class Receiver:
    """A client that registers with a hub, is callable, and keeps what it receives in a queue.

    `received.get(timeout=PATIENCE)` waits for the next call on it.
    """

    def __init__(self, port: int = 0) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self._server = SimpleXMLRPCServer(("127.0.0.1", port), logRequests=False, allow_none=False)
        self._server.register_instance(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def _dispatch(self, method: str, params: tuple[Any, ...]) -> str:
        self.received.put(Received(method, params))
        return ""

    def join(self, url: str, secret: str, name: str = "receiver", *patterns: str) -> Self:
        """Register with a hub, become callable, and subscribe."""
        self.hub = ServerProxy(url).samp.hub
        registration = self.hub.register(secret)
        self.key, self.id = registration["samp.private-key"], registration["samp.self-id"]
        self.hub.setXmlrpcCallback(self.key, self.url)
        self.hub.declareMetadata(self.key, {"samp.name": name})
        self.hub.declareSubscriptions(self.key, {pattern: {} for pattern in patterns})
        return self

    def join_by(self, lock_file: Path, name: str = "receiver", *patterns: str) -> Self:
        """Join the hub that a lock file leads to."""
        tokens = read_lock_file(lock_file)
        return self.join(tokens["samp.hub.xmlrpc.url"], tokens["samp.secret"], name, *patterns)

    def next(self) -> Received:
        """Wait for the next call on this client."""
        return self.received.get(timeout=PATIENCE)

    def close_server(self) -> None:
        """Stop answering callbacks, as a client that died."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.close_server()


class StuckReceiver(Receiver):
    """A client whose callbacks answer only once its gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        super().__init__()

    def _dispatch(self, method: str, params: tuple[Any, ...]) -> str:
        self.gate.wait()
        return super()._dispatch(method, params)

    def __exit__(self, *details: object) -> None:
        self.gate.set()
        super().__exit__(*details)


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside the test; it has ended with this, whatever becomes of the test."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def logged() -> Iterator[list[str]]:
    """Keep the lines that hubfarm logs meanwhile, each with its level before it."""
    lines: list[str] = []
    logger.enable("hubfarm")  # a program with an embedded hub has it silent
    sink = logger.add(lambda line: lines.append(str(line).splitlines()[0]), format="{level} {message}", level="DEBUG")
    try:
        yield lines
    finally:
        logger.remove(sink)
        logger.disable("hubfarm")


def message(mtype: str, **params: Any) -> dict[str, Any]:
    """Make a SAMP message."""
    return {"samp.mtype": mtype, "samp.params": params}


def read_lock_file(path: Path) -> dict[str, str]:
    """Read a lock file as a foreign client would: no code of ours."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def is_dead(process: psutil.Process) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return True


def serves(lock_file: Path) -> bool:
    """Whether the hub that a lock file names answers: JSAMP's writes the file first, and refuses calls for a while."""
    if not (lock_file.exists() and "samp.profile.version" in lock_file.read_text()):
        return False
    url = read_lock_file(lock_file)["samp.hub.xmlrpc.url"].replace("\\", "")
    try:
        with ServerProxy(url) as proxy:
            proxy.samp.hub.ping()
    except (OSError, Fault, HTTPException):
        return False
    return True


def wait_for(happened: Callable[[], Any], what: str) -> Any:
    """Wait until `happened()` is true, and return what it returned; fail saying `what` did not happen."""
    deadline = time.monotonic() + PATIENCE
    while not (result := happened()):
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {PATIENCE:g} s: {what}")
        time.sleep(0.01)
    return result


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def need(program: str) -> str:
    """Return the path of a peer program; skip the test without it, or fail where CI needs every peer."""
    path = shutil.which(program)
    if path is None:
        _lack(f"{program} is not installed (.ci/run names the Debian packages)")
    return path


def installed(name: str) -> str:
    """Return the launcher that was installed beside this interpreter, whether or not it is on ``PATH``."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def need_module(name: str) -> ModuleType:
    """Return a peer's Python module; skip the test without it, or fail where CI needs every peer."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        _lack(f"{error} (pip install 'hubfarm[interop]' brings it, with a C compiler)")


def _lack(reason: str) -> NoReturn:
    if os.environ.get("HUBFARM_REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)
