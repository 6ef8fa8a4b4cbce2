"""TLS as both sides of SAMP need it: contexts, and what a certificate says.  OpenSSL's defaults, 1.2 and later."""

import base64
import binascii
import re
import ssl
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from hubfarm.samp.errors import HubfarmError

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def server_context(
    cert_file: Path, key_file: Path, client_ca: Path | None = None, *, need_client: bool = False
) -> ssl.SSLContext:
    """Return what a server answers with.

    Parameters
    ----------
    cert_file : Path
        Its certificate, and those between it and a CA's (PEM).
    key_file : Path
        The private key (PEM); may be the same file.
    client_ca : Path, optional
        The certificates of who has signed those of clients; without it clients are not asked for one.
    need_client : bool
        Refuse a client that shows none.

    Raises
    ------
    HubfarmError
        A file cannot be read, or holds something else; the message says which.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert_file, key_file, password=lambda: "")  # it would ask on the terminal
    except (OSError, ValueError) as error:
        _check_readable(cert_file, key_file)
        raise HubfarmError(
            f"{cert_file} and {key_file} are no certificate and its private key without a password (PEM): "
            f"{_said(error)}"
        ) from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            _check_readable(client_ca)
            raise HubfarmError(f"{client_ca} holds no certificates (PEM): {_said(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED if need_client else ssl.CERT_OPTIONAL
    return context


def _check_readable(*files: Path) -> None:
    for file in files:
        try:
            file.read_bytes()
        except OSError as error:
            raise HubfarmError(f"cannot read {file}: {error.strerror}") from None


def _said(error: Exception) -> str:
    """Return what OpenSSL says is wrong, without where in its code."""
    return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()


def trusting(certificate: bytes) -> ssl.SSLContext:
    """Return what a client connects with that knows its server by one certificate: that one, or one signed with it.

    The server's name does not matter: nobody else has a certificate of these.

    Parameters
    ----------
    certificate : bytes
        In DER.

    Raises
    ------
    HubfarmError
        It is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        raise HubfarmError(f"no certificate: {_said(error)}") from None
    return context


@cache
def usual_context() -> ssl.SSLContext:
    """Return what a client connects with that knows no more than the CAs of this system."""
    return ssl.create_default_context()  # reads all of the system's certificates: 30 ms


def believing_all() -> ssl.SSLContext:
    """Return what asks whether anybody answers, and tells nobody a secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificates_in(pem: str) -> list[bytes]:
    """Return the certificates of a PEM file, in DER, in their order."""
    try:
        return [ssl.PEM_cert_to_DER_cert(found) for found in _PEM.findall(pem)]
    except (ValueError, binascii.Error):
        return []


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in DER, as ``openssl x509 -fingerprint -sha256`` prints it."""
    return sha256(certificate).digest().hex(":").upper()


def write_certificate(certificate: bytes) -> str:
    """Return a certificate in DER as a lock file has it: base64 without ``=``, which would stop astropy."""
    return base64.b64encode(certificate).decode().rstrip("=")


def read_certificate(text: str) -> bytes:
    """Return the certificate that `write_certificate` wrote.

    Raises
    ------
    HubfarmError
        It is no base64.
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise HubfarmError("no certificate in base64") from None


def name_in(certificate: Mapping[str, Any] | None) -> str:
    """Return whose a client's certificate is, which has been verified: its common name, or its first alternative one.

    Examples
    --------
    >>> name_in({"subject": ((("organizationName", "INAF"),), (("commonName", "luigi"),))})
    'luigi'
    >>> name_in({"subject": (), "subjectAltName": (("email", "luigi@example.org"),)})
    'luigi@example.org'
    """
    if not certificate:
        return ""
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return str(next(iter([*common, *(value for _, value in certificate.get("subjectAltName", ()))]), ""))
