"""What it costs to be looked at: ``python -m benchmarks.dashboard watched``, ``… farm`` and ``… thousand``.

`watched`: one hub under wrk's load while nobody watches, while somebody does, and with the dashboard's page open in
Chromium, in turns.  What it takes of the processor for a message is steady also where the rates are not.
`farm`: a farm of busy hubs, with the page open for minutes; what server and page hold must not grow.
`thousand`: a page of a thousand hubs.  Needs wrk, nginx, chromium, and ``hubfarm[interop]``.
"""

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.clients import Clients
from benchmarks.hubs import ROOT, RunningHub, environment, farm_of, hubfarm, new_home
from benchmarks.load import RunningLoad
from benchmarks.messages import SMALL, encode
from benchmarks.nginx import nginx
from hubfarm.samp.lockfile import URL, parse
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.wire.http_client import HttpClient

CONNECTIONS = 16
"""Over which wrk sends."""

WATCHES = """
import asyncio, sys
from hubfarm.client.watching import watch
from hubfarm.samp.lockfile import parse
from hubfarm.spec.watching import Missed

async def main(lock_file, content):
    missed = 0
    async with watch(parse(open(lock_file).read()), name="a benchmark", content=int(content)) as events:
        async for event in events:
            if isinstance(event, Missed):
                missed += event.count
                print(missed, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
"""A program that watches, and does nothing with it."""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n"

LONG_TASKS = (
    "window.long = []; new PerformanceObserver((list) => list.getEntries().forEach((each) =>"
    " window.long.push(each.duration))).observe({ type: 'longtask', buffered: true });"
)


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of the processor, by the scheduler's own count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def cpu_of_tree(pid: int) -> float:
    """Return what a process and all below it have used."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def cpu_of_browser() -> float:
    """Return what Chromium's processes have used."""
    return sum(
        times.user + times.system
        for process in psutil.Process().children(recursive=True)
        if "chrom" in process.name()
        for times in [process.cpu_times()]
    )


