"""The coordinator's care as its user sees it: policies, signals, settings, service manager, what can be looked at."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from hubfarm.control.client import ControlClient
from hubfarm.farm import Farm
from hubfarm.registry.history import End
from hubfarm.registry.listing import HubInfo
from tests.conftest import RunCli, past_early_death, remains
from tests.support import PATIENCE, Receiver, read_lock_file, running, wait_for


def coordinator_pid(farm: Farm) -> int:
    status = farm.coordinator()
    assert status is not None
    return int(status["pid"])


# ---------------------------------------------------------------------- restart policies


def test_policy_decides_whether_a_hub_comes_back(farm: Farm) -> None:
    hubs = {policy: farm.start(label=policy, restart=policy)[0] for policy in ("always", "on-failure", "never")}
    for hub in hubs.values():
        past_early_death(farm, hub.label)
        os.kill(hub.pid or 0, signal.SIGKILL)
    wait_for(lambda: [hub.restarts for hub in farm.hubs() if hub.alive] == [1, 1], "two come back")
    assert [hub.label for hub in farm.hubs()] == ["always", "on-failure"]
    for hub in farm.hubs():
        past_early_death(farm, hub.label)
        os.kill(hub.pid or 0, signal.SIGTERM)  # ends in order, though not by hubfarm
    wait_for(lambda: [(hub.label, hub.restarts) for hub in farm.hubs()] == [("always", 2)], "one comes back")
    assert farm.stop(["always"]) == ["always"]
    assert farm.hubs() == []


def test_restart_keeps_url_id_and_secret_and_counts(farm: Farm, cli: RunCli) -> None:
    (hub,) = farm.start(group="mima")
    secret = read_lock_file(hub.lock_file)["samp.secret"]
    (told,) = json.loads(cli("restart", "mima-1", "--json").stdout)
    assert (told["id"], told["url"], told["restarts"]) == (hub.id, hub.url, 1)
    assert told["pid"] != hub.pid
    assert read_lock_file(Path(told["lock_file"]))["samp.secret"] == secret
    assert "restarts     1" in cli("status").stdout


# ---------------------------------------------------------------------- signals and settings


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = home / "config.toml"
    path.touch()
    monkeypatch.setenv("HUBFARM_CONFIG", str(path))
    return path


def test_hangup_reopens_logs_and_reads_the_settings_again(farm: Farm, settings: Path) -> None:
    (hub,) = farm.start(group="mima")
    pid = coordinator_pid(farm)
    logs = farm.paths.logs
    for name in ("coordinator.log", "mima-1.log"):
        (logs / name).rename(logs / f"{name}.old")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings.write_text(f'late_beats = 7\nmetrics = "{address}"\n')
    os.kill(pid, signal.SIGHUP)
    text = wait_for(lambda: _scrape(address), "metrics are served on TCP")
    assert 'hubfarm_hub_up{group="mima",id="1",label="mima-1",owner=""} 1.0' in text
    wait_for(lambda: (logs / "mima-1.log").exists() and (logs / "coordinator.log").exists(), "logs are reopened")

    settings.write_text("late_beats = 0\n")
    os.kill(pid, signal.SIGHUP)
    log = logs / "coordinator.log"
    wait_for(lambda: "the settings stay as they were" in log.read_text(), "wrong settings are refused")
    assert _scrape(address)

    settings.write_text("")
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: not _scrape(address), "metrics are served no longer")
    assert farm.find("mima-1").pid == hub.pid


def _scrape(address: str) -> str:
    try:
        with urlopen(f"http://{address}/metrics", timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def scrape(farm: Farm) -> str:
    """Return what the control socket answers to Prometheus."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(farm.paths.control_socket))
        control.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: control.recv(65536), b"")).decode()


