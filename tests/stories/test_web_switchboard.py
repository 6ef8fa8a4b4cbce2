"""Many accounts on one host: each one's web pages end on its own farm, with the switchboard and without."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault, ServerProxy

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.gateway.switchboard import MOST_TURNED_AWAY_OF_ONE
from hubfarm.wire.switchboard_line import HELLO, line_to_switchboard
from tests.accounts import B, C, as_account, three_accounts
from tests.stories.test_web_gateway import ping, state_of
from tests.support import PATIENCE, running, wait_for

OF_B = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nof B"


@pytest.fixture
def switchboard(home: Path, web_port: int) -> Iterator[subprocess.Popen[str]]:
    """A switchboard for this test's host."""
    (home / "shared").mkdir()
    os.chmod(home / "shared", 0o1777)
    home.chmod(0o711)
    command = [sys.executable, "-m", "hubfarm", "web", "switchboard", "--port", str(web_port)]
    with running(*command, stderr=subprocess.PIPE) as process:
        wait_for((home / "shared" / "switchboard").exists, "the switchboard is there")
        assert process.stderr is not None
        assert next(line for line in process.stderr if "web pages come in" in line)
        reading = threading.Thread(target=process.stderr.read, daemon=True)
        reading.start()
        yield process
        process.terminate()
        assert process.wait(PATIENCE) == 0
        reading.join(PATIENCE)
    assert not (home / "shared" / "switchboard").exists()


def asked_as(port: int, host: str = "127.0.0.1") -> str:
    """Register as a page would; return what came of it."""
    try:
        with ServerProxy(f"http://{host}:{port}/") as proxy:
            return str(proxy.samp.webhub.ping())
    except Fault as fault:
        return str(fault.faultString)


def test_the_farm_of_the_account_gets_the_connection_and_wakes(
    switchboard: subprocess.Popen[str], farm: Farm, web_port: int
) -> None:
    assert "hubfarm start" in asked_as(web_port)  # before there is a farm
    farm.start(label="one")
    web = farm.coordinator()["web"]  # type: ignore[index]
    assert (web["state"], web["switchboard"]) == ("asleep", True)
    assert asked_as(web_port) == ""
    assert asked_as(web_port, "[::1]") == ""
    assert state_of(farm) == "awake"


def test_a_gateway_that_dies_and_a_coordinator_that_dies_lose_nobody(
    switchboard: subprocess.Popen[str], farm: Farm, web_port: int
) -> None:
    farm.start(label="one")
    assert ping(web_port)
    gateway = farm.coordinator()["web"]["pid"]  # type: ignore[index]
    os.kill(gateway, signal.SIGKILL)
    assert wait_for(lambda: ping(web_port), "it answers again")
    coordinator = farm.coordinator()["pid"]  # type: ignore[index]
    os.kill(coordinator, signal.SIGKILL)
    assert ping(web_port)
    farm.start_coordinator()
    assert ping(web_port)
    os.kill(farm.coordinator()["web"]["pid"], signal.SIGKILL)  # type: ignore[index]
    assert wait_for(lambda: ping(web_port), "it answers again")


def test_a_switchboard_that_is_replaced_has_the_farms_again(home: Path, farm: Farm, web_port: int) -> None:
    (home / "shared").mkdir()
    command = [sys.executable, "-m", "hubfarm", "web", "switchboard", "--port", str(web_port)]
    for asleep in (True, False):
        for _ in range(2):
            with running(*command, stderr=subprocess.DEVNULL) as process:
                wait_for((home / "shared" / "switchboard").exists, "the switchboard is there")
                if farm.coordinator() is None:
                    farm.start(label="one")
                if asleep:
                    wait_for(lambda: farm.coordinator()["web"]["switchboard"], "the farm has found it")  # type: ignore[index]
                else:
                    wait_for(lambda: ping(web_port), "it answers")
                process.terminate()
                assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("has_port", [False, True])
@pytest.mark.skipif(os.geteuid() != 0, reason="to be another account takes root")
def test_a_program_that_only_says_that_it_is_the_switchboard_gets_nothing(
    has_port: bool, home: Path, farm: Farm, web_port: int
) -> None:
    (home / "shared").mkdir()
    (home / "shared").chmod(0o777)
    home.chmod(0o711)
    be_one = (
        "import socket, sys, time; door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
        "door.bind(sys.argv[1]); door.listen();"
        "ports = [socket.create_server(('127.0.0.1', int(each))) for each in sys.argv[2:]];"
        "print('ready', flush=True); time.sleep(60)"
    )
    command = ["/usr/bin/python3", "-c", be_one, str(home / "shared" / "switchboard")]
    command += [str(web_port)] if has_port else []
    with running(*command, stdout=subprocess.PIPE, user=4711, group=4711) as impostor:
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == "ready\n"
        (home / "shared" / "switchboard").chmod(0o666)
        farm.start(label="one")  # the impostor is a person: the farm takes the port itself, if it is free
        assert state_of(farm) == ("taken" if has_port else "asleep")
        assert not farm.coordinator()["web"]["switchboard"]  # type: ignore[index]
        assert has_port or ping(web_port)


