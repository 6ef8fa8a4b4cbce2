"""Who is let in by the hub of this process, as the farm's files say; and who has to go, as they say otherwise now.

The users file and the tickets are read when somebody enters by them, and looked at while such a client is in.  A
hub that nobody enters by password or ticket reads neither.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from loguru import logger

from hubfarm.access.authenticators import Authenticator, authenticator, users_path
from hubfarm.access.passwords import keep_no_memory
from hubfarm.access.users import Users
from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.profiles.passwords import PasswordChecks
from hubfarm.hub.watchers import Watchers
from hubfarm.registry.files import lstat_or_none
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.registry.tickets import Ticket, Tickets, mark_of
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.access import Restricted
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.policy import Open, Policy
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import Access


def policy_of(spec: HubSpec) -> Policy:
    """Return the policy that a hub was asked to have."""
    if spec.access is Access.OPEN:
        return Open(spec.web_mtypes)
    return Restricted(spec.rule, spec.name, spec.web_mtypes)


class Admission:
    """The files' word on who comes in and who goes.

    Parameters
    ----------
    spec : HubSpec
        The hub.
    paths : Paths
        Where its farm's files lie.
    clock : callable
        Returns the time, seconds.
    alone : bool
        The process is the hub's, and no other program's.
    """

    def __init__(self, spec: HubSpec, paths: Paths, clock: Callable[[], float], *, alone: bool) -> None:
        self.passwords = PasswordChecks(self._authenticator, clock)
        self._alone = alone
        self._paths = paths
        self._tickets = Tickets(paths)
        self._mark = mark_of(spec.id, spec.secret)
        self._trouble = ""
        self._seen: object = None

    def _authenticator(self) -> Authenticator:
        """Return what checks passwords, when the first one comes."""
        if self._alone:
            keep_no_memory()
        return authenticator(self._paths)

    @cached_property
    def _users(self) -> Users:
        return Users(users_path(load_settings().access, self._paths))

    def ticket_of(self, secret: str) -> Ticket | None:
        """Return the ticket whose secret somebody has shown, None if it is none that counts at this hub."""
        ticket = self._tickets.shown(secret, self._mark)
        if ticket is None:
            return None
        try:
            changed = self._users.content().changed.get(ticket.user, 0)
        except HubfarmError as error:
            self._complain(error)
            return None  # who cannot be looked up is not let in
        return ticket if ticket.revision >= changed else None

    def shared_lock_file(self, secret: str) -> dict[str, str]:
        """Return the content of the lock file that is shared under a secret; empty if none is."""
        ticket = self.ticket_of(secret)
        return self._tickets.lock_file_of(ticket) if ticket is not None and ticket.shared else {}

    def identity(self, user: str) -> tuple[tuple[str, ...], bool]:
        """Return of which groups a user is who has proved by a certificate to be one, and whether an administrator."""
        try:
            known = next((each for each in self._users.content().users if each.name == user), None)
        except HubfarmError as error:
            self._complain(error)
            known = None
        return (known.groups, known.admin) if known else ((), False)

    def revision(self) -> int:
        """Return the revision of the users file that is in force, 0 if it cannot be read."""
        try:
            return self._users.content().revision
        except HubfarmError as error:
            self._complain(error)
            return 0

    def _complain(self, error: HubfarmError) -> None:
        if str(error) != self._trouble:  # once, and not every second
            self._trouble = str(error)
            logger.error("cannot tell who was disconnected: {}", error)

    def look(self, hub: Hub, deliveries: Deliveries, watchers: Watchers, *, well: bool) -> None:
        """Throw out the clients whose ticket or user is no more, and let go such watchers.

        Parameters
        ----------
        hub : Hub
            Whose clients.
        deliveries : Deliveries
            Tells them.
        watchers : Watchers
            Who watches it.
        well : bool
            Look at all of them, also if nothing seems to have changed: time has passed.
        """
        clients = [client for client in hub.clients if client.principal.user]
        users = [*(client.principal for client in clients), *(who for who in watchers.principals if who.user)]
        if not users:
            return
        try:
            seen = (_stamp(self._paths.tickets), _stamp(self._users.path))
            if seen == self._seen and not well:
                return
            self._seen = seen
            disconnected = self._users.content().disconnected
        except HubfarmError as error:
            self._complain(error)
            disconnected = {}
        over = {id for id in {who.ticket for who in users} - {""} if self._tickets.has_ended(id)}
        for client in clients:
            if reason := _reason_to_leave(client.principal, over, disconnected):
                deliveries.carry_out(hub.throw_out(client, reason))
        watchers.restrict(lambda who: _reason_to_leave(who, over, disconnected))

    def end(self) -> None:
        """Make an end of the tickets for this hub, which has ended itself."""
        for id in self._tickets.ids():
            ticket = self._tickets.get(id)
            if ticket is not None and ticket.hub == self._mark:
                self._tickets.revoke(id)


def _reason_to_leave(who: Principal, over: set[str], disconnected: dict[str, int]) -> str:
    if who.ticket in over:
        return f"its ticket {who.ticket} was revoked, or has run out"
    if disconnected.get(who.user, 0) > who.revision:
        return f"the user {who.user} was disconnected"
    return ""


def _stamp(path: Path) -> tuple[int, int] | None:
    status = lstat_or_none(path)
    return (status.st_ino, status.st_mtime_ns) if status else None
