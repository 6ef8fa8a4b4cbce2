"""What unmodified programs are to believe of a hub that speaks TLS: the system's CAs, and what the hub is known by.

OpenSSL's programs (astropy, pyvo) take a file with certificates, Java's (JSAMP, TOPCAT, Aladin) a store.  Each takes
the place of what the program would believe otherwise, so both hold all of that too: TOPCAT fetches tables by https.
"""

import contextlib
import hashlib
import shlex
import ssl
import warnings
from collections.abc import Mapping
from pathlib import Path

from hubfarm.access.certificates import MADE_IN
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import BadLockFile, HubfarmError
from hubfarm.samp.lockfile import TLS_CERTIFICATE, parse
from hubfarm.wire.tls import read_certificate

_JAVA = "-Djavax.net.ssl.trustStore="


def trust_variables(lock_file: Path, paths: Paths, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which programs believe a hub, and make the files that they name.

    A trust store that the user has named to Java stays: it is not ours to read.

    Parameters
    ----------
    lock_file : Path
        The hub's, or a ticket's.
    paths : Paths
        Where the farm's files lie.
    environ : dict of str to str
        The program's environment, but for these.

    Raises
    ------
    HubfarmError
        The lock file cannot be read, or the files not be made.
    """
    certificate = _known_by(lock_file)
    beside = paths.prepare().tls / f"trusted-{hashlib.sha256(certificate).hexdigest()[:16]}"
    pem, store = beside.with_suffix(".pem"), beside.with_suffix(".p12")
    options = environ.get("JAVA_TOOL_OPTIONS", "")
    variables = {"SSL_CERT_FILE": str(pem)}
    if _JAVA not in options + environ.get("_JAVA_OPTIONS", ""):
        variables["JAVA_TOOL_OPTIONS"] = f"{options} {shlex.quote(f'{_JAVA}{store}')}".lstrip()
    trusted = _trusted_beside(certificate, environ)
    with holding(paths.tls / "lock", timeout=MADE_IN, by="another process that writes certificates"):
        write_private(pem, "".join(map(ssl.DER_cert_to_PEM_cert, trusted)))
        write_private(store, _java_store(trusted))
    return variables


def _trusted_beside(certificate: bytes, environ: Mapping[str, str]) -> list[bytes]:
    """Return what OpenSSL believes with this environment, and a certificate beside it."""
    try:
        context = ssl.create_default_context(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        raise HubfarmError(f"the certificate by which the hub is known cannot be used: {error}") from None
    usual = ssl.get_default_verify_paths()
    directory = Path(environ.get("SSL_CERT_DIR", usual.openssl_capath))
    # OpenSSL looks up one certificate of a directory when it needs it, by a name that is its digest.
    files = [environ.get("SSL_CERT_FILE", usual.openssl_cafile), *map(str, directory.glob("[0-9a-f]" * 8 + ".[0-9]"))]
    for file in files:
        with contextlib.suppress(OSError):  # none there, or no certificate, as OpenSSL has it; ssl.SSLError is one
            context.load_verify_locations(file)
    return context.get_ca_certs(binary_form=True)


def _known_by(lock_file: Path) -> bytes:
    """Return the certificate by which a hub is known, as its lock file has it."""
    try:
        return read_certificate(parse(read_private(lock_file, follow=True))[TLS_CERTIFICATE])
    except (OSError, BadLockFile, KeyError) as error:
        raise HubfarmError(f"{lock_file} names no certificate of its hub: {error}") from None


def _java_store(trusted: list[bytes]) -> bytes:
    """Return certificates as Java's trust store: it has no password, as it holds no secret."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import NoEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

    certificates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old CAs that are not as they should be: OpenSSL believes them
        for number, certificate in enumerate(trusted):
            try:
                read = x509.load_der_x509_certificate(certificate)
            except ValueError:
                continue  # the library may come to refuse them
            certificates.append(PKCS12Certificate(read, f"ca-{number}".encode()))
    return serialize_java_truststore(certificates, NoEncryption())
