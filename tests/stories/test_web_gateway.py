"""The web's port and the gateway on it: there when a page comes, gone when none is, and hard to lose."""

import json
import os
import signal
import socket
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from xmlrpc.client import Fault, ServerProxy

import psutil
import pytest

from hubfarm.farm import Farm
from tests.conftest import RunCli
from tests.support import is_dead, wait_for


def ping(port: int, host: str = "127.0.0.1") -> bool:
    """Ping the Web Profile as a page would."""
    try:
        with ServerProxy(f"http://{host}:{port}/") as proxy:
            return proxy.samp.webhub.ping() == ""
    except (OSError, HTTPException, Fault):
        return False


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def state_of(farm: Farm) -> str:
    coordinator = farm.coordinator()
    return coordinator["web"]["state"] if coordinator else ""


def gateway_of(farm: Farm) -> psutil.Process:
    coordinator = farm.coordinator()
    assert coordinator is not None
    return psutil.Process(coordinator["web"]["pid"])


def has_a_successor(farm: Farm, killed: psutil.Process) -> bool:
    coordinator = farm.coordinator()
    return coordinator is not None and coordinator["web"]["pid"] not in (None, killed.pid)


def test_asleep_it_is_two_sockets_and_a_page_wakes_it(farm: Farm, web_port: int) -> None:
    farm.start(label="one")
    assert state_of(farm) == "asleep"
    assert not farm.paths.web_socket.exists()
    assert ping(web_port)
    assert state_of(farm) == "awake"
    assert ping(web_port, "localhost")
    if socket.has_ipv6:
        with socket.create_connection(("::1", web_port)):
            pass
    gateway = gateway_of(farm)
    assert gateway.cmdline()[0].startswith("hubfarm web gateway")
    assert gateway.ppid() == farm.coordinator()["pid"]  # type: ignore[index]


