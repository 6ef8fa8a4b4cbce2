"""Logs, web pages, users and tickets, as a page is told of them and changes them."""

import asyncio
from pathlib import Path

import pytest

from hubfarm.dashboard import log_view
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from tests.dashboard.dashboard_support import dashboard, page
from tests.support import Receiver, in_a_loop


@in_a_loop
async def test_log_is_told_as_it_grows(farm: Farm, receiver: Receiver, paths: Paths) -> None:
    [hub] = farm.start(label="night")
    with dashboard() as shown:
        async with page(shown) as one:
            async with one.listen("log", hub="1") as told:
                first = await anext(told)
                assert any("serving at" in what for _, _, what in first["entries"])
                receiver.join_by(hub.lock_file)
                more = await anext(told)
                assert any("registered" in what for _, _, what in more["entries"])
                with (paths.logs / "night.log").open("a") as log:
                    log.write("2026-01-01 12:00:00.000 ERROR   night: \x1b[31mfailed\n  and why\n")
                [entry] = (await anext(told))["entries"]
                assert entry == ["2026-01-01 12:00:00.000", "ERROR", "\\x1b[31mfailed\n  and why"]
            async with one.listen("log", hub="coordinator") as told:
                assert (await anext(told))["entries"]
            assert "serving at" in str(await one.act("last-lines", hub="1"))


@in_a_loop
async def test_logs_and_users_are_not_everybodys(farm: Farm) -> None:
    farm.users.add("luigi", "a long password")
    await asyncio.to_thread(lambda: farm.start(label="open"))
    with dashboard() as shown:
        async with page(shown, enters=False) as one:
            assert await one.enter(user="luigi", password="a long password") == 200
            for topic, asked in (
                ("log", {"hub": "1"}),
                ("log", {"hub": "coordinator"}),
                ("log", {"hub": "../users"}),
                ("access", {}),
                ("consent", {}),
                ("history", {}),
            ):
                async with one.session.ws_connect(f"{one.origin}/ws", headers={"Origin": one.origin}) as socket:
                    await socket.send_json({"listen": topic, "as": 1, "with": asked})
                    assert (await socket.receive_json())["over"], topic
            for name, asked in (
                ("user-add", {"name": "x", "password": "a long password"}),
                ("user-change", {"name": "luigi", "admin": True}),
                ("user-remove", {"name": "luigi"}),
                ("ticket-revoke", {"id": "0"}),
                ("share", {"hub": "1", "user": "luigi"}),
                ("access", {"hub": "1", "access": "users"}),
                ("consent-allow", {"id": "0", "hub": "open"}),
                ("consent-trust", {"id": "https://a.example", "hub": "open"}),
            ):
                assert (await one.ask("POST", f"do/{name}", json=asked))[0] == 403, name
    assert not farm.users.known("luigi").admin


@in_a_loop
async def test_users_tickets_and_rules_are_changed(farm: Farm) -> None:
    await asyncio.to_thread(lambda: farm.start(label="night"))
    with dashboard() as shown:
        async with page(shown) as one, one.listen("access") as told:
            assert (await anext(told))["users"] == []
            await one.act("user-add", name="luigi", password="a long password", groups=["mima"])
            assert (await anext(told))["users"] == [{"name": "luigi", "groups": ["mima"], "admin": False}]
            await one.act("access", hub="1", access="listed", allow=["user:luigi"])
            assert (farm.find("night").access, farm.find("night").allow) == ("listed", ("user:luigi",))
            shared = await one.act("share", hub="1", user="luigi", seconds=60)
            assert shared["hub"].startswith("std-lockurl:http")
            [ticket] = (await anext(told))["tickets"]
            assert (ticket["user"], ticket["label"], ticket["shared"]) == ("luigi", "night", True)
            assert not any(name in ticket for name in ("digest", "secret"))
            await one.act("ticket-revoke", id=ticket["id"])
            assert (await anext(told))["tickets"] == []
            await one.act("user-change", name="luigi", admin=True)
            assert (await anext(told))["users"][0]["admin"] is True
            await one.act("user-remove", name="luigi")
            assert (await anext(told))["users"] == []
            status, wrong = await one.ask("POST", "do/user-add", json={"name": "a:b", "password": "secret words"})
            assert (status, "a:b" in wrong["error"], "secret words" in wrong["error"]) == (400, True, False)


