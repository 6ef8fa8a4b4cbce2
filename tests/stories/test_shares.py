"""Hubs that are shared by URL: who has it is that user on that hub, until it is over; and nobody else is anything."""

import json
import time
import urllib.error
import urllib.request

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.client.errors import SAMPProxyError
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import parse
from hubfarm.samp.toolkit import SAMPHubError
from tests.conftest import RunCli
from tests.support import wait_for

PREFIX = "std-lockurl:"


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    """A hub for the users anna and luigi."""
    farm.users.add("anna", "Anna's")
    return farm.start(label="h", access="listed", allow=["user:anna", "user:luigi"])[0]


def fetched(samp_hub: str, **headers: str) -> dict[str, str]:
    request = urllib.request.Request(samp_hub.removeprefix(PREFIX).partition("#")[0], headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return parse(answer.read().decode())


def is_gone(samp_hub: str) -> bool:
    try:
        fetched(samp_hub)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 404
    return False


def test_who_has_the_url_is_that_user_until_it_is_revoked(farm: Farm, hub: HubInfo, cli: RunCli) -> None:
    done = json.loads(cli("share", "h", "--with", "anna", "--json").stdout)
    url = done["SAMP_HUB"]
    assert (done["user"], done["shared"]) == ("anna", True)
    with SAMPIntegratedClient("mine") as client:
        client.connect(url)
        assert client.get_metadata(str(client.get_public_id()))["hubfarm.user"] == "anna"
        farm.restart(["h"])
        told = fetched(url)
        assert told["samp.hub.xmlrpc.url"] == hub.url
        assert str(farm.paths.home) not in str(told)
        assert cli("ticket", "ls").stdout.splitlines()[1].split()[:3] == [done["id"], "anna", "h"]
        assert cli("ticket", "revoke", done["id"]).returncode == 0
        assert is_gone(url)
        wait_for(lambda: _is_out(client), "who came in by it is out")
        with pytest.raises(SAMPHubError, match="404"):
            SAMPIntegratedClient().connect(url)


def _is_out(client: SAMPIntegratedClient) -> bool:
    try:
        client.get_registered_clients()
    except SAMPProxyError:
        return True
    return False


def test_share_ends_by_itself_and_with_its_hub(farm: Farm, hub: HubInfo) -> None:
    short = farm.share("h", user="luigi", seconds=2.0)  # whom no file knows, and the hub's rule does
    assert fetched(short.samp_hub)["samp.secret"]
    wait_for(lambda: is_gone(short.samp_hub), "its time is over")
    kept = farm.share("h", user="anna")
    farm.users.remove("anna")
    assert is_gone(kept.samp_hub)


def test_lock_file_leads_back_by_the_name_that_it_was_asked_by(farm: Farm) -> None:
    (hub,) = farm.start(label="wide", host="0.0.0.0")
    url = farm.share("wide", user="anna").samp_hub
    port = hub.url.rsplit(":", 1)[1].removesuffix("/xmlrpc")
    for name in ("127.0.0.1", "localhost"):
        asked = f"http://{name}:{port}/{url.partition('/share/')[1][1:]}{url.partition('/share/')[2]}"
        assert fetched(asked)["samp.hub.xmlrpc.url"] == f"http://{name}:{port}/xmlrpc"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetched(url, Host="evil.example")


def test_ordinary_ticket_is_not_handed_out_and_guessers_wait(farm: Farm, hub: HubInfo) -> None:
    login = farm.log_in("h", user="anna", password="Anna's")
    secret = parse(login.lock_file.read_text())["samp.secret"]
    share = farm.share("h", user="anna")
    base = hub.url.removesuffix("xmlrpc")
    for path in (secret, share.url[:-1] + "x", "", "../x", "%2e"):
        assert is_gone(path if path.startswith("http") else f"{base}share/{path}")
    log = farm.log_file("h").read_text()
    assert "127.0.0.1: a wrong share" in log
    assert secret not in log
    assert share.url.rpartition("/")[2] not in log
    for _ in range(7):
        is_gone(f"{base}share/x")
    before = time.monotonic()
    is_gone(f"{base}share/x")
    assert time.monotonic() - before > 0.2


def test_nobody_is_shared_with_who_may_not_enter(farm: Farm, hub: HubInfo, cli: RunCli) -> None:
    with pytest.raises(HubfarmError, match="paul is none of them: hubfarm access h"):
        farm.share("h", user="paul")
    with pytest.raises(WrongUse, match="no colon"):
        farm.share("h", user="a:b")
    assert "write a time span" in cli("share", "h", "--with", "anna", "--for", "ever").stderr
    assert farm.tickets.all() == []


def test_share_over_tls_is_pinned_to_its_hub(farm: Farm) -> None:
    farm.start(label="safe", tls=True)
    url = farm.share("safe", user="anna").samp_hub
    with SAMPIntegratedClient() as client:
        client.connect(url)
        assert client.get_metadata(str(client.get_public_id()))["hubfarm.user"] == "anna"
    other = "".join("0" if digit != "0" else "1" for digit in url.partition("#sha256=")[2])
    with pytest.raises(SAMPHubError, match="this is not the hub that is meant: it shows the certificate"):
        SAMPIntegratedClient().connect(f"{url.partition('#')[0]}#sha256={other}")
    with pytest.raises(SAMPHubError, match="cannot fetch the lock file"):  # no CA of this system has signed it
        SAMPIntegratedClient().connect(url.partition("#")[0])
