"""A client on one host, a hub on another: two network namespaces stand for the hosts."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import need, read_lock_file, running

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


# ---------------------------------------------------------------------- over TLS, from behind a firewall

CAPTURE = """
import socket, sys
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sock.bind(("cable", 0))
print("ready", flush=True)
with open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        packet = sock.recv(65535)
        file.write(len(packet).to_bytes(4) + packet)
"""

FAR = """
import json, sys
from hubfarm import SAMPIntegratedClient
name, password, text = sys.argv[1], sys.argv[2], sys.argv[3]
tokens = json.loads(sys.stdin.readline())
with SAMPIntegratedClient(name) as client:
    @client.on_call("my.hello")
    def hello(message):
        return {"from": name, "text": text, "heard": message.params["text"]}
    client.connect(**tokens, user="luigi", password=password)
    print(client.get_private_key(), flush=True)
    sys.stdin.readline()
    ids = {client.get_metadata(each).get("samp.name"): each for each in client.get_registered_clients()}
    for other in sorted(ids.keys() - {"Hub"}):
        print(json.dumps(client.ecall_and_wait(ids[other], "my.hello", 10, text=text)["samp.result"]), flush=True)
    sys.stdin.readline()
"""


def packets(capture: Path) -> Iterator[bytes]:
    data, at = capture.read_bytes(), 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def begun_towards(address: str, capture: Path) -> int:
    """Return how many TCP connections somebody has tried to make to an address."""
    count = 0
    for packet in packets(capture):
        ip4, tcp = packet[14:34], packet[34:]
        if packet[12:14] == b"\x08\x00" and ip4[9] == 6 and ip4[16:20] == socket.inet_aton(address):
            count += tcp[13] & 0x12 == 0x02  # SYN, and no ACK
    return count


@pytest.mark.usefixtures("farm")
def test_client_behind_a_firewall_talks_over_tls_and_the_wire_tells_nothing(
    hosts: tuple[str, str], home: Path, tmp_path: Path
) -> None:
    def on(host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", host, sys.executable, *command]

    def hubfarm(*words: str, **options: Any) -> str:
        done = subprocess.run(
            on(hosts[0], "-m", "hubfarm", *words), check=True, timeout=60, capture_output=True, text=True, **options
        )
        return done.stdout

    firewall = "add table ip f; add chain ip f i { type filter hook input priority 0; policy drop; }; "
    firewall += "add rule ip f i ct state established accept; add rule ip f i iif lo accept"
    subprocess.run(["ip", "netns", "exec", hosts[1], need("nft"), firewall], check=True, timeout=30)
    password, texts = "Luigi's password", ["the text that luigi sends", "the text that the other sends"]
    hubfarm("user", "add", "luigi", "--password-file", "-", input=password)
    hubfarm("start", "--label", "safe", "--tls", "--host", HUB, "--access", "users")
    share = hubfarm("share", "safe", "--with", "luigi").strip()
    (lock_file,) = (home / ".samp-1").glob("samp-hub-*")
    by_lock_file = {"hub_params": read_lock_file(lock_file)}
    capture = tmp_path / "capture"
    with running(*on(hosts[1], "-c", CAPTURE, str(capture)), stdout=subprocess.PIPE) as capturing:
        assert capturing.stdout is not None
        assert capturing.stdout.readline() == "ready\n"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        arguments = [(hosts[0], "near", texts[0], by_lock_file), (hosts[1], "far", texts[1], by_lock_file)]
        with contextlib.ExitStack() as stack:
            talkers = []
            for host, name, text, where in arguments:
                talker = stack.enter_context(running(*on(host, "-c", FAR, name, password, text), **pipes))
                talker.stdin.write(json.dumps(where) + "\n")
                talker.stdin.flush()
                talkers.append(talker)
            keys = [talker.stdout.readline().strip() for talker in talkers]
            assert all(keys)
            for talker in talkers:
                talker.stdin.write("\n")
                talker.stdin.flush()
            answers = [json.loads(talker.stdout.readline()) for talker in talkers]
            assert [(each["from"], each["text"], each["heard"]) for each in answers] == [
                ("far", texts[1], texts[0]),
                ("near", texts[0], texts[1]),
            ]
            by_share = on(hosts[1], "-c", "from hubfarm import SAMPIntegratedClient as C; C().connect()")
            subprocess.run(by_share, check=True, timeout=30, env=os.environ | {"SAMP_HUB": share})
        capturing.terminate()
    sent = b"".join(packets(capture))
    basic = base64.b64encode(f"luigi:{password}".encode()).decode()
    secrets = [*keys, password, basic, *texts, share.partition("/share/")[2].partition("#")[0]]
    secrets += [by_lock_file["hub_params"]["samp.secret"], "my.hello", "samp.hub."]
    assert [secret for secret in secrets if secret.encode() in sent] == []
    assert begun_towards(HUB, capture) > 0
    assert begun_towards(OTHER, capture) == 0
    assert len(sent) > 5000


@pytest.mark.usefixtures("farm")
def test_without_tls_the_wire_tells_all_and_the_firewall_needs_no_hole(
    hosts: tuple[str, str], home: Path, tmp_path: Path
) -> None:
    """That the capture sees what there is to see; and clients of another host pull without TLS too."""

    def on(host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", host, sys.executable, *command]

    subprocess.run(on(hosts[0], "-m", "hubfarm", "start", "--host", HUB), check=True, timeout=60, capture_output=True)
    (lock_file,) = (home / ".samp-1").glob("samp-hub-*")
    tokens = read_lock_file(lock_file)
    capture = tmp_path / "capture"
    with running(*on(hosts[1], "-c", CAPTURE, str(capture)), stdout=subprocess.PIPE) as capturing:
        assert capturing.stdout is not None
        assert capturing.stdout.readline() == "ready\n"
        code = "import sys, json; from hubfarm import SAMPIntegratedClient as C; "
        code += "C().connect(hub_params=json.loads(sys.argv[1]))"
        subprocess.run(on(hosts[1], "-c", code, json.dumps(tokens)), check=True, timeout=30)
        capturing.terminate()
    assert tokens["samp.secret"].encode() in b"".join(packets(capture))
    assert begun_towards(OTHER, capture) == 0