@contextmanager
def dashboard(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run the dashboard of a home; yield its address and its process."""
    command = [sys.executable, "-m", "hubfarm", "dashboard", "--no-browser"]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip(), psutil.Process(process.pid)
        finally:
            process.terminate()


class Page:
    """The dashboard's page in Chromium, and what it gets and holds.

    Parameters
    ----------
    context : object
        Playwright's browser context.
    address : str
        The dashboard's, with the token.
    """

    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.page.set_viewport_size({"width": 1280, "height": 800})
        self.page.add_init_script(LONG_TASKS)
        self.received = 0
        """Of the WebSocket, characters before they were compressed."""
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))
        self._devtools = context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable")
        self.page.goto(address)
        self.page.get_by_role("navigation", name="Views").wait_for()

    def _count(self, frame: Any) -> None:
        self.received += len(frame)

    def go(self, where: str) -> None:
        """Go to a view."""
        self.page.goto(f"{self.page.url.partition('#')[0]}#{where}")

    def heap(self) -> float:
        """Return what the page's scripts hold once what nobody holds is thrown away, MB."""
        self._devtools.send("HeapProfiler.collectGarbage")
        told = self._devtools.send("Performance.getMetrics")["metrics"]
        return float({each["name"]: each["value"] for each in told}["JSHeapUsedSize"]) / 2**20

    def longest_task(self) -> float:
        """Return how long the page was held at most since this was asked last, ms."""
        return float(self.page.evaluate("Math.max(0, ...window.long.splice(0))"))


@contextmanager
def browser(home: Path) -> Iterator[Any]:
    """Run Chromium; yield Playwright's browser context."""
    sys.path.insert(0, str(ROOT))
    from tests.interop.browser_support import chromium

    with chromium(home / "profile") as context:
        yield context


# ---------------------------------------------------------------------- one hub, watched


@dataclass
class Way:
    """One way of being watched, and what was measured of it."""

    name: str
    cpu: list[float] = field(default_factory=list)
    """Of the hub for a message, microseconds."""
    rate: list[float] = field(default_factory=list)
    """Messages that arrived, a second."""
    beside: list[float] = field(default_factory=list)
    """Of the dashboard's process meanwhile, percent of a core."""
    browser: list[float] = field(default_factory=list)
    """Of Chromium's processes, percent of a core."""
    page: list[float] = field(default_factory=list)
    """How long a click on a message took to unfold it, ms."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure what it costs to be looked at."""


@main.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3, show_default=True, help="Load in each round.")
def watched(rounds: int, seconds: int) -> None:
    """Load one hub while nobody watches, while somebody does, and with the page open, in turns."""
    ways = [Way("nobody watches"), Way("envelopes"), Way("with contents"), Way("the page, in Chromium")]
    with farm_of(1) as (home, (hub,)), nginx() as sink, ExitStack() as closing:
        clients = Clients(hub, sink.url)
        sender, receiver = clients.sender(), clients.receiver()
        body = encode("notify", sender.key, receiver.id, SMALL)
        [listed] = json.loads(hubfarm(home, "ls", "--json"))
        address, process = closing.enter_context(dashboard(home))
        page = Page(closing.enter_context(browser(home)), address)
        RunningLoad(hub.url, body, CONNECTIONS, 2).result()  # warm
        for _ in range(rounds):
            for number, way in enumerate(ways):
                with ExitStack() as watching:
                    if number in (1, 2):
                        content = "0" if number == 1 else "65536"
                        command = [sys.executable, "-c", WATCHES, listed["lock_file"], content]
                        watcher = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL)
                        watching.callback(watcher.wait)
                        watching.callback(watcher.terminate)
                    elif number == 3:
                        page.go(f"/hub/{listed['id']}/conversation")
                        page.page.get_by_text("Watching: the hub").wait_for()
                        watching.callback(page.go, "/consent")
                    _await_watchers(home, 1 if number else 0)
                    _measure(way, hub, body, seconds, sink.settled_requests, process, page if number == 3 else None)
    _show_ways(ways)


def _await_watchers(home: Path, count: int) -> None:
    deadline = time.monotonic() + 60  # the dashboard goes on for a moment after the last page
    while json.loads(hubfarm(home, "ls", "--json"))[0]["watchers"] != count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the hub is not watched by {count}")
        time.sleep(0.2)


def _measure(
    way: Way, hub: RunningHub, body: bytes, seconds: int, arrived: Callable[[], int], beside: psutil.Process,
    page: Page | None,
) -> None:  # fmt: skip
    [process] = hub.processes
    before, spent, others, painting = arrived(), cpu_seconds(process.pid), cpu_of_tree(beside.pid), cpu_of_browser()
    load = RunningLoad(hub.url, body, CONNECTIONS, seconds)
    if page is not None:
        time.sleep(seconds / 2)
        begun = time.perf_counter()
        page.page.get_by_role("button", name="Pause").click()
        page.page.locator(".messages .line").last.click()
        page.page.locator(".whole .tree").first.wait_for()
        way.page.append((time.perf_counter() - begun) * 1e3)
        page.page.get_by_role("button", name="Go on").click()
    seen = load.result()
    count = arrived() - before
    way.cpu.append((cpu_seconds(process.pid) - spent) / count * 1e6)
    way.rate.append(count / seen.seconds)
    way.beside.append(100 * (cpu_of_tree(beside.pid) - others) / seen.seconds)
    way.browser.append(100 * (cpu_of_browser() - painting) / seen.seconds)


