"""The 2008 command ``sampy.py``: one hub in the foreground, in single and in multi mode."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xmlrpc.client import Fault, ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from hubfarm.farm import Farm
from hubfarm.version import __version__
from tests.conftest import RunCli, remains
from tests.support import PATIENCE, ROOT, Receiver, installed, message, read_lock_file, wait_for

LAUNCHER = [sys.executable, str(ROOT / "bin" / "sampy.py")]

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def sampy(home: Path) -> Run:
    """Start ``sampy.py`` as a user would: ``sampy("--multi")``."""

    def run(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*LAUNCHER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


@pytest.fixture
def single(home: Path) -> Path:
    """The standard's lock file."""
    return home / ".samp"


@pytest.fixture
def foreign_hub(single: Path) -> Iterator[SimpleXMLRPCServer]:
    """A hub that is not ours, with its lock file at ``~/.samp``."""
    with SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
        server.register_function(lambda: "", "samp.hub.ping")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        single.write_text(f"samp.secret=theirs\nsamp.hub.xmlrpc.url={url}\nsamp.profile.version=1.3\n")
        yield server
        server.shutdown()
        thread.join()


def wait_for_file(path: Path) -> dict[str, str]:
    wait_for(path.exists, f"{path} appears")
    return read_lock_file(path)


def multi_files(home: Path) -> list[Path]:
    return sorted((home / ".samp-1").glob("samp-hub-*"))


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(how)
    process.communicate(timeout=PATIENCE)
    return process.returncode


def assert_refused(process: subprocess.Popen[str], code: int, *words: str) -> None:
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (code, ""), errors
    (line,) = errors.splitlines()
    assert line.startswith("sampy.py: ")
    assert "failed unexpectedly" not in line
    for word in words:
        assert word in line


# ---------------------------------------------------------------------- single mode


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_single_hub_serves_at_home_until_a_signal_ends_it(
    sampy: Run, single: Path, home: Path, receiver: Receiver, how: signal.Signals
) -> None:
    process = sampy()
    tokens = wait_for_file(single)
    assert single.stat().st_mode & 0o777 == 0o600
    assert tokens["hubfarm.pid"] == str(process.pid)
    receiver.join_by(single, "receiver", "samp.hub.event.shutdown")
    assert end(process, how) == 0
    assert receiver.next().params[2] == message("samp.hub.event.shutdown")
    assert not single.exists()
    assert remains(home) == []


