"""Passwords that newcomers show at a hub's door: checked beside the loop, few at a time, and guessers later and later.

Two brakes stand on a guesser: the answer to a wrong password waits, by address, as that to a wrong secret does
(`hubfarm.hub.profiles.throttle`); and while it would still wait, no further password of the same user is checked,
wherever it comes from.  A user whom somebody guesses at cannot enter by password meanwhile, but by ticket.
"""

import asyncio
import base64
import binascii
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hubfarm.access.authenticators import Authenticator, Identity
from hubfarm.hub.profiles.throttle import FREE, Throttle
from hubfarm.samp.errors import Fault

AT_ONCE = 4
"""Passwords that are checked at the same time: PAM takes seconds to say no, and nobody else shall wait for that."""

MOST_WAITING = 64
"""Passwords that may be shown and not answered yet; the users file takes 20 ms for each."""


class Credentials(NamedTuple):
    """What somebody claims to be, and shows for it."""

    user: str
    password: str


def credentials_in(authorization: bytes | None) -> Credentials | None:
    """Return what an HTTP ``Authorization`` says in the scheme Basic (RFC 7617), None if it says nothing.

    Raises
    ------
    Fault
        It cannot be read; the message does not show it.

    Examples
    --------
    >>> credentials_in(b"Basic bHVpZ2k6YTpi")
    Credentials(user='luigi', password='a:b')
    """
    if not authorization:
        return None
    scheme, _, encoded = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        raise Fault("of the schemes of HTTP authentication this hub takes Basic: user and password")
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise Fault("the Authorization of the request is no user and password in UTF-8 (RFC 7617)")
    return Credentials(user, password)


class PasswordChecks:
    """Asks an authenticator, beside the loop.

    Parameters
    ----------
    authenticator : callable
        Returns it; called once, in a thread, when the first password comes.
    clock : callable
        Returns the time, seconds.
    """

    def __init__(self, authenticator: Callable[[], Authenticator], clock: Callable[[], float]) -> None:
        self._make = authenticator
        self._made: Authenticator | None = None
        self._wrong = Throttle(clock)
        self._under_way: Counter[str] = Counter()
        self._pool: ThreadPoolExecutor | None = None

    async def check(self, shown: Credentials) -> Identity | None:
        """Return who it is, None if user or password is wrong.

        Raises
        ------
        Fault
            Too many are being checked, or too many were wrong.
        HubfarmError
            The authenticator cannot tell.
        """
        self._refuse_too_many(shown.user)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AT_ONCE, "hubfarm-passwords")
        self._under_way[shown.user] += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, shown)
        finally:
            self._under_way -= Counter([shown.user])
        if found is None:
            self._wrong.count(shown.user)
        return found

    def _refuse_too_many(self, user: str) -> None:
        wait, failures = self._wrong.wait(user), self._wrong.failures(user)
        side_by_side = max(1.0, FREE - failures) if failures else MOST_WAITING
        if wait or self._under_way[user] >= side_by_side:
            raise Fault(
                f"too many wrong passwords were given for this user: try again in {max(wait, 1):.0f} s, or log in by "
                "hubfarm login"
            )
        if self._under_way.total() >= MOST_WAITING:
            raise Fault("too many passwords are being checked: try again")

    def _ask(self, shown: Credentials) -> Identity | None:
        if self._made is None:
            self._made = self._make()
        return self._made.authenticate(shown.user, shown.password)

    def close(self) -> None:
        """Check no more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
