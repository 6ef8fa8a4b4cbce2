"""What hubs are told of the answers that the gateway carries: once, soon, and again if nobody has heard it."""

import asyncio
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from hubfarm.gateway import carrier as carrier_module
from hubfarm.gateway.carrier import Carrier, Told
from hubfarm.registry.paths import Paths
from hubfarm.wire.carried_pulls import ARRIVED, PULL
from tests.gateway.gateway_support import A, rig
from tests.hub.test_carried_pulls import a_page_and_a_program, numbers
from tests.support import PATIENCE, in_a_loop


class Hubs:
    """Whom it tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[str], list[str]]] = []
        self.something = asyncio.Event()

    async def tell(self, key: str, arrived: Iterable[str], lost: Iterable[str]) -> None:
        self.told.append((key, list(arrived), list(lost)))
        self.something.set()


def begun(carrier: Carrier, key: str = "k") -> Told:
    return carrier.request(key, is_pull=True)


@in_a_loop
async def test_the_next_request_of_the_page_tells_what_has_arrived_and_nothing_else_does() -> None:
    hubs = Hubs()
    carrier = Carrier(hubs.tell)
    first = begun(carrier)
    first.is_heard()
    assert ARRIVED not in first.fields
    first.over(arrived=True)
    second = begun(carrier)
    assert second.fields[ARRIVED] == first.pull
    assert second.pull != first.pull
    second.is_heard()
    second.over(arrived=True)
    third = begun(carrier)
    assert (third.pull, third.fields[ARRIVED]) == (first.pull, second.pull)  # alike, again and again
    third.is_heard()
    await carrier.close()
    assert hubs.told == []


@in_a_loop
async def test_a_page_that_asks_for_nothing_more_does_not_keep_its_hub_waiting() -> None:
    hubs = Hubs()
    carrier = Carrier(hubs.tell)
    pull = begun(carrier)
    pull.is_heard()
    pull.over(arrived=True)
    async with asyncio.timeout(PATIENCE):
        await hubs.something.wait()
    assert hubs.told == [("k", [pull.pull], [])]
    await carrier.close()


@in_a_loop
async def test_what_is_lost_is_told_at_once_and_what_nobody_heard_again() -> None:
    hubs = Hubs()
    carrier = Carrier(hubs.tell)
    first, second = begun(carrier), begun(carrier)
    assert second.fields[PULL] == f"{second.pull} {first.pull}"  # which is under way still
    first.is_heard()
    first.over(arrived=True)
    second.over(arrived=False)
    third = carrier.request("k", is_pull=False)
    assert third.fields == {ARRIVED: first.pull}
    third.is_not_heard(by_a_hub_that_is_there=True)
    fourth = begun(carrier)
    assert fourth.fields[ARRIVED] == first.pull
    fourth.is_not_heard(by_a_hub_that_is_there=True)
    await carrier.close()
    assert sorted(hubs.told) == sorted([
        ("k", [], [second.pull]),
        ("k", [], [fourth.pull]),
        ("k", [first.pull], []),
    ])  # fmt: skip


@in_a_loop
async def test_a_pull_that_overtakes_the_word_of_an_arrival_calls_nothing_lost() -> None:
    carrier = Carrier(Hubs().tell)
    first = begun(carrier)
    first.is_heard()
    first.over(arrived=True)
    call = carrier.request("k", is_pull=False)
    assert call.fields == {ARRIVED: first.pull}
    second = begun(carrier)
    assert second.fields == {PULL: f"{second.pull} {first.pull}"}
    call.is_heard()
    assert begun(carrier).fields[PULL].endswith(f" {second.pull}")
    await carrier.close()


@in_a_loop
async def test_a_hub_that_is_not_there_is_told_nothing() -> None:
    hubs = Hubs()
    carrier = Carrier(hubs.tell)
    first = begun(carrier)
    first.is_heard()
    first.over(arrived=True)
    begun(carrier).is_not_heard(by_a_hub_that_is_there=False)
    assert carrier._pages == {}
    await carrier.close()
    assert hubs.told == []


@in_a_loop
async def test_nothing_is_kept_of_pages_that_have_gone_or_wait_for_nothing() -> None:
    carrier = Carrier(Hubs().tell)
    carrier.request("never pulled", is_pull=False).is_heard()
    gone = begun(carrier, "gone")
    carrier.forget("gone")
    gone.is_heard()
    gone.over(arrived=True)
    done = begun(carrier, "done")
    done.is_heard()
    done.over(arrived=True)
    carrier.request("done", is_pull=False).is_heard()
    assert carrier._pages == {}
    await carrier.close()


@given(st.data())
def test_requests_may_overtake_each_other_and_nothing_comes_twice(data: st.DataObject) -> None:
    """With a real hub: of what a page is told nothing is lost, and nothing comes twice unless an answer was lost."""

    async def run() -> None:
        doors, key, send = a_page_and_a_program()
        carrier = Carrier(Hubs().tell)
        sent, got, faultless = 0, [], True
        asked: list[Told] = []
        in_hand: list[tuple[Told, list[int]]] = []

        def ask(told: Told) -> None:
            fields = {name.lower(): value.encode() for name, value in told.fields.items()}
            if told.pull:
                in_hand.append((told, numbers(doors.by_web("pullCallbacks", key, "0", **fields))))
            else:
                doors.page("getRegisteredClients", key, **fields)
            told.is_heard()

        def take(told: Told, brought: list[int], *, arrived: bool) -> None:
            told.over(arrived=arrived)
            got.extend(brought if arrived else [])

        steps = ["send", "pull", "call", "pass on", "arrive", *(["lose"] if data.draw(st.booleans()) else [])]
        for step in data.draw(st.lists(st.sampled_from(steps), min_size=20, max_size=60)):
            match step:
                case "send":
                    sent = send() + 1
                case "pull" | "call":
                    asked.append(carrier.request(key, is_pull=step == "pull"))
                case "pass on" if asked:
                    told = data.draw(st.sampled_from(asked))
                    if told.pull:  # pulls of one page come to the hub one after the other
                        told = next(each for each in asked if each.pull)
                    asked.remove(told)
                    ask(told)
                case "arrive" | "lose" if in_hand:
                    faultless = faultless and step == "arrive"
                    take(*in_hand.pop(0), arrived=step == "arrive")
        for told in asked:
            ask(told)
        for told, brought in in_hand:
            take(told, brought, arrived=True)
        in_hand.clear()
        ask(carrier.request(key, is_pull=True))
        take(*in_hand.pop(0), arrived=True)
        ask(carrier.request(key, is_pull=False))
        assert set(got) == set(range(sent))
        assert doors.hub.counters.queued == 0
        if faultless:
            assert sorted(got) == list(range(sent))
        await carrier.close()

    asyncio.run(run())


@given(st.lists(st.sampled_from(["pull", "call", "heard", "unheard", "arrived", "lost", "soon"]), max_size=60))
def test_each_pull_is_told_once_heard_and_under_a_name_that_is_no_others(steps: list[str]) -> None:
    async def run() -> None:
        hubs = Hubs()
        carrier = Carrier(hubs.tell)
        asked: list[Told] = []
        carried: list[Told] = []
        arrived: list[str] = []
        heard: list[str] = []
        for step in steps:
            match step:
                case "pull" | "call":
                    told = carrier.request("k", is_pull=step == "pull")
                    if told.pull:
                        in_use = [each.pull for each in asked + carried] + [n for n in arrived if n not in heard]
                        assert told.pull not in in_use
                    asked.append(told)
                case "heard" if asked:
                    told = asked.pop(0)
                    told.is_heard()
                    heard += told.arrived
                    arrived = [name for name in arrived if name not in told.arrived]
                    if told.pull:
                        carried.append(told)
                case "unheard" if asked:
                    asked.pop(0).is_not_heard(by_a_hub_that_is_there=True)
                case "arrived" | "lost" if carried:
                    told = carried.pop(0)
                    told.over(arrived=step == "arrived")
                    if step == "arrived":
                        arrived.append(told.pull)
                        heard = [name for name in heard if name != told.pull]
                case "soon":
                    carrier._tell_all()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    told_now = [name for _, names, _ in hubs.told for name in names]
                    hubs.told.clear()
                    arrived = [name for name in arrived if name not in told_now]
        for told in asked:
            told.is_heard()
            arrived = [name for name in arrived if name not in told.arrived]
        await carrier.close()
        told_at_last = [name for _, names, _ in hubs.told for name in names]
        assert set(arrived) <= set(told_at_last)

    asyncio.run(run())


def test_a_browser_that_hangs_up_while_its_pull_waits_is_told_of_as_lost(trusting: Paths) -> None:
    async def test() -> None:
        async with rig(trusting, "one") as one:
            (hub,) = one.hubs
            page = await one.register()
            key = page["samp.private-key"]
            hub.gate.clear()
            pulling = asyncio.create_task(one.call("pullCallbacks", key, "60"))
            await until(lambda: any(method.endswith("pullCallbacks") for method, _, _ in hub.seen))
            pulling.cancel()
            await until(lambda: bool(hub.pulled))
            (field,) = [headers[PULL] for method, _, headers in hub.seen if method.endswith("pullCallbacks")]
            assert hub.pulled == [{"key": key, "arrived": "", "lost": field}]
            hub.gate.set()

    asyncio.run(test())


def test_answers_to_pulls_are_told_to_have_arrived_with_the_next_call(trusting: Paths) -> None:
    async def test() -> None:
        async with rig(trusting, "one") as one:
            (hub,) = one.hubs
            key = (await one.register())["samp.private-key"]
            for _ in range(4):
                await one.call("pullCallbacks", key, "0")
            fields = [(headers[PULL], headers.get(ARRIVED)) for method, _, headers in hub.seen if "pull" in method]
            names = [pull for pull, _ in fields]
            assert [arrived for _, arrived in fields] == [None, *names[:3]]
            assert len(set(names)) == 2
            await one.call("ping", key, origin=A)
            assert hub.seen[-1][2][ARRIVED] == names[3]
            await asyncio.sleep(carrier_module.SOON * 1.5)
            assert hub.pulled == []

    asyncio.run(test())


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happened():
            await asyncio.sleep(0.01)
