"""A hub's clients as a page is told of them, and what is said to them."""

import asyncio
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hubfarm.client.aio import AsyncClient
from hubfarm.dashboard import hub_view
from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import dashboard, page
from tests.support import PATIENCE, Receiver, in_a_loop

FILE = {"Content-Type": "application/octet-stream"}
PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
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
            handing = asyncio.ensure_future(one.ask("POST", path, data=TABLE, headers=FILE))
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
            assert (await one.ask("POST", path, data=b"", headers=FILE))[1] == {"error": "the file is empty"}
            assert (await one.ask("POST", path, data=TABLE, headers={"Content-Type": "text/plain"}))[0] == 400
            other = FILE | {"Origin": "http://evil.example"}
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


@in_a_loop
async def test_hub_is_followed_to_its_end(farm: Farm) -> None:
    farm.start(label="night", owner="luigi")
    with dashboard() as shown:
        async with page(shown) as one, one.listen("hub", hub="1") as told:
            first = await anext(told)
            assert (first["facts"]["label"], first["facts"]["owner"], "line" in first) == ("night", "luigi", True)
            async with AsyncClient("a", label="night"):
                async for data in told:
                    if data["now"][0] == 1:
                        break
                assert "line" not in data  # which a page draws on by itself
            pid = first["facts"]["pid"]
            await asyncio.to_thread(farm.restart, ["night"])
            async for data in told:
                if data["facts"]["pid"] != pid:
                    break
            await asyncio.to_thread(farm.stop, ["night"])
            with pytest.raises(AssertionError, match="the hub has ended"):
                async for _ in told:
                    pass
            status, answer = await one.ask("POST", "do/ping", json={"hub": "1", "client": "c1"})
            assert (status, answer["error"]) == (400, "there is no such hub, or no longer")


@in_a_loop
async def test_client_that_answers_is_told_from_one_that_has_gone_or_fails(farm: Farm) -> None:
    farm.start(label="night")
    with dashboard() as shown:
        async with page(shown) as one, AsyncClient("a", label="night") as a:

            @a.on_call("x.fail")
            def fail(message: Any) -> None:
                raise ValueError("no such column")

            await a.declare_subscriptions()
            to = {"hub": "1", "client": str(a.id)}
            assert 0 < (await one.act("ping", **to))["ms"] < 1000 * PATIENCE
            failed = await one.act("send", **to, mtype="x.fail", call=True)
            assert (failed["status"], "no such column" in failed["response"]) == ("samp.error", True)
            for name, asked in (("ping", {}), ("send", {"mtype": "x.fail", "call": True}), ("disconnect", {})):
                status, answer = await one.ask("POST", f"do/{name}", json={"hub": "1", "client": "c99"} | asked)
                assert (status, "c99" in answer["error"] or "no such client" in answer["error"]) == (409, True), answer
            status, answer = await one.ask("POST", "do/send", json=to | {"mtype": "not subscribed.to"})
            assert (status, "not subscribed.to" in answer["error"]) == (400, True)


@contextmanager
def picture_server(content: bytes) -> Iterator[str]:
    """Serve one picture, under whatever name."""

    class Serve(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/svg+xml")  # which nobody believes
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/icon"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(PICTURE, (200, "image/png")), (b"<svg onload='alert(1)'/>", (404, "application/json"))],
    ids=["picture", "script"],
)
def test_icon_is_served_again_if_it_is_a_picture(farm: Farm, content: bytes, expected: tuple[int, str]) -> None:
    @in_a_loop
    async def scenario(url: str) -> None:
        farm.start(label="night")
        with dashboard() as shown:
            async with page(shown) as one, AsyncClient("a", label="night") as a, AsyncClient("b", label="night") as b:
                await a.declare_metadata({"samp.name": "a", "samp.icon.url": url})
                async with one.listen("clients", hub="1") as told:
                    await seen(told, lambda clients: str(a.id) in clients and clients[str(a.id)]["icon"])
                place = f"{one.origin}/get/icon?hub=1&client="
                async with one.session.get(f"{place}{a.id}") as answer:
                    assert (answer.status, answer.content_type) == expected
                    assert "sandbox" in answer.headers["Content-Security-Policy"] or answer.status == 404
                    assert (await answer.read() == content) is (answer.status == 200)
                async with one.session.get(f"{place}{b.id}") as answer:
                    assert answer.status == 404  # it has none, which looks the same
                elsewhere = {"Sec-Fetch-Site": "cross-site"}
                async with one.session.get(f"{place}{a.id}", headers=elsewhere) as answer:
                    assert answer.status == 403

    with picture_server(content) as url:
        scenario(url)


@in_a_loop
async def test_file_that_is_too_large_or_nothing_known_is_refused_and_not_kept(
    farm: Farm, receiver: Receiver, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_view, "LARGEST_HANDED", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "table.load.votable")
    with dashboard() as shown:
        async with page(shown) as one:
            for data, to, why in (
                (TABLE + b" " * 1000, receiver.id, "too large: 1000 bytes"),
                (b"what is this", receiver.id, "cannot read a.txt as a table"),
                (TABLE, "c99", "no client"),
            ):
                status, told = await one.ask("POST", f"post/hand?hub=1&client={to}&name=a.txt", data=data, headers=FILE)
                assert (status, why in told["error"], "\n" in told["error"]) == (400, True, False), told
            assert (await one.ask("POST", "post/hand?hub=7&name=a", data=TABLE, headers=FILE))[0] == 400
            [directory] = home.glob("hubfarm-dashboard-*")
            assert list(directory.iterdir()) == []
    assert not directory.exists()
