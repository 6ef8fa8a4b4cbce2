"""The state table: one slot a hub, read without asking; never torn, never lent to two."""

import os
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from hubfarm.registry import statetable
from hubfarm.registry.claim import claim_for
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName, Record, StateTable
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import HubState
from tests.registry.registry_support import hub_process, publish
from tests.support import ROOT, running

RECORD = Record(4711, 2, HubState.RUNNING, 1.5, 2.5, 3.5, 4, 5, 6, 7, 8, 9, 10, 11)


@pytest.fixture
def table(paths: Paths) -> StateTable:
    return StateTable(paths.state_table, writable=True)


def nobody(_: HubName) -> bool:
    return False


def everybody(_: HubName) -> bool:
    return True


def test_what_is_written_can_be_read_by_others(table: StateTable) -> None:
    writer = table.take(RECORD, nobody)
    reader = StateTable(table.path)
    assert reader.by_name() == {HubName(4711, 2): RECORD}
    writer.write(replace(RECORD, clients=99))
    assert [record.clients for _, record in reader.records()] == [99]
    reader.close()


def test_new_table_is_empty_and_its_owners_alone(table: StateTable) -> None:
    assert list(table.records()) == []
    assert table.path.stat().st_mode & 0o777 == 0o600


def test_table_that_is_missing_is_not_made_by_a_reader(paths: Paths) -> None:
    with pytest.raises(FileNotFoundError):
        StateTable(paths.state_table)


def test_cleared_slot_is_empty(table: StateTable) -> None:
    table.take(RECORD, nobody).clear()
    assert table.by_name() == {}


def test_slot_is_reused_only_when_its_hub_is_dead(table: StateTable) -> None:
    names = [HubName(1, number) for number in (1, 2, 3)]
    for name in names:
        table.take(replace(RECORD, pid=name.pid, id=name.id), everybody)
    table.take(replace(RECORD, pid=2, id=2), lambda name: name != names[1])
    table.take(replace(RECORD, pid=3, id=1), everybody)
    assert [record.name for _, record in table.records()] == [names[0], HubName(2, 2), names[2], HubName(3, 1)]


def test_slot_of_a_process_that_was_killed_is_reused(paths: Paths) -> None:
    with hub_process(1):
        live = publish(paths, 2)
        assert len(StateTable(paths.state_table).by_name()) == 2
    other = publish(paths, 1)
    assert set(StateTable(paths.state_table).by_name()) == {live.name, other.name}
    live.withdraw()
    other.withdraw()
    assert StateTable(paths.state_table).by_name() == {}


def test_slot_whose_writer_died_in_mid_write_says_nothing_and_is_reused(table: StateTable) -> None:
    writer = table.take(RECORD, nobody)
    struct.pack_into("<Q", table._map, statetable._HEADER_SIZE + statetable._SLOT_SIZE, 7)  # that of id 2
    assert table.by_name() == {}
    writer.write(RECORD)
    assert table.by_name() == {RECORD.name: RECORD}


def test_full_table_says_so_and_nothing_is_left_of_the_claim(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    table = StateTable(paths.state_table, writable=True)
    for number in range(MAX_HUBS):
        table.write(number, replace(RECORD, id=number))
    lockdir = LockDir(paths)
    monkeypatch.setattr(LockDir, "is_alive", lambda self, name: True)
    with pytest.raises(HubfarmError, match=f"{MAX_HUBS} hubs run on this host already"):
        claim_for(HubSpec(id=1), lockdir)
    assert os.listdir(paths.guards) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a state table: move it away"),
        (b"hub", "is not a state table: move it away"),
        (b"x" * 200_000, "is not a state table: move it away"),
        (struct.pack("<8sIII", b"hubfarm\0", 2, MAX_HUBS, 128), "is a state table of layout 2, this hubfarm reads 1"),
        (struct.pack("<8sIII", b"hubfarm\0", 1, MAX_HUBS, 128), "state table"),
        (struct.pack("<8sIII", b"hubfarm\0", 1, 7, 128).ljust(1000, b"\0"), "state table"),
    ],
)
@pytest.mark.parametrize("writable", [False, True])
def test_file_that_is_no_table_of_ours_is_refused_and_kept(
    paths: Paths, content: bytes, message: str, writable: bool
) -> None:
    paths.state_table.write_bytes(content)
    with pytest.raises(HubfarmError, match=message):
        StateTable(paths.state_table, writable=writable)
    assert paths.state_table.read_bytes() == content


def test_symbolic_link_in_place_of_the_table_is_not_followed(paths: Paths) -> None:
    victim = paths.home / "victim"
    victim.write_text("precious")
    paths.state_table.symlink_to(victim)
    with pytest.raises((HubfarmError, OSError)):
        StateTable(paths.state_table, writable=True)
    assert victim.read_text() == "precious"


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from hubfarm.registry.statetable import StateTable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    StateTable(Path(sys.argv[1]), writable=True)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("room", [0, 5000])
def test_disk_without_room_for_the_table_is_an_error_and_not_a_crash_later(paths: Paths, room: int) -> None:
    command = [sys.executable, "-c", _FULL_DISK, str(paths.state_table), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"HubfarmError cannot write {paths.state_table}: ")
    assert [path for path in paths.runtime.iterdir() if path.is_file()] == []


_WRITER = """
import sys
from pathlib import Path
from hubfarm.registry.statetable import Record, StateTable
from hubfarm.spec.states import HubState
writer = StateTable(Path(sys.argv[1]), writable=True)
number = 0
print("writing", flush=True)
while True:
    number = (number + 0x01010101) % 2**31
    writer.write(0, Record(number, number, HubState.RUNNING, *[number] * 11))
"""


def test_reads_are_whole_while_another_process_writes_as_fast_as_it_can(table: StateTable) -> None:
    command = [sys.executable, "-c", _WRITER, str(table.path)]
    with running(*command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        reader = StateTable(table.path)
        seen = {reader.read(0) for _ in range(50_000)} - {None}
    assert len(seen) > 10
    for record in seen:
        assert record is not None
        values = {record.pid, record.id, record.started, record.beat, record.active, record.clients, record.requests}
        assert values == {record.pid}, f"torn: {record}"
