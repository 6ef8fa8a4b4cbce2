"""A hub that is killed goes on where it fell: nothing that was accepted is lost, and nobody has to register again.

``pytest tests/stories/test_survival.py -k accepted_is_lost -s --kills 50`` is the full count (docs/faults.md).
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault, ServerProxy, dumps

import psutil
import pytest

from hubfarm.coordinator.aftermath import EARLY
from hubfarm.farm import Farm
from hubfarm.hub.keep import journal as journal_module
from hubfarm.hub.records import ClientRecord
from hubfarm.registry.listing import HubInfo
from tests.conftest import coordinator_suspended, past_early_death
from tests.stories.talkers import MTYPE, Service, Talker, account_for
from tests.support import PATIENCE, Receiver, StuckReceiver, message, wait_for


def successor(farm: Farm, pid: int | None) -> HubInfo:
    """Wait until another process than `pid` serves as the hub ``h``, and return the hub."""

    def found() -> HubInfo | None:
        hubs = [hub for hub in farm.hubs() if hub.label == "h" and hub.state == "running" and hub.pid != pid]
        return hubs[0] if hubs else None

    return wait_for(found, "a successor serves")  # type: ignore[no-any-return]


def fell(hub: HubInfo) -> None:
    """Kill a hub's worker as a crash would."""
    assert hub.pid is not None
    os.kill(hub.pid, signal.SIGKILL)


def worker_of(hub: HubInfo) -> psutil.Process:
    return psutil.Process(hub.pid)


def numbers_heard(receiver: Receiver, last: int) -> list[int]:
    """Return the numbers that a client receives, duplicates taken out, until `last` is there."""
    numbers: list[int] = []
    while last not in numbers:
        numbers.append(int(receiver.next().params[-1]["samp.params"]["n"]))
    return list(dict.fromkeys(numbers))


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    """The hub ``h``."""
    return farm.start(label="h")[0]


@pytest.fixture
def sender(hub: HubInfo) -> Iterator[Receiver]:
    with Receiver() as one:
        yield one.join_by(hub.lock_file, "sender")


@pytest.fixture
def stuck(hub: HubInfo) -> Iterator[StuckReceiver]:
    """A client that is subscribed to ``test.*``, and takes nothing until its gate is opened."""
    with StuckReceiver() as one:
        yield one.join_by(hub.lock_file, "stuck", "test.*")


@pytest.mark.timeout(600)
def test_nothing_that_was_accepted_is_lost_whenever_the_hub_is_killed(
    farm: Farm, hub: HubInfo, request: pytest.FixtureRequest
) -> None:
    kills, chance, began = request.config.getoption("--kills"), random.Random(4), time.monotonic()
    service, pid = Service(), hub.pid
    with contextlib.ExitStack() as stack:
        talkers = [stack.enter_context(Talker(service)) for _ in range(6)]
        for talker in talkers:
            talker.join_by(hub.lock_file, "talker", MTYPE)
        registered = set(talkers[0].hub.getRegisteredClients(talkers[0].key))
        for talker in talkers:
            talker.start(hub.url, talkers)
        for _ in range(kills):
            # Five deaths in a row within a second of serving, and the hub would be given up.
            moment = chance.uniform(0.0 if early_deaths(farm) < 3 else EARLY + 0.2, 2.5)
            time.sleep(moment)
            fell(hub)
            hub = successor(farm, pid)
            pid = hub.pid
        enough = [len(talker.sent.accepted) + 10 for talker in talkers]
        wait_for(
            lambda: all(len(each.sent.accepted) > most for each, most in zip(talkers, enough, strict=True)),
            "everybody talks on",
        )
        for talker in talkers:
            talker.fall_silent()
        seconds = time.monotonic() - began
        with contextlib.suppress(pytest.fail.Exception):  # the account says more than that it took too long
            wait_for(lambda: account_for(talkers).settled, "all that was accepted has arrived")
        for talker in talkers:
            talker.leave()
        account = account_for(talkers)
        assert set(talkers[0].hub.getRegisteredClients(talkers[0].key)) == registered
    print(
        f"\n{kills} kills in {seconds:.0f} s: {account.accepted} messages accepted, {account.calls} of them calls; "
        f"{account.delivered} deliveries, {account.duplicates} of them duplicates; {service.resets} requests broken, "
        f"{account.doubtful} messages doubtful, of which {account.doubtful_arrived} arrived; "
        f"longest gap in service {service.longest_gap:.2f} s"
    )
    assert account.faults == []
    assert account.lost == []
    assert account.unanswered == []
    assert account.answered_otherwise == []
    assert account.disorder == []
    assert account.accepted > 100
    assert account.calls > 30
    assert farm.find("h").restarts == kills


