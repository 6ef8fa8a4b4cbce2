"""Where everything lies.

One `Paths` says it all, made from the environment: the lock directory ``~/.samp-1``, which
foreign clients read too, and the farm's own directory, one a host, as homes may lie on a
network file system.  Also here: what those directories must be like to be trusted.
"""

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubfarm.samp.errors import HubfarmError, WrongUse

RUNTIME_VARIABLE = "HUBFARM_RUNTIME_DIR"
SHARED_VARIABLE = "HUBFARM_SHARED_DIR"
SHARED = Path("/run/hubfarm")
MAX_SOCKET_PATH = 107
"""Longest path of a Unix socket, bytes (Linux; macOS has 103)."""

_LONGEST_SOCKET = "handover"

_BESIDE = ("users.lock", "web.lock", "web.html", "dashboard.html")
"""What lies beside files that are named below, and goes with them."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The places that a farm uses.

    Parameters
    ----------
    home : Path
        The user's home directory.
    runtime : Path
        The farm's own directory on this host.
    host : str
        This host's name, as lock files carry it.
    shared : Path
        The directory of the hubs that accounts of this host share.
    users_file : Path, optional
        The users and their passwords, whatever the settings say.

    Examples
    --------
    >>> paths = Paths.from_environment({"HOME": "/home/luigi"})
    >>> paths.lockdir
    PosixPath('/home/luigi/.samp-1')
    """

    home: Path
    runtime: Path
    host: str
    shared: Path = SHARED
    users_file: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Paths":
        """Derive the places from ``HOME`` and ``HUBFARM_RUNTIME_DIR``.

        Raises
        ------
        WrongUse
            ``HOME`` is not set or not an absolute path, or the farm's directory has so long
            a path that a Unix socket cannot lie in it.
        """
        home = Path(environ.get("HOME", ""))
        if not home.is_absolute():
            raise WrongUse(
                f"HOME is {environ.get('HOME', '')!r}: set it to your home directory, the lock files lie there"
            )
        host = socket.gethostname()
        named = environ.get(RUNTIME_VARIABLE)
        runtime = Path(named) if named else home / ".samp-1" / ".hubfarm" / host
        if not runtime.is_absolute():
            raise WrongUse(f"{RUNTIME_VARIABLE} is {named!r}: it must be an absolute path")
        longest = len(os.fsencode(runtime / _LONGEST_SOCKET))
        if longest > MAX_SOCKET_PATH:
            raise WrongUse(
                f"the path {runtime} is {longest - MAX_SOCKET_PATH} bytes too long for Unix sockets to lie in it: "
                f"set {RUNTIME_VARIABLE} to a shorter one, a directory of your own"
            )
        return cls(home, runtime, host, Path(environ.get(SHARED_VARIABLE) or SHARED))

    @property
    def single(self) -> Path:
        """The lock file of the standard's one hub."""
        return self.home / ".samp"

    @property
    def lockdir(self) -> Path:
        """The directory of the lock files ``samp-hub-<PID>-<ID>``."""
        return self.home / ".samp-1"

    @property
    def guards(self) -> Path:
        """The directory of the guards, one a lock file."""
        return self.runtime / "guards"

    @property
    def mutex(self) -> Path:
        """The lock under which guards, slots and stable names are made and swept."""
        return self.runtime / "mutex"

    @property
    def by_label(self) -> Path:
        """The directory of the stable names."""
        return self.runtime / "by-label"

    @property
    def state_table(self) -> Path:
        """The shared state table."""
        return self.runtime / "state"

    @property
    def logs(self) -> Path:
        """The directory of the log files."""
        return self.runtime / "logs"

    @property
    def control_socket(self) -> Path:
        """The coordinator's control API."""
        return self.runtime / "control"

    @property
    def handover_socket(self) -> Path:
        """Where workers hand their listening sockets to a new coordinator."""
        return self.runtime / "handover"

    @property
    def history(self) -> Path:
        """What ended when and why, one JSON object a line."""
        return self.runtime / "history"

    @property
    def journals(self) -> Path:
        """The directory of the hubs' journals."""
        return self.runtime / "journals"

    def journal(self, hub_id: int) -> Path:
        """Return the journal of the hub with this id."""
        return self.journals / f"hub-{hub_id}"

    @property
    def users(self) -> Path:
        """The users and their passwords, unless the settings name another file."""
        return self.runtime / "users"

    @property
    def tickets(self) -> Path:
        """The directory of the tickets; see `hubfarm.registry.tickets`."""
        return self.runtime / "tickets"

    @property
    def tls(self) -> Path:
        """The farm's own certificate, and that of the CA which signs it."""
        return self.runtime / "tls"

    @property
    def wanted(self) -> Path:
        """The directory of the hubs that are wanted; see `hubfarm.registry.wanted`."""
        return self.runtime / "wanted"

    @property
    def bridges(self) -> Path:
        """The directory of the bridges that are wanted; see `hubfarm.registry.bridges`."""
        return self.runtime / "bridges"

    @property
    def connections(self) -> Path:
        """The directory of the hubs elsewhere that are wanted here; see `hubfarm.registry.connections`."""
        return self.runtime / "connections"

    @property
    def web_socket(self) -> Path:
        """The gateway's Unix socket: what ``hubfarm web`` asks."""
        return self.runtime / "web"

    @property
    def web_guard(self) -> Path:
        """The lock that the one running gateway holds."""
        return self.runtime / "web.guard"

    @property
    def web_memory(self) -> Path:
        """What is remembered of web pages; see `hubfarm.registry.web_memory`."""
        return self.runtime / "web.toml"

    @property
    def web_pages(self) -> Path:
        """The pages that are on the farm's hubs, for a gateway that takes a killed one's place."""
        return self.runtime / "web.pages"

    @property
    def web_token(self) -> Path:
        """The token by which the user's browser shows that it is the user's."""
        return self.runtime / "web.token"

    @property
    def dashboard(self) -> Path:
        """Where the account's dashboard listens, and the token that opens it; while it runs."""
        return self.runtime / "dashboard"

    @property
    def dashboard_guard(self) -> Path:
        """The lock that the dashboard holds which the account finds again."""
        return self.runtime / "dashboard.guard"

    @property
    def switchboard(self) -> Path:
        """Where the host's switchboard is found, which hands web pages to accounts."""
        return self.shared / "switchboard"

    @property
    def coordinator_guard(self) -> Path:
        """The lock that the one running coordinator holds."""
        return self.runtime / "coordinator"

    @property
    def start_guard(self) -> Path:
        """The lock under which a coordinator is started."""
        return self.runtime / "start"

    @property
    def homes(self) -> Path:
        """The directory of the homes that programs are shown; see `hubfarm.registry.homes`."""
        return self.runtime / "homes"

    @property
    def asked(self) -> Path:
        """Who asked for the end of hubs that are ending; see `hubfarm.registry.asked`."""
        return self.runtime / "asked"

    @property
    def scratch(self) -> Path:
        """The temporary files of the coordinator's forkserver."""
        return self.runtime / "scratch"

    @property
    def contents(self) -> list[Path]:
        """All that a farm ever has in its own directory."""
        named = [name for name, value in vars(Paths).items() if isinstance(value, property) and name != "contents"]
        places = [getattr(self, name) for name in named] + [self.runtime / name for name in _BESIDE]
        return [place for place in places if place.parent == self.runtime]

    def prepare(self) -> "Paths":
        """Make the directories that are missing, and check all of them.

        Raises
        ------
        HubfarmError
            One is a file, belongs to somebody else, may be written by others, or cannot be
            made or written.
        """
        for directory in self._directories():
            try:
                directory.mkdir(mode=0o700, exist_ok=True)
            except FileExistsError:
                raise HubfarmError(f"{directory} is a file and must be a directory: move it away") from None
            except OSError as error:
                raise HubfarmError(f"cannot make the directory {directory}: {error.strerror}") from None
            check_directory(directory)
        return self

    def check_trusted(self) -> "Paths":
        """Check the directories that are there, and make none: before anything in them is read.

        Raises
        ------
        HubfarmError
            One is none, belongs to somebody else, or may be written by others: what is in it may be theirs.
        """
        for directory in self._directories():
            if os.path.lexists(directory):
                _check_trusted(directory)
        return self

    def _directories(self) -> list[Path]:
        directories = [self.lockdir, self.runtime, self.guards, self.by_label, self.logs, self.journals]
        directories += [self.wanted, self.homes, self.asked, self.scratch, self.tickets, self.tls]
        directories += [self.bridges, self.connections]
        if self.runtime.is_relative_to(self.lockdir):
            directories.insert(1, self.runtime.parent)
        return directories


