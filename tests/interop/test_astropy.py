"""astropy's SAMP toolkit, and pyvo's, which follows it: their clients on our hubs, their hubs beside ours."""

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.conftest import RunCli, fall_asleep
from tests.interop.conftest import OnHub, names_on
from tests.support import PATIENCE, message, need_module, read_lock_file

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")]

TEXT = "größe λ 星 🔭 <&> \"'\n\ttwo lines"
"""What goes through has to come out the same."""


@pytest.fixture(params=["astropy.samp", "pyvo.samp"])
def toolkit(request: pytest.FixtureRequest, home: Path) -> Iterator[ModuleType]:
    """The toolkit; it stays on this host."""
    module = need_module(request.param)
    with module.conf.set_temp("use_internet", False):
        yield module


def running_hubs(toolkit: ModuleType) -> dict[str, dict[str, str]]:
    """Return the lock files that the toolkit finds, by path."""
    found: dict[str, dict[str, str]] = import_module(f"{toolkit.__name__}.lockfile_helpers").get_running_hubs()
    return found


# ---------------------------------------------------------------------- finding hubs


def test_get_running_hubs_finds_all_four_with_their_names(toolkit: ModuleType, farm: Farm) -> None:
    hubs = farm.start(count=4, label="Grün", owner="luigi", group="mima", limits=["clients=100", "depth=32"])
    found = running_hubs(toolkit)
    assert set(found) == {str(hub.lock_file) for hub in hubs}
    for hub in hubs:
        tokens = found[str(hub.lock_file)]
        assert (tokens["hub.label"], tokens["hub.owner.name"], tokens["hub.owner.group"]) == (
            hub.label,
            "luigi",
            "mima",
        )
        assert tokens["samp.hub.xmlrpc.url"] == hub.url


def test_a_program_started_by_exec_lands_on_its_hub(toolkit: ModuleType, hubs: list[HubInfo], on_hub: OnHub) -> None:
    program = f"""
import warnings; warnings.simplefilter("ignore")
from {toolkit.__name__} import SAMPIntegratedClient, conf
conf.use_internet = False
client = SAMPIntegratedClient("unmodified")
client.connect()
print(client.hub.lockfile["hub.label"])
client.disconnect()
"""
    output, _ = on_hub("mima-3", sys.executable, "-c", program).communicate(timeout=60)
    assert output == "mima-3\n"


# ---------------------------------------------------------------------- talking through one


class Heard(NamedTuple):
    """A message or response, as the toolkit hands it over."""

    sender: str
    tag: str | None
    what: str
    content: dict[str, Any]


class Program:
    """A client of the toolkit on a hub, that keeps what it hears and answers calls with `response`."""

    def __init__(self, toolkit: ModuleType, hub: HubInfo, name: str) -> None:
        self.heard: queue.Queue[Heard] = queue.Queue()
        self.response: dict[str, Any] = {"samp.status": "samp.ok", "samp.result": {"echo": TEXT}}
        self.client = toolkit.SAMPIntegratedClient(name=name, addr="127.0.0.1")
        self.client.connect(hub_params=running_hubs(toolkit)[str(hub.lock_file)])
        self.id: str = self.client.get_public_id()

    def listen(self) -> None:
        self.client.bind_receive_notification("test.*", self._notified)
        self.client.bind_receive_call("test.*", self._called)

    def _notified(self, _key: str, sender: str, mtype: str, params: dict[str, Any], _extra: dict[str, Any]) -> None:
        self.heard.put(Heard(sender, None, mtype, params))

    def _called(
        self, _key: str, sender: str, msg_id: str, mtype: str, params: dict[str, Any], _extra: dict[str, Any]
    ) -> None:
        self.heard.put(Heard(sender, None, mtype, params))
        self.client.reply(msg_id, self.response)

    def expect_response(self, tag: str) -> None:
        self.client.bind_receive_response(tag, self._responded)

    def _responded(self, _key: str, sender: str, tag: str, response: dict[str, Any]) -> None:
        self.heard.put(Heard(sender, tag, response["samp.status"], response.get("samp.result", {})))

    def next(self) -> Heard:
        return self.heard.get(timeout=PATIENCE)


@pytest.fixture
def two(farm: Farm) -> list[HubInfo]:
    """mima-1, and mima-2, the chosen one."""
    return farm.start(count=2, group="mima")


