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
    host: str = ""
    origin: str = ""

    def __str__(self) -> str:
        who = f"the user {self.user}" if self.user else "nobody in particular"
        by = f" by the ticket {self.ticket}" if self.ticket else ""
        return f"{who}{by}{self.host and f', from {self.host}'}"


ANYBODY = Principal()
"""Who has shown the secret of the lock file, and nothing more."""
