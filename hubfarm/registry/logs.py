"""Log files: one a hub, one for the coordinator, rotated, by loguru.

Rule: a process configures its own sink once it runs, and never inherits one over a fork.
Values of variables are kept out of tracebacks: they may be secrets.  What looks like a key is
kept out of messages: a client that mixes up its parameters gets a fault that names its key, and its
own faults may name it too.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from hubfarm.samp.errors import HubfarmError

if TYPE_CHECKING:
    from loguru import Record

ROTATION = "10 MB"
RETENTION = 3
LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
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
        One of `LEVELS`; what is below it is left out.

    Raises
    ------
    HubfarmError
        The file cannot be written.
    """
    logger.remove()
    logger.configure(extra={"who": who}, patcher=_hide_keys)
    if path is None:
        logger.add(sys.stderr, level=level, format=_FORMAT, backtrace=False, diagnose=False)
        return
    try:
        logger.add(
            path,
            level=level,
            format=_FORMAT,
            rotation=ROTATION,
            retention=RETENTION,
            backtrace=False,
            diagnose=False,
            watch=True,  # somebody may remove the directory, or move the file away
            opener=_open_private,
        )
    except OSError as error:
        raise HubfarmError(f"cannot write the log {path}: {error.strerror}") from None


def _hide_keys(record: "Record") -> None:
    record["message"] = _KEY.sub("(a key)", record["message"])


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
