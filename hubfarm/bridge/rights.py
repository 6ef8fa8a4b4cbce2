"""As whom a bridge enters a hub, and its proxies do: a proxy is the user that its client has proved to be.

A bridge runs under the account of a farm, whose hubs take that account's word: it makes tickets there (`Tickets`), for
itself as the account, for a proxy as its client's user.  What a hub of the farm says of its clients is believed; what
other hubs say is not.  To another hub the bridge and all its proxies are whoever its lock file or share makes them.
"""

import getpass
from collections.abc import Mapping
from typing import NamedTuple

from hubfarm.access.authenticators import users_path
from hubfarm.access.users import Users
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.registry.tickets import Tickets
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import SECRET, URL
from hubfarm.samp.values import Map
from hubfarm.spec.states import Access, HubKind

TICKETS_LAST = 10 * 365 * 86400.0
"""How long its tickets count, seconds: they end with the bridge's process."""

USER, GROUPS = "hubfarm.user", "hubfarm.groups"


class Who(NamedTuple):
    """Who somebody has proved to be.

    Parameters
    ----------
    user : str
        The user; empty for nobody in particular.
    groups : tuple of str
        Of which groups.
    """

    user: str = ""
    groups: tuple[str, ...] = ()


class Rights:
    """What one hub lets the bridge do.

    Parameters
    ----------
    tokens : dict
        The content of the lock file that the bridge was led to.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._paths = Paths.from_environment()
        self._shown = tokens[SECRET]
        self._own = self._farms_own(tokens)
        self._made: dict[Who, str] = {}

    def _farms_own(self, tokens: Mapping[str, str]) -> Mapping[str, str]:
        """Return the lock file of the hub if it is one of this farm's, and it was entered by that; nothing if not."""
        for entry in LockDir(self._paths).living():
            same = (entry.url, entry.tokens.get(SECRET)) == (tokens[URL].replace("\\", ""), self._shown)
            if same and entry.tokens.get("hubfarm.kind") == HubKind.FARM and "hubfarm.access" in entry.tokens:
                return entry.tokens
        return {}

    @property
    def is_of_the_farm(self) -> bool:
        """Whether the hub is one of this farm's."""
        return bool(self._own)

    def who(self, metadata: Map) -> Who:
        """Return who a client of this hub has proved to be, as far as the hub can be believed."""
        user, groups = metadata.get(USER), metadata.get(GROUPS)
        if not self._own or not isinstance(user, str):
            return Who()
        return Who(user, tuple(map(str, groups)) if isinstance(groups, list) else ())

    def secret_for(self, who: Who) -> str:
        """Return what a proxy shows to be let in as somebody.

        Raises
        ------
        HubfarmError
            Nobody in particular is let in here; or a ticket cannot be made.
        """
        if not self._own or (not who.user and self._is_open):
            return self._shown
        if not who.user:
            raise HubfarmError("it lets in users only, and the client has proved to be none")
        return self._ticket(who, admin=False)

    def secret_for_the_bridge(self) -> str:
        """Return what the bridge itself shows.

        Raises
        ------
        HubfarmError
            A ticket cannot be made.
        """
        return self._shown if not self._own or self._is_open else self._ticket(Who(getpass.getuser()), admin=True)

    @property
    def _is_open(self) -> bool:
        return self._own.get("hubfarm.access") == Access.OPEN

    def _ticket(self, who: Who, *, admin: bool) -> str:
        if who not in self._made:
            revision = Users(users_path(load_settings().access, self._paths)).content().revision
            _, lock_file = Tickets(self._paths.prepare()).make(
                self._own,
                user=who.user,
                groups=who.groups,
                admin=admin,
                revision=revision,
                seconds=TICKETS_LAST,
                for_this_process=True,
            )
            self._made[who] = LockDir(self._paths).read(lock_file).tokens[SECRET]
        return self._made[who]
