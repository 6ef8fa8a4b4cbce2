"""A hub as all of a process: the loop in which it runs, and what signals ask of it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvloop
from loguru import logger

from hubfarm.registry.handover import hand_over
from hubfarm.registry.history import End
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import HubKind
from hubfarm.wire.connections import raise_descriptor_limit
from hubfarm.worker.process import HubProcess, Pages, Running


def run(
    spec: HubSpec,
    sock: socket.socket,
    paths: Paths,
    *,
    kind: HubKind,
    lock_path: Path | None = None,
    pages: Pages | None = None,
    started: Callable[[Running], None],
    reopen_log: Callable[[], None] = lambda: None,
    stays_awake: Callable[[str], None] = lambda reason: None,
) -> str:
    """Run one hub in this process until it is ended; return why it ended.

    SIGTERM and SIGINT end it in order, SIGUSR1 once it is drained, SIGQUIT so that a successor goes on with its
    clients, SIGTSTP so that it sleeps, if nobody uses it; SIGHUP reopens its log and has it heed what was changed about
    it, SIGUSR2 hands its listening socket to a new coordinator.

    Parameters
    ----------
    spec, paths, kind, lock_path, pages
        As for `HubProcess`.
    sock : socket
        Bound already.
    started : callable
        Told when the hub serves.
    reopen_log : callable
        Opens the log file anew.
    stays_awake : callable
        Told why the hub does not sleep, when it was told to.

    Raises
    ------
    HubfarmError
        The hub cannot start.
    """
    # Not by `uvloop.run`: what that does around it makes a worker's own memory 0.35 MB larger.
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(
            _run(spec, sock, paths, kind, lock_path, pages, started, reopen_log, stays_awake)
        )
    finally:
        loop.close()


async def _run(
    spec: HubSpec,
    sock: socket.socket,
    paths: Paths,
    kind: HubKind,
    lock_path: Path | None,
    pages: Pages | None,
    started: Callable[[Running], None],
    reopen_log: Callable[[], None],
    stays_awake: Callable[[str], None],
) -> str:
    raise_descriptor_limit()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_failure)
    hub = HubProcess(spec, paths, kind=kind, lock_path=lock_path, pages=pages)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hub.end, End.STOPPED, f"by {signal.Signals(number).name}")
    loop.add_signal_handler(signal.SIGUSR1, hub.drain)
    if kind is HubKind.FARM:
        loop.add_signal_handler(signal.SIGQUIT, hub.end, End.RESTARTED, "restarted")
        loop.add_signal_handler(signal.SIGTSTP, _Sleep(hub, stays_awake).begin)
    loop.add_signal_handler(signal.SIGHUP, _heed, hub, reopen_log)
    loop.add_signal_handler(signal.SIGUSR2, _hand_over, sock, paths, spec)
    running = await hub.start(sock)
    started(running)
    how, reason = await hub.wait_for_end()
    logger.info("ending: {}", reason)
    await {End.RESTARTED: hub.hand_on, End.ASLEEP: hub.lie_down}.get(how, hub.stop)(how, reason)
    return reason


class _Sleep:
    """Lets a hub fall asleep when it is told to, or tells why it does not."""

    def __init__(self, hub: HubProcess, stays_awake: Callable[[str], None]) -> None:
        self._hub = hub
        self._stays_awake = stays_awake
        self._trying: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if self._trying is None or self._trying.done():
            self._trying = asyncio.get_running_loop().create_task(self._try())

    async def _try(self) -> None:
        if reason := await self._hub.fall_asleep():
            logger.debug("stays awake: {}", reason)
            self._stays_awake(reason)


def _heed(hub: HubProcess, reopen_log: Callable[[], None]) -> None:
    reopen_log()
    hub.heed_changes()


def _hand_over(sock: socket.socket, paths: Paths, spec: HubSpec) -> None:
    try:
        hand_over(sock, paths.handover_socket, HubName(os.getpid(), spec.id))
        logger.info("handed the listening socket to a new coordinator")
    except OSError as error:
        logger.warning("could not hand the listening socket over: {}", error.strerror)


def _log_loop_failure(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    logger.opt(exception=error if isinstance(error, BaseException) else None).error("{}", context.get("message"))