def check_directory(directory: Path) -> None:
    """Refuse a directory that others could tamper with, or that we cannot write.

    Raises
    ------
    HubfarmError
        `directory` is missing, a file or a symbolic link, belongs to another user, may be
        written by group or others, or not by us.
    """
    _check_trusted(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise HubfarmError(f"cannot write in {directory}: chmod u+wx {directory}")


def check_safe(directory: Path, remedy: str) -> None:
    """Refuse a directory in which others could remove or replace what is not theirs.

    Parameters
    ----------
    directory : Path
        The directory.
    remedy : str
        What to do about one that others may write, as ``chmod +t``.

    Raises
    ------
    HubfarmError
        It is missing, no directory, another account's than root's or ours, or writable by others and not sticky.
    """
    try:
        status = directory.lstat()
    except OSError as error:
        raise HubfarmError(f"cannot use {directory}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise HubfarmError(f"{directory} is no directory")
    if status.st_uid not in (0, os.getuid()):
        raise HubfarmError(f"{directory} belongs to user {status.st_uid}: it must be root's, or yours")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise HubfarmError(f"others may remove what is yours in {directory}: {remedy} {directory}")


def _check_trusted(directory: Path) -> None:
    try:
        status = directory.lstat()
    except OSError as error:
        raise HubfarmError(f"cannot use the directory {directory}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise HubfarmError(f"{directory} must be a directory, and is none: move it away")
    if status.st_uid != os.getuid():
        raise HubfarmError(f"{directory} belongs to user {status.st_uid}, not to you: move it away")
    if status.st_mode & 0o022:
        raise HubfarmError(
            f"others may write in {directory} (mode {stat.S_IMODE(status.st_mode):04o}): chmod go-w {directory}"
        )
