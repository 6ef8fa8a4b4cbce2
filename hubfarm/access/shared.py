"""Hubs that an account shares with others of this host: lock files that all can read, in one directory for the host.

The secret in such a lock file admits nobody; the hub lets in by the kernel's word.  The directory is everybody's to
write (``/run/hubfarm``, sticky as ``/tmp`` is), so that nothing in it is believed but what the kernel confirms: a
file's owner says whose hub it is to be, and a process of that account has to listen where the file leads.  Others see
it under the account's name and its label, ``anna/mima-1``: no label has a slash, so that nobody can take another's.
"""

import contextlib
import os
import pwd
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from loguru import logger

from hubfarm.access.host_accounts import account_of
from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.listing import HubInfo, describe_answering
from hubfarm.registry.paths import Paths, check_safe
from hubfarm.registry.tickets import mark_of
from hubfarm.registry.whereabouts import UID
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse
from hubfarm.spec.access import Rule
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import Access, HubKind
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.urls import place_of

NO_SECRET = "the-kernel-says-who-you-are"
"""What stands where a lock file must have a secret."""

MOST = 1000
"""Files that are looked at."""

TMPFILES = Path(__file__).with_name("hubfarm.tmpfiles.conf")
"""What makes the directory at each boot, for ``/etc/tmpfiles.d`` (tmpfiles.d(5))."""

_MAX_FILE = 64 * 2**10
_MARK = "hubfarm.share"
ACCOUNT = "hubfarm.account"
"""The token that says whose a shared hub is; it stands in no file: the kernel tells."""
_CARRIED = (
    lockfile.URL,
    lockfile.VERSION,
    "samp.hub.label",
    "samp.hub.owner",
    "samp.hub.owner_group",
    "hubfarm.access",
    "hubfarm.allow",
    "hubfarm.version",
)


class Share:
    """The lock file by which the hub of this process is shared.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    spec : HubSpec
        The hub.
    """

    def __init__(self, paths: Paths, spec: HubSpec) -> None:
        self._directory = paths.shared
        self._mark = mark_of(spec.id, spec.secret)
        self._path: Path | None = None
        self._trouble = ""

    def publish(self, tokens: Mapping[str, str]) -> None:
        """Write the lock file, in place of a predecessor's: who was led to that one finds this.

        Parameters
        ----------
        tokens : dict of str to str
            The content of the hub's own.
        """
        try:
            check_shared(self._directory)
            self._path = self._predecessors()
            told = {name: tokens[name] for name in _CARRIED if name in tokens}
            self._path = self._write({lockfile.SECRET: NO_SECRET, **told, _MARK: self._mark})
        except (HubfarmError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                logger.warning("other accounts are let in, and do not find this hub: {}", error)

    def _predecessors(self) -> Path | None:
        """Return the file that this hub has already, and remove those of this account's hubs that have died."""
        own = None
        with contextlib.closing(HostSockets()) as sockets:
            for path, uid, tokens in _files(self._directory):
                if uid == os.getuid() and tokens.get(_MARK) == self._mark:
                    own = path
                elif uid == os.getuid() and not _is_served(sockets, uid, tokens):
                    path.unlink(missing_ok=True)
        return own

    def _write(self, tokens: Mapping[str, str]) -> Path:
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self._directory)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(lockfile.write(tokens, "a SAMP hub of hubfarm, shared with other accounts of this host"))
                os.fchmod(file.fileno(), 0o644)
            # A new name is one that nobody can have taken beforehand.
            path = self._path or self._directory / f"hub-{os.getuid()}-{secrets.token_hex(8)}"
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        return path

    def mend(self, tokens: Callable[[], Mapping[str, str]]) -> None:
        """Write the lock file again, if it is missing and should be there, or could not be written."""
        if self._path is None or not os.path.lexists(self._path):
            self.publish(tokens())

    def withdraw(self) -> None:
        """Remove the lock file."""
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()


def check_shared(directory: Path) -> None:
    """Refuse a directory in which others could remove or replace what is not theirs.

    Raises
    ------
    HubfarmError
        It is missing, no directory, another account's than root's or ours, or writable by others and not sticky.
    """
    if not os.path.lexists(directory):
        raise HubfarmError(f"there is no {directory}: docs/access.md says how to make it")
    check_safe(directory, "chmod +t")


def shared_entries(paths: Paths) -> list[Entry]:
    """Return the lock files of the hubs that other accounts share with this one; none if that cannot be told."""
    try:
        check_shared(paths.shared)
    except HubfarmError:
        return []
    uid = os.getuid()
    me = account_of(uid)
    who = Principal(account=me.name, account_groups=me.groups, uid=uid)
    found = []
    with contextlib.closing(HostSockets()) as sockets:
        for path, owner, tokens in _files(paths.shared):
            if owner != uid and _admits(tokens, who) and _is_served(sockets, owner, tokens):
                account = _name_of(owner)
                named = {"samp.hub.label": f"{account}/{tokens.get('samp.hub.label', '')}", ACCOUNT: account}
                named[UID] = str(owner)
                found.append(Entry(path, None, Standing.FOREIGN, {**tokens, **named}))
    return found


def shared_hubs(paths: Paths) -> list[HubInfo]:
    """Return the hubs that other accounts share with this one, as `hubfarm.farm.Farm.hubs` lists them."""
    return [
        replace(describe_answering(entry, paths), kind=HubKind.SHARED, account=entry.tokens[ACCOUNT])
        for entry in shared_entries(paths)
    ]


def _admits(tokens: Mapping[str, str], who: Principal) -> bool:
    try:
        allow = tuple(map(unquote, tokens.get("hubfarm.allow", "").split()))
        return Rule(access=Access.LISTED, allow=allow).admits(who)
    except WrongUse:
        return False


def _is_served(sockets: HostSockets, uid: int, tokens: Mapping[str, str]) -> bool:
    """Tell whether a process of that account listens where a lock file leads, on this host."""
    try:
        host, port = place_of(tokens.get(lockfile.URL, ""))
        return sockets.listener(host, port) == uid
    except WrongUse:
        return False


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _files(directory: Path) -> Iterator[tuple[Path, int, dict[str, str]]]:
    """Yield the lock files in the shared directory, whose each is, and what it says; what is none is passed over."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.startswith("hub-"))[:MOST]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError, BadLockFile, UnicodeDecodeError):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
            with os.fdopen(os.open(directory / name, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
                    continue  # its owner may not be who wrote it
                yield directory / name, status.st_uid, lockfile.parse(file.read(_MAX_FILE).decode())
