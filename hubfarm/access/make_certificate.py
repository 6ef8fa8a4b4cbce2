"""Make the farm's certificate, and its CA's if there is none.

``python -m hubfarm.access.make_certificate DIRECTORY NAME…`` is a process of its own; `hubfarm.access.certificates`
says why.
"""

import datetime
import ipaddress
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hubfarm.access.certificates import described
from hubfarm.registry.files import read_private, write_private
from hubfarm.samp.errors import BadLockFile
from hubfarm.wire.addresses import own_addresses

CA_LASTS = datetime.timedelta(days=20 * 365)
LASTS = datetime.timedelta(days=365)
RENEWED_AFTER = datetime.timedelta(days=300)
BEFORE = datetime.timedelta(days=1)
"""So long ago it begins: another host's clock may be slow."""

MOST_NAMES = 200
"""Names of one certificate; addresses come and go, and nobody needs those of last year."""

Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def main(directory: Path, names: Collection[str]) -> None:
    """Make what is missing, and the farm's certificate anew."""
    now = datetime.datetime.now(datetime.UTC)
    ca = _ca(directory, now)
    known = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *own_addresses()}
    certified = sorted({*names, *sorted(known)[:MOST_NAMES]})[: 2 * MOST_NAMES]
    certificate, key = _signed(ca, certified, now)
    text = described((now + RENEWED_AFTER).timestamp(), certified)
    write_private(directory / "hub.pem", text + _pem(certificate) + _key_pem(key) + _pem(ca[0]))


def _ca(directory: Path, now: datetime.datetime) -> Signer:
    """Return the farm's CA; it is made once."""
    try:
        key = load_pem_private_key(read_private(directory / "ca-key.pem").encode(), None)
        certificate = x509.load_pem_x509_certificate(read_private(directory / "ca.pem").encode())
        if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.not_valid_after_utc > now + LASTS:
            return certificate, key
    except (OSError, BadLockFile, ValueError):
        pass
    made = _made_ca(now)
    write_private(directory / "ca-key.pem", _key_pem(made[1]))
    write_private(directory / "ca.pem", _pem(made[0]))
    return made


def _made_ca(now: datetime.datetime) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"hubfarm on {socket.gethostname()}"[:64])
    builder = _begun(name, name, key, now, CA_LASTS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _signed(ca: Signer, names: Sequence[str], now: datetime.datetime) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    ca_certificate, ca_key = ca
    builder = _begun(_name(socket.gethostname()[:64]), ca_certificate.subject, key, now, LASTS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
    return builder.sign(ca_key, hashes.SHA256()), key


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    lasts: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
