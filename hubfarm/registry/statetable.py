"""The shared state table: a memory-mapped file with one fixed slot a hub.

Each slot has one writer, the hub's own process, which writes it once a heartbeat; readers
never block and never ask a hub.  A sequence counter makes reads consistent: odd while the slot
is being written, and a reader takes the slot again if the counter moved meanwhile.

Rule: who may take a slot is decided under the registry's mutex (`lockdir.LockDir.claim`);
a slot whose hub's guard is free is free.  Times are of the monotonic clock, which all
processes of one host share.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from hubfarm.registry.files import file_identity
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.states import HubState

_MAGIC = b"hubfarm\0"
_VERSION = 1
_HEADER = struct.Struct("<8sIII")
_HEADER_SIZE = 64
_SEQUENCE = struct.Struct("<Q")
_SLOT = struct.Struct("<qqIdddIQQQQQQQI")  # what 0.1.0 writes, which leaves zeros behind it, and the watchers
_SLOT_SIZE = 128
_SIZE = _HEADER_SIZE + MAX_HUBS * _SLOT_SIZE
_STATE_OFFSET = _SEQUENCE.size + struct.calcsize("<qq")
_BEAT = struct.Struct("<d")
_BEAT_OFFSET = _SEQUENCE.size + struct.calcsize("<qqId")
_ATTEMPTS = 1000
_HEADER_BYTES = _HEADER.pack(_MAGIC, _VERSION, MAX_HUBS, _SLOT_SIZE)


_FREE = 0
_CODES = {
    HubState.STARTING: 1,
    HubState.RUNNING: 2,
    HubState.STOPPING: 3,
    HubState.DRAINING: 4,
    HubState.DORMANT: 5,
    HubState.AWAY: 6,
}
"""How a slot says what its hub is doing; what has no number here no hub says of itself."""
_STATES = {code: state for state, code in _CODES.items()}


class HubName(NamedTuple):
    """The ``<PID>-<ID>`` of a hub: the process that holds it, and its number.

    Examples
    --------
    >>> str(HubName(4711, 2))
    '4711-2'
    """

    pid: int
    id: int

    def __str__(self) -> str:
        return f"{self.pid}-{self.id}"


@dataclass(frozen=True, slots=True)
class Record:
    """One hub's slot.

    Parameters
    ----------
    pid, id : int
        The hub's ``<PID>-<ID>``.
    state : HubState
        What it is doing.
    started, beat, active : float
        When it started, last beat and was last used; monotonic clock, seconds.
    clients : int
        Registered clients, the hub itself not counted.
    accepted, delivered, failed : int
        Messages taken from senders, and deliveries that reached their receiver or did not.
    queued, queued_bytes : int
        Deliveries waiting, and their size, bytes.
    peak : int
        The longest that the queues together have been, deliveries.
    requests : int
        Requests answered.
    watchers : int
        Who sees what all others say; see `hubfarm.hub.watchers`.
    """

    pid: int
    id: int
    state: HubState
    started: float
    beat: float
    active: float
    clients: int = 0
    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    queued: int = 0
    queued_bytes: int = 0
    peak: int = 0
    requests: int = 0
    watchers: int = 0

    @property
    def name(self) -> HubName:
        """The hub's ``<PID>-<ID>``."""
        return HubName(self.pid, self.id)


_values = attrgetter(*(each.name for each in fields(Record)))  # astuple takes ten times as long
_NOTHING = _SLOT.unpack(bytes(_SLOT.size))[3:]
assert len(fields(Record)) == 3 + len(_NOTHING)
assert _SEQUENCE.size + _SLOT.size <= _SLOT_SIZE


