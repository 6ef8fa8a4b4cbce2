"""A coordinator that is asked: by the control protocol, by HTTP, by another release."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from hubfarm.control.client import ControlClient
from hubfarm.farm import Farm
from hubfarm.version import __version__
from tests.conftest import RunCli
from tests.control.test_server import MALFORMED, OURS
from tests.support import PATIENCE


def say(farm: Farm, *lines: bytes) -> list[dict[str, Any]]:
    """Return what the coordinator answers to these lines."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE)
        control.connect(str(farm.paths.control_socket))
        for line in lines:
            control.sendall(line + b"\n")
        answer = b"".join(iter(lambda: control.recv(65536), b""))
    return [json.loads(line) for line in answer.splitlines()]


class OverTheSocket(http.client.HTTPConnection):
    """HTTP as curl speaks it on a Unix socket."""

    def __init__(self, farm: Farm) -> None:
        super().__init__("hubfarm", timeout=PATIENCE)
        self._path = str(farm.paths.control_socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, str, str]:
        """Return status, media type and body of what is answered."""
        self.request(method, target, body)
        answer = self.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_malformed_requests_are_refused_in_one_line_and_the_hubs_run_on(farm: Farm) -> None:
    (hub,) = farm.start(label="mima")
    for each in MALFORMED:
        _, failed = say(farm, OURS, each)
        assert (failed["tell"], len(failed["message"].splitlines())) == ("failed", 1), each[:20]
    logs = farm.log_file("coordinator").read_text() + farm.paths.logs.joinpath("coordinator.out").read_text()
    assert "Traceback" not in logs
    assert [each.pid for each in farm.hubs()] == [hub.pid]
    told = say(farm, OURS, json.dumps({"ask": "stop", "ids": [hub.id, 99]}).encode())
    assert [each.get("tell") for each in told] == [None, "hub", "done"]
    assert farm.hubs() == []


def test_status_names_every_hub_and_what_farm_says_of_it_is_plain_data(farm: Farm) -> None:
    (hub,) = farm.start(label="mima", owner="luigi")
    status = ControlClient(farm.paths.control_socket).status()
    assert [(each.label, each.phase.value, each.pid) for each in status.hubs] == [("mima", "running", hub.pid)]
    said = farm.coordinator()
    assert said is not None
    assert json.loads(json.dumps(said))["hubs"][0] == said["hubs"][0]
    assert (said["version"], said["hubs"][0]["lock_file"]) == (__version__, str(hub.lock_file))


def test_curl_reads_status_and_metrics_on_one_connection(farm: Farm) -> None:
    farm.start(label="mima")
    asked = OverTheSocket(farm)
    status, kind, text = asked.ask("GET", "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4")
    assert 'hubfarm_hub_up{group="",id="1",label="mima",owner=""} 1.0' in text
    status, kind, text = asked.ask("GET", "/")
    assert (status, kind) == (200, "application/json")
    assert [each["label"] for each in json.loads(text)["hubs"]] == ["mima"]
    assert asked.ask("GET", "/nonsense")[0] == 404
    assert asked.ask("DELETE", "/metrics")[0] == 405
    asked.close()


def test_hubfarm_that_asks_by_http_is_told_to_be_upgraded(farm: Farm) -> None:
    (hub,) = farm.start()
    for target, body in (("/stop", {"ids": [hub.id]}), ("/hubs", [{"label": "x"}]), ("/shutdown", None)):
        status, _, text = OverTheSocket(farm).ask("POST", target, json.dumps(body).encode())
        assert (status, text) == (
            400,
            f"this coordinator is of hubfarm {__version__}, and an earlier release asks it for something: "
            f"upgrade that hubfarm to {__version__}\n",
        )
    assert [each.pid for each in farm.hubs()] == [hub.pid]


def test_command_of_another_release_says_so_in_one_line(
    cli: RunCli, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.start(label="mima")
    status = farm.coordinator()
    assert status is not None
    (tmp_path / "sitecustomize.py").write_text(
        "from hubfarm import version\nversion.__version__ = '0.1.7'\n"
        "from hubfarm.control import protocol\nprotocol.VERSION = '1-0'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for words in (["stop", "--all"], ["start"], ["status"], ["restart", "mima"]):
        done = cli(*words)
        assert (done.returncode, done.stdout, done.stderr) == (
            1,
            "",
            f"hubfarm: this is hubfarm 0.1.7, and the coordinator (process {status['pid']}) is of hubfarm "
            f"{__version__}: upgrade this hubfarm to {__version__}\n",
        )
    assert [hub.label for hub in farm.hubs()] == ["mima"]
