"""Callback URLs: a hub cannot be used to reach where its user cannot, unless it is told to."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from hubfarm.farm import Farm
from hubfarm.hub.delivery.callback_rule import CallbackRule
from hubfarm.samp.errors import Fault as Refusal
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.farm_file import read_farm_file
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.wire.http_client import BadAnswer, HttpClient, Unreachable
from tests.conftest import RunCli
from tests.support import Receiver, message, read_lock_file
from tests.wire.wire_support import Scripted, read_request, run_in

ELSEWHERE = "192.0.2.1"
"""An address that RFC 5737 keeps for documentation: never this host's."""

OWN_ONLY = CallbackRule(())


def resolving(monkeypatch: pytest.MonkeyPatch, answers: Callable[[], list[str]]) -> None:
    """Let the name service answer so; addresses are still themselves."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host in ("rebound.example", b"rebound.example"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in answers()]
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# ---------------------------------------------------------------------- the rule


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_always_permitted(address: str) -> None:
    assert OWN_ONLY.permits(address, address)


@pytest.mark.parametrize("address", [ELSEWHERE, "10.0.0.1", "169.254.169.254", "2001:db8::1", "0.0.0.0", "fe80::1%lo"])
def test_other_hosts_are_not(address: str) -> None:
    assert not OWN_ONLY.permits(address, address)


@pytest.mark.parametrize(
    ("hosts", "host", "address"),
    [
        (["*"], "anything.example", ELSEWHERE),
        (["192.0.2.1"], "192.0.2.1", "192.0.2.1"),
        (["192.0.2.0/24"], "a.example", "192.0.2.77"),
        (["2001:db8::/32"], "2001:db8::7", "2001:db8::7"),
        (["DS9.example.org"], "ds9.Example.org", ELSEWHERE),
    ],
)
def test_hosts_that_are_named_are_permitted(hosts: list[str], host: str, address: str) -> None:
    assert CallbackRule(hosts).permits(host, address)
    assert not CallbackRule(["198.51.100.1"]).permits(host, address)


@pytest.mark.parametrize("url", ["http://192.0.2.1:80/", "https://[2001:db8::1]/", "http://169.254.169.254/latest"])
def test_address_elsewhere_is_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(Refusal, match="callback-hosts"):
        OWN_ONLY.needs_resolving(url)


@pytest.mark.parametrize("url", ["http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://vm:80/"])
def test_what_is_not_plainly_an_address_is_looked_up(url: str) -> None:
    assert OWN_ONLY.needs_resolving(url)


def test_name_that_leads_elsewhere_or_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, lambda: [ELSEWHERE])
    with pytest.raises(
        Refusal, match=rf"is on rebound\.example \({ELSEWHERE}\), and this hub calls back its own host only"
    ):
        asyncio.run(OWN_ONLY.resolve("http://rebound.example/"))
    for name in ("no-such-host.invalid", "a..b", "x" * 70):
        with pytest.raises(Refusal, match=f"host {name} cannot be looked up: [a-zA-Z]"):
            asyncio.run(OWN_ONLY.resolve(f"http://{name}/"))


def test_name_with_several_addresses_is_taken_for_any_that_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, lambda: [ELSEWHERE, "127.0.0.1"])
    asyncio.run(OWN_ONLY.resolve("http://rebound.example/"))


def test_the_hosts_own_name_is_permitted() -> None:
    asyncio.run(OWN_ONLY.resolve(f"http://{socket.gethostname()}:4000/"))


# ---------------------------------------------------------------------- connections keep to it


async def answers_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_name_that_leads_elsewhere_later_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with Scripted(answers_ok) as server:
            addresses = iter([["127.0.0.1"], [ELSEWHERE]])
            resolving(monkeypatch, lambda: next(addresses))
            url = f"http://rebound.example:{server.port}/"
            assert await OWN_ONLY.client(url).post(b"", timeout=5) == b"ok"
            with pytest.raises(Unreachable, match=f"{ELSEWHERE}, where this hub calls nobody back"):
                await OWN_ONLY.client(url).post(b"", timeout=5)

    run_in("asyncio", scene())  # uvloop does not ask Python's socket module


def test_of_several_addresses_only_those_permitted_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with Scripted(answers_ok) as server:
            resolving(monkeypatch, lambda: [ELSEWHERE, "127.7.7.7", "127.0.0.1"])
            client = OWN_ONLY.client(f"http://rebound.example:{server.port}/")
            assert await client.post(b"", timeout=5) == b"ok"

    run_in("asyncio", scene())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    async def scene() -> None:
        async with Scripted(answers_ok) as target:

            async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await read_request(reader)
                writer.write(b"HTTP/1.1 %d Go\r\nLocation: %s\r\n\r\n" % (status, target.url.encode()))

            async with Scripted(redirect) as server:
                with pytest.raises(BadAnswer, match=str(status)):
                    await HttpClient(server.url).post(b"", timeout=5)
            assert target.connections == 0

    run_in("uvloop", scene())


# ---------------------------------------------------------------------- as users meet it


def test_hub_on_loopback_calls_back_this_host_only(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start()
    receiver.join_by(Path(hub.lock_file), "receiver", "test.*")
    for url in f"http://{ELSEWHERE}/", "http://no-such-host.invalid/":
        with pytest.raises(Fault, match="callback"):
            receiver.hub.setXmlrpcCallback(receiver.key, url)
    for url in "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/":
        with pytest.raises(Fault, match="http or https"):
            receiver.hub.setXmlrpcCallback(receiver.key, url)
    name = f"http://{socket.gethostname()}:{receiver.url.rpartition(':')[2]}"
    assert receiver.hub.setXmlrpcCallback(receiver.key, name) == ""
    receiver.hub.setXmlrpcCallback(receiver.key, receiver.url)
    with Receiver() as sender:
        sender.join_by(Path(hub.lock_file))
        sender.hub.notify(sender.key, receiver.id, message("test.it"))
        assert receiver.next().method == "samp.client.receiveNotification"


def test_callback_hosts_are_kept_in_the_lock_file_and_given_on_the_command_line(cli: RunCli, home: Path) -> None:
    done = cli("start", "--label", "x", "--callback-hosts", "192.0.2.0/24", "--callback-hosts", "ds9.example")
    assert done.returncode == 0, done.stderr
    (lock_file,) = (home / ".samp-1").glob("samp-hub-*")
    assert HubSpec.from_tokens(read_lock_file(lock_file)).callback_hosts == ("192.0.2.0/24", "ds9.example")
    with Receiver() as client:
        client.join_by(lock_file)
        assert client.hub.setXmlrpcCallback(client.key, f"http://{ELSEWHERE}/") == ""
        with pytest.raises(Fault, match="callback"):
            client.hub.setXmlrpcCallback(client.key, "http://198.51.100.1/")
    wrong = cli("start", "--callback-hosts", "a b")
    assert wrong.returncode == 2
    assert "callback host" in wrong.stderr


def test_farm_file_names_callback_hosts(home: Path) -> None:
    file = home / "farm.toml"
    defaults = '[defaults]\ncallback_hosts = ["10.0.0.0/8"]\n'
    file.write_text(f'{defaults}[[hub]]\nlabel = "a"\n[[hub]]\nlabel = "b"\ncallback_hosts = []\n')
    assert [hub.callback_hosts for hub in read_farm_file(file).hubs] == [("10.0.0.0/8",), ()]


@pytest.mark.parametrize("host", ["", "a b", "a/b", "http://a/", "a,b", "a=b", "h\xf6st", "10.0.0.0/40", "a\n"])
def test_what_is_no_host_is_wrong_use(host: str) -> None:
    with pytest.raises(WrongUse, match="callback host"):
        HubSpec(id=1, callback_hosts=(host,))
