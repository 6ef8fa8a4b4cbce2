"""`AsyncClient`: a client of a hub in an asyncio program's own event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hubfarm import (
    AsyncClient,
    Farm,
    HubfarmError,
    Message,
    SAMPClientError,
    SAMPHubError,
    SAMPHubServer,
    SAMPProxyError,
)
from tests.client.client_support import hub
from tests.support import PATIENCE

__all__ = ["hub"]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, PATIENCE))


@asynccontextmanager
async def two_clients() -> AsyncIterator[tuple[AsyncClient, AsyncClient]]:
    async with AsyncClient("one", label="mine") as one, AsyncClient("two", label="mine") as two:
        yield one, two


def test_async_callbacks_reply_with_what_they_return_or_raise(hub: SAMPHubServer) -> None:
    async def main() -> tuple[Any, Any]:
        two = AsyncClient("two")

        @two.on_call("my.half")
        async def half(message: Message) -> dict[str, object]:
            await asyncio.sleep(0)
            return {"result": float(str(message.params["value"])) / 2}

        await two.connect(hub)
        async with AsyncClient("one", hub=hub) as one:
            answers = (
                await one.ecall_and_wait(str(two.id), "my.half", 10, value=3),
                await one.ecall_and_wait(str(two.id), "my.half", 10, value="x"),
            )
        await two.disconnect()
        return answers

    ok, failed = run(main())
    assert ok["samp.result"] == {"result": "1.5"}
    assert failed["samp.error"]["samp.errortxt"].startswith("ValueError: ")


def test_it_makes_no_threads(hub: SAMPHubServer) -> None:
    async def main() -> int:
        async with two_clients() as (one, two):
            await one.ecall_and_wait(str(two.id), "samp.app.ping", 10)
            return threading.active_count()

    before = threading.active_count()
    assert run(main()) == before


def test_messages_are_iterated_in_their_order(hub: SAMPHubServer) -> None:
    async def main() -> list[tuple[str, str]]:
        async with two_clients() as (one, two):
            heard = []

            async def send() -> None:
                while not await one.get_subscribed_clients("my.number"):
                    await asyncio.sleep(0.01)
                for number in range(20):
                    await one.enotify_all("my.number", value=number)
                await one.ecall_and_wait(str(two.id), "my.end", 10)

            sending = asyncio.create_task(send())
            async for message in two.messages("my.*"):
                if message.mtype == "my.end":
                    break
                heard.append((message.mtype, str(message.params["value"])))
            await sending
            return heard

    assert run(main()) == [("my.number", str(number)) for number in range(20)]


def test_the_iteration_ends_with_the_connection(hub: SAMPHubServer) -> None:
    async def main() -> list[Message]:
        client = AsyncClient()
        await client.connect(hub)
        asyncio.get_running_loop().call_later(0.1, lambda: ending.append(asyncio.ensure_future(client.disconnect())))
        ending: list[asyncio.Future[None]] = []
        return [message async for message in client.messages("my.*")]

    assert run(main()) == []


def test_responses_reach_the_function_of_their_tag(hub: SAMPHubServer) -> None:
    async def main() -> set[str]:
        async with two_clients() as (one, two):
            answers: asyncio.Queue[str] = asyncio.Queue()

            @one.on_response("tag")
            def answered(responder: str, response: Any) -> None:
                answers.put_nowait(responder)

            sent = await one.ecall_all("tag", "samp.app.ping")
            assert str(two.id) in sent
            return {await answers.get() for _ in sent} ^ set(sent)

    assert run(main()) == set()


def test_errors_are_those_of_the_synchronous_client(hub: SAMPHubServer) -> None:
    async def main() -> None:
        client = AsyncClient(label="nobody")
        with pytest.raises(SAMPHubError, match="there are mine"):
            await client.__aenter__()
        with pytest.raises(SAMPClientError, match="not connected"):
            await client.get_registered_clients()
        await client.connect(hub)
        with pytest.raises(SAMPClientError, match="connected already"):
            await client.connect(hub)
        await client.disconnect()
        await client.connect(hub)
        assert client.is_connected
        await client.disconnect()
        await client.disconnect()

    run(main())


def test_connect_heeds_what_the_client_was_made_with(hub: SAMPHubServer, home: Path) -> None:
    async def main() -> None:
        client = AsyncClient("one", label="mine", reconnect=True, timeout=3, pool_size=2)
        await client.connect()
        assert client.hub_params["hub.label"] == "mine"
        await client.disconnect()
        with SAMPHubServer() as single:
            await client.connect(single)
            assert client.hub_params == single.params, "what connect is told goes before"
            await client.disconnect()
            await client.connect(str(home / ".samp"))
            assert client.hub_params == single.params, "whatever way it is named in"
            await client.disconnect()
            await client.connect()
            assert client.hub_params["hub.label"] == "mine"
            await client.disconnect()

    run(main())


def test_options_of_the_connection_are_those_given_last(hub: SAMPHubServer) -> None:
    async def main() -> Any:
        client = AsyncClient("one", hub=hub, pool_size=1, timeout=0.2)
        async with AsyncClient("two", hub=hub) as two:
            begun = await wait_for_slow(two, two)
            await client.connect()
            waiting = asyncio.create_task(client.ecall_and_wait(str(two.id), "my.slow", 5))
            await asyncio.sleep(0)
            with pytest.raises(SAMPHubError, match="pool_size"):
                await client.ping()
            waiting.cancel()
            await client.disconnect()
            await client.connect(pool_size=2)
            waiting = asyncio.create_task(client.ecall_and_wait(str(two.id), "my.slow", 5))
            await asyncio.sleep(0)
            pong = await client.ping()
            waiting.cancel()
            begun.cancel()
            await client.disconnect()
            return pong

    assert run(main()) == ""


def test_a_client_made_with_what_connect_does_not_know_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="lable"):
        AsyncClient("one", lable="mine")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="one way"):
        AsyncClient("one", label="mine", hub="/tmp/lock")


def test_it_comes_back_to_a_hub_that_was_replaced(farm: Farm) -> None:
    farm.start(label="phoenix")

    async def main() -> None:
        async with AsyncClient("one", label="phoenix", reconnect=True) as one:
            other = AsyncClient("two")
            await asyncio.to_thread(farm.restart, ["phoenix"])
            await other.connect(label="phoenix")
            while not (one.id and one.id in await other.get_registered_clients()):
                await asyncio.sleep(0.01)
            while (await other.get_metadata(one.id)).get("samp.name") != "one":  # declared a moment later
                await asyncio.sleep(0.01)
            await other.disconnect()

    run(main())


async def wait_for_slow(one: AsyncClient, two: AsyncClient) -> "asyncio.Task[dict[str, Any]]":
    """Let one call the other, which is at it when this returns, and for long."""
    begun = asyncio.Event()

    @two.on_call("my.slow")
    async def slow(message: Message) -> None:
        begun.set()
        await asyncio.sleep(PATIENCE)

    await two.declare_subscriptions()
    waiting = asyncio.create_task(one.ecall_and_wait(str(two.id), "my.slow", 0))
    await begun.wait()
    return waiting


def test_a_hub_that_ends_fails_who_waits_at_once(hub: SAMPHubServer) -> None:
    async def main() -> None:
        async with two_clients() as (one, two):
            waiting = await wait_for_slow(one, two)
            await two.disconnect()
            answer = await waiting
            assert answer["samp.status"] == "samp.error"

    run(main())


def test_many_calls_at_once_share_few_connections(hub: SAMPHubServer) -> None:
    async def main() -> int:
        async with AsyncClient("one", hub=hub, pool_size=3) as one:
            answers = await asyncio.gather(*(one.ecall_and_wait("hub", "samp.app.ping", 10) for _ in range(50)))
            return sum(answer["samp.status"] == "samp.ok" for answer in answers)

    assert run(main()) == 50


def test_a_wait_that_is_cancelled_leaves_the_connection_usable(hub: SAMPHubServer) -> None:
    async def main() -> None:
        async with two_clients() as (one, two):
            waiting = await wait_for_slow(one, two)
            waiting.cancel()
            assert await one.ping() == ""

    run(main())


def test_a_full_pool_is_an_error_that_says_so(hub: SAMPHubServer) -> None:
    async def main() -> None:
        async with (
            AsyncClient("two", hub=hub) as two,
            AsyncClient("one", hub=hub, pool_size=1, timeout=0.2) as one,
        ):

            @two.on_call("my.slow")
            async def slow(message: Message) -> None:
                await asyncio.sleep(PATIENCE)

            await two.declare_subscriptions()
            waiting = asyncio.create_task(one.ecall_and_wait(str(two.id), "my.slow", 5))
            await asyncio.sleep(0)
            with pytest.raises(HubfarmError, match="pool_size"):
                await one.ping()
            waiting.cancel()

    run(main())


def test_a_registration_that_fails_half_way_leaves_nobody_on_the_hub(hub: SAMPHubServer) -> None:
    async def main() -> None:
        async with AsyncClient("one", hub=hub) as one:
            with pytest.raises(SAMPProxyError, match="metadata"):
                await AsyncClient("two", metadata={"my.list": "x" * 2**20}).connect(hub)
            assert list(await one.get_registered_clients()) == ["hub"]

    run(main())
