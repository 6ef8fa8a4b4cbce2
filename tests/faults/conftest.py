"""The fault matrix: what every row checks, and the figures that the rows measure.

``python -m pytest tests/faults --figures docs/faults.md`` runs every row in full (twenty kills,
a hundred hubs, the default patience) and writes the table in that file anew; without the option
the rows are short, and assert generous bounds only.
"""

import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xmlrpc.client import ServerProxy

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.statetable import read_records
from tests.conftest import end_all, processes_of, remains
from tests.support import PATIENCE, read_lock_file, wait_for

BEGIN, END = "<!-- rows: written by the tests -->", "<!-- end of rows -->"


@dataclass
class Figures:
    """What one row has measured, seconds."""

    what: str
    must: str
    test: str
    noticed: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    remark: str = ""

    def row(self) -> str:
        name = self.test.removeprefix("tests/faults/").replace("::", " · ")
        return (
            f"| {self.what} | {self.must} | {_spell(self.noticed)} | {_spell(self.served)} | {self.remark} | `{name}` |"
        )


def _spell(seconds: list[float]) -> str:
    if not seconds:
        return "–"
    middle = statistics.median(seconds)
    text = f"{middle * 1000:.0f} ms" if middle < 1 else f"{middle:.1f} s"
    return f"{text} (median of {len(seconds)}, slowest {max(seconds) * 1000:.0f} ms)" if len(seconds) > 1 else text


_ROWS = pytest.StashKey[list[Figures]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", metavar="FILE", help="run every row in full, and write the table of FILE anew")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = session.config.getoption("--figures", None)
    if not target:
        return
    path = Path(target)
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [
        BEGIN,
        f"Measured {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {os.cpu_count()} cores, "
        f"load {load}.",
        "",
        "| what is broken | what must happen | noticed after | serves again after | | shown by |",
        "| --- | --- | --- | --- | --- | --- |",
        *(figures.row() for figures in session.config.stash[_ROWS]),
        END,
    ]
    path.write_text(before + "\n".join(lines) + after)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.getoption("--figures", None):
            item.add_marker(pytest.mark.timeout(900))
        elif item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip("takes long: run with --figures FILE"))


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this run is for the figures, and may take long."""
    return bool(request.config.getoption("--figures", None))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where a row writes what it measures; its marker says what is broken and what must happen."""
    marker = request.node.get_closest_marker("fault")
    figures = Figures(*marker.args, test=request.node.nodeid)
    request.config.stash[_ROWS].append(figures)
    return figures


class Scene:
    """A farm with something to lose, and what must hold of it whatever is broken.

    `hubs` is what was started; the first is the victim, the last a bystander.
    """

    def __init__(self, farm: Farm, home: Path, figures: Figures) -> None:
        self.farm = farm
        self.home = home
        self.figures = figures
        self.hubs: list[HubInfo] = []

    def start(self, count: int = 2, **options: float) -> HubInfo:
        """Start the hubs; return the victim."""
        self.hubs = self.farm.start(count=count, group="mima", **options)  # type: ignore[arg-type]
        self.secrets = {hub.label: self.secret_of(hub) for hub in self.hubs}
        return self.hubs[0]

    @property
    def coordinator(self) -> psutil.Process:
        status = self.farm.coordinator()
        assert status is not None, "a coordinator answers"
        return psutil.Process(status["pid"])

    def deaths(self, hub: HubInfo) -> int:
        """Return how many of a hub's workers have died early in a row, as its coordinator counts."""
        status = self.farm.coordinator()
        assert status is not None
        return next(int(one["early_deaths"]) for one in status["hubs"] if one["label"] == hub.label)

    def secret_of(self, hub: HubInfo) -> str:
        return read_lock_file(hub.lock_file)["samp.secret"]

    def beats(self) -> float:
        """Return the sum of all hubs' last heartbeats, seconds: it grows by one a second for each that moves."""
        return sum(record.beat for record in read_records(self.farm.paths.state_table).values())

    def stable_name(self, hub: HubInfo) -> Path:
        return self.farm.paths.by_label / hub.label

    def is_replaced(self, hub: HubInfo, former: int) -> bool:
        """Whether a successor of the worker `former` is published and answers."""
        try:
            tokens = read_lock_file(self.stable_name(hub))
        except (OSError, ValueError):
            return False
        return tokens.get("hubfarm.pid") not in (None, str(former)) and answers(hub.url)

    def measure(self, break_it: Callable[[], object], notices: Callable[[], bool], heals: Callable[[], bool]) -> float:
        """Break something; wait until it is noticed and healed, and return how long healing took, seconds."""
        begun = time.perf_counter()
        break_it()
        _wait(notices, "it is noticed")
        self.figures.noticed.append(time.perf_counter() - begun)
        _wait(heals, "it is healed")
        took = time.perf_counter() - begun
        self.figures.served.append(took)
        return took

    def lose(self, hub: HubInfo, break_it: Callable[[], object]) -> float:
        """Break a hub's worker; wait for its successor.  Noticed: its lock file is gone."""
        (now,) = [one for one in self.farm.hubs() if one.label == hub.label]
        assert now.pid is not None
        former = now.pid
        return self.measure(break_it, lambda: not now.lock_file.exists(), lambda: self.is_replaced(hub, former))

    def check_nothing_is_lost(self) -> None:
        """Every hub runs under its old id, URL and secret, in one process of its own; nobody dead is listed."""
        expected = [(hub.label, hub.id, hub.url) for hub in self.hubs]
        wait_for(
            lambda: (
                [(hub.label, hub.id, hub.url) for hub in self.farm.hubs()] == expected
                and not [hub for hub in self.farm.hubs(everything=True) if hub.state in ("dead", "hung")]
            ),
            f"exactly these are listed, and run: {expected}",
        )
        listed = self.farm.hubs()
        for hub in listed:
            assert answers(hub.url)
            assert read_lock_file(self.stable_name(hub))["samp.secret"] == self.secrets[hub.label]
        assert sorted(workers_of(self.home)) == sorted(hub.pid for hub in listed if hub.pid)

    def check_nothing_is_left(self) -> None:
        """After the farm is stopped no process and no file of it remains."""
        self.farm.stop(everything=True, coordinator=True)
        with contextlib.suppress(pytest.fail.Exception):
            wait_for(lambda: not remains(self.home), "nothing is left")
        assert remains(self.home) == []
        # One that was set aside is for somebody to look at.
        assert [path for path in self.farm.paths.journals.iterdir() if ".damaged-" not in path.name] == []