def early_deaths(farm: Farm) -> int:
    """Return how many workers of the hub ``h`` have died early in a row, as its coordinator counts."""
    status = farm.coordinator()
    assert status is not None
    (hub,) = status["hubs"]
    return int(hub["early_deaths"])


# ---------------------------------------------------------------------- when it falls


class _Waiting(threading.Thread):
    """A synchronous call under way, as a client makes it that sends nothing again."""

    def __init__(self, hub: HubInfo, *params: Any) -> None:
        super().__init__()
        self._connection = HTTPConnection(urlsplit(hub.url).netloc)
        self._body = dumps(params, "samp.hub.callAndWait")
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        with contextlib.closing(self._connection) as connection:
            try:
                connection.request("POST", "/", self._body, {"Content-Type": "text/xml"})
                connection.getresponse()
            except (OSError, HTTPException) as error:
                self.error = error


def test_synchronous_call_across_a_crash_is_reset_for_its_sender_and_a_fault_for_the_late_reply(
    farm: Farm, hub: HubInfo, sender: Receiver, receiver: Receiver
) -> None:
    receiver.join_by(hub.lock_file, "receiver", "test.*")
    waiting = _Waiting(hub, sender.key, receiver.id, message("test.wait"), "0")
    _, (_, _, msg_id, _) = receiver.next()
    fell(hub)
    waiting.join(PATIENCE)
    assert isinstance(waiting.error, RemoteDisconnected | ConnectionResetError)
    successor(farm, hub.pid)
    with pytest.raises(Fault, match="waits for your reply"):
        receiver.hub.reply(receiver.key, msg_id, {"samp.status": "samp.ok", "samp.result": {}})
    assert sender.received.empty()


def test_ten_crashes_in_a_row_lose_no_client_and_no_message(farm: Farm, hub: HubInfo, stuck: StuckReceiver) -> None:
    with Receiver() as sender:
        sender.join_by(hub.lock_file, "sender")
        for number in range(10):
            sender.hub.notify(sender.key, stuck.id, message("test.number", n=str(number)))
            if number % 3 == 2:
                past_early_death(farm, "h")  # five early ones, and it would be given up
            fell(hub)
            hub = successor(farm, hub.pid)
        stuck.gate.set()
        assert numbers_heard(stuck, 9) == list(range(10))


def test_coordinator_and_hub_killed_together_go_on_with_the_next_coordinator(
    farm: Farm, hub: HubInfo, sender: Receiver, stuck: StuckReceiver
) -> None:
    sender.hub.notify(sender.key, stuck.id, message("test.number", n="1"))
    status = farm.coordinator()
    assert status is not None
    os.kill(status["pid"], signal.SIGKILL)
    fell(hub)
    farm.start(label="other")
    assert successor(farm, hub.pid).url == hub.url
    sender.hub.notify(sender.key, stuck.id, message("test.number", n="2"))
    stuck.gate.set()
    assert numbers_heard(stuck, 2) == [1, 2]


def test_hub_killed_while_it_takes_a_large_message_has_all_of_it_or_nothing(
    farm: Farm, hub: HubInfo, sender: Receiver, stuck: StuckReceiver
) -> None:
    filling = "x" * 5 * 2**20
    journal = farm.paths.journal(1)
    told_ok = []

    def send(number: int) -> None:
        # A connection of its own: the standard library sends again once what was broken on it.
        with ServerProxy(hub.url) as proxy:
            content = message("test.number", n=str(number), filling=filling)
            told_ok.append(proxy.samp.hub.notify(sender.key, stuck.id, content))

    for number in range(3):
        before = journal.stat().st_size
        sending = threading.Thread(target=send, args=(number,))
        sending.start()
        wait_for_growth(journal, before)
        fell(hub)
        hub = successor(farm, hub.pid)
        sending.join(PATIENCE)
    assert told_ok == [""] * 3
    stuck.gate.set()
    number = -1
    while number < 2:
        _, (_, _, content) = stuck.next()
        assert content["samp.params"]["filling"] == filling
        assert int(content["samp.params"]["n"]) in (number, number + 1)
        number = int(content["samp.params"]["n"])


