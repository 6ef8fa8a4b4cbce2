"""A client on one host, a hub on another: two network namespaces stand for the hosts."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import read_lock_file

HUB, OTHER = "10.213.77.1", "10.213.77.2"

TALKER = """
import json, sys
from hubfarm import SAMPIntegratedClient
name, other, tokens = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with SAMPIntegratedClient(name) as client:
    @client.on_call("my.hello")
    def hello(message):
        return {"from": name}
    client.connect(hub_params=tokens)
    print("ready", flush=True)
    sys.stdin.readline()
    ids = {client.get_metadata(each).get("samp.name"): each for each in client.get_registered_clients()}
    print(client.ecall_and_wait(ids[other], "my.hello", 10)["samp.result"]["from"], flush=True)
    sys.stdin.readline()
"""


def ip(*arguments: str) -> None:
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need ip (Debian's iproute2)")
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"network namespaces are not allowed here: ip {' '.join(arguments)}: {done.stderr.strip()}")


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces, joined by a cable."""
    names = (f"hf{os.getpid()}a", f"hf{os.getpid()}b")
    made = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip("-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, (HUB, OTHER), strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=30)


@pytest.mark.usefixtures("farm")
def test_messages_flow_both_ways_between_two_hosts(hosts: tuple[str, str], home: Path) -> None:
    def on(host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", host, sys.executable, *command]

    subprocess.run(on(hosts[0], "-m", "hubfarm", "start", "--host", HUB), check=True, timeout=60, capture_output=True)
    (lock_file,) = (home / ".samp-1").glob("samp-hub-*")
    tokens = json.dumps(read_lock_file(lock_file))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    talkers = [
        subprocess.Popen(on(host, "-c", TALKER, name, other, tokens), **pipes)  # type: ignore[call-overload]
        for host, name, other in ((hosts[0], "near", "far"), (hosts[1], "far", "near"))
    ]
    try:
        assert [talker.stdout.readline() for talker in talkers] == ["ready\n", "ready\n"]
        for talker in talkers:
            talker.stdin.write("\n")
            talker.stdin.flush()
        assert [talker.stdout.readline() for talker in talkers] == ["far\n", "near\n"]
    finally:
        for talker in talkers:
            talker.communicate("\n", timeout=30)