def test_metrics_are_always_on_the_control_socket(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start(group="mima")
    receiver.join_by(hub.lock_file)
    wait_for(lambda: farm.find("mima-1").clients == 1, "the client is counted")
    text = scrape(farm)
    assert "version=0.0.4" in text
    labels = '{group="mima",id="1",label="mima-1",owner=""}'
    for line in (f"hubfarm_hub_clients{labels} 1.0", f"hubfarm_hub_restarts_total{labels} 0.0"):
        assert line in text


def test_dump_names_every_hub_and_no_secret(farm: Farm) -> None:
    hubs = farm.start(count=2, group="mima")
    os.kill(coordinator_pid(farm), signal.SIGUSR1)
    log = farm.log_file("coordinator")
    wait_for(lambda: '"label": "mima-2"' in log.read_text(), "it is logged")
    text = "".join(path.read_text() for path in farm.paths.logs.iterdir())
    assert not [hub for hub in hubs if read_lock_file(hub.lock_file)["samp.secret"] in text]


# ---------------------------------------------------------------------- as a service


def test_service_manager_is_told_when_the_hubs_serve_and_when_they_end(
    home: Path, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        command = [sys.executable, "-m", "hubfarm", "start", "--foreground", "--group", "mima", "--json"]
        with running(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert manager.recv(100) == b"READY=1"
            assert [hub.label for hub in farm.hubs()] == ["mima-1"]
            process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(PATIENCE) == 0
    wait_for(lambda: not remains(home), "nothing is left")


def test_service_that_was_killed_and_started_again_has_its_hubs_as_they_were(farm: Farm, home: Path) -> None:
    command = [sys.executable, "-m", "hubfarm", "start", "--foreground", "--count", "2", "--json"]
    listed: list[list[tuple[str, int]]] = []
    for end in (signal.SIGKILL, signal.SIGTERM):
        with running(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            told = [json.loads(process.stdout.readline()) for _ in range(2)]
            listed.append(sorted((hub["label"], hub["pid"]) for hub in told))
            process.send_signal(end)
            process.wait(PATIENCE)
    assert listed[0] == listed[1]
    wait_for(lambda: not remains(home), "nothing is left")


# ---------------------------------------------------------------------- declared in a file


def test_up_makes_what_runs_match_the_file(farm: Farm, cli: RunCli, home: Path) -> None:
    def up(*options: str) -> list[tuple[str, str]]:
        done = cli("up", str(home / "farm.toml"), "--json", *options)
        assert done.returncode == 0, done.stderr
        return [(change["action"], change["label"]) for change in json.loads(done.stdout)]

    (home / "farm.toml").write_text('[defaults]\ngroup = "mima"\n[[hub]]\ncount = 2\n')
    farm.start(label="by-hand")
    assert up("--dry-run") == [("start", "mima-1"), ("start", "mima-2")]
    assert [hub.label for hub in farm.hubs()] == ["by-hand"]
    assert up() == [("start", "mima-1"), ("start", "mima-2")]
    before = {hub.label: hub.pid for hub in farm.hubs()}
    assert up() == [("keep", "mima-1"), ("keep", "mima-2")]

    (home / "farm.toml").write_text('[defaults]\ngroup = "mima"\n[[hub]]\nlabel = "mima-1"\ntimeout = 60\n')
    assert up() == [("differs", "mima-1")]
    assert {hub.label: hub.pid for hub in farm.hubs()} == before
    assert up("--prune", "--replace") == [("replace", "mima-1"), ("stop", "mima-2")]
    after = {hub.label: hub.pid for hub in farm.hubs()}
    assert sorted(after) == ["by-hand", "mima-1"]
    assert after["by-hand"] == before["by-hand"]
    assert after["mima-1"] != before["mima-1"]
    assert farm.find("mima-1").timeout == 60


def test_farm_file_as_a_service_is_read_again_at_sighup(farm: Farm, home: Path, cli: RunCli) -> None:
    file = home / "farm.toml"
    file.write_text('[[hub]]\nlabel = "a"\n[[hub]]\nlabel = "b"\n')
    command = [sys.executable, "-m", "hubfarm", "up", str(file), "--foreground", "--json"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [hub["label"] for hub in told] == ["a", "b"]
        farm.start(label="by-hand")

        file.write_text('[[hub]]\nlabel = "a"\ntimeout = 60\n[[hub]]\nlabel = "c"\n')
        process.send_signal(signal.SIGHUP)
        again = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(hub["label"], hub["pid"] == told[0]["pid"]) for hub in again] == [("a", True), ("c", False)]
        assert sorted(hub.label for hub in farm.hubs()) == ["a", "by-hand", "c"]

        file.write_text("[[hub]\n")
        process.send_signal(signal.SIGHUP)
        lines = iter(process.stderr.readline, "")
        warned = next(line for line in lines if "other options than declared" in line)
        assert "a runs with other options than declared: timeout 0 -> 60" in warned
        assert "farm.toml" in next(line for line in lines if "the hubs stay as they were" in line)
        assert sorted(hub.label for hub in farm.hubs()) == ["a", "by-hand", "c"]

        file.write_text("")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: [hub.label for hub in farm.hubs()] == ["by-hand"], "what is gone from the file is stopped")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    wait_for(lambda: not remains(home), "nothing is left")
    refused = cli("up", str(file), "--foreground", "--prune")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_farm_file_that_has_another_name_leaves_its_hubs_and_says_so(farm: Farm, home: Path) -> None:
    file = home / "farm.toml"
    file.write_text('name = "old"\n[[hub]]\nlabel = "a"\n[[hub]]\nlabel = "b"\n')
    command = [sys.executable, "-m", "hubfarm", "up", str(file), "--foreground"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline().split()[0] for _ in range(2)] == ["a", "b"]
        file.write_text('name = "new"\n[[hub]]\nlabel = "b"\n')
        process.send_signal(signal.SIGHUP)
        warned = next(line for line in iter(process.stderr.readline, "") if "another name" in line)
        assert "are left (hubfarm stop ends them): a" in warned
        assert sorted(hub.label for hub in farm.hubs()) == ["a", "b"]
        process.terminate()
        assert process.wait(PATIENCE) == 0


# ---------------------------------------------------------------------- seeing


@pytest.fixture
def two(farm: Farm) -> list[HubInfo]:
    return farm.start(count=2, group="mima")


def test_status_tells_of_the_coordinator_or_that_there_is_none(cli: RunCli, farm: Farm) -> None:
    done = cli("status")
    assert (done.returncode, done.stdout) == (1, "")
    farm.start(count=2)
    status = json.loads(cli("status", "--json").stdout)
    assert status["pid"] == coordinator_pid(farm)
    assert "hubs         2: 2 running" in cli("status").stdout


def test_history_tells_what_ended_and_why(cli: RunCli, farm: Farm, two: list[HubInfo]) -> None:
    farm.stop(["mima-2"])
    past_early_death(farm, "mima-1")
    os.kill(two[0].pid or 0, signal.SIGKILL)
    wait_for(lambda: len(farm.history()) == 2, "both are written down")
    told = json.loads(cli("history", "--json").stdout)
    assert [(each["label"], each["how"]) for each in told] == [("mima-2", End.STOPPED), ("mima-1", End.CRASHED)]
    assert "killed by SIGKILL" in cli("history", "-n", "1").stdout
    assert json.loads(cli("history", "-n", "0", "--json").stdout) == []


def test_logs_show_the_last_lines_and_follow(cli: RunCli, farm: Farm, two: list[HubInfo]) -> None:
    assert "serving at" in cli("logs", "mima-1", "-n", "1").stdout
    assert "coordinating as process" in cli("logs", "coordinator").stdout
    assert cli("logs", "nobody").returncode == 2
    command = [sys.executable, "-m", "hubfarm", "logs", "mima-1", "-f", "-n", "1"]
    with running(*command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert "serving at" in following.stdout.readline()  # from here on it follows
        farm.stop(["mima-1"])
        assert "ending: by SIGTERM" in following.stdout.readline()
    assert "ended" in cli("logs", "mima-1", "-n", "1").stdout  # by the label of a hub that has ended


def test_top_looks_once_without_a_terminal(cli: RunCli, two: list[HubInfo]) -> None:
    done = cli("top", "--once", "--interval", "0.1")
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["LABEL", "mima-1", "mima-2"]
    rows = json.loads(cli("top", "--json", "--interval", "0.1", "--sort", "memory").stdout)
    assert {row["label"] for row in rows} == {"mima-1", "mima-2"}
    assert all(row["memory"] > 1 for row in rows)


def test_top_is_live_on_a_terminal_sorts_by_key_and_ends_by_q(two: list[HubInfo]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "hubfarm", "top", "--interval", "30"])
    shown = ""

    def shows(pattern: str) -> bool:
        nonlocal shown
        while select.select([terminal], [], [], 0)[0]:
            try:
                shown += os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                break  # it has ended
        return re.search(pattern, shown) is not None

    wait_for(lambda: shows("2 hubs, by ID") and "mima-2" in shown, "the table is shown")
    os.write(terminal, b"cl")  # two keys in one go: none may wait for a third
    wait_for(lambda: shows("by LABEL"), "it is sorted by the last key")
    os.write(terminal, b"q")
    wait_for(lambda: shows("") or True, "read")
    wait_for(lambda: _ended(pid, shows), "it ends")
    os.close(terminal)


def _ended(pid: int, shows: object) -> bool:
    assert callable(shows)
    shows("")  # what it writes must be read, or it waits
    found, code = os.waitpid(pid, os.WNOHANG)
    assert not found or os.waitstatus_to_exitcode(code) == 0
    return found == pid


def test_second_coordinator_is_refused_and_says_who_holds_the_guard(farm: Farm, two: list[HubInfo]) -> None:
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "hubfarm.coordinator", "--ready", str(write_end)]
    done = subprocess.run(command, capture_output=True, text=True, pass_fds=(write_end,), timeout=60)
    os.close(read_end)
    os.close(write_end)
    assert done.returncode == 1
    assert f"a coordinator runs already: it holds {farm.paths.coordinator_guard}" in done.stderr
    assert len(ControlClient(farm.paths.control_socket).status().hubs) == 2
