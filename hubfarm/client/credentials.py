"""Who a client is to be on a hub that asks: a user with a password, or the holder of a ticket.

A password is shown with the registration alone, and only then asked for: anew for each one if it is a function.
"""

import asyncio
import base64
import getpass
import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hubfarm.samp.errors import WrongUse
from hubfarm.samp.toolkit import SAMPHubError

Password = str | Callable[[], "str | Awaitable[str]"]


@dataclass(slots=True)
class Credentials:
    """A user, and what proves it.

    Parameters
    ----------
    user : str
        The user's name; empty for nobody in particular.
    password : str, callable or None
        The password, or a function that returns it (or a coroutine function); None to ask on the terminal.

    Raises
    ------
    WrongUse
        A password is given, and no user; or the user's name has a colon in it.

    Examples
    --------
    >>> Credentials("luigi", "a password")
    Credentials(user='luigi')
    """

    user: str = ""
    password: Password | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.password is not None and not self.user:
            raise WrongUse("a password is given, and no user: say whose it is by user=")
        if ":" in self.user:
            raise WrongUse(f"not usable as a user's name: {self.user!r} (no colon)")

    def ask(self) -> None:
        """Ask for the password on the terminal, if it is missing.

        Raises
        ------
        SAMPHubError
            There is no terminal.
        """
        if not self.user or self.password is not None:
            return
        if sys.stdin is None or not sys.stdin.isatty():
            raise SAMPHubError(f"there is no terminal to ask for the password of {self.user} on: give password=")
        self.password = getpass.getpass(f"Password of {self.user}: ")

    async def authorization(self) -> bytes:
        """Return what an HTTP ``Authorization`` has to say (RFC 7617); nothing without a user.

        Raises
        ------
        SAMPHubError
            The password is missing, and there is no terminal.
        """
        if not self.user:
            return b""
        await asyncio.to_thread(self.ask)
        given = self.password
        if callable(given):
            answer = await asyncio.to_thread(given)
            given = await answer if inspect.isawaitable(answer) else answer
        return b"Basic " + base64.b64encode(f"{self.user}:{given}".encode())
