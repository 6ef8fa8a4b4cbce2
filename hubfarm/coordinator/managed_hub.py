"""One hub of the farm as the coordinator sees it: what is wanted of it, and what is known."""

import asyncio
import socket
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hubfarm.coordinator.aftermath import Deaths
from hubfarm.coordinator.workers import Worker
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.spec.hub_spec import HubSpec


class Phase(StrEnum):
    """Where a hub is in its life."""

    WAITING = "waiting"
    """Its worker is to be forked, now or after a pause."""
    STARTING = "starting"
    """Its worker is forked, and does not serve yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    """Its worker is told to end."""
    GONE = "gone"


@dataclass(eq=False)
class ManagedHub:
    """One hub: changed by requests and by the supervisor's loop, in one thread.

    Parameters
    ----------
    spec : HubSpec
        What it is asked to be.
    sock : socket or None
        Its listening socket; None for an adopted hub that has not handed it over yet.
    url : str
        Its XML-RPC endpoint, once it serves.
    """

    spec: HubSpec
    sock: socket.socket | None
    url: str = ""
    phase: Phase = Phase.WAITING
    wanted: bool = True
    """Nobody has asked hubfarm to stop it."""
    replacing: bool = False
    """It is being ended so that a successor can start."""
    worker: Worker | None = None
    since: float = 0.0
    """When it entered its phase, monotonic seconds."""
    serving_since: float = 0.0
    """When its worker began to serve, monotonic seconds; 0 if it does not."""
    not_before: float = 0.0
    """When its worker may be forked, monotonic seconds."""
    deaths: Deaths = field(default_factory=Deaths)
    left: HubName | None = None
    """The worker before, whose files stay until its successor has its own."""
    failure: str = ""
    """Why its worker could not serve, by its own account."""
    hung: bool = False
    """Its worker missed its heartbeats and was killed."""
    last_beat: float = 0.0
    missed_beats: int = 0
    served: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done when it serves; an exception if it cannot."""
    gone: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def enter(self, phase: Phase) -> None:
        """Go on to another phase."""
        self.phase = phase
        self.since = time.monotonic()

    def has_waited(self, seconds: float) -> bool:
        """Tell whether it has been in its phase for so long."""
        return time.monotonic() - self.since >= seconds

    def is_settled(self) -> bool:
        """Tell whether nothing is to be done until its worker or a request says so."""
        return (
            self.phase is Phase.RUNNING
            and self.wanted
            and not self.replacing
            and self.worker is not None
            and bool(self.worker.descriptors())
        )

    @property
    def name(self) -> HubName | None:
        """Its ``<PID>-<ID>``, if a worker holds it."""
        return HubName(self.worker.pid, self.spec.id) if self.worker is not None else None

    def describe(self, paths: Paths) -> dict[str, Any]:
        """Return what is told of it to whoever asks the coordinator; no secrets."""
        name = self.name
        return {
            "id": self.spec.id,
            "label": self.spec.label,
            "owner": self.spec.owner,
            "group": self.spec.group,
            "phase": self.phase.value,
            "pid": name.pid if name else None,
            "url": self.url,
            "restarts": self.spec.restarts,
            "early_deaths": self.deaths.early,
            "falls": self.deaths.falls,
            "lock_file": str(LockDir(paths).lock_path(name)) if name else None,
            "stable_name": str(paths.by_label / self.spec.label),
        }
