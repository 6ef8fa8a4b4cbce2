"""A client shows nothing to another account that has got the port of a hub which has died."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hubfarm import AsyncClient, Farm, SAMPHubProxy, SAMPIntegratedClient
from hubfarm.client.errors import SAMPHubUnreachable
from hubfarm.client.membership import CHECK_EVERY
from hubfarm.samp.toolkit import SAMPHubError
from tests.conftest import RunCli, end_all
from tests.support import read_lock_file, wait_for

PASSWORD = "luigi's password"
ELSEWHO = 12345
"""An account that nobody has."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="to give a socket to another account takes root")


@pytest.fixture
def root_is_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what root listens at be judged as what others do."""
    monkeypatch.setattr("hubfarm.access.genuine._ALWAYS", frozenset())


@contextmanager
def squatting(port: int, seen: list[bytes], uid: int = ELSEWHO) -> Iterator[None]:
    """Be another account that listens at a port, answers pings as a hub does, and keeps what it is shown."""
    with wait_for(lambda: _server_at(port), "the port is free") as server:
        os.fchown(server.fileno(), uid, -1)
        server.settimeout(0.02)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(0.5)
                    seen.append(b"a connection")
                    try:
                        seen.append(connection.recv(2**16))
                        connection.sendall(PONG)
                        seen.append(connection.recv(2**16))
                    except OSError:
                        pass

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _server_at(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None  # who was killed is not gone yet


_BODY = b"<?xml version='1.0'?><methodResponse><params><param><value></value></param></params></methodResponse>"
PONG = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])


def kept(path: Path, home: Path) -> Path:
    """Return a copy of a lock file: what somebody has written down of it."""
    copy = home / f"kept-{path.name}"
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.fixture
def dead(farm: Farm, home: Path) -> dict[str, Any]:
    """A hub that was killed with its whole farm: what is left of it, and what leads there."""
    farm.users.add("luigi", PASSWORD)
    (hub,) = farm.start(label="h")
    ticket = farm.log_in("h", user="luigi", password=PASSWORD).lock_file
    left = {"hub": hub, "lock_file": kept(hub.lock_file, home), "ticket": kept(ticket, home)}
    end_all(home)
    return left


def ways(dead: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the ways in which a client can be led to a dead hub."""

    async def connect(**how: Any) -> None:
        async with AsyncClient("luigi's", **how):
            pass

    tokens = read_lock_file(dead["lock_file"])
    with_user = {"user": "luigi", "password": PASSWORD}
    synchronous = {
        "a lock file": {"hub": dead["lock_file"]},
        "its own lock file": {"hub": dead["hub"].lock_file},
        "its content": {"hub_params": tokens},
        "a password": {"hub": dead["lock_file"]} | with_user,
        "a ticket": {"ticket": dead["ticket"]},
        "a ticket's secret": {
            "hub_params": tokens,
            "ticket": read_lock_file(dead["ticket"])["samp.secret"],
        },
        "SAMP_HUB": {"hub": f"std-lockurl:{dead['ticket'].as_uri()}"},
    }
    found: dict[str, Callable[[], Any]] = {
        name: lambda how=how: SAMPIntegratedClient("luigi's").connect(**how) for name, how in synchronous.items()
    }
    found["asyncio"] = lambda: asyncio.run(connect(hub=dead["lock_file"], **with_user))
    found["a proxy"] = lambda: SAMPHubProxy().connect(dead["lock_file"])
    found["a URL with a password"] = lambda: SAMPIntegratedClient("luigi's").connect(
        hub_params=tokens | {"samp.hub.xmlrpc.url": tokens["samp.hub.xmlrpc.url"].replace("//", "//luigi:secret@")}
    )
    return found


def test_whatever_leads_to_a_dead_hub_nothing_is_shown_to_another_account(dead: dict[str, Any]) -> None:
    seen: list[bytes] = []
    with squatting(port_of(dead["hub"].url), seen):
        for name, connect in ways(dead).items():
            with pytest.raises(SAMPHubError, match=f"listens the account {ELSEWHO}, and not root, whose hub it was"):
                connect()
            assert seen == [], name
        assert SAMPHubProxy.get_running_hubs() == {}


