"""What programs are given to believe a hub that speaks TLS, beside all that they believe otherwise."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from hubfarm.access.certificates import FarmCertificate
from hubfarm.access.trust import trust_variables
from hubfarm.registry.files import read_private
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import TLS_CERTIFICATE
from hubfarm.wire.tls import write_certificate


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.from_environment({"HOME": str(tmp_path)})
    FarmCertificate(paths.prepare(), ["localhost"]).make_if_due()
    return paths


@pytest.fixture
def lock_file(paths: Paths, tmp_path: Path) -> Path:
    ca = ssl.PEM_cert_to_DER_cert(read_private(paths.tls / "ca.pem"))
    path = tmp_path / "lock"
    path.write_text(
        f"samp.secret=s\nsamp.hub.xmlrpc.url=https://localhost:1/\n{TLS_CERTIFICATE}={write_certificate(ca)}\n"
    )
    return path


@pytest.fixture
def believed(tmp_path: Path) -> Path:
    """A CA that the user believes, made as a farm's own is."""
    (tmp_path / "other").mkdir()
    other = Paths.from_environment({"HOME": str(tmp_path / "other")})
    FarmCertificate(other.prepare(), ["localhost"]).make_if_due()
    return other.tls / "ca.pem"


def ours_and(believed: Path, paths: Paths) -> set[str]:
    return {read_private(path).strip() for path in (believed, paths.tls / "ca.pem")}


def certificates_in(pem: str | Path) -> set[str]:
    end = "-----END CERTIFICATE-----"
    return {f"{each.strip()}\n{end}" for each in Path(pem).read_text().split(end) if each.strip()}


def test_both_files_hold_what_was_believed_and_the_hubs(paths: Paths, lock_file: Path, believed: Path) -> None:
    environ = {"JAVA_TOOL_OPTIONS": "-Xmx1g", "SSL_CERT_FILE": str(believed), "SSL_CERT_DIR": ""}
    given = trust_variables(lock_file, paths, environ)
    assert certificates_in(given["SSL_CERT_FILE"]) == ours_and(believed, paths)
    before, option = given["JAVA_TOOL_OPTIONS"].split()
    store = Path(option.removeprefix("-Djavax.net.ssl.trustStore="))
    assert before == "-Xmx1g"
    assert len(load_pkcs12(store.read_bytes(), None).additional_certs) == 2
    assert {Path(each).stat().st_mode & 0o777 for each in (given["SSL_CERT_FILE"], store)} == {0o600}


def test_directory_of_certificates_is_believed_too(
    paths: Paths, lock_file: Path, believed: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "0123abcd.0").write_bytes(believed.read_bytes())
    (directory / "4567cdef.0").write_text("no certificate")
    given = trust_variables(lock_file, paths, {"SSL_CERT_FILE": "/none", "SSL_CERT_DIR": str(directory)})
    assert certificates_in(given["SSL_CERT_FILE"]) == ours_and(believed, paths)


@pytest.mark.parametrize("name", ["JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"])
def test_trust_store_that_the_user_has_named_stays(paths: Paths, lock_file: Path, name: str) -> None:
    said = {name: "-Djavax.net.ssl.trustStore=/mine"}
    assert trust_variables(lock_file, paths, said).keys() == {"SSL_CERT_FILE"}


@pytest.mark.parametrize("named", ["", f"{TLS_CERTIFICATE}=AAAA\n", f"{TLS_CERTIFICATE}=%\n"])
def test_no_certificate_is_an_error_that_says_so(paths: Paths, tmp_path: Path, named: str) -> None:
    path = tmp_path / "lock"
    path.write_text(f"samp.secret=s\n{named}")
    with pytest.raises(HubfarmError, match="certificate"):
        trust_variables(path, paths, {})
