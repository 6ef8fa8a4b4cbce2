"""End hubs of every kind, and wait until they are gone: by the coordinator those that it runs, by signal the others.

It is given hubs that were chosen already, and refuses those that end with another program.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubfarm.registry.listing import HubInfo
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.states import HubKind

if TYPE_CHECKING:
    from hubfarm.control.client import ControlClient

STOP_TIMEOUT = 15.0
"""How long a hub that is ended by signal may take, and a coordinator that is asked to end, seconds."""

OTHERS = (HubKind.FOREIGN, HubKind.EMBEDDED, HubKind.SHARED)
"""Kinds of hubs whose processes are other programs."""

LOOK_EVERY = 0.02
"""Between two looks at a hub that is being drained, seconds."""

Progress = Callable[[str], None]
"""Told the name of each hub as it is gone."""


class Ender:
    """Ends hubs.

    Parameters
    ----------
    lockdir : LockDir
        Tells by the guards who lives.
    control : ControlClient
        Asks the coordinator.
    supervised : callable
        Returns the ids of the hubs that the coordinator looks after, none if none runs.
    """

    def __init__(self, lockdir: LockDir, control: "ControlClient", supervised: Callable[[], Collection[int]]) -> None:
        self._lockdir = lockdir
        self._control = control
        self._supervised = supervised

    def stop(self, hubs: Sequence[HubInfo], progress: Progress) -> None:
        """End hubs in order.

        Raises
        ------
        HubfarmError
            One did not end in time.
        """
        supervised = self._supervised()
        ours = [hub for hub in hubs if hub.kind is HubKind.FARM and hub.id in supervised]
        others = [hub for hub in hubs if hub not in ours]  # not by id: a standalone hub may have the same
        for hub in others:
            self._signal(hub, signal.SIGTERM)
        names = {hub.id: hub.name for hub in ours if hub.id is not None}
        if names:
            for told in self._control.stop(list(names)):
                progress(names[told.id])
        for hub in others:
            if not wait_until_free(self._lockdir.guard_path(_name(hub))):
                raise HubfarmError(
                    f"the hub {hub.name} has not ended within {STOP_TIMEOUT:g} s: kill -9 {hub.pid}, then hubfarm gc"
                )
            progress(hub.name)

    def drain(self, hubs: Sequence[HubInfo], wait: float, progress: Progress) -> None:
        """Let hubs take no new clients, deliver what is queued, and then end.

        Parameters
        ----------
        hubs : sequence of HubInfo
            Which.
        wait : float
            How long each may take; then it is stopped as it is, seconds.
        progress : callable
            Told the name of each hub as it is gone.

        Raises
        ------
        HubfarmError
            One did not end.
        """
        for hub in hubs:
            self._signal(hub, signal.SIGUSR1)
        deadline = time.monotonic() + wait
        for hub in hubs:
            while not self._is_gone_for_good(hub):
                if time.monotonic() >= deadline:
                    self.stop([hub], lambda _: None)
                    break
                time.sleep(LOOK_EVERY)
            progress(hub.name)

    def _is_gone_for_good(self, hub: HubInfo) -> bool:
        """Tell whether a hub is gone: one that its coordinator will replace is not."""
        if self._lockdir.is_alive(_name(hub)):
            return False
        return hub.kind is not HubKind.FARM or hub.id not in self._supervised()

    def _signal(self, hub: HubInfo, number: signal.Signals) -> None:
        # The guard proves that the process is the hub, however PIDs were reused meanwhile.
        name = _name(hub)
        if self._lockdir.is_alive(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(name.pid, number)


def may_be_ended(hub: HubInfo) -> HubInfo:
    """Return a hub that hubfarm may end.

    Raises
    ------
    WrongUse
        It ends with another program.
    """
    process = "" if hub.pid is None else f"the process {hub.pid}"
    match hub.kind:
        case HubKind.EMBEDDED:
            raise WrongUse(f"the hub {hub.name} is embedded in {process}: it ends with that program")
        case HubKind.SHARED:
            raise WrongUse(f"the hub {hub.name} is the account's {hub.account}: that account ends it")
        case HubKind.FOREIGN:
            known = ", ".join(filter(None, (process, hub.problem))) or "hubfarm does not know which"
            raise WrongUse(f"the hub {hub.name} is foreign: it ends with the program that runs it ({known})")
    return hub


def wait_until_free(guard: Path, timeout: float = STOP_TIMEOUT) -> bool:
    """Wait until nobody holds `guard`; return False if somebody still does after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while guard_is_held(guard):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _name(hub: HubInfo) -> HubName:
    name = hub.names.name
    assert name is not None  # a hub that may be ended has one
    return name
