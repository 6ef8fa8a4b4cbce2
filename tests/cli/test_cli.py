"""The command line as a user meets it: what commands print, how they end, what bad input gets."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xmlrpc.client import ServerProxy

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.paths import Paths
from hubfarm.version import __version__
from tests.conftest import RunCli, coordinator_suspended, processes_of, remains
from tests.support import (
    PATIENCE,
    ROOT,
    Receiver,
    StuckReceiver,
    installed,
    message,
    need,
    read_lock_file,
    running,
    wait_for,
)

Done = subprocess.CompletedProcess[str]

COMMANDS = ["start", "ls", "stop", "gc", "env", "exec"]
BIN = ROOT / "bin"
NOBODY = 65534


@pytest.fixture
def two(farm: Farm) -> list[HubInfo]:
    """Two hubs of the group mima, owned by luigi."""
    return farm.start(count=2, group="mima", owner="luigi")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def assert_refused(done: Done, code: int, *words: str) -> None:
    """One clear line on standard error with these words in it, and the right exit code."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("hubfarm")
    assert "Traceback" not in line
    assert "failed unexpectedly" not in line
    for word in words:
        assert word in line


def everything_below(home: Path) -> list[Path]:
    return sorted(home.rglob("*"))


# ---------------------------------------------------------------------- help and launchers


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(cli: RunCli, command: str) -> None:
    done = cli(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: hubfarm {command}" in done.stdout
    assert f"hubfarm {command} " in done.stdout.split("Example:")[1]


def test_help_names_every_command_and_makes_no_file(cli: RunCli, home: Path) -> None:
    done = cli("--help")
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    assert everything_below(home) == []


@pytest.mark.parametrize(
    "launcher",
    [[sys.executable, "-m", "hubfarm"], [sys.executable, str(BIN / "hubfarm")], [installed("hubfarm")]],
    ids=["python -m hubfarm", "bin/hubfarm", "hubfarm"],
)
def test_every_launcher_tells_the_version(home: Path, launcher: list[str]) -> None:
    done = subprocess.run([*launcher, "--version"], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hubfarm, version {__version__}\n", "")


# ---------------------------------------------------------------------- what commands print


def test_start_prints_a_table_and_how_to_connect(cli: RunCli) -> None:
    done = cli("start", "--count", "2", "--group", "mima")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.split("\n\n")[0].splitlines()
    assert head.split()[:4] == ["ID", "LABEL", "OWNER", "GROUP"]
    assert [row.split()[1] for row in rows] == ["mima-1", "mima-2"]
    assert "hubfarm exec mima-1 -- " in done.stdout
    assert "hubfarm env mima-1" in done.stdout


def test_start_prints_json_of_the_hubs_that_it_has_started(cli: RunCli, two: list[HubInfo]) -> None:
    (hub,) = json.loads(cli("start", "--label", "deep field", "--timeout", "3600", "--json").stdout)
    assert (hub["id"], hub["label"], hub["state"], hub["kind"], hub["timeout"]) == (
        3,
        "deep field",
        "running",
        "farm",
        3600,
    )
    assert read_lock_file(Path(hub["lock_file"]))["samp.hub.xmlrpc.url"] == hub["url"]
    assert ServerProxy(hub["url"]).samp.hub.ping() == ""


def test_ls_prints_a_table_uncut_and_uncoloured_into_a_pipe(cli: RunCli, farm: Farm) -> None:
    (hub,) = farm.start(label="L" * 90, owner="O" * 90, group="G" * 90)
    done = cli("ls", env=os.environ | {"COLUMNS": "40", "TERM": "xterm-256color"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    head, row = done.stdout.splitlines()
    for column in ("ID", "LABEL", "STATE", "PID", "URL", "CLIENTS", "MESSAGES", "IDLE", "TIMEOUT", "UPTIME"):
        assert column in head.split()
    assert row.split()[:8] == [
        "1",
        hub.label,
        hub.owner,
        hub.group,
        "running",
        "farm",
        str(hub.pid),
        hub.url,
    ]


def test_ls_prints_json_with_what_the_table_has(cli: RunCli, two: list[HubInfo]) -> None:
    listed = json.loads(cli("ls", "--json").stdout)
    assert [hub["label"] for hub in listed] == ["mima-1", "mima-2"]
    names = "id label owner group state kind host pid url clients messages idle timeout uptime lock_file samp_hub"
    assert set(names.split()) <= set(listed[0])
    assert [hub["lock_file"] for hub in listed] == [str(hub.lock_file) for hub in two]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--group", "mima"], ["mima-1", "mima-2"]),
        (["--owner", "mario"], ["test-1"]),
        (["--label", "mima-2"], ["mima-2"]),
        (["--label", "mi", "--owner", "luigi"], ["mima-1", "mima-2"]),
        (["--host", socket.gethostname()], ["mima-1", "mima-2", "test-1"]),
        (["--all"], ["mima-1", "mima-2", "test-1", "lost"]),
        (["--host", "elsewhere.example"], ["lost"]),
        (["--group", "mim"], []),
        ([], ["mima-1", "mima-2", "test-1"]),
    ],
)
def test_ls_filters_by_group_owner_label_and_host(
    cli: RunCli, mixed: list[HubInfo], options: list[str], expected: list[str]
) -> None:
    assert [hub["label"] for hub in json.loads(cli("ls", "--json", *options).stdout)] == expected


@pytest.fixture
def mixed(home: Path) -> list[HubInfo]:
    """Lock files of hubs of two groups and owners, and of one on another host that shares this home."""
    farm = Farm()
    hubs = farm.start(count=2, group="mima", owner="luigi") + farm.start(group="test", owner="mario")
    text = hubs[0].lock_file.read_text().replace(f"hubfarm.host={hubs[0].host}", "hubfarm.host=elsewhere.example")
    (home / ".samp-1" / "samp-hub-1-99").write_text(text.replace("label=mima-1", "label=lost"))
    return hubs


def test_ls_without_a_hub_says_so_and_makes_no_file(cli: RunCli, home: Path) -> None:
    done = cli("ls")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no hub runs\n")
    assert cli("ls", "--json").stdout == "[]\n"
    assert everything_below(home) == []


def test_ls_into_a_pipe_that_closes_gives_no_traceback(two: list[HubInfo]) -> None:
    command = f"{shlex.quote(sys.executable)} -m hubfarm ls | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.startswith("ID")
    assert done.stderr == ""


def test_output_to_a_reader_that_has_gone_gives_no_traceback(cli: RunCli, two: list[HubInfo]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as stdout:
        done = cli("ls", capture_output=False, stdout=stdout, stderr=subprocess.PIPE)
    assert done.stderr == ""


def test_stop_says_what_it_has_stopped(cli: RunCli, two: list[HubInfo]) -> None:
    assert cli("stop", "mima-2").stdout == "stopped mima-2\n"
    assert json.loads(cli("stop", "--all", "--coordinator", "--json").stdout) == ["mima-1"]
    assert cli("stop", "--all").stdout == "no hub to stop\n"


def test_gc_says_file_by_file_what_it_removed_or_kept_and_why(cli: RunCli, farm: Farm) -> None:
    killed, kept = farm.start(count=2, group="mima", restart="never")
    assert killed.pid is not None
    with coordinator_suspended(farm):  # or it would clear up itself
        os.kill(killed.pid, signal.SIGKILL)
        wait_for(lambda: len(farm.hubs()) == 1, "the hub is dead")
        rehearsed = json.loads(cli("gc", "--dry-run", "--json").stdout)
        table = cli("gc").stdout.splitlines()
        assert not killed.lock_file.exists()
    assert table[0].split() == ["DONE", "FILE", "WHY"]
    assert len(table) == 1 + len(rehearsed)
    for each, row in zip(rehearsed, table[1:], strict=True):
        assert row.rstrip().split(maxsplit=2) == [
            "removed" if each["removed"] else "kept",
            each["path"],
            each["reason"],
        ]
    assert {"path": str(killed.lock_file), "removed": True} in [
        {"path": each["path"], "removed": each["removed"]} for each in rehearsed
    ]
    assert [each["path"] for each in rehearsed if not each["removed"]] == [str(kept.lock_file)]


def test_gc_with_nothing_to_clear_says_so(cli: RunCli) -> None:
    done = cli("gc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing to clear\n")


# ---------------------------------------------------------------------- env and exec


@pytest.mark.parametrize(
    ("shell", "begin"),
    [
        ("sh", "export SAMP_HUB="),
        ("bash", "export SAMP_HUB="),
        ("fish", "set -gx SAMP_HUB "),
        ("csh", "setenv SAMP_HUB "),
    ],
)
def test_env_prints_the_line_for_the_shell(cli: RunCli, farm: Farm, shell: str, begin: str) -> None:
    (hub,) = farm.start(label="it's $HOME; `x`!")
    done = cli("env", "1", "--shell", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{begin}{hub.samp_hub}\n"
    assert not set(hub.samp_hub) & set(" '\"$;`!\\")


def test_env_read_by_a_shell_leads_to_the_hub(home: Path, farm: Farm) -> None:
    farm.start(label="it's $HOME; `x`!")
    command = f'eval "$({shlex.quote(sys.executable)} -m hubfarm env it)"; printf %s "$SAMP_HUB"'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == (farm.environment("1")["SAMP_HUB"], "")


def test_env_prints_json(cli: RunCli, farm: Farm, two: list[HubInfo]) -> None:
    assert json.loads(cli("env", "mima-2", "--json").stdout) == farm.environment("mima-2")


def test_exec_runs_a_program_on_the_hub_that_was_named(cli: RunCli, farm: Farm, two: list[HubInfo]) -> None:
    done = cli("exec", "mima-2", "--", "sh", "-c", 'echo "$SAMP_HUB"; echo "$HOME"')
    assert done.stdout.splitlines() == [farm.environment("mima-2")["SAMP_HUB"], os.environ["HOME"]]
    assert read_lock_file(farm.paths.by_label / "mima-2")["samp.hub.xmlrpc.url"] == two[1].url


@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_exec_returns_the_programs_exit_code(cli: RunCli, two: list[HubInfo], code: int) -> None:
    assert cli("exec", "mima-1", "--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("dashes", [["--"], []], ids=["with --", "without --"])
def test_exec_leaves_the_programs_options_alone(cli: RunCli, two: list[HubInfo], dashes: list[str]) -> None:
    options = ["--json", "--help", "-h", "--", "--all", ""]
    program = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
    done = cli("exec", "mima-1", *dashes, *program, *options)
    assert (json.loads(done.stdout), done.stderr, done.returncode) == (options, "", 0)


def test_exec_of_no_such_program_is_127_and_of_no_program_126(cli: RunCli, two: list[HubInfo], home: Path) -> None:
    assert_refused(cli("exec", "mima-1", "--", "no-such-program"), 127, "no-such-program")
    plain = home / "plain"
    plain.write_text("no program")
    assert_refused(cli("exec", "mima-1", "--", str(plain)), 126, str(plain))


# ---------------------------------------------------------------------- in the foreground


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_start_in_the_foreground_prints_the_hubs_and_ends_by_signal_leaving_nothing(
    home: Path, farm: Farm, how: signal.Signals
) -> None:
    command = [sys.executable, "-m", "hubfarm", "start", "--foreground", "--count", "2", "--json"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        hubs = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [hub["label"] for hub in hubs] == [hub.label for hub in farm.hubs()] == ["hub-1", "hub-2"]
        assert read_lock_file(Path(hubs[0]["stable_name"]))["samp.hub.xmlrpc.url"] == hubs[0]["url"]
        status = farm.coordinator()
        assert status is not None
        assert status["pid"] == process.pid
        process.send_signal(how)
        assert process.wait(PATIENCE) == 0
    wait_for(lambda: not remains(home), "nothing is left")


def test_second_coordinator_in_the_foreground_is_refused(cli: RunCli, two: list[HubInfo]) -> None:
    done = cli("start", "--foreground")
    assert done.returncode == 1
    assert "a coordinator runs already" in done.stderr.splitlines()[-1]
    assert len(json.loads(cli("ls", "--json").stdout)) == 2


def test_failed_start_in_the_foreground_leaves_nothing(cli: RunCli, home: Path, taken_port: int) -> None:
    done = cli("start", "--foreground", "--port", str(taken_port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert str(taken_port) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    wait_for(lambda: not remains(home), "nothing is left")


# ---------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["start", "--count", "0"], ["count is 0", "1 to 1000"]),
        (["start", "--count", "-1"], ["count is -1"]),
        (["start", "--count", "100000"], ["count is 100000"]),
        (["start", "--count", "abc"], ["--count", "abc"]),
        (["start", "--label", "a/b"], ["a/b", "slash"]),
        (["start", "--label", "a\nb"], [r"a\nb"]),
        (["start", "--label", ".."], [".."]),
        (["start", "--label", "12"], ["12", "letter"]),
        (["start", "--label", "x" * 101], ["label"]),
        (["start", "--owner", "a\nb"], ["owner"]),
        (["start", "--group", "a\x1b[31m"], ["group"]),
        (["start", "--port", "70000"], ["70000"]),
        (["start", "--port", "65535", "--count", "2"], ["65535"]),
        (["start", "--port", "-1"], ["-1"]),
        (["start", "--timeout", "-5"], ["timeout is -5"]),
        (["start", "--timeout", "nan"], ["timeout is nan"]),
        (["start", "--client-timeout", "inf"], ["client-timeout is inf"]),
        (["start", "--limit", "clients=0"], ["clients"]),
        (["start", "--limit", "nonsense=1"], ["nonsense"]),
        (["start", "--foreground", "--count", "0"], ["count is 0"]),
        (["start", "superfluous"], ["superfluous"]),
        (["stop"], ["which hubs"]),
        (["stop", "nonsense"], ["nonsense", "none runs"]),
        (["env", "nonsense"], ["nonsense"]),
        (["env", "x", "--shell", "nonsense"], ["nonsense"]),
        (["env"], ["SELECTOR"]),
        (["exec", "nonsense", "--", "true"], ["nonsense"]),
        (["exec", "mima-1"], ["COMMAND"]),
        (["exec", "mima-1", "--"], ["COMMAND"]),
        (["nonsense"], ["nonsense"]),
        (["--nonsense"], ["--nonsense"]),
        (["ls", "--nonsense"], ["--nonsense"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    cli: RunCli, home: Path, arguments: list[str], words: list[str]
) -> None:
    assert_refused(cli(*arguments), 2, *words)
    assert everything_below(home) == []


def test_label_in_use_is_wrong_use(cli: RunCli, two: list[HubInfo]) -> None:
    assert_refused(cli("start", "--label", "mima-2"), 2, "mima-2", f"{two[1].pid}-{two[1].id}")


def test_ambiguous_selector_is_wrong_use(cli: RunCli, two: list[HubInfo]) -> None:
    for command in (["stop", "mima"], ["env", "mima"], ["exec", "mima", "--", "true"]):
        assert_refused(cli(*command), 2, "mima-1, mima-2")
    assert len(json.loads(cli("ls", "--json").stdout)) == 2


@pytest.mark.parametrize("value", [None, "", "relative/home"])
def test_home_that_is_not_set_or_relative_is_wrong_use(cli: RunCli, home: Path, value: str | None) -> None:
    environment = {key: text for key, text in os.environ.items() if key != "HOME"}
    if value is not None:
        environment["HOME"] = value
    for command in (["start"], ["ls"], ["gc"], ["stop", "--all"]):
        assert_refused(cli(*command, env=environment, cwd=home), 2, "HOME")
    assert everything_below(home) == []


# ---------------------------------------------------------------------- what cannot be done


def test_port_in_use_is_a_failure_that_leaves_nothing(cli: RunCli, home: Path, taken_port: int) -> None:
    assert_refused(cli("start", "--port", str(taken_port)), 1, str(taken_port), "in use")
    wait_for(lambda: not remains(home), "nothing is left")


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-host.invalid", "300.1.1.1"])
def test_host_that_is_not_ours_is_a_failure_that_leaves_nothing(cli: RunCli, home: Path, address: str) -> None:
    assert_refused(cli("start", "--host", address), 1, address)
    wait_for(lambda: not remains(home), "nothing is left")


def test_lock_directory_that_is_a_file_is_a_failure(cli: RunCli, home: Path) -> None:
    (home / ".samp-1").write_text("mine")
    for command in (["start"], ["ls"], ["gc"], ["stop", "--all"], ["start", "--foreground"]):
        assert_refused(cli(*command), 1, str(home / ".samp-1"))
    assert everything_below(home) == [home / ".samp-1"]
    assert (home / ".samp-1").read_text() == "mine"


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_lock_directory_that_others_can_write_is_refused(cli: RunCli, home: Path, mode: int) -> None:
    (home / ".samp-1").mkdir()
    (home / ".samp-1").chmod(mode)
    for command in (["start"], ["start", "--foreground"]):
        assert_refused(cli(*command), 1, f"chmod go-w {home / '.samp-1'}")
    assert everything_below(home) == [home / ".samp-1"]


@pytest.fixture
def powerless(home: Path) -> Callable[..., Done]:
    """Runs `hubfarm` with root's power taken away to write where the mode forbids it."""
    prefix = []
    if os.getuid() == 0:
        prefix = [need("setpriv"), "--bounding-set", "-dac_override,-dac_read_search"]

    def run(*arguments: str) -> Done:
        command = [*prefix, sys.executable, "-m", "hubfarm", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)

    return run


def test_home_that_cannot_be_written_is_a_failure(powerless: Callable[..., Done], home: Path) -> None:
    home.chmod(0o500)
    for command in (["start"], ["start", "--foreground"]):
        assert_refused(powerless(*command), 1, str(home / ".samp-1"), "Permission denied")
    assert everything_below(home) == []


def test_lock_directory_that_cannot_be_written_is_a_failure(powerless: Callable[..., Done], home: Path) -> None:
    directory = home / ".samp-1"
    directory.mkdir(mode=0o500)
    assert_refused(powerless("start"), 1, f"chmod u+wx {directory}")
    assert everything_below(home) == [directory]


def test_lock_directory_that_cannot_be_read_is_a_failure(powerless: Callable[..., Done], home: Path) -> None:
    directory = home / ".samp-1"
    directory.mkdir(mode=0o300)
    for command in (["ls"], ["stop", "--all"], ["gc"]):
        assert_refused(powerless(*command), 1, str(directory), "Permission denied")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's directory")
def test_lock_directory_of_another_user_is_refused(cli: RunCli, home: Path) -> None:
    (home / ".samp-1").mkdir()
    os.chown(home / ".samp-1", NOBODY, NOBODY)
    assert_refused(cli("start"), 1, str(home / ".samp-1"), f"belongs to user {NOBODY}")
    assert everything_below(home) == [home / ".samp-1"]


@pytest.mark.parametrize("name", ["by_label", "logs", "guards", "scratch"])
def test_file_in_place_of_a_directory_of_the_farm_is_a_failure(cli: RunCli, paths: Paths, name: str) -> None:
    directory: Path = getattr(paths, name)
    directory.rmdir()
    directory.write_text("mine")
    before = everything_below(paths.home)
    assert_refused(cli("start"), 1, str(directory))
    assert everything_below(paths.home) == before
    assert directory.read_text() == "mine"


@pytest.mark.parametrize("name", ["control_socket", "coordinator_guard", "start_guard", "mutex", "state_table"])
def test_directory_in_place_of_a_file_of_the_farm_is_a_failure(
    cli: RunCli, paths: Paths, name: str, home: Path
) -> None:
    obstacle: Path = getattr(paths, name)
    obstacle.mkdir()
    assert_refused(cli("start"), 1, str(obstacle))
    wait_for(lambda: not remains(home), "nothing is left")
    assert obstacle.is_dir()


@pytest.mark.parametrize(
    ("place", "code"),
    [("/proc/self/fdinfo/none", 1), ("/dev/null", 1), ("relative", 2), ("/tmp/" + "long/" * 30, 2)],
)
def test_runtime_directory_that_cannot_be_used_is_a_clear_line(cli: RunCli, home: Path, place: str, code: int) -> None:
    done = cli("start", env=os.environ | {"HUBFARM_RUNTIME_DIR": place}, cwd=home)
    assert_refused(done, code, place.rstrip("/"))
    assert remains(home) == []


def test_runtime_directory_elsewhere_holds_all_but_the_lock_files(cli: RunCli, home: Path) -> None:
    runtime = home / "runtime"
    environment = os.environ | {"HUBFARM_RUNTIME_DIR": str(runtime)}
    (hub,) = json.loads(cli("start", "--json", env=environment).stdout)
    assert Path(hub["stable_name"]).is_relative_to(runtime)
    assert [path.name for path in (home / ".samp-1").iterdir()] == [Path(hub["lock_file"]).name]
    assert cli("stop", "--all", "--coordinator", env=environment).stdout == "stopped hub-1\n"
    wait_for(lambda: not remains(home), "nothing is left")


@pytest.mark.parametrize("name", ["hub-1.log", "coordinator.log", "coordinator.out"])
def test_log_that_cannot_be_written_is_a_failure(cli: RunCli, paths: Paths, home: Path, name: str) -> None:
    (paths.logs / name).mkdir()
    assert_refused(cli("start"), 1, "cannot", str(paths.logs / name))
    wait_for(lambda: not remains(home), "nothing is left")


def test_coordinator_that_is_killed_while_it_starts_hubs_is_a_clear_failure(home: Path, farm: Farm) -> None:
    command = [sys.executable, "-m", "hubfarm", "start", "--count", "200"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(farm.hubs, "the first hub serves")
        status = farm.coordinator()
        assert status is not None
        os.kill(status["pid"], signal.SIGKILL)
        output, errors = process.communicate(timeout=PATIENCE)
    assert_refused(subprocess.CompletedProcess(command, process.returncode, output, errors), 1, "coordinator")
    wait_for(lambda: not farm.stop(everything=True) and not processes_of(home), "what had started can be stopped")


def test_interrupted_command_says_so(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start(label="h")
    with StuckReceiver() as stuck:
        stuck.join_by(hub.lock_file, "stuck", "test.*")
        receiver.join_by(hub.lock_file)
        receiver.hub.notify(receiver.key, stuck.id, message("test.it"))
        command = [sys.executable, "-m", "hubfarm", "drain", "h"]
        with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_for(lambda: farm.find("h").state == "draining", "it waits for the stuck client")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors.strip()) == (130, "", "hubfarm: interrupted")