@in_a_loop
async def test_origins_are_trusted_and_forgotten(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            await one.act("consent-trust", id="https://a.example", hub="night", lasts="always")
            async with one.listen("consent") as told:
                assert [each["origin"] for each in (await anext(told))["remembered"]] == ["https://a.example"]
            await one.act("consent-forget", id="https://a.example")
            status, wrong = await one.ask("POST", "do/consent-deny", json={"id": "0"})
            assert (status, wrong["error"].startswith("no web page asks")) == (400, True)


@in_a_loop
async def test_users_of_another_authenticator_are_not_this_pages_business(farm: Farm, home: Path) -> None:
    (home / "system.toml").write_text('[access]\nauthenticator = "pam"\n')
    with dashboard() as shown:
        async with page(shown) as one, one.listen("access") as told:
            first = await anext(told)
            assert (first["authenticator"], first["users"], first["trouble"]) == ("pam", [], "")
            status, wrong = await one.ask("POST", "do/user-add", json={"name": "luigi", "password": "a long password"})
            assert (status, "access.authenticator" in wrong["error"]) == (400, True)
            assert (await one.ask("GET", "me"))[0] == 200
        async with page(shown, enters=False) as one:
            assert (await one.ask("GET", "me")) == (401, {"passwords": True})


@in_a_loop
async def test_users_file_that_cannot_be_read_is_said_and_lets_nobody_in(farm: Farm, paths: Paths) -> None:
    farm.users.add("luigi", "a long password")
    with dashboard() as shown:
        async with page(shown) as boss, page(shown, enters=False) as luigi:
            assert await luigi.enter(user="luigi", password="a long password") == 200
            farm.users.path.write_text("no users file")
            async with boss.listen("access") as told:
                first = await anext(told)
            assert (first["users"], str(farm.users.path) in first["trouble"]) == ([], True), first
            assert (await luigi.ask("GET", "me")) == (401, {"passwords": False})


@in_a_loop
async def test_shares_are_bounded_and_rules_that_cannot_be_are_refused(farm: Farm) -> None:
    await asyncio.to_thread(lambda: farm.start(label="night"))
    with dashboard() as shown:
        async with page(shown) as one:
            for name, asked, why in (
                ("share", {"hub": "1", "user": "luigi", "seconds": 0}, "a share of 0 s"),
                ("share", {"hub": "1", "user": "luigi", "seconds": 1e9}, "at most 2.592e+06"),
                ("share", {"hub": "7", "user": "luigi"}, "there is no such hub"),
                ("access", {"hub": "1", "access": "owner"}, "for no owner"),
                ("access", {"hub": "1", "access": "some"}, "access is 'some'"),
                ("ticket-revoke", {"id": "../../users"}, "ticket"),
                ("user-remove", {"name": "nobody"}, "nobody"),
                ("user-change", {"name": "nobody", "admin": True}, "nobody"),
            ):
                status, wrong = await one.ask("POST", f"do/{name}", json=asked)
                assert (status, why in wrong["error"], "\n" in wrong["error"]) == (400, True, False), wrong


@in_a_loop
async def test_log_that_is_not_there_is_said_and_of_a_flood_the_last_is_told(
    farm: Farm, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(lambda: farm.start(label="night"))
    log = paths.logs / "night.log"
    monkeypatch.setattr(log_view, "READ_BACK", 10_000)
    monkeypatch.setattr(log_view, "FIRST", 20)
    log.write_text("".join(f"2026-01-01 12:00:00.{n:03} INFO    night: line {n}\n" for n in range(1000)))
    with dashboard() as shown:
        async with page(shown) as one:
            async with one.listen("log", hub="1") as told:
                first = await anext(told)
                assert (len(first["entries"]), first["entries"][-1][2]) == (20, "line 999")
                assert 100 < first["left"] < 300  # what was read back, cut at a line's end
            log.unlink()
            with pytest.raises(AssertionError, match="there is no log of it: No such file"):
                async with one.listen("log", hub="1") as told:
                    await anext(told)
            status, wrong = await one.ask("POST", "do/last-lines", json={"hub": "1"})
            assert (status, wrong["error"]) == (409, "there is no log of it: No such file or directory")
