"""What a whole farm costs: start, memory, idling, listing, and many hubs under load at once."""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.clients import Clients
from benchmarks.hubs import (
    RunningHub,
    await_hub,
    environment,
    farm_of,
    hubfarm,
    new_home,
    program,
    start_all,
    start_program,
)
from benchmarks.load import RunningLoad
from benchmarks.messages import SMALL, encode
from benchmarks.nginx import nginx
from hubfarm.client.discovery import answering_hubs

COLUMNS = ("what", "hub", "figure", "smallest", "largest", "unit")

FOREIGN = ("jsamp", "pyvo")
MOST_FOREIGN = 100
"""So many of them are started at once at most: each is a process of some 35 MB and a second of CPU."""

SIZES = (1, 10, 100, 500)
"""How many hubs of ours a farm has."""

SETTLING = 5.0
"""How long after the last request a farm counts as idle, seconds."""

IDLE_SECONDS = 10.0

CALCSTORM_TIMEOUT = 60.0
"""A hub that takes longer hangs, seconds."""


def measure(rounds: int, hubs: list[str], largest: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure all of it, with farms of up to `largest` hubs; each figure in `rounds` rounds."""
    figures: list[dict[str, Any]] = []

    def add(what: str, hub: str, values: list[float], unit: str) -> None:
        figures.append({"what": what, "hub": hub, "values": values, "unit": unit})

    tell("farm: imports")
    add("import hubfarm", "hubfarm", [_import_time() for _ in range(2 * rounds)], "ms")
    for count in (count for count in SIZES if count <= largest):
        tell(f"farm: {count} hubs")
        starts, lists, memory, idle, others = zip(*(_farm(count) for _ in range(rounds)), strict=True)
        add(f"start of {count}, per hub", "hubfarm", list(starts), "ms")
        add(f"hubfarm ls, {count} hubs", "hubfarm", [each for several in lists for each in several], "ms")
        add(f"PSS a hub, {count} idle", "hubfarm", list(memory), "MB")
        add(f"CPU of {count} idle hubs", "hubfarm", list(idle), "% of a core")
        add(f"CPU of their coordinator and forkserver, {count} idle", "hubfarm", list(others), "% of a core")
    tell("farm: one account, one busy hub")
    for what, memory in zip(ACCOUNT, zip(*(_account() for _ in range(rounds)), strict=True), strict=True):
        add(what, "hubfarm", list(memory), "MB")
    for hub in hubs:
        for count in (count for count in SIZES if hub in FOREIGN and count <= min(largest, MOST_FOREIGN)):
            tell(f"farm: {count} {hub}")
            started, memory = zip(*(_start_foreign(hub, count) for _ in range(rounds)), strict=True)
            add(f"start of {count}, per hub", hub, list(started), "ms")
            add(f"PSS a hub, {count} idle", hub, list(memory), "MB")
    for count in (1, 2, 4):
        tell(f"farm: {count} hubs under load")
        deliveries, cpu = zip(*_together(count, rounds), strict=True)
        add(f"notify small, {count} hubs at once", "hubfarm", list(deliveries), "deliveries/s")
        add(f"CPU of a notify, {count} hubs at once", "hubfarm", list(cpu), "µs")
    for hub in hubs:
        if hub in ("hubfarm", *FOREIGN):
            tell(f"farm: calcstorm on {hub}")
            add("JSAMP's calcstorm", hub, [_calcstorm(hub) for _ in range(rounds)], "s")
    return figures


def rows(figures: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return what the table shows."""
    return [
        (each["what"], each["hub"], *map(_figure, (statistics.median(values), min(values), max(values))), each["unit"])
        for each in figures
        for values in [each["values"]]
    ]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _import_time() -> float:
    command = [
        sys.executable,
        "-c",
        "import time; t = time.perf_counter(); import hubfarm; print(time.perf_counter() - t)",
    ]
    return 1000 * float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _farm(count: int) -> tuple[float, list[float], float, float, float]:
    """Start a farm; return (start ms a hub, ms of each ls, PSS a hub MB, CPU % while idle: hubs, and coordinator)."""
    with new_home() as home:
        try:
            started = time.monotonic()
            hubfarm(home, "start", "--count", str(count), "--group", "bench")
            running = time.monotonic() - started
            lists = []
            for _ in range(3):
                before = time.monotonic()
                listing = hubfarm(home, "ls", "--json")
                lists.append(1000 * (time.monotonic() - before))
            processes, urls = _processes(listing)
            assert len(urls) == count == len(answering_hubs(urls, timeout=20.0))
            time.sleep(SETTLING)
            workers, others = processes[:count], processes[count:]
            before_hubs, before_others, then = _cpu(workers), _cpu(others), time.monotonic()
            time.sleep(IDLE_SECONDS)
            passed = (time.monotonic() - then) / 100
            idle, others_idle = (_cpu(workers) - before_hubs) / passed, (_cpu(others) - before_others) / passed
            memory = sum(process.memory_full_info().pss for process in processes) / count / 2**20
            return 1000 * running / count, lists, memory, idle, others_idle
        finally:
            hubfarm(home, "stop", "--all", "--coordinator")


ACCOUNT = (
    "PSS of an account with one busy hub, in all",
    "PSS of its hub",
    "PSS of its forkserver",
    "PSS of its coordinator",
)
"""What one of 300 accounts on a host costs that holds."""


def _account() -> tuple[float, ...]:
    """Load the one hub of a farm for a while; return the memory (MB) of all of its processes, and of each."""
    with nginx() as sink, farm_of(1) as (home, (hub,)):
        clients = Clients(hub, sink.url)
        sender, receiver = clients.sender(), clients.receiver()
        RunningLoad(hub.url, encode("notify", sender.key, receiver.id, SMALL), 4, 2).result()
        processes, _ = _processes(hubfarm(home, "ls", "--json"))
        each = [process.memory_full_info().pss / 2**20 for process in processes]
        return (sum(each), *each)


def _processes(listing: str) -> tuple[list[psutil.Process], list[str]]:
    """Return the hubs of a listing, their forkserver and their coordinator; and the hubs' URLs."""
    hubs = json.loads(listing)
    workers = [psutil.Process(hub["pid"]) for hub in hubs]
    forkserver = workers[0].parent()
    coordinator = forkserver.parent() if forkserver else None
    return [*workers, *filter(None, [forkserver, coordinator])], [hub["url"] for hub in hubs]


def _cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU time of `processes`, seconds.

    psutil counts hundredths, and an idle hub takes one in ten seconds.
    """
    return sum(int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) for process in processes) / 1e9


def _start_foreign(name: str, count: int) -> tuple[float, float]:
    """Start `count` hubs at once, each in a home of its own; return (ms, PSS in MB), each a hub."""
    with ExitStack() as stack:
        homes = [stack.enter_context(new_home()) for _ in range(count)]
        started = time.monotonic()
        processes = [stack.enter_context(start_program(program(name), home)) for home in homes]
        hubs = [await_hub(name, process, home) for process, home in zip(processes, homes, strict=True)]
        assert len(answering_hubs([hub.url for hub in hubs], timeout=20.0)) == count
        took = time.monotonic() - started
        return 1000 * took / count, sum(hub.pss() for hub in hubs) / count / 2**20


def _together(count: int, rounds: int) -> Iterator[tuple[float, float]]:
    """Load `count` hubs of one farm at once; yield all their deliveries a second, and their CPU for each (µs)."""
    with nginx() as sink, farm_of(count) as (_, hubs):
        bodies = []
        for hub in hubs:
            clients = Clients(hub, sink.url)
            sender, receiver = clients.sender(), clients.receiver()
            bodies.append(encode("notify", sender.key, receiver.id, SMALL))
        for _ in range(rounds):
            before, started = sink.settled_requests(), time.monotonic()
            cpu = sum(hub.cpu_seconds() for hub in hubs)
            loads = [RunningLoad(hub.url, body, 4, 2) for hub, body in zip(hubs, bodies, strict=True)]
            for each in loads:
                each.result()
            rate = (sink.requests() - before) / (time.monotonic() - started)
            cpu = sum(hub.cpu_seconds() for hub in hubs) - cpu
            yield rate, 1e6 * cpu / (sink.settled_requests() - before)


def _calcstorm(name: str) -> float:
    """Run JSAMP's own load on a hub, 10 clients with 200 queries each; return how long it took, seconds.

    A hub that hangs takes for ever: pyvo's does in some runs.
    """
    with ExitStack() as stack:
        (hub,) = start_all([name], "", stack)
        home = stack.enter_context(new_home())
        (home / ".samp").write_text(_lock_file(hub))
        command = ["jsamp", "calcstorm", "-nclient", "10", "-nquery", "200", "-mode", "sync"]
        started = time.monotonic()
        variables = environment(home, SAMP_HUB=f"std-lockurl:file://{home}/.samp")
        try:
            subprocess.run(command, env=variables, check=True, capture_output=True, timeout=CALCSTORM_TIMEOUT)
        except subprocess.TimeoutExpired:
            return math.inf
        return time.monotonic() - started


def _lock_file(hub: RunningHub) -> str:
    return f"samp.secret={hub.secret}\nsamp.hub.xmlrpc.url={hub.url}\nsamp.profile.version=1.3\n"
