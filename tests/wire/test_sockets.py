"""Addresses of this host, and how many descriptors a process may have."""

import resource

import pytest

from hubfarm.wire import connections
from hubfarm.wire.addresses import is_loopback, own_addresses


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.5.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("1.127.0.1", False)],
)
def test_address_is_for_this_host_alone_or_not(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_own_addresses_are_those_of_all_interfaces() -> None:
    assert "127.0.0.1" in own_addresses()
    assert not any("%" in address for address in own_addresses())


def test_as_many_descriptors_are_asked_for_as_there_may_ever_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda which: (1024, 4096) if which == NOFILE else None)
    monkeypatch.setattr(connections.resource, "setrlimit", lambda *what: asked.append(what))
    connections.raise_descriptor_limit()
    assert asked == [(NOFILE, (4096, 4096))]


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_system_that_has_fewer_than_it_says_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(connections.resource, "setrlimit", refuse)
    connections.raise_descriptor_limit()


NOFILE = resource.RLIMIT_NOFILE
