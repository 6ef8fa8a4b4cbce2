"""What a page is told to do at its desktop, and what it brings; who may have that."""

import asyncio
import os
from pathlib import Path
from typing import Any
from xmlrpc.client import dumps, loads

import aiohttp
import pytest

from hubfarm.access.host_accounts import name_of
from hubfarm.client.aio import AsyncClient
from hubfarm.dashboard import desktop_view
from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import Page, dashboard, page
from tests.support import PATIENCE, Receiver, in_a_loop, message

BASE = "http://localhost:8621/"


class Desktop:
    """A desktop's hub as the page knows it, which lets everybody in."""

    def __init__(self, one: Page) -> None:
        self.page = one
        self.said: list[tuple[str, Any]] = []
        self.waiting: list[str] = []

    async def bring(self, told: dict[str, Any], what: bytes = b"", **query: str) -> tuple[int, dict[str, Any]]:
        """Bring something."""
        query = {"hub": "1", "id": told["id"], **query}
        return await self.page.ask("POST", "post/desktop", params=query, data=what)

    async def heed(self, told: dict[str, Any]) -> None:
        """Answer a call, but for pulls, which wait."""
        params, method = loads(told["post"])
        name = str(method).removeprefix("samp.webhub.")
        self.said.append((name, params))
        answers: dict[str, Any] = {
            "register": {"samp.private-key": "key", "samp.self-id": "c1", "samp.hub-id": "hub"},
            "getRegisteredClients": ["hub", "c2"],
            "getMetadata": {"samp.name": "TOPCAT"},
            "getSubscriptions": {"table.*": {}},
        }
        if name == "pullCallbacks":
            self.waiting.append(told["id"])
            return
        body = dumps((answers.get(name, ""),), methodresponse=True).encode()
        assert await self.bring(told, body) == (204, {"text": ""})


async def until_joined(told: Any, desktop: Desktop) -> None:
    async for data in told:
        if "post" in data:
            await desktop.heed(data)
        elif data["state"]["joined"]:
            return
    raise AssertionError("the page was told no more")


async def called(told: Any, desktop: Desktop, method: str) -> Any:
    """Go on until a method is called; return its parameters."""
    async for data in told:
        if "post" in data:
            await desktop.heed(data)
            if desktop.said[-1][0] == method:
                return desktop.said[-1][1]
    raise AssertionError("the page was told no more")


@in_a_loop
async def test_page_makes_the_calls_and_files_go_out_without_a_login(
    farm: Farm, receiver: Receiver, home: Path
) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "notebook", "table.*")
    (home / "m31.xml").write_text("a table")
    with dashboard() as shown:
        async with page(shown) as one, one.listen("desktop", hub="1", base=BASE, join=True) as told:
            desktop = Desktop(one)
            await until_joined(told, desktop)
            assert [name for name, _ in desktop.said[:2]] == ["ping", "register"]
            ids = [id for id in receiver.hub.getRegisteredClients(receiver.key) if id != "hub"]
            proxy = next(
                id for id in ids if receiver.hub.getMetadata(receiver.key, id).get("samp.name") == "TOPCAT (desktop)"
            )
            url = (home / "m31.xml").as_uri()
            receiver.hub.notify(receiver.key, proxy, message("table.load.votable", url=url))
            _, recipient, sent = await called(told, desktop, "notify")
            assert recipient == "c2"
            served = sent["samp.params"]["url"]
            assert served.startswith(f"{BASE}file/")
            path = served.removeprefix(BASE)
            async with aiohttp.ClientSession() as stranger:
                async with stranger.get(f"{shown.origin}/{path}") as answer:
                    assert (answer.status, await answer.text()) == (200, "a table")
                async with stranger.get(f"{shown.origin}/{path}", headers={"Range": "bytes=2-4"}) as answer:
                    assert (answer.status, await answer.text()) == (206, "tab")
                token = path.split("/")[1]
                for guess in (f"file/{token[:-1]}x/m31.xml", "file/x/../m31.xml", "file//m31.xml", f"file/{token}"):
                    async with stranger.get(f"{shown.origin}/{guess}") as answer:
                        assert answer.status == 404
                async with stranger.get(f"{shown.origin}/{path}", headers={"Host": "evil.example"}) as answer:
                    assert answer.status == 403
            assert await desktop.bring({"id": "nobody waits for that"}, b"x") == (204, {"text": ""})
            await one.act("desktop-part", hub="1")
            assert (await one.ask("GET", path))[0] == 404


@in_a_loop
async def test_what_a_page_may_not_ask_is_refused(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    farm.users.add("anna", password="hunter2 hunter2")
    farm.start(label="night", access="users")
    monkeypatch.setattr(desktop_view, "LONGEST_PULLED", 100)
    with dashboard() as shown:
        async with page(shown) as one:
            for asked, why in (
                ({"hub": "1", "base": BASE}, "not joined"),
                ({"hub": "7", "base": BASE, "join": True}, "no such hub"),
                ({"hub": "1", "base": "file:///", "join": True}, "where it is"),
                ({"hub": "1", "base": "http://x/?a", "join": True}, "where it is"),
                ({"hub": "1", "base": f"http://{'x' * 3000}/", "join": True}, "where it is"),
            ):
                async with one.listen("desktop", **asked) as told:
                    with pytest.raises(AssertionError, match=why):
                        await anext(told)
            async with one.listen("desktop", hub="1", base=BASE, join=True) as told:
                async for data in told:
                    if "post" in data:
                        break
                status, answer = await Desktop(one).bring(data, b"x" * 101)
                assert (status, "too long" in answer["error"]) == (400, True)
        async with page(shown, enters=False) as anna:
            assert (await anna.ask("POST", "post/desktop", data=b""))[0] == 401
            assert await anna.enter(user="anna", password="hunter2 hunter2") == 200
            async with anna.listen("desktop", hub="1", base=BASE, join=True) as told:
                with pytest.raises(AssertionError, match="for the owner of the hub"):
                    await anext(told)


@in_a_loop
async def test_page_that_cannot_says_why(farm: Farm) -> None:
    farm.start(label="night")
    with dashboard() as shown:
        async with page(shown) as one, one.listen("desktop", hub="1", base=BASE, join=True) as told:
            desktop = Desktop(one)
            async for data in told:
                if "post" in data:
                    await desktop.bring(data, failed="no hub answers <b>there</b>")
                elif "no hub answers <b>there</b>" in data["state"]["trouble"]:
                    break


@in_a_loop
async def test_account_joins_a_restricted_hub_by_its_own_name(farm: Farm) -> None:
    farm.users.add("anna", password="hunter2 hunter2")
    farm.start(label="night", access="users")
    async with AsyncClient("looker", label="night", user="anna", password="hunter2 hunter2") as looker:

        async def users() -> list[str]:
            said = [await looker.get_metadata(id) for id in await looker.get_registered_clients()]
            return [each["hubfarm.user"] for each in said if each.get("samp.name") == "TOPCAT (desktop)"]

        with dashboard() as shown:
            async with page(shown) as one, one.listen("desktop", hub="1", base=BASE, join=True) as told:
                await until_joined(told, Desktop(one))
                async with asyncio.timeout(PATIENCE):
                    while await users() != [name_of(os.getuid())]:
                        await asyncio.sleep(0.05)
