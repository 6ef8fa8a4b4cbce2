"""Authenticators: what says whether a password is a user's, and of which groups that user is.

Two are here: the farm's own users file, and PAM (`hubfarm.access.pam`).  Another package brings one by an entry point
of the group ``hubfarm.authenticators``: a callable that gets an `AccessSettings` and the farm's `Paths`, and returns
an `Authenticator`.  The settings file says which one counts.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

import msgspec

from hubfarm.access.passwords import is_right
from hubfarm.access.users import Users
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import AccessSettings, load_settings
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.checks import check_user

GROUP = "hubfarm.authenticators"
"""The group of the entry points."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is that has given the right password.

    Parameters
    ----------
    user : str
        The user's name.
    groups : tuple of str
        Of which groups that user is.
    admin : bool
        May enter every hub.

    Raises
    ------
    WrongUse
        A name cannot be.
    """

    user: str
    groups: tuple[str, ...] = ()
    admin: bool = False

    def __post_init__(self) -> None:
        check_user(self.user)
        if not all(each.isprintable() for each in self.groups):  # all clients of a hub get to read them
            raise WrongUse(f"the groups of the user {self.user} have a name that cannot be printed")


class Authenticator(Protocol):
    """Says who somebody is."""

    def authenticate(self, user: str, password: str) -> Identity | None:
        """Return who it is, or None if there is no such user or the password is wrong.

        Both take the same time.  Called in threads, so it may take its time, and do so side by side.

        Raises
        ------
        HubfarmError
            It cannot be told now; the message is for the log.
        """


Factory = Callable[[AccessSettings, Paths], Authenticator]


def identify(by: Authenticator, user: str, password: str) -> Identity | None:
    """Return whom an authenticator knows by a password, None if it is wrong; it may be anybody's code.

    Raises
    ------
    HubfarmError
        It cannot tell. What else it raises becomes this too, and only its kind is told: its words may hold the
        password.
    """
    try:
        found = by.authenticate(user, password)
    except HubfarmError:
        raise
    except (Exception, SystemExit) as error:
        raise HubfarmError(f"the authenticator {_name_of(by)} has failed by {type(error).__qualname__}") from None
    if not (found is None or isinstance(found, Identity)):
        raise HubfarmError(f"the authenticator {_name_of(by)} has returned a {type(found).__qualname__}: no Identity")
    return found


def _name_of(by: Authenticator) -> str:
    return f"{type(by).__module__}.{type(by).__qualname__}"


class FileAuthenticator:
    """The users file's word.

    Parameters
    ----------
    users : Users
        The file.
    """

    def __init__(self, users: Users) -> None:
        self._users = users

    def authenticate(self, user: str, password: str) -> Identity | None:
        """Look the user up; see `Authenticator.authenticate`."""
        known = self._users.get(user)
        try:
            right = is_right(password, known.password if known else None)
        except HubfarmError as error:
            raise HubfarmError(f"the password of the user {user[:100]!r} cannot be checked: {error}") from None
        if known is None or not right:
            return None
        return Identity(user=known.name, groups=known.groups, admin=known.admin)


def users_path(settings: AccessSettings, paths: Paths) -> Path:
    """Return where the users file lies."""
    if paths.users_file is not None:
        return paths.users_file
    return Path(settings.users).expanduser() if settings.users else paths.users


def by_file(settings: AccessSettings, paths: Paths) -> Authenticator:
    """Return the authenticator ``file``."""
    return FileAuthenticator(Users(users_path(settings, paths)))


OWN = {"file": "hubfarm.access.authenticators:by_file", "pam": "hubfarm.access.pam:by_pam"}
"""Those that come with hubfarm; no other package can take their names."""


def authenticator(paths: Paths, settings: AccessSettings | None = None) -> Authenticator:
    """Return the authenticator that the settings name.

    Raises
    ------
    WrongUse
        There is none of that name, or the settings file is wrong.
    HubfarmError
        It cannot be used here; the message says what is missing.
    """
    settings = load_settings().access if settings is None else settings
    factory = _factory("file" if paths.users_file else settings.authenticator)
    try:
        return factory(settings, paths)
    except HubfarmError:
        raise
    except Exception as error:  # another package's: whatever it is
        raise HubfarmError(f"the authenticator {settings.authenticator} cannot be made: {error!r}") from None


def _factory(name: str) -> Factory:
    if name in OWN:
        module, _, function = OWN[name].partition(":")
        factory: Factory = getattr(import_module(module), function)
        return factory
    from importlib.metadata import entry_points

    found = {each.name: each for each in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted({*OWN, *found}))
        raise WrongUse(f"the setting access.authenticator is {name!r}: there are {known}")
    try:
        loaded: Factory = found[name].load()
    except Exception as error:  # another package's: whatever it is
        raise HubfarmError(f"the authenticator {name} cannot be loaded: {error!r}") from None
    return loaded
