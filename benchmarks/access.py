"""What it costs a hub to know who its clients are, and to speak TLS: ``python -m benchmarks.access [ROUNDS]``.

One farm, one hub of each kind, one client and one receiver on it; the kinds take turns, so that a busy machine is so
for all.  The processor's time is the hub's own, as the kernel counts it: that is steady also where the rates are not.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from hubfarm.samp.lockfile import TLS_CERTIFICATE, parse
from hubfarm.samp.values import Map, Value
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.wire.http_client import HttpClient
from hubfarm.wire.tls import read_certificate, trusting

REQUESTS = 3000
"""Of each kind in a round."""

PASSWORD = "a password"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Answers every delivery, and reads none."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what has come."""
        self._transport.write(ANSWER * data.count(b"POST "))


def _cpu_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def measure(lock_file: Path, pid: int) -> dict[str, float]:
    """Return the processor time of each kind of request, microseconds."""
    tokens = parse(lock_file.read_text())
    known_by = tokens.get(TLS_CERTIFICATE)
    tls = [trusting(read_certificate(known_by))] if known_by else []
    http = HttpClient(tokens["samp.hub.xmlrpc.url"], tls=tls)

    async def call(method: str, *params: Value) -> Value:
        return decode_response(await http.post(encode_call(f"samp.hub.{method}", list(params)), timeout=10.0))

    async def register() -> Map:
        entered = await call("register", tokens["samp.secret"])
        assert isinstance(entered, dict)
        return entered

    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    sender, receiver = await register(), await register()
    await call(
        "setXmlrpcCallback", receiver["samp.private-key"], f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    )
    await call("declareSubscriptions", receiver["samp.private-key"], {"*": {}})
    key, to = sender["samp.private-key"], receiver["samp.self-id"]
    requests: Mapping[str, tuple[Value, ...]] = {
        "ping": ("ping",),
        "notify": ("notify", key, to, {"samp.mtype": "test.it", "samp.params": {"x": "1"}}),
    }
    took = {}
    for name, (method, *params) in requests.items():
        begun = _cpu_seconds(pid)
        for _ in range(REQUESTS):
            await call(str(method), *params)
        took[name] = (_cpu_seconds(pid) - begun) / REQUESTS * 1e6
    for each in (key, receiver["samp.private-key"]):
        await call("unregister", each)
    http.close()
    server.close()
    return took


def main(rounds: int) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="hubfarm-access-") as home:
        os.environ["HOME"] = home
        farm = Farm(Paths.from_environment())
        farm.users.add("luigi", PASSWORD)
        account = os.environ.get("USER") or "root"
        farm.start(label="open")
        farm.start(label="restricted", access="users")
        farm.start(label="accounts", access="users", allow=[f"account:{account}"])
        farm.start(label="tls", tls=True)
        try:
            _compare(farm, rounds)
            _time_login(Path(home), 2 * rounds)
        finally:
            farm.stop(everything=True, coordinator=True)


def _compare(farm: Farm, rounds: int) -> None:
    hubs = {hub.label: hub for hub in farm.hubs()}
    lock_files = {label: hub.lock_file for label, hub in hubs.items()}
    lock_files["restricted"] = farm.log_in("restricted", user="luigi", password=PASSWORD).lock_file
    took: dict[str, list[dict[str, float]]] = {label: [] for label in hubs}
    for _ in range(rounds):
        for label, hub in hubs.items():
            assert hub.pid is not None
            took[label].append(asyncio.run(measure(lock_files[label], hub.pid)))
    print("| request | hub | CPU, µs | x open |\n| --- | --- | ---: | ---: |")
    for request in took["open"][0]:
        median = {label: statistics.median(each[request] for each in rounds) for label, rounds in took.items()}
        for label, value in median.items():
            print(f"| {request} | {label} | {value:.0f} | {value / median['open']:.2f} |")


def _time_login(home: Path, times: int) -> None:
    file = home / "password"
    file.write_text(PASSWORD)
    command = [sys.executable, "-m", "hubfarm", "login", "restricted", "--user", "luigi", "--password-file", str(file)]
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        took.append((time.perf_counter() - begun) * 1e3)
    print(f"\nhubfarm login: {statistics.median(took):.0f} ms, {min(took):.0f} to {max(took):.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7)
