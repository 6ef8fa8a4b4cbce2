"""The control API: HTTP and JSON on a Unix socket that only the user can reach.

``GET /`` tells who coordinates; ``POST /hubs`` starts hubs and ``POST /stop`` ends them, each
answering with one JSON object a line as things happen, the last one ``{"done": true}`` or
``{"error": …}``; ``POST /shutdown`` ends the farm.  A coordinator that ends answers 503 to who
wants hubs; one that could not start the first hubs it was asked for ends.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from loguru import logger

from hubfarm.coordinator.supervisor import HubStarted, Supervisor
from hubfarm.registry.hubspec import HubSpec, Limits
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.version import __version__

CLOSE_TIMEOUT = 1.0
"""How long the end of the farm waits for connections that are still open, seconds.

By then every request has been answered: what is left came too late, and aiohttp does not read it.
"""

Tell = Callable[[dict[str, Any]], Awaitable[None]]


def describe(started: HubStarted, paths: Paths) -> dict[str, Any]:
    """Return what is told of a hub that has just been started."""
    spec, running = started.spec, started.running
    return {
        "id": spec.id,
        "label": spec.label,
        "owner": spec.owner,
        "group": spec.group,
        "pid": running.name.pid,
        "url": running.url,
        "lock_file": str(running.lock_path),
        "stable_name": str(paths.by_label / spec.label),
    }


def read_start_request(body: dict[str, Any]) -> tuple[HubSpec, int, int]:
    """Return template, count and port from what a client has sent to ``POST /hubs``.

    Raises
    ------
    WrongUse
        Something is missing or wrong.
    """
    try:
        template = HubSpec(
            id=0,
            label=str(body.get("label", "")),
            owner=str(body.get("owner", "")),
            group=str(body.get("group", "")),
            timeout=float(body.get("timeout", 0)),
            client_timeout=float(body.get("client_timeout", 0)),
            host=str(body.get("host", "127.0.0.1")),
            limits=Limits.parse([str(setting) for setting in body.get("limits", [])]),
        )
        return template, int(body.get("count", 1)), int(body.get("port", 0))
    except (TypeError, ValueError) as error:
        raise WrongUse(f"not a request to start hubs: {error}") from None


class Control:
    """The control API of one coordinator.

    Parameters
    ----------
    supervisor : Supervisor
        Does what is asked for.
    paths : Paths
        Where the socket lies.
    shut_down : callable
        Begins the end of the farm.
    """

    def __init__(self, supervisor: Supervisor, paths: Paths, shut_down: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._paths = paths
        self._lockdir = LockDir(paths)
        self._shut_down = shut_down
        self._started = time.monotonic()
        self._starting = 0
        self._proven = False
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on the control socket; one that a dead coordinator left is replaced.

        Raises
        ------
        HubfarmError
            The socket cannot be made.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._status),
                web.post("/hubs", self._start_hubs),
                web.post("/stop", self._stop_hubs),
                web.post("/shutdown", self._begin_shutdown),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_TIMEOUT)
        await self._runner.setup()
        path = self._paths.control_socket
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            os.chmod(path, 0o600)
        except OSError as error:
            sock.close()
            raise HubfarmError(f"cannot make the control socket {path}: {error.strerror}") from None
        await web.SockSite(self._runner, sock).start()

    async def close(self) -> None:
        """Stop listening, once what is under way is answered, and remove the socket."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._paths.control_socket.unlink(missing_ok=True)

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "pid": os.getpid(),
                "version": __version__,
                "uptime": time.monotonic() - self._started,
                "hubs": self._supervisor.ids,
            }
        )

    async def _start_hubs(self, request: web.Request) -> web.StreamResponse:
        template, count, port = read_start_request(await request.json())
        if self._supervisor.closing:
            return web.Response(status=503, text="the coordinator is ending")

        async def work(tell: Tell) -> None:
            async def told(started: HubStarted) -> None:
                await tell(describe(started, self._paths))

            await self._supervisor.start(template, count, port, told)
            self._proven = True

        self._starting += 1
        try:
            return await _stream(request, work)
        finally:
            self._starting -= 1
            if not (self._proven or self._starting):
                # Started for hubs that could not start: nothing is to be left of them.
                self._shut_down()

    async def _stop_hubs(self, request: web.Request) -> web.StreamResponse:
        ids = [int(number) for number in (await request.json())["ids"]]

        async def work(tell: Tell) -> None:
            async def told(number: int) -> None:
                await tell({"id": number})

            await self._supervisor.stop(ids, told)

        return await _stream(request, work)

    async def _begin_shutdown(self, _: web.Request) -> web.Response:
        self._shut_down()
        return web.json_response({"pid": os.getpid()})


async def _stream(request: web.Request, work: Callable[[Tell], Awaitable[None]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)

    async def tell(line: dict[str, Any]) -> None:
        await response.write(json.dumps(line).encode() + b"\n")

    try:
        await work(tell)
        await tell({"done": True})
    except HubfarmError as error:
        logger.warning("request {} failed: {}", request.path, error)
        await tell({"error": str(error), "wrong_use": isinstance(error, WrongUse)})
    except asyncio.CancelledError:
        raise
    except Exception as error:
        logger.exception("request {} failed", request.path)
        await tell({"error": f"the coordinator failed: {error!r}; its log says more", "wrong_use": False})
    await response.write_eof()
    return response
