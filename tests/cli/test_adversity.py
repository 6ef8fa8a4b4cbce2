"""Commands on a bad day: full disks, readers that have gone, streams that are closed, answers that are errors."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfarm import Message, SAMPHubServer, SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.client.client_support import hub
from tests.conftest import RunCli, processes_of
from tests.registry.registry_support import ASTROPY, FOREIGN_URL
from tests.support import PATIENCE, ROOT, need_module, running, wait_for

__all__ = ["hub"]

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def two(farm: Farm) -> list[HubInfo]:
    return farm.start(count=2, group="mima")


@pytest.fixture
def shell(home: Path) -> Shell:
    """Run a line in a shell, in which ``hubfarm`` is ours."""

    def run(line: str) -> "subprocess.CompletedProcess[str]":
        function = f'hubfarm() {{ {shlex.quote(sys.executable)} -m hubfarm "$@"; }}\n'
        return subprocess.run(["bash", "-c", function + line], capture_output=True, text=True, timeout=PATIENCE * 2)

    return run


READERS = [
    "ls",
    "ls --all",
    "ls --json",
    "gc",
    "status",
    "history",
    "env mima-1",
    "clients mima-1 -v",
    "ping mima-1",
    "logs mima-1",
    "top --once --interval 0.1",
    "--help",
    "ls --help",
    "--version",
]


# ---------------------------------------------------------------------- where output goes


@pytest.mark.parametrize("command", READERS)
def test_output_that_cannot_be_written_is_said_in_one_line(two: list[HubInfo], shell: Shell, command: str) -> None:
    Farm().stop(["mima-2"])  # so that there is a history too
    done = shell(f"hubfarm {command} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "hubfarm: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("closing", [">&-", "<&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_closed_streams_disturb_no_command(two: list[HubInfo], shell: Shell, closing: str) -> None:
    for command in READERS:
        done = shell(f"hubfarm {command} {closing}")
        assert "unexpected" not in done.stdout + done.stderr, command
        assert "Traceback" not in done.stderr
        assert done.returncode == ("full" in closing), command


def test_what_takes_the_place_of_a_closed_stream_is_no_file_of_ours(farm: Farm, home: Path, shell: Shell) -> None:
    done = shell("hubfarm start --label mima <&- >&- 2>&-; hubfarm ls")
    assert "mima" in done.stdout
    for path in farm.paths.runtime.rglob("*"):
        assert path.is_dir() or path.is_symlink() or not path.is_file() or b"UPTIME" not in path.read_bytes()


def test_names_that_the_terminals_encoding_lacks_are_written_out(farm: Farm, cli: RunCli) -> None:
    farm.start(label="größe 漢")
    for encoding, shown in (("latin-1", "größe \\u6f22"), ("utf-8", "größe 漢")):
        done = cli("ls", env=os.environ | {"PYTHONIOENCODING": encoding}, encoding=encoding, text=None)
        assert (done.returncode, shown in done.stdout) == (0, True), done


# ---------------------------------------------------------------------- readers that have gone


@pytest.mark.parametrize("command", ["snoop mima-1 'my.*'", "logs mima-1 -n 0 -f"])
def test_command_that_waits_ends_when_nobody_reads_it(two: list[HubInfo], home: Path, command: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m hubfarm {command} | {{ read line; }}"
    # The reader has gone after a line; here after none, as its input ends.
    line = line.replace("{ read line; }", "{ exec 0<&-; sleep 0.1; }")
    begun = time.monotonic()
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE)
    assert time.monotonic() - begun < PATIENCE
    assert "Traceback" not in done.stderr
    wait_for(lambda: not _runs(home, command.split()[0]), "it has ended")


def test_snoop_ends_after_the_line_that_head_wanted(hub: SAMPHubServer, home: Path) -> None:
    line = f"{shlex.quote(sys.executable)} -u -m hubfarm snoop mine 'my.*' | head -1"
    with (
        SAMPIntegratedClient("one") as one,
        running("sh", "-c", line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        one.connect(hub)
        one.enotify_all("my.text", text="first")
        output, errors = process.communicate(timeout=PATIENCE)
    assert '{"text": "first"}' in output
    assert "Traceback" not in errors


def _runs(home: Path, command: str) -> bool:
    return any(command in process.cmdline() for process in processes_of(home))


# ---------------------------------------------------------------------- what others answer


@pytest.fixture
def good(hub: SAMPHubServer) -> Iterator[SAMPIntegratedClient]:
    with SAMPIntegratedClient("good") as one:
        one.on_call("my.text")(lambda message: {"text": "taken"})
        one.connect(hub)
        yield one


@pytest.fixture
def bad(hub: SAMPHubServer) -> Iterator[SAMPIntegratedClient]:
    with SAMPIntegratedClient("bad") as one:

        @one.on_call("my.text")
        def refuse(message: Message) -> dict[str, object]:
            return {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "no such table"}}

        one.connect(hub)
        yield one


def test_call_that_was_answered_by_an_error_alone_fails_and_says_so(bad: SAMPIntegratedClient, cli: RunCli) -> None:
    for to in ([], ["--to", "bad"]):
        done = cli("send", "mine", "my.text", "--call", *to)
        said = f"bad ({bad.get_public_id()}) answered with an error: no such table"
        assert (done.returncode, done.stderr) == (1, f"hubfarm: nobody answered well: {said}\n")
        assert '"samp.error"' in done.stdout
    assert cli("send", "mine", "my.text").returncode == 0  # nobody was asked for an answer


def test_call_that_somebody_answered_well_succeeds_and_says_who_did_not(
    good: SAMPIntegratedClient, bad: SAMPIntegratedClient, cli: RunCli
) -> None:
    done = cli("send", "mine", "my.text", "--call")
    assert done.returncode == 0
    assert done.stderr == f"hubfarm: bad ({bad.get_public_id()}) answered with an error: no such table\n"
    assert len(done.stdout.splitlines()) == 2


def test_call_that_nobody_answers_in_time_fails(hub: SAMPHubServer, cli: RunCli) -> None:
    with SAMPIntegratedClient("silent") as one:
        one.bind_receive_call("my.text", lambda *_: None)
        one.connect(hub)
        done = cli("send", "mine", "my.text", "--call", "--wait", "1")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"nobody answered well: silent ({one.get_public_id()}): " in done.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300"])
def test_waits_that_are_no_time_spans_are_wrong_use(hub: SAMPHubServer, cli: RunCli, value: str) -> None:
    for command in (["ping", "mine"], ["send", "mine", "samp.app.ping", "--call"], ["load", "mine", "/dev/null"]):
        done = cli(*command, "--wait", value)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--wait is {float(value):g}" in done.stderr


def test_clients_asks_the_hub_alone_what_it_knows(hub: SAMPHubServer, cli: RunCli) -> None:
    with SAMPIntegratedClient("liar") as liar:
        liar.on_call("*")(lambda message: {"clients": "none"})
        liar.connect(hub)
        done = cli("clients", "mine")
        assert (done.returncode, done.stderr) == (0, "")
        assert "liar" in done.stdout


def test_clients_verbose_is_no_wider_than_what_it_shows(good: SAMPIntegratedClient, cli: RunCli) -> None:
    lines = cli("clients", "mine", "-v").stdout.splitlines()
    assert max(map(len, lines)) < 160
    assert all(line == line.rstrip() for line in lines)
    assert any(line.endswith("samp.name: good") for line in lines)


@pytest.mark.parametrize(
    "source",
    ["http://[::1", "http://a..b/", "http://127.0.0.1:9/", "file:///nonexistent", "file://x/", "/tmp", "", "x"],
)
def test_what_cannot_be_loaded_is_wrong_use(hub: SAMPHubServer, cli: RunCli, source: str) -> None:
    done = cli("load", "mine", source)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot read {source}" in done.stderr


def test_file_of_no_known_kind_is_wrong_use(hub: SAMPHubServer, cli: RunCli, tmp_path: Path) -> None:
    need_module("astropy")
    (tmp_path / "notes").write_text("no table\n")
    done = cli("load", "mine", str(tmp_path / "notes"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"cannot read {tmp_path / 'notes'} as a table: " in done.stderr


# ---------------------------------------------------------------------- hubs that are not ours to end


def test_a_foreign_hub_is_known_and_not_ended(hub: SAMPHubServer, home: Path, cli: RunCli) -> None:
    text = ASTROPY.replace(FOREIGN_URL, hub.params["samp.hub.xmlrpc.url"])
    for path in (home / ".samp", home / ".samp-1" / "samp-hub-4711-1"):
        path.write_text(text)
        for command in ("stop", "drain", "restart"):
            done = cli(command, str(path))
            assert (done.returncode, done.stdout) == (2, "")
            assert "is foreign" in done.stderr, done.stderr
        path.unlink()


def test_lock_file_may_be_named_by_any_path_that_leads_to_it(farm: Farm, home: Path, cli: RunCli) -> None:
    (hub,) = farm.start(label="mima")
    (home / ".samp").symlink_to(farm.paths.by_label / "mima")
    for path in ("./.samp", str(home / ".samp"), str(hub.lock_file), str(farm.paths.by_label / "mima")):
        assert cli("env", path, cwd=home).stdout == f"export SAMP_HUB={hub.samp_hub}\n"


def test_an_embedded_hub_is_not_drained_which_would_kill_its_program(hub: SAMPHubServer, cli: RunCli) -> None:
    done = cli("drain", "mine")
    assert (done.returncode, "embedded in the process" in done.stderr) == (2, True)
    assert hub.is_running


def test_logs_of_a_coordinator_that_never_ran_are_said_to_be_missing(cli: RunCli, home: Path) -> None:
    done = cli("logs", "coordinator")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hubfarm: no coordinator has run yet")
    assert list(home.iterdir()) == []


def test_logs_of_hubs_that_log_elsewhere_say_so(hub: SAMPHubServer, cli: RunCli) -> None:
    done = cli("logs", "mine")
    assert (done.returncode, "the hub mine is embedded, and logs elsewhere" in done.stderr) == (2, True)
    assert cli("logs", "x" * 5000).returncode == 2


# ---------------------------------------------------------------------- what has ended


def test_ls_all_says_of_what_kind_an_ended_hub_was_and_why_it_ended(home: Path, cli: RunCli, farm: Farm) -> None:
    farm.start(label="ours")
    farm.stop(["ours"])
    with SAMPHubServer(mode="multiple", label="inside"):
        pass
    sampy = [sys.executable, str(ROOT / "bin" / "sampy.py"), "--multi", "--label", "alone"]
    with running(*sampy, stderr=subprocess.PIPE) as process:
        wait_for(lambda: [hub.label for hub in farm.hubs()] == ["alone"], "it serves")
        process.terminate()
        process.communicate(timeout=PATIENCE)
    head, *rows = cli("ls", "--all").stdout.splitlines()
    assert head.split()[-1] == "WHY"
    told = {row.split()[1]: (row.split()[2:4], row[head.index("URL") :].split()[0], row) for row in rows}
    assert {label: kind for label, (kind, *_) in told.items()} == {
        "ours": ["stopped", "farm"],
        "inside": ["stopped", "embedded"],
        "alone": ["stopped", "standalone"],
    }
    assert {url for _, url, _ in told.values()} == {"-"}, "there is no URL, and no other thing in its place"
    assert all("by " in row[head.index("WHY") :] for *_, row in told.values())


def test_history_of_an_earlier_release_or_damaged_by_somebody_is_read(farm: Farm, cli: RunCli, home: Path) -> None:
    farm.start(label="ours")
    farm.stop(["ours"])
    line = farm.paths.history.read_text()
    damaged = [
        line.replace('"kind": "farm"', '"else": "farm"'),
        line.replace('"uptime": ', '"uptime": 1e400, "x": '),
        line.replace('"pid": ', '"pid": "one", "x": '),
        line.replace('"how"', '"who"'),
        line.replace('"time": "', '"time": "once '),
        "[" * 100_000 + "\n",
        "null\n",
    ]
    farm.paths.history.write_text("".join(damaged))
    for command in (["history"], ["ls", "--all"], ["history", "--json"]):
        done = cli(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "ours" in done.stdout
    assert [(ending.label, ending.kind) for ending in farm.history()] == [("ours", "farm")]
