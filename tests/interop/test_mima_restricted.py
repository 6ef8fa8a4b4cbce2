"""The MIMA scene again, and nobody can err now: one account, two people of two groups, a hub for each group alone."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from tests.support import need, need_module, read_lock_file, wait_for

pytestmark = pytest.mark.interop

PASSWORDS = {"luigi": "of mima: 1", "anna": "of vandels"}

As = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def two_groups(farm: Farm) -> Farm:
    """mima-1 for luigi's group, vandels-1 for anna's."""
    farm.users.add("luigi", PASSWORDS["luigi"], groups=["mima"])
    farm.users.add("anna", PASSWORDS["anna"], groups=["vandels"])
    farm.start(group="mima", access="group")
    farm.start(group="vandels", access="group")
    return farm


@pytest.fixture
def run_as(home: Path, tmp_path: Path) -> Iterator[As]:
    """Start an unmodified program on a hub as a user: ``run_as("luigi", "mima-1", "jsamp", "snooper")``."""
    started = []

    def start(user: str, hub: str, *command: str, **options: object) -> subprocess.Popen[str]:
        file = tmp_path / user
        file.write_text(PASSWORDS[user])
        line = [sys.executable, "-m", "hubfarm", "exec", "--user", user, "--password-file", str(file), hub]
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process: subprocess.Popen[str] = subprocess.Popen([*line, "--", *command], **(settings | options))  # type: ignore[call-overload]
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        with process:  # closes its pipe and reaps it
            pass


def users_on(hub: str, user: str) -> dict[str, str]:
    """Return who is on a hub: the user of each client that has a name."""
    with SAMPIntegratedClient(callable=False) as client:
        client.connect(label=hub, user=user, password=PASSWORDS[user])
        every = [client.get_metadata(each) for each in client.get_registered_clients()]
    return {each["samp.name"]: each["hubfarm.user"] for each in every if "hubfarm.user" in each and "samp.name" in each}


def test_each_ones_programs_meet_on_their_groups_hub_and_cannot_enter_the_others(
    farm: Farm, run_as: As, home: Path
) -> None:
    need("jsamp")
    seen = home / "seen.txt"
    with seen.open("w") as file:
        run_as("luigi", "mima-1", "jsamp", "snooper", "-clientname", "of-luigi", "-mtype", "scene.told", stdout=file)
    wait_for(lambda: users_on("mima-1", "luigi") == {"of-luigi": "luigi"}, "luigi's snooper is on the hub of mima")

    def tell(user: str, hub: str, text: str) -> tuple[int, str]:
        words = ["messagesender", "-mode", "notify", "-mtype", "scene.told", "-param", "text", text]
        sender = run_as(user, hub, "jsamp", *words)
        output, _ = sender.communicate(timeout=60)
        return sender.returncode, output

    assert tell("luigi", "mima-1", "for-mima")[0] == 0
    wait_for(lambda: "for-mima" in seen.read_text(), "the snooper sees it")
    code, output = tell("anna", "mima-1", "from-anna")
    assert (code, output) == (
        1,
        "hubfarm: this hub is for the group mima: the user anna is none of them; hubfarm access mima-1 can change it\n",
    )
    assert tell("anna", "vandels-1", "for-vandels")[0] == 0
    assert tell("luigi", "mima-1", "the-last")[0] == 0
    wait_for(lambda: "the-last" in seen.read_text(), "the snooper sees the last one")
    assert "vandels" not in seen.read_text()
    wait_for(lambda: len(farm.tickets.all()) == 1, "only the snooper's ticket counts still")


def test_jsamp_that_is_led_to_the_public_lock_file_does_not_enter(farm: Farm, home: Path) -> None:
    need("jsamp")
    words = [sys.executable, "-m", "hubfarm", "exec", "mima-1", "--", "jsamp", "messagesender", "-mtype", "x.y"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert "this hub is for the group mima" in done.stdout + done.stderr
    assert "hubfarm exec --user NAME mima-1" in done.stderr.splitlines()[0]
    assert "not let in: nobody in particular" in farm.log_file("mima-1").read_text()


def test_stock_astropy_client_reads_how_to_enter_and_enters_by_a_ticket(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    samp = need_module("astropy.samp")
    hub = farm.find("mima-1")
    client = samp.SAMPIntegratedClient("stock", callable=False)
    with pytest.raises(samp.SAMPProxyError, match="hubfarm exec --user NAME mima-1 -- PROGRAM"):
        client.connect(hub_params=read_lock_file(hub.lock_file))
    monkeypatch.setenv("SAMP_HUB", farm.log_in("mima-1", user="luigi", password=PASSWORDS["luigi"]).samp_hub)
    client = samp.SAMPIntegratedClient("stock", callable=False)
    client.connect()
    try:
        assert users_on("mima-1", "luigi") == {"stock": "luigi"}
    finally:
        client.disconnect()
