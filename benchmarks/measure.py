"""One work on all hubs in interleaved rounds: what changes on the machine meanwhile hits them alike."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.clients import Client, Clients
from benchmarks.hubs import FLOORS, ROOT, RunningHub, environment, start_all
from benchmarks.load import RunningLoad
from benchmarks.messages import REFUSED_BY_JSAMP, encode
from benchmarks.nginx import Nginx, nginx
from benchmarks.work import Work

WARM_UP = 2
"""Load before the first round, seconds: Java compiles what it sees often."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One hub under one work in one round.

    Parameters
    ----------
    requests : float
        Requests answered, a second.
    deliveries : float
        Callbacks that arrived while the load ran, a second.
    p50, p99 : float
        Median and 99th percentile of the time to an answer, seconds.
    cpu : float
        The hub's CPU time for a thousand requests, seconds.
    pss : int
        The hub's memory after the load, bytes.
    undelivered : int
        Callbacks that were due and had not come when nothing came any more.
    errors : int
        Of HTTP.
    """

    requests: float
    deliveries: float
    p50: float
    p99: float
    cpu: float
    pss: int
    undelivered: int
    errors: int


@dataclass(slots=True)
class Result:
    """All rounds of one hub under one work."""

    work: str
    hub: str
    samples: list[Sample] = field(default_factory=list)

    def median(self, of: str) -> float:
        """Return the median over the rounds of one of `Sample`'s fields."""
        return float(statistics.median(getattr(sample, of) for sample in self.samples))

    def spread(self, of: str) -> float:
        """Return by how much the rounds differ: (largest - smallest) / median."""
        values = [getattr(sample, of) for sample in self.samples]
        middle = statistics.median(values)
        return (max(values) - min(values)) / middle if middle else 0.0

    @property
    def rate(self) -> str:
        """Name the field that tells how much it did: deliveries where there are any."""
        return "deliveries" if self.median("deliveries") else "requests"


def measure(
    name: str, work: Work, hubs: list[str], rounds: int, seconds: int, tell: Callable[[str], None]
) -> list[Result]:
    """Start every hub, register its clients, warm it up, then load one after the other, `rounds` times.

    Floors take part in what they can do: ping, or the relay in notify.
    """
    taking_part = [hub for hub in hubs if hub not in FLOORS or work.call == ("notify" if hub == "relay" else "ping")]
    results = [Result(name, hub) for hub in taking_part]
    with ExitStack() as stack:
        sink = stack.enter_context(nginx())
        arenas = [_Arena(work, hub, sink, stack) for hub in start_all(taking_part, sink.url, stack)]
        for arena in arenas:
            tell(f"{name}: warming up {arena.hub.name}")
            arena.sample(WARM_UP)
        for number in range(rounds):
            for arena, result in zip(arenas, results, strict=True):
                tell(f"{name}: {arena.hub.name}, round {number + 1} of {rounds}")
                result.samples.append(arena.sample(seconds))
    return results


class _Arena:
    """One hub with the clients that a work needs."""

    def __init__(self, work: Work, hub: RunningHub, sink: Nginx, stack: ExitStack) -> None:
        self.hub = hub
        self._work = work
        self._sink = sink
        self._body = encode(work.call, hub.secret) if work.call == "register" else encode("ping")
        if hub.name == "relay":
            self._body = work.body(Client("", "c1"), Client("", "c1"), work.message)
        elif hub.name not in FLOORS and work.call not in ("ping", "register"):
            self._body = self._populate(stack)

    def _populate(self, stack: ExitStack) -> bytes:
        work, clients = self._work, Clients(self.hub, self._sink.url)
        sender = clients.sender()
        receivers: list[Client] = []
        if work.replies:
            receivers.append(stack.enter_context(_replier(self.hub, clients)))
        else:
            receivers += [clients.receiver() for _ in range(work.receivers)]
        clients.bystanders(max(0, work.clients - 1 - len(receivers)))
        refused = self.hub.name == "jsamp" and work.message in REFUSED_BY_JSAMP
        return work.body(sender, receivers[0] if receivers else None, "small" if refused else work.message)

    def sample(self, seconds: int) -> Sample:
        """Load the hub, and wait until all that it has accepted has arrived."""
        before, cpu, started = self._sink.requests(), self.hub.cpu_seconds(), time.monotonic()
        registering = self._work.call == "register"
        seen = RunningLoad(self.hub.url, self._body, self._work.connections, seconds, registering=registering).result()
        arrived, elapsed = self._sink.requests() - before, time.monotonic() - started
        due = seen.requests * self._work.deliveries_a_request
        in_the_end = self._sink.settled_requests() - before if due else 0
        return Sample(
            requests=seen.requests / seen.seconds,
            deliveries=arrived / elapsed if due else 0.0,
            p50=seen.p50,
            p99=seen.p99,
            cpu=(self.hub.cpu_seconds() - cpu) / max(seen.requests, 1) * 1000,
            pss=self.hub.pss(),
            undelivered=max(0, due - in_the_end),
            errors=seen.errors,
        )


@contextmanager
def _replier(hub: RunningHub, clients: Clients) -> Iterator[Client]:
    """Run a client that answers calls, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.replier"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(ROOT), text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            client = clients.receiver(f"http://127.0.0.1:{process.stdout.readline().strip()}/")
            process.stdin.write(json.dumps({"url": hub.url, "key": client.key}) + "\n")
            process.stdin.flush()
            process.stdout.readline()
            yield client
        finally:
            process.terminate()
