"""A hub that is shared by URL: another account's unmodified JSAMP and astropy enter by it, and by nothing else."""

import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.farm.entering import Shared
from hubfarm.samp.lockfile import lock_url, parse_samp_hub
from tests.accounts import C, as_account, python_as, three_accounts
from tests.support import need, need_module, read_lock_file, running, wait_for

pytestmark = pytest.mark.interop


SEND = """
from astropy.samp import SAMPIntegratedClient
client = SAMPIntegratedClient("astropy")
client.connect()
client.enotify_all("test.told", text="by astropy")
print(client.get_metadata(client.get_public_id())["hubfarm.user"])
client.disconnect()
"""


@pytest.fixture
def home_of_c(home: Path) -> Iterator[Path]:
    home.chmod(0o711)
    with three_accounts():
        theirs = home / "c"
        theirs.mkdir(mode=0o700)
        shutil.chown(theirs, C, C)
        yield theirs


def as_c(home_of_c: Path, samp_hub: str, *command: str) -> list[str]:
    """Return how the account C starts an unmodified program with a value of ``SAMP_HUB``."""
    line = ["setpriv", "--reuid", C, "--regid", C, "--init-groups", "env", f"HOME={home_of_c}", f"SAMP_HUB={samp_hub}"]
    return [*line, f"JAVA_TOOL_OPTIONS=-Duser.home={home_of_c}", *command]


def users_on(share: Shared) -> dict[str, str]:
    """Return who is who on a hub, by name."""
    with SAMPIntegratedClient(callable=False) as client:
        client.connect(share.samp_hub)
        own = client.get_public_id()
        found = [client.get_metadata(id) for id in client.get_registered_clients() if id != own]
        return {each["samp.name"]: each.get("hubfarm.user", "") for each in found if "samp.name" in each}


def test_another_accounts_jsamp_and_astropy_enter_by_url_and_after_revoke_are_out(
    farm: Farm, home_of_c: Path, tmp_path: Path
) -> None:
    jsamp = need("jsamp")
    need_module("astropy.samp")
    for user in ("anna", "looker"):
        farm.users.add(user, "a password")
    (hub,) = farm.start(label="h", access="listed", allow=["user:anna", "user:looker"])
    (other,) = farm.start(label="other", access="listed", allow=["user:looker"])
    share, look = farm.share("h", user="anna"), farm.share("h", user="looker")
    printed = tmp_path / "snooped"

    def send_by_astropy() -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"HOME": str(home_of_c), "SAMP_HUB": share.samp_hub}
        command = [*python_as(C), "-c", SEND]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", env=environment)

    snooper = as_c(home_of_c, share.samp_hub, jsamp, "snooper", "-clientname", "JSAMP-of-C", "-mtype", "test.told")
    with printed.open("w") as file, running(*snooper, stdout=file):
        wait_for(lambda: users_on(look).get("JSAMP-of-C") == "anna", "JSAMP is there, as anna")
        sent = send_by_astropy()
        assert sent.stdout == "anna\n", sent.stderr
        wait_for(lambda: "by astropy" in printed.read_text(), "JSAMP has got it")

        secret = read_lock_file(farm.paths.tickets / f"{share.ticket.id}.samp")["samp.secret"]
        for url, shown in (
            (hub.url, read_lock_file(hub.lock_file)["samp.secret"]),
            (other.url, secret),
        ):
            with pytest.raises(Fault, match=r"this hub is for|secret is wrong"):
                as_account(C, lambda url=url, shown=shown: register(url, shown))  # type: ignore[misc]

        farm.tickets.revoke(share.ticket.id)
        wait_for(lambda: "JSAMP-of-C" not in users_on(look), "JSAMP is out")
        assert "HubError" in send_by_astropy().stderr
    words = ["messagesender", "-mtype", "test.told", "-mode", "notify"]
    done = subprocess.run(as_c(home_of_c, share.samp_hub, jsamp, *words), capture_output=True, timeout=60)
    assert done.returncode != 0


def register(url: str, secret: str) -> Any:
    with ServerProxy(url) as proxy:
        return proxy.samp.hub.register(secret)


def test_jsamp_and_astropy_enter_a_hub_that_speaks_tls(farm: Farm, tmp_path: Path) -> None:
    jsamp = need("jsamp")
    need_module("astropy.samp")
    farm.start(label="safe", tls=True)
    look = farm.share("safe", user="anna")
    share = look.samp_hub
    ca, store = farm.paths.tls / "ca.pem", tmp_path / "hubfarm.jks"
    imported = ["-importcert", "-noprompt", "-file", str(ca), "-alias", "hubfarm"]
    subprocess.run(
        [need("keytool"), *imported, "-keystore", str(store), "-storepass", "changeit"], check=True, capture_output=True
    )
    trusted = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    environment = os.environ | {"SAMP_HUB": share, "JAVA_TOOL_OPTIONS": trusted, "SSL_CERT_FILE": str(ca)}
    printed = tmp_path / "snooped"
    words = [jsamp, "snooper", "-clientname", "JSAMP", "-mtype", "test.told"]
    with printed.open("w") as file, running(*words, stdout=file, stderr=subprocess.DEVNULL, env=environment):
        wait_for(lambda: "JSAMP" in users_on(look), "JSAMP is there")
        # astropy believes no CA but certifi's when it fetches a lock file: it gets a copy.
        with urllib.request.urlopen(parse_samp_hub(share), context=ssl.create_default_context(cafile=ca)) as answer:
            copy = tmp_path / "copy"
            copy.write_bytes(answer.read())
        environment |= {"SAMP_HUB": lock_url(copy)}
        subprocess.run([sys.executable, "-c", SEND], check=True, timeout=60, env=environment)
        wait_for(lambda: "by astropy" in printed.read_text(), "JSAMP has got it")


def test_exec_has_stock_programs_believe_a_hub_that_speaks_tls(farm: Farm, tmp_path: Path) -> None:
    jsamp = need("jsamp")
    need_module("astropy.samp")
    farm.users.add("anna", "a password")
    farm.start(label="safe", tls=True)
    look = farm.share("safe", user="anna")
    printed, password = tmp_path / "snooped", tmp_path / "password"
    password.write_text("a password\n")
    by_exec = [sys.executable, "-m", "hubfarm", "exec"]
    words = [*by_exec, "safe", "--", jsamp, "snooper", "-clientname", "JSAMP", "-mtype", "test.told"]
    with printed.open("w") as file, running(*words, stdout=file, stderr=subprocess.DEVNULL):
        wait_for(lambda: "JSAMP" in users_on(look), "JSAMP is there")
        as_anna = [
            *by_exec,
            "--user",
            "anna",
            "--password-file",
            str(password),
            "safe",
            "--",
            sys.executable,
            "-c",
            SEND,
        ]
        done = subprocess.run(as_anna, capture_output=True, text=True, timeout=60)
        assert done.stdout == "anna\n", done.stderr
        wait_for(lambda: "by astropy" in printed.read_text(), "JSAMP has got it")
