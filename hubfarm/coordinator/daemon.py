"""Run the coordinator: detached in the background, or in the foreground under systemd.

Rule: the process that holds the coordinator's guard is the coordinator.  Whoever wants one
takes the start guard first, so that many ``hubfarm start`` at once make one.
"""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from loguru import logger
from setproctitle import setproctitle

from hubfarm.coordinator.control import Control, describe, read_start_request
from hubfarm.coordinator.spawner import Spawner
from hubfarm.coordinator.supervisor import HubStarted, Supervisor
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError


async def coordinate(paths: Paths, level: str, ready: Callable[[Supervisor], Awaitable[None]]) -> None:
    """Coordinate the farm until a signal or a shutdown request ends it.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie; prepared.
    level : str
        What coordinator and hubs log.
    ready : callable
        Awaited once requests are taken; an exception from it ends the farm.

    Raises
    ------
    HubfarmError
        Another coordinator runs, or the control socket cannot be made.
    """
    guard = FileLock(paths.coordinator_guard, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        guard.acquire(blocking=False)
    except Timeout:
        raise HubfarmError(f"a coordinator runs already: it holds {paths.coordinator_guard}") from None
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    supervisor = Supervisor(paths, Spawner(paths, level))
    control = Control(supervisor, paths, ended.set)
    await control.start()
    watching = asyncio.create_task(supervisor.run())
    logger.info("coordinating as process {}", os.getpid())
    try:
        await ready(supervisor)
        await ended.wait()
    finally:
        logger.info("ending the farm")
        await supervisor.close()
        await watching
        await control.close()
        logger.info("ended")  # the guard goes with the process: whoever sees it free finds nothing running


def run_in_background(paths: Paths, level: str, ready_descriptor: int) -> None:
    """Be the coordinator that `ensure_coordinator` has started; tell it by the pipe when ready."""

    async def ready(_: Supervisor) -> None:
        os.write(ready_descriptor, b"ready\n")
        os.close(ready_descriptor)

    _run(paths, level, paths.logs / "coordinator.log", ready)


def run_in_foreground(paths: Paths, level: str, request: dict[str, Any], *, as_json: bool) -> None:
    """Be the coordinator, start hubs, and print how each is reached; logs go to standard error."""

    async def ready(supervisor: Supervisor) -> None:
        async def told(started: HubStarted) -> None:
            hub = describe(started, paths)
            line = json.dumps(hub) if as_json else f"{hub['label']}  {hub['url']}  {hub['stable_name']}"
            print(line, flush=True)

        await supervisor.start(*read_start_request(request), told)

    _run(paths, level, None, ready)


def _run(paths: Paths, level: str, log: Path | None, ready: Callable[[Supervisor], Awaitable[None]]) -> None:
    setproctitle("hubfarm coordinator")
    log_to(log, "coordinator", level)
    asyncio.run(coordinate(paths.prepare(), level, ready))


def ensure_coordinator(paths: Paths, answers: Callable[[], bool], level: str) -> None:
    """Return once a coordinator answers; start one in the background if none does.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie; prepared.
    answers : callable
        Tells whether a coordinator answers.
    level : str
        What a new coordinator and its hubs log.

    Raises
    ------
    HubfarmError
        It died while it was starting; the message says why.
    """
    if answers():
        return
    with _starting_alone(paths.start_guard):
        if answers():
            return
        read_end, write_end = os.pipe()
        output = paths.logs / "coordinator.out"
        try:
            with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as sink:
                process = subprocess.Popen(
                    [sys.executable, "-m", "hubfarm.coordinator", "--ready", str(write_end), "--log-level", level],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    cwd="/",
                    pass_fds=(write_end,),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(read_end)
            raise HubfarmError(
                f"cannot start a coordinator: {error.filename or sys.executable}: {error.strerror}"
            ) from None
        finally:
            os.close(write_end)
        _wait_until_ready(process, read_end, output)


@contextlib.contextmanager
def _starting_alone(guard: Path, timeout: float = 60.0) -> Iterator[None]:
    lock = FileLock(guard, timeout=timeout, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise HubfarmError(f"{guard} has been locked for {timeout:g} s: another start hangs") from None
    except OSError as error:
        raise HubfarmError(f"cannot lock {guard}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _wait_until_ready(process: "subprocess.Popen[bytes]", read_end: int, output: Path, timeout: float = 60.0) -> None:
    try:
        readable, _, _ = select.select([read_end], [], [], timeout)
        if readable and os.read(read_end, 16):
            process.returncode = 0  # it is no child to wait for: it outlives us
            return
    finally:
        os.close(read_end)
    if not readable:
        process.kill()
    process.wait()
    with contextlib.suppress(OSError):
        lines = output.read_text(errors="replace").strip().splitlines()
        if lines:
            raise HubfarmError(f"the coordinator died while it was starting: {lines[-1].removeprefix('hubfarm: ')}")
    raise HubfarmError(f"the coordinator died while it was starting (exit code {process.returncode})")
