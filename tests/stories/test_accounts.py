"""Other accounts of this host enter by the kernel's word: no password, no ticket, no secret; and only those allowed."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import WrongUse
from tests.accounts import GROUP, B, C, as_account, three_accounts
from tests.stories.test_restricted_hubs import restarted
from tests.support import PATIENCE, Receiver, message, read_lock_file, wait_for


@pytest.fixture(autouse=True)
def _accounts() -> Iterator[None]:
    with three_accounts():
        yield


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    """A hub that the account B may enter."""
    return farm.start(label="h", access="listed", allow=[f"account:{B}"])[0]


def register(url: str, secret: str = "whatever") -> Any:
    with ServerProxy(url) as proxy:
        return proxy.samp.hub.register(secret)


def ask(url: str, method: str, *params: Any) -> Any:
    with ServerProxy(url) as proxy:
        return getattr(proxy.samp.hub, method)(*params)


def test_account_that_is_allowed_enters_without_a_secret_and_others_not_even_with_the_right_one(
    farm: Farm, hub: HubInfo
) -> None:
    secret = read_lock_file(hub.lock_file)["samp.secret"]
    entered = as_account(B, lambda: register(hub.url))
    metadata = as_account(B, lambda: ask(hub.url, "getMetadata", entered["samp.private-key"], entered["samp.self-id"]))
    assert metadata == {"hubfarm.account": B, "hubfarm.door": "standard"}
    with pytest.raises(Fault, match="secret is wrong"):
        as_account(C, lambda: register(hub.url))
    for account in (C, "root"):
        with pytest.raises(Fault, match=f"this hub is for account:{B}"):
            as_account(account, lambda: register(hub.url, secret))
    log = farm.log_file("h").read_text()
    assert f"registered: the account {B}, from 127.0.0.1" in log
    assert f"not let in: the account {C}, from 127.0.0.1" in log
    assert f"a wrong secret, from the account {C}" in log


def test_group_of_accounts_may_enter_and_so_may_users_beside(farm: Farm) -> None:
    farm.users.add("luigi", "a password", groups=["mima"])
    (hub,) = farm.start(group="mima", access="group", allow=[f"account-group:{GROUP}"])
    as_account(B, lambda: register(hub.url))
    with pytest.raises(Fault, match="secret is wrong"):
        as_account(C, lambda: register(hub.url))
    ticket = read_lock_file(farm.log_in("mima-1", user="luigi", password="a password").lock_file)["samp.secret"]
    key = as_account(C, lambda: register(hub.url, ticket))["samp.private-key"]
    assert as_account(C, lambda: ask(hub.url, "getRegisteredClients", key))
    with pytest.raises(Fault, match="given to another account"):
        as_account(B, lambda: ask(hub.url, "getRegisteredClients", key))


def test_key_is_good_from_its_account_alone_also_after_a_crash(farm: Farm, hub: HubInfo) -> None:
    key = as_account(B, lambda: register(hub.url))["samp.private-key"]
    for _ in range(2):
        for account in (C, "root"):
            with pytest.raises(Fault, match="given to another account"):
                as_account(account, lambda: ask(hub.url, "notifyAll", key, message("x.y")))
        assert as_account(B, lambda: ask(hub.url, "getRegisteredClients", key)) == ["hub"]
        before = farm.find("h")
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        restarted(farm, before)
    assert "its private key comes from the account" in farm.log_file("h").read_text()


def test_account_that_the_host_does_not_have_is_refused(farm: Farm) -> None:
    with pytest.raises(WrongUse, match="this host has no account 'nobody-at-all'"):
        farm.start(access="listed", allow=["account:nobody-at-all"])
    with pytest.raises(WrongUse, match="this host has no group 'none-at-all'"):
        farm.start(access="listed", allow=["account-group:none-at-all"])


def test_access_to_accounts_is_given_and_taken_while_the_hub_runs(farm: Farm, home: Path) -> None:
    farm.users.add("luigi", "a password")
    (hub,) = farm.start(label="h", access="users")
    with pytest.raises(Fault, match="secret is wrong"):
        as_account(B, lambda: register(hub.url))
    farm.set_access("h", "users", [f"account:{B}"])
    key = as_account(B, lambda: register(hub.url))["samp.private-key"]
    farm.set_access("h", "users")
    with pytest.raises(Fault, match="register first"):
        as_account(B, lambda: ask(hub.url, "getRegisteredClients", key))
    with pytest.raises(Fault, match="secret is wrong"):
        as_account(B, lambda: register(hub.url))


def test_callbacks_go_to_a_port_of_the_account_and_to_no_other(farm: Farm, hub: HubInfo) -> None:
    def be_called_back() -> tuple[str, str, list[Any]]:
        with Receiver() as client:
            client.join(hub.url, "whatever", "of B", "test.*")
            with Receiver() as sender:
                sender.join(hub.url, "whatever", "also of B")
                sender.hub.notify(sender.key, client.id, message("test.it", n="1"))
                got = client.next()
            return client.key, client.id, [got.params[2]["samp.params"]]

    assert as_account(B, be_called_back)[2] == [{"n": "1"}]

    with socket.create_server(("127.0.0.1", 0)) as of_root:
        foreign = f"http://127.0.0.1:{of_root.getsockname()[1]}/"

        def declare() -> None:
            key = register(hub.url)["samp.private-key"]
            ask(hub.url, "setXmlrpcCallback", key, foreign)

        with pytest.raises(Fault, match="nobody of your account listens at the port"):
            as_account(B, declare)

    def leave_a_port() -> tuple[str, int]:
        with Receiver() as client:
            client.join(hub.url, "whatever", "of B", "test.*")
            return client.key, client.port

    _, port = as_account(B, leave_a_port)
    with socket.create_server(("127.0.0.1", port)) as taken_over:
        taken_over.settimeout(PATIENCE)

        def send() -> None:
            key = register(hub.url)["samp.private-key"]
            ask(hub.url, "notifyAll", key, message("test.it", secret="for B alone"))

        as_account(B, send)
        wait_for(lambda: "where this hub calls nobody back" in farm.log_file("h").read_text(), "the hub refuses")
        taken_over.setblocking(False)
        with pytest.raises(BlockingIOError):
            taken_over.accept()
