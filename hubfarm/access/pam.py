"""PAM: for sites whose people have accounts, in LDAP say, and work under a common one.

Groups are those of the account on this host.  A process that is not root can as a rule only check its own account's
password in ``/etc/shadow``; for others it takes a PAM service that asks elsewhere (SSSD, LDAP, Kerberos).
"""

from typing import Any

from hubfarm.access.authenticators import Identity
from hubfarm.access.host_accounts import groups_of
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import AccessSettings
from hubfarm.samp.errors import HubfarmError


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
        # One object a check: it keeps its last answer in itself.  PAM itself makes failures last.
        if "\0" in user + password or not self._pam.pam().authenticate(user, password, service=self._service):
            return None
        return Identity(user=user, groups=groups_of(user), admin=user in self._admins)


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
