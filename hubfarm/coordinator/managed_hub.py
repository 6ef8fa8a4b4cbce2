"""A hub of the farm as one kind of what the coordinator runs: a worker on a listening socket, with files that last.

The socket outlives the worker, so that programs which connect meanwhile wait; what a worker that died has left stays
until its successor has its own, so that they find it.  So a hub that sleeps is a socket, and what its last worker has
left (`hubfarm.registry.asleep`); a hub that has had none is published here.  Facts about a worker are read where they
lie: whether it lives from its guard or process, how it ended from what it left and from the history.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from loguru import logger

from hubfarm.control.protocol import HubStatus
from hubfarm.coordinator.life import Clock
from hubfarm.coordinator.refusal import Refusal
from hubfarm.coordinator.supervised import Ended, News, Serves, StaysAwake, Supervised
from hubfarm.coordinator.workers import Worker
from hubfarm.hub.keep.journal import remove_journal, set_aside
from hubfarm.prefork.worker_reports import Report
from hubfarm.registry.asleep import Sleeper
from hubfarm.registry.history import End, end_of, record_end
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from hubfarm.spec.rhythm import DRAIN
from hubfarm.spec.states import HubKind, Phase
from hubfarm.wire.sockets import bind
from hubfarm.wire.urls import base_url
from hubfarm.worker.announcement import lock_file_tokens

LOG_TAIL = 5
"""Lines of a failed hub's log that are kept in the history."""


class Workers(Protocol):
    """Where workers come from; see `hubfarm.coordinator.spawner.Spawner`."""

    def fork(self, spec: HubSpec, sock: socket.socket) -> Worker:
        """Fork a worker; `HubfarmError` if there is none."""

    def adopt(self, name: HubName) -> Worker:
        """Take over a worker; `ProcessLookupError` if it has died."""


