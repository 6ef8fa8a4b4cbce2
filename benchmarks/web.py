"""Web pages: what the way of a message between a page and a program takes, beside JSAMP's hub; what idle pages cost.

``python -m benchmarks.web`` as root, in a network of its own, as JSAMP's Web Profile knows one port only.  Pages and
programs are the same simple ones for both hubs.
"""

import contextlib
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xmlrpc.client import ServerProxy, dumps, loads

import click
import psutil

PORT = 21012
INSIDE = "HUBFARM_BENCHMARK_INSIDE"


class Page:
    """A page: kept connections, as a browser has them."""

    def __init__(self) -> None:
        self.connection = HTTPConnection("localhost", PORT)
        told = self.call("register", {"samp.name": "page"})
        self.key, self.id = told["samp.private-key"], told["samp.self-id"]
        self.call("allowReverseCallbacks", self.key, "1")
        self.call("declareSubscriptions", self.key, {"table.highlight.row": {}})
        self.pulling = HTTPConnection("localhost", PORT)

    def call(self, method: str, *params: object, connection: HTTPConnection | None = None) -> object:
        """Call the hub."""
        connection = connection or self.connection
        body = dumps(params, f"samp.webhub.{method}")
        connection.request("POST", "/", body, {"Content-Type": "text/xml", "Origin": "http://page.example"})
        return loads(connection.getresponse().read())[0][0]

    def pull(self) -> list[object]:
        """Return what is there, once there is something."""
        return self.call("pullCallbacks", self.key, "20", connection=self.pulling)


class Program:
    """A program of the Standard Profile: it tells when it was called."""

    def __init__(self, url: str, secret: str) -> None:
        self.called = threading.Semaphore(0)
        program = self

        class Callback(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                body = dumps(("",), methodresponse=True).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                program.called.release()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Callback)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.hub = ServerProxy(url).samp.hub
        told = self.hub.register(secret)
        self.key, self.id = told["samp.private-key"], told["samp.self-id"]
        self.hub.setXmlrpcCallback(self.key, f"http://127.0.0.1:{self.server.server_address[1]}/")
        self.hub.declareSubscriptions(self.key, {"table.highlight.row": {}})


MESSAGE = {"samp.mtype": "table.highlight.row", "samp.params": {"table-id": "t", "row": "7"}}


