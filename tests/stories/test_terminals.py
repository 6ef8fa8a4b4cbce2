"""What others choose never commands the terminal of a person who looks at it: names, labels, paths, answers, logs."""

import ast
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm import Message, SAMPHubServer, SAMPIntegratedClient
from hubfarm.cli import show
from hubfarm.farm import Farm
from hubfarm.registry.history import End, record_end
from hubfarm.registry.paths import Paths
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.visible import visible
from tests.client.client_support import hub
from tests.conftest import RunCli
from tests.registry.registry_support import FOREIGN_URL
from tests.support import PATIENCE, running, wait_for

__all__ = ["hub"]

HOSTILE = "a\x1b[31m\x9b2J\u202eb\u2066\u200b\x07\x7f\u2028 [bold]c[/bold] [/]"
"""Colours, a C1 control, text turned around, what is invisible, a bell; and what rich would take for markup."""

SHOWN = r"a\x1b[31m\x9b2J\u202eb\u2066\u200b\x07\x7f\u2028 [bold]c[/bold] [/]"


def assert_fit_to_be_seen(text: str) -> None:
    assert "\ufffd" not in text
    for line in text.split("\n"):
        assert line.replace("\t", "").isprintable(), ascii(line)


# ---------------------------------------------------------------------- the one function


