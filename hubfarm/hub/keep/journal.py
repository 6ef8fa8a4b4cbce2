"""What a successor needs to go on where this worker fell, in a file.

A journal is a head, and then frames: the records of one change (`hubfarm.hub.records`), with
their length and a checksum.  A frame is written, in one write, before the answer goes out that
tells somebody of the change: to the page cache, which survives the process.  While the hub runs the
journal is made shorter now and then: the present state is written to a new file in small
portions, with every change going to both files meanwhile; then the new one takes the old one's name.

A large message lies in a file of its own, which is written before the record that names it, and
removed when nobody waits for it any more.

A frame that was cut short by a crash is the last one, and is dropped: its change is there whole
or not at all.  Any other damage makes the journal unreadable: it is set aside, and the hub starts
empty rather than not at all.

Beside the journal lies a mark: the number of the delivery whose answer the worker is reading, if that is
more than a glance.  So a successor knows which one to suspect.
"""

import asyncio
import contextlib
import os
import re
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

import msgspec
from loguru import logger
from xxhash import xxh3_64_intdigest

from hubfarm.hub.ledger import Ledger
from hubfarm.hub.recall import Nonsense, Recalled, recall
from hubfarm.hub.records import Record
from hubfarm.samp.errors import HubfarmError

_MAGIC = b"hubfarm journal 2\n"
_MAGIC_BEFORE = b"hubfarm journal 1\n"
"""Release 0.1.0's: what it holds is read as this release's is."""
_OURS = 2
_VERSION = re.compile(rb"hubfarm journal ([0-9]{1,9})\n")
_IDENTITY_SIZE = 32
_MARK = struct.Struct("<Q")
_FRAME = struct.Struct("<II")

MIN_SIZE = 2**20
"""A journal smaller than this is left as it is, bytes."""

GROWTH = 4
"""It is made shorter once it is larger by this factor than the state that it held last time."""

