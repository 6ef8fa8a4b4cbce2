"""A gateway in the test's own loop, and hubs that are as simple as can be: what passes between both is seen."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from hubfarm.gateway.hubs import WebHub
from hubfarm.gateway.process import Gateway
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import HubNames
from hubfarm.registry.statetable import HubName
from hubfarm.samp.xmlrpc import decode_call, decode_response, encode_call, encode_response
from hubfarm.wire.loopback import listen_on_loopback

A = "https://a.example"


class SimpleHub:
    """A hub that registers whoever comes to its door, and answers everything else with what it was told to."""

    def __init__(self, label: str, number: int) -> None:
        self.label, self.number = label, number
        self.token, self.door = secrets.token_hex(8), secrets.token_hex(32)
        self.seen: list[tuple[str, list[Any], dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.readable: set[str] = set()
        self.pulled: list[dict[str, str]] = []
        self.registered = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> "SimpleHub":
        self.server = await asyncio.get_running_loop().create_server(web.Server(self._answer), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    @property
    def hub(self) -> WebHub:
        names = HubNames(self.label, "", "", HubName(1, self.number), Path("/"), False)
        return WebHub(names, f"http://127.0.0.1:{self.port}/xmlrpc", self.token, self.door)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("X-Hubfarm-Door") != f"web {self.door}":
            return web.Response(status=403)
        if request.path == "/may-read":
            return web.Response(status=200 if request.query["url"] in self.readable else 403)
        if request.path == "/pulled":
            self.pulled.append(dict(request.query))
            return web.Response()
        body = await request.read()
        call = decode_call(body)
        self.bodies.append(body)
        self.seen.append((call.method, list(call.params), dict(request.headers)))
        await self.gate.wait()
        if call.method == "samp.webhub.register":
            self.registered += 1
            told = {"samp.private-key": f"{self.token}.{secrets.token_hex(16)}", "samp.self-id": f"c{self.registered}"}
            return web.Response(body=encode_response({**told, "samp.hub-id": "hub"}))
        return web.Response(body=encode_response(f"{self.label} has done {call.method}"))


class Rig:
    """A gateway, its hubs, and a browser's way to it."""

    def __init__(self, paths: Paths, hubs: list[SimpleHub]) -> None:
        self.hubs = hubs
        (self.sock,) = [sock for place, sock in listen_on_loopback(0).items() if place == "127.0.0.1"][:1]
        self.port = self.sock.getsockname()[1]
        self.gateway = Gateway(paths, [self.sock], None, lambda: None)
        self.gateway._hubs._read = lambda: [each.hub for each in hubs]  # type: ignore[method-assign]
        self.gateway._hubs._lives = lambda hub: any(each.token == hub.token for each in hubs)  # type: ignore
        self.token = self.gateway._console._token
        self.base = f"http://localhost:{self.port}"

    async def call(self, method: str, *params: Any, origin: str | None = A, referer: str = "", **more: str) -> Any:
        """Call the Web Profile as a page would."""
        headers = {**({"Origin": origin} if origin else {}), **({"Referer": referer} if referer else {}), **more}
        body = encode_call(f"samp.webhub.{method}", list(params))
        async with self.session.post(f"{self.base}/", data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return decode_response(await answer.read())

    async def register(self, name: str = "Viewer", origin: str | None = A, **more: Any) -> dict[str, str]:
        told = await self.call("register", {"samp.name": name}, origin=origin, **more)
        assert isinstance(told, dict)
        return told  # type: ignore[return-value]

    async def api(self, what: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Ask the console as the user's browser would."""
        headers = {"Authorization": f"Bearer {self.token}"} | headers
        url = f"{self.base}/hubfarm/api/{what}"
        if body is None:
            asking = self.session.get(url, headers=headers)
        else:
            asking = self.session.post(url, json=body, headers=headers)
        async with asking as answer:
            return answer.status, await answer.json()

    async def state(self) -> dict[str, Any]:
        status, told = await self.api("state")
        assert status == 200, told
        return told

    async def question(self, of: Callable[[dict[str, Any]], bool] = lambda each: True) -> dict[str, Any]:
        """Wait until a page asks, and return its question."""
        while True:
            for each in (await self.state())["waiting"]:
                if of(each):
                    return dict(each)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def rig(paths: Paths, *labels: str) -> AsyncIterator[Rig]:
    """Run a gateway, and hubs of these labels."""
    hubs = [await SimpleHub(label, number).start() for number, label in enumerate(labels, 1)]
    one = Rig(paths, hubs)
    ready = asyncio.Event()
    running = asyncio.create_task(one.gateway.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as one.session:
            if running.done():
                await running
            yield one
    finally:
        one.gateway._ended.set()
        await running
        for each in hubs:
            each.gate.set()
            each.server.close()
