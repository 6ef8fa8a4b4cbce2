"""The farm as it was seen last: its hubs, and what each has done in the last minutes.

Lock files, the state table and the history are read, and no hub is asked.  The table is read once a second; lock files
when something has changed in their directory, or every few seconds.  Once, however many look on.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import psutil
from loguru import logger

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName, Record, read_records
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.rhythm import HUNG_AFTER
from hubfarm.spec.states import HubKind, HubState

LOOK_EVERY = 1.0
"""Between two looks at the state table, seconds."""

READ_AGAIN = 5.0
"""The lock files are read again after so long, also if their directory is as it was, seconds."""

LINE = 90
"""So many looks are kept of each hub's rate."""

MEASURED_AT_ONCE = 25
"""Processes whose memory is measured at a look: the kernel takes up to a millisecond for each."""


@dataclass(slots=True)
class Seen:
    """One hub as it was seen last.

    Parameters
    ----------
    hub : HubInfo
        What the registry says.
    record : Record or None
        What it says of itself.
    rate : float
        Messages a second that it has taken since the look before.
    cpu : float
        Percent of one processor that its process has taken since then.
    memory : int
        What its process takes: its proportional share (PSS), bytes; 0 until it was measured.
    line : deque of float
        Its rate at the last looks, the oldest first.
    """

    hub: HubInfo
    record: Record | None = None
    rate: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    line: deque[float] = field(default_factory=lambda: deque(maxlen=LINE))
    _at: float = 0.0
    _accepted: int = 0
    _busy: float | None = None

    @property
    def state(self) -> HubState:
        """What it is doing."""
        if self.record is None or not self.hub.alive or self.hub.state is HubState.DORMANT:
            return self.hub.state  # a hub that sleeps has left its record behind, and beats no more
        return HubState.HUNG if time.monotonic() - self.record.beat > HUNG_AFTER else self.record.state

    def note(self, record: Record | None, busy: float | None, now: float) -> None:
        """Note what it says of itself now, and how much processor time its process has taken in all, seconds."""
        passed = now - self._at
        if record is not None and self.record is not None and record.name == self.record.name and passed > 0:
            self.rate = max(0.0, (record.accepted - self._accepted) / passed)
        else:
            self.rate = 0.0
        if busy is not None and self._busy is not None and passed > 0:
            self.cpu = max(0.0, 100 * (busy - self._busy) / passed)
        self.record, self._accepted, self._busy, self._at = record, record.accepted if record else 0, busy, now
        self.line.append(self.rate)


def key_of(hub: HubInfo) -> str:
    """Return what a hub is called between page and server; as long as it is the same hub, restarts included."""
    if not hub.alive:
        return f"ended:{hub.label or hub.id}"
    if hub.kind is HubKind.SHARED:
        return f"shared:{hub.account}:{hub.id}"
    if hub.kind is HubKind.FOREIGN or hub.id is None:
        return f"foreign:{hub.lock_file.name}"
    return str(hub.id)


class Lookout:
    """Looks at one farm.

    Parameters
    ----------
    paths : Paths
        Where its files lie.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._farm = Farm(paths)
        self.seen: dict[str, Seen] = {}
        self.trouble = ""
        """Why nothing was seen at the last look; empty if all was."""
        self.coordinator: dict[str, Any] | None = None
        self._looks = 0
        self._looked = asyncio.Condition()
        self._looking = asyncio.Lock()
        self._read_at = -READ_AGAIN
        self._stamp: tuple[int, ...] = ()
        self._processes: dict[int, psutil.Process] = {}
        self._measured: list[str] = []

    # ------------------------------------------------------------------ looking

    async def run(self) -> None:
        """Look until this is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self, *, anew: bool = False) -> None:
        """Look once.

        Parameters
        ----------
        anew : bool
            Read the lock files also if nothing seems to have changed.
        """
        async with self._looking:  # or what was seen earlier may be noted later
            if anew:
                self._read_at = -READ_AGAIN
            try:
                await asyncio.to_thread(self._look)
                self.trouble = ""
            except HubfarmError as error:
                self.trouble = str(error)
            except Exception as error:
                logger.opt(exception=error).error("the farm could not be looked at")
                self.trouble = "the farm cannot be looked at: the dashboard's log says more"
        async with self._looked:
            self._looks += 1
            self._looked.notify_all()

    def sleeps(self, key: str) -> bool:
        """Tell whether a hub slept when it was seen last."""
        seen = self.seen.get(key)
        return seen is not None and seen.hub.state is HubState.DORMANT

    async def looks(self) -> AsyncIterator[None]:
        """Yield now, if there was a look, and after each further one."""
        done = 0
        while True:
            async with self._looked:
                while self._looks == done:
                    await self._looked.wait()
                done = self._looks
            yield

    def _look(self) -> None:
        now = time.monotonic()
        stamp = self._stamps()
        if stamp != self._stamp or now - self._read_at >= READ_AGAIN:
            self._stamp, self._read_at = stamp, now
            self._read_hubs()
        records = read_records(self._paths.state_table)
        for seen in self.seen.values():
            name = seen.hub.names.name if seen.hub.alive else None
            record = records.get(name) if isinstance(name, HubName) else None
            seen.note(record, self._busy(seen.hub) if record is not None else None, time.monotonic())
        self._measure()

    def _stamps(self) -> tuple[int, ...]:
        stamps = []
        for path in (self._paths.lockdir, self._paths.history, self._paths.coordinator_guard):
            try:
                stamps.append(os.stat(path).st_mtime_ns)
            except OSError:
                stamps.append(0)
        return tuple(stamps)

    def _read_hubs(self) -> None:
        found: dict[str, Seen] = {}
        for hub in self._farm.hubs():
            key = key_of(hub)
            seen = self.seen.get(key) or Seen(hub)
            seen.hub = hub
            found[key] = seen
        self.seen = found  # at once: others read it meanwhile
        self._measured = [key for key in self._measured if key in self.seen]
        known = set(self._measured)
        self._measured = [key for key in self.seen if key not in known] + self._measured
        living = {seen.hub.pid for seen in self.seen.values() if seen.hub.alive}
        self._processes = {pid: process for pid, process in self._processes.items() if pid in living}
        try:
            self.coordinator = self._farm.coordinator()
        except HubfarmError as error:
            self.coordinator = {"problem": str(error)}

    # ------------------------------------------------------------------ their processes

    def _process(self, hub: HubInfo) -> psutil.Process | None:
        if hub.pid is None or hub.kind is HubKind.FOREIGN:
            return None
        if hub.pid not in self._processes:
            with contextlib.suppress(psutil.Error):
                self._processes[hub.pid] = psutil.Process(hub.pid)
        return self._processes.get(hub.pid)

    def _busy(self, hub: HubInfo) -> float | None:
        process = self._process(hub)
        if process is None:
            return None
        try:
            times = process.cpu_times()
        except psutil.Error:
            self._processes.pop(process.pid, None)
            return None
        return float(times.user + times.system)

    def _measure(self) -> None:
        """Measure the memory of those that were measured longest ago."""
        due, rest = self._measured[:MEASURED_AT_ONCE], self._measured[MEASURED_AT_ONCE:]
        for key in due:
            seen = self.seen[key]
            process = self._process(seen.hub) if seen.hub.alive else None
            with contextlib.suppress(psutil.Error, OSError):
                seen.memory = process.memory_full_info().pss if process else 0
        self._measured = rest + due
