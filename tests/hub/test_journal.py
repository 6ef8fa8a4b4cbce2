"""The journal: what a hub knows comes back from it, whatever was written when, and whatever befell the file."""

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.hub.core import Hub
from hubfarm.hub.keep import journal as journal_module
from hubfarm.hub.keep.journal import DamagedJournal, Journal, LaterJournal, check_journal, read_journal, set_aside
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.model import Client, Kind
from hubfarm.hub.recall import recall
from hubfarm.hub.records import CountersRecord, Record
from hubfarm.hub.routes import Push
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY
from tests.hub.hub_support import OK, join
from tests.strategies import tried
from tests.support import ROOT, message, open_files

SECRET = "swordfish"

HEAD_SIZE = len(b"hubfarm journal 1\n") + 32


def hub_with(ledger: Ledger) -> Hub:
    numbers = iter(range(10**6))
    return Hub({}, limits=Limits(), new_key=lambda: f"key-{next(numbers)}", now=0.0, ledger=ledger)


def known(ledger: Ledger, passing: Collection[str] = ()) -> Any:
    """Return all that has to outlive a worker, as plain values.

    `passing` are the msg-ids of synchronous calls: whoever waited for them does so no more.
    """
    kept = {msg_id: call for msg_id, call in ledger.pending.items() if not call.synchronous}
    return {
        "clients": {
            client.id: (client.key, client.route, client.principal, client.metadata, client.subscriptions)
            for client in ledger.clients.values()
        },
        "pending": {
            msg_id: (call.sender.id if call.sender else None, call.recipient.id, call.tag)
            for msg_id, call in kept.items()
        },
        "queues": {
            client_id: [
                (each.kind, each.sender, each.tag, each.payload.xml)
                for each in queue.values()
                if not (each.kind is Kind.CALL and each.tag in passing)
            ]
            for client_id, queue in ledger.queues.items()
        },
    }


def restored(records: Iterable[Record]) -> Ledger:
    ledger = Ledger()
    ledger.restore(recall(through_the_codec(records), 0.0))
    return ledger


def through_the_codec(records: Iterable[Record]) -> list[Record]:
    decode = msgspec.msgpack.Decoder(Record).decode
    return [decode(msgspec.msgpack.encode(record)) for record in records]


# ------------------------------------------------------------------ what a hub knows


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(noting=True)


@pytest.fixture
def hub(ledger: Ledger) -> Hub:
    return hub_with(ledger)


def test_clients_come_back_with_their_keys_and_declarations(hub: Hub, ledger: Ledger) -> None:
    first = join(hub, "a.*", "b", name="first")
    gone = join(hub, "a.*")
    hub.unregister(gone, 0.0)
    again = restored(ledger.take_changes())
    assert known(again) == known(ledger)
    assert again.by_key[first.key].subscriptions == {"a.*": {}, "b": {}}
    assert set(again.by_pattern) == {"a.*", "b"}


def test_messages_that_were_not_delivered_come_back_in_order_and_others_do_not(hub: Hub, ledger: Ledger) -> None:
    receiver, sender = join(hub, "*"), join(hub)
    for number in range(5):
        hub.notify(sender, receiver.id, message("a", n=str(number)), 0.0)
    while (first := hub.next_delivery(receiver)) is not None and b">2<" not in first.payload.xml:
        hub.delivered(first)
    again = restored(ledger.take_changes())
    values: list[Any] = [delivery.payload.value for delivery in again.queues[receiver.id].values()]
    assert [value["samp.params"]["n"] for value in values] == ["2", "3", "4"]
    assert (again.counters.queued, again.clients[receiver.id].queued) == (3, 3)


def test_a_message_to_many_is_written_once(hub: Hub, ledger: Ledger) -> None:
    for _ in range(20):
        join(hub, "a")
    sender = join(hub)
    ledger.take_changes()
    hub.notify_all(sender, message("a", text="x" * 1000), 0.0)
    assert sum(len(msgspec.msgpack.encode(record)) for record in ledger.take_changes()) < 2000


def test_a_reply_to_a_call_of_before_reaches_its_sender(hub: Hub, ledger: Ledger) -> None:
    receiver, sender = join(hub, "a"), join(hub)
    msg_id = hub.call(sender, receiver.id, "tag", message("a"), 0.0).result
    again = hub_with(restored(ledger.take_changes()))
    (effect,) = again.reply(again.client_with_key(receiver.key), str(msg_id), OK, 0.0).effects  # type: ignore
    assert (effect.to.id, effect.tag, effect.payload.value) == (sender.id, "tag", OK)  # type: ignore[union-attr]


