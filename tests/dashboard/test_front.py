"""Who is let in by the dashboard, from where, and what its answers say to a browser."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from hubfarm.dashboard import front
from hubfarm.dashboard.socket import MOST_TOPICS
from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import dashboard, free_port, page, page_by_socket, serving
from tests.support import in_a_loop, logged

EVIL = "http://evil.example"


@in_a_loop
async def test_token_opens_and_is_in_no_cookie(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown, enters=False) as one:
            assert (await one.ask("GET", "me"))[0] == 401
            async with one.session.post(
                f"{one.origin}/enter", json={"token": shown.token}, headers={"Origin": one.origin}
            ) as answer:
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
                assert "Path" not in cookie  # it is that of the page, behind a proxy too
                assert shown.token not in cookie
                assert shown.token not in await answer.text()
            assert await one.ask("GET", "me") == (200, {"name": "", "admin": True, "account": True})


@in_a_loop
async def test_wrong_token_old_cookie_and_no_cookie_open_nothing(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            assert await one.enter(token="0" * 48) == 403
            assert await one.enter(token="größe") == 403
            cookies = {each.key: each.value for each in one.session.cookie_jar}
            assert (await one.ask("POST", "leave", json={}))[0] == 200
            old = "; ".join(f"{name}={value}" for name, value in cookies.items())
            async with aiohttp.ClientSession(headers={"Cookie": old, "Origin": one.origin}) as again:
                for method, path in (("GET", "me"), ("POST", "do/stop"), ("GET", "get/icon"), ("POST", "post/hand")):
                    async with again.request(method, f"{one.origin}/{path}", json={}) as answer:
                        assert answer.status == 401, path
                with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
                    await again.ws_connect(f"{one.origin}/ws")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": EVIL}, {"Origin": None}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://[::1"}],
    ids=["other", "none", "null", "fetched", "broken"],
)  # fmt: skip
@in_a_loop
async def test_page_of_another_origin_does_nothing(farm: Farm, headers: dict[str, str | None]) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            status, told = await one.ask("POST", "do/start", json={"label": "x"}, headers=headers)
            assert (status, "may not ask" in told["error"]) == (403, True)
            assert (await one.ask("POST", "enter", json={"token": shown.token}, headers=headers))[0] == 403
            given = {name: value for name, value in ({"Origin": one.origin} | headers).items() if value is not None}
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await one.session.ws_connect(f"{one.origin}/ws", headers=given)
    assert not farm.hubs()


@in_a_loop
async def test_other_port_of_this_host_is_another_origin(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            other = {"Origin": f"http://localhost:{free_port()}"}
            assert (await one.ask("POST", "do/start", json={}, headers=other))[0] == 403


@in_a_loop
async def test_answers_by_its_own_name_alone(farm: Farm) -> None:
    with dashboard(names=["farm.example"]) as shown:
        async with page(shown) as one:
            for host, status in (("evil.example", 403), ("farm.example", 200), ("localhost:9", 200), ("[::1]:9", 200)):
                assert (await one.ask("GET", "", headers={"Host": host}))[0] == status, host


@in_a_loop
async def test_form_of_another_site_could_not_pass_for_json(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            status, told = await one.ask(
                "POST", "do/start", data='{"label": "x"}', headers={"Content-Type": "text/plain"}
            )
            assert (status, told["error"]) == (400, "the request is no JSON")


@in_a_loop
async def test_every_answer_is_strict_with_the_browser(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            hidden = ("page/../front.py", "page/%2e%2e/front.py", "page/..%2ffront.py")
            for path in ("", "page/app.js", "page/theme.css", "me", "nothing", *hidden):
                async with one.session.get(f"{one.origin}/{path}") as answer:
                    policy = answer.headers["Content-Security-Policy"]
                    assert "default-src 'none'" in policy
                    assert "unsafe" not in policy
                    assert "frame-ancestors 'none'" in policy
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert "import asyncio" not in await answer.text()


@in_a_loop
async def test_rubbish_is_one_line(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            for body in ("", "[", "[" * 100_000, '{"hubs": 3}', '{"hubs": [], "more": 1}', "\x00"):
                status, told = await one.ask("POST", "do/stop", data=body, headers={"Content-Type": "application/json"})
                assert (status, "\n" in told["error"]) == (400, False), body[:20]
            kind = {"Content-Type": "application/json"}
            assert (await one.ask("POST", "do/stop", data=b" " * 2**21, headers=kind))[0] == 413
            async with one.session.ws_connect(f"{one.origin}/ws", headers={"Origin": one.origin}) as socket:
                await socket.send_json({"listen": "nothing", "as": 1, "with": {}})
                assert (await socket.receive_json())["over"] == "that cannot be listened to"
                await socket.send_json({"listen": "farm", "as": 1, "with": {"x": 1}})
                assert "unknown field" in (await socket.receive_json())["over"]
                await socket.send_str("no JSON")
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


@in_a_loop
async def test_too_many_guesses_wait(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown, enters=False) as one:
            for _ in range(13):
                assert await one.enter(token="wrong") == 403
            begun = asyncio.get_running_loop().time()
            assert await one.enter(token="wrong") == 403
            assert asyncio.get_running_loop().time() - begun > 0.1


@in_a_loop
async def test_proxy_that_has_asked_comes_by_the_socket(farm: Farm, home: Path) -> None:
    place = home / "socket"
    with serving(socket=place, token=False) as token:
        assert token == ""
        assert place.stat().st_mode & 0o777 == 0o600
        async with page_by_socket(place) as one:
            assert (await one.ask("GET", "me"))[0] == 200
            assert (await one.ask("POST", "do/stop", json={"hubs": []}, headers={"Origin": EVIL}))[0] == 403
            known = {"Origin": "https://jupyter.example", "X-Forwarded-Host": "jupyter.example"}
            assert (await one.ask("POST", "do/stop", json={"hubs": []}, headers=known))[0] == 400
    assert not place.exists()


@in_a_loop
async def test_socket_asks_for_the_token_too(farm: Farm, home: Path) -> None:
    place = home / "socket"
    with serving(socket=place) as token:
        async with page_by_socket(place) as one:
            assert (await one.ask("GET", "me"))[0] == 401
            assert await one.enter(token=token) == 200


@in_a_loop
async def test_what_there_is_not_is_said_and_shows_no_file(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            for method, path in (
                ("POST", "do/nothing"),
                ("GET", "get/nothing"),
                ("POST", "post/nothing"),
                ("GET", "page/index.html"),
                ("GET", "page/front.py"),
                ("GET", "else"),
            ):
                assert await one.ask(method, path, json={}) == (404, {"error": "there is nothing here"}), path
            assert (await one.ask("PUT", "me"))[0] == 405


@in_a_loop
async def test_what_fails_inside_is_logged_and_no_more_is_told(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(Farm, "restart", fail)
    monkeypatch.setattr(Farm, "history", fail)
    farm.start(label="night")
    with dashboard() as shown, logged() as lines:
        async with page(shown) as one:
            status, told = await one.ask("POST", "do/restart", json={"hubs": ["1"]})
            assert (status, told) == (500, {"error": "the dashboard has failed: its log says more"})
            with pytest.raises(AssertionError, match="its log says more"):
                async with one.listen("history") as history:
                    await anext(history)
    assert [line for line in lines if line.startswith("ERROR")] == [
        "ERROR a request failed inside the dashboard",
        "ERROR a view failed inside the dashboard",
    ]


@in_a_loop
async def test_pages_and_what_they_listen_to_are_bounded(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "MOST_PAGES", 2)
    with dashboard() as shown:
        async with page(shown) as one:
            origin = {"Origin": one.origin}
            async with one.session.ws_connect(f"{one.origin}/ws", headers=origin) as socket:
                async with one.session.ws_connect(f"{one.origin}/ws", headers=origin):
                    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                        await one.session.ws_connect(f"{one.origin}/ws", headers=origin)
                for number in range(MOST_TOPICS + 1):
                    await socket.send_json({"listen": "access", "as": number, "with": {}})
                told = [await socket.receive_json() for _ in range(MOST_TOPICS + 1)]
                over = {each["as"]: each["over"] for each in told if "over" in each}
                assert over == {MOST_TOPICS: "that cannot be listened to"}
                await socket.send_json({"leave": 3})
                await socket.send_json({"leave": 99})  # nothing: no harm
                await socket.send_json({"listen": "access", "as": MOST_TOPICS, "with": {}})
                while (said := await socket.receive_json())["as"] != MOST_TOPICS:
                    pass
                assert "data" in said  # there was room again


@in_a_loop
async def test_page_of_a_session_that_is_over_is_closed(farm: Farm) -> None:
    with dashboard() as shown:
        async with (
            page(shown) as one,
            one.session.ws_connect(f"{one.origin}/ws", headers={"Origin": one.origin}) as socket,
        ):
            await socket.send_json({"listen": "farm", "as": 1, "with": {}})
            await socket.receive_json()
            assert (await one.ask("POST", "leave", json={}))[0] == 200
            while (said := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (said.type, said.data) == (aiohttp.WSMsgType.CLOSE, 4401)


@in_a_loop
async def test_page_of_another_site_gets_no_cookie_by_a_trusted_socket(farm: Farm, home: Path) -> None:
    with serving(socket=home / "socket", token=False):
        async with page_by_socket(home / "socket") as one:
            status, told = await one.ask("GET", "me", headers={"Sec-Fetch-Site": "cross-site"})
            assert (status, told["error"]) == (403, "a page of another site may not ask that")
            assert not list(one.session.cookie_jar)


@in_a_loop
async def test_cookie_is_for_encrypted_pages_alone_behind_a_proxy_that_encrypts(farm: Farm, home: Path) -> None:
    with serving(socket=home / "socket") as token:
        async with page_by_socket(home / "socket") as one:
            headers = {"Origin": "https://farm.example", "Host": "farm.example"}
            async with one.session.post(f"{one.origin}/enter", json={"token": token}, headers=headers) as answer:
                assert answer.headers["Set-Cookie"].endswith("; Secure")
