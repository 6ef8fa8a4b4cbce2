"""``hubfarm trace`` and ``snoop --all``: what all say to each other, as text and as lines of JSON; and how they end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hubfarm import SAMPHubServer, SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.spec.watching import from_json
from tests.client.client_support import hub, pair
from tests.conftest import RunCli
from tests.support import PATIENCE, Receiver, message, read_lock_file, running, wait_for

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


@contextmanager
def tracing(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command that watches, from when it does."""
    command = [sys.executable, "-u", "-m", "hubfarm", *words]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("watching ")
        yield process


def line_of(process: "subprocess.Popen[str]", *words: str) -> str:
    """Return the next line in which all of these stand."""
    assert process.stdout is not None
    for line in process.stdout:
        if all(word in line for word in words):
            return line
    pytest.fail(f"it has ended before it said {words}")


@pytest.mark.parametrize("command", [("trace", "mine", "--params"), ("snoop", "mine", "--all")])
def test_directed_calls_and_their_answers_are_printed(pair: Pair, command: tuple[str, ...]) -> None:
    one, two = pair
    two.on_call("my.sum")(lambda message: {"sum": "3"})
    two.on_call("my.fail")(lambda message: {}["none"])  # type: ignore[typeddict-item]
    me, other = f"one ({one.get_public_id()})", f"two ({two.get_public_id()})"
    with tracing(*command) as process:
        one.ecall_and_wait(str(two.get_public_id()), "my.sum", 10, a="größe")
        assert line_of(process, "my.sum").rstrip().endswith(f'{me} → {other}  my.sum (callAndWait)  {{"a": "größe"}}')
        assert '{"sum": "3"}' in line_of(process, f"{other} → {me}  my.sum: samp.ok after ")
        one.ecall_and_wait(str(two.get_public_id()), "my.fail", 10)
        assert "my.fail: samp.error" in line_of(process, f"{other} → {me}", "samp.error")


def test_without_params_nobody_reads_what_was_said(pair: Pair) -> None:
    one, two = pair
    two.on_notification("my.text")(lambda message: None)
    with tracing("trace", "mine") as process:
        one.enotify_all("my.text", text="a secret")
        assert "a secret" not in line_of(process, "my.text")


def test_lines_of_json_can_be_read_again_and_are_those_of_the_pattern(pair: Pair) -> None:
    one, two = pair
    two.on_call("my.*")(lambda message: {"sum": "3"})
    words = ["trace", "mine", "my.*", "--json", "--params", "--count", "2"]
    with tracing(*words) as process:
        one.ping()
        one.ecall_and_wait(str(two.get_public_id()), "my.first", 10, a="1")
        one.enotify_all("my.second")
        one.enotify_all("my.third")
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert all(from_json(line) for line in told)
    assert {line["mtype"] for line in told if line["event"] == "sent"} == {"my.first", "my.second"}
    by_kind: dict[str, Any] = {line["event"]: line for line in told}
    assert by_kind["answered"]["response"] == {"samp.status": "samp.ok", "samp.result": {"sum": "3"}}
    assert told[-1]["event"] in ("answered", "arrived")  # what was asked for is settled, and no more is waited for


def test_time_is_up_after_so_many_seconds(hub: SAMPHubServer, cli: RunCli) -> None:
    done = cli("trace", "mine", "--seconds", "0.5", "--json")
    assert (done.returncode, json.loads(done.stdout)["event"]) == (0, "hello")


def test_ctrl_c_ends_it_without_a_word(pair: Pair) -> None:
    with tracing("trace", "mine") as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 130


def test_it_ends_with_its_reader_also_if_nothing_is_said(hub: SAMPHubServer) -> None:
    with tracing("trace", "mine") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_ends_with_its_hub_and_says_so(hub: SAMPHubServer) -> None:
    with tracing("trace", "mine") as process:
        hub.stop()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "the hub mine tells no more: by its program\n"


def test_what_is_no_pattern_or_no_hub_is_wrong_use(hub: SAMPHubServer, cli: RunCli) -> None:
    wrong = ((("mine", "a.*.b"), "subscription"), (("none",), "none"), (("mine", "--count", "0"), "--count"))
    for words, text in wrong:
        done = cli("trace", *words)
        assert (done.returncode, text in done.stderr) == (2, True), done.stderr


def test_clients_and_status_say_that_a_hub_is_watched(hub: SAMPHubServer, cli: RunCli) -> None:
    assert "watched" not in cli("clients", "mine").stderr + cli("status", "mine").stdout
    with tracing("trace", "mine"):
        assert cli("clients", "mine").stderr == "the hub is watched by hubfarm trace\n"
        assert "watched by hubfarm trace" in cli("clients", "mine", "-v").stderr
        assert "by 1; hubfarm clients says who" in cli("status", "mine").stdout
        assert cli("ls", "--format", "{watchers}").stdout == "1\n"
    wait_for(lambda: Farm().find("mine").watchers == 0, "it is not watched any more")


def test_trace_goes_on_over_a_restart_and_a_kill_of_the_hub(farm: Farm) -> None:
    farm.start(label="mine")
    with tracing("trace", "mine", "my.*") as process, Receiver() as receiver:
        assert process.stderr is not None
        receiver.join_by(farm.find("mine").lock_file, "receiver", "my.*")
        for end in (lambda: farm.restart(["mine"]), lambda: kill(farm)):
            end()
            assert process.stderr.readline().startswith("watching ")
            tokens = read_lock_file(farm.find("mine").lock_file)
            with Receiver() as sender:
                sender.join(tokens["samp.hub.xmlrpc.url"], tokens["samp.secret"], "sender")
                sender.hub.notifyAll(sender.key, message("my.text"))
                assert f"sender ({sender.id}) → receiver ({receiver.id})" in line_of(process, "my.text")


def kill(farm: Farm) -> None:
    pid = farm.find("mine").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: [hub for hub in farm.hubs() if hub.label == "mine" and hub.pid != pid and hub.alive], "it is back")
