"""The conversation on a hub as a page is told of it: live, filtered, from a file, sent again; and what nobody may."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from hubfarm.client.aio import AsyncClient
from hubfarm.client.conversation import Conversation
from hubfarm.dashboard import hearing
from hubfarm.dashboard.conversation_view import FIRST, LONGEST_LINE, MOST_AT_ONCE, Which, _Telling
from hubfarm.dashboard.hearing import MOST_LOADED, Heard, Hearing
from hubfarm.farm import Farm
from hubfarm.samp.errors import WrongUse
from hubfarm.samp.xmlrpc import encode_value
from hubfarm.spec.watching import Answered, Arrived, Came, Missed, Recipient, Sent, as_json, from_json
from tests.dashboard.dashboard_support import Page, dashboard, page
from tests.support import in_a_loop, message, wait_for

ERROR = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "no such column"}}


class Told:
    """What a page shows of a conversation."""

    def __init__(self, told: AsyncIterator[Any]) -> None:
        self._told = told
        self._begun = False
        self.entries: dict[int, Any] = {}
        self.names: dict[str, str] = {}
        self.present: list[str] = []
        self.look = ""

    async def until(self, happened: Any) -> dict[int, Any]:
        """Take what the page is told until something holds of the messages that it shows."""
        if self._begun and happened(list(self.entries.values())):
            return self.entries
        async for data in self._told:
            self._begun = True
            if data.get("whole"):
                self.entries.clear()
            for entry in data.get("entries", []):
                self.entries[entry["number"]] = entry
            self.names |= data.get("names", {})
            self.look = data.get("look", self.look)
            self.present = [id for id, _ in data.get("present", [])] or self.present
            if happened(list(self.entries.values())):
                return self.entries
        raise AssertionError("the page was told no more")


@asynccontextmanager
async def talking(one: Page, **asked: Any) -> AsyncIterator[Told]:
    async with one.listen("conversation", **asked) as told:
        shown = Told(told)
        await shown.until(lambda entries: True)
        yield shown


@asynccontextmanager
async def clients(label: str = "mine") -> AsyncIterator[tuple[AsyncClient, AsyncClient]]:
    """Two clients of a hub; the second one answers ``my.sum``, and fails at ``my.fail``."""
    async with AsyncClient("one", label=label) as one, AsyncClient("two", label=label) as two:

        @two.on_call("my.sum")
        def sum_up(message: Any) -> dict[str, str]:
            return {"sum": str(int(message.params["a"]) + int(message.params["b"]))}

        @two.on_call("my.fail")
        def fail(message: Any) -> dict[str, Any]:
            return ERROR

        two.on_notification("my.text")(lambda message: None)
        await two.declare_subscriptions()
        yield one, two


def mtypes(entries: Any) -> list[str]:
    return [entry["mtype"] for entry in (entries.values() if isinstance(entries, dict) else entries)]


@in_a_loop
async def test_page_sees_calls_their_answers_and_unfolds_them(farm: Farm) -> None:
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one, clients() as (first, second), talking(one, hub="1") as told:
            await told.until(lambda entries: len(told.present) == 2)
            await first.ecall_and_wait(str(second.id), "my.sum", 10, a=1, b=2)
            await first.ecall_and_wait(str(second.id), "my.fail", 10)
            await first.enotify_all("my.text", text="größe <b>")
            entries = await told.until(
                lambda entries: (
                    {entry["mtype"]: entry["status"] for entry in entries}
                    == {"my.sum": "ok", "my.fail": "error", "my.text": "ok"}
                )
            )
            by_mtype = {entry["mtype"]: entry for entry in entries.values()}
            call = by_mtype["my.sum"]
            assert (call["from"], call["to"], call["how"]) == (first.id, [[second.id, "ok"]], "callAndWait")
            assert told.names == {first.id: "one", second.id: "two"}
            whole = await one.act("message", hub="1", number=call["number"])
            assert whole["message"]["samp.params"] == {"a": "1", "b": "2"}
            [part] = whole["parts"]
            assert part["response"] == {"samp.status": "samp.ok", "samp.result": {"sum": "3"}}
            assert part["says"] == "samp.ok"
            [part] = (await one.act("message", hub="1", number=by_mtype["my.fail"]["number"]))["parts"]
            assert part["reason"] == "no such column"
            assert (await one.ask("POST", "do/message", json={"hub": "1", "number": 1}))[0] == 400


@in_a_loop
async def test_filters_narrow_by_client_mtype_and_state_and_leave_out_what_the_hub_says(farm: Farm) -> None:
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one, clients() as (first, second), talking(one, hub="1") as told:
            async with AsyncClient("three", label="mine") as third:
                third.on_notification("samp.hub.event.*")(lambda message: None)
                await third.declare_subscriptions()
                await first.ecall_and_wait(str(second.id), "my.sum", 10, a=1, b=2)
                await first.ecall_and_wait(str(second.id), "my.fail", 10)
                await third.enotify_all("my.text")
                await told.until(lambda entries: {"my.sum", "my.fail", "my.text"} <= set(mtypes(entries)))
            assert not [mtype for mtype in mtypes(told.entries) if mtype.startswith("samp.hub.")]
            for asked, expected in (
                ({"client": "three"}, {"my.text"}),
                ({"client": str(first.id)}, {"my.sum", "my.fail"}),
                ({"mtype": "my.*"}, {"my.sum", "my.fail", "my.text"}),
                ({"mtype": "sum"}, {"my.sum"}),
                ({"status": "error"}, {"my.fail"}),
                ({"client": "nobody"}, set()),
            ):
                async with talking(one, hub="1", **asked) as narrowed:
                    assert set(mtypes(narrowed.entries)) == expected, asked
            async with talking(one, hub="1", events=True) as wider:
                assert "samp.hub.event.subscriptions" in mtypes(wider.entries)


@in_a_loop
async def test_conversation_is_saved_loaded_again_and_sent_again_to_a_client(farm: Farm) -> None:
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one, clients() as (first, second), talking(one, hub="1") as told:
            await first.ecall_and_wait(str(second.id), "my.sum", 10, a=1, b=2)
            await first.enotify_all("my.text", text="x" * 100_000)
            await first.ecall_and_wait(str(second.id), "my.fail", 10)
            await told.until(lambda entries: [each["status"] for each in entries] == ["ok", "ok", "error"])
            status, saved = await one.ask("GET", "get/conversation?hub=1&client=&mtype=&status=&events=false")
            lines = saved["text"].splitlines()
            assert status == 200
            assert all(from_json(json.loads(line)) for line in lines)
            status, loaded = await one.ask("POST", "post/conversation", data=saved["text"].encode())
            assert (status, loaded["hub"]) == (200, "mine")
            async with one.listen("conversation", loaded=loaded["loaded"]) as again:
                whole = await anext(again)
            assert whole["entries"] == list(told.entries.values())
            assert whole["names"] == told.names
            became = []
            async with one.listen(
                "replay", loaded=loaded["loaded"], at="1", to=str(second.id), client="", mtype="my.*"
            ) as replayed:
                async for each in replayed:
                    became.append(each)
                    if each["place"] == each["of"]:
                        break
            assert [(each["mtype"], each["status"]) for each in became] == [
                ("my.sum", "samp.ok"),
                ("my.text", "left out"),  # it was too long to be kept
                ("my.fail", "samp.error"),
            ]
            assert became[0]["response"]["samp.result"] == {"sum": "3"}
            async with one.listen(
                "replay", hub="1", at="1", to=str(second.id), number=became[0]["number"], mtype="none"
            ) as replayed:
                assert (await anext(replayed))["of"] == 1
            status, told_why = await one.ask("GET", "get/conversation?loaded=none")
            assert (status, "not kept any more" in told_why["error"]) == (400, True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no message in this file"),
        (b"no JSON\n", "line 1"),
        (b'\n{"event": "sent"}\n', "line 2"),
        (b"[" * 100_000, "line 1"),
        (b'{"event": "came", "id": "c1"}\n' * 3, "no message in this file"),
        (b'{"event": "sent", "number": 1e300, "how": "call", "sender": "a", "mtype": "b"}', "line 1"),
        (b"x" * (LONGEST_LINE + 2), "a line of the file is longer than 4 MB"),
    ],
)
def test_file_that_is_no_conversation_is_refused_with_its_line(farm: Farm, content: bytes, why: str) -> None:
    @in_a_loop
    async def scenario() -> None:
        with dashboard() as shown:
            async with page(shown) as one:
                status, told = await one.ask("POST", "post/conversation", data=content)
                assert (status, why in told["error"]) == (400, True), told

    scenario()


@in_a_loop
async def test_conversation_is_for_the_hubs_owner_and_administrators(farm: Farm) -> None:
    farm.users.add("luigi", "Luigi's password", groups=["mima"])
    farm.users.add("anna", "Anna's password", groups=["mima"])
    farm.start(label="mine", owner="luigi", group="mima", access="group")
    with dashboard() as shown:
        async with page(shown, enters=False) as luigi, page(shown, enters=False) as anna, page(shown) as boss:
            assert await luigi.enter(user="luigi", password="Luigi's password") == 200
            assert await anna.enter(user="anna", password="Anna's password") == 200
            async with talking(luigi, hub="1"), talking(boss, hub="1"):
                assert farm.find("mine").watchers == 2
            with pytest.raises(AssertionError, match="for the owner"):
                async with talking(anna, hub="1"):
                    pass
            for name, asked in (("message", {"number": 1}), ("earlier", {"before": 1})):
                assert (await anna.ask("POST", f"do/{name}", json={"hub": "1"} | asked))[0] == 403
            assert (await anna.ask("GET", "get/conversation?hub=1"))[0] == 403
            with pytest.raises(AssertionError, match="for the owner"):
                async with anna.listen("replay", hub="1", at="1", to="c1") as told:
                    await anext(told)
            line = json.dumps({"event": "sent", "number": 1, "how": "notify", "sender": "c1", "mtype": "a.b"})
            _, loaded = await luigi.ask("POST", "post/conversation", data=line.encode())
            with pytest.raises(AssertionError, match="not kept"):
                async with talking(anna, loaded=loaded["loaded"]):
                    pass


@in_a_loop
async def test_hub_is_watched_while_a_page_shows_it_and_page_goes_on_over_its_restart(farm: Farm) -> None:
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one, clients() as (first, second), talking(one, hub="1") as told:
            assert farm.find("mine").watchers == 1
            async with talking(one, hub="1", mtype="my.*"):
                assert farm.find("mine").watchers == 1  # once, however many look
            await first.ecall_and_wait(str(second.id), "my.sum", 10, a=1, b=2)
            await told.until(lambda entries: mtypes(entries) == ["my.sum"])
            await asyncio.to_thread(farm.restart, ["mine"])
            await asyncio.to_thread(wait_for, lambda: farm.find("mine").watchers == 1, "the next one is watched too")
            await first.ecall_and_wait(str(second.id), "my.fail", 10)
            await told.until(lambda entries: mtypes(entries) == ["my.sum", "my.fail"])
            await asyncio.to_thread(farm.stop, ["mine"])
            with pytest.raises(AssertionError, match="SIGTERM"):
                await told.until(lambda entries: False)


@in_a_loop
async def test_earlier_messages_are_told_when_the_page_asks(farm: Farm) -> None:
    with dashboard() as shown:
        async with page(shown) as one:
            lines = [json.dumps(as_json(Came(id="c1", name="one")))]
            lines += [json.dumps(as_json(sent(number, f"a.b{number % 2}"))) for number in range(1, FIRST + 51)]
            loaded = (await one.ask("POST", "post/conversation", data="\n".join(lines).encode()))[1]["loaded"]
            async with one.listen("conversation", loaded=loaded) as told:
                first = await anext(told)
            assert (first["entries"][0]["number"], first["more"]) == (51, True)
            earlier = await one.act("earlier", loaded=loaded, before=51)
            assert [entry["number"] for entry in earlier["entries"]] == list(range(1, 51))
            assert (earlier["more"], earlier["names"]) == (False, {"c1": "one"})
            narrowed = await one.act("earlier", loaded=loaded, before=51, mtype="a.b1")
            assert [entry["number"] for entry in narrowed["entries"]] == list(range(1, 51, 2))
            status, wrong = await one.ask("POST", "do/message", json={"loaded": loaded, "number": 9999})
            assert (status, "not kept any more" in wrong["error"]) == (400, True)
            for query, why in (("loaded=1&events=perhaps", "events"), ("hub=7", "no such hub"), ("more=1", "more")):
                status, wrong = await one.ask("GET", f"get/conversation?{query}")
                assert (status, why in wrong["error"], "\n" in wrong["error"]) == (400, True, False), wrong
            async with one.listen("replay", loaded=loaded, at="7", to="c1") as replayed:
                with pytest.raises(AssertionError, match="no such hub"):
                    await anext(replayed)
            async with one.listen("replay", loaded=loaded, at="7", to="c1", mtype="none") as replayed:
                with pytest.raises(AssertionError, match="nothing to be sent again"):
                    await anext(replayed)


@in_a_loop
async def test_what_is_sent_again_keeps_its_pauses_and_what_fails_is_told_apart(farm: Farm) -> None:
    farm.start(label="mine")
    times: list[float] = []
    with dashboard() as shown:
        async with page(shown) as one, clients() as (_, second):
            second.on_notification("my.text")(lambda message: times.append(time.monotonic()))
            await second.declare_subscriptions()
            xml = encode_value({"samp.mtype": "my.text", "samp.params": {}})
            unheard = encode_value({"samp.mtype": "no.such", "samp.params": {}})
            events = [
                Sent(at=10.0, number=1, how="notify", sender="c1", mtype="my.text", xml=xml),
                Sent(at=10.5, number=2, how="notifyAll", sender="c1", mtype="my.text", xml=xml),
                Sent(at=10.5, number=3, how="call", sender="c1", mtype="no.such", xml=unheard),
            ]
            lines = "\n".join(json.dumps(as_json(event)) for event in events).encode()
            loaded = (await one.ask("POST", "post/conversation", data=lines))[1]["loaded"]
            became = []
            async with one.listen("replay", loaded=loaded, at="1", to=str(second.id), pauses=True) as replayed:
                async for each in replayed:
                    became.append(each)
                    if each["place"] == each["of"]:
                        break
            assert [each["status"] for each in became] == ["sent", "sent", "refused"]
            assert "not subscribed" in became[2]["reason"]
            await asyncio.to_thread(wait_for, lambda: len(times) == 2, "both have arrived")
            assert times[1] - times[0] > 0.3
            async with one.listen("replay", loaded=loaded, at="1", to="c99", number=1) as replayed:
                assert (await anext(replayed))["status"] == "refused"


@in_a_loop
async def test_conversation_is_watched_on_a_moment_after_the_page_and_then_forgotten(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "LINGER", 0.2)
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one:
            async with talking(one, hub="1"):
                assert farm.find("mine").watchers == 1
            await asyncio.to_thread(wait_for, lambda: farm.find("mine").watchers == 0, "nobody watches any more")
            status, wrong = await one.ask("POST", "do/earlier", json={"hub": "1", "before": 9})
            assert (status, "open its conversation first" in wrong["error"]) == (400, True)


@in_a_loop
async def test_hub_that_lets_nobody_watch_says_why(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    farm.start(label="mine")
    [hub] = farm.hubs()
    tokens = [line for line in hub.lock_file.read_text().splitlines() if not line.startswith("hubfarm.")]
    (hub.lock_file.parent / "samp-hub-another").write_text("\n".join(tokens))
    with dashboard() as shown:
        async with page(shown) as one, one.listen("conversation", hub="foreign:samp-hub-another") as told:
            with pytest.raises(AssertionError, match="another program's hub"):
                async for _ in told:
                    pass


# ---------------------------------------------------------------------- what a page is told, and how much


def sent(number: int, mtype: str = "a.b") -> Sent:
    return Sent(at=float(number), number=number, how="notify", sender="c1", mtype=mtype, to=(Recipient("c2"),))


def test_of_very_many_messages_a_page_is_told_the_last_and_how_many_there_were() -> None:
    heard = Heard("mine")
    telling = _Telling(heard, Which(hub="1"))
    assert telling.first()["entries"] == []
    for number in range(1, 3001):
        heard.take(sent(number))
    told = telling.next()
    assert [entry["number"] for entry in told["entries"]] == list(range(3001 - MOST_AT_ONCE, 3001))
    assert told["passed"] == 3000 - MOST_AT_ONCE
    assert telling.next() == {}
    heard.take(Arrived(number=5, to="c2", at=6.0))  # which the page does not show
    heard.take(Arrived(number=3000, to="c2", at=3001.0))
    heard.take(Missed(count=7))
    told = telling.next()
    assert [(entry["number"], entry["status"]) for entry in told["entries"]] == [(3000, "ok")]
    assert told["missed"] == 7


@in_a_loop
async def test_long_contents_are_kept_from_when_a_page_wants_them(farm: Farm) -> None:
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one, clients() as (first, second), talking(one, hub="1") as told:

            async def is_kept(entries: dict[int, Any], text: str) -> bool:
                wholes = [await one.act("message", hub="1", number=number) for number in entries]
                [whole] = [each for each in wholes if each["size"] > 100_000 and each["tag"] == text]
                return whole["message"] is not None

            async def say(tag: str) -> None:
                await first.call(str(second.id), tag, message("my.fail", text=tag * 100_000))
                await told.until(lambda entries: [each["status"] for each in entries][-1:] == ["error"])

            await say("1")
            async with talking(one, hub="1", long=True) as longer:
                await say("2")
                await longer.until(lambda entries: len(entries) == 2)
                await first.notify(str(second.id), message("my.text", text="3" * 2 * 2**20))
                await told.until(lambda entries: [each["status"] for each in entries] == ["error", "error", "ok"])
                huge = await one.act("message", hub="1", number=max(told.entries))
                assert (huge["message"], huge["size"] > 2 * 2**20) == (None, True)
            await asyncio.to_thread(wait_for, lambda: farm.find("mine").watchers == 1, "it is watched once again")
            async with talking(one, hub="1"):  # nobody wants long ones any more
                await say("4")
            kept = [await is_kept(told.entries, tag) for tag in "124"]
            assert kept == [False, True, False]
            assert mtypes(told.entries) == ["my.fail", "my.fail", "my.text", "my.fail"]  # none twice, none missed


@in_a_loop
async def test_file_of_more_messages_than_are_kept_is_said_to_be_so(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "Conversation", lambda: Conversation(most=10))
    with dashboard() as shown:
        async with page(shown) as one:
            lines = "\n".join(json.dumps(as_json(sent(number))) for number in range(1, 26))
            _, told = await one.ask("POST", "post/conversation", data=lines.encode())
            assert (told["kept"], told["messages"]) == (10, 25)


@in_a_loop
async def test_page_that_is_paused_unfolds_what_it_shows_however_much_passes(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "Conversation", lambda: Conversation(most=10))
    farm.start(label="mine")
    with dashboard() as shown:
        async with page(shown) as one, clients() as (first, second), talking(one, hub="1") as told:
            await first.ecall_and_wait(str(second.id), "my.sum", 10, a=1, b=2)
            await told.until(lambda entries: [each["status"] for each in entries] == ["ok"])
            [number] = told.entries
            assert await one.act("hold", hub="1", look=told.look) == {}
            for _ in range(30):
                await first.enotify_all("my.text")
            await first.ecall_and_wait(str(second.id), "my.fail", 10)
            async with talking(one, hub="1") as later:
                await later.until(lambda entries: entries[-1]["mtype"] == "my.fail")
            async with talking(one, hub="1") as latest:
                assert number not in latest.entries
            whole = await one.act("message", hub="1", number=number)
            assert whole["message"]["samp.params"] == {"a": "1", "b": "2"}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.7):
                    await told.until(lambda entries: len(entries) > 1)
            status, wrong = await one.ask("POST", "do/hold", json={"hub": "1", "look": "none"})
            assert (status, "not told of this conversation" in wrong["error"]) == (400, True)


def test_what_a_page_shows_is_bounded_by_number_and_size() -> None:
    look = Heard("mine").look()
    entries = [Conversation().apply(sent(number)) for number in range(1, 2 * hearing.MOST_SHOWN)]
    look.show(each for each in entries if each)
    assert list(look.shown) == list(range(hearing.MOST_SHOWN, 2 * hearing.MOST_SHOWN))
    long = [Conversation().apply(replace(sent(number), xml=b"x" * 2**20)) for number in range(5001, 5100)]
    look.show(each for each in long if each)
    assert list(look.shown) == list(range(5100 - 15, 5100))


def test_page_that_takes_nothing_makes_nothing_grow() -> None:
    heard = Heard("mine")
    heard.conversation = Conversation(most=100)
    telling = _Telling(heard, Which(hub="1"))
    telling.first()
    for number in range(1, 10_000):
        heard.take(sent(number))
    assert len(telling.look.changed) <= 201
    assert telling.next()["entries"][-1]["number"] == 9999


def test_what_commands_and_the_dashboard_ask_the_hub_is_the_hubs_own() -> None:
    heard = Heard("mine")
    asked = Sent(number=1, how="call", sender="c1", mtype="hubfarm.query.clients", to=(Recipient("hub", "m1"),))
    heard.take(asked)
    heard.take(replace(asked, number=2, to=(Recipient("c2", "m2"),)))
    numbers = lambda **which: [each["number"] for each in _Telling(heard, Which(hub="1", **which)).first()["entries"]]  # noqa: E731
    assert (numbers(), numbers(events=True)) == ([2], [1, 2])


def test_message_that_comes_to_stand_so_is_told_to_a_page_that_asks_for_such() -> None:
    heard = Heard("mine")
    telling = _Telling(heard, Which(hub="1", status="error"))
    telling.first()
    heard.take(Sent(number=1, how="call", sender="c1", mtype="a.b", to=(Recipient("c2", "m1"),)))
    assert telling.next() == {}
    heard.take(Answered(number=1, sender="c2", to="c1", msg_id="m1", status="samp.error", error="no"))
    assert [entry["number"] for entry in telling.next()["entries"]] == [1]


def test_page_gets_the_last_of_what_there_is_and_is_told_that_there_is_more() -> None:
    heard = Heard("mine")
    for number in range(1, FIRST + 50):
        heard.take(sent(number))
    first = _Telling(heard, Which(hub="1")).first()
    assert (len(first["entries"]), first["more"], first["entries"][-1]["number"]) == (FIRST, True, FIRST + 49)


def test_what_is_looked_for_is_bounded() -> None:
    with pytest.raises(WrongUse):
        _Telling(Heard("mine"), Which(hub="1", client="x" * 201)).first()


def test_only_the_last_files_are_kept() -> None:
    files = Hearing()
    names = [files.keep("luigi", Heard("a file")) for _ in range(MOST_LOADED + 1)]
    with pytest.raises(WrongUse):
        files.loaded(names[0], "luigi")
    assert files.loaded(names[-1], "luigi")


def test_clients_that_are_there_are_those_that_came_and_have_not_left() -> None:
    heard = Heard("mine")
    telling = _Telling(heard, Which(hub="1"))
    telling.first()
    heard.take(Came(id="c1", name="one"))
    assert telling.next()["present"] == [["c1", "one"]]
