"""Is it the hub that wrote a lock file which listens where that leads?  Asked before anybody shows a secret there.

A hub that was killed with its whole farm leaves its lock file and its tickets behind, and its port to the next program
that wants it.  There are two witnesses: the hub's guard, if it is one of this farm; and the kernel, of loopback, where
it is Linux: what listens has to be of the account that the lock file names or, if it names none, that owns it.  Root
may listen too, as docker's proxy does: to root all files are open.  In doubt nobody is refused: the hub may be of
another host.
"""

import contextlib
from collections.abc import Mapping

from hubfarm.access.host_accounts import account_of
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.whereabouts import UID, Where, where_is
from hubfarm.samp import lockfile
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.urls import place_of

_ALWAYS = frozenset({0})
"""Accounts that may listen in the place of any."""


def present(tokens: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return what leads to a hub now whose lock file says `tokens`; None if it is of this farm, and has ended.

    See `LockDir.present`.
    """
    lockdir = _lockdir()
    return tokens if lockdir is None else lockdir.present(tokens)


def objection(tokens: Mapping[str, str], owner: int | None = None, address: str = "") -> str:
    """Say why nothing may be shown to what listens where a lock file leads; empty if nothing speaks against it.

    Parameters
    ----------
    tokens : dict of str to str
        The lock file's content.
    owner : int, optional
        The account (its uid) whose the file is.
    address : str
        Where a connection stands; by default, wherever the lock file leads.

    Examples
    --------
    >>> objection({"samp.hub.xmlrpc.url": "http://127.0.0.1:9/"})
    ''
    """
    uid = _uid(tokens, owner)
    place = place_in(tokens)
    if uid is None or place is None:
        return ""
    with contextlib.closing(HostSockets()) as sockets:
        others = sockets.listeners(address or place[0], place[1]) - {uid, *_ALWAYS}
    if not others:
        return ""
    whose = ", ".join(account_of(each).name for each in sorted(others))
    hubs = account_of(uid).name
    return f"at port {place[1]} listens the account {whose}, and not {hubs}, whose hub it was: nothing was shown there"


def is_listened_at(tokens: Mapping[str, str]) -> bool:
    """Tell whether somebody listens where a lock file leads, or it is not known."""
    place = place_in(tokens)
    if place is None:
        return True
    with contextlib.closing(HostSockets()) as sockets:
        return sockets.listens(*place) is not False


def place_in(tokens: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the host and the port to which a lock file leads, None if it leads nowhere."""
    try:
        return place_of(tokens.get(lockfile.URL, "").replace("\\", ""))
    except WrongUse:
        return None


def _uid(tokens: Mapping[str, str], owner: int | None) -> int | None:
    """Return the account of whose a hub's process must be, None if that cannot be told from here."""
    lockdir = _lockdir()
    if lockdir is None or where_is(tokens, lockdir.paths.host) is not Where.HERE:
        return None
    named = tokens.get(UID, "")
    return int(named) if named.isascii() and named.isdigit() else owner


def _lockdir() -> LockDir | None:
    try:
        return LockDir(Paths.from_environment())
    except HubfarmError:  # no home, no farm
        return None
