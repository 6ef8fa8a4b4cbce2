"""The control API: HTTP and JSON on a Unix socket that only the user can reach.

``GET /`` tells who coordinates what; ``POST /hubs``, ``/stop`` and ``/restart`` answer with one
JSON object a line as things happen, the last one ``{"done": true}`` or ``{"error": …}``;
``POST /shutdown`` ends the farm; ``GET /metrics`` is for Prometheus, on TCP too if so set.
"""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from loguru import logger

from hubfarm.coordinator.hub import ManagedHub
from hubfarm.coordinator.requests import read_plan
from hubfarm.coordinator.supervisor import Supervisor
from hubfarm.registry.files import file_identity
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.version import __version__

CLOSE_TIMEOUT = 1.0
"""How long the end of the farm waits for connections that are still open, seconds.

By then every request has been answered: what is left came too late, and aiohttp does not read it.
"""

Tell = Callable[[dict[str, Any]], Awaitable[None]]


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
        self._shut_down = shut_down
        self._started = time.monotonic()
        self._starting = 0
        self._proven = False
        self._runner: web.AppRunner | None = None
        self._site: web.BaseSite | None = None
        self._identity: tuple[int, int] | None = None
        self._tcp: tuple[str, web.AppRunner] | None = None

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
                web.get("/metrics", self._show_metrics),
                web.post("/hubs", self._start_hubs),
                web.post("/stop", self._stop_hubs),
                web.post("/restart", self._restart_hubs),
                web.post("/shutdown", self._begin_shutdown),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_TIMEOUT)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None
        path = self._paths.control_socket
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            os.chmod(path, 0o600)
            self._identity = file_identity(path.lstat())
        except OSError as error:
            sock.close()
            raise HubfarmError(f"cannot make the control socket {path}: {error.strerror}") from None
        self._site = web.SockSite(self._runner, sock)
        await self._site.start()

    async def mend(self) -> bool:
        """Make the control socket again if somebody has removed it; tell whether it was so.

        Raises
        ------
        HubfarmError
            It cannot be made, now.
        """
        try:
            if file_identity(self._paths.control_socket.lstat()) == self._identity:
                return False
        except OSError:
            pass
        if self._site is not None:
            await self._site.stop()
        await self._listen()
        return True

    async def serve_metrics(self, address: str) -> None:
        """Serve ``/metrics`` on TCP at ``ADDRESS:PORT`` too, or no longer if `address` is empty.

        Raises
        ------
        HubfarmError
            The address cannot be had.
        """
        if self._tcp is not None and self._tcp[0] != address:
            await self._tcp[1].cleanup()
            self._tcp = None
        if not address or self._tcp is not None:
            return
        app = web.Application()
        app.add_routes([web.get("/metrics", self._show_metrics)])
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        host, _, port = address.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await runner.cleanup()
            raise HubfarmError(f"cannot serve metrics at {address}: {error.strerror}") from None
        self._tcp = (address, runner)

    async def close(self) -> None:
        """Stop listening, once what is under way is answered, and remove the socket."""
        if self._tcp is not None:
            await self._tcp[1].cleanup()
        if self._runner is not None:
            await self._runner.cleanup()
            with contextlib.suppress(OSError):
                if file_identity(self._paths.control_socket.lstat()) == self._identity:  # not another coordinator's
                    self._paths.control_socket.unlink()

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "pid": os.getpid(),
                "version": __version__,
                "uptime": time.monotonic() - self._started,
                "hubs": [hub.describe(self._paths) for hub in self._supervisor.hubs.values()],
            }
        )

    async def _show_metrics(self, _: web.Request) -> web.Response:
        from hubfarm.coordinator.metrics import metrics  # 40 ms to load, which most farms never need

        text = metrics(self._supervisor, self._paths)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _start_hubs(self, request: web.Request) -> web.StreamResponse:
        if self._supervisor.closing:
            return web.Response(status=503, text="the coordinator is ending")
        try:
            plan = read_plan(await request.json())
        except (WrongUse, ValueError) as error:
            return web.Response(status=400, text=str(error))
        self._starting += 1
        try:
            response = await self._stream(request, lambda told: self._supervisor.start(plan, told))
        finally:
            self._starting -= 1
        self._proven = self._proven or bool(self._supervisor.hubs)
        if not (self._proven or self._starting):
            # Started for hubs that could not start: nothing is to be left of it.
            self._shut_down()
        return response

    async def _stop_hubs(self, request: web.Request) -> web.StreamResponse:
        ids = [int(number) for number in (await request.json())["ids"]]
        return await self._stream(request, lambda told: self._supervisor.stop(ids, told))

    async def _restart_hubs(self, request: web.Request) -> web.StreamResponse:
        ids = [int(number) for number in (await request.json())["ids"]]
        return await self._stream(request, lambda told: self._supervisor.restart(ids, told))

    async def _begin_shutdown(self, _: web.Request) -> web.Response:
        self._shut_down()
        return web.json_response({"pid": os.getpid()})

    async def _stream(
        self, request: web.Request, work: Callable[[Callable[[ManagedHub], Awaitable[None]]], Awaitable[None]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)

        async def tell(line: dict[str, Any]) -> None:
            await response.write(json.dumps(line).encode() + b"\n")

        async def told(hub: ManagedHub) -> None:
            await tell(hub.describe(self._paths))

        try:
            await work(told)
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
