"""All farms of a host: root sees and ends them, and nothing that an account leaves in its home can harm root."""

import contextlib
import json
import mmap
import multiprocessing
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock  # noqa: F401 (the hub loads it late, and by then the account may not reach it)
import pytest

from hubfarm.farm import Farm, HubInfo, host
from hubfarm.farm.host import AccountFarm, all_farms, give_up_root
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.options import HubOptions
from hubfarm.worker.standalone import run_standalone
from tests.accounts import B, C, making_accounts
from tests.conftest import RunCli
from tests.support import PATIENCE, wait_for


@pytest.fixture
def homes(home: Path) -> Iterator[dict[str, Path]]:
    """The homes of two accounts."""
    home.chmod(0o711)
    with making_accounts():
        made = {B: home / "b", C: home / "c"}
        for name, place in made.items():
            place.mkdir(mode=0o700)
            subprocess.run(["useradd", "--no-create-home", "--home-dir", place, name], check=True)
            shutil.chown(place, name, name)
        yield made


def _serve(account: str, label: str, told: Callable[[object], None]) -> None:
    entry = pwd.getpwnam(account)
    give_up_root(entry)
    os.environ["HOME"] = entry.pw_dir
    run_standalone(HubOptions(label=label), multi=True, started=lambda running: told(None))


@contextlib.contextmanager
def hub_of(account: str, label: str) -> Iterator[None]:
    """Have an account run a hub.  In a fork: it may not be able to read where this Python lies."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(account, label, there.send), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(PATIENCE)
        here.recv()
        yield
    finally:
        process.kill()
        process.join(PATIENCE)
        here.close()


def farm_of(account: str) -> AccountFarm | None:
    return next((farm for farm in all_farms() if farm.account == account), None)


def hubs_of(account: str) -> list[HubInfo]:
    farm = farm_of(account)
    return farm.hubs if farm else []


def test_root_sees_every_accounts_hubs_with_their_memory(homes: dict[str, Path], cli: RunCli) -> None:
    with hub_of(B, "night"), hub_of(C, "day"):
        wait_for(lambda: hubs_of(B) and hubs_of(C), "both are seen")
        (seen,) = hubs_of(B)
        assert (seen.label, seen.account, seen.state, seen.clients) == ("night", B, "running", 0)
        assert 2**20 < (seen.memory or 0) < 2**28
        hubs = {hub["account"]: hub for hub in json.loads(cli("ls", "--all-users", "--json").stdout)}
        assert (hubs[B]["label"], hubs[C]["label"]) == ("night", "day")
        shown = cli("ls", "--all-users", "--label", "night")
        header, line = shown.stdout.splitlines()
        assert "ACCOUNT" in header
        assert "MEM MB" in header
        assert B in line
        assert "1 hub, 0 clients; all processes of hubfarm on this host take" in shown.stderr


def test_own_farm_is_seen_as_any_other_and_nothing_of_it_changes(homes: dict[str, Path], farm: Farm) -> None:
    farm.start()
    (before,) = farm.hubs()
    all_farms()
    assert [hub.pid for hub in farm.hubs()] == [before.pid]
    assert not (homes[B] / ".samp-1").exists()  # looking makes nothing


def test_others_are_told_that_it_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(WrongUse, match="takes root: sudo hubfarm"):
        all_farms()
    with pytest.raises(WrongUse, match="takes root: sudo hubfarm"):
        host.become("root")


# ---------------------------------------------------------------------- what is planted


def planted(lock_directory: Path, what: str) -> None:
    """Lay something where a lock file, the farm's directory or the state table is looked for."""
    runtime = lock_directory / ".hubfarm" / os.uname().nodename
    match what:
        case "fifo":
            os.mkfifo(lock_directory / "samp-hub-1-1")
        case "fifo for the state":
            runtime.mkdir(parents=True)
            os.mkfifo(runtime / "state")
        case "link to a secret":
            (lock_directory / "samp-hub-1-1").symlink_to("/etc/shadow")
        case "device":
            (lock_directory / "samp-hub-1-1").symlink_to("/dev/zero")
        case "rubbish":
            (lock_directory / "samp-hub-1-1").write_bytes(os.urandom(5000))
        case "huge":
            with (lock_directory / "samp-hub-1-1").open("wb") as file:
                file.truncate(2**40)
        case "many":
            for number in range(20_000):
                (lock_directory / f"samp-hub-{number}-1").touch()
    for directory, names, files in os.walk(lock_directory):
        for name in (*names, *files, "."):
            shutil.chown(Path(directory, name), C, C) if not Path(directory, name).is_symlink() else None


