"""Who looks at the dashboard, and what that visitor may do with which hub.  Pure."""

from dataclasses import dataclass
from enum import IntEnum

from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.access import Rule
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import Access, HubKind


class NotAllowed(WrongUse):
    """The visitor may not do that."""


class Role(IntEnum):
    """What somebody may do; each role may do what the ones before it may."""

    WATCHER = 1
    """Look at a hub, its clients and their names."""
    OWNER = 2
    """Stop, drain and restart a hub, talk on it, read its log and its conversation."""
    ADMIN = 3
    """All that the farm's account may: start hubs, say who may enter, let web pages in."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks.

    Parameters
    ----------
    who : Principal
        The user; nobody in particular for the farm's account, which has shown the token.
    is_account : bool
        Has shown the token.

    Examples
    --------
    >>> Visitor(Principal(user="luigi")).is_admin, Visitor(Principal(), is_account=True).is_admin
    (False, True)
    """

    who: Principal
    is_account: bool = False

    @property
    def name(self) -> str:
        """What others call the visitor; empty for the farm's account."""
        return self.who.user

    @property
    def is_admin(self) -> bool:
        """Whether the visitor may do everything."""
        return self.is_account or self.who.admin

    def role_at(self, hub: HubInfo) -> Role | None:
        """Return what the visitor may do with a hub; None: not even see it."""
        if self.is_admin:
            return Role.ADMIN
        if hub.kind in (HubKind.FOREIGN, HubKind.SHARED) or not self.who.user:
            return None  # the account's own business
        if hub.owner == self.who.user:
            return Role.OWNER
        if not hub.alive:
            return None  # of one that has ended nothing says whom it let in
        try:
            rule = Rule(access=Access(hub.access), owner=hub.owner, group=hub.group, allow=hub.allow)
        except ValueError:  # somebody has written into its lock file; WrongUse is one too
            return None
        return Role.WATCHER if rule.admits(self.who) else None

    def check_admin(self) -> None:
        """Refuse what is for admins.

        Raises
        ------
        NotAllowed
            The visitor is none.
        """
        if not self.is_admin:
            raise NotAllowed("that is for administrators of the farm")

    def __str__(self) -> str:
        return "the farm's account" if self.is_account else f"the user {self.who.user}"
