"""Deliveries to clients' callback servers: order, patience, and what becomes of messages that do not arrive."""

import asyncio
import errno
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import psutil
import pytest

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.model import Answer, Client, Outcome
from hubfarm.hub.routes import Push
from hubfarm.samp.values import ok_response
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY, Principal
from hubfarm.wire.http_client import HttpClient
from tests.support import PATIENCE, Received, in_a_loop, logged, message
from tests.wire.wire_support import LOOPS, Scripted, read_request, run_in, until, unused_port

Run = Callable[[Coroutine[Any, Any, None]], None]
React = Callable[[Received], Awaitable[bytes | None]]

DONE = dumps(("",), methodresponse=True).encode()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a coroutine in each kind of loop, with a hub that loses patience soon."""
    monkeypatch.setattr("hubfarm.hub.delivery.push.RETRY_AFTER", (0.01, 0.02))
    return lambda coroutine: run_in(request.param, coroutine)


async def agree(_: Received) -> bytes:
    return DONE


class Callback(Scripted):
    """A client's callback server: keeps what it received, answers as `react` says (None: it closes)."""

    def __init__(self, react: React = agree) -> None:
        self.received: asyncio.Queue[Received] = asyncio.Queue()
        self._react = react
        super().__init__(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            params, method = loads((await read_request(reader)).body)
            received = Received(str(method), params)
            self.received.put_nowait(received)
            answer = await self._react(received)
            if answer is None:
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    async def next(self) -> Received:
        async with asyncio.timeout(PATIENCE):
            return await self.received.get()


class Room:
    """A hub and its deliveries."""

    def __init__(self, new_client: type[HttpClient] = HttpClient) -> None:
        keys = (f"key-{number}" for number in itertools.count(1))
        self.hub = Hub({"samp.name": "Hub"}, limits=Limits(), new_key=lambda: next(keys), now=0.0)
        self.answers: asyncio.Queue[Answer] = asyncio.Queue()
        self.marks: list[int] = []
        self.deliveries = Deliveries(
            self.hub, self.answers.put_nowait, new_client=new_client, suspect=self.marks.append
        )

    def do(self, outcome: Outcome) -> Any:
        self.deliveries.carry_out(outcome.effects)
        return outcome.result

    def join(self, url: str, *patterns: str) -> Client:
        client = self.hub.client_with_key(self.do(self.hub.register(ANYBODY, 0.0))["samp.private-key"])
        self.do(self.hub.set_route(client, Push(url) if url else None, 0.0))
        self.do(self.hub.declare_subscriptions(client, {pattern: {} for pattern in patterns}, 0.0))
        return client

    def notify(self, sender: Client, to: Client, number: int) -> None:
        self.do(self.hub.notify(sender, to.id, message("test.number", n=str(number)), 0.0))

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            return await self.answers.get()


def number_in(received: Received) -> int:
    return int(received.params[-1]["samp.params"]["n"])


async def reason_in(sender: Callback) -> str:
    """Wait for a response that is an error, and return its text."""
    method, (_, _, _, response) = await sender.next()
    assert (method, response["samp.status"]) == ("samp.client.receiveResponse", "samp.error")
    return str(response["samp.error"]["samp.errortxt"])


def test_each_kind_of_delivery_calls_its_method_with_the_clients_own_key(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as one, Callback() as other:
            room = Room()
            sender, to = room.join(one.url), room.join(other.url, "test.*")
            sent = message("test.number", n="1")
            room.notify(sender, to, 1)
            assert await other.next() == ("samp.client.receiveNotification", (to.key, sender.id, sent))
            msg_id = room.do(room.hub.call(sender, to.id, "my tag", sent, 0.0))
            assert await other.next() == ("samp.client.receiveCall", (to.key, sender.id, msg_id, sent))
            response = ok_response({"a": "b"})
            room.do(room.hub.reply(to, msg_id, response, 0.0))
            assert await one.next() == ("samp.client.receiveResponse", (sender.key, to.id, "my tag", response))

    run(talk())


def test_client_gets_its_messages_in_the_order_they_were_sent(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(200):
                room.notify(sender, to, number)
            assert [number_in(await callback.next()) for _ in range(200)] == list(range(200))
            assert callback.connections == 1

    run(talk())


def test_order_holds_with_a_client_that_closes_after_each_answer(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Room()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                params, method = loads((await read_request(reader)).body)
                callback.received.put_nowait(Received(str(method), params))
                writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + DONE)

            callback._script = serve
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(30):
                room.notify(sender, to, number)
            assert [number_in(await callback.next()) for _ in range(30)] == list(range(30))
            assert callback.connections == 30

    run(talk())


def test_slow_client_delays_nobody_else(run: Run) -> None:
    async def talk() -> None:
        free = asyncio.Event()

        async def hesitate(_: Received) -> bytes:
            await free.wait()
            return DONE

        async with Callback(hesitate) as slow, Callback() as quick:
            room = Room()
            sender = room.join("")
            slow_client, quick_client = room.join(slow.url, "test.*"), room.join(quick.url, "test.*")
            for number in range(50):
                room.do(room.hub.notify_all(sender, message("test.number", n=str(number)), 0.0))
            assert [number_in(await quick.next()) for _ in range(50)] == list(range(50))
            assert (slow_client.queued, slow.received.qsize()) == (50, 1)
            free.set()
            assert [number_in(await slow.next()) for _ in range(50)] == list(range(50))
            await room.deliveries.close(PATIENCE)
            assert (slow_client.queued, quick_client.queued, room.hub.counters.delivered) == (0, 0, 100)

    run(talk())


def test_client_that_refuses_connections_is_thrown_out_and_everybody_told(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as one:
            room = Room()
            sender = room.join(one.url, "samp.hub.event.unregister")
            dead = room.join(f"http://127.0.0.1:{unused_port()}/", "test.*")
            room.notify(sender, dead, 1)
            _, (_, who, event) = await one.next()
            assert (who, event) == ("hub", message("samp.hub.event.unregister", id=dead.id))
            assert dead.gone
            assert list(room.hub.clients) == [sender]

    run(talk())


def test_whoever_waits_on_a_dead_client_gets_an_error_at_once(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as one, Callback() as mortal:
            room = Room()
            sender, to = room.join(one.url), room.join(mortal.url, "test.*")
            waiting = room.do(room.hub.call_and_wait(sender, to.id, message("test.wait"), 0.0))
            room.do(room.hub.call(sender, to.id, "tag", message("test.call"), 0.0))
            await mortal.next()
            await mortal.next()
            mortal.stop()
            room.do(room.hub.notify(sender, to.id, message("test.last"), 0.0))
            msg_id, response = await room.answer()
            assert (msg_id, response["samp.status"]) == (waiting, "samp.error")
            assert "cannot be reached" in await reason_in(one)

    run(talk())


def test_client_that_comes_back_in_time_loses_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfarm.hub.delivery.push.RETRY_AFTER", (0.05,) * 100)
    refused: asyncio.Queue[None] = asyncio.Queue()

    class Refused(HttpClient):
        async def _connect(self, _: Any) -> Any:
            refused.put_nowait(None)
            return await super()._connect(None)

    async def talk() -> None:
        async with Callback() as callback:
            room = Room(Refused)
            sender, to = room.join(""), room.join(f"http://127.0.0.1:{unused_port()}/", "test.*")
            for number in range(5):
                room.notify(sender, to, number)
            for _ in range(3):
                await refused.get()  # it is being retried
            room.do(room.hub.set_route(to, Push(callback.url), 0.0))
            assert [number_in(await callback.next()) for _ in range(5)] == list(range(5))
            assert not to.gone

    run(talk())


def test_callback_url_that_changed_gets_what_is_still_queued(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as old, Callback() as new:
            room = Room()
            sender, to = room.join(""), room.join(old.url, "test.*")
            room.notify(sender, to, 1)
            await old.next()
            await room.deliveries.close(PATIENCE)
            room.do(room.hub.set_route(to, Push(new.url), 0.0))
            room.notify(sender, to, 2)
            assert number_in(await new.next()) == 2
            assert old.received.empty()

    run(talk())


def test_client_that_is_not_callable_any_more_fails_its_callers(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as one:
            room = Room()
            sender, to = room.join(one.url), room.join("http://127.0.0.1:9/", "test.*")
            room.do(room.hub.call(sender, to.id, "tag", message("test.call"), 0.0))
            room.do(room.hub.set_route(to, None, 0.0))
            assert "not callable" in await reason_in(one)
            assert not to.gone

    run(talk())


@pytest.mark.parametrize("code", [7, -32700])
def test_fault_in_answer_to_a_call_is_an_error_to_its_sender(run: Run, code: int) -> None:
    async def refuse(_: Received) -> bytes:
        return dumps(Fault(code, "no such table"), methodresponse=True).encode()

    async def talk() -> None:
        async with Callback() as one, Callback(refuse) as other:
            room = Room()
            sender, to = room.join(one.url), room.join(other.url, "test.*")
            room.do(room.hub.call(sender, to.id, "tag", message("test.call"), 0.0))
            assert "no such table" in await reason_in(one)
            room.do(room.hub.call_and_wait(sender, to.id, message("test.call"), 0.0))
            assert "no such table" in str((await room.answer()).response)
            assert not to.gone

    run(talk())


@pytest.mark.parametrize("answer", [b"", b"OK", b"<html>no fault of mine</html>", b"<methodResponse/>", b"fault\xff\0"])
def test_client_whose_answer_is_no_xml_rpc_has_got_its_message(run: Run, answer: bytes) -> None:
    async def mumble(_: Received) -> bytes:
        return answer

    async def talk() -> None:
        async with Callback(mumble) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(3):
                room.notify(sender, to, number)
            assert [number_in(await callback.next()) for _ in range(3)] == [0, 1, 2]
            await room.deliveries.close(PATIENCE)
            assert (room.hub.counters.delivered, room.hub.counters.failed) == (3, 0)

    run(talk())


@pytest.mark.parametrize("before", [0, 3], ids=["from the first on", "later"])
def test_client_that_takes_its_time_keeps_its_place_and_gets_everything_once_in_order(
    run: Run, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr("hubfarm.hub.delivery.push.PROOF_TIMEOUT", 0.05)
    stopped, going = asyncio.Event(), asyncio.Event()

    async def at_a_breakpoint(received: Received) -> bytes:
        if number_in(received) == before:
            stopped.set()
            await going.wait()
        return DONE

    async def talk() -> None:
        async with Callback(at_a_breakpoint) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(before):
                room.notify(sender, to, number)
                assert number_in(await callback.next()) == number
            for number in range(before, 10):
                room.notify(sender, to, number)
            await stopped.wait()
            await asyncio.sleep(0.2)  # four times as long as a server may take to prove that it can
            assert not to.gone
            going.set()
            assert [number_in(await callback.next()) for _ in range(before, 10)] == list(range(before, 10))
            await room.deliveries.close(PATIENCE)
            assert (room.hub.counters.delivered, room.hub.counters.failed) == (10, 0)
            assert callback.received.empty()

    run(talk())


def test_client_whose_host_does_not_answer_is_away_and_gets_its_messages_when_it_is_back(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubfarm.hub.delivery.push.AWAY_FOR", (0.01, 0.02))
    failures = [OSError(errno.EHOSTUNREACH, "No route to host")] * 5 + [TimeoutError()] * 5

    class Far(HttpClient):
        async def _connect(self, _: Any) -> Any:
            if failures:
                raise failures.pop()
            return await super()._connect(None)

    async def talk() -> None:
        async with Callback() as callback:
            room = Room(Far)
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(3):
                room.notify(sender, to, number)
            assert [number_in(await callback.next()) for _ in range(3)] == [0, 1, 2]
            assert failures == []
            assert not to.gone

    run(talk())


def test_client_that_stops_reading_and_is_thrown_out_leaves_no_connection(run: Run) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        connected.set()
        await asyncio.Event().wait()

    connected = asyncio.Event()

    async def talk() -> None:
        async with Scripted(deaf) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            large = message("test.number", n="x" * 16 * 2**20)  # more than any socket's buffer takes
            room.do(room.hub.notify(sender, to.id, large, 0.0))
            await connected.wait()
            before = connections_to(callback.port)
            room.deliveries.throw_out(to, "a test")
            await until(lambda: connections_to(callback.port) < before, "its connection is gone")

    run(talk())


def connections_to(port: int) -> int:
    return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))


def test_client_that_closes_instead_of_an_answer_gets_no_message_twice(run: Run) -> None:
    async def hang_up(_: Received) -> None:
        return None

    async def talk() -> None:
        async with Callback() as one, Callback(hang_up) as other:
            room = Room()
            sender, to = room.join(one.url), room.join(other.url, "test.*")
            room.do(room.hub.call(sender, to.id, "tag", message("test.call"), 0.0))
            assert "closed before the answer" in await reason_in(one)
            assert other.received.qsize() == 1

    run(talk())


def test_farewell_reaches_a_client_that_is_thrown_out_and_what_waited_does_not(run: Run) -> None:
    async def talk() -> None:
        free = asyncio.Event()

        async def hesitate(_: Received) -> bytes:
            await free.wait()
            return DONE

        async with Callback(hesitate) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*", "samp.hub.disconnect")
            for number in range(3):
                room.notify(sender, to, number)
            assert number_in(await callback.next()) == 0
            room.deliveries.carry_out(room.hub.throw_out(to, "silent for 3600 s"))
            _, (key, who, event) = await callback.next()
            assert (key, who, event) == (to.key, "hub", message("samp.hub.disconnect", reason="silent for 3600 s"))
            free.set()
            await room.deliveries.close(PATIENCE)
            assert callback.received.empty()

    run(talk())


def test_farewell_reaches_a_client_that_was_never_called_before(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Room()
            to = room.join(callback.url, "samp.hub.disconnect")
            room.deliveries.carry_out(room.hub.throw_out(to, "restricted"))
            assert await callback.next() == (
                "samp.client.receiveNotification",
                (to.key, "hub", message("samp.hub.disconnect", reason="restricted")),
            )
            await room.deliveries.close(PATIENCE)

    run(talk())


def test_what_becomes_of_clients_and_deliveries_is_logged_with_who_and_why(run: Run) -> None:
    async def refuse(_: Received) -> bytes:
        return dumps(Fault(1, "no such method"), methodresponse=True).encode()

    async def talk() -> None:
        async with Callback(refuse) as callback:
            room = Room()
            to, dead = room.join(callback.url, "test.*"), room.join(f"http://127.0.0.1:{unused_port()}/", "test.*")
            room.notify(to, dead, 1)
            room.notify(dead, to, 1)
            await until(lambda: dead.gone and not to.queued, "both were tried")
            room.do(room.hub.unregister(to, 0.0))

    with logged() as log:
        run(talk())
    said = [line.partition(": no connection")[0] for line in log if "trying again" not in line]
    assert sorted(said) == [
        "INFO c1: gone: unregistered",
        "INFO c2: gone: its callback URL cannot be reached",
        "WARNING c1: receiveNotification not delivered: it answered with a fault: no such method",
        "WARNING c2: thrown out: its callback URL cannot be reached",
    ]


def test_client_whose_host_is_away_is_tried_less_and_less_often(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfarm.hub.delivery.push.AWAY_FOR", (0.001, 0.002, 0.003))

    class Away(HttpClient):
        tries = 0

        async def _connect(self, *how: Any) -> Any:
            Away.tries += 1
            if Away.tries < 6:
                raise OSError(errno.EHOSTUNREACH, "No route to host")
            return await super()._connect(*how)

    async def talk() -> None:
        async with Callback() as callback:
            room = Room(Away)
            sender, to = room.join(""), room.join(callback.url, "test.*")
            room.notify(sender, to, 1)
            assert number_in(await callback.next()) == 1

    with logged() as log:
        run(talk())
    assert [line.partition("trying again in ")[2] for line in log] == ["0.001 s", "0.002 s", *["0.003 s"] * 3]


def test_client_of_an_account_is_called_as_any_other_where_nobody_looks_who_listens() -> None:
    @in_a_loop
    async def talk() -> None:
        room = Room()
        client = room.join("http://127.0.0.1:9/")
        client.principal = Principal(uid=12345)
        assert room.deliveries.client_for(client, "http://127.0.0.1:9/x").url == "http://127.0.0.1:9/x"

    talk()


def test_hub_that_sends_nothing_more_does_not_try_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            await room.deliveries.suspend(0.0)
            monkeypatch.setattr(room.deliveries, "soon", lambda work: pytest.fail("there is nothing to be done"))
            room.notify(sender, to, 1)
            await asyncio.sleep(0)
            assert (to.queued, callback.connections) == (1, 0)

    run(talk())


def test_closing_lets_queues_drain(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(100):
                room.notify(sender, to, number)
            await room.deliveries.close(PATIENCE)
            assert (callback.received.qsize(), to.queued) == (100, 0)

    run(talk())


def test_closing_waits_no_longer_than_its_grace(run: Run) -> None:
    async def silent(_: Received) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def talk() -> None:
        async with Callback(silent) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            room.notify(sender, to, 1)
            await callback.next()
            async with asyncio.timeout(PATIENCE):
                await room.deliveries.close(0.05)

    run(talk())


def test_delivery_is_in_hand_only_while_the_fault_in_its_answer_is_read(run: Run) -> None:
    async def refuse(_: Received) -> bytes:
        return dumps(Fault(1, "no"), methodresponse=True).encode()

    async def talk() -> None:
        async with Callback(refuse) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            room.notify(sender, to, 1)
            delivery = room.hub.next_delivery(to)
            assert delivery is not None
            await room.deliveries.close(PATIENCE)
            assert room.marks == [delivery.number, 0]

    run(talk())


@pytest.mark.parametrize("host", ["a..b", "no-such-host.invalid", "127.0.0.1:1"])
def test_callback_url_that_leads_nowhere_ends_the_client_and_not_the_hub(run: Run, host: str) -> None:
    async def talk() -> None:
        async with Callback() as one:
            room = Room()
            sender, to = room.join(one.url), room.join(f"http://{host}/", "test.*")
            room.do(room.hub.call(sender, to.id, "tag", message("test.call"), 0.0))
            assert "cannot be reached" in await reason_in(one)
            assert to.gone

    run(talk())


class Pausing(Callback):
    """A callback server that reads on while it answers nothing: `reads` requests before each row of answers."""

    def __init__(self, first: int, then: int, *, closes_after: int = 0) -> None:
        super().__init__()
        self._first = first
        self._then = then
        self._closes_after = closes_after

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        while True:
            row = self._then if answered >= self._first and self.connections == 1 else 1
            for _ in range(row):
                params, method = loads((await read_request(reader)).body)
                self.received.put_nowait(Received(str(method), params))
            for _ in range(row):
                if self.connections == 1 and answered == self._closes_after > 0:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(DONE), DONE))
                answered += 1


def test_client_that_keeps_its_connection_gets_several_before_it_has_answered_the_first(run: Run) -> None:
    async def talk() -> None:
        async with Pausing(first=2, then=5) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(12):
                room.notify(sender, to, number)
            assert [number_in(await callback.next()) for _ in range(12)] == list(range(12))
            await room.deliveries.close(PATIENCE)
            assert (room.hub.counters.delivered, room.hub.counters.failed, callback.connections) == (12, 0, 1)

    run(talk())


def test_what_is_unread_when_a_client_closes_in_between_is_delivered_anew_and_in_order(run: Run) -> None:
    async def talk() -> None:
        async with Pausing(first=2, then=4, closes_after=4) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(10):
                room.notify(sender, to, number)
            heard = [number_in(await callback.next()) for _ in range(12)]
            # It read 0 to 5, answered 0 to 3 and closed: 4 and 5 come again, and nothing twice else.
            assert heard == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
            await room.deliveries.close(PATIENCE)
            assert (room.hub.counters.delivered, room.hub.counters.failed) == (10, 0)

    run(talk())


def test_client_that_answers_the_first_of_several_only_gets_the_others_one_by_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubfarm.hub.delivery.push.PROOF_TIMEOUT", 0.3)

    async def forgetful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read all that is there as if it were one request."""
        while True:
            first = await read_request(reader)
            heard.append(int(loads(first.body)[0][-1]["samp.params"]["n"]))
            reader._buffer.clear()  # type: ignore[attr-defined]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(DONE), DONE))

    heard: list[int] = []

    async def talk() -> None:
        async with Scripted(forgetful) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(8):
                room.notify(sender, to, number)
            await room.deliveries.close(PATIENCE)
            assert heard == list(range(8))
            assert (room.hub.counters.delivered, room.hub.counters.failed) == (8, 0)

    run(talk())


def test_client_that_has_answered_what_was_sent_ahead_may_take_its_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubfarm.hub.delivery.push.PROOF_TIMEOUT", 0.05)
    going = asyncio.Event()

    async def stop_at_four(received: Received) -> bytes:
        if number_in(received) == 4:
            await going.wait()
        return DONE

    async def talk() -> None:
        async with Callback(stop_at_four) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(7):  # the first two one by one, then all the others
                room.notify(sender, to, number)
            await until(lambda: room.hub.counters.delivered == 4, "it has answered two that were sent together")
            await asyncio.sleep(0.2)  # four times as long as a server may take to prove that it can
            going.set()
            await room.deliveries.close(PATIENCE)
            assert [number_in(callback.received.get_nowait()) for _ in range(callback.received.qsize())] == [*range(7)]
            assert callback.connections == 1

    run(talk())


def test_no_more_is_sent_behind_so_many_bytes_that_are_still_to_be_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk() -> None:
        async with Pausing(first=2, then=100) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(10):  # the first two one by one
                room.notify(sender, to, number)
            first = room.hub.next_delivery(to)
            assert first is not None
            monkeypatch.setattr("hubfarm.hub.delivery.push.STREAM_BYTES", 2 * len(first.payload.xml) + 1)
            assert [number_in(await callback.next()) for _ in range(5)] == [0, 1, 2, 3, 4]
            await room.deliveries.suspend(0.0)
            await asyncio.wait(callback._tasks)  # the connection is closed: whatever was sent is there
            assert callback.received.empty()

    run(talk())


def test_streamed_deliveries_of_a_client_that_leaves_are_dropped(run: Run) -> None:
    async def talk() -> None:
        async with Pausing(first=2, then=100) as callback, Callback() as other:
            room = Room()
            sender, to = room.join(other.url), room.join(callback.url, "test.*")
            for number in range(6):
                room.notify(sender, to, number)
            assert [number_in(await callback.next()) for _ in range(6)] == list(range(6))
            room.do(room.hub.unregister(to, 0.0))
            await room.deliveries.close(PATIENCE)
            assert (room.hub.counters.delivered, room.hub.counters.queued) == (2, 0)

    run(talk())


def test_closing_lets_streamed_deliveries_arrive(run: Run) -> None:
    async def talk() -> None:
        async with Pausing(first=2, then=4) as callback:
            room = Room()
            sender, to = room.join(""), room.join(callback.url, "test.*")
            for number in range(6):
                room.notify(sender, to, number)
            started = asyncio.get_running_loop().time()
            await room.deliveries.close(PATIENCE)
            assert asyncio.get_running_loop().time() - started < PATIENCE
            assert room.hub.counters.delivered == 6

    run(talk())
