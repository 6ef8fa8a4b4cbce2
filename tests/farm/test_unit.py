"""hubfarm as a service of systemd: what is written, what is left alone, and what systemd says of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfarm.farm import Farm, unit
from hubfarm.farm.unit import Did, Service, check_others_can_run, own_command, quoted
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.conftest import RunCli
from tests.support import PATIENCE, need, wait_for


def verified(file: Path, *options: str) -> str:
    """What systemd finds wrong with a unit."""
    command = [need("systemd-analyze"), "verify", "--man=no", *options, str(file)]
    environment = os.environ | {"XDG_RUNTIME_DIR": str(file.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    said = "\n".join(line for line in done.stderr.splitlines() if file.name.partition("@")[0] in line)
    assert said or done.returncode == 0, done.stderr
    return said


def exec_start(file: Path) -> str:
    return next(line for line in file.read_text().splitlines() if line.startswith("ExecStart="))


def test_unit_of_an_account_is_right_and_names_this_hubfarm_and_a_farm_file(home: Path, cli: RunCli) -> None:
    done = cli("service", "install")
    assert done.returncode == 0, done.stderr
    file = home / ".config" / "systemd" / "user" / "hubfarm.service"
    farm_file = home / ".config" / "hubfarm" / "farm.toml"
    assert f"wrote {file}" in done.stdout
    assert f"wrote {farm_file}" in done.stdout
    assert exec_start(file) == f"ExecStart={' '.join(own_command())} up --foreground {farm_file}"
    assert verified(file, "--user") == ""
    assert Farm().declared(farm_file).hubs == []
    assert cli("service", "status").returncode == 0
    assert cli("service", "install").returncode == 0  # once more is as good


def test_systemd_finds_what_is_wrong(home: Path) -> None:
    Service().install(start=False)
    file = Service().unit
    file.write_text(file.read_text().replace("Type=notify", "Type=nonsense").replace("up --f", "'up --f"))
    assert verified(file, "--user")


def test_odd_paths_are_quoted_so_that_systemd_reads_them_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = home / "50% \"done\" $HOME 'x' \\"
    odd.mkdir()
    hubfarm = odd / "hubfarm"
    monkeypatch.setattr(unit, "own_command", lambda: [str(hubfarm)])
    Service().install(odd / "farm.toml", start=False)
    unit_file = Service().unit
    assert verified(unit_file, "--user") == ""
    assert exec_start(unit_file).startswith("ExecStart=/usr/bin/env ")
    assert quoted(str(odd)) == f'"{home}/50%% \\"done\\" $$HOME \'x\' \\\\"'


def test_template_for_all_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "check_others_can_run", lambda command: None)  # of whoever runs the tests
    service = Service(system=True, root=tmp_path)
    steps = service.install()
    template = tmp_path / "etc/systemd/system/hubfarm@.service"
    tmpfiles = tmp_path / "etc/tmpfiles.d/hubfarm.conf"
    farms = tmp_path / "etc/hubfarm/farms"
    assert [step.what for step in steps] == [str(template), str(tmpfiles), str(farms)]
    assert template.stat().st_mode & 0o777 == tmpfiles.stat().st_mode & 0o777 == 0o644
    assert farms.is_dir()
    assert exec_start(template).endswith("up --foreground /etc/hubfarm/farms/%i.toml")
    instance = tmp_path / "hubfarm@root.service"
    shutil.copy(template, instance)
    assert verified(instance) == ""
    (tmp_path / "run").mkdir()
    command = [need("systemd-tmpfiles"), "--create", f"--root={tmp_path}", "hubfarm.conf"]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    assert (tmp_path / "run/hubfarm").stat().st_mode & 0o7777 == 0o1777
    assert service.status().installed
    assert {step.did for step in service.uninstall()} == {Did.REMOVED}
    assert not template.exists()
    assert farms.is_dir()  # what an administrator has written there is no business of ours


def test_what_somebody_else_wrote_is_left(home: Path, cli: RunCli) -> None:
    file = Service().unit
    file.parent.mkdir(parents=True)
    file.write_text("[Service]\nExecStart=/bin/true\n")
    for command in ("install", "uninstall"):
        done = cli("service", command)
        assert (done.returncode, done.stdout) == (1, "")
        assert "was not written by hubfarm service install: move it away" in done.stderr
    assert cli("service", "status").returncode == 1
    assert file.read_text() == "[Service]\nExecStart=/bin/true\n"


def test_dry_run_shows_what_would_be_written_and_writes_nothing(home: Path, cli: RunCli) -> None:
    done = cli("service", "install", "--dry-run")
    assert "would have wrote" not in done.stdout
    assert f"would write {Service().unit}" in done.stdout
    assert "    ExecStart=" in done.stdout
    assert not (home / ".config").exists()
    cli("service", "install")
    assert f"would remove {Service().unit}" in cli("service", "uninstall", "--dry-run").stdout
    assert Service().unit.exists()
    assert cli("service", "uninstall").stdout == f"removed {Service().unit}\n"
    assert cli("service", "uninstall").stderr == "no service is installed\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["install", "none.toml"], "there is no farm file none.toml"),
        (["install", "--system", "farm.toml", "--root", "x"], "the template takes no farm file"),
        (["install", "--root", "x"], "--root is for --system"),
    ],
)
def test_wrong_use_is_one_line(home: Path, cli: RunCli, arguments: list[str], said: str) -> None:
    (home / "farm.toml").write_text("")
    done = cli("service", *arguments, cwd=home)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr


def test_without_systemd_one_line_says_what_to_run(home: Path, cli: RunCli) -> None:
    if unit.RUNS.is_dir():
        pytest.skip("systemd runs here")
    done = cli("service", "install")
    (said,) = done.stderr.splitlines()
    assert said.startswith("systemd does not run here, so nothing starts this by itself; the service is: ")
    assert said.endswith(f"up --foreground {home}/.config/hubfarm/farm.toml")


def test_hubfarm_that_others_cannot_run_is_no_command_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "hubfarm"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    with pytest.raises(WrongUse, match=f"other accounts cannot run {command}: .* is closed to them"):
        check_others_can_run([str(command)])


# ---------------------------------------------------------------------- where systemd runs


@pytest.fixture
def told(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd that takes all that it is told, and notes it."""
    note = home / "told"
    commands = home / "bin"
    commands.mkdir()
    for name in ("systemctl", "systemd-tmpfiles"):
        script = commands / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> {note}\n[ "$2" != is-active ] || echo inactive\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setattr(unit, "RUNS", commands)
    return note