def test_a_synchronous_call_of_before_is_answered_to_nobody_and_its_reply_is_a_fault(hub: Hub, ledger: Ledger) -> None:
    receiver, sender = join(hub, "a"), join(hub)
    msg_id = str(hub.call_and_wait(sender, receiver.id, message("a"), 0.0).result)
    again = hub_with(restored(ledger.take_changes()))
    with pytest.raises(Fault, match="msg-id"):
        again.reply(again.client_with_key(receiver.key), msg_id, OK, 0.0)
    later = again.call(again.client_with_key(sender.key), receiver.id, "t", message("a"), 0.0).result
    assert later != msg_id


def test_a_synchronous_call_leaves_no_record(hub: Hub, ledger: Ledger) -> None:
    receiver, sender = join(hub, "a"), join(hub)
    ledger.take_changes()
    for _ in range(2):
        outcome = hub.call_and_wait(sender, receiver.id, message("a"), 0.0)
        hub.delivered(outcome.effects[0])  # type: ignore[arg-type]
        hub.reply(receiver, str(outcome.result), OK, 0.0)
    assert not ledger.has_changed


def test_ids_are_never_given_twice_also_over_many_lives(ledger: Ledger) -> None:
    ids: list[str] = []
    for _ in range(4):
        hub = hub_with(ledger)
        receiver = join(hub, "a")
        ids += [receiver.id, str(hub.call_and_wait(join(hub), receiver.id, message("a"), 0.0).result)]
        records, ledger = ledger.take_changes(), Ledger(noting=True)
        ledger.restore(recall([*records, *()], 0.0))
        ledger = copy_of(ledger)
    assert len(set(ids)) == len(ids)


def copy_of(ledger: Ledger) -> Ledger:
    again = Ledger(noting=True)
    again.restore(recall(list(ledger.snapshot()), 0.0))
    return again


