"""What people look at daily: one hub on a page, logs, the history, the coordinator; what a shell completes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest

from hubfarm.cli.main import hubfarm
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.history import End
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.paths import Paths
from tests.conftest import RunCli
from tests.support import PATIENCE, Receiver, read_lock_file, wait_for


@pytest.fixture
def two(farm: Farm) -> list[HubInfo]:
    return farm.start(count=2, group="mima", owner="luigi")


@pytest.fixture
def topcat(two: list[HubInfo]) -> Iterator[SAMPIntegratedClient]:
    """A client of mima-2 that takes tables."""
    with SAMPIntegratedClient("TOPCAT") as client:
        client.on_call("table.load.votable")(lambda message: {})
        client.connect(label="mima-2")
        yield client


# ---------------------------------------------------------------------- status


def test_status_of_a_hub_is_all_of_it_on_a_page(topcat: SAMPIntegratedClient, farm: Farm, cli: RunCli) -> None:
    wait_for(lambda: farm.find("mima-2").clients == 1, "the hub tells of its client")
    hub = farm.find("mima-2")
    page = cli("status", "mima-2").stdout
    for part in (
        "mima-2: id 2, farm, owner luigi, group mima",
        f"running since {datetime.now():%Y-%m-%d}",
        f"process {hub.pid}",
        f"clients      1: TOPCAT ({topcat.get_public_id()})",
        "queues       0 deliveries wait",
        str(hub.lock_file),
        str(farm.log_file("mima-2")),
        "serving at",
    ):
        assert part in page, page
    told = json.loads(cli("status", "mima-2", "--json").stdout)
    assert told["connected"] == [f"TOPCAT ({topcat.get_public_id()})"]
    assert told["lock_file"] == str(hub.lock_file)


def test_status_of_a_hub_tells_why_it_was_restarted(two: list[HubInfo], farm: Farm, cli: RunCli) -> None:
    wait_for(lambda: (farm.find("mima-1").uptime or 0) > 1, "it has served for a while")
    os.kill(two[0].pid or 0, signal.SIGKILL)
    wait_for(lambda: [hub.restarts for hub in farm.hubs()] == [1, 0], "it has a successor")
    page = cli("status", "mima-1").stdout
    assert "restarts     1" in page
    assert "crashed: killed by SIGKILL" in page
    assert "crashed" not in cli("status", "mima-2").stdout


def test_status_ls_and_top_say_that_the_coordinator_is_dead(two: list[HubInfo], farm: Farm, cli: RunCli) -> None:
    status = farm.coordinator()
    assert status is not None
    os.kill(status["pid"], signal.SIGKILL)
    wait_for(lambda: not farm.coordinator_lives, "it is dead")
    said = "2 hubs have no coordinator to replace what dies: hubfarm coordinator start"
    assert cli("status").returncode == 1
    for command in (["status"], ["ls"], ["top", "--once", "--interval", "0.1"]):
        assert said in cli(*command).stderr
    assert "coordinator  a hub has no coordinator" in cli("status", "mima-1").stdout
    assert "looks after 2 hubs" in cli("coordinator", "start").stdout
    assert cli("ls").stderr == ""


def test_status_says_that_the_codec_is_not_compiled(two: list[HubInfo], home: Path) -> None:
    code = "import sys; sys.modules['hubfarm.samp._codec'] = None; from hubfarm.cli.main import main; main()"
    command = [sys.executable, "-c", code, "status"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert "codec        in Python: no C compiler was at hand" in done.stdout, done.stderr


# ---------------------------------------------------------------------- the coordinator alone


def test_coordinator_starts_alone_and_starts_no_hub(farm: Farm, cli: RunCli) -> None:
    assert "looks after 0 hubs" in cli("coordinator", "start").stdout
    assert farm.hubs() == []
    assert cli("coordinator", "stop").stdout.startswith("ended the coordinator")
    assert cli("coordinator", "stop").stdout == "no coordinator to end\n"


def test_coordinator_is_replaced_under_hubs_that_serve_on(
    topcat: SAMPIntegratedClient, farm: Farm, cli: RunCli
) -> None:
    before, hubs = farm.coordinator(), farm.hubs()
    assert "looks after 2 hubs" in cli("coordinator", "restart").stdout
    after = farm.coordinator()
    assert before is not None
    assert after is not None
    assert before["pid"] != after["pid"]
    assert [hub.pid for hub in farm.hubs()] == [hub.pid for hub in hubs]
    topcat.ping()


# ---------------------------------------------------------------------- what ended, and who asked


def test_history_tells_who_asked(two: list[HubInfo], cli: RunCli, farm: Farm) -> None:
    environment = os.environ | {
        "XDG_SESSION_ID": "42",
        "SSH_CONNECTION": "192.0.2.7 1 192.0.2.1 22",
        "SUDO_USER": "mario",
    }
    cli("stop", "mima-1", env=environment)
    cli("restart", "mima-2", env=environment)
    endings = farm.history()
    assert [ending.how for ending in endings] == [End.STOPPED, End.RESTARTED]
    for ending in endings:
        assert ending.asked_by is not None
        assert ending.asked_by.user.endswith("(sudo by mario)")
        assert ending.asked_by.process.startswith("__main__.py ")
        assert ending.asked_by.session == "session 42, from 192.0.2.7"
    assert "session 42" in cli("history").stdout
    assert json.loads(cli("history", "--json").stdout)[0]["asked_by"]["session"] == "session 42, from 192.0.2.7"
    assert list(farm.paths.asked.iterdir()) == []


def test_nobody_asked_for_a_crash(two: list[HubInfo], farm: Farm) -> None:
    os.kill(two[0].pid or 0, signal.SIGKILL)
    wait_for(farm.history, "it is written down")
    assert farm.history()[0].asked_by is None


def test_history_refuses_a_negative_number(cli: RunCli) -> None:
    done = cli("history", "-n", "-1")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("options", "restarted"),
    [(["--all"], [1, 1, 1]), (["--group", "mima"], [1, 1, 0]), (["--owner", "mario"], [0, 0, 1])],
)
def test_restart_of_all_of_a_group_or_of_an_owner(
    two: list[HubInfo], cli: RunCli, farm: Farm, options: list[str], restarted: list[int]
) -> None:
    farm.start(label="other", owner="mario")
    assert cli("restart", *options).returncode == 0
    assert [hub.restarts for hub in farm.hubs()] == restarted
    assert cli("restart").returncode == 2


@pytest.mark.parametrize(
    "options", [["--json", "--format", "{id}"], ["--json", "--columns", "id"], ["--json", "--watch"]]
)
def test_json_takes_no_other_shape(two: list[HubInfo], cli: RunCli, options: list[str]) -> None:
    done = cli("ls", *options)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_json_is_sorted_too(two: list[HubInfo], cli: RunCli) -> None:
    assert [hub["id"] for hub in json.loads(cli("ls", "--json", "--sort", "-id").stdout)] == [2, 1]


# ---------------------------------------------------------------------- logs


def line(ago: timedelta, level: str, text: str) -> str:
    return f"{datetime.now() - ago:%Y-%m-%d %H:%M:%S}.000 {level:<7} {text}\n"


@pytest.fixture
def logged(paths: Paths) -> Paths:
    """Two logs, one of them rotated."""
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    (paths.logs / "mima.log.1").write_text(line(3 * hour, "INFO", "mima: oldest"))
    (paths.logs / "mima.log").write_text(
        line(2 * hour, "INFO", "mima: old")
        + line(3 * minute, "ERROR", "mima: failed")
        + "Traceback:\n  of it\n"
        + line(minute, "INFO", "mima: new")
    )
    (paths.logs / "coordinator.log").write_text(line(2 * minute, "WARNING", "coordinator: late"))
    return paths


def told(output: str) -> list[str]:
    return [each.rpartition(": ")[2] if ": " in each else each for each in output.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["mima"], ["old", "failed", "Traceback:", "  of it", "new"]),
        (["mima", "-n", "2"], ["  of it", "new"]),
        (["mima", "--since", "10m"], ["failed", "Traceback:", "  of it", "new"]),
        (["mima", "--since", "1d"], ["oldest", "old", "failed", "Traceback:", "  of it", "new"]),
        (["mima", "--since", "1d", "-n", "1"], ["new"]),
        (["mima", "--since", f"{datetime.now() + timedelta(days=1):%Y-%m-%dT%H:%M}"], []),
        (["mima", "--level", "warning"], ["failed", "Traceback:", "  of it"]),
        (["--all", "--since", "150s"], ["late", "new"]),
        (["--all", "--level", "WARNING"], ["failed", "Traceback:", "  of it", "late"]),
    ],
    ids=lambda value: " ".join(value[:3]),
)
def test_logs_of_one_or_all_since_a_time_and_of_a_level(
    logged: Paths, cli: RunCli, options: list[str], expected: list[str]
) -> None:
    done = cli("logs", *options)
    assert (told(done.stdout), done.returncode) == (expected, 0), done.stderr


@pytest.mark.parametrize(
    "wrong",
    [[], ["mima", "--all"], ["mima", "--since", "yesterday"], ["mima", "--level", "LOUD"], ["mima", "-n", "-1"]],
)
def test_logs_refuses_what_it_cannot_know(logged: Paths, cli: RunCli, wrong: list[str]) -> None:
    done = cli("logs", *wrong)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_logs_follows_entries_of_a_level_with_all_their_lines(logged: Paths) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "logs", "mima", "-f", "-n", "1", "--level", "ERROR"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "  of it\n"
        with (logged.logs / "mima.log").open("a") as log:
            now = timedelta()
            log.write(line(now, "INFO", "mima: well") + line(now, "ERROR", "mima: bad") + "its traceback\n")
        assert following.stdout.readline().endswith("mima: bad\n")
        assert following.stdout.readline() == "its traceback\n"
        following.kill()


def test_logs_follows_all_hubs_also_new_and_rotated_ones(logged: Paths) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "logs", "--all", "-f", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline().endswith("mima: new\n")
        with (logged.logs / "mima.log").open("a") as log:
            log.write("half a li")
            log.flush()
            log.write("ne\n")
        assert following.stdout.readline() == "half a line\n"
        (logged.logs / "mima.log").rename(logged.logs / "mima.log.1")
        (logged.logs / "mima.log").write_text("after rotation\n")
        assert following.stdout.readline() == "after rotation\n"
        (logged.logs / "other.log").write_text("another hub\n")
        assert following.stdout.readline() == "another hub\n"
        following.kill()


# ---------------------------------------------------------------------- clients by their names


def snooping(*options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-u", "-m", "hubfarm", "snoop", "mima-2", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("watching" if "--all" in options else "listening")
    return process


def test_snoop_names_clients_and_leaves_our_own_commands_out(topcat: SAMPIntegratedClient, cli: RunCli) -> None:
    with snooping() as process, Receiver() as other:
        assert process.stdout is not None
        cli("clients", "mima-2")
        other.join_by(Farm().find("mima-2").lock_file, "DS9", "my.text")
        topcat.enotify_all("my.text", text="x")
        shown = []
        while not shown or "my.text " not in shown[-1]:
            shown.append(process.stdout.readline())
        process.kill()
    assert f"TOPCAT ({topcat.get_public_id()})  my.text" in shown[-1]
    assert any(f"of DS9 ({other.id})  samp.hub.event.register" in each for each in shown)
    assert not any("hubfarm" in each for each in shown), shown


def test_snoop_shows_our_own_commands_if_asked(topcat: SAMPIntegratedClient, cli: RunCli) -> None:
    with snooping("--all") as process:
        assert process.stdout is not None
        cli("clients", "mima-2")
        assert "  hubfarm (c" in process.stdout.readline()
        process.kill()


def test_snoop_hears_what_load_sends_and_takes_nothing(topcat: SAMPIntegratedClient, cli: RunCli, home: Path) -> None:
    (home / "t.vot").write_text('<VOTABLE version="1.3"/>')
    (home / "i.fits").write_bytes(
        b"SIMPLE  =                    T".ljust(80) + b"NAXIS   =                    2".ljust(80)
    )
    with snooping("table.*") as process:
        assert process.stdout is not None
        done = cli("load", "mima-2", str(home / "t.vot"))
        assert done.stdout == "TOPCAT\ttook the table\n"
        assert "table.load.votable" in process.stdout.readline()
        process.kill()
    with snooping() as process:
        done = cli("load", "mima-2", str(home / "i.fits"))
        assert (done.returncode, done.stderr) == (1, "hubfarm: nobody on the hub mima-2 takes this image\n")
        process.kill()


# ---------------------------------------------------------------------- without astropy


@pytest.mark.parametrize("name", ["astropy", "astropy.table"])
def test_load_without_astropy_says_how_to_install_it(two: list[HubInfo], home: Path, name: str) -> None:
    (home / "t.csv").write_text("a,b\n1,2\n")
    code = f"import sys; sys.modules[{name!r}] = None; from hubfarm.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "load", "mima-2", str(home / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert 'pip install "hubfarm[data]"' in said


def test_a_file_that_is_no_table_is_one_line(two: list[HubInfo], home: Path, cli: RunCli) -> None:
    pytest.importorskip("astropy")
    (home / "notes").write_bytes(os.urandom(4096))
    done = cli("load", "mima-2", str(home / "notes"))
    (said,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert len(said) < 300


# ---------------------------------------------------------------------- what was meant, and what is completed


def test_a_command_that_is_like_none_is_not_guessed_at(cli: RunCli) -> None:
    for typed in ("foo", "xyzzy", "start-all-of-them"):
        assert "did you mean" not in cli(typed).stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("list", "ls"), ("kill", "stop"), ("sotp", "stop"), ("client", "clients"), ("lss", "ls"), ("histroy", "history")],
)
def test_a_command_that_is_nearly_one_is_asked_about(cli: RunCli, typed: str, meant: str) -> None:
    done = cli(typed)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"did you mean {meant}" in done.stderr


def offers(*words: str) -> list[str]:
    """What bash is told for the last of some words: a line an offer."""
    environment = os.environ | {
        "_HUBFARM_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["hubfarm", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = "import sys; from hubfarm.cli.main import main; sys.argv = ['hubfarm']; sys.exit(main())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["env", "mi"], {"mima-1", "mima-2"}),
        (["ls", "--group", "m"], {"mima"}),
        (["stop", "--owner", ""], {"luigi"}),
        (["ping", "mima-2", "T"], {"TOPCAT"}),
        (["send", "mima-2", "table.load.v"], {"table.load.votable"}),
        (["send", "mima-2", "x.y", "--to", "T"], {"TOPCAT"}),
        (["load", "mima-2", "t.vot", "--to", "T"], {"TOPCAT"}),
        (["logs", "c"], {"coordinator"}),
        (["coordinator", ""], {"start", "stop", "restart"}),
        (["ls", "--columns", "label,ur"], {"label,url"}),
        (["ls", "--sort", "cli"], {"clients"}),
        (["env", "nonsense"], set()),
        (["ping", "nonsense", ""], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_shell_completes(topcat: SAMPIntegratedClient, words: list[str], offered: set[str]) -> None:
    assert {offer.partition(",")[2] for offer in offers(*words) if offer} == offered


@pytest.mark.parametrize("words", [["up", ""], ["load", "mima-2", ""]])
def test_a_shell_completes_files(two: list[HubInfo], words: list[str]) -> None:
    assert offers(*words)[0].startswith("file,")


def test_a_watch_in_a_pipe_goes_on_until_nobody_reads(two: list[HubInfo]) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "ls", "--watch", "--format", "{label}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(4)] == ["mima-1\n", "mima-2\n", "\n", "mima-1\n"]
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == ""


def pages(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Yield the help of a command, and of those in it, for a terminal of 60 columns."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=60)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from pages(inner, each, context)


def test_help_wraps_nothing_at_60_columns() -> None:
    wide = {path: line for path, page in pages(hubfarm, "hubfarm") for line in page.splitlines() if len(line) > 60}
    assert wide == {}


def test_top_in_a_pipe_goes_on_if_an_interval_is_asked_for(two: list[HubInfo]) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "top", "--interval", "0.1", "--format", "{label}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(4)] == ["mima-1\n", "mima-2\n", "\n", "mima-1\n"]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


@pytest.mark.parametrize("command", [["ls", "--watch"], ["snoop", "mima-1"], ["logs", "mima-1", "-f"]])
def test_ctrl_c_ends_whatever_goes_on_with_130(two: list[HubInfo], command: list[str]) -> None:
    line = [sys.executable, "-u", "-m", "hubfarm", *command]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # it has begun
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stdout.read()
        assert process.wait(PATIENCE) == 130


def test_nothing_to_list_is_a_line_and_no_bare_header(farm: Farm, cli: RunCli, home: Path) -> None:
    (home / "farm.toml").write_text("")
    assert cli("restart", "--group", "none").stdout == "no hub to restart\n"
    assert cli("history").stderr == "nothing has ended yet\n"
    assert cli("history", "-n", "0").stderr == "no line was asked for (-n 0)\n"
    assert cli("up", str(home / "farm.toml")).stdout.startswith("nothing to do: ")


def test_farm_file_that_is_missing_is_wrong_use(cli: RunCli) -> None:
    for options in ([], ["--foreground"]):
        done = cli("up", "nofile", *options)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "there is no farm file nofile" in done.stderr


def test_upgrade_says_that_there_is_no_coordinator(two: list[HubInfo], farm: Farm, cli: RunCli) -> None:
    farm.end_coordinator()
    assert "2 hubs have no coordinator to replace what dies" in cli("upgrade").stderr
    farm.start_coordinator()
    assert cli("upgrade").stderr == ""


def test_status_says_whom_a_hub_lets_in(two: list[HubInfo], farm: Farm, cli: RunCli) -> None:
    farm.start(label="night", group="mima", access="group", allow=["account:root"])
    assert "lets in      everybody" in cli("status", "mima-1").stdout
    page = cli("status", "night").stdout
    (line,) = [each for each in page.splitlines() if each.startswith("lets in")]
    assert "mima" in line
    assert "account:root" in line


def test_hosts_limits_hold_for_hubs_that_are_started_without(farm: Farm, home: Path) -> None:
    (home / "system.toml").write_text("[limits]\nclients = 20\n")
    farm.start(label="a")
    farm.start(label="b", limits=["clients=30"])
    assert [tokens["hubfarm.limits"] for tokens in map(read_lock_file, lock_files(farm))] == [
        "clients:20",
        "clients:30",
    ]


def lock_files(farm: Farm) -> list[Path]:
    return [hub.lock_file for hub in farm.hubs()]
