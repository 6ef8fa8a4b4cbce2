"""A listening socket handed over a Unix socket."""

import contextlib
import socket
import threading

import pytest

from hubfarm.registry import handover
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.registry.unix_socket import UnixSocket

NAME = HubName(4711, 3)


def listen(paths: Paths) -> socket.socket:
    return UnixSocket(paths.handover_socket, "handover socket").listen()


def test_socket_that_was_handed_over_takes_connections(paths: Paths) -> None:
    with contextlib.closing(listen(paths)) as listener:
        with socket.create_server(("127.0.0.1", 0)) as hub:
            address = hub.getsockname()
            handover.hand_over(hub, paths.handover_socket, NAME)
        # The hub is gone; whoever connects now waits for the successor.
        waiting = socket.create_connection(address, timeout=10)
        taken = handover.take(listener)
        assert taken is not None
        name, sock = taken
        assert name == "4711-3"
        with sock, waiting:
            assert sock.getsockname() == address
            connection, peer = sock.accept()
            connection.close()
            assert peer == waiting.getsockname()


def test_many_sockets_wait_until_they_are_taken(paths: Paths) -> None:
    with contextlib.closing(listen(paths)) as listener:
        with socket.create_server(("127.0.0.1", 0)) as hub:
            for number in range(100):
                handover.hand_over(hub, paths.handover_socket, HubName(1, number))
        for number in range(100):
            taken = handover.take(listener)
            assert taken is not None
            assert taken[0] == f"1-{number}"
            taken[1].close()


def test_nobody_to_take_it_is_an_error(paths: Paths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hub:
        with pytest.raises(FileNotFoundError):
            handover.hand_over(hub, paths.handover_socket, NAME)
        listen(paths).close()
        with pytest.raises(ConnectionRefusedError):
            handover.hand_over(hub, paths.handover_socket, NAME)


def test_socket_of_a_dead_coordinator_is_replaced_and_is_its_owners_alone(paths: Paths) -> None:
    listen(paths).close()
    with contextlib.closing(listen(paths)):
        assert paths.handover_socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sent", [b"", b"4711-3"])
def test_connection_that_brings_no_socket_comes_to_nothing(paths: Paths, sent: bytes) -> None:
    with contextlib.closing(listen(paths)) as listener:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(paths.handover_socket))
            client.sendall(sent)
        assert handover.take(listener) is None


def test_silent_connection_does_not_hold_the_coordinator_up(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "TIMEOUT", 0.05)
    listening = contextlib.closing(listen(paths))
    with listening as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(paths.handover_socket))
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(handover.take(listener)))
        thread.start()
        thread.join(20)
        assert found == [None]
