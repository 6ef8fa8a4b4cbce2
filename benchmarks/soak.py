"""A soak: clients join, talk and vanish for minutes, and what a hub holds must not grow.

``python -m benchmarks.soak --minutes 10``.  The clients are threads on the standard library's
XML-RPC; one life in three ends without a word to the hub, as if its process had been killed.
"""

import contextlib
import json
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, cast
from xmlrpc.client import Fault, ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

import click
import psutil

from hubfarm.farm import Farm
from hubfarm.samp import lockfile

LIFE = (2.0, 20.0)
"""How long a client stays, seconds."""

PAUSE = 0.2
"""Between two messages of a client, seconds, on average."""

BROADCASTS = 0.02
"""So many of the messages go to everybody."""

WATCHING = 1 / 10
"""So many clients want to know who comes and goes."""

VANISHING = 1 / 3
"""So many clients leave without unregistering."""

SAMPLES = 200
"""So often what the hub holds is looked at."""

AFTERWARDS = 40.0
"""How long the hub may take to notice that the last ones have gone, seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the hub holds at one time."""

    seconds: float
    pss: int
    uss: int
    descriptors: int
    threads: int
    journal: int
    clients: int
    queued: int
    messages: int


class _Figure(NamedTuple):
    """One thing that must not grow: how it is summed up over a quarter, and how much is no growth."""

    field: str
    title: str
    scale: float
    of_a_quarter: Callable[[list[float]], float]
    slack: float
    """In units of `scale`."""


FIGURES = (
    _Figure("pss", "memory, shared pages by share (PSS), MB", 2**20, statistics.median, 1.5),
    _Figure("uss", "memory of its own (USS), MB", 2**20, statistics.median, 1.5),
    _Figure("descriptors", "file descriptors", 1, statistics.median, 15),
    _Figure("threads", "threads", 1, max, 0),
    _Figure("journal", "journal at its longest, MB", 2**20, max, 1.0),
    _Figure("clients", "registered clients", 1, statistics.median, 10),
    _Figure("queued", "deliveries waiting", 1, statistics.median, 100),
)


class _Hub:
    """The hub that is soaked, in a farm of its own."""

    def __init__(self, farm: Farm) -> None:
        (info,) = farm.start(label="soak")
        assert info.id is not None
        self.url = info.url
        self.secret = lockfile.parse(info.lock_file.read_text())[lockfile.SECRET]
        self._farm = farm
        self._journal = farm.paths.journal(info.id)
        self._process = psutil.Process(info.pid)
        self._began = time.monotonic()

    def sample(self) -> Sample:
        """Look at what it holds now."""
        info = self._farm.find("soak")
        memory = self._process.memory_full_info()
        return Sample(
            time.monotonic() - self._began,
            memory.pss,
            memory.uss,
            self._process.num_fds(),
            self._process.num_threads(),
            self._journal.stat().st_size,
            info.clients or 0,
            info.queued or 0,
            info.messages or 0,
        )


class _Client(SimpleXMLRPCServer):
    """One client, from its registration to its end."""

    def __init__(self, hub: _Hub) -> None:
        super().__init__(("127.0.0.1", 0), logRequests=False)
        self._serving = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1})
        self._serving.start()
        self._url = hub.url
        self._proxy = ServerProxy(hub.url)
        self._samp: Any = self._proxy.samp.hub
        registration = cast(dict[str, str], self._samp.register(hub.secret))
        self._key, self.id = registration["samp.private-key"], registration["samp.self-id"]
        self._samp.setXmlrpcCallback(self._key, f"http://127.0.0.1:{self.server_address[1]}/")
        self._samp.declareMetadata(self._key, {"samp.name": "soaking", "samp.description.text": "x" * 500})
        patterns = ["soak.*", *(["samp.hub.event.*"] if random.random() < WATCHING else [])]
        self._samp.declareSubscriptions(self._key, {pattern: {} for pattern in patterns})

    def _dispatch(self, method: str, params: Any) -> str:
        if method == "samp.client.receiveCall":
            # From a thread of its own: the hub has to have its answer first.
            threading.Thread(target=self._reply, args=(params[2],)).start()
        return ""

    def _reply(self, msg_id: str) -> None:
        with contextlib.suppress(Fault, OSError, HTTPException), ServerProxy(self._url) as proxy:
            samp: Any = proxy.samp.hub
            samp.reply(self._key, msg_id, {"samp.status": "samp.ok", "samp.result": {}})

    def talk(self) -> None:
        """Send one message, to somebody or to all."""
        message: Any = {"samp.mtype": "soak.message", "samp.params": {"text": "x" * random.randrange(2000)}}
        others = [each for each in self._samp.getRegisteredClients(self._key) if each != "hub"]
        with contextlib.suppress(Fault):  # the other may just have gone
            if not others or random.random() < BROADCASTS:
                self._samp.notifyAll(self._key, message)
            elif random.random() < 0.5:
                self._samp.notify(self._key, random.choice(others), message)
            else:
                self._samp.call(self._key, random.choice(others), "tag", message)

    def leave(self, *, silently: bool) -> None:
        """End, with or without a word to the hub."""
        if not silently:
            self._samp.unregister(self._key)
        self._proxy("close")()
        self.shutdown()
        self.server_close()
        self._serving.join()