def test_one_account_without_a_farm_leaves_room_for_others_and_farms_that_take_nothing_too(
    switchboard: subprocess.Popen[str], web_port: int
) -> None:
    with contextlib.ExitStack() as closing:
        held = [closing.enter_context(socket.create_connection(("127.0.0.1", web_port))) for _ in range(30)]
        looking = select.poll()
        for each in held:
            looking.register(each, select.POLLIN)
        wait_for(lambda: looking.poll(0), "those that are too many are hung up on")
        assert len(looking.poll(0)) <= 30 - MOST_TURNED_AWAY_OF_ONE
    soft, hard = psutil.Process(switchboard.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard  # what waits in lines counts against it, whosever they are


def test_two_switchboards_and_a_port_in_use_are_told_in_a_line(
    switchboard: subprocess.Popen[str], home: Path, web_port: int
) -> None:
    command = [sys.executable, "-m", "hubfarm", "web", "switchboard", "--port", str(web_port)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (told.returncode, "answers at" in told.stderr) == (1, True)
    shared = home / "elsewhere"
    shared.mkdir()
    environment = os.environ | {"HUBFARM_SHARED_DIR": str(shared)}
    with running(*command, stderr=subprocess.PIPE, env=environment) as other:
        assert other.stderr is not None
        line = next(line for line in other.stderr if "cannot listen" in line)
        assert f"(process {switchboard.pid} of " in line


def test_a_farm_that_has_the_port_gives_it_to_the_switchboard_and_takes_it_back(
    home: Path, farm: Farm, web_port: int
) -> None:
    (home / "shared").mkdir()
    farm.start(label="one")
    assert ping(web_port)
    command = [sys.executable, "-m", "hubfarm", "web", "switchboard", "--port", str(web_port)]
    with running(*command, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: farm.coordinator()["web"]["switchboard"], "the farm has found it")  # type: ignore[index]
        wait_for(lambda: ping(web_port), "it answers by the switchboard")
        process.kill()
    wait_for(lambda: ping(web_port), "the farm has the port again")
    assert not farm.coordinator()["web"]["switchboard"]  # type: ignore[index]


@pytest.mark.parametrize("with_switchboard", [True, False])
def test_each_account_lands_on_its_own_farm(
    with_switchboard: bool, home: Path, farm: Farm, web_port: int, request: pytest.FixtureRequest
) -> None:
    with three_accounts():
        if not with_switchboard:
            farm.start(label="one")
            assert asked_as(web_port) == ""
            for account in (B, C):
                said = as_account(account, lambda: asked_as(web_port))
                assert "is held by the account root" in said
                assert f"this page is of the account {account}" in said
            return
        request.getfixturevalue("switchboard")
        farm.start(label="one")
        ready, done = os.pipe(), os.pipe()

        def be_the_farm_of_b() -> list[bytes]:
            seen = []
            with line_to_switchboard(home / "shared" / "switchboard") as line:
                line.settimeout(PATIENCE)
                os.write(ready[1], b"x")
                data, (descriptor,), _, _ = socket.recv_fds(line, 100, 1)
                with socket.socket(fileno=descriptor) as connection:
                    connection.settimeout(PATIENCE)
                    seen.append(data)
                    seen.append(connection.recv(2**16))
                    connection.sendall(OF_B)
                os.read(done[0], 1)
                line.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    seen.append(line.recv(100))
            return seen

        def ask_raw() -> bytes:
            with socket.create_connection(("localhost", web_port), timeout=PATIENCE) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsecret B")
                return b"".join(iter(lambda: connection.recv(2**16), b""))

        seen: list[list[bytes]] = []
        serving = threading.Thread(target=lambda: seen.append(as_account(B, be_the_farm_of_b)))
        serving.start()
        try:
            assert os.read(ready[0], 1) == b"x"
            assert asked_as(web_port) == ""  # ours is on ours
            assert as_account(B, ask_raw) == OF_B
            assert f"no farm of SAMP hubs runs for the account {C}" in as_account(C, lambda: asked_as(web_port))
            assert asked_as(web_port) == ""
        finally:
            os.write(done[1], b"x")
            serving.join(PATIENCE)
        ((hello, request_of_b),) = seen
        assert hello == HELLO
        assert request_of_b.endswith(b"secret B")


@pytest.mark.skipif(not shutil.which("strace") or os.geteuid() != 0, reason="strace is not there, or may not look")
def test_the_switchboard_reads_no_byte_of_what_it_hands_over(
    switchboard: subprocess.Popen[str], farm: Farm, web_port: int, tmp_path: Path
) -> None:
    farm.start(label="one")
    assert ping(web_port)  # the gateway is awake
    (pid,) = [each.pid for each in [psutil.Process(switchboard.pid)]]
    calls = tmp_path / "calls"
    command = ["strace", "-f", "-p", str(pid), "-o", str(calls), "-e", "trace=accept4,read,recvfrom,recvmsg,sendmsg"]
    with running(*command, stderr=subprocess.PIPE) as tracing:
        assert tracing.stderr is not None
        if "attached" not in (said := tracing.stderr.readline()):
            pytest.skip(f"strace may not look here: {said}")
        for _ in range(5):
            assert ping(web_port)
        tracing.send_signal(signal.SIGINT)
        tracing.wait(PATIENCE)
    seen = calls.read_text().splitlines()
    handed_over = [line for line in seen if "SCM_RIGHTS" in line]
    accepted = {line.rsplit("=", 1)[1].strip() for line in seen if " accept4(" in line and not line.endswith("EAGAIN")}
    read = [
        line
        for line in seen
        if any(f" {call}({number}," in line for call in ("read", "recvfrom", "recvmsg") for number in accepted)
    ]
    assert len(handed_over) >= 5
    assert accepted
    assert read == []
