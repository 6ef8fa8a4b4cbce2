"""The load: wrk, which keeps a request under way on each of its connections."""

import subprocess
from pathlib import Path
from typing import NamedTuple

_SCRIPT = Path(__file__).with_name("load.lua")


class Load(NamedTuple):
    """What wrk saw.

    Parameters
    ----------
    requests : int
        Requests answered.
    seconds : float
        In how long.
    errors : int
        Connections, reads, writes or HTTP statuses gone wrong, and timeouts.
    p50, p99 : float
        Median and 99th percentile of the time to an answer, seconds.
    """

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float


class RunningLoad:
    """A load that has just been started.

    Parameters
    ----------
    url : str
        Where it goes.
    body : bytes
        What is posted over and over.
    connections : int
        Requests under way at a time.
    seconds : int
        How long.
    registering : bool
        The body registers a client: unregister each again.
    """

    def __init__(self, url: str, body: bytes, connections: int, seconds: int, *, registering: bool = False) -> None:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(_SCRIPT), url]
        command += ["--", "register"] if registering else []
        # One thread of wrk takes it once, from its standard input: it may hold a private key.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(body)
        self._process.stdin.close()
        self._process.stdin = None

    def result(self) -> Load:
        """Wait for the end and return what came of it."""
        output = self._process.communicate()[0].decode()
        lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
        if not lines:
            raise RuntimeError(f"wrk failed: {output}")
        requests, duration, errors, timeouts, p50, p99 = map(int, lines[0].split()[1:])
        return Load(requests, duration / 1e6, errors + timeouts, p50 / 1e6, p99 / 1e6)
