"""A hub's clients as a page is told of them, and what is said to them."""

import asyncio
import urllib.request
from typing import Any

from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import dashboard, page
from tests.support import PATIENCE, Receiver, in_a_loop

TABLE = b'<VOTABLE version="1.3"><RESOURCE><TABLE/></RESOURCE></VOTABLE>'


async def seen(told: Any, happened: Any) -> dict[str, Any]:
    """Take what a page is told of clients, until something holds of them."""
    clients: dict[str, Any] = {}
    async for data in told:
        if data["whole"]:
            clients.clear()
        clients |= data["clients"]
        for id in data["gone"]:
            del clients[id]
        if happened(clients):
            return clients
    raise AssertionError("the page was told no more")


@in_a_loop
async def test_clients_come_say_something_and_go(farm: Farm, receiver: Receiver) -> None:
    [hub] = farm.start(label="night")
    with dashboard() as shown:
        async with page(shown) as one, one.listen("clients", hub="1") as told:
            receiver.join_by(hub.lock_file, "TOPCAT", "table.*", "x.y")
            clients = await seen(told, lambda clients: any(each["mtypes"] for each in clients.values()))
            [(id, client)] = clients.items()
            assert (id, client["name"], client["mtypes"]) == (receiver.id, "TOPCAT", ["table.*", "x.y"])
            receiver.hub.notifyAll(receiver.key, {"samp.mtype": "a.b", "samp.params": {}})
            await seen(told, lambda clients: any(each.get("messages") == 1 for each in clients.values()))
            await one.act("disconnect", hub="1", client=id)
            async for data in told:
                if id in data["gone"]:
                    break
            status, answer = await one.ask("POST", "do/disconnect", json={"hub": "1", "client": id})
            assert (status, "there is no such client" in answer["error"]) == (409, True)


@in_a_loop
async def test_messages_are_sent_and_answers_shown(farm: Farm, receiver: Receiver) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "x.y", "samp.app.ping")
    with dashboard() as shown:
        async with page(shown) as one:
            to = {"hub": "1", "client": receiver.id}
            assert await one.act("send", **to, mtype="x.y", params={"a": "1"}) == {"got": 1}
            assert await one.act("send", hub="1", client="", mtype="x.y") == {"got": 1}
            got = await asyncio.to_thread(_next, receiver, "receiveNotification")
            assert got[-1]["samp.params"] == {"a": "1"}
            asking = asyncio.ensure_future(one.act("send", **to, mtype="x.y", call=True))
            await asyncio.to_thread(_next, receiver, "receiveNotification")
            call = await asyncio.to_thread(_next, receiver, "receiveCall")
            response = {"samp.status": "samp.warning", "samp.result": {"r": "2"}, "samp.error": {"samp.errortxt": "e"}}
            await asyncio.to_thread(receiver.hub.reply, receiver.key, call[-2], response)
            answer = await asking
            assert (answer["status"], '"r": "2"' in answer["response"]) == ("samp.warning", True)
            for asked in ({"mtype": "no mtype"}, {"mtype": "x.y", "client": "c99"}):
                status, told = await one.ask("POST", "do/send", json=to | asked)
                assert (status >= 400, "\n" in told["error"]) == (True, False), told


def _next(receiver: Receiver, method: str) -> Any:
    while not (got := receiver.next()).method.endswith(method) or "samp.hub" in str(got.params[-1]):
        pass
    return got.params


@in_a_loop
async def test_file_is_handed_over_and_served(farm: Farm, receiver: Receiver) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "table.load.votable")
    with dashboard() as shown:
        async with page(shown) as one:
            path = f"post/hand?hub=1&client={receiver.id}&name=../../galaxies.vot"
            kind = {"Content-Type": "application/octet-stream"}
            handing = asyncio.ensure_future(one.ask("POST", path, data=TABLE, headers=kind))
            call = await asyncio.to_thread(_next, receiver, "receiveCall")
            assert call[-1]["samp.mtype"] == "table.load.votable"
            url = call[-1]["samp.params"]["url"]
            read = lambda: urllib.request.urlopen(url, timeout=PATIENCE).read()  # noqa: E731
            assert await asyncio.to_thread(read) == TABLE
            await asyncio.to_thread(
                receiver.hub.reply, receiver.key, call[-2], {"samp.status": "samp.ok", "samp.result": {}}
            )
            expected = {"kind": "table", "receipts": [{"name": "TOPCAT", "ok": True, "error": ""}]}
            assert await handing == (200, expected)
            assert (await one.ask("POST", path, data=b"", headers=kind))[1] == {"error": "the file is empty"}
            assert (await one.ask("POST", path, data=TABLE, headers={"Content-Type": "text/plain"}))[0] == 400
            other = kind | {"Origin": "http://evil.example"}
            assert (await one.ask("POST", path, data=TABLE, headers=other))[0] == 403


@in_a_loop
async def test_restricted_hub_is_entered_as_who_looks(farm: Farm) -> None:
    farm.users.add("luigi", "a long password")
    await asyncio.to_thread(lambda: farm.start(label="his", owner="luigi", access="owner"))
    await asyncio.to_thread(lambda: farm.start(label="open"))
    with dashboard() as shown:
        async with page(shown, enters=False) as one, page(shown) as other:
            assert await one.enter(user="luigi", password="a long password") == 200
            async with other.listen("clients", hub="1") as by_account:
                await anext(by_account)
                async with one.listen("clients", hub="1") as by_user:
                    await anext(by_user)
                    clients = await seen(by_account, lambda clients: bool(clients))
                    assert [each["user"] for each in clients.values()] == ["luigi"]
            assert (await one.ask("POST", "do/send", json={"hub": "2", "client": "", "mtype": "x.y"}))[0] == 403
            assert (await one.ask("POST", "do/disconnect", json={"hub": "2", "client": "c1"}))[0] == 403


@in_a_loop
async def test_huge_metadata_is_cut_to_what_can_be_read(farm: Farm, receiver: Receiver) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file)
    metadata: dict[str, Any] = {f"key{n}": "x" * 20_000 for n in range(40)} | {"samp.name": "big" + "n" * 100_000}
    await asyncio.to_thread(receiver.hub.declareMetadata, receiver.key, metadata)
    with dashboard() as shown:
        async with page(shown) as one, one.listen("clients", hub="1") as told:
            clients = await seen(told, lambda clients: any(each["name"].startswith("big") for each in clients.values()))
            assert len(str(clients)) < 50_000
