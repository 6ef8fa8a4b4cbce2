"""Hubs that sleep: no process while nobody uses them, and who connects finds the hub as it was."""

import contextlib
import http.client
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault, ServerProxy

import pytest

from hubfarm import SAMPHubServer, SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.conftest import RunCli, fall_asleep, why_awake
from tests.stories.test_pages_survive import Gateway
from tests.support import Receiver, StuckReceiver, message, read_lock_file, wait_for


def state_of(farm: Farm, label: str = "h") -> str:
    return str(farm.find(label).state)


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    """The hub ``h``."""
    return farm.start(label="h")[0]


@pytest.fixture
def sender(hub: HubInfo) -> Iterator[Receiver]:
    with Receiver() as one:
        yield one.join_by(hub.lock_file, "sender")


def test_hub_that_was_started_asleep_wakes_for_the_first_that_comes(farm: Farm) -> None:
    (hub,) = farm.start(label="h", dormant=True)
    assert (hub.state, hub.pid, hub.alive) == ("dormant", None, True)
    assert (farm.paths.by_label / "h").resolve() == hub.lock_file
    assert farm.environment("h") == {"SAMP_HUB": f"std-lockurl:file://{hub.stable_name}"}
    with Receiver() as first:
        first.join_by(hub.lock_file, "first", "test.*")  # by what stood there before it woke
        assert first.id == "c1"
    assert state_of(farm) == "running"
    assert farm.find("h").url == hub.url