class ManagedHub(Supervised):
    """One hub.

    Parameters
    ----------
    spec : HubSpec
        What it is asked to be.
    sock : socket or None
        Its listening socket; None for one that an earlier coordinator had: it is handed over, or bound anew.
    lockdir : LockDir
        Where its files lie.
    workers : Workers
        Where its workers come from.
    url : str
        Its XML-RPC endpoint; empty until it serves.
    left : HubName or None
        The worker before, whose files stay until its successor has its own.
    clock : callable
        Tells the time.
    """

    start_timeout: ClassVar[float] = 30.0
    stop_timeout: ClassVar[float] = DRAIN + 5.0

    def __init__(
        self,
        spec: HubSpec,
        sock: socket.socket | None,
        lockdir: LockDir,
        workers: Workers,
        *,
        url: str = "",
        left: HubName | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self.spec = spec
        self.sock = sock
        self.url = url
        self.left = left
        self.serving_since = 0.0
        """When its worker began to serve, by the clock; 0 if it does not."""
        self._lockdir = lockdir
        self._paths = lockdir.paths
        self._wanted = Wanted(lockdir.paths)
        self._workers = workers
        self._worker: Worker | None = None
        self.begins_asleep = spec.dormant
        self._sleeper: Sleeper | None = None
        self._refusal: Refusal | None = None
        self._handing_on = False
        self._hung = False
        self._failure = ""
        self._refused = False

    @property
    def name(self) -> str:
        return f"hub {self.spec.name}"

    @property
    def restart(self) -> Restart:
        return self.spec.restart

    @property
    def held_by(self) -> HubName | None:
        """The ``<PID>-<ID>`` of its worker, if it has one."""
        return HubName(self._worker.pid, self.spec.id) if self._worker is not None else None

    def state(self) -> HubStatus:
        name = self.held_by
        published = name or (self._sleeper.name if self._sleeper is not None else None)
        return HubStatus(
            id=self.spec.id,
            label=self.spec.label,
            owner=self.spec.owner,
            group=self.spec.group,
            phase=self.life.phase,
            pid=name.pid if name else None,
            url=self.url,
            restarts=self.spec.restarts,
            early_deaths=self.deaths.early,
            falls=self.deaths.falls,
            lock_file=str(self._lockdir.lock_path(published)) if published else None,
            stable_name=str(self._paths.by_label / self.spec.label),
        )

    # ------------------------------------------------------------------ its worker

    async def start(self) -> None:
        self._failure, self._refused = "", False
        if self.sock is None:
            self.sock = bind(self.spec.host, self.spec.port)
        self._worker = await asyncio.to_thread(self._workers.fork, self.spec, self.sock)
        logger.info("{} (id {}) forked as process {}", self.name, self.spec.id, self._worker.pid)

    def adopt(self) -> bool:
        if self.left is None:
            return False
        try:
            self._worker = self._workers.adopt(self.left)
        except ProcessLookupError:
            return False
        self.left = None
        self._worker.signal(signal.SIGUSR2)  # it hands its socket over
        self.serving_since = self.serving_since or self.clock()
        self._want()
        logger.info("{} (id {}, process {}) adopted", self.name, self.spec.id, self._worker.pid)
        return True

    def descriptors(self) -> Collection[int]:
        return self._worker.descriptors() if self._worker is not None else ()

    async def poll(self) -> Sequence[News]:
        worker = self._worker
        assert worker is not None
        ended = worker.has_ended()
        news = [await self._take(what, detail) for what, detail in worker.reports()]  # only now: nothing comes after it
        if ended:
            news.append(await self._bury(worker))
        return [each for each in news if each is not None]

    async def _take(self, what: Report, detail: str) -> News | None:
        match what:
            case Report.RUNNING:
                logger.info("{} (id {}) serves at {}", self.name, self.spec.id, detail)
                self.url = detail
                self.serving_since = self.clock()
                self._sleeper = None
                self._want()
                await self._clear_left()
                return Serves()
            case Report.AWAKE:
                return StaysAwake(detail)
            case Report.FAILED:
                self._failure, self._refused = detail, True
            case Report.BROKEN:
                self._failure = detail
        return None

    def stop(self, *, successor: bool) -> None:
        self._handing_on = successor
        self._signal(signal.SIGQUIT if successor else signal.SIGTERM)

    def kill(self, reason: str) -> None:
        self._failure, self._refused = reason, False
        self._signal(signal.SIGKILL)

    def hang(self, silent: float) -> None:
        """Kill its worker, which has not beaten for `silent` seconds; once."""
        if not self._hung:
            self._hung = True
            logger.error("{} hangs: no heartbeat for {:.1f} s; killed", self.name, silent)
            self._signal(signal.SIGKILL)

    def reopen_log(self) -> None:
        """Let its worker open its log anew, and heed what was changed about the hub."""
        if self.life.phase is Phase.RUNNING:  # one that starts has only just opened it, and would die of the signal
            self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        if self._worker is not None:
            self._worker.signal(number)

    # ------------------------------------------------------------------ sleep

    def doze(self) -> None:
        self._signal(signal.SIGTSTP)

    async def lie_down(self) -> None:
        if self.sock is None:
            self.sock = bind(self.spec.host, self.spec.port)
        name = self.left or HubName(os.getpid(), self.spec.id)
        sleeper = Sleeper(self._lockdir, name, self.spec.label)
        if self.left is None or not sleeper.lies_down():
            self.url = f"{base_url(self.sock, tls=self.spec.tls)}xmlrpc"
            tokens = await asyncio.to_thread(self._tokens, name) if self.spec.tls else self._tokens(name)
            sleeper.publish(tokens)
            if self.spec.rule.names_accounts:
                self._share(tokens)
        self.left = name
        try:
            self._wanted.want(self.spec, asleep=True)
        except HubfarmError:
            if self.begins_asleep:  # nothing was promised yet
                await self._clear_left()
                raise
            logger.exception("that {} sleeps is not written down", self.name)
        self._sleeper = sleeper
        logger.info("{} (id {}) sleeps at {}", self.name, self.spec.id, self.url)

    def _tokens(self, name: HubName) -> dict[str, str]:
        tokens = lock_file_tokens(self.spec, self._paths, name, self.url, HubKind.FARM)
        if self.spec.tls:
            from hubfarm.worker.encryption import Encryption  # few hubs speak TLS, and it brings much

            tokens |= Encryption(self.spec, self._paths).tokens
        return tokens

    def _share(self, tokens: Mapping[str, str]) -> None:
        from hubfarm.access.shared import Share

        Share(self._paths, self.spec).publish(tokens)

    def bells(self) -> Collection[int]:
        return [self.sock.fileno()] if self.sock is not None else ()

    async def turn_away(self) -> None:
        assert self.sock is not None
        self._refusal = Refusal(f"{self.name} cannot be woken just now; its farm's log says why\n")
        await self._refusal.begin(self.sock)

    def welcome(self) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            refusal.end()

    def mend(self) -> None:
        """Put back what others have removed of a hub that sleeps."""
        if self._sleeper is None or self.life.phase is not Phase.DORMANT:
            return
        try:
            for what in self._sleeper.mend():
                logger.warning("{}: put back {}", self.name, what)
        except HubfarmError as error:
            logger.error("{}: cannot put back what is missing: {}; trying on", self.name, error)

    # ------------------------------------------------------------------ the end of a worker

    async def _bury(self, worker: Worker) -> Ended:
        name = HubName(worker.pid, self.spec.id)
        served = self.clock() - self.serving_since if self.serving_since else 0.0
        own_account = end_of(self._paths, name) if self.wanted or self._handing_on else None
        asleep = self._lockdir.is_dormant(name)
        handed_on = asleep or (own_account is not None and own_account.how is End.RESTARTED)
        in_order = handed_on or worker.ended_in_order()
        fell = self._hung or worker.fell_of_itself()
        if in_order:
            reason = own_account.reason if own_account else self._failure
        else:
            own_account = None
            reason = self._failure or worker.how_it_ended()
            how = End.HUNG if self._hung else End.CRASHED
            logger.error("{} (id {}, process {}) {}: {}", self.name, self.spec.id, name.pid, how, reason)
            record_end(self._paths, self.spec, name.pid, how, reason, served)
        if self._sleeper is None:
            # What it left stays until its successor has its own: programs find the hub by it meanwhile, and wait.
            await self._clear_left()
            self.left = name if handed_on or not in_order else None
        elif not in_order:
            await asyncio.to_thread(self._clear, name)  # it did not come to serve, and the hub sleeps on
        self._worker = None
        self._handing_on = self._hung = False
        self.serving_since = 0.0
        worker.close()
        finished = own_account is not None and own_account.how in (End.UNUSED, End.DRAINED)
        return Ended(
            reason,
            in_order=in_order,
            finished=finished,
            fell=fell,
            served=served,
            asleep=asleep,
            refused=self._refused,
        )

    def succeed(self, *, fell: bool, last_try: bool) -> None:
        self.spec = self.spec.successor(fell=fell)
        self._want()
        if last_try:
            self._set_journal_aside()
        logger.info("{} is replaced (restart {})", self.name, self.spec.restarts)

    def _set_journal_aside(self) -> None:
        """Let the last try start empty: one poisonous record must not hold a hub down."""
        with contextlib.suppress(OSError):
            aside = set_aside(self._paths.journal(self.spec.id))
            logger.error("{}: none of its workers came to serve; journal set aside as {}", self.name, aside)

    def give_up(self, reason: str) -> None:
        tail = last_lines(self._paths.logs / f"{self.spec.name}.log", LOG_TAIL)
        logger.error("{} has failed, {}; its log ends:\n{}", self.name, reason, tail)
        record_end(self._paths, self.spec, 0, End.FAILED, f"{reason}\n{tail}", 0.0)

    async def forget(self) -> None:
        self.welcome()
        if self._sleeper is not None and not self.wanted:
            record_end(self._paths, self.spec, self._sleeper.name.pid, End.STOPPED, "while it slept", 0.0)
        if self.sock is not None:
            self.sock.close()
        await self._clear_left()
        remove_journal(self._paths.journal(self.spec.id))
        self._wanted.drop(self.spec)

    def _want(self) -> None:
        try:
            self._wanted.want(self.spec)
        except HubfarmError as error:
            logger.warning("that {} is wanted is not written down: {}", self.name, error)

    async def _clear_left(self) -> None:
        name, self.left = self.left, None
        if name is not None:
            await asyncio.to_thread(self._clear, name)

    def _clear(self, name: HubName) -> None:
        try:
            self._lockdir.clear_dead(name, self.spec.label)
        except HubfarmError as error:
            logger.warning("what process {} left waits for a sweep: {}", name.pid, error)


def last_lines(path: Path, count: int) -> str:
    """Return the last lines of a text file, or nothing if it cannot be read."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