@given(st.text())
def test_everything_is_printable_and_what_was_so_stays(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert (shown == text) is text.isprintable()
    assert visible(shown) == shown


def test_every_command_prints_by_it() -> None:
    rooms = [path for path in Path(show.__file__).parent.glob("*.py") if path.name not in ("show.py", "errors.py")]
    assert len(rooms) > 10
    for path in rooms:
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert {ast.unparse(each) for each in calls} & {
            "print",
            "click.echo",
            "click.secho",
            "sys.stdout.write",
        } == set()


# ---------------------------------------------------------------------- lock files of others


@pytest.fixture
def foreign(paths: Paths) -> Path:
    """The lock file of a foreign hub that does not answer, with hostile names."""
    path = paths.lockdir / "samp-hub-1-1"
    names = "".join(f"{key}={HOSTILE.replace(chr(0x2028), '')}\n" for key in ("hub.label", "hub.owner.name"))
    path.write_text(f"samp.secret=x\nsamp.hub.xmlrpc.url={FOREIGN_URL}\nsamp.profile.version=1.3\n{names}")
    return path


def test_ls_shows_what_a_foreign_hub_calls_itself(foreign: Path, cli: RunCli) -> None:
    done = cli("ls", "--all")
    assert_fit_to_be_seen(done.stdout)
    assert SHOWN.replace(r"\u2028", "") in done.stdout
    told = cli("ls", "--all", "--json").stdout
    assert told.isascii()
    assert json.loads(told)[0]["label"] == HOSTILE.replace("\u2028", "")


def test_paths_that_are_no_text_are_shown_too(paths: Paths, cli: RunCli) -> None:
    os.mkdir(os.fsencode(paths.lockdir) + b"/samp-hub-\xff\x1b[31m")
    for command in (["ls", "--all"], ["gc"]):
        done = cli(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert_fit_to_be_seen(done.stdout)
    assert r"samp-hub-\udcff\x1b[31m" in cli("gc").stdout


def test_a_problem_tells_what_is_in_the_file_as_it_can_be_seen(paths: Paths, cli: RunCli) -> None:
    text = f"samp.secret=x\nsamp.hub.xmlrpc.url=http://[{HOSTILE}\nsamp.profile.version=1.3\n"
    (paths.lockdir / "samp-hub-1-1").write_text(text)
    done = cli("ls", "--all")
    assert_fit_to_be_seen(done.stdout)
    assert "none of a hub" in done.stdout


# ---------------------------------------------------------------------- clients and their messages


@pytest.fixture
def stranger(hub: SAMPHubServer) -> Iterator[SAMPIntegratedClient]:
    """A client whose every word is hostile."""
    with SAMPIntegratedClient(HOSTILE, HOSTILE, {f"x.{HOSTILE}": [HOSTILE]}) as one:

        @one.on_call("my.text")
        def refuse(message: Message) -> dict[str, object]:
            return {"samp.status": "samp.error", "samp.error": {"samp.errortxt": HOSTILE}}

        @one.on_call("my.answer")
        def answer(message: Message) -> dict[str, str]:
            return {HOSTILE: HOSTILE}

        one.connect(hub)
        yield one


@pytest.fixture(autouse=True)
def _xml_can_carry_it(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    # XML has no place for ESC and BEL: what remains is hostile enough.
    if "stranger" in request.fixturenames:
        for name in ("HOSTILE", "SHOWN"):
            text = globals()[name]
            for each in ("\x1b", "\x07", r"\x1b", r"\x07"):
                text = text.replace(each, "")
            monkeypatch.setitem(globals(), name, text)


def test_clients_and_their_metadata_are_shown(stranger: SAMPIntegratedClient, cli: RunCli) -> None:
    for options in ([], ["-v"]):
        done = cli("clients", "mine", *options)
        assert_fit_to_be_seen(done.stdout)
        assert SHOWN in done.stdout
    assert cli("clients", "mine", "--json").stdout.isascii()


def test_answers_and_errors_are_shown(stranger: SAMPIntegratedClient, cli: RunCli) -> None:
    done = cli("send", "mine", "my.answer", "--call")
    assert_fit_to_be_seen(done.stdout + done.stderr)
    assert done.stdout.count(SHOWN) == 3  # its name, and what it answered
    done = cli("send", "mine", "my.text", "--call")
    assert done.returncode == 1
    assert_fit_to_be_seen(done.stdout + done.stderr)
    assert SHOWN.replace(r"\u2028 ", " ") in done.stderr
    done = cli("ping", "mine", "nobody")
    assert_fit_to_be_seen(done.stderr)
    assert SHOWN.replace(r"\u2028 ", " ") in done.stderr


def test_messages_are_shown_as_they_pass(hub: SAMPHubServer, stranger: SAMPIntegratedClient) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "snoop", "mine", "my.*"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        stranger.enotify_all("my.text", text=HOSTILE)
        line = process.stdout.readline()
    assert_fit_to_be_seen(line)
    assert SHOWN in line


# ---------------------------------------------------------------------- logs and the history


def test_logs_are_shown_line_by_line(paths: Paths, cli: RunCli) -> None:
    (paths.logs / "mima.log").write_text(f"one {HOSTILE}\ntwo\r\n\xff")
    done = cli("logs", "mima")
    assert done.stdout == f"one {SHOWN}\ntwo\\r\n\xff\n"


def test_what_is_logged_is_fit_to_be_seen_by_whatever_shows_the_file(home: Path) -> None:
    code = f"""
from pathlib import Path
from hubfarm.registry.logs import log_to
from loguru import logger
log_to(Path({str(home / "log")!r}), "who", "INFO")
logger.info({HOSTILE + chr(13)!r} + "\\nits log ends:")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
    text = (home / "log").read_text()
    assert_fit_to_be_seen(text)
    assert f"{SHOWN}\\r\nits log ends:" in text


def test_the_history_is_shown(paths: Paths, cli: RunCli) -> None:
    record_end(paths, HubSpec(id=1, label="mima"), 1, End.FAILED, f"died\n{HOSTILE}", 1.0)
    for command in (["history"], ["ls", "--all"]):
        done = cli(*command)
        assert_fit_to_be_seen(done.stdout)
        assert SHOWN in done.stdout


# ---------------------------------------------------------------------- on a terminal


def on_a_terminal(*arguments: str, until: Callable[[str], bool]) -> str:
    """Run a command of hubfarm on a terminal until what it shows fits; return that."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
        os.execv(sys.executable, [sys.executable, "-m", "hubfarm", *arguments])
    shown = b""
    deadline = time.monotonic() + PATIENCE
    try:
        while not until(shown.decode(errors="replace")):
            assert time.monotonic() < deadline, shown
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError:
                    break
                if b"\x1b[6n" in shown:  # it asks where its cursor is
                    os.write(terminal, b"\x1b[1;1R")
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return shown.decode(errors="replace")


TURNED = "x\u202ey\u200bz"
"""What a label of ours may hold: no control character."""


def test_choosing_and_watching_show_labels_as_they_can_be_seen(home: Path) -> None:
    with SAMPHubServer(mode="multiple", label=f"one{TURNED}"), SAMPHubServer(mode="multiple", label=f"two{TURNED}"):
        shown = on_a_terminal("choose", until=lambda text: r"twox\u202ey\u200bz" in text)
        assert TURNED not in shown
        shown = on_a_terminal("top", until=lambda text: r"twox\u202ey\u200bz" in text)
        assert TURNED not in shown


def test_a_bar_shows_labels_as_they_can_be_seen_and_takes_none_for_markup(farm: Farm) -> None:
    label = f"[/b][red]{TURNED}"
    try:
        shown = on_a_terminal(
            "start", "--count", "3", "--label", label.replace("/", ""), until=lambda text: "eval" in text
        )
    finally:
        wait_for(lambda: len(farm.hubs()) == 3, "they run")
    assert TURNED not in shown
    assert r"[b][red]x\u202ey\u200bz-1" in shown
    assert len(farm.hubs()) == 3