def wait_for_growth(path: Path, size: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while path.stat().st_size <= size:
        assert time.monotonic() < deadline


def test_hub_killed_while_its_journal_is_made_shorter_loses_nothing(
    farm: Farm, hub: HubInfo, sender: Receiver, stuck: StuckReceiver
) -> None:
    filling = "x" * 10**5
    sender.hub.declareMetadata(sender.key, {"filling": filling, "number": "0"})  # it may be killed before the next
    for number in range(200):
        sender.hub.notify(sender.key, stuck.id, message("test.number", n=str(number), filling=filling))
    shorter = farm.paths.journal(1).with_name("hub-1.new")
    worker = worker_of(hub)
    caught = threading.Event()

    def watch() -> None:
        while not caught.is_set():
            if shorter.exists():
                worker.suspend()
                if shorter.exists():
                    caught.set()
                else:
                    worker.resume()  # it was done already

    watching = threading.Thread(target=watch)
    watching.start()
    rewriting = threading.Thread(target=lambda: rewrite_metadata(sender, filling, caught))
    rewriting.start()
    watching.join(PATIENCE)
    assert caught.is_set()
    fell(hub)
    successor(farm, hub.pid)
    rewriting.join(PATIENCE)
    wait_for(lambda: not shorter.exists(), "the half of a shorter one is gone")
    stuck.gate.set()
    assert numbers_heard(stuck, 199) == list(range(200))
    last = sender.hub.getMetadata(sender.key, sender.id)
    assert last["filling"] == filling


def rewrite_metadata(client: Receiver, filling: str, enough: threading.Event) -> None:
    """Let a hub's journal grow, though its state does not."""
    number = 0
    while not enough.is_set():
        number += 1
        client.hub.declareMetadata(client.key, {"filling": filling, "number": str(number)})


# ---------------------------------------------------------------------- what befalls its journal


@pytest.fixture
def between_two_lives(farm: Farm, hub: HubInfo) -> Callable[[Callable[[Path], None]], HubInfo]:
    """Kill the hub, do something to its journal before the successor reads it, and return the successor."""

    def fall(do: Callable[[Path], None]) -> HubInfo:
        with coordinator_suspended(farm):
            process = worker_of(hub)
            process.kill()
            process.wait(PATIENCE)
            do(farm.paths.journal(1))
        return successor(farm, hub.pid)

    return fall


def test_damaged_journal_is_set_aside_and_the_hub_starts_empty_and_says_so(
    farm: Farm, between_two_lives: Callable[[Callable[[Path], None]], HubInfo], sender: Receiver, stuck: StuckReceiver
) -> None:
    for number in range(10):
        sender.hub.notify(sender.key, stuck.id, message("test.number", n=str(number)))

    def damage(journal: Path) -> None:
        data = bytearray(journal.read_bytes())
        data[len(data) // 2] ^= 0xFF
        journal.write_bytes(data)

    after = between_two_lives(damage)
    (aside,) = farm.paths.journals.glob("hub-1.damaged-*")
    (line,) = [line for line in log_of(farm) if "set aside" in line]
    assert str(aside) in line
    assert "ERROR" in line
    assert after.clients == 0
    with pytest.raises(Fault, match="register first"):
        sender.hub.getRegisteredClients(sender.key)
    sender.join_by(after.lock_file, "sender")


def log_of(farm: Farm) -> list[str]:
    return (farm.paths.logs / "h.log").read_text().splitlines()


def test_journal_whose_records_make_no_sense_is_set_aside_too(
    farm: Farm, between_two_lives: Callable[[Callable[[Path], None]], HubInfo], sender: Receiver
) -> None:
    poison = ClientRecord("no number", "key", "", {}, {})

    def add_poison(journal: Path) -> None:
        with journal.open("ab") as file:
            file.write(journal_module._frame([poison]))

    after = between_two_lives(add_poison)
    assert (after.restarts, after.clients) == (1, 0)
    assert len(list(farm.paths.journals.glob("hub-1.damaged-*"))) == 1
    sender.join_by(after.lock_file, "sender")


def test_disk_that_was_full_costs_nothing_once_there_is_room(
    farm: Farm, hub: HubInfo, sender: Receiver, stuck: StuckReceiver
) -> None:
    journal = farm.paths.journal(1)
    filling = "x" * 10**5  # so that the journal is larger than all other files: the limit is for each
    sender.hub.notify(sender.key, stuck.id, message("test.number", n="0", filling=filling))
    process = worker_of(hub)
    size = journal.stat().st_size
    _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (size + 100, hard))
    for number in range(1, 20):
        sender.hub.notify(sender.key, stuck.id, message("test.number", n=str(number), filling=filling))
    wait_for(lambda: any("journal cannot be written" in line for line in log_of(farm)), "the log says so")
    process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))
    sender.hub.notify(sender.key, stuck.id, message("test.number", n="20", filling=filling))
    wait_for(lambda: any("journal is whole again" in line for line in log_of(farm)), "it is written anew")
    fell(hub)
    successor(farm, hub.pid)
    stuck.gate.set()
    assert numbers_heard(stuck, 20) == list(range(21))
