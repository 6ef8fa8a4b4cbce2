"""Tickets: for a while, somebody is a certain user on a certain hub, and need not show a password.

A ticket is a secret in a lock file of its own, which leads an unmodified program to the hub, and a record of whose it
is.  The record has a digest of the secret, whose 128 random bits need no slow one.  Each ticket has files of its own:
to make one or to revoke one needs no lock, and a hub that is shown one reads one file.

Rule: a ticket counts as long as its record is there, its time has not run out, and the program that it was made
for holds its guard, if it was made for one.
"""

import contextlib
import errno
import hmac
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec

from hubfarm.registry.entry import GUARD, GUARD_FILE
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import Lock, guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.whereabouts import TOKENS
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse

_SECRET = re.compile("([0-9a-f]{16})-[0-9a-f]{32}", re.ASCII)

_LATEST = 1e10
"""No ticket is made later, seconds since 1970: in the year 2286."""

_CARRIED = (
    lockfile.URL,
    lockfile.VERSION,
    "hub.id",
    "samp.hub.label",
    "hub.label",
    "hubfarm.id",
    "hubfarm.pid",
    lockfile.TLS_CERTIFICATE,
    lockfile.TLS_CERT_FILE,
    lockfile.TLS_FINGERPRINT,
    *TOKENS,
    GUARD,
    GUARD_FILE,
)
"""What a ticket's lock file says as the hub's does; the last ones show whether the hub still lives, and where."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a ticket.

    Parameters
    ----------
    id : str
        Names it, and is no secret.
    user : str
        Whose it is.
    groups : tuple of str
        Of which groups that user is.
    admin : bool
        That user may enter every hub.
    hub : str
        For which hub; see `mark_of`.
    label : str
        What people call that hub.
    digest : str
        SHA-256 of its secret.
    made, until : float
        From when to when it counts, seconds since 1970.
    guarded : bool
        It counts only as long as a program holds its guard.
    admits : bool
        It lets in; otherwise those who came in by it may stay, and nobody else enters.
    shared : bool
        Its lock file is handed out by the hub, to whoever asks by its secret.
    revision : int
        The users file's, from before the password was checked; see `hubfarm.access.users.Content`.
    """

    id: str
    user: str
    groups: tuple[str, ...]
    admin: bool
    hub: str
    label: str
    digest: str
    made: float
    until: float
    guarded: bool = False
    admits: bool = True
    shared: bool = False
    revision: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.made <= _LATEST and 0 <= self.until <= 2 * _LATEST):
            raise ValueError("no ticket is of these times")


def _digest_of(secret: str) -> bytes:
    return sha256(secret.encode()).hexdigest().encode()


def is_ticket(secret: str) -> bool:
    """Tell whether a secret has the form of a ticket's."""
    return _SECRET.fullmatch(secret) is not None


def mark_of(id: int, secret: str) -> str:
    """Return what tells a hub from all others as long as it lasts, restarts included, and tells no secret.

    Parameters
    ----------
    id : int
        The hub's.
    secret : str
        The hub's; people may choose one, and the same for two hubs.
    """
    return sha256(f"hubfarm hub {id} {secret}".encode()).hexdigest()[:32]


