"""How people enter the farm's hubs: tickets for those who have proved who they are, and whom a running hub lets in."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from hubfarm.access.authenticators import authenticator, identify, users_path
from hubfarm.access.somebody import check_somebody
from hubfarm.access.users import Users
from hubfarm.registry.changes import changes_path, write_changes
from hubfarm.registry.files import read_private
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.registry.statetable import HubName
from hubfarm.registry.tickets import Ticket, Tickets
from hubfarm.samp import lockfile
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import PREFIX, lock_url
from hubfarm.spec.access import Restricted
from hubfarm.spec.checks import check_user
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import Access, HubKind

CHANGE_TIMEOUT = 10.0
"""How long a hub may take to heed a change, seconds."""


class Login(NamedTuple):
    """What a user has got who has logged in.

    Parameters
    ----------
    ticket : Ticket
        Of whom and for how long.
    lock_file : Path
        What leads a program to the hub, as that user.
    """

    ticket: Ticket
    lock_file: Path

    @property
    def samp_hub(self) -> str:
        """The value of ``SAMP_HUB`` that leads a program there."""
        return lock_url(self.lock_file)


def check_login(hub: HubInfo, paths: Paths) -> None:
    """Refuse what no password could help with; see `hubfarm.farm.Farm.check_login`."""
    _tokens_of(hub, paths)
    authenticator(paths)


def log_in(hub: HubInfo, paths: Paths, *, user: str, password: str, seconds: float, for_this_process: bool) -> Login:
    """Prove who somebody is, and make a ticket; see `hubfarm.farm.Farm.log_in`."""
    tokens = _tokens_of(hub, paths)
    revision = Users(users_path(load_settings().access, paths)).content().revision  # a change from now on counts
    known = identify(authenticator(paths), user, password)
    if known is None:
        raise HubfarmError("the user or the password is wrong")
    who = Principal(user=known.user, groups=known.groups, admin=known.admin)
    if refusal := Restricted(HubSpec.from_tokens(tokens).rule, hub.name).refusal_to_enter(who):
        raise HubfarmError(refusal)
    ticket, lock_file = Tickets(paths.prepare()).make(
        tokens,
        user=known.user,
        groups=known.groups,
        admin=known.admin,
        revision=revision,
        seconds=seconds,
        for_this_process=for_this_process,
    )
    return Login(ticket, lock_file)


class Shared(NamedTuple):
    """A hub that is shared by URL.

    Parameters
    ----------
    ticket : Ticket
        With whom and for how long.
    url : str
        Of the lock file that the hub hands out.
    """

    ticket: Ticket
    url: str

    @property
    def samp_hub(self) -> str:
        """The value of ``SAMP_HUB`` that leads a program there."""
        return f"{PREFIX}{self.url}"


def share(hub: HubInfo, paths: Paths, *, user: str, seconds: float) -> Shared:
    """Let a hub hand out a lock file of a user's; see `hubfarm.farm.Farm.share`."""
    tokens = _tokens_of(hub, paths)
    check_user(user)
    content = Users(users_path(load_settings().access, paths)).content()
    known = next((each for each in content.users if each.name == user), None)
    groups, admin = (known.groups, known.admin) if known else ((), False)
    rule = HubSpec.from_tokens(tokens).rule
    if not rule.admits(Principal(user=user, groups=groups, admin=admin)):
        raise HubfarmError(
            f"the hub {hub.name} is for {rule.in_words()}, and {user} is none of them: hubfarm access {hub.name} "
            "can change it"
        )
    ticket, lock_file = Tickets(paths.prepare()).make(
        tokens, user=user, groups=groups, admin=admin, revision=content.revision, seconds=seconds, shared=True
    )
    mine = lockfile.parse(read_private(lock_file))
    known_by = mine.get(lockfile.TLS_FINGERPRINT, "").replace(":", "").lower()
    url = f"{hub.url.removesuffix('xmlrpc')}share/{mine[lockfile.SECRET]}"
    return Shared(ticket, f"{url}#sha256={known_by}" if known_by else url)


def set_access(hub: HubInfo, paths: Paths, access: Access, allow: Sequence[str]) -> None:
    """Change who is let in by a hub that runs; see `hubfarm.farm.Farm.set_access`."""
    if hub.kind is HubKind.EMBEDDED:
        raise WrongUse(f"the hub {hub.name} is embedded in the process {hub.pid}: that program says whom it lets in")
    spec = HubSpec.from_tokens(_tokens_of(hub, paths))
    if instead := _what_instead(hub, access, allow):
        raise WrongUse(instead)
    wanted = msgspec.structs.replace(spec, access=access, allow=tuple(allow))
    check_somebody([wanted], paths)
    write_changes(changes_path(paths, spec), wanted)
    assert hub.pid is not None
    lockdir = LockDir(paths)
    if lockdir.is_alive(HubName(hub.pid, spec.id)):
        with contextlib.suppress(ProcessLookupError):  # its successor will heed it
            os.kill(hub.pid, signal.SIGHUP)
    _wait_until_published(lockdir, wanted)


def _what_instead(hub: HubInfo, access: Access, allow: Sequence[str]) -> str:
    """Say what to ask for in place of a restriction that this hub, as it was started, cannot have; empty if it can."""
    command = f"hubfarm access {hub.name}"
    match access:
        case Access.OPEN if allow:
            return f"an open hub lets in everybody; to let in these alone: {command} listed --allow {allow[0]}"
        case Access.GROUP if not hub.group:
            return f"the hub {hub.name} was started for no group; to let one in: {command} listed --allow group:NAME"
        case Access.OWNER if not hub.owner:
            return f"the hub {hub.name} was started for no owner; to let one in: {command} listed --allow user:NAME"
        case Access.LISTED if not allow:
            return f"say who is listed: {command} listed --allow user:NAME"
    return ""


def _wait_until_published(lockdir: LockDir, wanted: HubSpec) -> None:
    deadline = time.monotonic() + CHANGE_TIMEOUT
    rule = {name: value for name, value in wanted.tokens().items() if name in ("hubfarm.access", "hubfarm.allow")}
    while time.monotonic() < deadline:
        mine = (entry.tokens for entry in lockdir.living() if entry.name and entry.name.id == wanted.id)
        if any(rule.items() <= tokens.items() for tokens in mine):
            return
        time.sleep(0.01)
    raise HubfarmError(f"the hub {wanted.name} has not heeded the change in {CHANGE_TIMEOUT:g} s; its log may say why")


def _tokens_of(hub: HubInfo, paths: Paths) -> Mapping[str, str]:
    """Return the content of the lock file of a hub that knows users and tickets.

    Raises
    ------
    WrongUse
        It is another program's, or of an earlier release.
    """
    if hub.kind is HubKind.FOREIGN:
        raise WrongUse(f"the hub {hub.name} is foreign: it knows nothing of the farm's users")
    if hub.kind is HubKind.CONNECTED:
        raise WrongUse(f"the hub {hub.name} is another host's: whom it lets in is said there")
    if hub.kind is HubKind.SHARED:
        raise WrongUse(f"the hub {hub.name} is of the account {hub.account}: it lets you in by the kernel's word")
    tokens = LockDir(paths).read(hub.lock_file).tokens
    if "hubfarm.access" not in tokens:
        raise WrongUse(f"the hub {hub.name} runs an earlier release, which knows no users: hubfarm restart {hub.name}")
    return tokens