def _live(hub: _Hub, until: float) -> None:
    """Be one client after the other, until it is time."""
    while time.monotonic() < until:
        client = _Client(hub)
        end = min(until, time.monotonic() + random.uniform(*LIFE))
        while time.monotonic() < end:
            client.talk()
            time.sleep(random.uniform(0, 2 * PAUSE))
        client.leave(silently=random.random() < VANISHING)


def soak(hub: _Hub, minutes: float, clients: int, tell: Callable[[Sample], None]) -> list[Sample]:
    """Let clients come and go; return what the hub held meanwhile."""
    until = time.monotonic() + 60 * minutes
    lives = [threading.Thread(target=_live, args=(hub, until)) for _ in range(clients)]
    for life in lives:
        life.start()
    samples = []
    while time.monotonic() < until:
        time.sleep(60 * minutes / SAMPLES)
        samples.append(hub.sample())
        tell(samples[-1])
    for life in lives:
        life.join()
    return samples


def afterwards(hub: _Hub) -> Sample:
    """Wait until the hub has noticed that everybody has gone; return what it holds then."""
    deadline = time.monotonic() + AFTERWARDS
    while (sample := hub.sample()).clients and time.monotonic() < deadline:
        time.sleep(1)
    return sample


def quarters(samples: list[Sample], figure: _Figure) -> list[float]:
    """Sum up a figure over each quarter of the soak."""
    length = len(samples) // 4
    values = [getattr(sample, figure.field) / figure.scale for sample in samples]
    return [figure.of_a_quarter(values[length * quarter : length * (quarter + 1)]) for quarter in range(4)]


def is_flat(values: list[float], figure: _Figure) -> bool:
    """Tell whether a figure of the last quarter is no larger than in the second: the first is for warming up."""
    return values[3] <= values[1] + figure.slack


@contextlib.contextmanager
def _farm_of_its_own() -> Iterator[Farm]:
    before = os.environ.get("HOME")
    home = Path(tempfile.mkdtemp(prefix="hb-", dir="/tmp"))  # short: Unix sockets lie below it
    os.environ["HOME"] = str(home)
    farm = Farm()
    try:
        yield farm
    finally:
        farm.stop(everything=True, coordinator=True)
        shutil.rmtree(home, ignore_errors=True)
        if before is not None:
            os.environ["HOME"] = before


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=10.0, show_default=True, type=click.FloatRange(min=0.05))
@click.option("--clients", default=50, show_default=True, type=click.IntRange(1), help="So many at a time.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all samples there.")
def main(minutes: float, clients: int, json_path: Path | None) -> None:
    """Let clients join, talk and vanish for minutes; fail if what the hub holds has grown."""
    with _farm_of_its_own() as farm:
        hub = _Hub(farm)
        samples = soak(hub, minutes, clients, lambda sample: click.echo(sample, err=True))
        last = afterwards(hub)
    if json_path:
        json_path.write_text(json.dumps([asdict(sample) for sample in [*samples, last]], indent=1))
    click.echo(f"{minutes:g} minutes, {clients} clients at a time, {last.messages} messages\n")
    click.echo("| | 1st quarter | 2nd | 3rd | 4th | all gone | |\n| --- | --: | --: | --: | --: | --: | --- |")
    grown = False
    for figure in FIGURES:
        values = quarters(samples, figure)
        flat = is_flat(values, figure)
        grown = grown or not flat
        cells = [f"{value:.4g}" for value in [*values, getattr(last, figure.field) / figure.scale]]
        click.echo(f"| {figure.title} | {' | '.join(cells)} | {'flat' if flat else 'GROWS'} |")
    if grown or last.clients:
        raise click.ClickException("it has grown" if grown else "clients that have gone are still registered")


if __name__ == "__main__":
    main()
