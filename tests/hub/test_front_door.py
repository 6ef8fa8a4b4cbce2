"""Web pages in a browser on the same host: what they send is refused, what SAMP's programs send is not."""

import re
import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.hub.profiles.host_names import HostNames
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.xmlrpc import decode_response, encode_call
from tests.stories.test_recorded_traffic import EXCHANGES, Exchange

PING = encode_call("samp.hub.ping", [])


@pytest.fixture
def loopback() -> Iterator[tuple[HostNames, int]]:
    """The names of a hub on loopback, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield HostNames(sock, "127.0.0.1"), sock.getsockname()[1]


def with_port(host: str, port: int) -> bytes:
    return host.replace("PORT", str(port)).encode()


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:PORT", "LOCALHOST:PORT", "localhost.:PORT", "127.0.0.1", "127.0.0.1:PORT", "[::1]:PORT"],
)
def test_loopback_is_ours_with_our_port_or_none(loopback: tuple[HostNames, int], host: str) -> None:
    names, port = loopback
    assert names.include(with_port(host, port))


def test_the_hosts_name_is_ours(loopback: tuple[HostNames, int]) -> None:
    names, port = loopback
    name = socket.gethostname()
    for host in name, f"{name}:{port}", f"{name.partition('.')[0].upper()}:{port}":
        assert names.include(host.encode())


@pytest.mark.parametrize(
    "host",
    [
        "", ":PORT", "rebound.example", "rebound.example:PORT", "localhost:1", "127.0.0.1:1", "localhost.example:PORT",
        "127.0.0.1.example:PORT", "127.0.0.1:PORT.example", "localhost:PORT:PORT", "user@localhost:PORT", "127.1:PORT",
        "0.0.0.0:PORT", "192.0.2.1:PORT", "[::2]:PORT", "[::1", "::1", "localhost\xe9", "2130706433:PORT",
    ],
)  # fmt: skip
def test_nothing_else_is(loopback: tuple[HostNames, int], host: str) -> None:
    names, port = loopback
    assert not names.include(with_port(host, port))


def test_hub_that_listens_everywhere_is_reached_by_every_address_of_the_machine() -> None:
    with socket.create_server(("0.0.0.0", 0)) as sock:
        names, port = HostNames(sock, "0.0.0.0"), sock.getsockname()[1]
        for interface in psutil.net_if_addrs().values():
            for each in interface:
                if each.family == socket.AF_INET:
                    assert names.include(f"{each.address}:{port}".encode())
                    assert not names.include(f"{each.address}:1".encode())
        assert not names.include(f"192.0.2.1:{port}".encode())


def test_the_name_that_a_hub_was_told_to_listen_on_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert HostNames(sock, "hub.example.org").include(b"Hub.Example.ORG")


@pytest.mark.parametrize("exchange", [each for each in EXCHANGES if not each.from_hub], ids=str)
def test_recorded_programs_name_us_by_a_name_of_ours_or_none(
    loopback: tuple[HostNames, int], exchange: Exchange
) -> None:
    names, port = loopback
    head = exchange.request.partition(b"<")[0]
    assert not re.search(rb"(?im)^origin:", head)
    host = re.search(rb"(?im)^host: *(\S+?):[0-9]+\r?$", head)
    if host is None:
        assert not re.search(rb"(?im)^host:", head)
    else:
        assert names.include(b"%s:%d" % (host[1], port))


# ---------------------------------------------------------------------- a hub that runs


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    return farm.start()[0]


def ask(hub: HubInfo, method: str = "POST", body: bytes = PING, **fields: str | None) -> tuple[int, bytes]:
    """Send one request with exactly these fields; None leaves out the one that http.client would send."""
    connection = HTTPConnection(hub.url.split("/")[2], timeout=20)
    connection.putrequest(method, "/xmlrpc", skip_host="Host" in fields, skip_accept_encoding=True)
    for name, value in fields.items():
        if value is not None:
            connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_pages_are_refused_and_programs_answered(hub: HubInfo) -> None:
    for fields in {}, {"Host": None}, {"Host": "localhost"}:
        status, body = ask(hub, **fields)
        assert (status, decode_response(body)) == (200, "")
    for method in "POST", "GET", "OPTIONS":
        for origin in "http://evil.example", "null", "http://localhost", "":
            status, body = ask(hub, method, Origin=origin)
            assert status == 403
            assert b"web pages" in body
        status, body = ask(hub, method, Host="rebound.example")
        assert status == 403
        assert b"no such name" in body
