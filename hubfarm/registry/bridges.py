"""The bridges of a farm: those that are wanted, and what each process tells of itself.

That a bridge is wanted is a file under ``bridges/``, by its name: the coordinator starts what is there, and ends what
is there no more.  Beside it lie the guard that its process holds, and its state.
"""

import contextlib
import re
from pathlib import Path

import msgspec

from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_LONGEST = 2**20
"""Of a state, bytes."""


class BridgeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a bridge is to be.

    Parameters
    ----------
    name : str
        Its name in the farm.
    hubs : tuple of str
        The hubs that it joins: labels, paths or URLs of lock files.
    export_urls : bool
        Serve the files that messages name to hubs on other hosts.
    by : str
        Which bridge it is among all that may join the same hubs: the older comes before, as text.
    boot : str
        Since which boot of the host: nobody expects it back after another.
    origin : str
        Of the farm file that declares it; empty for none.
    """

    name: str
    hubs: tuple[str, ...]
    export_urls: bool = True
    by: str
    boot: str = msgspec.field(default_factory=boot_id)
    origin: str = ""


class EndState(msgspec.Struct, frozen=True, kw_only=True):
    """One hub of a bridge.

    Parameters
    ----------
    hub : str
        As it was named.
    label : str
        What people call it.
    joined : bool
        The bridge is on it.
    clients : int
        Real ones on it: each is mirrored on the other hubs.
    proxies : int
        The clients of other hubs that it has.
    missing : int
        Those that it ought to have, and refuses.
    trouble : str
        Why it is not joined, or why some are missing; empty if all is well.
    """

    hub: str
    label: str
    joined: bool
    clients: int
    proxies: int
    missing: int
    trouble: str


class BridgeState(msgspec.Struct, frozen=True, kw_only=True):
    """What a bridge's process tells of itself.

    Parameters
    ----------
    pid : int
        The process.
    since : float
        Since when it runs, seconds since the epoch.
    ends : list of EndState
        Its hubs.
    """

    pid: int
    since: float
    ends: list[EndState]


def check_bridge_name(name: str) -> None:
    """Refuse what cannot be a bridge's name.

    Raises
    ------
    WrongUse
        It is empty, too long, or has other characters in it than letters, digits, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise WrongUse(f"not usable as a bridge's name: {name!r} (1 to 60 letters, digits, _ and -)")


class Bridges:
    """The bridges of one farm, on disk.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    """

    def __init__(self, paths: Paths) -> None:
        self.directory = paths.bridges

    def want(self, spec: BridgeSpec) -> None:
        """Write down that a bridge is wanted.

        Raises
        ------
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        write_private(self.directory / spec.name, msgspec.json.encode(spec).decode())

    def drop(self, name: str) -> None:
        """Want a bridge no more."""
        with contextlib.suppress(OSError):
            (self.directory / name).unlink()

    def find(self, name: str) -> BridgeSpec | None:
        """Return what is wanted under a name."""
        try:
            return msgspec.json.decode(read_private(self.directory / name), type=BridgeSpec)
        except (OSError, WrongUse, msgspec.DecodeError, RecursionError):
            return None

    def all(self) -> list[BridgeSpec]:
        """Return all that are wanted, by name; what cannot be read is none."""
        try:
            names = sorted(path.name for path in self.directory.iterdir() if _NAME.fullmatch(path.name))
        except OSError:
            return []
        return [spec for spec in map(self.find, names) if spec is not None]

    def guard(self, name: str) -> Path:
        """Return the lock that the bridge's process holds."""
        return self.directory / f"{name}.guard"

    def state(self, name: str) -> BridgeState | None:
        """Return what the bridge's process tells of itself; None if there is no process, or it has told nothing yet."""
        if not guard_is_held(self.guard(name)):
            return None
        try:
            return msgspec.json.decode(read_private(self._state_path(name), most=_LONGEST), type=BridgeState)
        except (OSError, WrongUse, msgspec.DecodeError, RecursionError):
            return None

    def tell(self, name: str, state: BridgeState) -> None:
        """Write down what a bridge's process tells of itself."""
        with contextlib.suppress(HubfarmError):  # a disk that is full; it is told again
            write_private(self._state_path(name), msgspec.json.encode(state).decode())

    def clear(self, name: str) -> None:
        """Remove what a bridge has left that is wanted no more."""
        for path in (self.guard(name), self._state_path(name)):
            with contextlib.suppress(OSError):
                path.unlink()

    def _state_path(self, name: str) -> Path:
        return self.directory / f"{name}.state"
