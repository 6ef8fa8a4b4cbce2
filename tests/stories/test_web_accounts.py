"""Two accounts, each with a whole farm: its pages and programs meet there, and it learns nothing of the other's."""

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault, ProtocolError, ServerProxy

import pytest

from tests.accounts import A, B, C, as_account, command_as, three_accounts
from tests.conftest import remains
from tests.stories import test_web_switchboard
from tests.stories.test_web_pages import A as ORIGIN
from tests.stories.test_web_pages import Page, in_the_background
from tests.support import PATIENCE, Receiver, message, running, wait_for

switchboard = test_web_switchboard.switchboard

SENT = Path("/etc/passwd")
"""A file that a program sends to its page; every account may read it, and nobody else's page."""

REFUSED = (Fault, OSError, HTTPException, ProtocolError)


@dataclass
class Household:
    """What one account has."""

    account: str
    home: Path
    lock_file: Path

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return command_as(self.account, *words, home=self.home)

    def web(self) -> Any:
        return json.loads(self.command("status", "--json").stdout)["web"]


@pytest.fixture
def accounts(home: Path) -> Iterator[dict[str, Path]]:
    home.chmod(0o711)
    shared = home / "shared"
    shared.mkdir(exist_ok=True)
    shared.chmod(0o1777)
    with three_accounts():
        homes = {account: home / account[-1] for account in (A, B)}
        for account, directory in homes.items():
            directory.mkdir(mode=0o700)
            shutil.chown(directory, account, account)
        yield homes
        for account, directory in homes.items():
            command_as(account, "stop", "--all", "--coordinator", home=directory)
        for directory in homes.values():  # before their accounts go
            wait_for(lambda: not remains(directory), "both farms have ended")  # noqa: B023


def start(account: str, home: Path) -> Household:
    """Start an account's farm, of one hub that pages enter unasked."""
    for words in (["start", "--label", "one"], ["web", "trust", ORIGIN, "--hub", "one"]):
        done = command_as(account, *words, home=home)
        assert done.returncode == 0, done.stderr
    (hub,) = json.loads(command_as(account, "ls", "--json", home=home).stdout)
    return Household(account, home, Path(hub["lock_file"]))


def talk(of: Household, port: int, secret: str) -> tuple[str, str, list[str], str]:
    """Have a page and a program of an account talk; return key, translator, who else was there, and the hub's URL."""

    def both() -> tuple[str, str, list[str], str]:
        with Receiver() as program:
            program.join_by(of.lock_file, f"program of {of.account}", "table.load.votable")
            page = Page(port).register().callable("coord.pointAt.sky")
            page.hub.notify(page.key, program.id, message("table.load.votable", url=f"file:///{secret}-there"))
            assert program.next().params[2]["samp.params"]["url"] == f"file:///{secret}-there"
            program.hub.notify(program.key, page.id, message("coord.pointAt.sky", ra=f"{secret}-back", dec="0"))
            assert page.next("coord.pointAt.sky")[1][1]["samp.params"]["ra"] == f"{secret}-back"
            program.hub.notify(program.key, page.id, message("coord.pointAt.sky", url=SENT.as_uri()))
            page.next("coord.pointAt.sky")
            assert page.read(SENT.as_uri()) == (200, SENT.read_bytes())
            names = [
                page.hub.getMetadata(page.key, each).get("samp.name", "")
                for each in page.hub.getRegisteredClients(page.key)
            ]
            (where,) = [
                line.partition("=")[2].strip()
                for line in of.lock_file.read_text().splitlines()
                if line.startswith("samp.hub.xmlrpc.url=")
            ]
            return page.key, page.translator, names, where

    return as_account(of.account, both)  # type: ignore[no-any-return]


