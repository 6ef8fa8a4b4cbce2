"""The users file: who there is, of which groups, and the digests of their passwords.

It is one file of the farm, or the one that the settings name (so that several hosts can share it): JSON, for its owner
alone, written whole under a lock.  Each change gives it the next revision.  What is written of those who were
disconnected tells every hub which of its clients came in too long ago.
"""

import os
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from hubfarm.access.passwords import digest_of
from hubfarm.registry.files import read_own, write_private
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import check_safe
from hubfarm.registry.tickets import Tickets
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse
from hubfarm.spec.checks import check_name, check_user

VERSION = 1
MOST = 16 * 2**20
"""Longest users file, bytes: some fifty thousand users."""

_LOCKED = 10.0
"""How long to wait for another who changes it, seconds."""


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user.

    Parameters
    ----------
    name : str
        The user's.
    groups : tuple of str
        Of which groups.
    admin : bool
        May enter every hub.
    password : str
        The password's digest; see `hubfarm.access.passwords`.
    """

    name: str
    groups: tuple[str, ...] = ()
    admin: bool = False
    password: str

    def __post_init__(self) -> None:
        check_user(self.name)
        _checked(self.groups)

    def __repr__(self) -> str:
        # A digest has no place in a log.
        return f"User(name={self.name!r}, groups={self.groups!r}, admin={self.admin!r})"

    def as_json(self) -> dict[str, Any]:
        """Return what others may know, as JSON can carry it."""
        return {"name": self.name, "groups": list(self.groups), "admin": self.admin}


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds.

    Parameters
    ----------
    version : int
        The file's form.
    revision : int
        Raised by each change.
    users : tuple of User
        In the order of their names.
    changed : dict of str to int
        At which revision a user was last changed, removed or disconnected: earlier tickets do not let in.
    disconnected : dict of str to int
        At which revision a user's clients were last thrown out.
    """

    version: int = VERSION
    revision: int = 0
    users: tuple[User, ...] = ()
    changed: dict[str, int] = {}
    disconnected: dict[str, int] = {}


