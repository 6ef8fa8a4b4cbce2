"""Put the rooms of a hub together, run it, and take it down in order.

Life: take the guard and a slot of the state table, listen, publish the lock file, say so to
the caller; beat once a second, and put back what others have damaged; at the end say
``samp.hub.event.shutdown``, let queues drain for a moment, remove the lock file, give the guard back.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from hubfarm.access.shared import Share
from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.callback_rule import ANY, CallbackRule
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.delivery.liveness import Liveness
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.keep.journal import Journal
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.profiles.accounts import Accounts
from hubfarm.hub.profiles.front_door import FrontDoor
from hubfarm.hub.profiles.host_names import HostNames
from hubfarm.hub.profiles.profile import Inside, Profile
from hubfarm.hub.profiles.shares import Shares
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.profiles.watching import WatchDoor
from hubfarm.hub.profiles.web import WebProfile
from hubfarm.hub.watchers import Watchers
from hubfarm.registry.changes import changes_path, with_changes
from hubfarm.registry.claim import Claim, claim_for
from hubfarm.registry.history import End, record_end
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName, Record
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec, in_the_clear
from hubfarm.spec.options import Idle
from hubfarm.spec.rhythm import DRAIN, until_beat
from hubfarm.spec.states import HubKind, HubState
from hubfarm.spec.watching import Hello
from hubfarm.version import __version__
from hubfarm.wire.addresses import is_loopback
from hubfarm.wire.connections import room
from hubfarm.wire.host_sockets import others_listen
from hubfarm.wire.http_client import HttpClient
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_server import HttpServer
from hubfarm.wire.urls import base_url, place_of
from hubfarm.worker.admission import Admission, policy_of
from hubfarm.worker.announcement import hub_metadata, lock_file_tokens
from hubfarm.worker.encryption import Encryption

MOST_ENCRYPTED = 1000
"""Connections of a hub that speaks TLS: each takes up to 300 kB, which any peer can fill."""

RENEW_EVERY = 600.0
"""Between two tries to renew the farm's certificate, seconds."""

if TYPE_CHECKING:
    from hubfarm.hub.profiles.web_port import WebPort
    from hubfarm.worker.consent import Dialogue

MEND_EVERY = 3.5
"""Between two looks at the hub's own files, seconds: with every fourth heartbeat."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a hub that has come up says of itself.

    Parameters
    ----------
    name : HubName
        Its ``<PID>-<ID>``.
    url : str
        Its XML-RPC endpoint.
    lock_path : Path
        Its lock file.
    """

    name: HubName
    url: str
    lock_path: Path


@dataclass(frozen=True, slots=True)
class Pages:
    """How web pages come to a hub without a gateway.

    Parameters
    ----------
    sock : socket
        Where browsers speak with it; bound already.
    dialogue : Dialogue or None
        Asks the user about each page; None for the terminal.
    """

    sock: socket.socket
    dialogue: "Dialogue | None" = None


