"""What a hub's port is encrypted with: loaded, looked after, and what the lock file says of it."""

import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from loguru import logger

from hubfarm.access.certificates import FarmCertificate
from hubfarm.registry.files import lstat_or_none
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import TLS_CERTIFICATE, TLS_FINGERPRINT
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.wire.tls import certificates_in, fingerprint, server_context, write_certificate


class Encryption:
    """The certificate of one hub that speaks TLS, its own or the farm's; taken anew when the file has changed.

    Parameters
    ----------
    spec : HubSpec
        The hub.
    paths : Paths
        Where the farm's certificate lies.

    Raises
    ------
    HubfarmError
        A file cannot be read or holds something else, or the farm's certificate cannot be made.
    """

    def __init__(self, spec: HubSpec, paths: Paths) -> None:
        self._spec = spec
        self._farm = None if spec.cert_file else FarmCertificate(paths, _names(spec))
        self._cert_file = Path(spec.cert_file) if self._farm is None else self._farm.path
        self._key_file = Path(spec.key_file) if spec.key_file else self._cert_file
        self._client_ca = Path(spec.client_ca) if spec.client_ca else None
        self._trouble = ""
        self.prepare()
        self._load()

    def prepare(self) -> None:
        """Make the farm's certificate, if it is what this hub has, and it is time; this may take a second."""
        if self._farm is not None:
            self._farm.make_if_due()

    @property
    def is_due(self) -> bool:
        """Whether `prepare` would make something."""
        return self._farm is not None and self._farm.is_due()

    def context(self) -> ssl.SSLContext:
        """Return what the next connection is encrypted with."""
        return self._context

    @property
    def tokens(self) -> Mapping[str, str]:
        """What the hub's lock file says of it."""
        return self._tokens

    def look(self) -> bool:
        """Take what has changed, and tell whether something has; what makes no sense is left until it does."""
        if self._seen == self._stamps():
            return False
        try:
            self._load()
        except HubfarmError as error:
            if str(error) != self._trouble:  # once, and not every second
                self._trouble = str(error)
                logger.error("goes on with the certificate that it has: {}", error)
            return False
        logger.info("took the certificate {}", self._tokens[TLS_FINGERPRINT])
        return True

    def _load(self) -> None:
        seen = self._stamps()
        context = server_context(
            self._cert_file, self._key_file, self._client_ca, need_client=self._spec.need_client_cert
        )
        chain = certificates_in(self._cert_file.read_text("latin-1"))
        known_by = chain[-1] if self._farm is not None else chain[0]
        self._tokens = {TLS_FINGERPRINT: fingerprint(chain[0]), TLS_CERTIFICATE: write_certificate(known_by)}
        self._context, self._seen, self._trouble = context, seen, ""

    def _stamps(self) -> list[object]:
        files = [self._cert_file, self._key_file, *([self._client_ca] if self._client_ca else [])]
        return [(status.st_ino, status.st_mtime_ns) if (status := _stat(file)) else None for file in files]


def _stat(file: Path) -> os.stat_result | None:
    # Where it leads: who renews certificates moves links (certbot).
    try:
        return file.stat()
    except OSError:
        return lstat_or_none(file)


def _names(spec: HubSpec) -> set[str]:
    """Return by which name a hub is asked that listens where it was asked to."""
    everywhere = spec.host in ("0.0.0.0", "::", "")
    return {socket.gethostname() if everywhere else spec.host.strip("[]").partition("%")[0]}
