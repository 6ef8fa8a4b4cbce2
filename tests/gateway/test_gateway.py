"""The gateway between pages and simple hubs: consent, keys, what passes through, what is refused."""

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from hubfarm.gateway.forward import Forward
from hubfarm.gateway.hubs import Hubs
from hubfarm.registry.paths import Paths
from hubfarm.registry.web_memory import WebMemory
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.xmlrpc import decode_response, encode_call
from tests.gateway.gateway_support import A, Rig, rig
from tests.support import in_a_loop

B = "https://b.example"


async def allowed(one: Rig, origin: str = A, hub: str = "one", lasts: str = "once", **more: Any) -> dict[str, str]:
    """Register a page, and let it in."""
    page = asyncio.create_task(one.register(origin=origin, **more))
    question = await one.question(lambda each: each["origin"] == origin)
    assert await one.api("allow", {"id": question["id"], "hub": hub, "for": lasts}) == (200, {"done": True})
    return await page


# ---------------------------------------------------------------------- coming in


def test_a_page_waits_for_the_user_and_enters_the_hub_that_the_user_says(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one", "two") as one:
            told = await allowed(one, hub="two", referer=f"{A}/page")
            assert told["samp.private-key"].startswith(one.hubs[1].token)
            assert told["samp.url-translator"] == f"{one.base}/read/{told['samp.private-key']}?"
            assert (one.hubs[0].registered, one.hubs[1].registered) == (0, 1)
            (method, params, headers) = one.hubs[1].seen[0]
            assert (method, params, headers["X-Hubfarm-Origin"]) == (
                "samp.webhub.register",
                [{"samp.name": "Viewer"}],
                A,
            )
            state = await one.state()
            assert state["waiting"] == []
            assert [(p["id"], p["name"], p["origin"], p["hub"]) for p in state["pages"]] == [
                ("two/c1", "Viewer", A, "two")
            ]

    test()


def test_no_is_a_fault_and_so_is_silence(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register())
            question = await one.question()
            assert question["hub"] == "one"
            await one.api("deny", {"id": question["id"]})
            with pytest.raises(Fault, match="refused this page"):
                await page
            one.gateway._settings = type(one.gateway._settings)(patience=1.0)
            with pytest.raises(Fault, match="has not answered within 1 s"):
                await one.register()
            assert one.hubs[0].registered == 0
            assert (await one.state())["waiting"] == []

    test()


def test_of_two_answers_the_first_counts_and_is_what_is_remembered(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting, may_note, note = threading.Event(), threading.Event(), WebMemory.note

    def slow(memory: WebMemory, *of: str) -> None:
        noting.set()
        may_note.wait(20)
        note(memory, *of)

    monkeypatch.setattr(WebMemory, "note", slow)

    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register())
            id = (await one.question())["id"]
            yes = asyncio.create_task(one.api("allow", {"id": id, "hub": "one", "for": "always"}))
            await asyncio.to_thread(noting.wait, 20)
            status, told = await one.api("deny", {"id": id})
            may_note.set()
            assert (status, "has been answered" in told["error"], (await yes)[0]) == (400, True, 200)
            await page
            assert [each["hub"] for each in (await one.state())["remembered"]] == ["one"]

    test()


def test_a_yes_that_cannot_be_remembered_leaves_the_question(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(memory: WebMemory, *of: str) -> None:
        raise HubfarmError("no space left")

    monkeypatch.setattr(WebMemory, "note", full)

    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register())
            id = (await one.question())["id"]
            assert (await one.api("allow", {"id": id, "hub": "one", "for": "day"}))[0] == 500
            assert (await one.question())["id"] == id
            assert (await one.api("allow", {"id": id, "hub": "one"}))[0] == 200  # there is nothing to remember
            assert (await page)["samp.self-id"] == "c1"

    test()


def test_a_damaged_file_of_what_is_remembered_is_told_and_who_asks_can_be_answered(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            paths.web_memory.write_text("on = perhaps\n")
            page = asyncio.create_task(one.register())
            question = await one.question()
            state = await one.state()
            assert (state["remembered"], [each["id"] for each in state["waiting"]]) == ([], [question["id"]])
            assert f"{paths.web_memory}: " in state["trouble"]
            assert state["trouble"].endswith("; mend it or remove it")
            status, told = await one.api("allow", {"id": question["id"], "hub": "one", "for": "always"})
            assert (status, told) == (500, {"error": state["trouble"]})
            assert (await one.api("allow", {"id": question["id"], "hub": "one"}))[0] == 200
            assert (await page)["samp.self-id"] == "c1"
            assert paths.web_memory.read_text() == "on = perhaps\n"
            paths.web_memory.unlink()
            assert (await one.state())["trouble"] == ""

    test()


def test_a_question_that_comes_while_the_state_is_put_together_is_told_next(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on, read = threading.Event(), threading.Event(), WebMemory.read

    def slow(memory: WebMemory) -> Any:
        reading.set()
        go_on.wait(20)
        return read(memory)

    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            with monkeypatch.context() as patched:
                patched.setattr(WebMemory, "read", slow)
                looking = asyncio.create_task(one.state())
                await asyncio.to_thread(reading.wait, 20)
                one.gateway._board.change()
                go_on.set()
                state = await looking
            assert state["edition"] < one.gateway._board.edition

    test()


def test_a_question_goes_when_its_page_does(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register())
            question = await one.question()
            page.cancel()
            while (await one.state())["waiting"]:
                await asyncio.sleep(0.01)
            status, told = await one.api("allow", {"id": question["id"], "hub": "one"})
            assert (status, "has gone" in told["error"]) == (400, True)

    test()


def test_always_is_remembered_for_this_origin_and_no_other(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one", "two") as one:
            await allowed(one, hub="two", lasts="always")
            await one.register()  # unasked
            assert one.hubs[1].registered == 2
            (remembered,) = (await one.state())["remembered"]
            assert (remembered["origin"], remembered["hub"], remembered["allowed"]) == (A, "two", "always")
            other = asyncio.create_task(one.register(origin=B))
            await one.question(lambda each: each["origin"] == B)
            other.cancel()
            await one.api("forget", {"id": A})
            again = asyncio.create_task(one.register())
            assert (await one.question(lambda each: each["origin"] == A))["hubs"][0]["label"] == "one"
            again.cancel()

    test()


def test_who_was_let_in_once_is_asked_again_that_hub_first(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one", "two") as one:
            await allowed(one, hub="two")
            again = asyncio.create_task(one.register())
            assert [hub["label"] for hub in (await one.question())["hubs"]] == ["two", "one"]
            again.cancel()

    test()


@pytest.mark.parametrize("origin", ["null", None])
def test_what_cannot_be_told_from_others_is_let_in_this_time_only(paths: Paths, origin: str | None) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register(origin=origin))
            question = await one.question()
            assert not question["rememberable"]
            status, told = await one.api("allow", {"id": question["id"], "hub": "one", "for": "always"})
            assert (status, "this once only" in told["error"]) == (400, True)
            assert (await one.api("allow", {"id": question["id"], "hub": "one"}))[0] == 200
            await page
            assert (await one.state())["remembered"] == []

    test()


def test_old_pages_introduce_themselves_by_a_string_and_others_not_at_all(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            assert await one.call("register", "Old page")
            for wrong in ([], [["x"]], ["a", "b"]):
                with pytest.raises(Fault, match="takes one parameter"):
                    await one.call("register", *wrong)

    test()


def test_an_origin_that_is_trusted_waits_for_its_hub_no_longer_than_for_an_answer(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "two") as one:  # the hub "one" does not run
            page = asyncio.create_task(one.register())
            assert [hub["label"] for hub in (await one.question())["hubs"]] == ["two"]
            page.cancel()

    test()


def test_without_a_hub_a_page_is_told_so(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths) as one:
            for method in ("ping", "register"):
                with pytest.raises(Fault, match="hubfarm start"):
                    await one.call(method, *([] if method == "ping" else [{"samp.name": "x"}]))

    test()


# ---------------------------------------------------------------------- once in


def test_calls_pass_to_the_hub_of_the_key_and_back_unchanged(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            key = (await one.register())["samp.private-key"]
            assert await one.call("notifyAll", key, {"samp.mtype": "x"}) == "one has done samp.webhub.notifyAll"
            body = (
                b"<?xml version='1.0'?> <!-- as it is -->" + encode_call("samp.webhub.getRegisteredClients", [key])[21:]
            )
            async with one.session.post(f"{one.base}/", data=body, headers={"Origin": A}) as answer:
                assert answer.status == 200
            assert one.hubs[0].bodies[-1] == body

    test()


def test_a_key_is_good_for_its_origin_only(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            key = (await one.register())["samp.private-key"]
            for origin in (B, "null", None):
                with pytest.raises(Fault, match="page of another origin"):
                    await one.call("pullCallbacks", key, "0", origin=origin)
            assert [method for method, _, _ in one.hubs[0].seen] == ["samp.webhub.register"]

    test()


def test_unknown_keys_and_methods_are_faults(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            import hubfarm.gateway.forward

            hubfarm.gateway.forward.PATIENCE = 0.2
            try:
                with pytest.raises(Fault, match="does not run any more"):
                    await one.call("notifyAll", "0123456789abcdef.xyz", {})
            finally:
                hubfarm.gateway.forward.PATIENCE = 15.0
            body = encode_call("samp.hub.register", ["secret"])
            async with one.session.post(f"{one.base}/", data=body) as answer:
                assert b"unknown method" in await answer.read()
            for body in (b"", b"no XML", b"\xff" * 100):
                async with one.session.post(f"{one.base}/", data=body) as answer:
                    assert b"fault" in await answer.read()

    test()


def test_one_slow_page_does_not_stop_another(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            key = (await one.register())["samp.private-key"]
            one.hubs[0].gate.clear()
            pulls = [asyncio.create_task(one.call("pullCallbacks", key, "600")) for _ in range(100)]
            while len(one.hubs[0].seen) < 101:
                await asyncio.sleep(0.01)
            assert await one.call("ping") == ""
            one.hubs[0].gate.set()
            assert set(await asyncio.gather(*pulls)) == {"one has done samp.webhub.pullCallbacks"}

    test()


def test_a_hub_that_is_being_replaced_is_waited_for(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            hub = one.hubs[0]
            key = (await one.register())["samp.private-key"]
            token, door = hub.token, hub.door
            hub.server.close()
            one.hubs.clear()
            calling = asyncio.create_task(one.call("getRegisteredClients", key))
            await asyncio.sleep(0.2)
            assert not calling.done()
            successor = await type(hub)("one", 1).start()
            successor.token, successor.door = token, door
            one.hubs.append(successor)
            assert await calling == "one has done samp.webhub.getRegisteredClients"
            successor.server.close()

    test()


def test_a_gateway_that_was_killed_has_left_what_its_successor_needs(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            key = (await one.register())["samp.private-key"]
            one.gateway._write_down()
            again = type(one.gateway._pages)(trusting)
            again.recall(0.0)
            page = again.of(key)
            assert page is not None
            assert (page.origin, page.hub) == (A, "one")
            assert trusting.web_pages.stat().st_mode & 0o777 == 0o600

    test()


def test_the_user_disconnects_a_page(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            await one.register()
            assert await one.api("disconnect", {"id": "one/c1"}) == (200, {"done": True})
            assert one.hubs[0].seen[-1][0] == "samp.webhub.unregister"
            assert (await one.state())["pages"] == []
            assert (await one.api("disconnect", {"id": "one/c1"}))[0] == 400

    test()


def test_it_ends_when_no_page_has_been_there_for_a_while(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            one.gateway._settings = type(one.gateway._settings)(idle=1.0)
            while paths.web_socket.exists():
                await asyncio.sleep(0.05)

    test()


# ---------------------------------------------------------------------- browsers and attackers


def test_preflights_of_both_generations(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            asked = {
                "Origin": A,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
                "Access-Control-Request-Private-Network": "true",
            }
            async with one.session.options(f"{one.base}/", headers=asked) as answer:
                assert (answer.status, await answer.read()) == (200, b"")
                told = answer.headers
            assert told["Access-Control-Allow-Origin"] == A
            assert "POST" in told["Access-Control-Allow-Methods"]
            assert "Content-Type" in told["Access-Control-Allow-Headers"]
            assert told["Access-Control-Allow-Private-Network"] == "true"
            assert "Access-Control-Allow-Credentials" not in told
            async with one.session.post(f"{one.base}/", data=b"", headers={"Origin": A}) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == A

    test()


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "evil.example", "localhost:1", "127.0.0.1", "localhost.evil:{port}"]
)
def test_a_host_name_that_was_turned_to_this_host_is_refused(paths: Paths, host: str) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            headers = {"Host": host.format(port=one.port), "Origin": "http://evil.example"}
            for path in ("", "hubfarm/", "hubfarm/api/state", "read/x?file:///etc/passwd"):
                async with one.session.get(f"{one.base}/{path}", headers=headers) as answer:
                    assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (403, False)
            async with one.session.post(f"{one.base}/", data=b"", headers=headers) as answer:
                assert answer.status == 403

    test()


def test_the_page_that_asks_cannot_reach_the_page_that_answers(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register())
            answer = {"id": (await one.question())["id"], "hub": "one"}
            for headers in (
                {"Authorization": ""},
                {"Authorization": "Bearer wrong"},
                {"Origin": A},
                {"Origin": "null"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
            ):
                for what, body in (("allow", answer), ("state", None)):
                    status, told = await one.api(what, body, **headers)
                    assert status == 403, (headers, told)
            asked = {
                "Origin": A,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            async with one.session.options(f"{one.base}/hubfarm/api/allow", headers=asked) as told:
                assert not any(name.startswith("Access-Control") for name in told.headers)
                assert told.status == 403
            async with one.session.get(f"{one.base}/hubfarm/", headers={"Origin": A}) as told:
                assert told.status == 200
                assert told.headers["X-Frame-Options"] == "DENY"
                assert "frame-ancestors 'none'" in told.headers["Content-Security-Policy"]
                assert "unsafe" not in told.headers["Content-Security-Policy"]
                assert not any(name.startswith("Access-Control") for name in told.headers)
                assert "Set-Cookie" not in told.headers
                assert one.token not in await told.text()
            assert not page.done()
            page.cancel()

    test()


def test_its_own_page_may_answer(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register())
            answer = {"id": (await one.question())["id"], "hub": "one"}
            ours = {"Origin": one.base, "Sec-Fetch-Site": "same-origin"}
            assert await one.api("allow", answer, **ours) == (200, {"done": True})
            await page

    test()


def test_a_long_request_is_read_on_only_from_a_page(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            key = (await one.register())["samp.private-key"]
            long = {"samp.mtype": "x", "samp.params": {"text": "y" * 300_000}}
            assert "notifyAll" in str(await one.call("notifyAll", key, long))
            for start in ("0123456789abcdef.no", "", key):
                with pytest.raises(Fault, match="taken from registered pages only"):
                    await one.call("notifyAll", start, long, origin=B)
            with pytest.raises(Fault, match="taken from registered pages only"):
                await one.call("register", {"samp.name": "x" * 300_000})
            async with one.session.post(f"{one.base}/", data=b"", headers={"Content-Length": "999999999"}) as answer:
                assert answer.status in (400, 413)
            assert one.gateway._front._held == 0

    test()


def test_thousands_of_registrations_are_few_questions_and_the_gateway_serves_on(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            refused = 0

            async def ask(number: int) -> None:
                nonlocal refused
                try:
                    await one.register(origin=f"https://{number % 100}.example")
                except Fault:
                    refused += 1

            asking = [asyncio.create_task(ask(number)) for number in range(2000)]
            while refused < 1900:
                await asyncio.sleep(0.01)
            state = await one.state()
            assert len(state["waiting"]) == 20
            assert all(question["pages"] == 5 for question in state["waiting"])
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            assert one.hubs[0].registered == 0

    test()


def test_a_name_of_ten_kilobytes_and_markup_is_text(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register(name="<script>alert(1)</script>\u202e" + "x" * 10_000))
            name = (await one.question())["name"]
            assert name.startswith("<script>")  # as text: `consent.js` makes no markup of it
            assert name.isprintable()
            assert len(name) < 200
            page.cancel()

    test()
    source = (Path(__file__).parents[2] / "hubfarm/gateway/page/consent.js").read_text()
    assert "innerHTML" not in source
    assert "insertAdjacentHTML" not in source


# ---------------------------------------------------------------------- the URL translator


def test_what_the_hub_permits_is_read_and_nothing_else(trusting: Paths, tmp_path: Path) -> None:
    table, secret = tmp_path / "a table.xml", tmp_path / "secret"
    table.write_bytes(b"<VOTABLE>" + b"x" * 1_000_000)
    secret.write_bytes(b"secret")

    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            translator = (await one.register())["samp.url-translator"]
            one.hubs[0].readable = {table.as_uri(), "file:///dev/zero", f"file://{tmp_path}/../x"}

            async def read(behind: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
                from yarl import URL

                headers = {"Origin": A} | headers
                async with one.session.request(
                    method, URL(translator + behind, encoded=True), headers=headers
                ) as answer:
                    return answer.status, await answer.read(), answer.headers

            from urllib.parse import quote

            for behind in (table.as_uri(), quote(table.as_uri(), safe="")):
                status, body, headers = await read(behind)
                assert (status, body == table.read_bytes()) == (200, True)
            assert headers["Access-Control-Allow-Origin"] == A
            assert "sandbox" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            status, body, headers = await read(table.as_uri(), Range="bytes=2-8")
            assert (status, body, headers["Content-Range"]) == (206, b"OTABLE>"[:7], "bytes 2-8/1000009")
            assert (await read(table.as_uri(), Range="bytes=2000000-"))[0] == 416
            status, body, headers = await read(table.as_uri(), "HEAD")
            assert (status, body, headers["Content-Length"]) == (200, b"", "1000009")
            for behind, expected in (
                (secret.as_uri(), 403),
                ("file:///etc/passwd", 403),
                ("file:///dev/zero", 403),
                (f"file://{tmp_path}/../x", 403),
                ("", 404),
            ):
                assert (await read(behind))[0] == expected, behind
            assert (await read(table.as_uri(), Origin=B))[0] == 403
            one.hubs[0].readable.add((tmp_path / "nothing").as_uri())
            assert (await read((tmp_path / "nothing").as_uri()))[0] == 404

    test()


def test_it_fetches_what_the_hub_permits_and_is_no_proxy(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        from aiohttp import web

        hits: list[str] = []

        async def serve(request: web.BaseRequest) -> web.Response:
            hits.append(request.path)
            if request.path == "/to-another-host":
                return web.Response(status=302, headers={"Location": "http://[::1]:1/secret"})
            if request.path == "/to-here":
                return web.Response(status=302, headers={"Location": "/table"})
            if request.path == "/round":
                return web.Response(status=302, headers={"Location": "/round"})
            return web.Response(body=b"table", content_type="text/html")

        server = await asyncio.get_running_loop().create_server(web.Server(serve), "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with rig(trusting, "one") as one:
            translator = (await one.register())["samp.url-translator"]
            paths_ = ("table", "to-another-host", "to-here", "round")
            one.hubs[0].readable = {f"{base}/{path}" for path in paths_} | {"ftp://h/x", "http://user:pass@127.0.0.1/"}

            async def read(url: str) -> tuple[int, bytes]:
                from yarl import URL

                async with one.session.get(URL(translator + url, encoded=True), headers={"Origin": A}) as answer:
                    assert "sandbox" in answer.headers["Content-Security-Policy"]
                    return answer.status, await answer.read()

            assert await read(f"{base}/table") == (200, b"table")
            assert await read(f"{base}/to-here") == (200, b"table")
            assert (await read(f"{base}/round"))[0] == 502
            before = len(hits)
            for url in (f"{base}/to-another-host", f"{base}/other", "ftp://h/x", "http://user:pass@127.0.0.1/"):
                assert (await read(url))[0] == 403, url
            assert hits[before:] == ["/to-another-host"]
        server.close()

    test()


def test_a_name_that_turns_to_this_host_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubfarm.gateway.translator import _Resolver

    @in_a_loop
    async def test() -> None:
        resolver = _Resolver()

        async def turned(host: str, port: int, family: Any) -> list[Any]:
            return [{"host": address} for address in ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0")]

        monkeypatch.setattr(resolver._resolver, "resolve", turned)
        with pytest.raises(OSError, match="leads to this host"):
            await resolver.resolve("archive.example", 80, socket.AF_INET)
        assert len(await resolver.resolve("localhost", 80, socket.AF_INET)) == 4

    test()


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another account takes root")
def test_a_program_of_another_account_is_told_whose_port_it_is(trusting: Paths) -> None:
    import subprocess

    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            ask = (
                "import sys, http.client as h; c = h.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=10);"
                "h = {'Origin': 'https://a.example', 'Host': 'localhost:' + sys.argv[1]};"
                "c.request('POST', '/', sys.argv[2], h);"
                "a = c.getresponse(); print(a.status, a.getheader('Access-Control-Allow-Origin'), a.read().decode())"
            )
            body = encode_call("samp.webhub.register", [{"samp.name": "x"}]).decode()
            process = await asyncio.create_subprocess_exec(
                "/usr/bin/python3", "-c", ask, str(one.port), body, stdout=subprocess.PIPE, user=65534, group=65534
            )
            said = (await process.communicate())[0].decode()
            assert said.startswith("200 https://a.example")
            assert "held by the account root and this page is of the account nobody" in said
            assert one.hubs[0].registered == 0

    test()


def test_hub_that_speaks_tls_is_reached_by_its_certificate(farm: Farm) -> None:
    farm.start(label="safe", tls=True)

    @in_a_loop
    async def test() -> None:
        hubs = Hubs(farm.paths)
        forward = Forward(hubs)
        (hub,) = await hubs.all(anew=True)
        assert hub.url.startswith("https:")
        for _ in range(2):
            answer = await forward.post(hub, encode_call("samp.webhub.ping", []), A)
            assert decode_response(answer.body) == ""
        await forward.close()

    test()
