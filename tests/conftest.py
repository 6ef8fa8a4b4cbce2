"""What every test stands on: a home of its own, and no process left behind."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hubfarm.control.protocol import OtherVersion
from hubfarm.coordinator.aftermath import EARLY
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from tests import mutation
from tests.runs import MARK, directory_of_this_run, end_killed_runs, kill, marked_processes, remove
from tests.support import PATIENCE, Receiver, wait_for

ENDING = 5.0
"""So long may what is ending anyway outlive its test, seconds."""

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the full count of crashes be asked for (docs/faults.md)."""
    parser.addoption("--regolden", action="store_true", help="write what listings look like anew (tests/cli/golden)")
    parser.addoption("--kills", type=int, default=3, help="how often the hub is killed under load")


def pytest_sessionstart() -> None:
    """Begin with a clean machine."""
    end_killed_runs()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where faults are tried, run what is cheap."""
    if mutation.FAULTS_ARE_TRIED:
        mutation.choose(config, items)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Where faults are tried, name tests so that they are found again."""
    return mutation.plain_id(val) if mutation.FAULTS_ARE_TRIED else None


_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know whether their test has passed."""
    report: pytest.TestReport = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


def _has_passed(request: pytest.FixtureRequest) -> bool:
    return request.node.stash.get(_PASSED, False)


def processes_of(home: Path) -> list[psutil.Process]:
    """Return the living processes that were started for a test's home."""
    return [process for process, its_home in marked_processes() if its_home == home]


@contextlib.contextmanager
def suspended(home: Path) -> Iterator[None]:
    """Stop all processes of a test's home where they are, until the end of this."""
    processes = processes_of(home)
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextlib.contextmanager
def coordinator_suspended(farm: Farm) -> Iterator[None]:
    """Stop the coordinator where it is: it holds its guard, and does nothing until the end of this."""
    status = farm.coordinator()
    assert status is not None
    os.kill(status["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(status["pid"], signal.SIGCONT)


def past_early_death(farm: Farm, label: str) -> HubInfo:
    """Wait until a hub has served for so long that its death would not count as an early one; return it."""

    def found() -> HubInfo | None:
        # Its own clock began before the coordinator's, which hears of it when it comes to it.
        return next((hub for hub in farm.hubs() if hub.label == label and (hub.uptime or 0) > EARLY + 0.5), None)

    return wait_for(found, f"{label} has served for a while")  # type: ignore[no-any-return]


def why_awake(farm: Farm, label: str = "h") -> str:
    """Let a hub sleep; return why it stays awake, or nothing if it sleeps."""
    try:
        farm.sleep([label])
    except HubfarmError as error:
        return str(error)
    return ""


def fall_asleep(farm: Farm, label: str = "h") -> HubInfo:
    """Let a hub sleep, once nobody is just talking to it; return it."""

    def asleep() -> HubInfo | None:
        reason = why_awake(farm, label)
        assert not reason or "stays awake" in reason
        return None if reason else farm.find(label)

    hub = wait_for(asleep, f"{label} sleeps")
    assert (hub.state, hub.pid) == ("dormant", None)
    return hub  # type: ignore[no-any-return]


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
        kill(processes)
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


@pytest.fixture(autouse=True)
def _no_thread_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A thread that a test leaves in this process fails it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + ENDING
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left and _has_passed(request):
        pytest.fail(f"the test has left threads: {', '.join(sorted(thread.name for thread in left))}", pytrace=False)


@pytest.fixture(scope="session")
def _homes() -> Iterator[Iterator[Path]]:
    """Homes for the tests of this run, one after the other."""
    directory = directory_of_this_run()
    directory.mkdir(mode=0o711)  # a test may open its home to another user
    yield (directory / str(number) for number in itertools.count(1))
    remove(directory)


@pytest.fixture
def home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A home directory for this test alone.  A process that the test leaves fails it."""
    directory = next(_homes)
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv(MARK, str(directory))
    monkeypatch.setenv("SPT_NOENV", "1")  # setproctitle leaves the environment readable: `processes_of` reads it
    monkeypatch.setenv("HUBFARM_SHARED_DIR", str(directory / "shared"))
    monkeypatch.setenv("HUBFARM_SYSTEM_CONFIG", str(directory / "system.toml"))
    monkeypatch.setenv("HUBFARM_WEB_PORT", "0")  # `web_port` lets web pages in
    for name in ("SAMP_HUB", "HUBFARM_RUNTIME_DIR", "HUBFARM_DEBUG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield directory
        left = _left_running(directory) if _has_passed(request) else []
    finally:
        end_all(directory)
        remove(directory)
    if left:
        pytest.fail("the test has left running:\n" + "\n".join(left), pytrace=False)


def _left_running(home: Path) -> list[str]:
    """Say what goes on in a test's home that has to have ended, once what was ending had the time for it."""
    deadline = time.monotonic() + ENDING
    while (processes := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [f"  process {each.pid}: {' '.join(_command_of(each))}" for each in processes]


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ["it has ended late"]


@pytest.fixture
def web_port(home: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port at which web pages come to the farms of this test's home."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    monkeypatch.setenv("HUBFARM_WEB_PORT", str(port))
    return port


@pytest.fixture
def paths(home: Path) -> Paths:
    """The places of this test's farm, made and checked."""
    return Paths.from_environment().prepare()


@pytest.fixture
def _ended_in_order(home: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop the farm of this test's home at the test's end, as its user would."""
    yield
    if not (_has_passed(request) and processes_of(home)):
        return
    try:
        Farm().stop(everything=True, coordinator=True)
    except OtherVersion:  # it is of another release, and ends its hubs in order at a signal too
        for process in processes_of(home):
            if " ".join(_command_of(process)).startswith("hubfarm coordinator"):
                process.terminate()


@pytest.fixture
def farm(home: Path, _ended_in_order: None) -> Farm:
    """The farm of this test's home; nothing runs yet, and what runs at the test's end is stopped."""
    return Farm()


@pytest.fixture
def cli(home: Path, _ended_in_order: None) -> RunCli:
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
