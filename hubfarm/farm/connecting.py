"""Connections to hubs elsewhere, asked for and looked at."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hubfarm.registry.connections import Connections, ConnectionState
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import shown
from hubfarm.spec.connection_spec import ConnectionSpec, SshAddress, connection_name, ssh_address
from hubfarm.spec.ssh_command import LONGEST_MASTER, first_ssh_command, ssh_command

REACHED_IN = 75.0
"""How long a connection may take until it is there, seconds: what is slow is ssh, and jump hosts."""

HERE_IN = 20.0
"""How long its process may take to come up, seconds."""

ENDED_IN = 15.0
"""How long one may take to end, seconds."""

_LOOK = 0.05


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One connection.

    Parameters
    ----------
    spec : ConnectionSpec
        What it is to be.
    state : ConnectionState or None
        What its process tells of itself; None if there is none just now.
    failure : str
        Why it was given up; empty if it was not.
    """

    spec: ConnectionSpec
    state: ConnectionState | None
    failure: str = ""

    @property
    def label(self) -> str:
        """The label of the hub's door here."""
        return self.spec.label

    @property
    def shown_address(self) -> str:
        """Where the hub is, but for a share's secret."""
        return shown(self.spec.address)

    @property
    def is_up(self) -> bool:
        """Whether the hub is reached."""
        return self.state is not None and self.state.up

    @property
    def trouble(self) -> str:
        """Why the hub is not reached, for people; empty if it is."""
        if self.failure:
            return self.failure
        if self.state is None:
            return f"its process does not run; hubfarm logs connection-{self.spec.name} says more"
        return self.state.trouble