def _show_ways(ways: Sequence[Way]) -> None:
    first = ways[0]
    titles = ("a notification", "of unwatched", "by the rate", "arrive a second", "dashboard", "Chromium", "a click")
    print(f"| | {' | '.join(titles)} |\n| --- |{' ---: |' * len(titles)}")
    for way in ways:
        cpu, rate = statistics.median(way.cpu), statistics.median(way.rate)
        of_cpu = statistics.median(a / b for a, b in zip(first.cpu, way.cpu, strict=True))
        of_rate = statistics.median(b / a for a, b in zip(first.rate, way.rate, strict=True))
        beside = ("", "", "")
        if way.page:
            server, painting, clicked = map(statistics.median, (way.beside, way.browser, way.page))
            beside = (f"{server:.0f} %", f"{painting:.0f} %", f"{clicked:.0f} ms")
        cells = (way.name, f"{cpu:.1f} µs", f"{of_cpu:.2f}", f"{of_rate:.2f}", f"{rate:,.0f}", *beside)
        print(f"| {' | '.join(cells)} |")


# ---------------------------------------------------------------------- many hubs, busy


class _Receiver(asyncio.Protocol):
    """Takes every delivery, and reads none."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"POST "))


async def _talk(lock_file: Path, clients: int, pause: float, port: int, over: asyncio.Event) -> int:
    """Be clients of one hub that talk; return how many messages were sent."""
    tokens = parse(lock_file.read_text())
    http = HttpClient(tokens[URL])

    async def call(method: str, *params: Any) -> Any:
        return decode_response(await http.post(encode_call(f"samp.hub.{method}", list(params)), timeout=30.0))

    entered = [await call("register", tokens["samp.secret"]) for _ in range(clients)]
    for number, each in enumerate(entered):
        key = each["samp.private-key"]
        await call("setXmlrpcCallback", key, f"http://127.0.0.1:{port}/{number}")
        await call("declareMetadata", key, {"samp.name": f"client {number}"})
        await call("declareSubscriptions", key, {"coord.*": {}, "table.*": {}})
    sent = 0
    while not over.is_set():
        try:
            async with asyncio.timeout(random.expovariate(1 / pause)):
                await over.wait()
        except TimeoutError:
            one, other = random.sample(entered, 2)
            message = {"samp.mtype": "coord.pointAt.sky", "samp.params": {"ra": "10.68", "dec": "41.27"}}
            await call("notify", one["samp.private-key"], other["samp.self-id"], message)
            sent += 1
    http.close()
    return sent


@contextmanager
def talking(lock_files: Sequence[Path], clients: int, pause: float) -> Iterator[None]:
    """Have so many clients on each hub, which talk until the end of the block."""
    ends: list[Callable[[], None]] = []

    async def talk() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(_Receiver, "127.0.0.1", 0)
        ends.append(lambda: loop.call_soon_threadsafe(over.set))
        port = server.sockets[0].getsockname()[1]
        sent = await asyncio.gather(*(_talk(each, clients, pause, port, over) for each in lock_files))
        server.close()
        click.echo(f"{sum(sent):,} messages were sent", err=True)

    thread = threading.Thread(target=lambda: asyncio.run(talk()))
    thread.start()
    try:
        yield
    finally:
        ends[0]()
        thread.join()


@dataclass(frozen=True, slots=True)
class Held:
    """What server and page hold at one time."""

    seconds: float
    server: float
    """PSS, MB."""
    heap: float
    """Of the page's scripts, after a collection, MB."""
    traffic: float
    """To the page since the look before, kB a second."""
    cpu: float
    """Of the server since then, percent of a core."""


