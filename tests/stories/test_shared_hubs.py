"""A hub that is shared with another account is found there, under its owner's name, and nobody can pass for that."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hubfarm.access.shared  # what other accounts may not be able to read is loaded before
import hubfarm.cli.look
import hubfarm.registry.programs  # noqa: F401
from hubfarm import Farm, SAMPIntegratedClient, WrongUse
from hubfarm.registry.listing import HubInfo
from tests.accounts import B, C, as_account, three_accounts
from tests.stories.test_restricted_hubs import restarted
from tests.support import need, read_lock_file, wait_for

SHARED_LABEL = "root/h"


@pytest.fixture(autouse=True)
def _accounts() -> Iterator[None]:
    with three_accounts():
        yield


@pytest.fixture
def shared(home: Path) -> Path:
    """The directory that accounts share, as /run/hubfarm is."""
    home.chmod(0o711)
    directory = home / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


@pytest.fixture
def homes(home: Path) -> dict[str, Path]:
    made = {}
    for account in (B, C):
        made[account] = home / account
        made[account].mkdir()
        shutil.chown(made[account], account)
    return made


@pytest.fixture
def hub(farm: Farm, shared: Path) -> HubInfo:
    """A hub of this account, shared with B."""
    return farm.start(label="h", access="listed", allow=[f"account:{B}"])[0]


def listed_by(account: str, homes: dict[str, Path]) -> list[tuple[str, str, str]]:
    def look() -> list[tuple[str, str, str]]:
        return [(each.label, each.kind.value, each.account) for each in Farm().hubs()]

    return as_account(account, look, homes[account])  # type: ignore[no-any-return]


def test_who_is_allowed_finds_it_under_its_owners_name_and_others_do_not(
    farm: Farm, hub: HubInfo, homes: dict[str, Path], shared: Path
) -> None:
    assert listed_by(B, homes) == [(SHARED_LABEL, "shared", "root")]
    assert listed_by(C, homes) == []
    assert [each.label for each in farm.hubs()] == ["h"]
    (file,) = shared.iterdir()
    assert read_lock_file(hub.lock_file)["samp.secret"] not in file.read_text()

    def enter() -> Any:
        with SAMPIntegratedClient("of B") as client:
            client.connect(label=SHARED_LABEL)
            return client.get_metadata(client.get_public_id())

    assert as_account(B, enter, homes[B]) == {
        "samp.name": "of B",
        "hubfarm.account": B,
        "hubfarm.door": "standard",
    }

    def end() -> None:
        Farm().stop([SHARED_LABEL])

    with pytest.raises(WrongUse, match="that account ends it"):
        as_account(B, end, homes[B])


@pytest.mark.interop
def test_unmodified_jsamp_of_the_other_account_enters_by_what_exec_gives_it(
    hub: HubInfo, homes: dict[str, Path]
) -> None:
    jsamp = need("jsamp")

    def tell() -> tuple[int, str]:
        environment = os.environ | Farm().environment(SHARED_LABEL, [jsamp])
        command = [jsamp, "messagesender", "-mode", "notify", "-mtype", "samp.app.ping"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, cwd="/"
        )
        return done.returncode, done.stdout + done.stderr

    assert as_account(B, tell, homes[B])[0] == 0


def test_false_hub_is_not_taken_for_another_accounts(
    farm: Farm, hub: HubInfo, homes: dict[str, Path], shared: Path
) -> None:
    (true,) = shared.iterdir()
    text = true.read_text()
    url = f"samp.hub.xmlrpc.url={hub.url}"

    def put_false_ones() -> None:
        (shared / "hub-0-0123456789abcdef").write_text(text)  # leads to the true one: not C's
        with socket.create_server(("127.0.0.1", 0)) as of_c:
            mine = text.replace(url, f"samp.hub.xmlrpc.url=http://127.0.0.1:{of_c.getsockname()[1]}/xmlrpc")
            for name, content in {"hub-0-1": mine, "hub-2": "nonsense", "hub-3": "\0" * 10**6}.items():
                (shared / name).write_text(content)
                (shared / name).chmod(0o644)
            (shared / "hub-4").symlink_to(true)
            os.mkfifo(shared / "hub-5")
            seen.append(listed_by_fork())

    def listed_by_fork() -> list[str]:
        # C can only look as itself: what B sees meanwhile is asked below, with C's server still there.
        return sorted(path.name for path in shared.iterdir())

    seen: list[list[str]] = []
    as_account(C, put_false_ones)
    assert listed_by(B, homes) == [(SHARED_LABEL, "shared", "root")]

    uid_of_c = as_account(C, os.getuid)
    with socket.socket() as of_c:
        # A server of C's that lives as long as B looks: made here, and handed to C, for whom the kernel takes it.
        os.fchown(of_c.fileno(), uid_of_c, -1)
        of_c.bind(("127.0.0.1", 0))
        of_c.listen()
        mine = text.replace(url, f"samp.hub.xmlrpc.url=http://127.0.0.1:{of_c.getsockname()[1]}/xmlrpc")

        def put() -> None:
            (shared / "hub-0-2").write_text(mine)
            (shared / "hub-0-2").chmod(0o644)

        as_account(C, put)
        assert sorted(listed_by(B, homes)) == [(f"{C}/h", "shared", C), (SHARED_LABEL, "shared", "root")]

        def where() -> str:
            return Farm().find(SHARED_LABEL).url

        assert as_account(B, where, homes[B]) == hub.url
        with pytest.raises(WrongUse, match="no running hub is meant by 'h'"):
            as_account(B, lambda: Farm().find("h"), homes[B])


def test_it_is_shared_again_after_a_crash_and_gone_with_the_hub_or_its_permission(
    farm: Farm, hub: HubInfo, homes: dict[str, Path], shared: Path
) -> None:
    before = {path.name for path in shared.iterdir()}
    assert hub.pid is not None
    os.kill(hub.pid, signal.SIGKILL)
    restarted(farm, hub)
    assert {path.name for path in shared.iterdir()} == before  # who was led to it finds it there
    for path in shared.iterdir():
        path.unlink()
    wait_for(lambda: list(shared.iterdir()), "the hub puts it back")
    farm.users.add("luigi", "a password")
    farm.set_access("h", "users")
    assert list(shared.iterdir()) == []
    farm.set_access("h", "users", [f"account:{B}"])
    assert len(list(shared.iterdir())) == 1
    farm.stop(["h"])
    assert list(shared.iterdir()) == []


def test_directory_in_which_others_could_replace_it_is_not_used(
    farm: Farm, homes: dict[str, Path], shared: Path
) -> None:
    shared.chmod(0o777)
    farm.start(label="h", access="listed", allow=[f"account:{B}"])
    assert list(shared.iterdir()) == []
    assert f"chmod +t {shared}" in farm.log_file("h").read_text()
    assert listed_by(B, homes) == []
    shared.chmod(0o1777)
    wait_for(lambda: list(shared.iterdir()), "the hub is shared once the directory is safe")
    assert listed_by(B, homes) == [(SHARED_LABEL, "shared", "root")]
