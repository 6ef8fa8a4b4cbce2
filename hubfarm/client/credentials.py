"""Who a client is to be on a hub that asks, and by what it knows that hub, if it speaks TLS.

A password is shown with the registration alone, and only then asked for: anew for each one if it is a function.  A
certificate is shown with each connection.
"""

import asyncio
import base64
import getpass
import inspect
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import TLS_CERT_FILE, TLS_CERTIFICATE
from hubfarm.samp.toolkit import SAMPHubError
from hubfarm.wire.tls import read_certificate, trusting, usual_context

Password = str | Callable[[], "str | Awaitable[str]"]


@dataclass(slots=True)
class Credentials:
    """A user, what proves it, and who is believed.

    Parameters
    ----------
    user : str
        The user's name; empty for nobody in particular.
    password : str, callable or None
        The password, or a function that returns it (or a coroutine function); None to ask on the terminal.
    cert_file, key_file : str or path
        A certificate of one's own, and its private key if that is in another file (PEM).
    ca_certs : str or path
        The certificates of who signs those of hubs (PEM); by default what the lock file says, and the system's CAs.

    Raises
    ------
    WrongUse
        A password is given, and no user; or the user's name has a colon in it.

    Examples
    --------
    >>> Credentials("luigi", "a password")
    Credentials(user='luigi', cert_file='', key_file='', ca_certs='')
    """

    user: str = ""
    password: Password | None = field(default=None, repr=False)
    cert_file: str | os.PathLike[str] = ""
    key_file: str | os.PathLike[str] = ""
    ca_certs: str | os.PathLike[str] = ""

    def __post_init__(self) -> None:
        if self.password is not None and not self.user:
            raise WrongUse("a password is given, and no user: say whose it is by user=")
        if ":" in self.user:
            raise WrongUse(f"not usable as a user's name: {self.user!r} (no colon)")

    def contexts(self, tokens: Mapping[str, str]) -> list[ssl.SSLContext]:
        """Return by what a hub is known, one after the other to be tried; with one's own certificate in each.

        Parameters
        ----------
        tokens : dict
            The content of its lock file.

        Raises
        ------
        SAMPHubError
            A file cannot be read, or holds something else.
        """
        try:
            if self.ca_certs:
                contexts = [ssl.create_default_context(cafile=self.ca_certs)]
            else:
                known_by = tokens.get(TLS_CERTIFICATE)
                contexts = [trusting(read_certificate(known_by))] if known_by else []
                if not known_by or tokens.get(TLS_CERT_FILE):  # which a CA may have signed anew meanwhile
                    contexts.append(ssl.create_default_context() if self.cert_file else usual_context())
            if self.cert_file:
                for context in contexts:
                    context.load_cert_chain(self.cert_file, self.key_file or None, password=lambda: "")
        except (OSError, ValueError, HubfarmError) as error:
            what = self.ca_certs or self.cert_file or TLS_CERTIFICATE
            raise SAMPHubError(f"cannot use {os.fspath(what)}: {getattr(error, 'strerror', None) or error}") from None
        return contexts

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
