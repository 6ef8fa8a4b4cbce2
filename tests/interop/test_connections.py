"""A hub behind the system's sshd, on another host with a firewall; programs that nobody here wrote."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from tests.conftest import processes_of
from tests.interop.test_bridges import JAVA_PATIENCE
from tests.stories.test_two_hosts import HUB, OTHER, hosts, ip  # noqa: F401 - a fixture
from tests.support import need, need_module, running, wait_for

pytestmark = pytest.mark.interop

DOWN = 15.0
"""How long the cable is pulled, seconds: longer than a line may be silent."""

TALKER = """
# A stock client: says how many of its messages were accepted, and hears what the other has sent.
import json, sys, threading, time
from astropy.samp import SAMPIntegratedClient, SAMPProxyError
name, other = sys.argv[1:3]
heard, refused, ended = set(), 0, threading.Event()
client = SAMPIntegratedClient(name=name)
client.connect()
client.bind_receive_notification("my.number", lambda key, sender, mtype, params, extra: heard.add(int(params["n"])))
client.bind_receive_call("my.question", lambda key, sender, msg_id, mtype, params, extra: client.ereply(
    msg_id, "samp.ok", result={"from": name}))
def find():
    for id in client.get_registered_clients():
        if client.get_metadata(id).get("samp.name") == other and "my.number" in client.get_subscriptions(id):
            return id
while (to := find()) is None:
    time.sleep(0.05)
print("ready", flush=True)
sys.stdin.readline()
answer = client.ecall_and_wait(to, "my.question", timeout="20")
accepted, longest = 0, 0.0
threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
while not ended.is_set():
    begun = time.monotonic()
    try:
        client.enotify(to, "my.number", n=str(accepted))
        accepted += 1
    except SAMPProxyError as fault:
        refused += 1
        assert "tel@" in str(fault), fault
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.05)
    time.sleep(0.02)  # what waits for a minute has room at the hub
print(json.dumps([accepted, refused, answer["samp.result"]["from"], longest]), flush=True)
until = int(sys.stdin.readline())
deadline = time.monotonic() + 60
while len(heard) < until and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps(sorted(set(range(until)) - heard)), flush=True)
client.disconnect()
"""


@dataclass(frozen=True)
class TwoHosts:
    """This host and another, each with a home of its own, and the way from here to there."""

    names: tuple[str, str]
    homes: tuple[Path, Path]
    config: Path

    def on(self, host: int, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.names[host], "env", f"HOME={self.homes[host]}", *command]

    def hubfarm(self, host: int, *words: str) -> str:
        line = self.on(host, sys.executable, "-m", "hubfarm", *words)
        done = subprocess.run(line, timeout=90, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def exec(self, host: int, label: str, *command: str) -> list[str]:
        return self.on(host, sys.executable, "-m", "hubfarm", "exec", label, "--", *command)

    @property
    def how(self) -> Sequence[str]:
        remote = f"env HOME={self.homes[1]} {sys.executable} -m hubfarm"
        return ("--ssh", f"ssh -F {self.config}", "--remote-hubfarm", remote)

    def state(self) -> Any:
        (told,) = json.loads(self.hubfarm(0, "connections", "--json"))
        return told["state"]


def let_in(host: str, *rules: str) -> None:
    """Have a host's firewall take in nothing but what belongs to connections of its own, and what is said here."""
    firewall = "add table ip f; add chain ip f i { type filter hook input priority 0; policy drop; }; "
    for rule in ("ct state established accept", "iif lo accept", *rules):
        firewall += f"add rule ip f i {rule}; "
    subprocess.run(["ip", "netns", "exec", host, need("nft"), firewall], check=True, timeout=30)