def _wait(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {PATIENCE:g} s: {what}"
        time.sleep(0.002)  # finer than what is measured


def answers(url: str) -> bool:
    """Whether a hub answers ``samp.hub.ping``."""
    try:
        with ServerProxy(url) as hub:
            return bool(hub.samp.hub.ping() == "")
    except OSError:
        return False


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the time that the processes have spent on a processor: by the scheduler, in nanoseconds."""
    tasks = [task for process in processes for task in Path(f"/proc/{process.pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def workers_of(home: Path) -> list[int]:
    """Return the PIDs of the living hubs of a test's home, listed or not."""
    found = []
    for process in processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "".join(process.cmdline()).startswith("hubfarm hub"):
                found.append(process.pid)
    return found


@pytest.fixture
def scene(farm: Farm, home: Path, figures: Figures) -> Iterator[Scene]:
    """A farm to break something of; at the end nothing may be lost, listed wrongly, or left."""
    scene = Scene(farm, home, figures)
    yield scene
    scene.check_nothing_is_lost()
    scene.check_nothing_is_left()


@pytest.fixture
def impatient(home: Path, full: bool, monkeypatch: pytest.MonkeyPatch) -> float:
    """The heartbeat limit in force, seconds: the default one if figures are asked for, else a short one."""
    late_beats = 5 if full else 2
    settings = home / "config.toml"
    settings.write_text(f"late_beats = {late_beats}\n")
    monkeypatch.setenv("HUBFARM_CONFIG", str(settings))
    return float(late_beats)


Customize = Callable[[str], None]


@pytest.fixture
def customize(home: Path, monkeypatch: pytest.MonkeyPatch) -> Customize:
    """Run a text in every Python process of the farm, before anything else."""

    def customize(text: str) -> None:
        (home / "site").mkdir()
        (home / "site" / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", f"{home / 'site'}:{os.environ.get('PYTHONPATH', '')}")

    return customize


_SPIN = """
import signal
def spin(*_):
    while True:
        pass
signal.signal(signal.SIGRTMIN, spin)
"""


@pytest.fixture
def can_be_stuck(customize: Customize) -> None:
    """Let SIGRTMIN put any Python process of the farm into a loop that never ends."""
    customize(_SPIN)


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """The test's home on a file system of a few hundred kB; return a file that fills it."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk is mounted by root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", str(home)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    yield home / "filler"
    end_all(home)
    subprocess.run(["umount", "--lazy", str(home)], check=True)


@contextlib.contextmanager
def full_disk(filler: Path) -> Iterator[None]:
    """Keep the disk full: whatever becomes free is taken at once."""
    over = threading.Event()

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            while not over.is_set():
                try:
                    file.write(b"\0" * 4096)
                except OSError:
                    full.set()
                    time.sleep(0.0005)

    full = threading.Event()
    thread = threading.Thread(target=fill)
    thread.start()
    try:
        assert full.wait(PATIENCE)
        yield
    finally:
        over.set()
        thread.join()
        filler.unlink()
