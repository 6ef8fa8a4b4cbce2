"""Hubs that speak TLS: known by their certificate, which is renewed while they run; users by theirs."""

import contextlib
import datetime
import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hubfarm import SAMPHubProxy, SAMPHubServer, SAMPIntegratedClient
from hubfarm.client.errors import SAMPProxyError
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.toolkit import SAMP_HUB_MULTIPLE_INSTANCE, SAMPHubError
from hubfarm.wire.tls import fingerprint, server_context
from tests.conftest import RunCli
from tests.support import read_lock_file, running, wait_for

DAY = datetime.timedelta(days=1)


_SIGNS = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # certificates and revocations


class Authority:
    """A CA that is not the farm's."""

    def __init__(self, directory: Path, name: str = "a CA") -> None:
        self.directory = directory
        self.file = directory / f"{name}.pem"
        self._name, self._key = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), self._new_key()
        builder = self._begun(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False).add_extension(_SIGNS, critical=True)
        self.file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    @staticmethod
    def _new_key() -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - DAY).not_valid_after(now + DAY)

    def sign(self, name: str) -> tuple[Path, Path]:
        """Sign a certificate for somebody; return it and its private key."""
        key = self._new_key()
        builder = self._begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())  # Python 3.13 asks for it
        builder = builder.add_extension(issuer, critical=False)
        files = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        files[0].write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shown_by(hub: HubInfo) -> str:
    """Return the fingerprint of the certificate that a hub shows."""
    host, port = hub.url.removeprefix("https://").removesuffix("/xmlrpc").rsplit(":", 1)
    return fingerprint(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)))))


def named_for(hub: HubInfo) -> str:
    return read_lock_file(hub.lock_file)["hubfarm.tls.fingerprint"]


def talk(connect: Callable[[SAMPIntegratedClient], None]) -> Any:
    """Connect two clients, let one call the other; return the result."""
    with SAMPIntegratedClient("asks") as one, SAMPIntegratedClient("answers") as other:

        @other.on_call("test.double")
        def double(message: Any) -> dict[str, object]:
            return {"result": 2 * int(message.params["value"])}

        connect(other)
        connect(one)
        return one.ecall_and_wait(str(other.get_public_id()), "test.double", 10, value=21)["samp.result"]["result"]


# ---------------------------------------------------------------------- the farm's own certificate


def test_hub_shows_the_certificate_that_its_lock_file_names_and_our_clients_know_it(farm: Farm, cli: RunCli) -> None:
    assert cli("start", "--label", "safe", "--tls").stderr == ""
    hub = farm.find("safe")
    assert hub.url.startswith("https://127.0.0.1:")
    assert shown_by(hub) == named_for(hub)
    assert talk(lambda client: client.connect(label="safe")) == "42"
    assert cli("ping", "safe").returncode == 0
    assert "hubfarm" in cli("clients", "safe").stdout
    assert hub.url in SAMPHubProxy.get_running_hubs()[str(hub.lock_file)].values()
    for path in farm.paths.tls.iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_hub_without_tls_knows_no_certificate(farm: Farm) -> None:
    (hub,) = farm.start(label="clear")
    assert "hubfarm.tls.fingerprint" not in read_lock_file(hub.lock_file)
    assert list(farm.paths.tls.iterdir()) == []


def test_older_tls_is_not_spoken(farm: Farm) -> None:
    (hub,) = farm.start(tls=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    port = int(hub.url.rsplit(":", 1)[1].removesuffix("/xmlrpc"))
    with socket.create_connection(("127.0.0.1", port)) as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock)
    with pytest.raises((OSError, ConnectionError)), ServerProxy(f"http://127.0.0.1:{port}/") as proxy:
        proxy.samp.hub.ping()


def test_certificate_stays_over_restart_and_crash(farm: Farm) -> None:
    (hub,) = farm.start(label="safe", tls=True)
    shown = shown_by(hub)
    with SAMPIntegratedClient() as client:
        client.connect(label="safe")
        farm.restart(["safe"])
        assert shown_by(hub) == shown
        pid = farm.find("safe").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: [each for each in farm.hubs() if each.alive and each.restarts == 2], "a successor serves")
        assert client.get_registered_clients() == ["hub"]
    assert shown_by(hub) == shown