@pytest.fixture
def join(toolkit: ModuleType, two: list[HubInfo]) -> Iterator[Callable[[str], Program]]:
    """Connect a program to mima-2 by ``hub_params``."""
    programs: list[Program] = []

    def connect(name: str) -> Program:
        programs.append(Program(toolkit, two[1], name))
        return programs[-1]

    yield connect
    for program in programs:
        program.client.disconnect()


@pytest.fixture
def alice(join: Callable[[str], Program]) -> Program:
    return join("alice")


@pytest.fixture
def bob(join: Callable[[str], Program]) -> Program:
    bob = join("bob")
    bob.listen()
    return bob


def test_clients_are_on_the_chosen_hub_and_on_no_other(two: list[HubInfo], alice: Program, bob: Program) -> None:
    assert [names_on(hub) for hub in two] == [[], ["alice", "bob"]]
    assert alice.client.get_metadata(bob.id)["samp.name"] == "bob"
    assert "test.*" in alice.client.get_subscriptions(bob.id)
    assert list(alice.client.get_subscribed_clients("test.one")) == [bob.id]


def test_notify_arrives(alice: Program, bob: Program) -> None:
    alice.client.notify(bob.id, message("test.one", text=TEXT))
    assert bob.next() == Heard(alice.id, None, "test.one", {"text": TEXT})


def test_notify_all_reaches_every_other_subscriber(
    alice: Program, bob: Program, join: Callable[[str], Program]
) -> None:
    alice.listen()
    carol = join("carol")
    carol.listen()
    reached = alice.client.notify_all(message("test.all", text=TEXT))
    assert sorted(reached) == sorted([bob.id, carol.id])
    assert bob.next() == carol.next() == Heard(alice.id, None, "test.all", {"text": TEXT})
    assert alice.heard.empty()


def test_call_is_answered_under_its_tag(alice: Program, bob: Program) -> None:
    alice.expect_response("tag-1")
    msg_id = alice.client.call(bob.id, "tag-1", message("test.call", text=TEXT))
    assert msg_id
    assert bob.next() == Heard(alice.id, None, "test.call", {"text": TEXT})
    assert alice.next() == Heard(bob.id, "tag-1", "samp.ok", {"echo": TEXT})


def test_call_all_is_answered_by_every_other_subscriber(
    alice: Program, bob: Program, join: Callable[[str], Program]
) -> None:
    carol = join("carol")
    carol.listen()
    alice.expect_response("tag-all")
    assert set(alice.client.call_all("tag-all", message("test.call"))) == {bob.id, carol.id}
    answers = [alice.next(), alice.next()]
    assert {answer.sender for answer in answers} == {bob.id, carol.id}
    assert {answer.tag for answer in answers} == {"tag-all"}


def test_call_and_wait_returns_the_response(alice: Program, bob: Program) -> None:
    assert alice.client.call_and_wait(bob.id, message("test.wait", text=TEXT), "20") == bob.response
    assert bob.next() == Heard(alice.id, None, "test.wait", {"text": TEXT})


def test_clients_do_not_notice_that_their_hub_is_restarted(farm: Farm, alice: Program, bob: Program) -> None:
    for number in range(3):
        farm.restart(["mima-2"])
        assert alice.client.notify_all(message("test.all", n=str(number))) == [bob.id]
        assert bob.next() == Heard(alice.id, None, "test.all", {"n": str(number)})


def test_clients_do_not_notice_that_their_hub_sleeps(farm: Farm, alice: Program, bob: Program) -> None:
    for number in range(3):
        fall_asleep(farm, "mima-2")
        assert alice.client.notify_all(message("test.all", n=str(number))) == [bob.id]
        assert bob.next() == Heard(alice.id, None, "test.all", {"n": str(number)})


def test_an_error_response_arrives_as_it_was_sent(alice: Program, bob: Program) -> None:
    bob.response = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": TEXT, "samp.code": "7"}}
    assert alice.client.call_and_wait(bob.id, message("test.wait"), "20") == bob.response


def test_a_message_that_its_recipient_has_not_subscribed_to_is_a_fault(
    toolkit: ModuleType, alice: Program, bob: Program
) -> None:
    with pytest.raises(toolkit.SAMPProxyError, match=r"other\.mtype"):
        alice.client.notify(bob.id, message("other.mtype"))


