"""Who a client is, as far as its hub knows: found out once, when it registers."""

import msgspec


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who a client is.

    Parameters
    ----------
    profile : str
        By which profile it came in; each door of a hub has its own name.
    user : str
        The name that it has proved to bear; empty for nobody in particular.
    groups : tuple of str
        Of which groups that user is.
    admin : bool
        That user may enter every hub.
    ticket : str
        The id of the ticket by which it came in; empty if it showed none.
    revision : int
        Which revision of the users file was in force when it came in; see `hubfarm.access.users`.
    account : str
        The account of this host whose process it is, by the kernel's word; empty if the hub did not ask.
    account_groups : tuple of str
        The groups of that account.
    uid : int or None
        That account's number: its key is good from no other.
    host : str
        The address that it comes from; empty if that is not known.
    origin : str
        The web page's that it is; empty for a program.

    Examples
    --------
    >>> Principal().user
    ''
    """

    profile: str = "standard"
    user: str = ""
    groups: tuple[str, ...] = ()
    admin: bool = False
    ticket: str = ""
    revision: int = 0
    account: str = ""
    account_groups: tuple[str, ...] = ()
    uid: int | None = None
    host: str = ""
    origin: str = ""

    @property
    def counted_as(self) -> str:
        """As whose its clients are counted; empty for nobody's."""
        return self.user or (self.account and f"account:{self.account}")

    def __str__(self) -> str:
        who = f"the user {self.user}" if self.user else "nobody in particular"
        if self.account:
            who = f"the account {self.account}" if not self.user else f"{who} of the account {self.account}"
        by = f" by the ticket {self.ticket}" if self.ticket else ""
        page = f", a page of {self.origin}" if self.origin else ""
        return f"{who}{by}{self.host and f', from {self.host}'}{page}"


ANYBODY = Principal()
"""Who has shown the secret of the lock file, and nothing more."""