def test_false_hub_is_not_entered_and_one_line_says_what_did_not_match(farm: Farm, authority: Authority) -> None:
    (hub,) = farm.start(label="safe", tls=True)
    tokens = read_lock_file(hub.lock_file)
    with _false_hub(authority) as (port, heard):
        for known_by in (tokens, {name: value for name, value in tokens.items() if "hubfarm.tls" not in name}):
            false = known_by | {"samp.hub.xmlrpc.url": f"https://localhost:{port}/xmlrpc"}
            with pytest.raises(SAMPHubError, match=f"the certificate that localhost:{port} shows") as caught:
                SAMPIntegratedClient().connect(hub_params=false)
            assert "\n" not in str(caught.value)
            assert ("hubfarm.tls.fingerprint" in known_by) == (named_for(hub) in str(caught.value))
        with pytest.raises(
            SAMPHubError, match="does not answer ping"
        ):  # it is known by its CA: there is no hub behind it
            SAMPIntegratedClient().connect(hub_params=false, ca_certs=authority.file, timeout=2.0)
    assert not any(tokens["samp.secret"].encode() in each for each in heard)


@contextlib.contextmanager
def _false_hub(authority: Authority) -> Iterator[tuple[int, list[bytes]]]:
    """A server with a certificate of its own, which answers each request with nothing."""
    heard: list[bytes] = []
    context = server_context(*authority.sign("false"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer, contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as talk:
                        heard.append(talk.recv(65536))

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_farms_certificate_is_renewed_in_time_and_clients_go_on_knowing_the_hub(farm: Farm) -> None:
    (hub,) = farm.start(label="safe", tls=True)
    before, known_by = named_for(hub), read_lock_file(hub.lock_file)
    with SAMPIntegratedClient("inside", callable=False) as inside:
        inside.connect(label="safe", pool_size=1)
        file = farm.paths.tls / "hub.pem"
        text = file.read_text()
        file.write_text(text.replace("renewed after 1", "renewed after 0"))  # its time has come
        wait_for(lambda: named_for(hub) != before, "the lock file names another certificate")
        assert shown_by(hub) == named_for(hub)
        assert read_lock_file(hub.lock_file)["hubfarm.tls.certificate"] == known_by["hubfarm.tls.certificate"]
        inside.ping()
        with SAMPIntegratedClient() as later:
            later.connect(hub_params=known_by)


def test_hub_on_another_address_gets_a_certificate_for_it(farm: Farm) -> None:
    farm.start(label="one", tls=True)
    (hub,) = farm.start(label="two", tls=True, host="127.0.0.77")
    context = ssl.create_default_context(cafile=farm.paths.tls / "ca.pem")
    with ServerProxy(hub.url, context=context) as proxy:  # the standard library's, which looks at names
        assert proxy.samp.hub.ping() == ""


# ---------------------------------------------------------------------- certificates of others


def test_own_certificate_is_shown_and_a_renewed_one_is_taken_while_the_hub_runs(
    farm: Farm, cli: RunCli, authority: Authority, tmp_path: Path
) -> None:
    first, second = authority.sign("first"), authority.sign("second")
    links = tmp_path / "present.crt", tmp_path / "present.key"
    for link, file in zip(links, first, strict=True):
        link.symlink_to(file)
    done = cli(
        "start", "--label", "s", "--tls", "--cert-file", links[0].name, "--key-file", str(links[1]), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    hub = farm.find("s")
    assert talk(lambda client: client.connect(label="s")) == "42"
    assert shown_by(hub) == named_for(hub) == fingerprint(ssl.PEM_cert_to_DER_cert(first[0].read_text()))
    for link, file in zip(links, second, strict=True):
        link.unlink()
        link.symlink_to(file)
    renewed = fingerprint(ssl.PEM_cert_to_DER_cert(second[0].read_text()))
    wait_for(lambda: named_for(hub) == renewed, "the lock file names the new certificate")
    assert shown_by(hub) == renewed
    links[1].unlink()
    wait_for(lambda: "goes on with the certificate" in farm.log_file("s").read_text(), "it says what is wrong")
    assert talk(lambda client: client.connect(label="s")) == "42"
    assert list(farm.paths.tls.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--cert-file c.crt", "say --tls too"),
        ("--tls --key-file c.key", "say --cert-file too"),
        ("--tls --need-client-cert", "say --client-ca too"),
        ("--tls --cert-file none", "cannot read"),
        ("--tls --cert-file c.crt", "no certificate and its private key"),
        ("--tls --cert-file c.crt --key-file c.key --client-ca c.key", "holds no certificates"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    cli: RunCli, authority: Authority, tmp_path: Path, words: str, what: str
) -> None:
    authority.sign("c")
    done = cli("start", *words.split(), cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert what in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_certificate_of_a_client_is_the_user_that_it_names(farm: Farm, authority: Authority, tmp_path: Path) -> None:
    farm.users.add("luigi", "a password", groups=["mima"])
    (hub,) = farm.start(label="s", group="mima", access="group", tls=True, client_ca=authority.file)
    luigi, anna = authority.sign("luigi"), authority.sign("anna")
    with SAMPIntegratedClient() as client:
        client.connect(label="s", cert_file=luigi[0], key_file=luigi[1])
        metadata = client.get_metadata(str(client.get_public_id()))
        assert (metadata["hubfarm.user"], metadata["hubfarm.groups"]) == ("luigi", ["mima"])
        without_secret = read_lock_file(hub.lock_file) | {"samp.secret": "not known"}
        with SAMPIntegratedClient() as other:
            other.connect(hub_params=without_secret, cert_file=luigi[0], key_file=luigi[1])
        with pytest.raises(SAMPProxyError, match="the user anna is none of them"):
            SAMPIntegratedClient().connect(label="s", cert_file=anna[0], key_file=anna[1])
        with pytest.raises(SAMPProxyError, match="this hub is for the group mima"):
            SAMPIntegratedClient().connect(label="s")
        with pytest.raises(SAMPProxyError, match="secret is wrong"):
            SAMPIntegratedClient().connect(hub_params=without_secret)
        nobody = authority.sign("a:b")
        with pytest.raises(SAMPProxyError, match="the certificate names nobody"):
            SAMPIntegratedClient().connect(label="s", cert_file=nobody[0], key_file=nobody[1])
        (tmp_path / "others").mkdir()
        forged = Authority(tmp_path / "others").sign("luigi")
        with pytest.raises(SAMPHubError, match="does not answer"):
            SAMPIntegratedClient().connect(label="s", cert_file=forged[0], key_file=forged[1])
        farm.users.disconnect("luigi")
        wait_for(lambda: hub_has_forgotten(client), "who was disconnected is out")
    wait_for(lambda: "no TLS" in farm.log_file("s").read_text(), "the log says whose certificate was refused")


def hub_has_forgotten(client: SAMPIntegratedClient) -> bool:
    try:
        client.get_registered_clients()
    except SAMPProxyError:
        return True
    return False


def test_open_hub_asks_for_the_secret_beside_a_certificate(farm: Farm, authority: Authority) -> None:
    (hub,) = farm.start(label="s", tls=True, client_ca=authority.file, need_client_cert=True)
    luigi = authority.sign("luigi")
    tokens = read_lock_file(hub.lock_file)
    with SAMPIntegratedClient() as client:
        client.connect(label="s", cert_file=luigi[0], key_file=luigi[1])
        assert client.get_metadata(str(client.get_public_id()))["hubfarm.user"] == "luigi"
    with pytest.raises(SAMPProxyError, match="secret is wrong"):
        SAMPIntegratedClient().connect(hub_params=tokens | {"samp.secret": "x"}, cert_file=luigi[0], key_file=luigi[1])
    with pytest.raises(SAMPHubError, match="does not answer"):  # it talks to nobody without one
        SAMPIntegratedClient().connect(label="s")


# ---------------------------------------------------------------------- other ways to run a hub


@pytest.mark.usefixtures("farm")
def test_embedded_hubs_and_farm_files_speak_tls(cli: RunCli, authority: Authority, tmp_path: Path) -> None:
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="mine", tls=True) as server:
        assert talk(lambda client: client.connect(server)) == "42"
    authority.sign("c")
    (tmp_path / "farm.toml").write_text('[[hub]]\nlabel="f"\ntls=true\ncert_file="c.crt"\nkey_file="c.key"\n')
    assert cli("up", str(tmp_path / "farm.toml")).returncode == 0
    assert talk(lambda client: client.connect(label="f")) == "42"
    assert '"keep"' in cli("up", str(tmp_path / "farm.toml"), "--json").stdout


@pytest.mark.usefixtures("home")
def test_sampy_runs_a_hub_with_tls(authority: Authority) -> None:
    cert, key = authority.sign("localhost")
    command = [
        sys.executable,
        "-c",
        "from hubfarm.cli.sampy import main; main()",
        "-m",
        "-l",
        "mine",
        "-d",
        "localhost",
    ]
    command += ["-s", "-C", str(cert), "-K", str(key), "--cert-reqs", "OPTIONAL", "--ca-certs", str(authority.file)]
    with running(*command, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(Farm().paths.lockdir.glob("samp-hub*")), "the lock file is there")
        assert talk(lambda client: client.connect(label="mine", ca_certs=authority.file)) == "42"
        process.terminate()
        assert process.wait(10) == 0


def test_hub_on_an_outside_address_without_tls_warns(farm: Farm, cli: RunCli) -> None:
    done = cli("start", "--label", "far", "--host", "0.0.0.0")
    assert "whoever is on the way can read and change its secrets" in done.stderr
    assert "whoever is on the way" in farm.log_file("far").read_text()
    assert "whoever" not in cli("start", "--label", "near").stderr
    assert "whoever" not in cli("start", "--label", "safe", "--host", "0.0.0.0", "--tls").stderr
