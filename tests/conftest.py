"""What every test stands on: a home of its own, and no process left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from tests.support import PATIENCE, Receiver

MARK = "HUBFARM_TEST_HOME"
"""In the environment of every process that a test starts, however far it detaches itself."""

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the full count of crashes be asked for (docs/faults.md)."""
    parser.addoption("--kills", type=int, default=3, help="how often the hub is killed under load")


def processes_of(home: Path) -> list[psutil.Process]:
    """Return the living processes that were started for a test's home."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(MARK) == str(home)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def suspend_coordinator(farm: Farm) -> None:
    """Stop the coordinator where it is: it holds its guard, and does nothing."""
    status = farm.coordinator()
    assert status is not None
    os.kill(status["pid"], signal.SIGSTOP)


def remains(home: Path) -> list[str]:
    """Return what of a farm is left in a test's home: processes, lock files, guards, stable names, sockets."""
    farms_own = ("guards", "by-label", "scratch")
    files = [
        path
        for directory, _, names in os.walk(home)  # which takes it that files vanish meanwhile: hubs are ending
        for path in (Path(directory, name) for name in names)
        if path.name.startswith((".new-", "samp-hub")) or path.parent.name in farms_own or path.is_socket()
    ]
    return [*map(str, processes_of(home)), *map(str, files)]


def end_all(home: Path) -> None:
    """Kill every process of a test's home, also those that were stopped."""
    deadline = time.monotonic() + PATIENCE
    while (processes := processes_of(home)) and time.monotonic() < deadline:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)  # not psutil.wait_procs: that waits until init has reaped the orphans


@pytest.fixture(scope="session", autouse=True)
def _the_users_own_files_stay() -> Iterator[None]:
    """No test may touch the user's lock files."""

    def state() -> list[tuple[str, int]]:
        home = Path(os.environ.get("HOME", "/nonexistent"))
        return [(str(path), path.lstat().st_mtime_ns) for path in sorted(home.glob(".samp*"))]

    before = state()
    yield
    assert state() == before


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home directory for this test alone; its path is short, because Unix sockets lie below it."""
    directory = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv(MARK, str(directory))
    monkeypatch.setenv("SPT_NOENV", "1")  # setproctitle leaves the environment readable: `processes_of` reads it
    for name in ("SAMP_HUB", "HUBFARM_RUNTIME_DIR", "HUBFARM_DEBUG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield directory
    finally:
        end_all(directory)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def paths(home: Path) -> Paths:
    """The places of this test's farm, made and checked."""
    return Paths.from_environment().prepare()


@pytest.fixture
def farm(home: Path) -> Farm:
    """The farm of this test's home; nothing runs yet."""
    return Farm()


@pytest.fixture
def cli(home: Path) -> RunCli:
    """Run ``hubfarm`` as a user would: ``cli("ls", "--json")``."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL}
        return subprocess.run([sys.executable, "-m", "hubfarm", *arguments], **(settings | options))  # type: ignore

    return run


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A SAMP client with a callback server, built on the standard library alone."""
    with Receiver() as one:
        yield one
