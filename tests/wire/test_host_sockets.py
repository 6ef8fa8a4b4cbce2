"""What the kernel says of connections: whose the other end is, whose a port is, and nothing where it does not know."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_messages import Ends

NETLINK_SOCK_DIAG = 4
"""netlink(7)"""


@pytest.fixture
def sockets() -> Iterator[HostSockets]:
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG).close()
    except (AttributeError, OSError):
        pytest.skip("the kernel says nothing by netlink here")
    with closing(HostSockets()) as asked:
        yield asked


def connected(family: socket.AddressFamily, address: str) -> tuple[socket.socket, socket.socket, Ends]:
    """Return both ends of a connection, and how the server sees it."""
    with socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1" if address == "::" else address, port))
        accepted, _ = server.accept()
    peer, own = accepted.getpeername(), accepted.getsockname()
    return client, accepted, Ends(peer[0], peer[1], own[0], own[1])


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")]
)
def test_other_end_of_a_connection_is_the_account_that_made_it_until_it_is_closed(
    sockets: HostSockets, family: socket.AddressFamily, address: str
) -> None:
    client, accepted, ends = connected(family, address)
    with client, accepted:
        assert sockets.account(ends) == os.getuid()
        if not os.getuid():
            os.fchown(client.fileno(), 12345, -1)
            assert sockets.account(ends) == 12345
        client.close()
        assert sockets.account(ends) is None


def test_of_other_hosts_and_of_what_is_no_connection_nothing_is_said(sockets: HostSockets) -> None:
    client, accepted, ends = connected(socket.AF_INET, "127.0.0.1")
    with client, accepted:
        for wrong in (
            ends._replace(peer="192.0.2.1"),
            ends._replace(own="192.0.2.1"),
            ends._replace(peer_port=ends.peer_port ^ 1),
            Ends(ends.own, ends.own_port, ends.own, 9),
            Ends(),
        ):
            assert sockets.account(wrong) is None
    with closing(HostSockets()) as closed:
        closed.close()
        assert closed.account(ends) is None
        assert closed.listener("127.0.0.1", 9) is None


def test_listening_port_is_nobodys_connection(sockets: HostSockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert sockets.account(Ends("127.0.0.1", port, "127.0.0.1", 9)) is None
        assert sockets.listener("127.0.0.1", port) == os.getuid()
        assert sockets.listener("localhost", port) == os.getuid()
    assert sockets.listener("127.0.0.1", port) is None
    assert sockets.listener("no address", port) is None


def listening_alone(address: str) -> tuple[socket.socket, socket.socket]:
    """Listen at a port of an address, and keep it from all others at the other loopback address."""
    addresses = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
    family = addresses.pop(address)
    ((other, other_family),) = addresses.items()
    while True:
        server, kept = socket.create_server((address, 0), family=family), socket.socket(other_family)
        try:
            kept.bind((other, server.getsockname()[1]))
        except OSError:  # another program listens there
            server.close()
            kept.close()
        else:
            return server, kept


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_port_of_this_host_is_listened_on_or_not(sockets: HostSockets, address: str) -> None:
    server, kept = listening_alone(address)
    with kept:
        with server:
            port = server.getsockname()[1]
            assert sockets.listens(address, port) is True
            assert sockets.listens("localhost", port) is True, "on either address"
        assert sockets.listens("localhost", port) is False
    assert sockets.listens(address, port) is False
    for elsewhere in ("192.0.2.1", "example.org", ""):
        assert sockets.listens(elsewhere, port) is None
    sockets.close()
    assert sockets.listens(address, port) is None


def test_answer_that_nobody_took_is_not_taken_for_the_next_ones(sockets: HostSockets) -> None:
    client, accepted, ends = connected(socket.AF_INET, "127.0.0.1")
    with client, accepted, socket.create_server(("127.0.0.1", 0)) as server:
        netlink = sockets._netlink
        assert netlink is not None

        class Deaf:
            """Asks, and does not hear the answer."""

            def send(self, data: bytes) -> int:
                return netlink.send(data)

            def recv(self, size: int) -> bytes:
                raise BlockingIOError

            def close(self) -> None:
                netlink.close()

        sockets._netlink = Deaf()  # type: ignore[assignment]
        assert sockets.account(ends) is None
        sockets._netlink = netlink
        assert sockets.listener("127.0.0.1", 9) is None
        assert sockets.listener("127.0.0.1", server.getsockname()[1]) == os.getuid()