class Tickets:
    """The tickets of a farm.

    Parameters
    ----------
    paths : Paths
        Where they lie.
    """

    def __init__(self, paths: Paths) -> None:
        self._directory = paths.tickets

    def make(
        self,
        hub: Mapping[str, str],
        *,
        user: str,
        groups: tuple[str, ...],
        admin: bool,
        revision: int = 0,
        seconds: float,
        for_this_process: bool = False,
        shared: bool = False,
    ) -> tuple[Ticket, Path]:
        """Make a ticket; return it and its lock file.

        Parameters
        ----------
        hub : dict
            The content of the lock file of a hub of hubfarm.
        user, groups, admin, revision
            Whose it is; as in `Ticket`.
        seconds : float
            How long it counts.
        for_this_process : bool
            It counts only as long as this process, or the program that takes its place (exec), lives.
        shared : bool
            As in `Ticket`.

        Raises
        ------
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        id, now = secrets.token_hex(8), time.time()
        secret = f"{id}-{secrets.token_hex(16)}"
        label = hub.get("samp.hub.label", "")
        mark = mark_of(int(hub["hubfarm.id"]), hub[lockfile.SECRET])
        ticket = Ticket(
            id=id,
            user=user,
            groups=groups,
            admin=admin,
            revision=revision,
            hub=mark,
            label=label,
            digest=_digest_of(secret).decode(),
            made=now,
            until=now + seconds,
            guarded=for_this_process,
            shared=shared,
        )
        tokens = {lockfile.SECRET: secret} | {name: hub[name] for name in _CARRIED if name in hub}
        try:
            if for_this_process:
                self._guard(id)
            self._write(ticket)
            write_private(self._lock_file(id), lockfile.write(tokens, f"a ticket of {user} for the SAMP hub {label}"))
        except BaseException:
            self.revoke(id)  # nobody could use it
            raise
        return ticket, self._lock_file(id)

    def _guard(self, id: str) -> None:
        guard = Lock(self._directory / f"{id}.guard")
        try:
            guard.acquire(timeout=0)
        except OSError as error:
            raise HubfarmError(f"cannot make {guard.path}: {error.strerror}") from None
        guard.keep_over_exec()

    def _write(self, ticket: Ticket) -> None:
        write_private(self._record(ticket.id), msgspec.json.encode(ticket).decode())

    def shown(self, secret: str, hub_mark: str) -> Ticket | None:
        """Return the ticket whose secret somebody has shown at a hub, if it lets in there.

        Parameters
        ----------
        secret : str
            What was shown.
        hub_mark : str
            The hub's; see `mark_of`.
        """
        found = _SECRET.fullmatch(secret)
        ticket = self.get(found[1]) if found else None
        if ticket is None or not hmac.compare_digest(ticket.digest.encode(), _digest_of(secret)):
            return None
        return ticket if ticket.hub == hub_mark and ticket.admits and self.counts(ticket) else None

    def lock_file_of(self, ticket: Ticket) -> dict[str, str]:
        """Return the content of a ticket's lock file; empty if it was revoked meanwhile."""
        try:
            return lockfile.parse(read_private(self._lock_file(ticket.id)))
        except (OSError, BadLockFile):
            return {}

    def get(self, id: str) -> Ticket | None:
        """Return the ticket of this id, if there is one."""
        try:
            return self._read(id)
        except (OSError, BadLockFile):
            return None

    def _read(self, id: str) -> Ticket:
        """Return the ticket of this id.

        Raises
        ------
        OSError
            There is none, or it cannot be read.
        BadLockFile
            It is damaged.
        """
        try:
            ticket = msgspec.json.decode(read_private(self._record(id)), type=Ticket)
        except msgspec.DecodeError as error:
            raise BadLockFile(str(error)) from None
        if ticket.id != id:
            raise BadLockFile("it is another ticket's")
        return ticket

    def has_ended(self, id: str) -> bool:
        """Tell whether a ticket counts no more; of one that cannot be read now, that is not known."""
        try:
            return not self.counts(self._read(id))
        except (FileNotFoundError, BadLockFile):
            return True
        except OSError as error:
            return error.errno == errno.ELOOP  # a link that somebody has put there is no ticket

    def counts(self, ticket: Ticket) -> bool:
        """Tell whether a ticket's time has not run out, and the program that it was made for lives."""
        alive = not ticket.guarded or guard_is_held(self._directory / f"{ticket.id}.guard")
        return alive and time.time() < ticket.until

    def all(self) -> list[Ticket]:
        """Return the tickets that let in, the oldest first."""
        found = [ticket for id in self.ids() if (ticket := self.get(id)) and ticket.admits and self.counts(ticket)]
        return sorted(found, key=lambda ticket: ticket.made)

    def ids(self) -> list[str]:
        """Return the ids of all records."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(".ticket") for name in names if name.endswith(".ticket"))

    def find(self, beginning: str) -> Ticket:
        """Return the ticket of this id, or whose id alone begins so.

        Raises
        ------
        WrongUse
            There is none, or there are several.
        """
        found = [ticket for ticket in self.all() if ticket.id.startswith(beginning)] if beginning else []
        if len(found) != 1:
            what = f"{len(found)} tickets begin" if found else "no ticket begins"
            raise WrongUse(f"{what} with {beginning!r}; hubfarm ticket ls lists them")
        return found[0]

    def revoke(self, id: str) -> None:
        """Make an end of a ticket; hubs throw out who came in by it."""
        for path in self.files_of(id):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def close(self, user: str, *, disconnect: bool) -> int:
        """Make an end of all tickets of a user, return how many; who came in by one may stay, unless `disconnect`."""
        mine = [ticket for id in self.ids() if (ticket := self.get(id)) and ticket.user == user]
        for ticket in mine:
            if disconnect:
                self.revoke(ticket.id)
            else:
                self._write(msgspec.structs.replace(ticket, admits=False))
                self._lock_file(ticket.id).unlink(missing_ok=True)
        return sum(ticket.admits for ticket in mine)

    def left_over(self) -> Iterator[Path]:
        """Yield the files of tickets that do not count any more, and of none."""
        counting = {id for id in self.ids() if (ticket := self.get(id)) and self.counts(ticket)}
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self._directory.iterdir()):
                if path.name.partition(".")[0] not in counting and not guard_is_held(path.with_suffix(".guard")):
                    yield path

    def files_of(self, id: str) -> list[Path]:
        """Return a ticket's files, the record first: without it the ticket is none."""
        return [self._record(id), self._lock_file(id), self._directory / f"{id}.guard"]

    def _record(self, id: str) -> Path:
        return self._directory / f"{id}.ticket"

    def _lock_file(self, id: str) -> Path:
        return self._directory / f"{id}.samp"
