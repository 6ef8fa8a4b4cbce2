"""Who asked that a hub ends: noted by whoever asks, taken by whoever writes the hub's end into the history.

Under a common account the user tells little: the process and its session say more.  A note is for people: it
proves nothing, and where it cannot be written the hub ends all the same.
"""

import contextlib
import json
import os
import pwd
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import BadLockFile, HubfarmError

KEPT = 86400.0
"""A note that nobody has taken goes after so long, seconds."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked.

    Parameters
    ----------
    user : str
        The account, and the one that it was before ``sudo``.
    process : str
        The program and its PID.
    session : str
        The login session, its terminal, and the host it came from, as far as there are any.
    """

    user: str
    process: str
    session: str

    @classmethod
    def this(cls) -> Self:
        """Return who this process is."""
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container's account has no name
            user = f"user {os.getuid()}"
        before = os.environ.get("SUDO_USER", "")
        program = os.path.basename(sys.argv[0] if sys.argv and sys.argv[0] else sys.executable)
        return cls(
            user=f"{user} (sudo by {before})" if before else user,
            process=f"{program} {os.getpid()}",
            session=", ".join(filter(None, (_session(), _terminal(), _origin()))),
        )

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """Return who is told of.

        Raises
        ------
        TypeError
            Nobody: somebody has damaged it.
        """
        asker = cls(**told)
        if not all(isinstance(getattr(asker, field.name), str) for field in fields(asker)):
            raise TypeError("who asked is no text")
        return asker

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.user, self.process, self.session)))


def _session() -> str:
    number = os.environ.get("XDG_SESSION_ID", "")
    return f"session {number}" if number else ""


def _terminal() -> str:
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            return os.ttyname(descriptor).removeprefix("/dev/")
    return ""


def _origin() -> str:
    host = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return f"from {host}" if host else ""


def note(paths: Paths, names: list[HubName]) -> None:
    """Note for some hubs that this process asks for their end."""
    text = json.dumps(asdict(Asker.this()))
    with contextlib.suppress(OSError):
        for old in paths.asked.iterdir():
            if time.time() - old.lstat().st_mtime > KEPT:
                old.unlink()
    for name in names:
        with contextlib.suppress(HubfarmError, OSError):
            write_private(_note(paths, name), text)


def take(paths: Paths, name: HubName) -> Asker | None:
    """Return who asked for a hub's end, if somebody did; the note is gone then."""
    path = _note(paths, name)
    try:
        return Asker.from_json(json.loads(read_private(path)))
    except (OSError, BadLockFile, ValueError, TypeError, RecursionError):
        return None
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _note(paths: Paths, name: HubName) -> Path:
    return paths.asked / str(name)
