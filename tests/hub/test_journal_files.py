"""What lies beside a journal: the files of large messages, and the mark; and what is said when a disk is full."""

import asyncio
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hubfarm.hub.core import Hub
from hubfarm.hub.keep import journal as journal_module
from hubfarm.hub.keep.journal import Journal, check_journal, read_journal, remove_journal, set_aside
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.model import Client
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.xmlrpc import EncodedMap
from tests.hub.hub_support import join, make_hub
from tests.hub.test_journal import SECRET, hub_with, known, opened, settle
from tests.support import logged, message

LARGE: dict[str, Any] = message("a", text="large " * 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub-1"


@pytest.fixture
def log() -> Iterator[list[str]]:
    with logged() as lines:
        yield lines


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, half: bool = False) -> Iterator[None]:
    """No write succeeds within this."""
    write = os.write

    def fail(descriptor: int, data: bytes) -> int:
        if half:
            write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        yield


def large(journal: Journal) -> EncodedMap:
    """Return a large message as a door hands it on: it lies in a file already."""
    encoded = EncodedMap.of(LARGE)
    return encoded._replace(file=journal.store(encoded.xml))


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def sent(hub: Hub, journal: Journal, receivers: int = 2) -> tuple[EncodedMap, list[Client]]:
    """Send a large message to some clients."""
    sender, told = join(hub), [join(hub, "a") for _ in range(receivers)]
    content = large(journal)
    hub.notify_all(sender, content, 0.0)
    journal.keep()
    return content, told


# ---------------------------------------------------------------------- large messages


def test_large_message_lies_in_a_private_file_until_nobody_waits_for_it(path: Path) -> None:
    journal, ledger = opened(path)
    hub = hub_with(ledger)
    content, (one, other) = sent(hub, journal)
    file = path.with_name(content.file)
    assert file.read_bytes() == content.xml
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert content.xml not in path.read_bytes()
    assert hub.keeps(content.file)
    hub.delivered(hub.deliveries_to(one)[0])
    journal.keep()
    assert file.exists()
    hub.unregister(other, 0.0)
    journal.keep()
    assert not hub.keeps(content.file)
    assert not file.exists()
    journal.close()


def test_large_messages_come_back_and_files_that_nobody_waits_for_are_removed(path: Path) -> None:
    journal, ledger = opened(path)
    hub = hub_with(ledger)
    content, (one, other) = sent(hub, journal)
    forgotten = journal.store(b"of a request that a fall has cut short")
    foreign = path.with_name("hub-10.message-1-1")
    foreign.write_bytes(b"another hub's")
    journal.close()
    journal, again = opened(path)
    assert known(again) == known(ledger)
    first, second = (again.queues[each.id].popitem()[1].payload for each in (one, other))
    assert first is second, "it is there once, however many it is for"
    assert (first.xml, first.file) == (content.xml, content.file)
    assert not path.with_name(forgotten).exists()
    assert foreign.exists()
    assert path.with_name(content.file).exists()
    journal.close()


def test_message_whose_file_is_gone_is_lost_alone(path: Path, log: list[str]) -> None:
    journal, ledger = opened(path)
    hub = hub_with(ledger)
    content, (one, _) = sent(hub, journal)
    hub.notify(join(hub), one.id, message("a", n="1"), 0.0)
    journal.keep()
    journal.close()
    path.with_name(content.file).unlink()
    journal, again = opened(path)
    journal.close()
    [left] = again.queues[one.id].values()
    assert left.payload.value == message("a", n="1")
    assert [line for line in log if "cannot be read" in line and content.file in line and "it is lost" in line]


def test_no_file_but_a_messages_own_is_read_by_a_name_in_the_journal(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "hub-1.message-1-2").symlink_to(tmp_path / "secret")
    (tmp_path / "hub-1.message-d").mkdir()
    (tmp_path / "hub-1.message-d" / "f").write_bytes(b"x")
    (tmp_path / "hub-1.message-1-3").write_bytes(b"good")
    journal = Journal(path, SECRET, Ledger(noting=True))
    found = [
        journal._load(name)
        for name in ("secret", "hub-1.message-1-2", "hub-1.message-d/f", "hub-1.message-9-9", "hub-1.message-1-3")
    ]
    assert found == [None, None, None, None, b"good"]


