"""PAM: for sites whose people have accounts, in LDAP say, and work under a common one.

Groups are those of the account on this host.  A process that is not root can as a rule only check its own account's
password in ``/etc/shadow``; for others it takes a PAM service that asks elsewhere (SSSD, LDAP, Kerberos).

A directory may take one person under several names (``LUIGI``, ``luigi@site``): who it is says the name that PAM gives
back, as the name service writes it.
"""

import ctypes
import ctypes.util
import pwd
import unicodedata
from typing import Any

from hubfarm.access.authenticators import Identity
from hubfarm.access.host_accounts import groups_of
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import AccessSettings
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.checks import check_user

_USER = 2
"""PAM's name, with the service that asks it, for whom it is about (``PAM_USER``)."""

_CANNOT_TELL = {1, 2, 3, 4, 5, 9, 19, 20, 26, 28}
"""What PAM returns that says nothing of the password: a module is missing, a directory does not answer."""


class PamAuthenticator:
    """PAM's word, by one of its services.

    Parameters
    ----------
    service : str
        As it lies in ``/etc/pam.d``.
    admins : collection of str
        Users that may enter every hub.
    pam : module
        python-pam.
    """

    def __init__(self, service: str, admins: tuple[str, ...], pam: Any) -> None:
        self._service = service
        self._admins = admins
        self._pam = pam

    def authenticate(self, user: str, password: str) -> Identity | None:
        """Ask PAM; see `Authenticator.authenticate`."""
        if not user or "\0" in user + password:
            return None
        asked = self._pam.pam()  # one a check: it keeps its last answer in itself; PAM itself makes failures last
        try:
            if not asked.authenticate(user, password, service=self._service, call_end=False):
                if asked.code in _CANNOT_TELL:
                    raise HubfarmError(f"PAM's service {self._service} cannot tell: {asked.reason}")
                return None
            name = _as_known(_name_given_back(asked) or user)
        finally:
            asked.end()
        return Identity(user=name, groups=groups_of(name), admin=name in self._admins)


def _name_given_back(asked: Any) -> str:
    """Return whom PAM means by whom it was asked about; empty if it does not say."""
    library = ctypes.CDLL(ctypes.util.find_library("pam"))
    library.pam_get_item.argtypes = [type(asked.handle), ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)]
    found = ctypes.c_void_p()
    if library.pam_get_item(asked.handle, _USER, ctypes.byref(found)) or not found.value:
        return ""
    return ctypes.string_at(found.value).decode(errors="replace")


def _as_known(name: str) -> str:
    """Return the one name of somebody: as the name service writes it; if it knows none, without case and blanks around.

    Raises
    ------
    HubfarmError
        No user can bear it.
    """
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    for each in (name, plain):
        try:
            return pwd.getpwnam(each).pw_name
        except (KeyError, ValueError):
            continue
    try:
        return check_user(plain)
    except WrongUse as error:
        raise HubfarmError(f"PAM says that it is {name[:100]!r}: {error}") from None


def by_pam(settings: AccessSettings, paths: Paths) -> PamAuthenticator:
    """Return the authenticator ``pam``.

    Raises
    ------
    HubfarmError
        python-pam is not installed.
    """
    try:
        import pam
    except ImportError:
        raise HubfarmError("the authenticator pam needs python-pam: pip install 'hubfarm[pam]'") from None
    return PamAuthenticator(settings.pam_service, settings.admins, pam)
