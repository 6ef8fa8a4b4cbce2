"""Three accounts, and none of them is root: A shares a hub with B, and C does what it can against both."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest

import hubfarm.access.shared  # what other accounts may not be able to read is loaded before
import hubfarm.cli.look
import hubfarm.registry.programs  # noqa: F401
from hubfarm import Farm, SAMPHubError, SAMPIntegratedClient
from tests.accounts import A, B, C, as_account, command_as, three_accounts
from tests.conftest import end_all
from tests.support import Receiver, message, read_lock_file, wait_for

PASSWORD = "of luigi: 1"
LABEL = f"{A}/h"


@pytest.fixture(autouse=True)
def homes(home: Path) -> Iterator[dict[str, Path]]:
    """The three accounts, each with a home, and a directory that they share."""
    home.chmod(0o711)
    shared = home / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with three_accounts():
        made = {account: home / account[-1] for account in (A, B, C)}
        for account, directory in made.items():
            directory.mkdir(mode=0o700)
            shutil.chown(directory, account, account)
        yield made
        end_all(home)  # before their accounts go


@pytest.fixture
def hub(homes: dict[str, Path], home: Path) -> dict[str, Any]:
    """A's hub, for B by the kernel's word, and for the user luigi."""
    password = homes[A] / "password"
    password.write_text(PASSWORD)
    shutil.chown(password, A)
    for words in (
        ["user", "add", "luigi", "--password-file", str(password)],
        ["start", "--label", "h", "--access", "listed", "--allow", f"account:{B}", "--allow", "user:luigi"],
        ["login", "h", "--user", "luigi", "--password-file", str(password)],
    ):
        done = command_as(A, *words, home=homes[A])
        assert done.returncode == 0, done.stderr
    (listed,) = json.loads(command_as(A, "ls", "--json", home=homes[A]).stdout)
    assert os.stat(listed["lock_file"]).st_uid == as_account(A, os.getuid)
    ticket = done.stdout.strip().partition("std-lockurl:file://")[2]
    return listed | {"tokens": read_lock_file(Path(listed["lock_file"])), "ticket": Path(ticket)}


def register(url: str, secret: str) -> Any:
    with ServerProxy(url) as proxy:
        return proxy.samp.hub.register(secret)


def test_who_is_allowed_enters_and_talks_and_nobody_else_does_root_included(
    hub: dict[str, Any], homes: dict[str, Path]
) -> None:
    def talk() -> Any:
        with Receiver() as one, Receiver() as other:
            one.join(hub["url"], "no secret", "one", "test.*")
            other.join(hub["url"], "no secret", "other")
            other.hub.notify(other.key, one.id, message("test.it", n="1"))
            return one.next().params[2]["samp.params"], one.hub.getMetadata(one.key, other.id)["hubfarm.account"]

    assert as_account(B, talk) == ({"n": "1"}, B)
    for account in (A, C, "root"):
        with pytest.raises(Fault, match=r"this hub is for|secret is wrong"):
            as_account(account, lambda: register(hub["url"], hub["tokens"]["samp.secret"]))
    key = as_account(B, lambda: register(hub["url"], "no secret"))["samp.private-key"]

    def use() -> None:
        with ServerProxy(hub["url"]) as proxy:
            proxy.samp.hub.getRegisteredClients(key)

    as_account(B, use)
    for account in (A, C, "root"):
        with pytest.raises(Fault, match="given to another account"):
            as_account(account, use)


def test_what_is_private_of_one_account_no_other_can_read(hub: dict[str, Any], homes: dict[str, Path]) -> None:
    def read(path: Path) -> str:
        try:
            return path.read_text()
        except PermissionError:
            return "refused"

    own = homes[A] / ".samp-1"
    for path in (Path(hub["lock_file"]), hub["ticket"], *own.rglob("users"), *own.rglob("hub-*"), *own.rglob("*.log")):
        for account in (B, C):
            assert as_account(account, lambda path=path: read(path)) == "refused", path


def test_it_is_found_under_its_accounts_name_and_nobody_passes_for_it(
    hub: dict[str, Any], homes: dict[str, Path], home: Path
) -> None:
    def listed() -> list[tuple[str, str]]:
        return [(each.label, each.account) for each in Farm().hubs()]

    assert as_account(B, listed, homes[B]) == [(LABEL, A)]
    assert as_account(C, listed, homes[C]) == []
    (file,) = (home / "shared").iterdir()
    assert file.stat().st_uid == as_account(A, os.getuid)

    def pretend() -> None:
        (home / "shared" / "hub-0-1").write_text(file.read_text())
        for harm in (file.unlink, lambda: file.write_text("x"), lambda: os.rename(file, home / "shared" / "hub-x")):
            with pytest.raises(PermissionError):
                harm()

    as_account(C, pretend)
    assert as_account(B, listed, homes[B]) == [(LABEL, A)]

    def enter() -> str:
        with SAMPIntegratedClient("of B") as client:
            client.connect(label=LABEL)
            return str(client.get_metadata(client.get_public_id())["hubfarm.account"])

    assert as_account(B, enter, homes[B]) == B


def _is_bound(sock: socket.socket, place: tuple[str, int]) -> bool:
    try:
        sock.bind(place)
    except OSError:
        return False  # who was killed is not gone yet
    return True


def test_who_has_got_a_dead_hubs_port_is_shown_nothing_by_anybody(
    hub: dict[str, Any], homes: dict[str, Path], home: Path
) -> None:
    end_all(home)
    (shared,) = (home / "shared").iterdir()
    with socket.socket() as of_c:
        os.fchown(of_c.fileno(), as_account(C, os.getuid), -1)
        of_c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place = ("127.0.0.1", int(hub["url"].split(":")[2].split("/")[0]))
        wait_for(lambda: _is_bound(of_c, place), "the port is free")
        of_c.listen()

        def connect(**how: Any) -> None:
            SAMPIntegratedClient("led here").connect(timeout=5, **how)

        for account, how in (
            (A, {"hub": hub["lock_file"]}),
            (A, {"hub": hub["lock_file"], "user": "luigi", "password": PASSWORD}),
            (A, {"hub_params": hub["tokens"]}),
            (A, {"ticket": hub["ticket"]}),
            (A, {"hub": f"std-lockurl:file://{hub['ticket']}"}),
            (B, {"hub": shared}),
        ):
            with pytest.raises(SAMPHubError, match=f"listens the account {C}, and not {A}, whose hub it was"):
                as_account(account, lambda how=how: connect(**how), homes[account])
        for words in (["ping", "h"], ["exec", "h", "--", "env"], ["exec", str(hub["lock_file"]), "--", "env"]):
            done = command_as(A, *words, home=homes[A])
            assert (done.returncode, done.stdout) == (2, ""), words
        of_c.setblocking(False)
        with pytest.raises(BlockingIOError):
            of_c.accept()


def test_who_has_got_a_dead_clients_port_is_shown_nothing_by_its_hub_also_after_a_crash(
    homes: dict[str, Path], home: Path
) -> None:
    done = command_as(A, "start", "--label", "open", "--json", home=homes[A])
    (hub,) = json.loads(done.stdout)

    def join_and_die() -> tuple[int, str]:
        client = Receiver().join_by(Path(hub["lock_file"]), "of A", "test.*")
        return client.port, client.id

    def send(text: str) -> Any:
        tokens = read_lock_file(next((homes[A] / ".samp-1").glob("samp-hub-*")))
        with ServerProxy(tokens["samp.hub.xmlrpc.url"]) as proxy:
            key = proxy.samp.hub.register(tokens["samp.secret"])["samp.private-key"]
            return proxy.samp.hub.notifyAll(key, message("test.it", text=text))

    def listed() -> list[dict[str, Any]]:
        return list(json.loads(command_as(A, "ls", "--json", home=homes[A]).stdout))

    log = homes[A] / ".samp-1" / ".hubfarm" / os.uname().nodename / "logs" / "open.log"

    def is_refused(id: str) -> bool:
        return any(f"{id}" in line and "calls nobody back" in line for line in log.read_text().splitlines())

    for falls in (False, True):
        port, id = as_account(A, join_and_die)
        with socket.socket() as of_c:
            os.fchown(of_c.fileno(), as_account(C, os.getuid), -1)
            of_c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            of_c.bind(("127.0.0.1", port))
            of_c.listen()
            if falls:
                (present,) = listed()
                os.kill(present["pid"], signal.SIGKILL)
                wait_for(lambda: [each for each in listed() if each["restarts"] == 1], "a successor serves")
            assert id in as_account(A, lambda: send("for A alone"))
            wait_for(lambda id=id: is_refused(id), "the hub calls C back no more than anybody")
            of_c.setblocking(False)
            with pytest.raises(BlockingIOError):
                of_c.accept()