PORTION = 256 * 2**10
"""How much of the state is written before clients get their turn again, bytes."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class DamagedJournal(HubfarmError):
    """A journal cannot be read."""


class LaterJournal(HubfarmError):
    """A journal was written by a later release; it is left as it is."""


def _frame(records: list[Record]) -> bytes:
    body = _encode(records)
    return _FRAME.pack(len(body), _checksum(body)) + body


def _checksum(body: bytes) -> int:
    # zlib's takes thirty times as long: for a message of 23 kB a tenth of all that is done for it.
    return xxh3_64_intdigest(body) & 0xFFFFFFFF


def _head(secret: str, magic: bytes = _MAGIC) -> bytes:
    # Whose journal it is: an id may be given to another hub once its first bearer is gone.
    return magic + sha256(secret.encode()).digest()[:_IDENTITY_SIZE]


def read_journal(data: bytes, secret: str) -> tuple[list[Record], int]:
    """Read a journal's content.

    Parameters
    ----------
    data : bytes
        The whole file.
    secret : str
        The hub's.

    Returns
    -------
    list of Record
        What it holds; nothing if it is another hub's.
    int
        Where its last whole frame ends, bytes; 0 if it is another hub's.

    Raises
    ------
    DamagedJournal
        It is no journal, or damaged before its end.
    LaterJournal
        It is a later release's.
    """
    magic = data[: len(_MAGIC)]
    if (version := _VERSION.match(data)) and int(version[1]) > _OURS:
        raise LaterJournal(
            f"the journal was written by a later release of hubfarm (version {int(version[1])}, and this one reads "
            f"{_OURS}): install that release again, or end the hub with it first"
        )
    if magic not in (_MAGIC[: len(data)], _MAGIC_BEFORE[: len(data)]):
        raise DamagedJournal("not a journal")
    checksum_of = _checksum if magic == _MAGIC else zlib.crc32
    head = _head(secret, magic)
    if data[: len(head)] != head:
        return [], 0
    records: list[Record] = []
    position = len(head)
    while position < len(data):
        start = position + _FRAME.size
        if start > len(data):
            break
        size, checksum = _FRAME.unpack_from(data, position)
        body = data[start : start + size]
        if len(body) < size:
            break
        if checksum_of(body) != checksum:
            if start + size == len(data):
                break  # its pages were not all written: the last frame, and cut short as well
            raise DamagedJournal(f"the frame at byte {position} is damaged")
        try:
            records += _decode(body)
        except (msgspec.DecodeError, ValueError) as error:
            raise DamagedJournal(f"the frame at byte {position} cannot be read: {error}") from None
        position = start + size
    return records, position


def check_journal(path: Path, secret: str) -> None:
    """Look whether this release can go on from a journal; a worker may be writing to it meanwhile.

    Parameters
    ----------
    path : Path
        The journal; it is all right if there is none.
    secret : str
        The hub's.

    Raises
    ------
    HubfarmError
        It cannot: the message says why.
    """
    try:
        records, _ = read_journal(path.read_bytes(), secret)
        recall(records, 0.0)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HubfarmError(f"{path}: {error.strerror}") from None
    except HubfarmError as error:
        raise HubfarmError(f"{path}: {error}") from None


def set_aside(path: Path) -> Path:
    """Give a journal another name, for somebody to look at; return it."""
    name = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    numbered = (path.with_name(f"{name}-{number}") for number in count(1))
    aside = next(each for each in numbered if not os.path.lexists(each))
    os.replace(path, aside)
    return aside


def remove_journal(path: Path) -> None:
    """Remove a journal and all that lies beside it, but for what was set aside."""
    beside = (path.with_name(f"{path.name}.{what}") for what in ("mark", "new", "changes"))
    for each in (path, *beside, *_files_of(path)):
        with contextlib.suppress(OSError):
            each.unlink()


def _mark_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.mark")


def _files_of(path: Path) -> list[Path]:
    """Return the files of the large messages beside a journal."""
    prefix = f"{path.name}.message-"
    try:
        names = os.listdir(path.parent)  # by `Path.glob`, a worker has 0.1 MB more of its own
    except OSError:
        return []
    return [path.with_name(name) for name in sorted(names) if name.startswith(prefix)]


class Journal:
    """The journal of one hub, open for writing.

    Parameters
    ----------
    path : Path
        Where it lies.
    secret : str
        The hub's: tells its journal from an earlier hub's of the same id.
    ledger : Ledger
        What it keeps; noting its changes.
    """

    def __init__(self, path: Path, secret: str, ledger: Ledger) -> None:
        self.path = path
        self._secret = secret
        self._ledger = ledger
        self._descriptor = -1
        self._size = 0
        self._shortest = 0
        self._shorter: _Shorter | None = None
        self._keeping_soon = False
        self._mark = -1
        self._numbers = count(1)
        self._lacking = False
        """Something could not be written: the file has to be written anew."""
        self._trouble = ""

    def open(self, now: float) -> int:
        """Restore the state from what a predecessor has left, and go on from there.

        Parameters
        ----------
        now : float
            The time, seconds; see `hubfarm.hub.recall.recall`.

        Returns
        -------
        int
            How many clients came back.

        Raises
        ------
        HubfarmError
            The file cannot be made.
        """
        try:
            recalled, end, magic = self._read(now)
            self.path.with_name(f"{self.path.name}.new").unlink(missing_ok=True)
            self._descriptor = _open(self.path)
            os.ftruncate(self._descriptor, end)
            self._size = end
            if end == 0:
                _write_whole(self._descriptor, _head(self._secret))
                self._size = len(_head(self._secret))
            if recalled is not None:
                self._ledger.restore(recalled)
            if magic == _MAGIC_BEFORE:
                self._write_anew()
            else:
                self.keep()
        except OSError as error:
            raise HubfarmError(f"cannot make the journal {self.path}: {error.strerror}") from None
        for path in _files_of(self.path):
            if path.name not in self._ledger.files:
                self.drop(path.name)
        return len(self._ledger.clients)

    def _read(self, now: float) -> tuple[Recalled | None, int, bytes]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None, 0, b""
        with open(descriptor, "rb") as file:
            data = file.read()
        try:
            records, end = read_journal(data, self._secret)
            recalled = recall(records, now, self._load) if records else None
        except (DamagedJournal, Nonsense) as error:
            logger.error("the journal {}: {}; set aside as {}", self.path, error, set_aside(self.path))
            return None, 0, b""
        if 0 < end < len(data):
            logger.warning("the journal's last frame was cut short, and is dropped ({} bytes)", len(data) - end)
        return recalled, end, data[: len(_MAGIC)]

    # ------------------------------------------------------------------ writing

    def keep(self) -> None:
        """Write down what has changed; before an answer that tells of it."""
        if not self._ledger.has_changed:
            return
        changes = self._ledger.take_changes()
        if changes:
            data = _frame(changes)
            self._write(data)
            if self._shorter is not None:
                self._shorter.write(data)
            elif self._size > max(MIN_SIZE, GROWTH * self._shortest):
                self._make_shorter()
        for name in self._ledger.take_files():
            self.drop(name)

    def keep_soon(self) -> None:
        """Write down what has changed before the loop waits again; for what nobody is told of."""
        if not self._keeping_soon:
            self._keeping_soon = True
            asyncio.get_running_loop().call_soon(self._keep_now)

    def _keep_now(self) -> None:
        self._keeping_soon = False
        self.keep()

    def _write(self, data: bytes) -> None:
        try:
            _write_whole(self._descriptor, data)
            self._size += len(data)
        except OSError as error:
            # The hub goes on: to refuse every message would help nobody.  What it knows is
            # written anew as soon as there is room; until then no frame may stand behind half a one.
            self._lacking = True
            self._say_once(f"the journal cannot be written ({error.strerror}): a crash now would lose messages")
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            logger.error("{}", trouble)

    # ------------------------------------------------------------------ large messages, and the mark

    def store(self, data: bytes) -> str:
        """Write a large message to a file of its own, and return its name; empty if that fails (a full disk, say).

        May be called in a thread: it touches nothing but that file.
        """
        path = self.path.with_name(f"{self.path.name}.message-{os.getpid()}-{next(self._numbers)}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                _write_whole(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("a large message cannot be put into a file ({}): the journal takes it", error.strerror)
            with contextlib.suppress(OSError):
                path.unlink()
            return ""
        return path.name

    def drop(self, name: str) -> None:
        """Remove the file of a large message."""
        with contextlib.suppress(OSError):
            self.path.with_name(name).unlink()

    def _load(self, name: str) -> bytes | None:
        if not name.startswith(f"{self.path.name}.message-") or "/" in name:
            return None
        try:
            descriptor = os.open(self.path.with_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                return file.read()
        except OSError as error:
            logger.error("the file {} of a large message cannot be read ({}): it is lost", name, error.strerror)
            return None

    def mark(self, number: int) -> None:
        """Note which delivery the worker has in hand; 0 for none."""
        try:
            if self._mark < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._mark = os.open(_mark_path(self.path), flags, 0o600)
            os.pwrite(self._mark, _MARK.pack(number), 0)
        except OSError as error:
            self._say_once(f"the mark beside the journal cannot be written: {error.strerror}")

    def marked(self) -> int:
        """Return the number of the delivery that a predecessor had in hand when it fell; 0 if that is not known."""
        try:
            return int(_MARK.unpack(_mark_path(self.path).read_bytes())[0])
        except (OSError, struct.error):
            return 0

    # ------------------------------------------------------------------ making it shorter

    def _make_shorter(self) -> None:
        try:
            self._shorter = _Shorter(self.path, self._secret, self._ledger.snapshot())
        except OSError as error:
            self._put_off_shortening(error)
            return
        asyncio.get_running_loop().call_soon(self._go_on_shortening)

    def _go_on_shortening(self) -> None:
        shorter = self._shorter
        if shorter is None or self._descriptor < 0:
            return
        try:
            if not shorter.write_portion():
                asyncio.get_running_loop().call_soon(self._go_on_shortening)
                return
            self._take(shorter)
        except OSError as error:
            shorter.give_up()
            self._shorter = None
            self._put_off_shortening(error)
            return
        if self._trouble:
            logger.warning("the journal is whole again")
        self._lacking = False
        self._trouble = ""

    def _write_anew(self) -> None:
        """Write the whole state at once, before anything is added: all of a file is of one version."""
        self._ledger.take_changes()
        whole = _Shorter(self.path, self._secret, self._ledger.snapshot())
        while not whole.write_portion():
            pass
        self._take(whole)

    def _take(self, shorter: "_Shorter") -> None:
        """Go on with a shorter journal that is complete."""
        descriptor = shorter.take_over(self.path)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._shorter = None
        self._size = self._shortest = shorter.size

    def _put_off_shortening(self, error: OSError) -> None:
        self._say_once(f"the journal cannot be written anew: {error.strerror}")
        self._shortest = 2 * self._size // GROWTH  # not again before it is twice as large

    def mend(self) -> bool:
        """Write the whole state anew if the file is gone or lacks something; tell whether that was necessary."""
        try:
            lost = os.stat(self.path).st_ino != os.fstat(self._descriptor).st_ino
        except OSError:
            lost = True
        if lost:
            self._say_once("the journal is gone: it is written anew")
        if (lost or self._lacking) and self._shorter is None:
            self._make_shorter()
            return True
        return False

    def close(self) -> None:
        """Close the file, and leave it to a successor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._mark >= 0:
            os.close(self._mark)
            self._mark = -1
        if self._shorter is not None:
            self._shorter.give_up()
            self._shorter = None

    def remove(self) -> None:
        """Close the file and remove it: the hub has ended in order."""
        self.close()
        remove_journal(self.path)