class FarmConnections:
    """The connections of a farm.

    Parameters
    ----------
    paths : Paths
        Where its files lie.
    ensure_coordinator : callable
        Sees to it that a coordinator runs.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> Farm().connections.all()
    []
    """

    def __init__(self, paths: Paths, ensure_coordinator: Callable[[], None]) -> None:
        self._paths = paths
        self._connections = Connections(paths)
        self._ensure_coordinator = ensure_coordinator

    def connect(
        self,
        address: str,
        *,
        label: str = "",
        ssh: Sequence[str] = ("ssh",),
        remote_hubfarm: str = "hubfarm",
        carry_files: bool = True,
        may_ask: bool = False,
    ) -> ConnectionInfo:
        """Bring a hub of another host here, and return the connection once the hub is reached.

        One that there is already is tried at once, if its line is lost.

        Parameters
        ----------
        address : str
            ``ssh://[USER@]HOST[:PORT]/LABEL``, or the lock file of a hub that speaks TLS, by its URL.
        label : str
            What it is called here; by default ``LABEL@HOST``.
        ssh : sequence of str
            What is run as ssh, with options.
        remote_hubfarm : str
            What the far host's shell runs as hubfarm.
        carry_files : bool
            Carry the files that messages name; by ssh alone.
        may_ask : bool
            ssh may ask the user, at this terminal.

        Raises
        ------
        WrongUse
            The address is none, or the label is in use.
        HubfarmError
            The hub is not reached; then there is no connection.
        """
        far = ssh_address(address)
        name_here = label or (f"{far.label}@{far.host}" if far is not None else _label_of(address))
        spec = ConnectionSpec(
            name=connection_name(name_here),
            label=name_here,
            address=address,
            ssh=tuple(ssh),
            remote_hubfarm=remote_hubfarm,
            carry_files=carry_files,
            agent=os.environ.get("SSH_AUTH_SOCK", ""),
        )
        self._paths.prepare()
        present = self._present(spec)
        if present is None and (holder := LockDir(self._paths).labels().get(spec.label)):
            raise WrongUse(f"the label {spec.label} is in use by the hub {holder}: choose another by --label")
        if present is not None and present.is_up:
            return present
        if far is not None and may_ask:
            self._open_master(spec, far)
        self._ensure_coordinator()
        before = 0
        if present is None or present.failure:
            if not guard_is_held(self._connections.guard(spec.name)):
                self._connections.clear(spec.name)  # what one before it has left
            self._connections.want(spec)
        else:
            before = 1 + (present.state.failures if present.state is not None else 0)  # one may be under way
            self._try_now(present)
        if trouble := self._trouble_in_reaching(spec.name, before):
            if present is None:
                self.end([spec.label])
            raise HubfarmError(f"the hub {spec.label} is not reached: {trouble}")
        return self.find(spec.label)

    def _present(self, spec: ConnectionSpec) -> ConnectionInfo | None:
        """Return the connection of this name, if there is one to the same hub.

        Raises
        ------
        WrongUse
            There is one to another.
        """
        for info in self.all():
            if info.spec.name == spec.name:
                if info.spec.address != spec.address and not info.failure:
                    raise WrongUse(
                        f"there is a connection {info.label} already, to another hub: choose another name by --label, "
                        f"or hubfarm disconnect {info.label}"
                    )
                return info
        return None

    def _open_master(self, spec: ConnectionSpec, far: SshAddress) -> None:
        """Let ssh ask the user whatever it has to, and keep its connection for those that ask nobody.

        Raises
        ------
        HubfarmError
            It has not come to the host; it has said why.
        """
        master = self._connections.master(spec.name)
        if len(os.fsencode(master)) > LONGEST_MASTER:
            return  # it cannot listen there: keys alone will do
        check = ssh_command(spec, far, master, control="check")
        try:
            if master.exists():
                if subprocess.run(check, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0:
                    return
                master.unlink(missing_ok=True)
            done = subprocess.run(first_ssh_command(spec, far, master), stdout=subprocess.DEVNULL)
        except OSError as error:
            raise HubfarmError(f"cannot run {spec.ssh[0]}: {error.strerror}") from None
        if done.returncode:
            raise HubfarmError(f"ssh has not come to {far.destination}: it ended with {done.returncode}")

    def _close_master(self, spec: ConnectionSpec) -> None:
        far = ssh_address(spec.address)
        master = self._connections.master(spec.name)
        if far is not None and master.exists():
            with contextlib.suppress(OSError):
                command = ssh_command(spec, far, master, control="exit")
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
            master.unlink(missing_ok=True)

    def _try_now(self, info: ConnectionInfo) -> None:
        if info.state is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(info.state.pid, signal.SIGUSR1)

    def _trouble_in_reaching(self, name: str, before: int) -> str:
        """Wait until a hub is reached; say what keeps it from that once more than `before` tries have failed."""
        begun = time.monotonic()
        while True:
            info = next((each for each in self.all() if each.spec.name == name), None)
            if info is None:
                return f"it could not be started; hubfarm logs connection-{name} says more"
            if info.is_up:
                return ""
            waited = time.monotonic() - begun
            tried = info.state is not None and info.state.failures > before
            if before and info.state is not None and info.state.failures == before:
                self._try_now(info)
            if info.failure or tried or waited > (REACHED_IN if info.state else HERE_IN):
                return info.trouble
            time.sleep(_LOOK)

    def all(self) -> list[ConnectionInfo]:
        """Return all connections, by label; those that were given up too."""
        wanted = [
            ConnectionInfo(wish.spec, self._connections.state(wish.spec.name)) for wish in self._connections.all()
        ]
        labels = {info.label for info in wanted}
        failed = [ConnectionInfo(each.spec, None, each.reason) for each in self._connections.failed()]
        return sorted([*wanted, *(info for info in failed if info.label not in labels)], key=lambda info: info.label)

    def find(self, label: str) -> ConnectionInfo:
        """Return one connection.

        Raises
        ------
        WrongUse
            There is none of that label.
        """
        for info in self.all():
            if label in (info.label, info.spec.name):
                return info
        labels = ", ".join(info.label for info in self.all())
        raise WrongUse(f"there is no connection {label!r}; there is {labels or 'none'}")

    def end(self, labels: Sequence[str]) -> None:
        """End connections, and return when their processes have ended; programs that are in leave the hubs.

        Raises
        ------
        WrongUse
            There is none of a label.
        HubfarmError
            One does not end.
        """
        chosen = [self.find(label) for label in labels]
        for info in chosen:
            self._connections.drop(info.spec.name)
        if not guard_is_held(self._paths.coordinator_guard):  # nobody else ends them
            self._signal(chosen, signal.SIGTERM)
        until = time.monotonic() + ENDED_IN
        for info in chosen:
            while guard_is_held(self._connections.guard(info.spec.name)):
                if time.monotonic() > until:
                    raise HubfarmError(f"the connection {info.label} has not ended within {ENDED_IN:g} s")
                time.sleep(_LOOK)
            self._close_master(info.spec)

    def renew(self) -> None:
        """End the processes for successors of the installed release; programs stay in."""
        self._signal(self.all(), signal.SIGQUIT)

    def _signal(self, chosen: Sequence[ConnectionInfo], number: signal.Signals) -> None:
        for info in chosen:
            if info.state is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(info.state.pid, number)

    def end_all(self) -> list[str]:
        """End all connections; return their labels.

        Raises
        ------
        HubfarmError
            One does not end.
        """
        labels = [info.label for info in self.all()]
        self.end(labels)
        return labels


def _label_of(address: str) -> str:
    """Return what the hub of a lock file is called here.

    Raises
    ------
    HubfarmError
        It cannot be read, or describes no hub.
    """
    from hubfarm.client.background import borrowed  # brings asyncio
    from hubfarm.client.discovery import read_hub
    from hubfarm.registry.entry import label_of
    from hubfarm.samp.lockfile import URL

    with borrowed() as background:
        tokens = background.run(read_hub(address))
    host = urlsplit(tokens[URL]).hostname or "elsewhere"
    return f"{label_of(tokens) or 'hub'}@{host}"
