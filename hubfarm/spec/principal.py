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
    host: str = ""
    origin: str = ""


ANYBODY = Principal()
"""Who has shown the secret of the lock file, and nothing more."""