class StateTable:
    """The table, mapped for reading or writing.

    Parameters
    ----------
    path : Path
        The table's file.
    writable : bool
        Map it for writing, and make it if it is missing (call under the registry's mutex).

    Raises
    ------
    HubfarmError
        The file is not a state table, or one of another version of hubfarm.
    FileNotFoundError
        There is none, and `writable` is false.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self._descriptor = -1
        if writable and not path.exists():
            _create(path)
        try:
            self._open(path, writable=writable)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise HubfarmError(f"cannot read the state table {path}: {error.strerror}") from None

    def _open(self, path: Path, *, writable: bool) -> None:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        try:
            header = os.pread(descriptor, _HEADER.size, 0)
            _check_header(path, header, os.fstat(descriptor).st_size)
            self.identity = file_identity(os.fstat(descriptor))
            self._map = mmap.mmap(descriptor, _SIZE, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
            if writable:
                self._descriptor = os.dup(descriptor)
        finally:
            os.close(descriptor)

    def is_sound(self) -> bool:
        """Tell whether its file is still in place and whole; for writers."""
        try:
            status = os.lstat(self.path)
        except OSError:
            return False
        return (
            file_identity(status) == self.identity
            and status.st_size == _SIZE
            and self._map[: _HEADER.size] == _HEADER_BYTES
        )

    def read(self, slot: int) -> Record | None:
        """Return what stands in `slot`, or None if nothing does."""
        start = _HEADER_SIZE + slot * _SLOT_SIZE
        for _ in range(_ATTEMPTS):
            before = _SEQUENCE.unpack_from(self._map, start)[0]
            values = _SLOT.unpack_from(self._map, start + _SEQUENCE.size)
            if before % 2 == 0 and before == _SEQUENCE.unpack_from(self._map, start)[0]:
                pid, number, state, *rest = values
                return Record(pid, number, _STATES[state], *rest) if state in _STATES else None
        return None  # its writer died in mid-write: the slot says nothing

    def _holder(self, slot: int) -> HubName | None:
        """Return whose slot it is, also if its writer stands still in mid-write; None if it is free."""
        start = _HEADER_SIZE + slot * _SLOT_SIZE
        sequence = _SEQUENCE.unpack_from(self._map, start)[0]
        pid, number, state, *_ = _SLOT.unpack_from(self._map, start + _SEQUENCE.size)
        return HubName(pid, number) if state or sequence % 2 else None

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield every slot in use with its number."""
        for slot in range(MAX_HUBS):
            if self._map[_HEADER_SIZE + slot * _SLOT_SIZE + _STATE_OFFSET]:  # most are free: that is seen cheaply
                record = self.read(slot)
                if record is not None:
                    yield slot, record

    def by_name(self) -> dict[HubName, Record]:
        """Return every record under its hub's name."""
        return {record.name: record for _, record in self.records()}

    def take(self, record: Record, in_use: Callable[[HubName], bool]) -> "SlotWriter":
        """Write `record` into a free slot and return the slot's writer.

        Call under the registry's mutex.  `in_use` tells whether a hub's guard is held; a hub of the same id
        that sleeps is a predecessor, see `SlotWriter.former`.

        Raises
        ------
        HubfarmError
            All slots are in use.
        """
        for turn in range(MAX_HUBS):
            slot = (record.id - 1 + turn) % MAX_HUBS  # by its id: it is free as a rule, or a dead predecessor's
            present = self._holder(slot)
            former = self.read(slot) if present is not None and present.id == record.id else None
            if former is not None and former.state is not HubState.DORMANT:
                former = None
            if present is None or former is not None or not in_use(present):
                writer = SlotWriter(self, slot, former)
                writer.write(record)
                return writer
        raise HubfarmError(f"{MAX_HUBS} hubs run on this host already: stop some (hubfarm stop)")

    def write(self, slot: int, record: Record) -> None:
        """Write `record` into `slot`, of which the caller is the one writer."""
        pid, number, state, *rest = _values(record)
        self._put(slot, pid, number, _CODES[state], *rest)

    def clear(self, slot: int) -> None:
        """Give `slot` back, of which the caller is the one writer."""
        self._put(slot, 0, 0, _FREE, *_NOTHING)

    def _put(self, slot: int, *values: float) -> None:
        if os.lseek(self._descriptor, 0, os.SEEK_END) < _SIZE:
            return  # somebody has truncated the file: to touch the map would be the end by SIGBUS
        start = _HEADER_SIZE + slot * _SLOT_SIZE
        sequence = _SEQUENCE.unpack_from(self._map, start)[0] | 1
        self._store(start, _SEQUENCE.pack(sequence))
        _SLOT.pack_into(self._map, start + _SEQUENCE.size, *values)
        self._store(start, _SEQUENCE.pack((sequence + 1) % 2**64))

    def _store(self, at: int, number: bytes) -> None:
        """Write eight bytes at once: `pack_into` makes them zero first, and a reader may look just then."""
        self._map[at : at + len(number)] = number

    def write_beat(self, slot: int, beat: float) -> None:
        """Write the heartbeat of `slot`: one field, which a reader has old or new."""
        if os.lseek(self._descriptor, 0, os.SEEK_END) == _SIZE:  # see `_put`
            self._store(_HEADER_SIZE + slot * _SLOT_SIZE + _BEAT_OFFSET, _BEAT.pack(beat))

    def close(self) -> None:
        """Unmap and close the table."""
        self._map.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_records(path: Path) -> dict[HubName, Record]:
    """Return every record of the table at `path` under its hub's name; none if there is no table.

    Raises
    ------
    HubfarmError
        The file is not a state table, or one of another version of hubfarm.
    """
    try:
        table = StateTable(path)
    except FileNotFoundError:
        return {}
    try:
        return table.by_name()
    finally:
        table.close()


def _check_header(path: Path, header: bytes, size: int) -> None:
    if len(header) < _HEADER.size or header[:8] != _MAGIC:
        raise HubfarmError(f"{path} is not a state table: move it away")
    version, slots, slot_size = _HEADER.unpack(header)[1:]
    if (version, slots, slot_size, size) != (_VERSION, MAX_HUBS, _SLOT_SIZE, _SIZE):
        raise HubfarmError(
            f"{path} is a state table of layout {version}, this hubfarm reads {_VERSION}: "
            "stop the farm with the hubfarm that started it"
        )


def _create(path: Path) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            # Written, not left sparse: a full disk must say so here and not by SIGBUS at a heartbeat.
            file.write(_HEADER_BYTES.ljust(_SIZE, b"\0"))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HubfarmError(f"cannot write {path}: {error.strerror}") from None


class SlotWriter:
    """The one writer of one slot.

    Parameters
    ----------
    table : StateTable
        Mapped for writing.
    slot : int
        The slot's number.
    former : Record or None
        What it said of the hub while it slept; None if it did not.
    """

    def __init__(self, table: StateTable, slot: int, former: Record | None = None) -> None:
        self._table = table
        self._slot = slot
        self.former = former

    def write(self, record: Record) -> None:
        """Write the whole record."""
        self._table.write(self._slot, record)

    def beat(self, beat: float) -> None:
        """Write the time of a heartbeat, as long as nothing else has changed."""
        self._table.write_beat(self._slot, beat)

    def clear(self) -> None:
        """Give the slot back."""
        self._table.clear(self._slot)