def test_root_sees_them_from_a_large_program_too(homes: dict[str, Path]) -> None:
    with hub_of(B, "night"), mmap.mmap(-1, 2**31):  # address space that nobody uses
        wait_for(lambda: [hub.label for hub in hubs_of(B)] == ["night"], "it is seen")


@pytest.mark.parametrize(
    "what", ["fifo", "fifo for the state", "link to a secret", "device", "rubbish", "huge", "many"]
)
def test_nothing_that_is_planted_keeps_root_from_seeing_the_others(
    homes: dict[str, Path], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "LOOK_TIMEOUT", 2.0)
    directory = homes[C] / ".samp-1"
    directory.mkdir(mode=0o700)
    planted(directory, what)
    with hub_of(B, "night"):
        wait_for(lambda: [hub.label for hub in hubs_of(B)] == ["night"], "the other is seen")
    assert hubs_of(C) == []


@pytest.mark.parametrize("target", ["/etc", "/root", "/dev"])
def test_link_for_the_lock_directory_is_not_followed(homes: dict[str, Path], target: str) -> None:
    (homes[C] / ".samp-1").symlink_to(target)
    farm = farm_of(C)
    assert farm is not None
    assert farm.hubs == []
    assert "must be a directory, and is none" in farm.problem


def test_what_an_account_tells_is_checked(monkeypatch: pytest.MonkeyPatch, homes: dict[str, Path]) -> None:
    """The looking process told something else than hubs: as if an account had got hold of it."""
    for told in (b"", b"[]", b'{"hubs": [{"id": "x"}], "problem": ""}', b"[" * 10_000):
        monkeypatch.setattr(host, "_look", lambda account, there, told=told: (os.write(there, told), os._exit(0)))
        farm = farm_of(C)
        assert farm is not None
        assert (farm.hubs, farm.problem) == ([], "what it told makes no sense")


def test_looking_has_an_end(monkeypatch: pytest.MonkeyPatch, homes: dict[str, Path]) -> None:
    monkeypatch.setattr(host, "LOOK_TIMEOUT", 0.2)
    entry = pwd.getpwnam(C)
    monkeypatch.setattr(pwd, "getpwall", lambda: [entry])
    monkeypatch.setattr(host, "_look", lambda account, there: signal_pause())
    farm = farm_of(C)
    assert farm is not None
    assert farm.problem == "looking took more than 0.2 s"


def signal_pause() -> None:
    import signal

    signal.pause()


# ---------------------------------------------------------------------- ended


def test_root_ends_what_an_account_runs(homes: dict[str, Path], cli: RunCli) -> None:
    with hub_of(B, "night"), hub_of(C, "day"):
        wait_for(lambda: hubs_of(B) and hubs_of(C), "both are seen")
        done = cli("stop", "--user", B)
        assert done.stdout == "stopped night\n", done.stderr
        assert [hub.label for hub in hubs_of(C)] == ["day"]
        assert hubs_of(B) == []
        lines = (homes[B] / ".samp-1" / ".hubfarm" / os.uname().nodename / "history").read_text()
        assert '"user": "hubfarm-t-b (sudo by ' in lines
        assert cli("stop", "--user", B).stdout == "no hub to stop\n"
        assert cli("stop", "--user", C, "day").stdout == "stopped day\n"


def test_account_that_is_none_is_wrong_use(cli: RunCli) -> None:
    done = cli("stop", "--user", "nobody-of-this-name")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "there is no account 'nobody-of-this-name' on this host" in done.stderr
