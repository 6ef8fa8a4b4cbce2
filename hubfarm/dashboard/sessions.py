"""Who is logged in: by the farm's token, or by user and password; a cookie says which of them a request is of.

A browser sends a cookie to every port of a host, so it may come into the hands of whoever else listens there.  So a
session belongs to the account whose connection began it, by the kernel's word: from another one its cookie opens
nothing.  Sessions are in memory alone; with the process they are over.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from loguru import logger

from hubfarm.access.authenticators import authenticator, identify, users_path
from hubfarm.access.users import Users
from hubfarm.dashboard.visitor import NotAllowed, Visitor
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.principal import Principal
from hubfarm.visible import brief

LASTS = 12 * 3600.0
"""A session that nobody has used for so long is over, seconds."""

MOST = 500
"""Sessions at a time; the one that was used longest ago goes first."""


@dataclass(slots=True)
class Session:
    """One browser that is logged in.

    Parameters
    ----------
    visitor : Visitor
        Who it was when it logged in.
    account : int or None
        Whose connection that was (its uid), by the kernel's word; None if the kernel does not tell.
    digest : str
        Of the user's password then; empty if it is not of the users file.
    revision : int
        The users file's then: who is disconnected later is out here too.
    used : float
        When it was last used, monotonic, seconds.
    endings : list of callable
        Called when it is over.
    """

    visitor: Visitor
    account: int | None
    digest: str
    revision: int
    used: float
    endings: list[Callable[[], None]] = field(default_factory=list)


class Sessions:
    """The sessions of one dashboard.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    token : str
        What shows that somebody is the farm's account; empty: nothing does.
    clock : callable
        Returns the time, monotonic, seconds.

    Raises
    ------
    WrongUse
        The settings file is wrong.
    """

    def __init__(self, paths: Paths, token: str, clock: Callable[[], float]) -> None:
        self._paths = paths
        self._token = token
        self._clock = clock
        self._settings = load_settings().access
        self._users = Users(users_path(self._settings, paths))
        self._of_file = self._settings.authenticator == "file" or paths.users_file is not None
        self._sessions: dict[str, Session] = {}

    @property
    def takes_passwords(self) -> bool:
        """Whether anybody could log in by a password."""
        try:
            return not self._of_file or bool(self._users.all())
        except HubfarmError:
            return False

    # ------------------------------------------------------------------ begun

    def enter_by_token(self, token: str, account: int | None) -> str:
        """Begin a session of the farm's account; return its key.

        Raises
        ------
        NotAllowed
            The token is wrong.
        """
        if not (self._token and hmac.compare_digest(token.encode(errors="replace"), self._token.encode())):
            raise NotAllowed("that token is not, or no longer, the one of this dashboard: hubfarm dashboard prints it")
        return self.begin(Visitor(Principal(), is_account=True), account)

    def enter_by_password(self, user: str, password: str, account: int | None) -> str:
        """Begin a user's session; return its key.  Takes its time: call it in a thread.

        Raises
        ------
        NotAllowed
            User or password is wrong.
        HubfarmError
            That cannot be told.
        """
        before = self._users.get(user) if self._of_file else None  # a change from now on ends the session
        revision = self._users.content().revision
        known = identify(authenticator(self._paths, self._settings), user, password)
        if known is None:
            raise NotAllowed("the user or the password is wrong")
        visitor = Visitor(Principal(user=known.user, groups=known.groups, admin=known.admin))
        return self.begin(visitor, account, before.password if before else "", revision)

    def begin(self, visitor: Visitor, account: int | None, digest: str = "", revision: int = 0) -> str:
        """Begin a session of somebody who has proved to be that; return its key."""
        key = secrets.token_hex(32)
        self._sessions[key] = Session(visitor, account, digest, revision, self._clock())
        while len(self._sessions) > MOST:
            self.end(min(self._sessions, key=lambda each: self._sessions[each].used))
        logger.info("{} has come in", visitor)
        return key

    # ------------------------------------------------------------------ used

    def of(self, key: str, account: int | None) -> Session | None:
        """Return the session of a key, if it counts; its visitor is who that is now.

        Parameters
        ----------
        key : str
            What the cookie says.
        account : int or None
            Whose connection it comes by.
        """
        session = self._sessions.get(key)
        if session is None:
            return None
        if session.account != account:
            logger.warning("a cookie of {} has come from the account {}: refused", session.visitor, account)
            return None
        now = self._clock()
        if now - session.used > LASTS or not self._still_is(session):
            self.end(key)
            return None
        session.used = now
        return session

    def _still_is(self, session: Session) -> bool:
        """Bring a session's visitor up to date; tell whether the user may still look."""
        if session.visitor.is_account:
            return True
        name = session.visitor.name
        try:
            if self._users.content().disconnected.get(name, 0) > session.revision:
                return False
            user = self._users.get(name) if session.digest else None
        except HubfarmError as error:
            logger.warning("{}", brief(str(error), 300))
            return False
        if not session.digest:
            return True  # another authenticator knows the user, and told who it is when it was asked
        if user is None or user.password != session.digest:
            return False
        session.visitor = Visitor(Principal(user=user.name, groups=user.groups, admin=user.admin))
        return True

    def end(self, key: str) -> None:
        """End a session, and what goes on for it."""
        session = self._sessions.pop(key, None)
        if session is not None:
            logger.info("{} has left", session.visitor)
            for end in list(session.endings):
                end()
