"""Passwords that newcomers show at a hub's door: checked beside the loop, few at a time, and guessers later and later.

Two brakes stand on a guesser: the answer to a wrong password waits, by address, as that to a wrong secret does
(`hubfarm.hub.profiles.throttle`); and while it would still wait, no further password of the same user is checked,
wherever it comes from.  A user whom somebody guesses at cannot enter by password meanwhile, but by ticket.

Nobody can take all the room for himself.  Of a name a few passwords wait, of all together a few dozen.  If there is no
more room, one of the source makes way of which the most wait, and not one of a user who has entered before.  Sources
take turns: an account of this host, by the kernel's word, or else an address.
"""

import asyncio
import base64
import binascii
import random
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from hubfarm.access.authenticators import Authenticator, Identity, identify
from hubfarm.hub.profiles.throttle import FREE, Throttle, source_of
from hubfarm.samp.errors import Fault
from hubfarm.spec.checks import LONGEST_NAME
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_messages import Ends

AT_ONCE = 4
"""Passwords that are checked at the same time: PAM takes seconds to say no, and nobody else shall wait for that."""

MOST_WAITING = 64
"""Passwords that wait to be checked; the users file takes 20 ms for each."""

OF_A_NAME = 16
"""Passwords of one user that are not answered yet: so many programs of one person start at the same time."""

MOST_REMEMBERED = 1000
"""Users who have entered before that are remembered."""


class TooMany(Fault):
    """A password is not checked, as there are too many: of its user, or of all together."""


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


class _Shown(NamedTuple):
    """A password that waits to be checked, or is being checked."""

    number: int
    credentials: Credentials
    name: str
    """As what the user is counted."""
    source: str
    answer: "asyncio.Future[Identity | None]"


class PasswordChecks:
    """Asks an authenticator, beside the loop.

    Parameters
    ----------
    authenticator : callable
        Returns it; called in a thread when the first password comes.
    clock : callable
        Returns the time, seconds.
    """

    def __init__(self, authenticator: Callable[[], Authenticator], clock: Callable[[], float]) -> None:
        self._make = authenticator
        self._made: Authenticator | None = None
        self._wrong = Throttle(clock)
        self._entered: OrderedDict[str, None] = OrderedDict()
        self._waiting: list[_Shown] = []
        self._running: list[_Shown] = []
        self._turns: dict[str, int] = {}
        """When each source that waits had its last turn."""
        self._number = 0
        self._pool: ThreadPoolExecutor | None = None
        self._sockets: HostSockets | None = None

    async def check(self, shown: Credentials, ends: Ends) -> Identity | None:
        """Return who it is, None if user or password is wrong.

        Parameters
        ----------
        shown : Credentials
            What somebody claims, and shows for it.
        ends : Ends
            Over which connection.

        Raises
        ------
        TooMany
            Too many are being checked, or too many were wrong.
        HubfarmError
            The authenticator cannot tell.
        """
        name = _counted_as(shown.user)
        self._refuse_too_many(name)
        self._number += 1
        answer: asyncio.Future[Identity | None] = asyncio.get_running_loop().create_future()
        this = _Shown(self._number, shown, name, self._source(ends), answer)
        self._waiting.append(this)
        if len(self._waiting) > MOST_WAITING:
            self._put_out_one()
        self._go_on()
        try:
            return await answer
        finally:
            if this in self._waiting:  # its sender has gone
                self._waiting.remove(this)

    def _refuse_too_many(self, name: str) -> None:
        wait, failures = self._wrong.wait(name), self._wrong.failures(name)
        under_way = sum(each.name == name for each in (*self._waiting, *self._running))
        if under_way >= OF_A_NAME:
            raise TooMany("too many passwords of this user are being checked: try again")
        if wait or (failures and under_way >= max(1.0, FREE - failures)):
            raise TooMany(
                f"too many wrong passwords were given for this user: try again in {max(wait, 1):.0f} s, or log in by "
                "hubfarm login"
            )

    def _source(self, ends: Ends) -> str:
        if self._sockets is None:
            self._sockets = HostSockets()
        uid = self._sockets.account(ends)
        return source_of(ends.peer) if uid is None else f"the account {uid}"

    def _put_out_one(self) -> None:
        """Make room: of the source of which the most wait, by lot, and rather a name that has never entered."""
        ((most, _),) = Counter(each.source for each in self._waiting).most_common(1)
        of_it = [each for each in self._waiting if each.source == most]
        out = random.choice([each for each in of_it if each.name not in self._entered] or of_it)
        self._waiting.remove(out)
        if not out.answer.done():
            out.answer.set_exception(TooMany("too many passwords are being checked: try again"))

    # ------------------------------------------------------------------ one after the other

    def _go_on(self) -> None:
        """Begin with as many as may be checked at the same time."""
        while self._waiting and len(self._running) < AT_ONCE:
            this = min(self._waiting, key=self._order)
            self._waiting.remove(this)
            self._running.append(this)
            present = {each.source for each in (*self._waiting, *self._running)}
            self._turns = {source: turn for source, turn in self._turns.items() if source in present}
            self._turns[this.source] = max(self._turns.values(), default=0) + 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, "hubfarm-passwords")
            asked = asyncio.get_running_loop().run_in_executor(self._pool, self._ask, this.credentials)
            asked.add_done_callback(partial(self._done, this))

    def _order(self, this: _Shown) -> tuple[int, bool, int]:
        return self._turns.get(this.source, 0), this.name not in self._entered, this.number

    def _ask(self, shown: Credentials) -> Identity | None:
        if self._made is None:
            self._made = self._make()
        return identify(self._made, shown.user, shown.password)

    def _done(self, this: _Shown, asked: "asyncio.Future[Identity | None]") -> None:
        self._running.remove(this)
        if asked.cancelled():
            this.answer.cancel()
            return
        error = asked.exception()
        found = None if error is not None else asked.result()
        if found is not None:
            self._remember(this.name)
        elif error is None:
            self._wrong.count(this.name)
        if not this.answer.done():  # its sender may have gone
            if error is not None:
                this.answer.set_exception(error)
            else:
                this.answer.set_result(found)
        self._go_on()

    def _remember(self, name: str) -> None:
        self._entered[name] = None
        self._entered.move_to_end(name)
        if len(self._entered) > MOST_REMEMBERED:
            self._entered.popitem(last=False)

    def close(self) -> None:
        """Check no more."""
        for each in self._waiting:
            each.answer.cancel()
        self._waiting.clear()
        if self._sockets is not None:
            self._sockets.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _counted_as(user: str) -> str:
    """Return what is counted of a user's name: a directory may take one person under many ways to write it."""
    return unicodedata.normalize("NFKC", user[:LONGEST_NAME]).strip().casefold()