@pytest.fixture
def two(hosts: tuple[str, str], home: Path, tmp_path: Path) -> Iterator[TwoHosts]:  # noqa: F811
    """Two hosts; on the second runs sshd, and a hub ``tel``."""
    sshd, _, _ = need("/usr/sbin/sshd"), need("ssh"), need_module("astropy.samp")
    let_in(hosts[0])
    let_in(hosts[1], "tcp dport 22 accept")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)], check=True)
    keys = tmp_path / "authorized"
    keys.write_bytes((tmp_path / "user.pub").read_bytes())
    config = tmp_path / "config"
    config.write_text(
        f"Host far\n  HostName {OTHER}\nHost *\n  IdentityFile {tmp_path}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {tmp_path}/known\n  StrictHostKeyChecking accept-new\n  ConnectTimeout 5\n"
    )
    server = tmp_path / "sshd_config"
    server.write_text(
        f"ListenAddress {OTHER}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {keys}\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv {' '.join(f'{name}={os.environ[name]}' for name in os.environ if name.startswith('HUBFARM_'))}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    there = home / "there"
    there.mkdir()
    both = TwoHosts(hosts, (home, there), config)
    with ExitStack() as stack:
        daemon = both.on(1, sshd, "-D", "-e", "-f", str(server))
        stack.enter_context(running(*daemon, stderr=subprocess.DEVNULL))
        listening = ["ip", "netns", "exec", hosts[1], "ss", "-Hltn", "sport = :22"]
        wait_for(lambda: subprocess.run(listening, capture_output=True).stdout, "sshd listens")
        both.hubfarm(1, "start", "--label", "tel")
        try:
            yield both
        finally:
            for host in (0, 1):
                with suppress(AssertionError):
                    both.hubfarm(host, "stop", "--all", "--coordinator", "-y")


def test_the_hub_tester_passes_on_a_hub_behind_ssh(two: TwoHosts) -> None:
    need("jsamp")
    assert "tel@far is here" in two.hubfarm(0, "connect", "ssh://far/tel", *two.how)
    done = subprocess.run(
        two.exec(0, "tel@far", "jsamp", "hubtester"), capture_output=True, text=True, timeout=JAVA_PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_snooper_here_hears_what_is_sent_there_and_reads_the_file_that_it_names(two: TwoHosts, tmp_path: Path) -> None:
    need("jsamp")
    two.hubfarm(0, "connect", "ssh://far/tel", *two.how)
    (tmp_path / "m31.fits").write_text("an image")
    snooper = two.exec(0, "tel@far", "jsamp", "snooper", "-clientname", "Snooper", "-mtype", "image.load.fits")
    with running(*snooper, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: "Snooper" in two.hubfarm(1, "clients", "tel"), "the snooper is on the hub")
        two.hubfarm(1, "send", "tel", "image.load.fits", f"url={(tmp_path / 'm31.fits').as_uri()}")
        assert process.stdout is not None
        line = next(line for line in process.stdout if '"url"' in line)
        url = line.partition('": "')[2].rpartition('"')[0]
        read = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())"
        done = subprocess.run(two.on(0, sys.executable, "-c", read, url), capture_output=True, text=True, timeout=60)
        assert done.stdout == "an image\n", done.stderr


def pull_the_cable(two: TwoHosts, seconds: float) -> None:
    ip("-n", two.names[0], "link", "set", "cable", "down")
    time.sleep(seconds)  # as the cable is pulled for so long
    ip("-n", two.names[0], "link", "set", "cable", "up")


def test_cable_that_is_pulled_under_load_loses_nothing_that_was_accepted(two: TwoHosts) -> None:
    two.hubfarm(0, "connect", "ssh://far/tel", *two.how)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        talkers = []
        for host, label, name, other in ((0, "tel@far", "near", "far"), (1, "tel", "far", "near")):
            command = two.exec(host, label, sys.executable, "-W", "ignore", "-c", TALKER, name, other)
            talkers.append(stack.enter_context(running(*command, **pipes)))

        def say(*what: object) -> None:
            for talker, each in zip(talkers, what, strict=True):
                assert talker.stdin is not None
                talker.stdin.write(f"{each}\n")
                talker.stdin.flush()

        def hear() -> list[Any]:
            return [talker.stdout.readline().strip() for talker in talkers]  # type: ignore[union-attr]

        assert hear() == ["ready", "ready"]
        say("", "")
        before = two.state()
        wait_for(lambda: time.sleep(0.5) or True, "messages cross")  # type: ignore[func-returns-value]
        pull_the_cable(two, float(os.environ.get("HUBFARM_TEST_DOWN", DOWN)))
        wait_for(lambda: two.state()["lost"] > before["lost"], "the line was lost")
        two.hubfarm(0, "connect", "ssh://far/tel", *two.how)
        say("", "")
        (near, refused, from_far, longest), (far, none_refused, from_near, _) = map(json.loads, hear())
        assert (from_far, from_near) == ("far", "near")
        assert (refused > 0, none_refused) == (True, 0)
        assert longest < 15.0  # under way as the line was lost; all others were told at once
        say(far, near)
        assert hear() == ["[]", "[]"]
        print(f"{near} + {far} messages accepted, {refused} refused")


def test_who_has_to_be_asked_is_asked_by_ssh_at_the_terminal_once(two: TwoHosts, tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(tmp_path / "user")]
    subprocess.run(command, check=True, capture_output=True)
    line = two.on(
        0, "env", "-u", "SSH_AUTH_SOCK", sys.executable, "-m", "hubfarm", "connect", "ssh://far/tel", *two.how
    )
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, "Permission denied" in done.stderr) == (1, True), (
        done.stderr
    )  # nobody is there to be asked
    terminal = pexpect.spawn(line[0], line[1:], encoding="utf-8", timeout=60)
    terminal.expect("Enter passphrase for key")
    terminal.sendline("a passphrase")
    terminal.expect("tel@far is here")
    terminal.wait()
    state = two.state()
    psutil.Process(state["pid"]).kill()  # what comes after it asks nobody, and goes by the same connection
    wait_for(lambda: (now := two.state()) and now["up"] and now["pid"] != state["pid"], "the connection is there again")
    two.hubfarm(0, "disconnect", "tel@far")
    mark = Path(os.environ["HOME"])
    wait_for(lambda: not [each for each in processes_of(mark) if each.name() == "ssh"], "no ssh of ours is left")


