"""Icons: fetched from where they may be, bounded, and pictures alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hubfarm.client import guarded_icons as icons
from hubfarm.client.guarded_icons import GuardedIcons
from hubfarm.client.icons import LARGEST
from tests.support import in_a_loop

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


@asynccontextmanager
async def site(asked: list[web.BaseRequest]) -> AsyncIterator[str]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        match request.path:
            case "/icon.png":
                return web.Response(body=PNG, content_type="text/html")
            case "/icon.svg":
                return web.Response(body=b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
            case "/large":
                return web.Response(body=PNG.ljust(LARGEST + 1))
            case "/away":
                return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest"})
            case "/here":
                return web.Response(status=302, headers={"Location": "icon.png"})
            case "/file":
                return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
            case "/round":
                return web.Response(status=302, headers={"Location": "/round"})
            case "/slow":
                await asyncio.Event().wait()
        return web.Response(status=404, body=PNG)

    server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
    try:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@in_a_loop
async def test_pictures_come_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icons, "PATIENCE", 1.0)
    asked: list[web.BaseRequest] = []
    async with site(asked) as origin:
        one = GuardedIcons(far=True)
        assert await one.fetch(f"{origin}/icon.png", for_page=False) == (PNG, "image/png")
        assert await one.fetch(f"{origin}/here", for_page=False) == (PNG, "image/png")
        for path in ("icon.svg", "large", "away", "file", "round", "slow", "nothing"):
            assert await one.fetch(f"{origin}/{path}", for_page=False) == (b"", ""), path
        assert not any(name in request.headers for request in asked for name in ("Cookie", "Authorization", "Referer"))
        before = len(asked)
        await one.fetch(f"{origin}/icon.png", for_page=False)
        assert len(asked) == before  # it is kept


@in_a_loop
async def test_web_page_makes_the_dashboard_ask_nobody_here() -> None:
    asked: list[web.BaseRequest] = []
    async with site(asked) as origin:
        one = GuardedIcons(far=True)
        for url in (origin, origin.replace("localhost", "127.0.0.1"), origin.replace("localhost", "[::1]")):
            assert await one.fetch(f"{url}/icon.png", for_page=True) == (b"", "")
    assert not asked


@in_a_loop
async def test_other_hosts_are_left_alone_if_so_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "http://192.0.2.1/icon.png",
        "ftp://localhost/x.png",
        "http://u:p@localhost/x.png",
        "nonsense",
        "http://",
    ):
        assert await GuardedIcons(far=False).fetch(url, for_page=False) == (b"", "")
