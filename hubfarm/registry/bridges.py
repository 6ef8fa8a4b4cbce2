"""The bridges of a farm: those that are wanted, what each process tells of itself, and the clients that it has."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hubfarm.registry.files import write_private
from hubfarm.registry.paths import Paths
from hubfarm.registry.wished import Wished, read
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.bridge_spec import BridgeSpec
from hubfarm.spec.farm_file import Action, Change


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


class Bridges(Wished[BridgeSpec, BridgeState]):
    """The bridges of one farm, on disk.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    """

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths.bridges, BridgeSpec, BridgeState)

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

    def keys(self, name: str) -> dict[str, list[str]]:
        """Return the private keys of the clients that a bridge's process has, or had when it died, by their hubs."""
        return read(self._keys_path(name), dict[str, list[str]]) or {}

    def keep_keys(self, name: str, keys: dict[str, list[str]]) -> None:
        """Write down which clients a bridge's process has, so that the next one can let them leave if it dies."""
        with contextlib.suppress(HubfarmError):
            write_private(self._keys_path(name), msgspec.json.encode(keys).decode())

    def more_files(self, name: str) -> list[Path]:  # noqa: D102  # as its class says
        return [self._keys_path(name)]

    def _keys_path(self, name: str) -> Path:
        return self.directory / f"{name}.keys"