def test_it_is_enabled_and_started_and_a_coordinator_makes_room(told: Path) -> None:
    steps = Service().install(end_coordinator=lambda: 4711)
    assert told.read_text().splitlines() == [
        "systemctl --user daemon-reload",
        "systemctl --user is-active hubfarm.service",
        "systemctl --user enable --now hubfarm.service",
    ]
    assert any(step.did is Did.ENDED and "process 4711" in step.what for step in steps)
    told.unlink()
    Service().uninstall()
    assert told.read_text().splitlines() == [
        "systemctl --user disable --now hubfarm.service",
        "systemctl --user daemon-reload",
    ]


def test_what_systemd_refuses_is_said(told: Path, home: Path) -> None:
    (home / "bin" / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")
    steps = Service().install(end_coordinator=lambda: pytest.fail("nothing could take its hubs on"))
    failed = [step.what for step in steps if step.did is Did.FAILED]
    assert failed == ["systemctl --user daemon-reload: Failed to connect to bus"]


@contextlib.contextmanager
def service_manager(farm_file: Path) -> Iterator[None]:
    """Start a coordinator again and again unless it ends in order, as systemd does with Restart=on-failure."""
    command = [sys.executable, "-m", "hubfarm", "up", "--foreground", str(farm_file)]
    processes: list[subprocess.Popen[bytes]] = []

    def start_again() -> None:
        while True:
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            if processes[-1].wait() == 0:
                return

    thread = threading.Thread(target=start_again)
    thread.start()
    try:
        yield
    finally:
        processes[-1].send_signal(signal.SIGTERM)
        thread.join(PATIENCE)


def test_coordinator_of_a_service_is_restarted_by_its_service_manager(
    farm: Farm, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm_file = home / "farm.toml"
    farm_file.write_text("[[hub]]\nlabel = 'one'\n")
    with service_manager(farm_file):
        (hub,) = wait_for(farm.hubs, "the hub of the farm file runs")
        wait_for(lambda: farm.coordinator(), "its coordinator answers")
        before = farm.coordinator()
        monkeypatch.setattr("hubfarm.farm.upgrade.is_of_service", lambda pid: True)
        after = farm.restart_coordinator()
        assert before is not None
        assert before["pid"] != after["pid"]
        assert [each.pid for each in farm.hubs()] == [hub.pid]
        parent = Path(f"/proc/{after['pid']}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) == os.getpid()  # who plays the service manager, and not who asked


def test_process_of_a_service_is_known_by_its_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubfarm.farm.upgrade import is_of_service

    assert not is_of_service(2**22 + 1)
    groups = {"": False, "0::/user.slice/user-1.slice/session-2.scope\n": False}
    groups["0::/user.slice/user-1.slice/user@1.service/app.slice/hubfarm.service\n"] = True
    for text, expected in groups.items():
        monkeypatch.setattr(Path, "read_text", lambda self, text=text: text)
        assert is_of_service(1) is expected


def test_file_that_cannot_be_written_is_one_line(home: Path) -> None:
    (home / ".config").write_text("a file")
    with pytest.raises(HubfarmError, match="cannot make the directory"):
        Service().install(start=False)
