"""The hubs that are measured, each started in a home of its own, and the floors: servers that are no hubs.

A floor answers any request with an XML-RPC response and looks at nothing: what it does not reach,
no hub on the same stack can.  The relay sends on what it gets besides: the floor of ``notify``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.nginx import nginx
from hubfarm.client.discovery import answering_hubs
from hubfarm.samp import lockfile
from hubfarm.samp.errors import HubfarmError

PATIENCE = 60.0
"""How long a hub may take to come up, seconds."""

ROOT = Path(__file__).parent.parent
JSAMP_JAR = "/usr/share/java/jsamp.jar"

_PYVO = (
    "import sys, time; from pyvo.samp import SAMPHubServer; SAMPHubServer(web_profile=False).start(); time.sleep(1e9)"
)


@dataclass(frozen=True, slots=True)
class RunningHub:
    """A hub that answers.

    Parameters
    ----------
    name : str
        Its key in `HUBS` or `FLOORS`.
    url : str
        Its XML-RPC endpoint.
    secret : str
        Admits clients; empty for a floor.
    processes : list of psutil.Process
        Whose CPU and memory are the hub's.
    """

    name: str
    url: str
    secret: str
    processes: list[psutil.Process]

    def cpu_seconds(self) -> float:
        """Return what its processes have used so far, user and system."""
        return sum(times.user + times.system for times in (process.cpu_times() for process in self.processes))

    def pss(self) -> int:
        """Return its memory, shared pages counted by share, bytes."""
        return sum(process.memory_full_info().pss for process in self.processes)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a program that lives in `home`, on no hub yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAMP_HUB", "HUBFARM_", "XDG_"))}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"HOME": str(home), "PYTHONPATH": paths} | more


@contextmanager
def new_home() -> Iterator[Path]:
    """Make a home directory that goes again; its path is short, as Unix sockets lie below it."""
    home = Path(tempfile.mkdtemp(prefix="hb-", dir="/tmp"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def hubfarm(home: Path, *arguments: str, python: str = sys.executable) -> str:
    """Run a hubfarm command for the farm in `home` and return what it printed."""
    command = [python, "-m", "hubfarm", *arguments]
    return subprocess.run(command, env=environment(home), check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def farm_of(count: int, name: str = "hubfarm", python: str = sys.executable) -> Iterator[tuple[Path, list[RunningHub]]]:
    """Run a farm of `count` hubs in a new home."""
    with new_home() as home:
        try:
            hubfarm(home, "start", "--count", str(count), python=python)
            yield home, [_listed(each, name) for each in json.loads(hubfarm(home, "ls", "--json", python=python))]
        finally:
            hubfarm(home, "stop", "--all", "--coordinator", python=python)


def _listed(hub: dict[str, object], name: str) -> RunningHub:
    tokens = lockfile.parse(Path(str(hub["lock_file"])).read_text())
    return RunningHub(name, tokens[lockfile.URL], tokens[lockfile.SECRET], [psutil.Process(int(str(hub["pid"])))])


@contextmanager
def _our_hub(name: str = "hubfarm", python: str = sys.executable) -> Iterator[RunningHub]:
    with farm_of(1, name, python) as (_, (hub,)):
        yield hub


def add_python(python: str) -> str:
    """Measure our hub under another interpreter too, which has what we need installed; return the hub's name."""
    program = "import platform; print(platform.python_version())"
    found = subprocess.run([python, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    name = f"hubfarm on {found}"
    HUBS[name] = lambda sink: _our_hub(name, python)
    return name


@contextmanager
def _program(name: str, command: list[str]) -> Iterator[RunningHub]:
    """Run a hub that writes the lock file which SAMP_HUB names."""
    with new_home() as home, start_program(command, home) as process:
        yield await_hub(name, process, home)


@contextmanager
def start_program(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that is told by SAMP_HUB to use ``.samp`` of `home`, and end it in order."""
    variables = environment(home, SAMP_HUB=lockfile.lock_url(home / ".samp"))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_hub(name: str, process: subprocess.Popen[bytes], home: Path) -> RunningHub:
    """Wait until a program has written its lock file, and the hub that it names answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, HubfarmError):
            tokens = lockfile.check_required(lockfile.parse((home / ".samp").read_text()))
            if answering_hubs([tokens[lockfile.URL]]):
                return RunningHub(name, tokens[lockfile.URL], tokens[lockfile.SECRET], [psutil.Process(process.pid)])
        time.sleep(0.005)
    raise RuntimeError(f"{name} did not start: {(home / 'log').read_text()[-500:]}")


def program(name: str) -> list[str]:
    """Return the command that runs the foreign hub `name`."""
    if name == "jsamp":
        return [
            "java",
            "-classpath",
            JSAMP_JAR,
            "org.astrogrid.samp.JSamp",
            "hub",
            "-mode",
            "no-gui",
            "-profiles",
            "std",
        ]
    return [sys.executable, "-c", _PYVO]


@contextmanager
def _nginx_floor() -> Iterator[RunningHub]:
    with nginx() as server:
        yield RunningHub("nginx", server.url, "", [psutil.Process(server.pid), *psutil.Process(server.pid).children()])


@contextmanager
def _server_floor(name: str, module: str, *arguments: str) -> Iterator[RunningHub]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    with subprocess.Popen(command, env=environment(ROOT), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{process.stdout.readline().strip()}/xmlrpc"
            yield RunningHub(name, url, "", [psutil.Process(process.pid)])
        finally:
            process.terminate()


HUBS: dict[str, Callable[[str], object]] = {
    "hubfarm": lambda sink: _our_hub(),
    "jsamp": lambda sink: _program("jsamp", program("jsamp")),
    "pyvo": lambda sink: _program("pyvo", program("pyvo")),
}
FLOORS: dict[str, Callable[[str], object]] = {
    "nginx": lambda sink: _nginx_floor(),
    "uvloop": lambda sink: _server_floor("uvloop", "empty_server"),
    "relay": lambda sink: _server_floor("relay", "relay", f"{sink}c1"),
}


def missing(name: str) -> str:
    """Return what keeps `name` from being measured here, or nothing."""
    needs = {"jsamp": ("java", JSAMP_JAR), "nginx": ("nginx",)}.get(name, ())
    absent = [need for need in needs if not (Path(need).exists() if need.startswith("/") else _which(need))]
    return f"{name} needs {', '.join(absent)} (apt-get install jsamp nginx-light)" if absent else ""


def _which(program_name: str) -> str | None:
    return shutil.which(program_name) or shutil.which(program_name, path="/usr/sbin:/sbin")


def start_all(names: list[str], sink: str, stack: ExitStack) -> list[RunningHub]:
    """Start hubs and floors by name; they run until `stack` closes. Floors hand messages on to the URL `sink`."""
    return [stack.enter_context((HUBS | FLOORS)[name](sink)) for name in names]  # type: ignore[arg-type]
