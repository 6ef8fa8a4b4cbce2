"""A connection in the test's own process: to a hub that speaks TLS, and by ssh to the far end, step by step."""

import asyncio
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from hubfarm.connect.process import Connection
from hubfarm.farm import Farm
from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.connections import Connections
from hubfarm.registry.paths import Paths
from hubfarm.registry.wished import Wish
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.connection_spec import ConnectionSpec, connection_name
from tests.far_host import FarHost
from tests.stories.test_bridges import OK, texts
from tests.stories.test_connections import enter, far  # noqa: F401 - fixtures
from tests.support import PATIENCE, Receiver, message, wait_for

Enter = Callable[..., Receiver]


@contextmanager
def connected(label: str, address: str, *, for_good: bool = True, **options: object) -> Iterator[Connection]:
    """Bring a hub here until the end of the block, in a thread with a loop of its own."""
    paths = Paths.from_environment().prepare()
    connections = Connections(paths)
    spec = ConnectionSpec(name=connection_name(label), label=label, address=address, **options)  # type: ignore[arg-type]
    wish = Wish(spec=spec, by="1", boot=boot_id())  # not written down: the coordinator would have a process for it
    made: list[tuple[Connection, Callable[[], object]]] = []

    async def main() -> None:
        connection = Connection(wish, connections, paths)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[bool] = loop.create_future()
        await connection.start()
        made.append((connection, lambda: loop.call_soon_threadsafe(ended.set_result, True)))
        await connection.stay(ended)
        await connection.close(for_good=for_good)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        wait_for(lambda: made or not thread.is_alive(), "the door is there")
        wait_for(lambda: (told := made[0][0]._told) is not None and told.up, "the hub is reached, and it says so")
        yield made[0][0]
    finally:
        if made:
            made[0][1]()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def safe(farm: Farm) -> Path:
    """The lock file of a hub that speaks TLS."""
    (hub,) = farm.start(label="safe", tls=True)
    return hub.lock_file


def converse(a: Receiver, b: Receiver) -> None:
    a.hub.notify(a.key, b.id, message("my.text", text="there"))
    assert texts(b, 1) == ["there"]
    b.hub.call(b.key, a.id, "tag", message("my.question"))
    a.hub.reply(a.key, a.next().params[2], OK)
    assert b.next().params[3] == OK
    answering = threading.Thread(target=lambda: b.hub.reply(b.key, b.next().params[2], OK))
    answering.start()
    assert a.hub.callAndWait(a.key, b.id, message("my.question"), "10") == OK
    answering.join()


def test_hub_that_speaks_tls_is_here_and_its_clients_meet(farm: Farm, safe: Path, enter: Enter) -> None:  # noqa: F811
    with connected("safe@far", str(safe)) as connection:
        door = farm.find("safe@far")
        a, b = enter(door.lock_file, "A", "my.*"), enter(door.lock_file, "B", "my.*", "samp.hub.event.shutdown")
        assert b.id in a.hub.getRegisteredClients(a.key)  # type: ignore[operator]
        converse(a, b)
        for _ in range(20):
            short = enter(door.lock_file, "short")
            short.hub.unregister(short.key)
            assert short.id not in a.hub.getRegisteredClients(a.key)  # type: ignore[operator]
        big = "x" * 600_000
        a.hub.notify(a.key, b.id, message("my.text", text=big))
        assert texts(b, 1) == [big]
        a.hub.setXmlrpcCallback(a.key, "")
        with pytest.raises(Fault, match="callable"):
            b.hub.notify(b.key, a.id, message("my.text", text="?"))
        for wrong in ("no url", 7):
            with pytest.raises(Fault):
                a.hub.setXmlrpcCallback(a.key, wrong)
        a.hub.unregister(a.key)
        wait_for(lambda: farm.find("safe@far").clients == 1, "it says who is in")
        assert connection._members.kept() == {b.key: b.url}
    assert b.next().params[-1]["samp.mtype"] == "samp.hub.event.shutdown"
    assert [hub.label for hub in farm.hubs()] == ["safe"]


def test_hub_that_has_ended_is_away_until_there_is_one_again(farm: Farm, safe: Path, enter: Enter) -> None:  # noqa: F811
    with connected("safe@far", f"file://{farm.find('safe').stable_name}") as connection:
        a = enter(farm.find("safe@far").lock_file, "A", "samp.hub.disconnect")
        farm.stop(["safe"])
        wait_for(lambda: farm.find("safe@far").state == "away", "the hub is away")
        with pytest.raises(Fault, match="cannot be reached now"):
            a.hub.getRegisteredClients(a.key)
        farm.start(label="safe", tls=True)
        connection._line.up.clear()
        connection.try_now()
        wait_for(lambda: farm.find("safe@far").state == "running", "the new hub is reached")
        assert a.next().params[-1]["samp.mtype"] == "samp.hub.disconnect"


def test_programs_that_an_earlier_process_has_let_in_are_in(farm: Farm, safe: Path, enter: Enter) -> None:  # noqa: F811
    with connected("safe@far", str(safe), for_good=False):
        door = farm.find("safe@far")
        a, b = enter(door.lock_file, "A", "my.*"), enter(door.lock_file, "B", "my.*")
        url = door.url
    with connected("safe@far", str(safe)):
        assert farm.find("safe@far").url == url
        converse(a, b)


def test_hub_by_ssh_is_here_with_the_files_that_messages_name(
    farm: Farm,
    far: FarHost,  # noqa: F811
    enter: Enter,  # noqa: F811
    tmp_path: Path,
) -> None:
    (far.directory / "greeting").write_text("Welcome to far!\n")
    how = {"ssh": (str(far.ssh),), "remote_hubfarm": far.remote_hubfarm}
    file = tmp_path / "m31.fits"
    file.write_bytes(os.urandom(2_000_000))
    with connected("tel@far", "ssh://far/tel", **how) as connection:
        a = enter(farm.find("tel@far").lock_file, "A", "my.*")
        b = enter(far.lock_file(), "B", "my.*")
        converse(a, b)
        for who, other in ((a, b), (b, a)):
            who.hub.notify(who.key, other.id, message("my.file", url=file.as_uri()))
            url = other.next().params[-1]["samp.params"]["url"]
            assert urllib.request.urlopen(url, timeout=20).read() == file.read_bytes()
        far.cut()
        wait_for(lambda: "No route" in connection._line.trouble, "the line is lost")
        with pytest.raises(Fault, match="No route to host"):
            a.hub.notify(a.key, b.id, message("my.text", text="?"))
        b.hub.notify(b.key, a.id, message("my.text", text="kept"))
        far.mend()
        wait_for(lambda: connection._line.up.is_set(), "the line is there again")
        assert texts(a, 1) == ["kept"]


def test_why_ssh_has_ended_is_the_last_line_that_it_has_said(farm: Farm, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nprintf 'Banner\\r\\nwhoever\\033[31m: Permission denied\\r\\n' >&2\nexit 255\n")
    ssh.chmod(0o700)
    with pytest.raises(HubfarmError, match=r"ssh has ended: whoever\\x1b\[31m: Permission denied$"):
        farm.connections.connect("ssh://far/tel", ssh=[str(ssh)])