def gets_nothing(thief: str, port: int, key: str, translator: str, url: str, of: Household) -> None:
    """Try, as another account, all ways to what a page of an account has: none leads there."""

    def ask(method: str, *params: Any, at: str) -> Any:
        with ServerProxy(at) as proxy:
            return getattr(proxy, method)(*params)

    def read_by_the_translator() -> bytes:
        connection = HTTPConnection("localhost", port, timeout=PATIENCE)
        try:
            connection.request("GET", f"{urlsplit(translator).path}?{SENT.as_uri()}", headers={"Origin": ORIGIN})
            return connection.getresponse().read()
        finally:
            connection.close()

    def try_all() -> list[str]:
        # At once, as a farm waits a while for the hub of a key that it does not know: it may be coming back.
        tries = [
            in_the_background(lambda at=at, method=method, params=params: ask(method, key, *params, at=at))
            for at in (f"http://localhost:{port}/", url)
            for method, params in (("samp.webhub.pullCallbacks", ["0"]), ("samp.webhub.getRegisteredClients", []))
        ]
        reading = in_the_background(read_by_the_translator)
        for thread, _ in (*tries, reading):
            thread.join(PATIENCE)
        got = [f"by its key: {came}" for _, came in tries if not isinstance(came[0], REFUSED)]
        got += [f"by its translator: {read!r}" for read in reading[1] if SENT.read_bytes() in read]
        for path in (of.lock_file, *of.home.glob(".samp-1/*")):
            with contextlib.suppress(OSError):
                got.append(f"{path}: {path.read_bytes()!r}")
        return got

    assert as_account(thief, try_all) == []


def test_with_the_switchboard_each_accounts_pages_and_programs_meet_on_its_own_farm(
    switchboard: "subprocess.Popen[str]", accounts: dict[str, Path], web_port: int, tmp_path: Path
) -> None:
    households = {account: start(account, home) for account, home in accounts.items()}
    for each in households.values():
        assert each.web()["switchboard"]
    told = {account: talk(each, web_port, f"secret-{account}") for account, each in households.items()}
    for account, (_, _, names, _) in told.items():
        assert f"program of {account}" in names
        assert not any(f"program of {other}" in names for other in (A, B) if other != account)
    for of, thief in ((A, B), (B, C)):
        key, translator, _, url = told[of]
        gets_nothing(thief, web_port, key, translator, url, households[of])
    # Both have a page under their own key still, by the same address.
    for account, (key, _, _, _) in told.items():
        assert as_account(account, lambda key=key: is_known(web_port, key)) == (True, True)


def is_known(port: int, key: str) -> tuple[bool, bool]:
    """Whether the page of a key is answered, and by a farm that knows nobody but its own."""
    with ServerProxy(f"http://localhost:{port}/", headers=[("Origin", ORIGIN)]) as proxy:
        return True, "hub" in proxy.samp.webhub.getRegisteredClients(key)


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not there")
def test_the_switchboard_reads_and_writes_no_byte_of_what_two_farms_pages_say(
    switchboard: "subprocess.Popen[str]", accounts: dict[str, Path], web_port: int, tmp_path: Path
) -> None:
    households = [start(account, home) for account, home in accounts.items()]
    calls = tmp_path / "calls"
    command = ["strace", "-f", "-p", str(switchboard.pid), "-o", str(calls), "-s", "100000"]
    with running(*command, stderr=subprocess.PIPE) as tracing:
        assert tracing.stderr is not None
        if "attached" not in (said := tracing.stderr.readline()):
            pytest.skip(f"strace may not look here: {said}")
        for each in households:
            talk(each, web_port, f"secret-of-{each.account}")
        tracing.send_signal(signal.SIGINT)
        tracing.wait(PATIENCE)
    seen = calls.read_text()
    handed_over = [line for line in seen.splitlines() if "SCM_RIGHTS" in line]
    assert len(handed_over) >= 4  # at least one for each page's calls, and one for its pulls
    assert not any(word in seen for word in ("secret-of", "samp.webhub", "methodCall", "HTTP/1.1"))
    assert {line.partition('iov_base="')[2].partition('"')[0] for line in handed_over} == {"connection"}


def test_without_the_switchboard_the_first_farm_has_the_port_and_takes_nobody_elses_pages(
    accounts: dict[str, Path], web_port: int
) -> None:
    first, second = (start(account, home) for account, home in accounts.items())
    assert (first.web()["state"], second.web()["state"]) == ("asleep", "taken")
    key, translator, names, url = talk(first, web_port, "secret-a")
    assert f"program of {A}" in names
    gets_nothing(B, web_port, key, translator, url, first)
    with pytest.raises(Fault, match=f"is held by the account {A} and this page is of the account {B}"):
        as_account(B, lambda: Page(web_port).register())
    assert first.command("web", "ls", "--json").returncode == 0
    assert first.command("stop", "--all", "--coordinator", "--yes").returncode == 0
    wait_for(lambda: second.web()["state"] != "taken", "the other farm has the port now")
    _, _, names, _ = talk(second, web_port, "secret-b")
    assert f"program of {B}" in names
    with pytest.raises(Fault, match=f"is held by the account {B} and this page is of the account {A}"):
        as_account(A, lambda: Page(web_port).register())