class HubProcess:
    """One hub, from its guard to its end, in the running event loop.

    Parameters
    ----------
    spec : HubSpec
        The hub.
    paths : Paths
        Where its files go.
    kind : HubKind
        Who runs it.
    lock_path : Path, optional
        Its lock file, if it is not to be ``~/.samp-1/samp-hub-<PID>-<ID>``.
    pages : Pages, optional
        How web pages come to it without a gateway; by default they do not.
    """

    def __init__(
        self, spec: HubSpec, paths: Paths, *, kind: HubKind, lock_path: Path | None = None, pages: Pages | None = None
    ) -> None:
        self._pages = pages
        self._web_port: WebPort | None = None
        self._web_server: HttpServer | None = None
        self.spec = spec
        self._kind = kind
        self._paths = paths
        self._lock_path = lock_path
        self._started = time.monotonic()
        self._state = HubState.STARTING
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[tuple[End, str]] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._claim: Claim
        self._journal: Journal | None = None
        self._is_published = True
        """The lock file says who may enter, and by which certificate the hub is known."""
        self._encryption: Encryption | None = None
        self._renew_at = 0.0
        self._trouble = ""
        self._requests = 0
        self._mend_at = 0.0
        self._quiet_until = 0.0

    async def start(self, sock: socket.socket) -> Running:
        """Take the guard, listen on `sock`, publish the lock file.

        Raises
        ------
        HubfarmError
            The guard, the label or the disk is not to be had; nothing is left behind.
        """
        self._claim = claim_for(self.spec, LockDir(self._paths), path=self._lock_path)
        try:
            self.spec = self._as_changed(msgspec.structs.replace(self.spec, id=self._claim.name.id))
            await self._open(sock)
        except BaseException:
            if self._journal is not None:
                self._journal.close()
            self._claim.withdraw()
            raise
        self._take_over()
        logger.info("serving at {} as {}", self._running.url, self._running.name)
        return self._running

    def _as_changed(self, spec: HubSpec) -> HubSpec:
        """Return what the hub is asked to be, with what was changed about it while it ran."""
        return with_changes(changes_path(self._paths, spec), spec)

    async def _open(self, sock: socket.socket) -> None:
        """Put the rooms together, from the inside out, and serve."""
        spec = self.spec
        base = base_url(sock, tls=spec.tls)
        self._encryption = Encryption(spec, self._paths) if spec.tls else None
        _warn_of_the_wire(spec, sock)
        inside = self._make_inside(sock, base)
        self._share = Share(self._paths, spec)
        self._make_doors(inside)
        limits = self._http_limits()
        self._server = self._make_server(sock, limits)
        if self._pages is not None:
            await self._serve_pages(self._pages, inside, limits)
        self._liveness = Liveness(self._hub, self._deliveries)
        self._ask_the_kernel()  # before anybody is answered
        await self._server.start(sock)
        self._running = Running(HubName(os.getpid(), spec.id), f"{base}xmlrpc", self._claim.path)
        self._publish()

    def _make_inside(self, sock: socket.socket, base: str) -> Inside:
        """Make the hub, and the ways out of it."""
        spec = self.spec
        self._ledger = self._remember()
        self._callback_rule = _callback_rule(spec, sock)
        self._hub = Hub(
            hub_metadata(spec, base),
            limits=spec.limits.with_room_for(room().callbacks),
            new_key=lambda: secrets.token_hex(16),
            now=self._started,
            ledger=self._ledger,
            policy=policy_of(spec),
        )
        waits, journal = Waits(), self._journal
        self._lines = FrequentLines(time.monotonic)
        self._deliveries = Deliveries(
            self._hub,
            waits.answer,
            self._keep_soon,
            self._callback_rule.client,
            journal.mark if journal else lambda number: None,
            self._lines,
        )
        self._deliveries.client_of_listener = self._client_of_listener
        return Inside(self._hub, self._deliveries, waits, spec.secret, time.monotonic, journal, self._lines)

    def _make_doors(self, inside: Inside) -> None:
        alone = self._kind is not HubKind.EMBEDDED
        self._admission = admission = Admission(self.spec, self._paths, time.monotonic, alone=alone)
        self._profile = StandardProfile(
            inside,
            callbacks=self._callback_rule,
            passwords=admission.passwords,
            ticket_of=admission.ticket_of,
            revision=admission.revision,
            identity=admission.identity,
        )
        self._web = WebProfile(inside)
        self._watchers = Watchers(self._hub, self._hello, time.time, self._watchers_changed)
        self._hub.watchers = lambda: self._watchers.names

    def _hello(self) -> Hello:
        return Hello(hub=self.spec.name, url=self._running.url, release=__version__)

    def _watchers_changed(self) -> None:
        self._quiet_until = 0.0
        self._claim.write(self._record())  # who lists hubs sees it at once

    def _http_limits(self) -> HttpLimits:
        spec, connections = self.spec, room().connections
        most = min(connections, MOST_ENCRYPTED) if spec.tls else connections
        return HttpLimits(head=spec.limits.head, body=spec.limits.body, connections=most)

    def _make_server(self, sock: socket.socket, limits: HttpLimits) -> HttpServer:
        spec, profile = self.spec, self._profile
        shares = Shares(self._admission.shared_lock_file, profile.held, tls=spec.tls)
        is_ours = HostNames(sock, spec.host).include
        watching = WatchDoor(self._watchers, profile, spec.secret)
        front_door = FrontDoor(
            spec.name, profile.handle, profile.refusal_of, is_ours, self._web, watching, shares.answer
        )
        return HttpServer(
            front_door.answer,
            limits,
            _log_failure,
            self._keep,
            front_door.admit,
            self._encryption.context if self._encryption else None,
            self._say_no_handshake,
        )

    def _take_over(self) -> None:
        """Go on where a predecessor stopped, and be what is asked now."""
        if self.spec.fell and self._journal is not None:
            self._deliveries.carry_out(self._hub.suspect(self._journal.marked()))
        self._deliveries.resume()
        self._deliveries.carry_out(self._hub.restrict(policy_of(self.spec)))  # also those whom a predecessor let in
        if (former := self._claim.former) is not None:
            self._go_on_after_sleep(former)
        self._state = HubState.DRAINING if self._ledger.draining else HubState.RUNNING
        self.heed_changes()  # of the time in which it started
        self._beat()

    def _go_on_after_sleep(self, former: Record) -> None:
        """Make up for what nobody could do meanwhile: look at clients that have gone, or were silent for too long."""
        counters = self._hub.counters
        counters.accepted, counters.delivered, counters.failed = former.accepted, former.delivered, former.failed
        counters.peak = max(counters.peak, former.peak)
        for client in self._hub.clients:
            client.active = former.active
        self._liveness.catch_up()

    async def _serve_pages(self, pages: Pages, inside: Inside, limits: HttpLimits) -> None:
        from hubfarm.hub.profiles.web_port import WebPort  # here: a farm's workers do not load it
        from hubfarm.worker.consent import Consent

        self._web_port = WebPort(
            inside,
            ask=Consent(pages.dialogue).ask,
            port=pages.sock.getsockname()[1],
            is_ours=HostNames(pages.sock, "localhost").include,
        )
        self._web_server = HttpServer(self._web_port.answer, limits, _log_failure, self._keep, self._web_port.admit)
        await self._web_server.start(pages.sock)

    def _client_of_listener(self, url: str, uid: int) -> HttpClient:
        """Return a connection to a client's callback URL, unless another account has got its port."""
        _, port = place_of(url)
        return self._callback_rule.client(url, lambda host, address: not others_listen(address, port, uid))

    def _ask_the_kernel(self) -> None:
        """From now on ask the kernel whose connections are, if that counts for somebody."""
        counts = self.spec.rule.names_accounts or any(client.principal.uid is not None for client in self._hub.clients)
        if not counts or self._profile.accounts is not None:
            return
        self._profile.accounts = self._web.accounts = accounts = Accounts(time.monotonic)

        def client_of_account(url: str, uid: int) -> HttpClient:
            _, port = place_of(url)
            return self._callback_rule.client(url, lambda host, address: accounts.listens(uid, address, port))

        self._deliveries.client_of_account = client_of_account

    def _tokens(self) -> dict[str, str]:
        tokens = lock_file_tokens(self.spec, self._paths, self._running.name, self._running.url, self._kind)
        return tokens | dict(self._encryption.tokens if self._encryption else {})

    def _publish(self) -> None:
        if self.spec.rule.names_accounts:
            self._share.publish(self._tokens())
        else:
            self._share.withdraw()
        self._claim.publish(self._tokens())  # the last: who has changed the rule waits for it

    def heed_changes(self) -> None:
        """Be what the hub was changed to while it runs; throw out whom it does not let in any more."""
        if self._state is HubState.STARTING:
            return  # it will, before it serves
        try:
            spec = self._as_changed(self.spec)
        except HubfarmError as error:
            logger.error("cannot be changed: {}", error)
            return
        if spec != self.spec:
            # First of all the rule is in force, whatever fails after it.
            self.spec = spec
            logger.info("lets in {}", spec.rule.in_words())
            self._ask_the_kernel()
            self._deliveries.carry_out(self._hub.restrict(policy_of(spec)))
            self._watchers.restrict(self._hub.refusal_to_watch)
            self._keep_soon()
            self._is_published = False
        self._publish_again()

    def _publish_again(self) -> None:
        if not self._is_published:
            try:
                self._publish()
                self._is_published = True
            except HubfarmError as error:
                logger.error("the lock file does not say yet what has changed: {}", error)

    def _remember(self) -> Ledger:
        """Return what the hub knows from the first: what a worker that fell has left, if one did."""
        if self._kind is not HubKind.FARM:
            return Ledger()  # nobody would come after
        ledger = Ledger(noting=True)
        self._journal = Journal(self._paths.journal(self.spec.id), self.spec.secret, ledger)
        clients = self._journal.open(self._started)
        if clients:
            counters = ledger.counters
            logger.info("goes on with {} clients and {} deliveries under way", clients, counters.queued)
        return ledger

    def _keep(self) -> None:
        if self._journal is not None:
            self._journal.keep()

    def _keep_soon(self) -> None:
        if self._journal is not None:
            self._journal.keep_soon()

    async def wait_for_end(self) -> tuple[End, str]:
        """Wait until something ends the hub, and return what did."""
        return await self._ended

    def end(self, how: End, reason: str) -> None:
        """Let `wait_for_end` return; the hub goes on until `stop`."""
        if not self._ended.done():
            self._ended.set_result((how, reason))

    def drain(self) -> None:
        """Take no new clients, and end once nothing waits for any client."""
        self._state = HubState.DRAINING
        self._hub.drain()
        self._quiet_until = 0.0
        self._keep()
        logger.info("draining: {} deliveries wait", self._hub.counters.queued)

    async def stop(self, how: End, reason: str) -> None:
        """Say goodbye to the clients, drain, and leave nothing behind but a line of history."""
        self._begin_stop()
        self._deliveries.carry_out(self._hub.shut_down())
        self._claim.unpublish()
        self._share.withdraw()
        await self._deliveries.close(DRAIN)
        self._watchers.end(reason, again=False)
        await self._close()
        if self._journal is not None:
            self._journal.remove()
            Wanted(self._paths).drop(self.spec)
        with contextlib.suppress(OSError):
            changes_path(self._paths, self.spec).unlink()
        with contextlib.suppress(OSError):
            self._admission.end()
        record_end(self._paths, self.spec, os.getpid(), how, reason, time.monotonic() - self._started, self._kind)
        self._claim.withdraw()
        logger.info("ended")

    async def fall_asleep(self) -> str:
        """Stop listening and have no connection any more, if nobody uses the hub; or else return why it stays awake.

        `wait_for_end` returns then, and `lie_down` is next: between the two nothing can come.
        """
        if self._ended.done():
            return "it is ending"
        if reason := self._what_keeps_it_awake():
            return reason
        if not await self._server.leave_if(lambda: not self._what_keeps_it_awake()):
            return self._what_keeps_it_awake() or "somebody is just talking to it"
        if self._timer is not None:
            self._timer.cancel()
        self.end(End.ASLEEP, "asleep")
        return ""

    def _what_keeps_it_awake(self) -> str:
        if self._state is not HubState.RUNNING:
            return f"it is {self._state}"
        if self._hub.is_waited_for:
            return "a client waits for the answer to a call"
        if not self._deliveries.at_rest:
            return "messages are on their way, or a client waits for one"
        return "" if self._liveness.at_rest else "it is asking a client whether it is there"

    async def lie_down(self, how: End, reason: str) -> None:
        """End, and leave lock file and journal for the next connection; see `fall_asleep`."""
        self._liveness.close()
        self._keep()
        await self._deliveries.suspend(0.0)  # connections to clients are closed; nothing is under way
        await self._close()
        if self._journal is not None:
            self._journal.close()
        self._state = HubState.DORMANT
        self._claim.lie_down(self._record())
        record_end(self._paths, self.spec, os.getpid(), how, reason, time.monotonic() - self._started)
        logger.info("asleep")

    async def hand_on(self, how: End, reason: str) -> None:
        """End for a successor that goes on with the clients: lock file and journal stay.

        What is under way is waited for, for a moment; the successor delivers again what is unanswered.
        """
        self._begin_stop()
        self._server.leave()
        await self._deliveries.suspend(DRAIN)
        self._deliveries.carry_out(self._hub.give_up_waiting("the hub is restarted: call again"))
        self._keep()
        self._watchers.end(reason, again=True)
        await self._close()
        if self._journal is not None:
            self._journal.close()
        record_end(self._paths, self.spec, os.getpid(), how, reason, time.monotonic() - self._started)
        self._claim.leave()
        logger.info("ended, for a successor")

    def _begin_stop(self) -> None:
        self._state = HubState.STOPPING
        self._claim.write(self._record())
        self._liveness.close()

    async def _close(self) -> None:
        await asyncio.sleep(0)  # answers that have just become ready leave first
        if self._timer is not None:
            self._timer.cancel()
        for server in (self._server, self._web_server):
            if server is not None:
                server.close()
        for profile in self._profiles:
            profile.close()

    def _beat(self) -> None:
        now = time.monotonic()
        # First of all: whatever fails below, the next beat comes.
        self._timer = self._loop.call_later(until_beat(now), self._beat)
        if now < self._quiet_until and self._all_requests == self._requests:
            self._claim.beat(now)
        else:
            self._look_around(now)

    @property
    def _may_sleep(self) -> bool:
        """Whether it is its coordinator that sees to its idleness."""
        return self._kind is HubKind.FARM and self.spec.idle is Idle.SLEEP

    @property
    def _all_requests(self) -> int:
        return sum(profile.requests for profile in self._profiles)

    @property
    def _profiles(self) -> Sequence[Profile]:
        return (self._profile, self._web) if self._web_port is None else (self._profile, self._web, self._web_port)

    def _look_around(self, now: float) -> None:
        spec = self.spec
        self._requests = self._all_requests
        record = self._record()
        self._claim.write(record)
        mending = now >= self._mend_at
        if mending:
            self._mend_at = now + MEND_EVERY
            self._mend(record)
        self._admission.look(self._hub, self._deliveries, self._watchers, well=mending)
        # Without clients and timeouts only a request can bring something to look after.
        idle = self._state is HubState.RUNNING and not (self._hub.clients or spec.timeout)
        self._quiet_until = self._mend_at if idle else 0.0
        if spec.timeout and not self._may_sleep and now - self._hub.last_active >= spec.timeout:
            self.end(End.UNUSED, f"unused for {spec.timeout:g} s")
        if self._hub.drained:
            self.end(End.DRAINED, "drained")
        if spec.client_timeout:
            self._deliveries.carry_out(self._hub.check_silence(spec.client_timeout, now))
        self._liveness.beat()
        self._lines.settle()
        self._keep()

    def _mend(self, record: Record) -> None:
        try:
            for what in self._claim.mend(record):
                logger.warning("put back {}", what)
            if self._journal is not None:
                self._journal.mend()
            if self.spec.rule.names_accounts:
                self._share.mend(self._tokens)
            self._mend_encryption()
            self._trouble = ""
        except (HubfarmError, OSError) as error:  # out of file descriptors, say
            if str(error) != self._trouble:  # once, and not every second
                self._trouble = str(error)
                logger.error("cannot put back what is missing: {}; trying on", error)

    def _mend_encryption(self) -> None:
        encryption = self._encryption
        if encryption is None:
            return
        if encryption.look():
            self._is_published = False
            self._publish_again()
        if time.monotonic() >= self._renew_at and encryption.is_due:
            self._renew_at = time.monotonic() + RENEW_EVERY
            self._loop.run_in_executor(None, encryption.prepare).add_done_callback(_log_renewal)

    def _say_no_handshake(self, peer: str, error: BaseException) -> None:
        self._lines.log("INFO", "{}: no TLS: {}", peer or "a client", error)

    def _record(self) -> Record:
        counters = self._hub.counters
        return Record(
            os.getpid(),
            self.spec.id,
            self._state,
            started=self._started,
            beat=time.monotonic(),
            active=self._hub.last_active,
            clients=len(self._hub.clients),
            accepted=counters.accepted,
            delivered=counters.delivered,
            failed=counters.failed,
            queued=counters.queued,
            queued_bytes=counters.queued_bytes,
            peak=counters.peak,
            requests=self._all_requests,
            watchers=len(self._watchers),
        )


def _callback_rule(spec: HubSpec, sock: socket.socket) -> CallbackRule:
    # Who lets other hosts in means to talk with them.
    anywhere = () if is_loopback(sock.getsockname()[0]) else (ANY,)
    return CallbackRule(spec.callback_hosts or anywhere)


def _warn_of_the_wire(spec: HubSpec, sock: socket.socket) -> None:
    address = sock.getsockname()[0]
    if not (spec.tls or is_loopback(address)):
        logger.warning(in_the_clear(spec.name, spec.host))


def _log_renewal(renewed: "asyncio.Future[None]") -> None:
    error = None if renewed.cancelled() else renewed.exception()
    if error is not None:
        logger.error("{}", error)


def _log_failure(error: BaseException) -> None:
    logger.opt(exception=error).error("a request failed inside the hub")
