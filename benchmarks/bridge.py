"""Bridges: what a message takes from one hub to another, beside JSAMP's bridge and beside a hub alone.

``python -m benchmarks.bridge``.  The hubs are ours and the same for both bridges, which take turns; sender and receiver
are the same simple ones.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import ServerProxy, dumps

import click

from benchmarks.nginx import Nginx, nginx
from benchmarks.web import MESSAGE, Program

SENDERS = 4
"""Connections that send at a time, where messages a second are counted."""


def lock_file(home: Path, label: str) -> Path:
    """Return a hub's lock file."""
    return home / f".samp-1/.hubfarm/{os.uname().nodename}/by-label/{label}"


def tokens(path: Path) -> tuple[str, str]:
    """Return a hub's URL and secret."""
    lines = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return lines["samp.hub.xmlrpc.url"], lines["samp.secret"]


class Client:
    """A client that only sends, and one that nginx stands for, which only receives.

    Parameters
    ----------
    path : Path
        The lock file of its hub.
    name : str
        What it is called.
    callback : str
        Where it is called.
    """

    def __init__(self, path: Path, name: str, callback: str) -> None:
        self.url, secret = tokens(path)
        self.hub: Any = ServerProxy(self.url).samp.hub
        told = self.hub.register(secret)
        self.key, self.id = told["samp.private-key"], told["samp.self-id"]
        self.hub.declareMetadata(self.key, {"samp.name": name})
        self.hub.setXmlrpcCallback(self.key, callback)
        self.hub.declareSubscriptions(self.key, {"table.highlight.row": {}})

    def proxy_of(self, name: str) -> str:
        """Wait until somebody of a name that begins so is subscribed; return its public id."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for id in self.hub.getSubscribedClients(self.key, "table.highlight.row"):
                if self.hub.getMetadata(self.key, id).get("samp.name", "").startswith(f"{name} ("):
                    return str(id)
            time.sleep(0.05)
        raise SystemExit(f"no bridge brings {name}")


@contextlib.contextmanager
def hubfarms_bridge(home: Path) -> Iterator[None]:
    """Join the hubs by our bridge."""
    command = [sys.executable, "-m", "hubfarm"]
    subprocess.run([*command, "bridge", "one", "two"], check=True, capture_output=True)
    yield
    subprocess.run([*command, "unbridge", "--all"], check=True, capture_output=True)


@contextlib.contextmanager
def jsamps_bridge(home: Path) -> Iterator[None]:
    """Join the hubs by JSAMP's bridge."""
    files = [word for label in ("one", "two") for word in ("-sampfile", str(lock_file(home, label)))]
    with subprocess.Popen(["jsamp", "bridge", "-nostandard", *files], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def no_bridge(home: Path) -> Iterator[None]:
    """Let sender and receiver be on one hub."""
    yield


def latency(sender: Client, to: str, program: Program, count: int) -> float:
    """Return how long a notify takes to arrive; median, milliseconds."""
    took = []
    for _ in range(count + count // 10):
        start = time.perf_counter()
        sender.hub.notify(sender.key, to, MESSAGE)
        program.called.acquire()
        took.append(time.perf_counter() - start)
    return 1e3 * statistics.median(took[count // 10 :])


def rate(sender: Client, to: str, receiver: Nginx, seconds: float) -> float:
    """Return how many notifies arrive a second while some connections send as fast as the hub takes them."""
    body = dumps((sender.key, to, MESSAGE), "samp.hub.notify").encode()
    place = urlsplit(sender.url)
    until = time.monotonic() + seconds

    def send() -> None:
        connection = HTTPConnection(str(place.hostname), place.port)
        while time.monotonic() < until:
            connection.request("POST", place.path, body, {"Content-Type": "text/xml"})
            if b"fault" in connection.getresponse().read():  # the queue is full
                time.sleep(0.002)

    before = receiver.settled_requests()
    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in senders:
        thread.start()
    time.sleep(seconds / 4)
    begun, first = time.monotonic(), receiver.requests()
    time.sleep(seconds / 2)
    per_second = (receiver.requests() - first) / (time.monotonic() - begun)
    for thread in senders:
        thread.join()
    receiver.settled_requests()
    assert before < first
    return per_second


Way = tuple[str, Callable[[Path], contextlib.AbstractContextManager[None]]]
WAYS: Sequence[Way] = (("one hub", no_bridge), ("hubfarm", hubfarms_bridge), ("jsamp", jsamps_bridge))


def measured(home: Path, way: Way, count: int, seconds: float) -> tuple[float, float]:
    """Measure one way once: latency in milliseconds, messages a second."""
    name, bridge = way
    near, far = lock_file(home, "one"), lock_file(home, "one" if name == "one hub" else "two")
    with nginx() as sink, bridge(home):
        program = Program(*tokens(far))
        program.hub.declareMetadata(program.key, {"samp.name": "program"})
        receiver, sender = Client(far, "receiver", sink.url), Client(near, "sender", sink.url)
        alone = name == "one hub"
        to_program, to_receiver = (
            (program.id, receiver.id) if alone else (sender.proxy_of("program"), sender.proxy_of("receiver"))
        )
        took = latency(sender, to_program, program, count)
        per_second = rate(sender, to_receiver, sink, seconds)
        for client in (program, receiver, sender):
            client.hub.unregister(client.key)
        program.server.shutdown()
        program.server.server_close()
    return took, per_second


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--count", default=500, show_default=True, help="Messages of a round whose way is measured.")
@click.option("--seconds", default=8.0, show_default=True, help="How long messages are counted in a round.")
def main(rounds: int, count: int, seconds: float) -> None:
    """Measure a message across a bridge: ours, JSAMP's, and on one hub."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        os.environ |= {"HOME": directory, "SPT_NOENV": "1", "HUBFARM_WEB_PORT": "0"}
        os.environ.pop("SAMP_HUB", None)
        command = [sys.executable, "-m", "hubfarm"]
        for label in ("one", "two"):
            subprocess.run([*command, "start", "--label", label], check=True, capture_output=True)
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in WAYS}
        try:
            for _ in range(rounds):
                for way in WAYS:
                    figures[way[0]].append(measured(home, way, count, seconds))
        finally:
            subprocess.run([*command, "stop", "--all", "--coordinator", "-y"], check=True, capture_output=True)
    print("| way | latency of a notify | notifies a second |\n| --- | ---: | ---: |")
    medians = {name: [statistics.median(each) for each in zip(*rows, strict=True)] for name, rows in figures.items()}
    for name, (took, per_second) in medians.items():
        ratios = medians["hubfarm"][0] / took, medians["hubfarm"][1] / per_second
        print(f"| {name} | {took:.2f} ms (ours: {ratios[0]:.2f} x) | {per_second:,.0f} (ours: {ratios[1]:.2f} x) |")


if __name__ == "__main__":
    main()