def test_without_the_kernels_word_the_guard_is_enough(dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfarm.wire.host_sockets.HostSockets._ask", lambda *_: (_ for _ in ()).throw(OSError()))
    monkeypatch.setattr("hubfarm.client.calls.COMES_BACK", 0.2)
    seen: list[bytes] = []
    with squatting(port_of(dead["hub"].url), seen):
        for name, connect in ways(dead).items():
            with pytest.raises(SAMPHubUnreachable, match="the hub h has ended"):
                connect()
            assert seen == [], name


def test_dead_hub_at_whose_port_nobody_listens_is_told_at_once(dead: dict[str, Any]) -> None:
    with pytest.raises(SAMPHubUnreachable, match="the hub h has ended"):
        SAMPIntegratedClient().connect(dead["lock_file"])


def test_foreign_hubs_lock_file_leads_to_its_owners_processes_alone(home: Path, cli: RunCli) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        (home / ".samp").write_text(
            f"samp.secret=x\nsamp.hub.xmlrpc.url=http://{host}:{port}/\nsamp.profile.version=1.3\n"
        )
        with squatting(port, seen):
            with pytest.raises(SAMPHubError, match=f"listens the account {ELSEWHO}"):
                SAMPIntegratedClient().connect()
            assert seen == []
            assert Farm().hubs() == []
        with squatting(port, seen, os.getuid()):
            assert [hub.url for hub in Farm().hubs()] == [f"http://{host}:{port}/"]
        seen.clear()


def test_hub_whose_worker_is_being_replaced_is_waited_for(farm: Farm) -> None:
    (hub,) = farm.start(label="h")
    for _ in range(3):
        tokens, pid = read_lock_file(farm.find("h").lock_file), farm.find("h").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with SAMPIntegratedClient() as client:
            client.connect(hub_params=tokens)
        wait_for(lambda pid=pid: [each for each in farm.hubs() if each.alive and each.pid != pid], "a successor")
    assert farm.find("h").url == hub.url


def test_private_key_is_not_shown_on_a_new_connection_to_another_account(farm: Farm, home: Path) -> None:
    (hub,) = farm.start(label="h")
    with SAMPIntegratedClient("luigi's") as client:
        client.connect(hub.lock_file, reconnect=True)
        key = client.get_private_key()
        assert key is not None
        end_all(home)
        seen: list[bytes] = []
        with squatting(port_of(hub.url), seen):
            for call in (client.get_registered_clients, client.ping):
                with pytest.raises(SAMPHubError):
                    call()
            threading.Event().wait(2 * CHECK_EVERY)
        assert b"".join(seen).replace(b"a connection", b"") == b""


@pytest.mark.usefixtures("root_is_as_others")
def test_lock_file_of_another_host_is_not_judged(farm: Farm, hub_of_another: Path) -> None:
    with SAMPIntegratedClient() as client:
        client.connect(hub_of_another)


@pytest.fixture
def hub_of_another(farm: Farm, home: Path) -> Path:
    """A lock file of a hub on another host, to whose port a tunnel of somebody else leads."""
    (hub,) = farm.start(label="h")
    text = hub.lock_file.read_text()
    told = read_lock_file(hub.lock_file)
    path = home / "copy"
    path.write_text(
        text.replace(f"hubfarm.host={told['hubfarm.host']}", "hubfarm.host=elsewhere").replace(
            f"hubfarm.uid={told['hubfarm.uid']}", f"hubfarm.uid={ELSEWHO}"
        )
    )
    return path


@pytest.mark.usefixtures("root_is_as_others")
def test_hub_is_of_the_account_that_its_lock_file_names_whoever_has_a_copy(farm: Farm, home: Path) -> None:
    (hub,) = farm.start(label="h")
    copy = kept(hub.lock_file, home)
    os.chown(copy, ELSEWHO, -1)
    with SAMPIntegratedClient() as client:
        client.connect(copy)