@contextlib.contextmanager
def jsamp(home: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Run JSAMP's hub with both profiles, which asks nobody."""
    lock = home / "jsamp.lock"
    environment = os.environ | {"SAMP_HUB": f"std-lockurl:file://{lock}"}
    command = ["jsamp", "hub", "-mode", "no-gui", "-profiles", "std,web", "-web:auth", "true"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield _wait_for_lock(lock), [psutil.Process(process.pid)]
        finally:
            process.terminate()


@contextlib.contextmanager
def hubfarm(home: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Run a farm with one hub, which lets the page in unasked."""
    command = [sys.executable, "-m", "hubfarm"]
    subprocess.run([*command, "start", "--label", "one"], check=True, capture_output=True)
    try:
        subprocess.run(
            [*command, "web", "trust", "http://page.example", "--hub", "one"], check=True, capture_output=True
        )
        (lock,) = (home / ".samp-1").glob("samp-hub-*")
        ServerProxy(f"http://localhost:{PORT}/").samp.webhub.ping()
        yield lock.read_text(), [each for each in psutil.process_iter() if _is_ours(each)]
    finally:
        subprocess.run([*command, "stop", "--all", "--coordinator"], check=True, capture_output=True)


def _is_ours(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        title = " ".join(process.cmdline())
        here = process.environ().get("HOME") == os.environ["HOME"] if title.startswith("hubfarm") else False
        return title.startswith(("hubfarm web gateway", "hubfarm hub")) and here
    return False


def _wait_for_lock(lock: Path) -> str:
    deadline = time.monotonic() + 20
    while not (lock.exists() and "profile.version" in lock.read_text()):
        if time.monotonic() > deadline:
            raise SystemExit("JSAMP's hub does not come")
        time.sleep(0.05)
    time.sleep(1.0)  # it takes no calls for a moment
    return lock.read_text().replace("\\:", ":")


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def way(lock: str, processes: list[psutil.Process], count: int) -> dict[str, float]:
    """Measure the way of messages, there and back; milliseconds."""
    tokens = dict(re.findall(r"^(samp\.[a-z.]+)=(.*)$", lock, re.MULTILINE))
    program = Program(tokens["samp.hub.xmlrpc.url"], tokens["samp.secret"])
    page = Page()
    time.sleep(0.5)
    there: list[float] = []
    back: list[float] = []
    for number in range(count + 50):
        if number == 50:
            before = _cpu(processes)
        start = time.perf_counter()
        page.call("notify", page.key, program.id, MESSAGE)
        program.called.acquire()
        there.append(time.perf_counter() - start)
        arrived: list[float] = []

        def pull(arrived: list[float] = arrived) -> None:
            while not any(each["samp.params"][-1]["samp.mtype"] == MESSAGE["samp.mtype"] for each in page.pull()):
                pass
            arrived.append(time.perf_counter())

        pulling = threading.Thread(target=pull)
        pulling.start()
        time.sleep(0.003)  # it waits
        start = time.perf_counter()
        program.hub.notify(program.key, page.id, MESSAGE)
        pulling.join()
        back.append(arrived[0] - start)
    used = _cpu(processes) - before
    program.server.shutdown()
    program.server.server_close()
    page.call("unregister", page.key)
    return {
        "there": 1e3 * statistics.median(there[50:]),
        "back": 1e3 * statistics.median(back[50:]),
        "cpu": 1e3 * used / count,
    }


def idle(processes: list[psutil.Process], pages: int, seconds: float) -> dict[str, float]:
    """Measure what pages cost that only wait."""
    (gateway,) = [each for each in processes if "gateway" in " ".join(each.cmdline())]
    (hub,) = [each for each in processes if each != gateway]
    empty = {"gateway": gateway.memory_full_info().pss, "hub": hub.memory_full_info().pss}
    waiting = []
    for _ in range(pages):
        page = Page()
        page.connection.close()
        while page.pulling.sock is None:
            page.pulling.connect()
        body = dumps((page.key, "600"), "samp.webhub.pullCallbacks").encode()
        head = f"POST / HTTP/1.1\r\nHost: localhost:{PORT}\r\nOrigin: http://page.example\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        page.pulling.sock.sendall(head.encode() + body)
        page.pulling.sock.settimeout(1.0)
        with contextlib.suppress(socket.timeout, BlockingIOError):
            page.pulling.sock.setblocking(False)
            page.pulling.sock.recv(2**16)
        waiting.append(page)
    time.sleep(3.0)
    before = {"gateway": _cpu([gateway]), "hub": _cpu([hub])}
    time.sleep(seconds)
    result = {
        f"{name} cpu": 100 * (_cpu([each]) - before[name]) / seconds
        for name, each in (("gateway", gateway), ("hub", hub))
    }
    for name, each in (("gateway", gateway), ("hub", hub)):
        result[f"{name} MB"] = each.memory_full_info().pss / 2**20
        result[f"{name} kB a page"] = (each.memory_full_info().pss - empty[name]) / 1024 / pages
    return result


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--count", default=500, show_default=True, help="Messages each way in a round.")
@click.option("--pages", default=500, show_default=True, help="Idle pages.")
@click.option("--seconds", default=20.0, show_default=True, help="How long idle pages are watched.")
def main(rounds: int, count: int, pages: int, seconds: float) -> None:
    """Measure web pages on our hub and on JSAMP's."""
    if INSIDE not in os.environ:
        script = 'ip link set lo up; exec "$0" -m benchmarks.web "$@"'
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "bash", "-c", script, sys.executable, *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        os.environ |= {"HOME": directory, "SPT_NOENV": "1", "HUBFARM_WEB_PORT": str(PORT)}
        figures: dict[str, list[dict[str, float]]] = {"hubfarm": [], "jsamp": []}
        for _ in range(rounds):
            for name, run in (("hubfarm", hubfarm), ("jsamp", jsamp)):
                with run(home) as (lock, processes):
                    figures[name].append(way(lock, processes, count))
        print("| hub | page to program, ms | program to page, ms | CPU of hub and gateway, ms there and back |")
        print("| --- | ---: | ---: | ---: |")
        for name, each in figures.items():
            cells = [f"{statistics.median(one[what] for one in each):.2f}" for what in ("there", "back", "cpu")]
            print(f"| {name} | {' | '.join(cells)} |")
        with hubfarm(home) as (_, processes):
            cost = idle(processes, pages, seconds)
        print(f"{pages} idle pages: " + ", ".join(f"{name} {value:.2f}" for name, value in cost.items()))


if __name__ == "__main__":
    main()
