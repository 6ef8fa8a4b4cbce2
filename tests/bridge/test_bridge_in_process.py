"""A bridge in the test's own process, between hubs of a farm: what it does step by step."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from hubfarm.bridge.bridge import Bridge
from hubfarm.bridge.exports import Exports
from hubfarm.bridge.process import serve
from hubfarm.bridge.reach import ByLockFile
from hubfarm.client.discovery import Choice
from hubfarm.farm import Farm
from hubfarm.registry.bridges import Bridges
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.spec.bridge_spec import BridgeSpec
from tests.stories.test_bridges import OK, metadata_of, proxy_of, seen, texts
from tests.support import PATIENCE, Receiver, message, wait_for

Enter = Callable[..., Receiver]


@contextmanager
def bridging(*labels: str, by: str = "1") -> Iterator[Bridge]:
    """Join hubs of the farm until the end of the block, in a thread with a loop of its own."""
    made: list[Bridge] = []
    ended: list[Callable[[], object]] = []

    async def main() -> None:
        bridge = Bridge([ByLockFile(Choice(label=label)) for label in labels], by, Exports())
        task = asyncio.ensure_future(bridge.run())
        loop = asyncio.get_running_loop()
        ended.append(lambda: loop.call_soon_threadsafe(task.cancel))
        made.append(bridge)
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        wait_for(lambda: made and all(side.is_up for side in made[0].sides), "it is on all hubs")
        yield made[0]
    finally:
        wait_for(lambda: ended, "it has begun")
        ended[0]()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def two(farm: Farm) -> tuple[HubInfo, HubInfo]:
    one, other = farm.start(count=2, group="h")
    return one, other


@pytest.fixture
def enter() -> Iterator[Enter]:
    with ExitStack() as stack:
        yield lambda hub, name, *patterns: stack.enter_context(Receiver()).join_by(hub.lock_file, name, *patterns)


def test_messages_calls_and_answers_are_passed_on(two: tuple[HubInfo, HubInfo], enter: Enter) -> None:
    a, b = enter(two[0], "A", "my.*"), enter(two[1], "B", "my.*")
    with bridging("h-1", "h-2") as bridge:
        proxy = proxy_of(a, "B (h-2)")
        a.hub.notify(a.key, proxy, message("my.text", text="hello"))
        assert texts(b, 1) == ["hello"]
        a.hub.call(a.key, proxy, "tag", message("my.question"))
        b.hub.reply(b.key, b.next().params[2], OK)
        assert a.next().params[3] == OK
        late = enter(two[0], "late")  # who has only just come speaks for itself too
        late.hub.notifyAll(late.key, message("my.text", text="at once"))
        assert texts(a, 1) == texts(b, 1) == ["at once"]
        a.hub.call(a.key, proxy, "tag", message("my.question"))
        b.next()
        b.hub.unregister(b.key)
        assert "has gone" in a.next().params[3]["samp.error"]["samp.errortxt"]
        wait_for(lambda: not seen(a, "B (h-2)"), "its proxy has gone")
        assert [proxy.client for proxy in bridge.proxies() if proxy.home.label == "h-2"] == []
    wait_for(lambda: len(a.hub.getRegisteredClients(a.key)) == 2, "the bridge has left: there is the hub, and late")


def test_older_of_two_has_the_proxies_and_both_give_a_hub_one_mark(two: tuple[HubInfo, HubInfo], enter: Enter) -> None:
    a = enter(two[0], "A")
    enter(two[1], "B", "my.*")
    with bridging("h-1", "h-2", by="2") as younger:
        assert metadata_of(a, proxy_of(a, "B (h-2)"))["hubfarm.bridge.by"] == "2"
        with bridging("h-1", "h-2", by="1") as older:
            wait_for(
                lambda: [metadata_of(a, id).get("hubfarm.bridge.by") for id in seen(a, "B (h-2)")] == ["1"],
                "the older has the proxy",
            )
            wait_for(lambda: [side.mark for side in older.sides] == [side.mark for side in younger.sides], "they agree")
        wait_for(
            lambda: [metadata_of(a, id).get("hubfarm.bridge.by") for id in seen(a, "B (h-2)")] == ["2"],
            "the younger has it again",
        )


def test_hub_that_ends_and_comes_back_is_joined_again(farm: Farm, two: tuple[HubInfo, HubInfo], enter: Enter) -> None:
    a = enter(two[0], "A")
    with bridging("h-1", "h-2") as bridge:
        farm.stop(["h-2"])
        wait_for(lambda: not bridge.sides[1].is_up, "it is lost")
        assert bridge.sides[1].trouble
        (again,) = farm.start(label="h-2")
        b = enter(again, "B", "my.*")
        a.hub.notify(a.key, proxy_of(a, "B (h-2)"), message("my.text", text="again"))
        assert texts(b, 1) == ["again"]


def test_bridge_s_process_tells_of_itself_and_ends_at_a_signal(
    paths: Paths, two: tuple[HubInfo, HubInfo], enter: Enter
) -> None:
    # Told elsewhere than to the farm: its coordinator would start one of its own.
    bridges, opened = Bridges(replace(paths, runtime=paths.home / "elsewhere").prepare()), []
    bridges.want(BridgeSpec(name="b", hubs=("h-1", str(two[1].lock_file))))
    wish = bridges.find("b")
    assert wish is not None
    enter(two[1], "B", "my.*")

    async def watch_it(began: asyncio.Event) -> None:
        await began.wait()
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while not ((state := bridges.state("b")) and [end.proxies for end in state.ends] == [1, 0]):
            assert loop.time() < until, state
            await asyncio.sleep(0.05)
        assert (state.pid, [end.hub for end in state.ends]) == (os.getpid(), list(wish.spec.hubs))
        assert all(end.joined and not end.trouble for end in state.ends)
        os.kill(os.getpid(), signal.SIGHUP)
        while not (opened and bridges.keys("b")):
            await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    async def scenario() -> None:
        began = asyncio.Event()
        watching = asyncio.create_task(watch_it(began))
        serving = asyncio.create_task(serve(wish, bridges, lambda: opened.append("again"), began.set))
        await asyncio.wait_for(asyncio.gather(serving, watching), 2 * PATIENCE)

    with holding(bridges.guard("b"), timeout=0, by="nobody"):  # so its state counts
        asyncio.run(scenario())
    assert opened == ["again"]