def test_a_client_that_disconnects_is_unregistered(two: list[HubInfo], alice: Program, bob: Program) -> None:
    bob.client.disconnect()
    assert names_on(two[1]) == ["alice"]
    assert bob.id not in alice.client.get_registered_clients()


# ---------------------------------------------------------------------- their hub beside ours


_THEIR_HUB = """
import sys, warnings; warnings.simplefilter("ignore")
from importlib import import_module
from astropy import log
log.setLevel("ERROR")  # it logs to standard output
toolkit = import_module(sys.argv[1])
toolkit.conf.use_internet = False
options = {"lockfile": sys.argv[2]} if len(sys.argv) > 2 else {}
hub = toolkit.SAMPHubServer(mode="multiple", label="theirs", addr="127.0.0.1", web_profile=False, **options)
hub.start()
print(hub._lockfile, flush=True)
sys.stdin.read()
hub.stop()
"""


@contextmanager
def their_hub(toolkit: ModuleType, *lock_file: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a hub of the toolkit in ``~/.samp-1``, yield its process and lock file."""
    line = [sys.executable, "-c", _THEIR_HUB, toolkit.__name__, *lock_file]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def judged(cli: RunCli, path: Path) -> dict[str, Any]:
    """Return what gc did with `path`."""
    (verdict,) = [each for each in json.loads(cli("gc", "--json").stdout) if each["path"] == str(path)]
    return verdict  # type: ignore[no-any-return]


def test_their_hub_is_listed_as_foreign_and_kept_while_it_lives(
    toolkit: ModuleType, two: list[HubInfo], cli: RunCli
) -> None:
    with their_hub(toolkit) as (process, lock_file):
        assert lock_file.parent == two[0].lock_file.parent
        listed = json.loads(cli("ls", "--json").stdout)
        assert [hub["kind"] for hub in listed] == ["farm"] * 2 + ["foreign"]
        assert (listed[-1]["label"], listed[-1]["state"]) == ("theirs", "running")
        assert listed[-1]["url"] == read_lock_file(lock_file)["samp.hub.xmlrpc.url"]

        an_hour_ago = time.time() - 3600
        os.utime(lock_file, (an_hour_ago, an_hour_ago))
        assert not judged(cli, lock_file)["removed"]
        process.communicate(timeout=PATIENCE)  # the end of its input ends it
    assert not lock_file.exists()  # removed by itself


def test_their_start_leaves_our_lock_files_alone(toolkit: ModuleType, two: list[HubInfo]) -> None:
    # It removes every lock file whose hub does not answer.
    with their_hub(toolkit) as (_, lock_file):
        assert lock_file.exists()
        assert all(hub.lock_file.exists() for hub in two)


def test_their_start_wakes_hubs_that_sleep_and_leaves_them_their_lock_files(
    toolkit: ModuleType, farm: Farm, two: list[HubInfo]
) -> None:
    for hub in two:
        fall_asleep(farm, hub.label)
    with their_hub(toolkit) as (_, lock_file):
        assert lock_file.exists()
        ours = [hub for hub in farm.hubs() if hub.label.startswith("mima")]
        assert [(hub.label, hub.alive, hub.lock_file.exists()) for hub in ours] == [
            (hub.label, True, True) for hub in two
        ]


def test_their_killed_hub_is_kept_for_a_minute_and_then_removed(
    toolkit: ModuleType, two: list[HubInfo], cli: RunCli, home: Path
) -> None:
    # The PID stands in the name as in SAMPY's; what the toolkits call their own is a UUID.
    stand_in = subprocess.Popen(["true"])
    stand_in.wait()
    lock_file = home / ".samp-1" / f"samp-hub-{stand_in.pid}-1"
    with their_hub(toolkit, str(lock_file)) as (process, path):
        assert path == lock_file
        process.send_signal(signal.SIGKILL)
    young = judged(cli, lock_file)
    assert (young["removed"], "younger than 60 s" in young["reason"]) == (False, True)
    assert lock_file.exists()

    two_minutes_ago = time.time() - 120
    os.utime(lock_file, (two_minutes_ago, two_minutes_ago))
    assert judged(cli, lock_file)["removed"]
    assert not lock_file.exists()
    assert all(hub.lock_file.exists() for hub in two)
