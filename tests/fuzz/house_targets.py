"""What is fuzzed beside the wire: lock files, users and tickets as they are read, tables, lines to the coordinator."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection
from hashlib import sha256
from operator import itemgetter
from pathlib import Path

from hubfarm.access.authenticators import FileAuthenticator, Identity
from hubfarm.access.users import Users
from hubfarm.cli.enter import described
from hubfarm.cli.show import table_lines
from hubfarm.cli.table import Column, Cut, fitted, plain, width_of
from hubfarm.client.discovery import entries_near
from hubfarm.control.protocol import Restart, Start, Stop, decode_event, decode_hello, decode_request
from hubfarm.hub.said_by_hub import metadata_of
from hubfarm.registry.listing import found_hubs
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import select
from hubfarm.registry.sweep import sweep
from hubfarm.registry.tickets import Tickets
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.hub_request import specs_for
from hubfarm.spec.principal import Principal


class _LockFileBench:
    """A home with two lock files of what is fuzzed: one among the hubs, one the standard's."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="hf-fuzz-", dir="/tmp")
        home = Path(self._directory.name)
        self.paths = Paths(home, home / ".samp-1" / ".hubfarm" / "host", "host").prepare()
        self.lockdir = LockDir(self.paths)
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.files = self.paths.lockdir / f"samp-hub-{ended.pid}-1", self.paths.single

    def put(self, data: bytes) -> None:
        """Let both lock files be `data`, and old enough to be swept."""
        then = time.time() - 3600
        for file in self.files:
            file.write_bytes(data)
            os.utime(file, (then, then))


_LOCK_FILES: list[_LockFileBench] = []


def nobody_answers(_: Collection[str]) -> Collection[str]:
    """Ask no hub."""
    return ()


def fuzz_lock_files(data: bytes) -> None:
    """Discovery, listing and sweep go on whatever is in a lock file, and what they print is fit to be seen."""
    if not _LOCK_FILES:
        _LOCK_FILES.append(_LockFileBench())
    bench = _LOCK_FILES[0]
    bench.put(data)
    for entry in entries_near(bench.paths):
        assert not entry.problem
        assert str(entry.names).isprintable()
    hubs = found_hubs(bench.lockdir, lambda urls: urls)
    assert hubs
    for hub in hubs:
        assert not hub.alive or hub.kind == "foreign"  # nobody holds a guard here
        hub.as_json()
        with contextlib.suppress(WrongUse):
            select(hubs, hub.name)
    for verdict in sweep(bench.lockdir, nobody_answers, dry_run=True):
        assert verdict.path in bench.files
        assert verdict.reason


def fuzz_tables(data: bytes) -> None:
    """Whatever others call themselves, a table has nothing in it that a terminal would take for a command."""
    text = data.decode("utf-8", "surrogateescape")
    rows = [[text[start::5] for start in range(5)], [text[start::7] for start in range(5)]]
    columns: list[Column[list[str]]] = [
        Column(name=name, of=itemgetter(number), cut=Cut.NEVER if number == 3 else Cut.END, priority=number)
        for number, name in enumerate(("label", "owner", "url", "id", "why"))
    ]
    for width in (None, 40):
        grid = plain(columns, rows) if width is None else fitted(columns[:3], rows, width)
        for line in table_lines(grid, None):
            assert line.isprintable(), ascii(line)
            assert width is None or width_of(line) <= width
            line.encode()


def fuzz_control(data: bytes) -> None:
    """Any line to the coordinator is understood, or refused in one line."""
    for decode in (decode_hello, decode_request, decode_event):
        refused = ""
        told = None
        try:
            told = decode(data)
        except WrongUse as error:
            refused = str(error)
        assert len(refused.splitlines()) == (told is None)
        if isinstance(told, Start):
            assert len(specs_for(told.requests, ())) <= MAX_HUBS
        elif isinstance(told, Stop | Restart):
            assert all(isinstance(each, int) for each in told.ids)


class _AccessBench:
    """A users file and a ticket of what is fuzzed."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="hf-fuzz-", dir="/tmp")
        home = Path(self._directory.name)
        self.paths = Paths(home, home / ".samp-1" / ".hubfarm" / "host", "host").prepare()
        self.id = "0123456789abcdef"
        self.secret = f"{self.id}-{'5' * 32}"
        self.paths.users.touch(mode=0o600)
        self.record = self.paths.tickets / f"{self.id}.ticket"


_ACCESS: list[_AccessBench] = []


def _access() -> _AccessBench:
    if not _ACCESS:
        _ACCESS.append(_AccessBench())
    return _ACCESS[0]


def fuzz_users(data: bytes) -> None:
    """Whatever stands in a users file is users whose names can be shown and sent, or an error; no password is right."""
    bench = _access()
    bench.paths.users.write_bytes(data)
    users = Users(bench.paths.users)
    try:
        found = users.all()
    except HubfarmError:
        return
    for user in found:
        json.dumps(user.as_json())
        identity = Identity(user=user.name, groups=user.groups, admin=user.admin)
        metadata_of(Principal(user=identity.user, groups=identity.groups)).decode()
    for user in found[:1]:
        with contextlib.suppress(HubfarmError):
            assert FileAuthenticator(users).authenticate(user.name, "\0 not a password") is None


def fuzz_tickets(data: bytes) -> None:
    """Whatever stands in a ticket's record is a ticket of that id, or none; only its secret lets in."""
    bench = _access()
    bench.record.write_bytes(data)
    tickets = Tickets(bench.paths)
    ticket = tickets.get(bench.id)
    assert tickets.has_ended(bench.id) == (ticket is None or not tickets.counts(ticket))
    assert tickets.all() == ([ticket] if ticket and ticket.admits and tickets.counts(ticket) else [])
    for each in tickets.all():
        json.dumps(described(each))
        str(Principal(user=each.user, groups=each.groups, ticket=each.id))
    shown = tickets.shown(bench.secret, ticket.hub if ticket else "")
    assert shown is None or shown.digest == sha256(bench.secret.encode()).hexdigest()
    left = [] if ticket is not None and tickets.counts(ticket) else [bench.record]
    assert list(tickets.left_over()) == left


HOUSE_TARGETS: dict[str, Callable[[bytes], None]] = {
    "lock_files": fuzz_lock_files,
    "tables": fuzz_tables,
    "control": fuzz_control,
    "users": fuzz_users,
    "tickets": fuzz_tickets,
}