def test_share_of_a_hub_behind_a_firewall_is_here_over_tls(two: TwoHosts) -> None:
    rule = "add rule ip f i tcp dport 40001 accept"
    subprocess.run(["ip", "netns", "exec", two.names[1], need("nft"), rule], check=True, timeout=30)
    line = two.on(1, sys.executable, "-m", "hubfarm", "user", "add", "luigi", "--password-file", "-")
    subprocess.run(line, input="a password\n", text=True, check=True, capture_output=True, timeout=60)
    two.hubfarm(1, "start", "--label", "safe", "--tls", "--host", OTHER, "--port", "40001")
    share = two.hubfarm(1, "share", "safe", "--with", "luigi").strip()
    assert f"safe@{OTHER} is here" in two.hubfarm(0, "connect", share)
    assert share.partition("/share/")[2][:20] not in two.hubfarm(0, "connections", "--json")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        talkers = []
        for name, other in (
            ("one", "other"),
            ("other", "one"),
        ):
            command = two.exec(0, f"safe@{OTHER}", sys.executable, "-W", "ignore", "-c", TALKER, name, other)
            talkers.append(stack.enter_context(running(*command, **pipes)))
        assert [talker.stdout.readline() for talker in talkers] == ["ready\n", "ready\n"]  # type: ignore[union-attr]
        assert "hubfarm.user: luigi" in two.hubfarm(1, "clients", "safe", "-v")
        for step in ("\n", "\n"):
            for talker in talkers:
                talker.stdin.write(step)  # type: ignore[union-attr]
                talker.stdin.flush()  # type: ignore[union-attr]
        (one, refused, _, _), (other, _, said_by, _) = (json.loads(talker.stdout.readline()) for talker in talkers)  # type: ignore[union-attr]
        assert (refused, said_by) == (0, "one")
        for talker, until in zip(talkers, (other, one), strict=True):
            talker.stdin.write(f"{until}\n")  # type: ignore[union-attr]
            talker.stdin.flush()  # type: ignore[union-attr]
        assert [talker.stdout.readline() for talker in talkers] == ["[]\n", "[]\n"]  # type: ignore[union-attr]
    two.hubfarm(1, "stop", "safe")
    wait_for(lambda: "cannot fetch" in two.hubfarm(0, "logs", f"safe@{OTHER}"), "the hub is away, and looked for")
    log = two.hubfarm(0, "logs", f"safe@{OTHER}")
    secret = share.partition("/share/")[2].partition("#")[0]
    assert secret not in log + two.hubfarm(0, "connections", "--json") + two.hubfarm(0, "status", f"safe@{OTHER}")
