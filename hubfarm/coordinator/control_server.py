"""The control API: HTTP and JSON on a Unix socket that only the user can reach.

``GET /`` tells who coordinates what; ``POST /hubs``, ``/stop`` and ``/restart`` answer with one
JSON object a line as things happen, the last one ``{"done": true}`` or ``{"error": …}``;
``POST /shutdown`` ends the farm; ``GET /metrics`` is for Prometheus, on TCP too if so set.  A body that is
not what is asked for is answered with a 400 and one line that says why.
"""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from loguru import logger

from hubfarm.coordinator.admission import Plan
from hubfarm.coordinator.hubs import Hubs
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.supervisor import Told
from hubfarm.registry.files import file_identity
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import decode_requests, specs_for
from hubfarm.version import __version__

CLOSE_TIMEOUT = 1.0
"""How long the end of the farm waits for connections that are still open, seconds.

By then every request has been answered: what is left came too late, and aiohttp does not read it.
"""

Tell = Callable[[dict[str, Any]], Awaitable[None]]


class _Ids(msgspec.Struct, forbid_unknown_fields=True):
    """What ``/stop`` and ``/restart`` take: which hubs."""

    ids: list[int]


def ids_in(body: bytes) -> list[int]:
    """Return the hubs that a request to ``/stop`` or ``/restart`` names.

    Raises
    ------
    WrongUse
        It is no such request.

    Examples
    --------
    >>> ids_in(b'{"ids": [1, 2]}')
    [1, 2]
    """
    try:
        return msgspec.json.decode(body, type=_Ids).ids
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WrongUse(f"not a request: {error}") from None


def plan_in(body: bytes) -> Plan:
    """Return what a request to ``/hubs`` asks for.

    Raises
    ------
    WrongUse
        It is no such request, or asks for what no hub can be.
    """
    requests = decode_requests(body)
    return lambda used: specs_for(requests, used)


class Control:
    """The control API of one coordinator.

    Parameters
    ----------
    hubs : Hubs
        Those that it is about.
    paths : Paths
        Where the socket lies.
    shut_down : callable
        Begins the end of the farm.
    """

    def __init__(self, hubs: Hubs, paths: Paths, shut_down: Callable[[], None]) -> None:
        self._hubs = hubs
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
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=CLOSE_TIMEOUT,
            auto_decompress=False,  # nobody sends it compressed, and aiohttp answers what it cannot unpack by a 500
        )
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
                "hubs": [hub.state() for hub in self._hubs.by_id().values()],
            }
        )

    async def _show_metrics(self, _: web.Request) -> web.Response:
        from hubfarm.coordinator.metrics import metrics  # 40 ms to load, which most farms never need

        text = metrics(self._hubs, self._paths)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _start_hubs(self, request: web.Request) -> web.StreamResponse:
        if self._hubs.supervisor.closing:
            return web.Response(status=503, text="the coordinator is ending")
        try:
            plan = plan_in(await request.read())
        except WrongUse as error:
            return _refusal(error)
        self._starting += 1
        try:
            response = await self._stream(request, lambda told: self._hubs.start(plan, told))
        finally:
            self._starting -= 1
        self._proven = self._proven or bool(self._hubs.by_id())
        if not (self._proven or self._starting):
            # Started for hubs that could not start: nothing is to be left of it.
            self._shut_down()
        return response

    async def _stop_hubs(self, request: web.Request) -> web.StreamResponse:
        return await self._with_ids(request, self._hubs.stop)

    async def _restart_hubs(self, request: web.Request) -> web.StreamResponse:
        return await self._with_ids(request, self._hubs.restart)

    async def _with_ids(
        self, request: web.Request, work: Callable[[list[int], Told[ManagedHub]], Awaitable[None]]
    ) -> web.StreamResponse:
        try:
            ids = ids_in(await request.read())
        except WrongUse as error:
            return _refusal(error)
        return await self._stream(request, lambda told: work(ids, told))

    async def _begin_shutdown(self, _: web.Request) -> web.Response:
        self._shut_down()
        return web.json_response({"pid": os.getpid()})

    async def _stream(
        self, request: web.Request, work: Callable[[Told[ManagedHub]], Awaitable[None]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)

        async def tell(line: dict[str, Any]) -> None:
            await response.write(json.dumps(line).encode() + b"\n")

        async def told(hub: ManagedHub) -> None:
            await tell(hub.state())

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


def _refusal(error: WrongUse) -> web.Response:
    return web.Response(status=400, text=" ".join(str(error).split()))