def test_single_hub_takes_the_lock_file_that_samp_hub_names(
    sampy: Run, single: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = home / "a lock file"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:file://{home}/a%20lock%20file")
    process = sampy()
    wait_for_file(named)
    assert not single.exists()
    assert end(process) == 0
    assert not named.exists()


@pytest.mark.parametrize("value", ["nonsense", "std-lockurl:http://127.0.0.1/lock"])
def test_samp_hub_that_names_no_file_is_wrong_use(sampy: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SAMP_HUB", value)
    assert_refused(sampy(), 2, value.removeprefix("std-lockurl:"))


def test_single_hub_refuses_where_a_hub_of_ours_lives(sampy: Run, single: Path) -> None:
    first = sampy()
    tokens = wait_for_file(single)
    assert_refused(sampy(), 1, str(single), tokens["samp.hub.xmlrpc.url"])
    assert read_lock_file(single) == tokens
    assert end(first) == 0


def test_single_hub_refuses_where_a_foreign_hub_answers(
    sampy: Run, single: Path, foreign_hub: SimpleXMLRPCServer
) -> None:
    before = single.read_text()
    assert_refused(sampy(), 1, str(single), str(foreign_hub.server_address[1]))
    assert single.read_text() == before


def test_single_hub_replaces_the_file_of_a_dead_foreign_hub(
    sampy: Run, single: Path, foreign_hub: SimpleXMLRPCServer
) -> None:
    foreign_hub.shutdown()
    foreign_hub.server_close()
    process = sampy()
    wait_for(lambda: read_lock_file(single)["samp.secret"] != "theirs", "it takes the place")
    assert end(process) == 0


@pytest.mark.parametrize("content", [None, "", "garbage"])
def test_single_hub_replaces_the_file_of_a_killed_hub_and_garbage(
    sampy: Run, single: Path, content: str | None
) -> None:
    if content is None:
        killed = sampy()
        wait_for_file(single)
        end(killed, signal.SIGKILL)
        assert single.exists()
    else:
        single.write_text(content)
    process = sampy()
    wait_for(lambda: f"hubfarm.pid={process.pid}\n" in single.read_text(), "it takes the place")
    assert end(process) == 0
    assert not single.exists()


def test_of_two_at_the_same_instant_on_one_lock_file_one_wins(sampy: Run, single: Path, home: Path) -> None:
    processes = [sampy() for _ in range(3)]
    wait_for(lambda: sum(process.poll() is not None for process in processes) == 2, "all but one give up")
    (winner,) = [process for process in processes if process.poll() is None]
    for process in processes:
        if process is not winner:
            assert_refused(process, 1, str(single), "runs already")
    assert wait_for_file(single)["hubfarm.pid"] == str(winner.pid)
    assert end(winner) == 0
    assert remains(home) == []


# ---------------------------------------------------------------------- multi mode


def test_multi_hub_lies_among_the_hubs_of_the_farm_and_leaves_the_single_one_alone(
    sampy: Run, single: Path, home: Path, foreign_hub: SimpleXMLRPCServer
) -> None:
    process = sampy("--multi")
    (path,) = wait_for(lambda: multi_files(home), "its lock file appears")
    assert path.name.startswith(f"samp-hub-{process.pid}-")
    assert end(process) == 0
    assert multi_files(home) == []
    assert single.exists()


def test_multi_hubs_have_distinct_ids_and_labels(sampy: Run, farm: Farm) -> None:
    farm.start(label="MyHub")
    assert_refused(sampy("--multi", "--label=MyHub"), 2, "MyHub", "in use")
    process = sampy("--multi", "--label=Other")
    wait_for(lambda: len(farm.hubs()) == 2, "it serves")
    assert [(hub.id, hub.label, hub.kind) for hub in farm.hubs()] == [(1, "MyHub", "farm"), (2, "Other", "standalone")]
    assert end(process) == 0


@pytest.mark.parametrize("mode", [["--multi"], []], ids=["multi", "single"])
def test_standalone_hub_is_listed_selected_and_stopped(cli: RunCli, sampy: Run, farm: Farm, mode: list[str]) -> None:
    farm.start(label="farmed")
    process = sampy(*mode, "--label=MyHub", "--owner=luigi", "--group=mima", "--timeout=3600")
    hub = wait_for(
        lambda: next((hub for hub in farm.hubs() if (hub.label, hub.state) == ("MyHub", "running")), None), "it runs"
    )
    assert (hub.kind, hub.state, hub.owner, hub.group, hub.timeout) == ("standalone", "running", "luigi", "mima", 3600)
    assert "standalone" in cli("ls").stdout
    assert cli("env", "My").stdout.startswith("export SAMP_HUB=")
    assert read_lock_file(farm.paths.by_label / "MyHub")["samp.hub.xmlrpc.url"] == hub.url
    assert cli("stop", f"{process.pid}-{hub.id}").stdout == "stopped MyHub\n"
    assert process.wait(PATIENCE) == 0
    assert [hub.label for hub in farm.hubs()] == ["farmed"]


def test_stop_of_all_stops_hubs_of_the_farm_and_standalone_ones(sampy: Run, farm: Farm, home: Path) -> None:
    farm.start(label="farmed")
    processes = [sampy("--multi", f"--label=hub{number}") for number in range(3)]
    wait_for(lambda: len(farm.hubs()) == 4, "all are listed")
    assert sorted(farm.stop(everything=True, coordinator=True)) == ["farmed", "hub0", "hub1", "hub2"]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
    wait_for(lambda: not remains(home), "nothing is left")


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "names",
    [
        "--label --owner --group --timeout --client-timeout --lockfile --addr --port --secret --log-level --log-output",
        "-l -o -g -t -c -f -d -p -k -L -O",
    ],
    ids=["long", "short"],
)
def test_every_option_is_taken_in_single_mode(sampy: Run, farm: Farm, home: Path, names: str) -> None:
    lock_file, log = home / "lock", home / "log"
    values = ["MyHub", "luigi", "mima", "3600", "600", str(lock_file), "127.0.0.2", "0", "xyzzy", "debug", str(log)]
    process = sampy(*(word for option in zip(names.split(), values, strict=True) for word in option))
    tokens = wait_for_file(lock_file)
    assert tokens["samp.secret"] == "xyzzy"
    assert urlsplit(tokens["samp.hub.xmlrpc.url"]).hostname == "127.0.0.2"
    assert [tokens[key] for key in ("samp.hub.label", "samp.hub.owner", "samp.hub.owner_group")] == values[:3]
    assert [tokens[key] for key in ("hubfarm.timeout", "hubfarm.client-timeout")] == ["3600", "600"]
    assert end(process) == 0
    assert "serving at" in log.read_text()
    assert not lock_file.exists()


@pytest.mark.parametrize("option", ["--multi", "-m"])
def test_multi_mode_takes_label_owner_and_group(sampy: Run, home: Path, option: str) -> None:
    process = sampy(option, "-l", "MyHub", "-o", "luigi", "-g", "mima")
    (path,) = wait_for(lambda: multi_files(home), "its lock file appears")
    tokens = read_lock_file(path)
    assert [tokens[f"hub.{key}"] for key in ("label", "owner.name", "owner.group")] == ["MyHub", "luigi", "mima"]
    assert end(process) == 0


def test_unused_hub_ends_by_its_timeout(sampy: Run, home: Path) -> None:
    process = sampy("--multi", "-t", "1", "-L", "OFF")
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (0, "", "")
    assert remains(home) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--multi", "--lockfile", "x"], 2, ["lock file"]),
        (["--port", "70000"], 2, ["70000"]),
        (["--port", "abc"], 2, ["abc"]),
        (["--addr", "192.0.2.1"], 1, ["192.0.2.1"]),
        (["--label", "a/b"], 2, ["a/b"]),
        (["--secret", "a\nb"], 2, ["secret"]),
        (["--timeout", "-1"], 2, ["timeout"]),
        (["--log-level", "nonsense"], 2, ["nonsense"]),
        (["--lockfile", "/dev/null/lock"], 1, ["/dev/null/lock"]),
        (["--lockfile", "/"], 2, ["directory"]),
        (["--log-output", "/dev/null/log"], 1, ["/dev/null/log"]),
        (["--nonsense"], 2, ["--nonsense"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_leaves_nothing(
    sampy: Run, home: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    log = [] if {"--log-level", "--log-output"} & set(arguments) else ["-L", "OFF"]
    assert_refused(sampy(*log, *arguments), code, *words)
    assert remains(home) == []
    assert not (home / ".samp").exists()


@pytest.mark.parametrize("launcher", [LAUNCHER, [installed("sampy.py")]], ids=["bin/sampy.py", "sampy.py"])
def test_help_shows_every_option_and_an_example(home: Path, launcher: list[str]) -> None:
    done = subprocess.run([*launcher, "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    for letter in "mlogtcfdpkLO":
        assert f"  -{letter}, --" in done.stdout
    assert "Example:\n    sampy.py --multi" in done.stdout
    version = subprocess.run([*launcher, "--version"], capture_output=True, text=True, timeout=PATIENCE)
    assert version.stdout == f"sampy.py, version {__version__}\n"


# ---------------------------------------------------------------------- SAMPY's options of 2013


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--ssl-version SSLv3", "SSLv3 has been broken"),
        ("--ssl-version SSLv2", "SSLv2 has been broken"),
        ("--ssl-version TLSv1", "TLSv1 has been broken"),
        ("--ssl-version nonsense", "TLS 1.2 and later are spoken"),
        ("-a berkeley", "hubfarm user add NAME --group GROUP"),
        ("-a none", "there is no users file none"),
        ("-r OWNER", "name one by --owner"),
        ("-r GROUP --access owner", "leave one out"),
        ("--cert-reqs REQUIRED", "say --ca-certs too"),
        ("-C c.pem", "say --tls too"),
    ],
)
@pytest.mark.usefixtures("home")
def test_options_of_sampy_that_cannot_be_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("berkeley").write_bytes(bytes(12) + b"\x61\x15\x06\x00" + bytes(100))
    done = subprocess.run([*LAUNCHER, *words.split()], capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert what in done.stderr


def test_users_file_restriction_and_admin_are_heeded(sampy: Run, single: Path, farm: Farm, tmp_path: Path) -> None:
    farm.users.add("luigi", "Luigi's", groups=["mima"])
    farm.users.add("anna", "Anna's")
    farm.users.add("paul", "Paul's")
    users = tmp_path / "users"
    farm.users.path.rename(users)
    errors = tmp_path / "errors"
    words = ["-a", str(users), "-r", "GROUP", "-g", "mima", "-A", "anna", "-w", "-P", "20", "-E", str(errors)]
    process = sampy(*words, "--ssl-version", "SSLv23")
    tokens = wait_for_file(single)
    for user, password, enters in (("luigi", "Luigi's", True), ("anna", "Anna's", True), ("paul", "Paul's", False)):
        url = tokens["samp.hub.xmlrpc.url"].replace("//", f"//{user}:{password}@")
        with ServerProxy(url) as hub:
            if enters:
                assert hub.samp.hub.register(tokens["samp.secret"])["samp.self-id"]
            else:
                with pytest.raises(Fault, match="none of them"):
                    hub.samp.hub.register(tokens["samp.secret"])
    assert errors.exists()
    process.terminate()
    assert process.wait(PATIENCE) == 0
