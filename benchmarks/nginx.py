"""nginx as a client that answers every callback at once, as the counter of what arrives, and as the floor."""

import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIGURATION = """
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; client_max_body_size 0;
    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
    server {{
        listen 127.0.0.1:{port}; default_type text/xml;
        location / {{ return 200 "<?xml version='1.0'?>
<methodResponse><params><param><value><string></string></value></param></params></methodResponse>
"; }}
        location = /status {{ stub_status; }}
    }}
}}
"""


class Nginx:
    """A running nginx.

    Parameters
    ----------
    port : int
        Where it listens.
    pid : int
        Its master process.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.pid = pid
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._asked = 0

    def requests(self) -> int:
        """Return how many requests it has answered, those of this method not counted."""
        self._connection.request("GET", "/status")
        self._asked += 1
        # "Active connections: N", a line of titles, and then: accepts handled requests
        return int(self._connection.getresponse().read().split(b"\n")[2].split()[2]) - self._asked

    def settled_requests(self, quiet: float = 0.3, at_most: float = 20.0) -> int:
        """Wait until nothing arrives any more, and return how many requests it has answered."""
        deadline = time.monotonic() + at_most
        count = self.requests()
        while time.monotonic() < deadline:
            time.sleep(quiet)
            before, count = count, self.requests()
            if before == count:
                break
        return count


@contextmanager
def nginx() -> Iterator[Nginx]:
    """Run nginx on a free port."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory(prefix="hb-nginx-", dir="/tmp") as home, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        configuration = Path(home, "conf")
        configuration.write_text(_CONFIGURATION.format(home=home, port=port))
        command = [program, "-c", str(configuration), "-p", home, "-e", f"{home}/log"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _await_port(port, process)
                yield Nginx(port, process.pid)
            finally:
                process.terminate()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError("nginx did not start")