class Driver:
    """Does at random what clients and deliveries do to a hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.passing: set[str] = set()
        self.steps: list[Callable[[int], object]] = [
            self.register,
            self.leave,
            self.declare,
            self.broadcast,
            self.call_all,
            self.call_and_wait,
            self.reply,
            self.deliver,
            self.fail,
        ]

    def pick(self, number: int) -> Client | None:
        clients = list(self.hub.clients)
        return clients[number % len(clients)] if clients else None

    def register(self, number: int) -> None:
        if len(self.hub.clients) < 5:
            join(self.hub, *(["a"] if number % 2 else ["a", "samp.hub.event.*"]), name=str(number))

    def leave(self, number: int) -> None:
        if (client := self.pick(number)) and number % 3 == 0:
            self.hub.unregister(client, 0.0)

    def declare(self, number: int) -> None:
        if client := self.pick(number):
            self.hub.declare_metadata(client, {"samp.name": str(number), "list": ["1", {"x": "y"}]}, 0.0)

    def broadcast(self, number: int) -> None:
        if client := self.pick(number):
            self.hub.notify_all(client, message("a", n=str(number)), 0.0)

    def call_all(self, number: int) -> None:
        if client := self.pick(number):
            self.hub.call_all(client, f"tag{number}", message("a", n=str(number)), 0.0)

    def call_and_wait(self, number: int) -> None:
        if (client := self.pick(number)) and (other := self.pick(number + 1)):
            self.passing.add(str(self.hub.call_and_wait(client, other.id, message("a"), 0.0).result))

    def reply(self, number: int) -> None:
        client = self.pick(number)
        if client and client.owing:
            self.hub.reply(client, sorted(client.owing)[0], OK, 0.0)

    def deliver(self, number: int) -> None:
        if (client := self.pick(number)) and (delivery := self.hub.next_delivery(client)):
            self.hub.delivered(delivery)

    def fail(self, number: int) -> None:
        if (client := self.pick(number)) and (delivery := self.hub.next_delivery(client)) and number % 2:
            self.hub.undelivered(delivery, "it failed")


STEPS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30)), max_size=60)


@given(STEPS)
@tried(200)
def test_whatever_happened_comes_back(steps: list[tuple[int, int]]) -> None:
    ledger = Ledger(noting=True)
    driver = Driver(hub_with(ledger))
    records: list[Record] = []
    for step, number in steps:
        driver.steps[step](number)
        records += through_the_codec(ledger.take_changes())
    assert known(restored(records), driver.passing) == known(ledger, driver.passing)


@given(STEPS, STEPS, st.integers(1, 5))
@tried(200)
def test_a_journal_made_shorter_while_the_hub_works_holds_the_same(
    before: list[tuple[int, int]], meanwhile: list[tuple[int, int]], portion: int
) -> None:
    ledger = Ledger(noting=True)
    driver = Driver(hub_with(ledger))
    for step, number in before:
        driver.steps[step](number)
    ledger.take_changes()
    snapshot = ledger.snapshot()
    shorter: list[Record] = []
    for step, number in meanwhile:
        shorter += through_the_codec(islice(snapshot, portion))
        driver.steps[step](number)
        shorter += through_the_codec(ledger.take_changes())
    shorter += through_the_codec(snapshot)
    assert known(restored(shorter), driver.passing) == known(ledger, driver.passing)


# ------------------------------------------------------------------ the file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub-1"


def opened(path: Path, secret: str = SECRET) -> tuple[Journal, Ledger]:
    ledger = Ledger(noting=True)
    journal = Journal(path, secret, ledger)
    journal.open(0.0)
    return journal, ledger


def written(path: Path, clients: int = 3) -> Ledger:
    """Write a journal in which some clients and messages are, as a worker would that then falls."""
    journal, ledger = opened(path)
    hub = hub_with(ledger)
    for number in range(clients):
        client = join(hub, "*", name=str(number))
        hub.notify_all(client, message("a", n=str(number)), 0.0)
        journal.keep()
    journal.close()
    return ledger


def test_a_successor_finds_what_its_predecessor_has_kept(path: Path) -> None:
    before = written(path)
    journal, ledger = opened(path)
    journal.close()
    assert known(ledger) == known(before)


def test_a_journal_is_private_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        written(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_that_is_a_planted_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    from hubfarm.samp.errors import HubfarmError

    target = tmp_path / "target"
    target.write_text("precious")
    path.symlink_to(target)
    with pytest.raises(HubfarmError, match="hub-1"):
        opened(path)
    assert target.read_text() == "precious"


def test_a_last_record_that_was_cut_short_is_dropped_wherever_the_cut_is(path: Path) -> None:
    written(path, clients=2)
    data = path.read_bytes()
    whole = [read_journal(data[:cut], SECRET)[0] for cut in range(HEAD_SIZE, len(data) + 1)]
    counts = [len(records) for records in whole]
    assert counts == sorted(counts)
    assert counts[-1] == len(read_journal(data, SECRET)[0])
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        journal, _ = opened(path)
        journal.close()
        written(path)  # goes on behind the last whole record: what follows can be read again
        assert len(read_journal(path.read_bytes(), SECRET)[0]) > 0


def test_a_damaged_journal_is_set_aside_and_the_hub_starts_empty(path: Path) -> None:
    written(path)
    data = bytearray(path.read_bytes())
    data[HEAD_SIZE + 20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DamagedJournal):
        read_journal(bytes(data), SECRET)
    journal, ledger = opened(path)
    journal.close()
    assert not ledger.clients
    (aside,) = path.parent.glob("hub-1.damaged-*")
    assert aside.read_bytes() == data


@pytest.mark.parametrize("data", [b"rubbish", b"hubfarm journal 0\n" + bytes(40)])
def test_what_is_no_journal_is_set_aside(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    journal, ledger = opened(path)
    journal.close()
    assert not ledger.clients
    assert len(list(path.parent.glob("hub-1.damaged-*"))) == 1


def test_a_record_that_cannot_be_is_damage(path: Path) -> None:
    journal, _ = opened(path)
    journal._write(journal_module._frame([CountersRecord(1, 1, 1)])[:-1] + b"x" + b"more")
    journal.close()
    with pytest.raises(DamagedJournal):
        read_journal(path.read_bytes(), SECRET)


def test_the_journal_of_another_hub_that_had_the_same_id_is_not_read(path: Path) -> None:
    written(path)
    journal, ledger = opened(path, secret="another")
    journal.close()
    assert not ledger.clients


def test_a_hub_that_ends_in_order_leaves_no_journal(path: Path) -> None:
    journal, _ = opened(path)
    journal.remove()
    assert list(path.parent.iterdir()) == []


def test_half_a_frame_that_a_full_disk_left_is_cut_off_and_what_follows_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def fill_the_disk(descriptor: int, data: bytes) -> int:
        write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    journal, ledger = opened(path)
    hub = hub_with(ledger)
    for number in range(3):
        join(hub, name=str(number))
        with monkeypatch.context() as patch:
            if number == 1:
                patch.setattr(os, "write", fill_the_disk)
            journal.keep()
    journal.close()
    names = [client.metadata.outline["samp.name"] for client in opened(path)[1].clients.values()]
    assert names == ["0", "2"]


def test_two_journals_set_aside_keep_both_names(path: Path) -> None:
    path.write_bytes(b"one")
    first = set_aside(path)
    path.write_bytes(b"two")
    second = set_aside(path)
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


# ------------------------------------------------------------------ making it shorter


async def settle(journal: Journal) -> None:
    while journal._shorter is not None:
        await asyncio.sleep(0)


def test_a_journal_stays_a_small_multiple_of_what_it_holds(path: Path) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        receiver, sender = join(hub, "a"), join(hub)
        for number in range(5000):
            hub.notify(sender, receiver.id, message("a", text="x" * 1000, n=str(number)), 0.0)
            delivery = hub.next_delivery(receiver)
            assert delivery is not None
            hub.delivered(delivery)
            journal.keep()
            await asyncio.sleep(0)
        await settle(journal)
        assert path.stat().st_size < 2 * journal_module.MIN_SIZE
        journal.close()
        assert known(opened(path)[1]) == known(ledger)
        assert [each.name for each in path.parent.iterdir()] == ["hub-1"]

    asyncio.run(work())


def test_a_journal_that_was_made_shorter_again_and_again_holds_one_descriptor(path: Path) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        join(hub_with(ledger), "a")
        journal.keep()
        before = open_files()
        for _ in range(5):
            journal._make_shorter()
            await settle(journal)
        assert open_files() == before
        journal.close()

    asyncio.run(work())


def test_nothing_is_lost_when_the_worker_falls_while_it_makes_its_journal_shorter(path: Path) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        receiver, sender = join(hub, "a"), join(hub)
        for number in range(2000):  # nothing is delivered: the state is as large as the journal
            hub.notify(sender, receiver.id, message("a", text="x" * 1000, n=str(number)), 0.0)
            journal.keep()
        journal._make_shorter()
        await asyncio.sleep(0)
        assert journal._shorter is not None
        hub.notify(sender, receiver.id, message("a", n="last"), 0.0)
        journal.keep()
        os.close(journal._descriptor)  # the end: nothing is tidied up
        successor, again = opened(path)
        assert known(again) == known(ledger)
        successor.remove()
        assert list(path.parent.iterdir()) == []

    asyncio.run(work())


def test_a_journal_that_somebody_removed_is_written_anew(path: Path) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        join(hub, "a", name="one")
        journal.keep()
        path.unlink()
        assert journal.mend()
        await settle(journal)
        assert not journal.mend()
        join(hub, "a", name="two")
        journal.keep()
        journal.close()
        assert known(opened(path)[1]) == known(ledger)

    asyncio.run(work())


def test_journal_of_release_0_1_0_is_read_and_at_once_of_this_release(tmp_path: Path) -> None:
    path = tmp_path / "hub-1"
    shutil.copy(ROOT / "tests" / "recorded" / "hubfarm-0.1.0" / "journal", path)
    ledger = Ledger(noting=True)
    journal = Journal(path, SECRET, ledger)
    assert journal.open(0.0) == 2
    state = known(ledger)
    assert [(each, client[0], client[1]) for each, client in state["clients"].items()] == [
        ("c1", "key-0", Push("http://127.0.0.1:9/c1")),
        ("c2", "key-1", Push("http://127.0.0.1:9/c2")),
    ]
    assert ledger.clients["c1"].name == "TOPCAT"
    assert [(kind, sender, tag) for kind, sender, tag, _ in state["queues"]["c2"]] == [
        (Kind.NOTIFICATION, "c1", ""),
        (Kind.CALL, "c1", "c1-m1"),
    ]
    assert state["pending"] == {"c1-m1": ("c1", "c2", "tag")}
    hub_with(ledger).register(ANYBODY, 1.0)
    journal.keep()
    journal.close()
    records, _ = read_journal(path.read_bytes(), SECRET)
    assert path.read_bytes().startswith(b"hubfarm journal 2\n")
    after = Ledger(noting=True)
    after.restore(recall(records, 0.0))
    assert {**known(after), "clients": None} == {**known(ledger), "clients": None}
    assert sorted(after.clients) == ["c1", "c2", "c3"]


def test_journal_of_a_later_release_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "hub-1"
    path.write_bytes(b"hubfarm journal 3\nwhatever comes then")
    with pytest.raises(LaterJournal, match=r"version 3, and this one reads 2"):
        Journal(path, SECRET, Ledger(noting=True)).open(0.0)
    with pytest.raises(HubfarmError, match=r"hub-1: the journal was written by a later release"):
        check_journal(path, SECRET)
    assert path.read_bytes() == b"hubfarm journal 3\nwhatever comes then"


def test_journal_is_looked_at_while_a_worker_writes_it(tmp_path: Path) -> None:
    check_journal(tmp_path / "none", SECRET)
    path = tmp_path / "hub-1"
    ledger = Ledger(noting=True)
    journal = Journal(path, SECRET, ledger)
    journal.open(0.0)
    join(hub_with(ledger))
    journal.keep()
    check_journal(path, SECRET)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    check_journal(path, SECRET)  # its last frame is being written
    path.write_bytes(whole[: HEAD_SIZE + 9] + b"X" + whole[HEAD_SIZE + 10 :] + whole[HEAD_SIZE:])
    with pytest.raises(HubfarmError, match="is damaged"):
        check_journal(path, SECRET)