def test_large_messages_have_files_of_their_own_and_a_full_disk_leaves_none(
    path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    journal, _ = opened(path)
    first, second = journal.store(b"1"), journal.store(b"2")
    assert (path.with_name(first).read_bytes(), path.with_name(second).read_bytes()) == (b"1", b"2")
    with full_disk(monkeypatch, half=True):
        assert journal.store(b"three") == ""
    assert names(path) == sorted(["hub-1", first, second])
    assert "WARNING a large message cannot be put into a file (No space left on device): the journal takes it" in log
    journal.close()


def test_removing_a_journal_removes_all_that_is_its_own_and_nothing_else(path: Path) -> None:
    journal, _ = opened(path)
    journal.store(b"1")
    journal.mark(1)
    for name in ("hub-1.new", "hub-1.changes", "hub-1.damaged-20260101T000000Z-1", "hub-10", "hub-10.mark"):
        path.with_name(name).write_bytes(b"")
    journal.remove()
    assert names(path) == ["hub-1.damaged-20260101T000000Z-1", "hub-10", "hub-10.mark"]
    remove_journal(path)
    remove_journal(path.with_name("none") / "hub-2")


# ---------------------------------------------------------------------- the mark


def test_mark_tells_a_successor_what_was_in_hand(path: Path) -> None:
    journal, _ = opened(path)
    assert journal.marked() == 0
    journal.mark(7)
    assert opened(path)[0].marked() == 7
    journal.mark(2**40)
    assert journal.marked() == 2**40
    journal.mark(0)
    assert journal.marked() == 0
    mark = path.with_name("hub-1.mark")
    assert stat.S_IMODE(mark.stat().st_mode) == 0o600
    journal.close()
    mark.write_bytes(b"rubbish")
    assert opened(path)[0].marked() == 0


def test_mark_is_written_to_no_planted_link(path: Path, tmp_path: Path, log: list[str]) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    path.with_name("hub-1.mark").symlink_to(tmp_path / "precious")
    journal, _ = opened(path)
    for number in (1, 2):
        journal.mark(number)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert len([line for line in log if line.startswith("ERROR the mark beside the journal cannot be written:")]) == 1
    journal.close()


# ---------------------------------------------------------------------- trouble


def in_a_loop(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def test_full_disk_is_said_once_and_the_journal_is_whole_again_when_there_is_room(
    path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        join(hub, name="before")
        journal.keep()
        with full_disk(monkeypatch, half=True):
            for number in range(3):
                join(hub, name=f"meanwhile {number}")
                journal.keep()
            assert journal.mend(), "something is lacking: it is tried to write all anew"
            await settle(journal)
        assert journal.mend()
        await settle(journal)
        assert not journal.mend()
        journal.close()
        assert known(opened(path)[1]) == known(ledger)

    in_a_loop(work)
    assert [line for line in log if "journal" in line] == [
        "ERROR the journal cannot be written (No space left on device): a crash now would lose messages",
        "ERROR the journal cannot be written anew: No space left on device",
        "WARNING the journal is whole again",
    ]
    assert names(path) == ["hub-1"]


def test_journal_that_cannot_be_made_shorter_is_not_tried_again_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def fail(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    async def work() -> None:
        monkeypatch.setattr(journal_module, "MIN_SIZE", 1000)
        monkeypatch.setattr(journal_module, "_Shorter", fail)
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        while not tries:
            join(hub, name="x" * 100)
            journal.keep()
        size = journal._size
        assert size > 1000
        while tries == 1:
            join(hub, name="x" * 100)
            journal.keep()
        assert tries == 2
        assert journal._size > 2 * size
        journal.close()

    in_a_loop(work)


def test_journal_is_made_shorter_only_once_it_is_large_and_has_grown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        monkeypatch.setattr(journal_module, "MIN_SIZE", 10_000)
        monkeypatch.setattr(journal_module, "PORTION", 1000)
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        sizes = []
        for number in range(300):
            join(hub, name=f"{number} {'x' * 100}")
            journal.keep()
            if journal._shorter is not None:
                sizes.append(journal._size)
                await settle(journal)
                assert journal._size == journal._shortest == path.stat().st_size
        journal.close()
        assert known(opened(path)[1]) == known(ledger)
        assert len(sizes) >= 2
        assert sizes[0] > 10_000

    in_a_loop(work)


def test_changes_are_kept_before_the_loop_waits_again_and_once(path: Path) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        hub = hub_with(ledger)
        join(hub)
        before = path.stat().st_size
        journal.keep_soon()
        journal.keep_soon()
        assert path.stat().st_size == before
        await asyncio.sleep(0)
        assert known(Ledger()) != known(ledger)
        assert len(read_journal(path.read_bytes(), SECRET)[0]) > 0
        kept = path.stat().st_size
        assert kept > before
        join(hub)
        journal.keep_soon()
        await asyncio.sleep(0)
        assert path.stat().st_size > kept
        journal.close()

    in_a_loop(work)


def test_journal_that_another_has_put_in_its_place_is_written_anew_and_said_so(path: Path, log: list[str]) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        join(hub_with(ledger), name="one")
        journal.keep()
        path.rename(path.with_name("old"))
        path.write_bytes(b"of somebody else")
        assert journal.mend()
        assert journal.mend() is False, "it is being written"
        await settle(journal)
        journal.close()
        assert known(opened(path)[1]) == known(ledger)

    in_a_loop(work)
    assert "ERROR the journal is gone: it is written anew" in log


def test_file_half_made_that_somebody_removed_is_missed_by_nobody(path: Path) -> None:
    async def work() -> None:
        journal, ledger = opened(path)
        join(hub_with(ledger))
        journal.keep()
        journal._make_shorter()
        path.with_name("hub-1.new").unlink()
        journal.close()
        assert names(path) == ["hub-1"]

    in_a_loop(work)


def test_what_the_system_writes_in_pieces_is_written_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    journal, ledger = opened(path)
    join(hub_with(ledger), "a", name="x" * 100)
    journal.keep()
    content = large(journal)
    journal.close()
    assert path.with_name(content.file).read_bytes() == content.xml
    assert known(opened(path)[1]) == known(ledger)


def test_damaged_journal_is_said_with_its_damage_and_where_it_is_now(path: Path, log: list[str]) -> None:
    path.write_bytes(b"rubbish")
    opened(path)[0].close()
    (aside,) = path.parent.glob("hub-1.damaged-*")
    assert log == [f"ERROR the journal {path}: not a journal; set aside as {aside}"]


def test_journal_set_aside_says_when(path: Path) -> None:
    path.write_bytes(b"x")
    assert re.fullmatch(r"hub-1\.damaged-20[0-9]{6}T[0-9]{6}-1", set_aside(path).name)


def test_closing_leaves_no_file_half_made_and_no_descriptor(path: Path) -> None:
    async def work() -> None:
        before = len(os.listdir("/proc/self/fd"))
        journal, ledger = opened(path)
        join(hub_with(ledger))
        journal.keep()
        journal.mark(1)
        journal._make_shorter()
        journal.close()
        journal.close()
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before
        assert names(path) == ["hub-1", "hub-1.mark"]
        assert known(opened(path)[1]) == known(ledger)

    in_a_loop(work)


def test_what_cannot_be_read_is_named_with_its_reason(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HubfarmError, match=r"hub-1: Is a directory"):
        check_journal(path, SECRET)
    with pytest.raises(HubfarmError, match=r"cannot make the journal .*hub-1: Is a directory"):
        opened(path)


def test_frame_that_is_cut_short_is_said_with_its_size(path: Path, log: list[str]) -> None:
    journal, ledger = opened(path)
    join(hub_with(ledger))
    journal.keep()
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[-30:-20])
    opened(path)[0].close()
    assert "WARNING the journal's last frame was cut short, and is dropped (10 bytes)" in log
    assert path.read_bytes()[: len(whole)] == whole


def test_hub_without_a_journal_notes_nothing() -> None:
    ledger = Ledger()
    assert not ledger.has_changed
    hub = make_hub()
    join(hub, "a")
    hub.drain()
    assert not hub._ledger.has_changed