class Users:
    """The users file.

    Parameters
    ----------
    path : Path
        Where it lies.
    tickets : Tickets, optional
        Where those of a user are ended who is changed, removed or disconnected.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> users = Farm().users
    >>> users.add("luigi", "a password", groups=["mima"])
    User(name='luigi', groups=('mima',), admin=False)
    >>> [user.name for user in users.all()]
    ['luigi']
    """

    def __init__(self, path: Path, tickets: Tickets | None = None) -> None:
        self.path = path
        self._tickets = tickets
        self._read: tuple[Any, Content] | None = None

    def content(self) -> Content:
        """Return what the file holds; nothing, if there is none.

        Raises
        ------
        HubfarmError
            It cannot be read, is another account's, may be read by others, or is damaged.
        """
        try:
            identity = _identity(self.path.lstat())  # first of all: there may be none, nor its directory
            if self._read is None or self._read[0] != identity:
                self._read = self._load()
        except FileNotFoundError:
            return Content()
        except OSError as error:
            raise HubfarmError(f"cannot read the users file {self.path}: {error.strerror}") from None
        return self._read[1]

    def _load(self) -> tuple[Any, Content]:
        """Return what tells the file that was read from others, and what it holds."""
        check_safe(self.path.parent, "chmod go-w")  # or what is read may be what it was some days ago
        try:
            text, status = read_own(self.path, MOST)
            content = msgspec.json.decode(text, type=Content)
        except BadLockFile as error:
            raise HubfarmError(f"cannot use the users file {self.path}: {error}") from None
        except msgspec.DecodeError as error:
            raise HubfarmError(f"the users file {self.path} is damaged: {error}") from None
        if content.version != VERSION:
            raise HubfarmError(f"the users file {self.path} is of version {content.version}: known here is {VERSION}")
        return _identity(status), content

    def all(self) -> list[User]:
        """Return the users, by name."""
        return list(self.content().users)

    def get(self, name: str) -> User | None:
        """Return the user of this name, if there is one."""
        return next((user for user in self.content().users if user.name == name), None)

    def known(self, name: str) -> User:
        """Return the user of this name.

        Raises
        ------
        WrongUse
            There is none.
        """
        return _known({user.name: user for user in self.all()}, name)

    def has_met(self, name: str) -> bool:
        """Tell whether there is a user of this name or was one, or tickets of one that another authenticator knows."""
        content = self.content()
        if name in content.changed or any(user.name == name for user in content.users):
            return True
        return self._tickets is not None and any(ticket.user == name for ticket in self._tickets.all())

    def add(self, name: str, password: str, *, groups: Collection[str] = (), admin: bool = False) -> User:
        """Add a user.

        Parameters
        ----------
        name : str
            Free, but for colons; to enter hubs as their owner, it has to be the owner's.
        password : str
            In the clear; what is kept is a digest.
        groups : collection of str
            Of which groups.
        admin : bool
            May enter every hub.

        Raises
        ------
        WrongUse
            There is one of this name, or the name, a group or the password cannot be.
        """
        user = User(name=name, groups=_checked(groups), admin=admin, password=digest_of(password))

        def added(users: dict[str, User]) -> None:
            if name in users:
                raise WrongUse(f"there is a user {name} already: hubfarm user set and passwd change it")
            users[name] = user

        self._change(added, name, disconnect=False)
        return user

    def change(
        self,
        name: str,
        *,
        groups: Collection[str] | None = None,
        admin: bool | None = None,
        password: str | None = None,
        disconnect: bool = False,
    ) -> User:
        """Change what is given of a user; see `add`.

        Parameters
        ----------
        disconnect : bool
            Its clients are thrown out of all hubs; without it, only its tickets end.

        Raises
        ------
        WrongUse
            There is no such user, or a value cannot be.
        """
        new: dict[str, Any] = {} if groups is None else {"groups": _checked(groups)}
        new |= {} if admin is None else {"admin": admin}
        new |= {} if password is None else {"password": digest_of(password)}

        def changed(users: dict[str, User]) -> None:
            users[name] = msgspec.structs.replace(_known(users, name), **new)

        content = self._change(changed, name, disconnect=disconnect)
        return next(user for user in content.users if user.name == name)

    def remove(self, name: str, *, disconnect: bool = False) -> None:
        """Remove a user.

        Raises
        ------
        WrongUse
            There is no such user.
        """

        def removed(users: dict[str, User]) -> None:
            _known(users, name)
            del users[name]

        self._change(removed, name, disconnect=disconnect)

    def disconnect(self, name: str) -> None:
        """Throw a user's clients out of all hubs; the user may be one that another authenticator knows."""
        check_user(name)
        self._change(lambda users: None, name, disconnect=True)

    def _change(self, change: Callable[[dict[str, User]], None], name: str, *, disconnect: bool) -> Content:
        """Change the file, and end the tickets of the user whom the change is about."""
        with self._locked():
            before = self.content()
            users = {user.name: user for user in before.users}
            change(users)
            # By the clock: also a file that is made anew, or restored, goes on above what hubs remember.
            revision = max(before.revision + 1, time.time_ns())
            content = Content(
                revision=revision,
                users=tuple(users[name] for name in sorted(users)),
                changed=before.changed | {name: revision},
                disconnected=before.disconnected | ({name: revision} if disconnect else {}),
            )
            write_private(self.path, msgspec.json.format(msgspec.json.encode(content)).decode())
        if self._tickets is not None:
            self._tickets.close(name, disconnect=disconnect)
        return content

    def _locked(self) -> AbstractContextManager[None]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        return holding(lock, timeout=_LOCKED, by="another who changes the users")


def _identity(status: os.stat_result) -> Any:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode, status.st_uid


def _known(users: dict[str, User], name: str) -> User:
    if name not in users:
        names = ", ".join(list(users)[:10]) + (", …" if len(users) > 10 else "")
        raise WrongUse(
            f"there is no user {name!r}: " + (f"there are {names}" if users else "hubfarm user add adds one")
        )
    return users[name]


def _checked(groups: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_name(group, "a group") for group in groups))