def test_it_leaves_when_no_page_is_there_and_comes_again(
    farm: Farm, home: Path, web_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text("[web]\nidle = 1.0\n")
    monkeypatch.setenv("HUBFARM_CONFIG", str(home / "config.toml"))
    farm.start(label="one")
    assert ping(web_port)
    first = gateway_of(farm)
    wait_for(lambda: state_of(farm) == "asleep", "the gateway leaves")
    assert is_dead(first)
    assert ping(web_port)
    assert gateway_of(farm).pid != first.pid


def test_killed_it_is_replaced_and_nobody_is_turned_away(farm: Farm, web_port: int) -> None:
    farm.start(label="one")
    assert ping(web_port)
    for _ in range(3):
        killed = gateway_of(farm)
        killed.kill()
        with socket.create_connection(("127.0.0.1", web_port)):
            pass
        assert wait_for(lambda: ping(web_port), "it answers again")
        wait_for(partial(has_a_successor, farm, killed), "the coordinator has seen it")


def test_a_coordinator_takes_over_the_gateway_of_one_that_was_killed_and_its_sockets(farm: Farm, web_port: int) -> None:
    farm.start(label="one")
    assert ping(web_port)
    gateway = gateway_of(farm)
    os.kill(farm.coordinator()["pid"], signal.SIGKILL)  # type: ignore[index]
    assert ping(web_port)
    farm.start_coordinator()
    assert gateway_of(farm).pid == gateway.pid
    gateway.kill()  # what it handed over is there for its successor
    assert wait_for(lambda: ping(web_port), "it answers again")
    assert farm.stop(everything=True, coordinator=True) == ["one"]
    wait_for(lambda: not psutil.pid_exists(gateway.pid) or is_dead(gateway), "the gateway's end")


def test_the_end_of_the_farm_is_the_end_of_the_gateway(farm: Farm, web_port: int) -> None:
    farm.start(label="one")
    assert ping(web_port)
    gateway = gateway_of(farm)
    farm.stop(everything=True, coordinator=True)
    wait_for(lambda: is_dead(gateway), "the gateway's end")
    assert not farm.paths.web_socket.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", web_port))


def test_a_port_that_another_program_has_is_no_error_and_is_taken_when_it_is_free(
    farm: Farm, cli: RunCli, web_port: int
) -> None:
    with socket.create_server(("127.0.0.1", web_port)):
        farm.start(label="one")
        assert state_of(farm) == "taken"
        for command in ("status", "web"):
            told = cli(command)
            assert told.returncode == 0, told.stderr
            assert f"(process {os.getpid()} of " in told.stdout + told.stderr
    wait_for(lambda: state_of(farm) == "asleep", "the port is taken")
    assert ping(web_port)


def test_it_is_switched_off_and_on(farm: Farm, cli: RunCli, web_port: int) -> None:
    farm.start(label="one")
    assert ping(web_port)
    gateway = gateway_of(farm)
    told = cli("web", "off")
    assert (told.returncode, "off" in told.stdout) == (0, True), told.stderr
    wait_for(lambda: is_dead(gateway), "the gateway's end")
    wait_for(lambda: is_refused(web_port), "the coordinator lets go of the port, too")
    assert cli("web", "on").returncode == 0
    assert wait_for(lambda: ping(web_port), "it answers again")


def test_the_settings_turn_it_off(farm: Farm, cli: RunCli, home: Path, web_port: int) -> None:
    farm.start(label="one")
    assert ping(web_port)
    (home / "c.toml").write_text("[web]\non = false\n")
    told = cli("web", "on", env=os.environ | {"HUBFARM_CONFIG": str(home / "c.toml")})
    assert (told.returncode, "the settings say" in told.stderr) == (1, True)


def test_tests_and_their_farms_leave_the_real_port_alone(farm: Farm) -> None:
    farm.start(label="one")
    assert state_of(farm) == "off"


# ---------------------------------------------------------------------- the command line


def test_what_there_is_to_see(farm: Farm, cli: RunCli, web_port: int) -> None:
    told = cli("web", "ls", "--json")
    assert json.loads(told.stdout) == {"waiting": [], "pages": [], "remembered": []}
    farm.start(label="one")
    assert cli("web", "trust", "https://A.example/page", "--hub", "one").stdout.startswith(
        "pages of https://a.example enter one unasked"
    )
    for _ in ("asleep", "awake"):
        (remembered,) = json.loads(cli("web", "ls", "--json").stdout)["remembered"]
        assert {"id", "name", "origin", "referer", "hub"} <= remembered.keys()
        assert (remembered["origin"], remembered["hub"], remembered["allowed"]) == (
            "https://a.example",
            "one",
            "always",
        )
        assert ping(web_port)
    assert "https://a.example" in cli("web", "ls").stdout
    assert cli("web", "forget", "https://a.example").stdout == "forgot https://a.example\n"
    assert "no page asks, none is in" in cli("web").stderr


def test_wrong_use_is_one_line(farm: Farm, cli: RunCli, web_port: int) -> None:
    farm.start(label="one")
    for arguments, said in (
        (("allow", "x", "--hub", "one"), "no gateway runs"),
        (("allow", "x", "--hub", "two"), "no running hub is meant by 'two'"),
        (("deny", "x"), "no gateway runs"),
        (("disconnect", "one/c1"), "no gateway runs"),
        (("trust", "null", "--hub", "one"), "no origin that can be trusted"),
        (("forget", "https://a.example"), "nothing is remembered of https://a.example"),
        (("forget",), "--all"),
    ):
        told = cli("web", *arguments)
        assert (told.returncode, told.stdout) == (2, ""), told
        assert said in told.stderr
        assert len(told.stderr.splitlines()) == 1
    assert ping(web_port)
    assert "has been answered, or has gone" in cli("web", "deny", "x").stderr


def test_the_address_of_the_page_has_the_token_and_nothing_else_tells_it(
    farm: Farm, cli: RunCli, web_port: int
) -> None:
    farm.start(label="one")
    assert ping(web_port)  # whoever gets the port makes the token anew
    address = cli("web", "url").stdout.strip()
    page, _, token = address.partition("#token=")
    assert page == f"http://localhost:{web_port}/hubfarm/"
    connection = HTTPConnection("localhost", web_port, timeout=20)
    for shown, status in ((token, 200), ("wrong", 403)):
        connection.request("GET", "/hubfarm/api/state", headers={"Authorization": f"Bearer {shown}"})
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > 0) == (status, True)
    connection.close()
    gateway = gateway_of(farm)
    told = [
        " ".join(gateway.cmdline()),
        str(gateway.environ()),
        *(path.read_text() for path in farm.paths.logs.iterdir()),
    ]
    assert not any(token in text for text in told)
    assert os.stat(farm.paths.web_token).st_mode & 0o777 == 0o600


def test_the_token_is_another_when_the_port_was_let_go_of_and_the_same_when_only_the_gateway_died(
    farm: Farm, cli: RunCli, web_port: int
) -> None:
    """Who has the port meanwhile is shown the token by a page that is still open."""
    farm.start(label="one")
    assert ping(web_port)
    address = cli("web", "url").stdout
    killed = gateway_of(farm)
    killed.kill()
    assert wait_for(lambda: ping(web_port), "it answers again")
    assert cli("web", "url").stdout == address
    farm.stop(everything=True, coordinator=True)
    farm.start(label="one")
    assert ping(web_port)
    assert cli("web", "url").stdout != address


def test_what_nothing_costs(farm: Farm, web_port: int) -> None:
    """Asleep, no process is there for the web, and the coordinator has loaded nothing for it."""
    farm.start(label="one")
    assert state_of(farm) == "asleep"
    coordinator = psutil.Process(farm.coordinator()["pid"])  # type: ignore[index]
    assert {each.cmdline()[0].partition(" -")[0] for each in coordinator.children(recursive=True)} == {
        "hubfarm forkserver",
        "hubfarm hub one",
    }
    maps = Path(f"/proc/{coordinator.pid}/maps").read_text()
    assert "aiohttp" not in maps