class _Shorter:
    """A shorter journal in the making, beside the one in use."""

    def __init__(self, path: Path, secret: str, snapshot: Iterator[Record]) -> None:
        self.size = 0
        self._path = path.with_name(f"{path.name}.new")
        self._snapshot = snapshot
        self._path.unlink(missing_ok=True)
        self._descriptor = _open(self._path)
        self._failed: OSError | None = None
        self.write(_head(secret))

    def write(self, data: bytes) -> None:
        """Append what has changed meanwhile; a failure shows at the next portion."""
        try:
            _write_whole(self._descriptor, data)
            self.size += len(data)
        except OSError as error:
            self._failed = error

    def write_portion(self) -> bool:
        """Append some of the state; tell whether that was the last of it."""
        done, frames = _portion(self._snapshot)
        self.write(b"".join(frames))
        if self._failed is not None:
            raise self._failed
        return done

    def take_over(self, path: Path) -> int:
        """Take the old journal's name; return the descriptor to go on with."""
        os.replace(self._path, path)
        return self._descriptor

    def give_up(self) -> None:
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


def _portion(records: Iterable[Record]) -> tuple[bool, list[bytes]]:
    frames: list[bytes] = []
    size = 0
    for record in records:
        frames.append(_frame([record]))
        size += len(frames[-1])
        if size >= PORTION:
            return False, frames
    return True, frames


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _write_whole(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])
