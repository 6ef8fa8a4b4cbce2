"""The connections of a farm to hubs elsewhere: those that are wanted, and what each process tells of itself.

Beside that lies what the next process has to know if one dies: how it is found, and who is in.
"""

from pathlib import Path

import msgspec

from hubfarm.registry.files import write_private
from hubfarm.registry.paths import Paths
from hubfarm.registry.wished import Wished, read
from hubfarm.spec.connection_spec import ConnectionSpec


class ConnectionState(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection's process tells of itself.

    Parameters
    ----------
    pid : int
        The process.
    since : float
        Since when it runs, seconds since the epoch.
    up : bool
        The hub is reached.
    changed : float
        Since when that is so, seconds since the epoch.
    clients : int
        Programs of this host that are in.
    lost : int
        How often the line was lost.
    failures : int
        Tries that have failed since it was reached last.
    trouble : str
        Why the hub is not reached; empty if all is well.
    """

    pid: int
    since: float
    up: bool
    changed: float
    clients: int
    lost: int
    failures: int
    trouble: str


class Kept(msgspec.Struct, kw_only=True):
    """What the next process of a connection goes on with.

    Parameters
    ----------
    id : int
        That of its lock file.
    secret : str
        Admits a client.
    port : int
        Where it listens.
    file_port, far_port : int
        Where the other host's files are read here, and this host's there; 0 for nowhere yet.
    clients : dict of str to str
        Private keys of those that are in, and where each listens; empty for nowhere.
    files : dict of str to str
        Files that messages have named, by what stands for each in a URL.
    """

    id: int = 0
    secret: str = ""
    port: int = 0
    file_port: int = 0
    far_port: int = 0
    clients: dict[str, str] = msgspec.field(default_factory=dict)
    files: dict[str, str] = msgspec.field(default_factory=dict)


class Connections(Wished[ConnectionSpec, ConnectionState]):
    """The connections of one farm, on disk.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    """

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths.connections, ConnectionSpec, ConnectionState)

    def kept(self, name: str) -> Kept:
        """Return what a process of a connection goes on with."""
        return read(self._kept_path(name), Kept) or Kept()

    def keep(self, name: str, kept: Kept) -> None:
        """Write down what the next process is to go on with.

        Raises
        ------
        HubfarmError
            The disk is full.
        """
        write_private(self._kept_path(name), msgspec.json.encode(kept).decode())

    def more_files(self, name: str) -> list[Path]:  # noqa: D102  # as its class says
        return [self._kept_path(name)]

    def master(self, name: str) -> Path:
        """Return where the ssh listens that the user has opened, by typing a password, say."""
        return self.directory / f"{name}.ssh"

    def _kept_path(self, name: str) -> Path:
        return self.directory / f"{name}.kept"
