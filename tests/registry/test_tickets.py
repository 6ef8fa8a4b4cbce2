"""Tickets: who they are of, for which hub, for how long; and that their end is one."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.sweep import sweep
from hubfarm.registry.tickets import Ticket, Tickets, mark_of
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.support import read_lock_file

HUB = {
    "samp.secret": "the hub's secret",
    "samp.hub.xmlrpc.url": "http://127.0.0.1:9/xmlrpc",
    "samp.profile.version": "1.3",
    "samp.hub.label": "mima-1",
    "hubfarm.id": "7",
    "hubfarm.guard": "/somewhere",
    "hubfarm.access": "users",
}
MARK = mark_of(7, HUB["samp.secret"])


@pytest.fixture
def tickets(paths: Paths) -> Tickets:
    return Tickets(paths)


def make(tickets: Tickets, user: str = "luigi", **more: Any) -> tuple[Ticket, str]:
    """Return a ticket and its secret."""
    settings: dict[str, Any] = {"groups": ("mima",), "admin": False, "seconds": 60.0} | more
    ticket, lock_file = tickets.make(HUB, user=user, **settings)
    return ticket, read_lock_file(lock_file)["samp.secret"]


def test_lock_file_leads_to_the_hub_by_a_secret_that_is_kept_as_a_digest_only(tickets: Tickets, paths: Paths) -> None:
    ticket, lock_file = tickets.make(HUB, user="luigi", groups=(), admin=False, seconds=60.0)
    tokens = read_lock_file(lock_file)
    secret = tokens.pop("samp.secret")
    assert tokens == {name: value for name, value in HUB.items() if name not in ("samp.secret", "hubfarm.access")}
    for path in paths.tickets.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert (secret in path.read_text()) == (path == lock_file)
    assert tickets.shown(secret, MARK) == ticket


def test_only_the_very_secret_counts_and_only_at_its_hub(tickets: Tickets) -> None:
    ticket, secret = make(tickets)
    for wrong in ("", secret[:-1], secret + "0", secret.upper() + "x", f"{ticket.id}-{'0' * 32}", f"../{secret}", "ü"):
        assert tickets.shown(wrong, MARK) is None
    assert tickets.shown(secret, mark_of(7, "another hub's secret")) is None
    assert tickets.shown(secret, mark_of(8, HUB["samp.secret"])) is None


def test_it_counts_no_more_when_its_time_is_over_or_it_is_revoked(tickets: Tickets, paths: Paths) -> None:
    _, secret = make(tickets, seconds=0.001)
    time.sleep(0.002)
    assert tickets.shown(secret, MARK) is None
    ticket, secret = make(tickets)
    tickets.revoke(ticket.id)
    assert tickets.shown(secret, MARK) is None
    assert tickets.all() == []


def test_ticket_of_a_program_ends_with_it_however_it_ends(tickets: Tickets, paths: Paths) -> None:
    program = f"""
import os, sys
from hubfarm.registry.paths import Paths
from hubfarm.registry.tickets import Tickets
ticket, path = Tickets(Paths.from_environment()).make(
    {HUB!r}, user="luigi", groups=(), admin=False, seconds=60.0, for_this_process=True)
print(path, flush=True)
os.execvp("cat", ["cat"])
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lock_file = Path(process.stdout.readline().decode().strip())
        secret = read_lock_file(lock_file)["samp.secret"]
        assert tickets.shown(secret, MARK) is not None
        assert list(tickets.left_over()) == []
        process.kill()
    assert tickets.shown(secret, MARK) is None
    removed = [verdict.path for verdict in sweep(LockDir(paths), lambda urls: ()) if verdict.removed]
    assert lock_file in removed
    assert list(paths.tickets.iterdir()) == []


def test_user_who_was_changed_has_no_tickets_and_others_have_theirs(tickets: Tickets) -> None:
    ticket, secret = make(tickets)
    gone, _ = make(tickets, user="paul")
    other, _ = make(tickets, user="anna")
    assert tickets.close("luigi", disconnect=False) == 1
    assert tickets.close("paul", disconnect=True) == 1
    assert tickets.shown(secret, MARK) is None
    assert tickets.all() == [other]
    kept = tickets.get(ticket.id)
    assert kept is not None
    assert tickets.counts(kept)  # who came in by it may stay
    assert tickets.get(gone.id) is None


def test_damaged_record_is_no_ticket(tickets: Tickets, paths: Paths) -> None:
    ticket, secret = make(tickets)
    record = paths.tickets / f"{ticket.id}.ticket"
    for text in ("", "{}", "[1]", msgspec.json.encode(ticket).decode()[:-5], "\0" * 100):
        record.write_text(text)
        assert tickets.shown(secret, MARK) is None
    record.unlink()
    os.mkfifo(record)
    assert tickets.shown(secret, MARK) is None


def test_ticket_that_cannot_be_read_now_lets_in_nobody_and_has_not_ended(
    tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, secret = make(tickets)

    def out_of_descriptors(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("hubfarm.registry.tickets.read_private", out_of_descriptors)
        assert tickets.shown(secret, MARK) is None
        assert not tickets.has_ended(ticket.id)
    assert not tickets.has_ended(ticket.id)
    tickets.revoke(ticket.id)
    assert tickets.has_ended(ticket.id)


def test_record_of_another_ticket_or_of_no_time_that_can_be_is_damaged(tickets: Tickets, paths: Paths) -> None:
    ticket, _ = make(tickets)
    record = paths.tickets / f"{ticket.id}.ticket"
    kept = record.read_text()
    for old, new in (
        (ticket.id, "0" * 16),
        (ticket.id, "../../precious"),
        (f'"until":{ticket.until!r}', '"until":1e300'),
        (f'"made":{ticket.made!r}', '"made":-1'),
    ):
        assert old in kept
        record.write_text(kept.replace(old, new))
        assert tickets.get(ticket.id) is None
        assert tickets.has_ended(ticket.id)
        assert tickets.all() == []


def test_ticket_that_cannot_be_written_whole_leaves_nothing(
    tickets: Tickets, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, text: str) -> None:
        if path.suffix == ".samp":
            raise HubfarmError(f"cannot write {path}: No space left on device")
        path.write_text(text)

    monkeypatch.setattr("hubfarm.registry.tickets.write_private", write)
    with pytest.raises(HubfarmError, match="No space left"):
        make(tickets)
    assert list(paths.tickets.iterdir()) == []


def test_beginning_of_an_id_names_a_ticket_if_it_is_the_only_one(tickets: Tickets) -> None:
    ticket, _ = make(tickets)
    assert tickets.find(ticket.id[:8]) == ticket
    for wrong in ("", "z", "../"):
        with pytest.raises(WrongUse, match="hubfarm ticket ls"):
            tickets.find(wrong)