@main.command()
@click.option("--hubs", default=100, show_default=True)
@click.option("--clients", default=10, show_default=True, help="On each.")
@click.option("--pause", default=0.5, show_default=True, help="Between two messages on a hub, seconds, on average.")
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--every", default=10.0, show_default=True, help="Between two looks, seconds.")
def farm(hubs: int, clients: int, pause: float, minutes: float, every: float) -> None:
    """Look at a farm of busy hubs for minutes: what server and page hold, and what the page gets."""
    with farm_of(hubs) as (home, _), ExitStack() as closing:
        listed = json.loads(hubfarm(home, "ls", "--json"))
        closing.enter_context(talking([Path(each["lock_file"]) for each in listed], clients, pause))
        address, process = closing.enter_context(dashboard(home))
        context = closing.enter_context(browser(home))
        all_hubs = Page(context, address)
        all_hubs.page.locator(".total dd", has_text=str(hubs * clients)).first.wait_for(timeout=300_000)
        one_hub = Page(context, address.partition("#")[0])
        one_hub.go(f"/hub/{listed[0]['id']}/conversation")
        one_hub.page.locator(".messages > li").first.wait_for()
        of_all = list(_looks(all_hubs, one_hub, process, minutes, every))
    quarter = len(of_all) // 4
    print("| | 1st quarter | 2nd | 3rd | 4th |\n| --- | ---: | ---: | ---: | ---: |")
    for name, title in (
        ("server", "server, PSS, MB"),
        ("heap", "both pages' scripts after a collection, MB"),
        ("traffic", "to the page of all hubs, kB/s"),
        ("cpu", "server, % of a core"),
    ):
        parts = [of_all[quarter * n : quarter * (n + 1)] for n in range(4)]
        medians = [statistics.median(getattr(held, name) for held in part) for part in parts]
        print(f"| {title} | {' | '.join(f'{value:.1f}' for value in medians)} |")


def _looks(all_hubs: Page, one_hub: Page, process: psutil.Process, minutes: float, every: float) -> Iterator[Held]:
    begun = before = time.monotonic()
    received, spent = all_hubs.received, cpu_of_tree(process.pid)
    while before - begun < minutes * 60:
        all_hubs.page.wait_for_timeout(every * 1e3)
        now, cpu = time.monotonic(), cpu_of_tree(process.pid)
        yield Held(
            now - begun,
            process.memory_full_info().pss / 2**20,
            all_hubs.heap() + one_hub.heap(),
            (all_hubs.received - received) / 1000 / (now - before),
            100 * (cpu - spent) / (now - before),
        )
        before, received, spent = now, all_hubs.received, cpu


# ---------------------------------------------------------------------- a thousand hubs


@main.command()
@click.option("--hubs", default=1000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def thousand(hubs: int, rounds: int) -> None:
    """Look at very many hubs, which sleep: how soon they are there, and how long the page is held at most."""
    with new_home() as home, ExitStack() as closing:
        closing.callback(hubfarm, home, "stop", "--all", "--coordinator")
        hubfarm(home, "start", "--count", str(hubs), "--dormant")
        address, process = closing.enter_context(dashboard(home))
        context = closing.enter_context(browser(home))
        Page(context, address).page.close()
        painted, there, held, moved = [], [], [], []
        for _ in range(rounds):
            page = Page(context, address.partition("#")[0])
            page.page.locator(".total dd", has_text=str(hubs)).first.wait_for()
            there.append(page.page.evaluate("performance.now()"))
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            painted.append(page.page.evaluate(paint))
            held.append(page.longest_task())
            page.page.get_by_role("grid").focus()
            for key in (*["PageDown"] * 20, "End", *["PageUp"] * 20, "Home"):
                page.page.keyboard.press(key)
            page.page.get_by_role("button", name="Owner · group").click()
            page.page.get_by_label("Filter hubs").fill("-99")
            page.page.wait_for_timeout(1500)
            moved.append(page.longest_task())
            kilobytes = page.received / 1000
            page.page.close()
        begun, spent = time.monotonic(), cpu_of_tree(process.pid)
        Page(context, address.partition("#")[0]).page.wait_for_timeout(20_000)
        cpu = 100 * (cpu_of_tree(process.pid) - spent) / (time.monotonic() - begun)
        memory = process.memory_full_info().pss / 2**20
    for what, values in (
        ("first paint, ms", painted),
        ("all hubs told, ms", there),
        ("longest task until then, ms", held),
        ("longest task while scrolled, sorted, filtered, ms", moved),
    ):
        print(f"{what}: {statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})")
    print(f"to the page: {kilobytes:.0f} kB; server: {memory:.0f} MB, {cpu:.1f} % of a core with a page open")


if __name__ == "__main__":
    os.environ.pop("SAMP_HUB", None)
    main()
