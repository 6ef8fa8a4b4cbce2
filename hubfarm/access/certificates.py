"""The farm's own certificate: made when a hub first needs it, and anew before it runs out or lacks a name.

Theory of operation: the farm is a CA of its own for twenty years, and signs a certificate for all its hubs that counts
for one.  Clients know a hub by the CA's, which stays when the other is renewed: the lock file, a ticket, and a trust
store that somebody has filled once go on being right.  Both are made by another process
(`hubfarm.access.make_certificate`), because cryptography takes more memory than a hub does.
"""

import re
import subprocess
import sys
import time
from collections.abc import Collection

from hubfarm.registry.files import read_private
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import BadLockFile, HubfarmError

MADE_IN = 30.0
"""How long making one may take, seconds; or waiting for another hub that makes it."""

_ABOUT = re.compile(r"# hubfarm: renewed after ([0-9]{1,12}), for (.*)")


class FarmCertificate:
    """The certificate of a farm's hubs.

    Parameters
    ----------
    paths : Paths
        Where it lies.
    names : collection of str
        Under which the hub is known that asks: names and addresses.
    """

    def __init__(self, paths: Paths, names: Collection[str]) -> None:
        self.path = paths.tls / "hub.pem"
        """The certificate, its private key and the CA's certificate, one behind the other."""
        self.ca_path = paths.tls / "ca.pem"
        """The CA's certificate."""
        self._directory = paths.tls
        self._names = set(names)

    def is_due(self) -> bool:
        """Tell whether it is time to make it."""
        about = self._about()
        return about is None or time.time() > about[0] or not self._names <= about[1]

    def _about(self) -> tuple[int, set[str]] | None:
        try:
            found = _ABOUT.match(read_private(self.path))
        except (OSError, BadLockFile):
            return None
        return (int(found[1]), set(found[2].split())) if found else None

    def make_if_due(self) -> None:
        """Make it, if it is time; once for all hubs that ask at the same time.

        Raises
        ------
        HubfarmError
            It cannot be made; the message says why.
        """
        if not self.is_due():
            return
        with holding(self._directory / "lock", timeout=MADE_IN, by="another hub that makes the farm's certificate"):
            if self.is_due():
                self._make()

    def _make(self) -> None:
        about = self._about()
        names = sorted(self._names | (about[1] if about else set()))
        command = [sys.executable, "-m", "hubfarm.access.make_certificate", str(self._directory), *names]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MADE_IN)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HubfarmError(f"the farm's certificate cannot be made: {error}") from None
        if done.returncode:
            why = done.stderr.strip().rpartition("\n")[2]
            raise HubfarmError(f"the farm's certificate cannot be made: {why}")


def described(renewed_after: float, names: Collection[str]) -> str:
    """Return the line by which the file tells when it is to be made anew, and for which names it is."""
    return f"# hubfarm: renewed after {renewed_after:.0f}, for {' '.join(sorted(names))}\n"
