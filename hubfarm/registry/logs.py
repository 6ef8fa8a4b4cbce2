"""Log files: one a hub, one for the coordinator, rotated, by loguru.

Rule: a process aims its own sink once it runs, and never writes to a file it inherited over a fork.
Values of variables are kept out of tracebacks: they may be secrets.  What looks like a key is
kept out of messages: a client that mixes up its parameters gets a fault that names its key, and its
own faults may name it too.  What does not print is written out: people look at logs on terminals.
"""

import contextlib
import os
import re
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from hubfarm.registry.files import file_identity
from hubfarm.samp.errors import HubfarmError
from hubfarm.visible import visible

if TYPE_CHECKING:
    from loguru import Record

ROTATION = 10 * 10**6
"""Longest log file, bytes."""
RETENTION = 3
"""How many old ones are kept; ``.1`` is the youngest."""
_KEY = re.compile("[0-9a-f]{32,}")
_FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level:<7} {extra[who]}: {message}"


def log_to(path: Path | None, who: str, level: str) -> None:
    """Send this process's log to `path` (mode 0600), or to standard error if it is None.

    Parameters
    ----------
    path : Path or None
        The file.
    who : str
        What each line says wrote it: a hub's name, or ``coordinator``.
    level : str
        One of `hubfarm.registry.log_reading.LEVELS`; what is below it is left out.

    Raises
    ------
    HubfarmError
        The file cannot be written.
    """
    logger.configure(extra={"who": who}, patcher=_clean)
    if path is None:
        _add(sys.stderr, level)
        return
    if (sink := _made.get(level)) is None:
        sink = make_sink(level)
    try:
        sink.aim(path)
    except OSError as error:
        raise HubfarmError(f"cannot write the log {path}: {error.strerror}") from None


class LogFile(RotatingFileHandler):
    """What a process logs to, wherever that lies: loguru's own file sink must know it from the first."""

    def __init__(self) -> None:
        super().__init__(os.devnull, maxBytes=ROTATION, backupCount=RETENTION, encoding="utf-8", delay=True)
        self._identity: tuple[int, int] | None = None

    def aim(self, path: Path) -> None:
        """Close what is open, and go on with `path`.

        Raises
        ------
        OSError
            It cannot be opened.
        """
        self._close_stream()
        self.baseFilename = str(path)
        self.stream = self._open()

    def close(self) -> None:
        """Close what is open; what is logged then is lost."""
        self._close_stream()
        self.baseFilename = os.devnull

    def write(self, line: str) -> None:
        """Append a line; loguru calls `flush` after it."""
        if self._is_elsewhere():
            self._close_stream()
        if self.stream is None:
            self.stream = self._open()
        if self.stream.tell() + len(line) > self.maxBytes:
            self._close_stream()
            self.doRollover()
            self.stream = self._open()
        self.stream.write(line)

    def _is_elsewhere(self) -> bool:
        """Tell whether somebody has moved the file away, or removed its directory."""
        try:
            return file_identity(os.stat(self.baseFilename)) != self._identity
        except OSError:
            return True

    def _close_stream(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            with contextlib.suppress(OSError):  # the disk is full: what it holds is lost, and said already
                stream.close()

    def _open(self) -> TextIOWrapper:
        try:
            stream = _append_to(self.baseFilename)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.baseFilename), mode=0o700, exist_ok=True)
            stream = _append_to(self.baseFilename)
        self._identity = file_identity(os.fstat(stream.fileno()))
        return stream


_made: dict[str, LogFile] = {}


def make_sink(level: str) -> LogFile:
    """Make this process's sink, which `log_to` aims; once before workers are forked.

    To make one takes loguru 4 ms and 2 MB: it looks for every directory of the standard library.
    """
    sink = LogFile()
    _add(sink, level)
    _made[level] = sink
    return sink


def log_errors_to(path: Path) -> None:
    """Let errors go to a file of their own too, beside the log.

    Raises
    ------
    HubfarmError
        It cannot be opened.
    """
    sink = LogFile()
    try:
        sink.aim(path)
    except OSError as error:
        raise HubfarmError(f"cannot write the log {path}: {error.strerror}") from None
    logger.add(sink, level="ERROR", format=_FORMAT, backtrace=False, diagnose=False)


def log_to_nowhere() -> None:
    """Close this process's log, until `log_to` opens one."""
    for sink in _made.values():
        sink.close()


def _add(sink: "LogFile | TextIO", level: str) -> None:
    logger.remove()
    _made.clear()
    logger.add(sink, level=level, format=_FORMAT, backtrace=False, diagnose=False)


def _clean(record: "Record") -> None:
    record["message"] = visible(_KEY.sub("(a key)", record["message"]), lines=True)


def _append_to(path: str) -> TextIOWrapper:
    return open(path, "a", encoding="utf-8", opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
