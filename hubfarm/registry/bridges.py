"""The bridges of a farm: those that are wanted, and what each process tells of itself.

That a bridge is wanted is a file under ``bridges/``, by its name: the coordinator starts what is there, and ends what
is there no more.  Beside it lie the guard that its process holds, and its state.
"""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.bridge_spec import BridgeSpec, is_bridge_name
from hubfarm.spec.farm_file import Action, Change

_LONGEST = 2**20
"""Of a file, bytes."""

T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One bridge that is wanted.

    Parameters
    ----------
    spec : BridgeSpec
        What it is to be.
    by : str
        Which bridge it is among all that may join the same hubs: the older comes before, as text.
    boot : str
        Since which boot of the host: nobody expects it back after another.
    """

    spec: BridgeSpec
    by: str
    boot: str


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
        wish = Wish(spec=spec, by=f"{time.time_ns():016x}", boot=boot_id())
        write_private(self.directory / spec.name, msgspec.json.encode(wish).decode())

    def drop(self, name: str) -> None:
        """Want a bridge no more."""
        with contextlib.suppress(OSError):
            (self.directory / name).unlink()

    def find(self, name: str) -> Wish | None:
        """Return what is wanted under a name."""
        return _read(self.directory / name, Wish)

    def all(self) -> list[Wish]:
        """Return all that are wanted, by name; what cannot be read is none."""
        try:
            names = sorted(path.name for path in self.directory.iterdir() if is_bridge_name(path.name))
        except OSError:
            return []
        return [wish for wish in map(self.find, names) if wish is not None]

    def match(self, declared: Sequence[BridgeSpec], changes: Sequence[Change]) -> None:
        """Write down what has to be done so that there is what a farm file declares.

        Parameters
        ----------
        declared : sequence of BridgeSpec
            What it declares.
        changes : sequence of Change
            What is to be done; see `hubfarm.spec.farm_file.difference_of_bridges`.

        Raises
        ------
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        to_do = {change.label.removeprefix("bridge "): change.action for change in changes}
        for name, action in to_do.items():
            if action is Action.STOP:
                self.drop(name)
        for spec in declared:
            if to_do.get(spec.name) in (Action.START, Action.REPLACE):
                self.want(spec)

    def guard(self, name: str) -> Path:
        """Return the lock that the bridge's process holds."""
        return self.directory / f"{name}.guard"

    def state(self, name: str) -> BridgeState | None:
        """Return what the bridge's process tells of itself; None if there is no process, or it has told nothing yet."""
        return _read(self._state_path(name), BridgeState) if guard_is_held(self.guard(name)) else None

    def tell(self, name: str, state: BridgeState) -> None:
        """Write down what a bridge's process tells of itself."""
        with contextlib.suppress(HubfarmError):  # a disk that is full; it is told again
            write_private(self._state_path(name), msgspec.json.encode(state).decode())

    def keys(self, name: str) -> dict[str, list[str]]:
        """Return the private keys of the clients that a bridge's process has, or had when it died, by their hubs."""
        return _read(self._keys_path(name), dict[str, list[str]]) or {}

    def keep_keys(self, name: str, keys: dict[str, list[str]]) -> None:
        """Write down which clients a bridge's process has, so that the next one can let them leave if it dies."""
        with contextlib.suppress(HubfarmError):
            write_private(self._keys_path(name), msgspec.json.encode(keys).decode())

    def clear(self, name: str) -> None:
        """Remove what a bridge has left that is wanted no more."""
        for path in (self.guard(name), self._state_path(name), self._keys_path(name)):
            with contextlib.suppress(OSError):
                path.unlink()

    def _state_path(self, name: str) -> Path:
        return self.directory / f"{name}.state"

    def _keys_path(self, name: str) -> Path:
        return self.directory / f"{name}.keys"


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(read_private(path, most=_LONGEST), type=kind)
    except (OSError, WrongUse, msgspec.DecodeError, RecursionError):
        return None