def test_silent_client_notices_nothing(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with Receiver() as silent:
        silent.join_by(hub.lock_file, "silent", "test.*")
        for number in range(3):
            asleep = fall_asleep(farm)
            assert asleep.clients == 2
            sender.hub.notify(sender.key, silent.id, message("test.number", n=str(number)))
            assert silent.next().params[-1]["samp.params"]["n"] == str(number)
        fall_asleep(farm)
        assert sender.hub.getMetadata(sender.key, silent.id)["samp.name"] == "silent"
        assert sender.hub.getSubscriptions(sender.key, silent.id) == {"test.*": {}}
        assert set(sender.hub.getRegisteredClients(sender.key)) == {"hub", silent.id}
        found = farm.find("h")
        assert (found.url, found.id, found.restarts) == (hub.url, hub.id, 0)
        assert farm.find("h").messages == 3


def test_call_is_answered_by_a_reply_that_wakes_the_hub(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with Receiver() as slow:
        slow.join_by(hub.lock_file, "slow", "test.*")
        sender.hub.call(sender.key, slow.id, "tag", message("test.number", n="1"))
        msg_id = slow.next().params[2]
        fall_asleep(farm)
        slow.hub.reply(slow.key, msg_id, {"samp.status": "samp.ok", "samp.result": {"n": "2"}})
        answer = sender.next()
        assert answer.method == "samp.client.receiveResponse"
        assert answer.params[2] == "tag"
        assert answer.params[3]["samp.result"] == {"n": "2"}


def test_what_waits_for_a_client_that_pulls_is_there_after_sleep(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with ServerProxy(hub.url) as proxy:
        secret = read_lock_file(hub.lock_file)["samp.secret"]
        registered = proxy.samp.hub.register(secret)
        key, own_id = registered["samp.private-key"], registered["samp.self-id"]
        proxy.samp.hub.allowReverseCallbacks(key, "1")
        proxy.samp.hub.declareSubscriptions(key, {"test.*": {}})
        for number in range(5):
            sender.hub.notify(sender.key, own_id, message("test.number", n=str(number)))
        assert fall_asleep(farm).queued == 5
        pulled = proxy.samp.hub.pullCallbacks(key, "10")
        assert [each["samp.params"][1]["samp.params"]["n"] for each in pulled] == list("01234")


def test_hub_with_a_call_that_is_waited_for_stays_awake(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with Receiver() as slow:
        slow.join_by(hub.lock_file, "slow", "test.*")
        answers: list[Any] = []
        ask = lambda: answers.append(  # noqa: E731
            ServerProxy(hub.url).samp.hub.callAndWait(sender.key, slow.id, message("test.number"), "0")
        )
        asking = threading.Thread(target=ask)
        asking.start()
        msg_id = slow.next().params[2]
        with pytest.raises(HubfarmError, match="hub h stays awake: a client waits for the answer to a call"):
            farm.sleep(["h"])
        assert state_of(farm) == "running"
        slow.hub.reply(slow.key, msg_id, {"samp.status": "samp.ok", "samp.result": {}})
        asking.join()
        assert answers == [{"samp.status": "samp.ok", "samp.result": {}}]
    fall_asleep(farm)


def test_hub_with_a_pull_that_waits_stays_awake(farm: Farm, hub: HubInfo) -> None:
    with SAMPIntegratedClient("puller", callbacks="pull") as puller:
        puller.connect(str(hub.lock_file))
        puller.bind_receive_notification("test.*", lambda *_: None)
        wait_for(lambda: "stays awake: messages are on" in why_awake(farm), "it pulls, and keeps the hub awake")
        assert state_of(farm) == "running"


def test_hub_with_a_message_on_its_way_stays_awake(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with StuckReceiver() as stuck:
        stuck.join_by(hub.lock_file, "stuck", "test.*")
        sender.hub.notify(sender.key, stuck.id, message("test.number", n="1"))
        assert "messages are on their way" in why_awake(farm)
        stuck.gate.set()
        stuck.next()
    fall_asleep(farm)


def test_hub_that_nobody_uses_falls_asleep_by_itself_and_keeps_its_clients(farm: Farm) -> None:
    (hub,) = farm.start(label="h", timeout=0.5, idle="sleep")
    with Receiver() as client:
        client.join_by(hub.lock_file, "client", "test.*")
        for _ in range(2):
            wait_for(lambda: state_of(farm) == "dormant", "it sleeps")
            assert set(client.hub.getRegisteredClients(client.key)) == {"hub"}
            assert state_of(farm) == "running"


def test_hub_without_idle_sleep_ends_as_before(farm: Farm) -> None:
    farm.start(label="h", timeout=0.5)
    wait_for(lambda: [ending.how for ending in farm.history()] == ["unused"], "it has ended")
    assert farm.hubs() == []


def test_client_that_died_meanwhile_is_out_soon_after_the_hub_woke(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with Receiver() as dead:
        dead.join_by(hub.lock_file, "dead", "test.*")
        fall_asleep(farm)
    begun = time.monotonic()
    assert dead.id in sender.hub.getRegisteredClients(sender.key)
    wait_for(lambda: dead.id not in sender.hub.getRegisteredClients(sender.key), "it is out")
    assert time.monotonic() - begun < 10.0  # which its turn alone may take to come


def test_client_that_was_silent_for_too_long_meanwhile_is_asked_when_the_hub_wakes(farm: Farm) -> None:
    (hub,) = farm.start(label="h", client_timeout=3.0)
    with Receiver() as silent, Receiver() as lively:
        silent.join_by(hub.lock_file, "silent", "samp.app.ping")
        lively.join_by(hub.lock_file, "lively")
        fall_asleep(farm)
        time.sleep(3.1)  # the time that the client is given: no event tells of it
        farm.wake(["h"])
        assert silent.next().params[-1]["samp.mtype"] == "samp.app.ping"


def test_label_id_and_names_are_taken_while_it_sleeps(farm: Farm, hub: HubInfo) -> None:
    fall_asleep(farm)
    with pytest.raises(WrongUse, match="the label h is in use"):
        farm.start(label="h")
    (other,) = farm.start(label="other", dormant=True)
    assert other.id == 2
    asleep = farm.find("h")
    assert [farm.find(each).label for each in ("1", str(asleep.names.name))] == ["h", "h"]


def test_gc_leaves_what_sleeps(farm: Farm, hub: HubInfo) -> None:
    before = fall_asleep(farm)
    assert [verdict.path for verdict in farm.gc() if verdict.removed] == []
    assert farm.find("h").lock_file == before.lock_file


def test_hub_that_sleeps_is_stopped_and_nothing_is_left(farm: Farm, hub: HubInfo) -> None:
    asleep = fall_asleep(farm)
    assert farm.stop(["h"]) == ["h"]
    assert farm.hubs() == []
    assert not asleep.lock_file.exists()
    assert not farm.paths.journal(hub.id).exists()
    assert list(farm.paths.asked.iterdir()) == []
    last = farm.history()[-1]
    assert (last.how, last.reason) == ("stopped", "while it slept")
    assert last.asked_by is not None
    with pytest.raises(ConnectionRefusedError):
        ServerProxy(hub.url).samp.hub.ping()


def test_hub_that_sleeps_is_drained(farm: Farm, hub: HubInfo) -> None:
    fall_asleep(farm)
    assert farm.drain(["h"]) == ["h"]
    assert farm.history()[-1].how == "drained"


def test_hub_that_sleeps_is_restarted(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    fall_asleep(farm)
    assert [each.state for each in farm.restart(["h"])] == ["running"]
    assert sender.hub.getRegisteredClients(sender.key) == ["hub"]


def test_access_of_a_hub_that_sleeps_is_changed(farm: Farm, hub: HubInfo) -> None:
    farm.users.add("luigi", "Luigi's password: 1")
    fall_asleep(farm)
    assert farm.set_access("h", "listed", ["user:luigi"]).access == "listed"
    tokens = read_lock_file(farm.find("h").lock_file)
    with pytest.raises(Fault, match="user"):
        ServerProxy(hub.url).samp.hub.register(tokens["samp.secret"])


def test_farm_file_declares_hubs_that_begin_asleep(farm: Farm, home: Path) -> None:
    file = home / "farm.toml"
    file.write_text('[[hub]]\nlabel = "night"\ndormant = true\nidle = "sleep"\ntimeout = 3600\n')
    farm.up(file)
    assert state_of(farm, "night") == "dormant"
    assert [change.action for change in farm.up(file)] == ["keep"]
    farm.wake(["night"])
    assert [change.action for change in farm.up(file)] == ["keep"]


def test_hub_that_speaks_tls_begins_asleep(farm: Farm) -> None:
    (hub,) = farm.start(label="h", tls=True, dormant=True)
    with SAMPIntegratedClient("client", callable=False) as client:
        client.connect(str(hub.lock_file))
        assert client.get_registered_clients() == ["hub"]
    (woken,) = farm.hubs()
    assert woken.state == "running"
    asleep = fall_asleep(farm)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ServerProxy(asleep.url, context=context) as plain:
        assert plain.samp.hub.ping() == ""


def test_restricted_hub_that_begins_asleep_lets_in_who_may(farm: Farm) -> None:
    farm.users.add("luigi", "Luigi's password: 1")
    (hub,) = farm.start(label="h", access="owner", owner="luigi", dormant=True)
    login = farm.log_in("h", user="luigi", password="Luigi's password: 1")
    with Receiver() as luigi:
        luigi.join_by(login.lock_file)
        fall_asleep(farm)
        assert luigi.hub.getMetadata(luigi.key, luigi.id)["hubfarm.user"] == "luigi"
    with pytest.raises(Fault):
        ServerProxy(hub.url).samp.hub.register(read_lock_file(farm.find("h").lock_file)["samp.secret"])


def test_hub_on_all_addresses_begins_asleep(farm: Farm) -> None:
    (hub,) = farm.start(label="h", host="0.0.0.0", dormant=True)
    port = urlsplit(hub.url).port
    with ServerProxy(f"http://127.0.0.1:{port}/xmlrpc") as proxy:
        assert proxy.samp.hub.ping() == ""
    assert farm.find("h").url == hub.url


def test_pages_go_on_after_sleep(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    gateway = Gateway(hub)
    page = gateway.call("register", {"samp.name": "page"})
    gateway.call("declareSubscriptions", page["samp.private-key"], {"test.*": {}})
    gateway.call("allowReverseCallbacks", page["samp.private-key"], "1")
    sender.hub.notify(sender.key, page["samp.self-id"], message("test.number", n="1"))
    fall_asleep(farm)
    (pulled,) = gateway.call("pullCallbacks", page["samp.private-key"], "10")
    assert pulled["samp.params"][1]["samp.params"] == {"n": "1"}


def test_commands_let_hubs_sleep_and_wake_them(farm: Farm, cli: RunCli, hub: HubInfo) -> None:
    done = cli("sleep", "h")
    assert (done.returncode, "dormant" in done.stdout) == (0, True)
    assert "dormant" in cli("ls").stdout
    assert cli("sleep", "h").returncode == 0  # it does already
    assert "running" in cli("wake", "h").stdout
    assert cli("wake", "--all", "--json").returncode == 0
    assert (cli("sleep").returncode, cli("sleep", "nobody").returncode) == (2, 2)
    assert cli("sleep", "--group", "x").stdout == "no hub to let sleep\n"


def test_only_hubs_of_the_farm_can_sleep(farm: Farm) -> None:
    with (
        SAMPHubServer(label="embedded", mode="multiple"),
        pytest.raises(WrongUse, match="only hubs of the farm can sleep"),
    ):
        farm.sleep(["embedded"])


# ---------------------------------------------------------------------- races


@contextlib.contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Do something again and again beside the test; yield what it raised."""
    over = threading.Event()
    raised: list[BaseException] = []

    def run() -> None:
        while not over.is_set():
            try:
                work()
            except BaseException as error:
                raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield raised
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_requests_that_race_with_falling_asleep_are_all_answered(farm: Farm, hub: HubInfo) -> None:
    where = urlsplit(hub.url).netloc
    count = 0

    def ask() -> None:
        nonlocal count
        connection = http.client.HTTPConnection(where, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        count += 1

    slept = 0
    with meanwhile(ask) as raised:
        deadline = time.monotonic() + 20
        while slept < 10 and time.monotonic() < deadline:
            slept += why_awake(farm) == ""
    assert raised == []
    assert slept >= 3
    assert count >= slept


def test_messages_across_sleeps_arrive_each_once_and_in_order(farm: Farm, hub: HubInfo, sender: Receiver) -> None:
    with Receiver() as receiver:
        receiver.join_by(hub.lock_file, "receiver", "test.*")
        for number in range(15):
            sender.hub.notify(sender.key, receiver.id, message("test.number", n=str(number)))
            with contextlib.suppress(HubfarmError):  # it may still be delivering
                farm.sleep(["h"])
        heard = [receiver.next().params[-1]["samp.params"]["n"] for _ in range(15)]
        assert heard == [str(number) for number in range(15)]
        assert receiver.received.empty()


def test_hub_that_is_told_to_sleep_and_to_end_at_once_ends(farm: Farm, hub: HubInfo) -> None:
    assert hub.pid is not None
    os.kill(hub.pid, signal.SIGTSTP)
    assert farm.stop(["h"]) == ["h"]
    assert farm.hubs() == []
