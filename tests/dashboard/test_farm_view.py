"""The hubs as a page is told of them, and what it has done with them; and what users may, who are not the account."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hubfarm.client.aio import AsyncClient
from hubfarm.dashboard import lookout, station
from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import dashboard, page
from tests.support import in_a_loop, message


async def until(told: AsyncIterator[Any], hubs: dict[str, Any], happened: Any) -> dict[str, Any]:
    """Take what a page is told, until something holds of what it knows."""
    async for data in told:
        if data.get("whole"):
            hubs.clear()
        for key, facts in data.get("hubs", {}).items():
            hubs[key] = {"now": hubs.get(key, {}).get("now")} | facts
        for key in data.get("gone", []):
            hubs.pop(key, None)
        for key, numbers in data.get("numbers", {}).items():
            hubs[key]["now"] = numbers
        if happened(hubs):
            return hubs
    raise AssertionError("the page was told no more")


@in_a_loop
async def test_page_sees_hubs_come_work_and_go(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one, one.listen("farm") as told:
            hubs: dict[str, Any] = {}
            started = await one.act("start", label="night", owner="luigi", group="mima", timeout=3600)
            assert started == {"hubs": ["1"], "labels": ["night"]}
            await until(told, hubs, lambda hubs: hubs.get("1", {}).get("state") == "running")
            assert {name: hubs["1"][name] for name in ("label", "owner", "group", "timeout", "role")} == {
                "label": "night", "owner": "luigi", "group": "mima", "timeout": 3600.0, "role": "admin",
            }  # fmt: skip
            async with AsyncClient("a", label="night") as a, AsyncClient("b", label="night") as b:
                b.on_notification("x.y")(lambda message: None)
                await b.declare_subscriptions()
                await until(told, hubs, lambda hubs: hubs["1"]["now"][0] == 2)
                for _ in range(50):
                    await a.notify_all(message("x.y"))
                await until(told, hubs, lambda hubs: hubs["1"]["now"][1] > 0)
            pid = hubs["1"]["pid"]
            await one.act("restart", hubs=["1"])
            await until(told, hubs, lambda hubs: hubs["1"]["pid"] != pid and hubs["1"]["restarts"] == 1)
            await one.act("drain", hubs=["1"])
            await until(told, hubs, lambda hubs: "1" not in hubs)
            async with one.listen("history") as history:
                endings = await anext(history)
                assert (endings[0]["label"], endings[0]["how"]) == ("night", "drained")


@in_a_loop
async def test_what_is_wrong_is_said(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            for asked, error in (
                ({"label": "a/b"}, "not usable as a label"),
                ({"count": 0}, "count is 0"),
                ({"count": 10**6}, "count is 1000000"),
                ({"access": "owner"}, "the hub has no owner"),
                ({"access": "some"}, "access is 'some'"),
            ):
                status, told = await one.ask("POST", "do/start", json=asked)
                assert (status, error in told["error"]) == (400, True), told
            status, told = await one.ask("POST", "do/stop", json={"hubs": ["7"]})
            assert (status, told["error"]) == (400, "there is no such hub, or no longer")
    assert not farm.hubs()


@in_a_loop
async def test_users_see_what_they_may_enter_and_end_what_is_theirs(farm: Farm) -> None:
    farm.users.add("luigi", "a long password", groups=["mima"])
    farm.users.add("anna", "another password")
    await asyncio.to_thread(lambda: farm.start(label="his", owner="luigi", access="owner"))
    await asyncio.to_thread(lambda: farm.start(label="theirs", group="mima", access="group"))
    await asyncio.to_thread(lambda: farm.start(label="hers", owner="anna", access="owner"))
    with dashboard() as shown:
        async with page(shown, enters=False) as one:
            assert (await one.ask("GET", "me"))[1] == {"passwords": True}
            assert await one.enter(user="luigi", password="wrong") == 403
            assert await one.enter(user="nobody", password="wrong") == 403
            assert await one.enter(user="luigi", password="a long password") == 200
            async with one.listen("farm") as told:
                hubs = await until(told, {}, lambda hubs: len(hubs) >= 2)
                assert {hub["label"]: hub["role"] for hub in hubs.values()} == {"his": "owner", "theirs": "watcher"}
                assert "lockFile" not in hubs["2"]  # it leads to the secret
                assert "coordinator" not in str(hubs)
            for name in ("stop", "drain", "restart", "sleep", "wake", "last-lines"):
                asked = {"hub": "2"} if name == "last-lines" else {"hubs": ["2"]}
                assert (await one.ask("POST", f"do/{name}", json=asked))[0] == 403, name
                asked = {"hub": "3"} if name == "last-lines" else {"hubs": ["3"]}
                assert (await one.ask("POST", f"do/{name}", json=asked))[0] == 400, name
            assert (await one.ask("POST", "do/start", json={"label": "more"}))[0] == 403
            assert (await one.act("stop", hubs=["1"])) == {"labels": ["his"]}
    assert [hub.label for hub in farm.hubs()] == ["theirs", "hers"]


@in_a_loop
async def test_user_who_is_changed_is_out_at_once(farm: Farm) -> None:
    farm.users.add("luigi", "a long password", admin=True)
    with dashboard() as shown:
        async with page(shown, enters=False) as one:
            assert await one.enter(user="luigi", password="a long password") == 200
            assert (await one.ask("GET", "me"))[1]["admin"] is True
            farm.users.change("luigi", admin=False)
            assert (await one.ask("GET", "me"))[1]["admin"] is False
            farm.users.change("luigi", password="a longer password")
            assert (await one.ask("GET", "me"))[0] == 401


@in_a_loop
async def test_hub_that_sleeps_is_told_so_and_no_look_wakes_it(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "HUNG_AFTER", 0.3)  # its record grows old, and it does not hang
    monkeypatch.setattr(station, "ASK_AGAIN", 0.1)
    with dashboard() as shown:
        async with page(shown) as one, one.listen("farm") as told:
            await one.act("start", label="night")
            async with one.listen("clients", hub="1") as clients:
                assert (await anext(clients))["whole"] is True  # and the dashboard stays on the hub for a while
            assert (await one.act("sleep", hubs=["1"])) == {"labels": ["night"]}
            hubs = await until(told, {}, lambda hubs: hubs.get("1", {}).get("state") == "dormant")
            assert ("maySleep" in hubs["1"], hubs["1"]["mayWake"], "started" in hubs["1"]) == (False, True, False)
            async with one.listen("clients", hub="1") as clients, one.listen("hub", hub="1") as above:
                assert (await anext(clients))["asleep"] is True
                assert (await anext(above))["facts"]["state"] == "dormant"
                with pytest.raises(AssertionError, match="its first client wakes it"):
                    async with one.listen("conversation", hub="1") as said:
                        await anext(said)
                await asyncio.sleep(0.5)
                assert farm.find("night").state == "dormant"
                await one.act("wake", hubs=["1"])
                there = await anext(clients)
                assert (there["whole"], "asleep" in there) == (True, False)
                async for data in above:
                    if data["facts"]["state"] == "running":
                        break
            status, wrong = await one.ask("POST", "do/wake", json={"hubs": ["7"]})
            assert (status, wrong["error"]) == (400, "there is no such hub, or no longer")
