"""Clients that pull: what waits for them is handed over once, in order, and not lost with a connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import msgspec
import pytest

from hubfarm.hub.core import MOST_PULLED, Hub
from hubfarm.hub.delivery import liveness as liveness_module
from hubfarm.hub.delivery import pull as pull_module
from hubfarm.hub.delivery.liveness import LONGEST_SILENCE, LONGEST_SILENCE_FAR, Liveness
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.model import Client
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.recall import recall
from hubfarm.hub.records import Record
from hubfarm.hub.routes import Pull, Push
from hubfarm.samp import errors
from hubfarm.samp.values import ok_response
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import Principal
from hubfarm.wire.http_messages import Response
from tests.hub.hub_support import make_hub, post
from tests.hub.test_deliveries import Callback, Room
from tests.support import PATIENCE, message
from tests.wire.wire_support import ENCRYPTED, LOOPS, Peer, Served, run_in, serving, until

Run = Callable[[Coroutine[Any, Any, None]], None]

SECRET = "swordfish"


@pytest.fixture(params=[(loop, encrypted) for loop in LOOPS for encrypted in (False, True)])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine in each kind of loop, in the clear and over TLS."""
    loop, encrypted = request.param
    before = ENCRYPTED.set(encrypted)
    yield lambda coroutine: run_in(loop, coroutine)
    ENCRYPTED.reset(before)


class Pulled(Room):
    """A hub with a profile, and clients that pull by it."""

    def __init__(self, **limits: int) -> None:
        super().__init__()
        self.hub.limits = Limits(**limits)
        self.profile = StandardProfile(
            Inside(self.hub, self.deliveries, Waits(), SECRET, asyncio.get_running_loop().time)
        )

    def start(self, method: str, *params: Any) -> "Response | asyncio.Future[Response]":
        return self.profile.handle(post(dumps(params, f"samp.hub.{method}").encode()))

    def ask(self, method: str, *params: Any) -> Any:
        answer = self.start(method, *params)
        assert isinstance(answer, Response)
        return taken(answer)

    def puller(self, *patterns: str) -> Client:
        client = self.join("", *patterns)
        assert self.ask("allowReverseCallbacks", client.key, "1") == ""
        return client

    async def pull(self, client: Client, timeout: str = "10") -> Any:
        answer = self.start("pullCallbacks", client.key, timeout)
        async with asyncio.timeout(PATIENCE):
            return taken(answer if isinstance(answer, Response) else await answer)

    def waiting_pull(self, client: Client, timeout: str = "10") -> "asyncio.Future[Response]":
        answer = self.start("pullCallbacks", client.key, timeout)
        assert isinstance(answer, asyncio.Future)
        return answer


def taken(answer: Response, *, whole: bool = True) -> Any:
    """Take an answer as the kernel does; return what it says, as a foreign client reads it."""
    if answer.written is not None:
        answer.written(whole)
    return loads(answer.body)[0][0]


def numbers_in(pulled: Any) -> list[int]:
    return [int(each["samp.params"][-1]["samp.params"]["n"]) for each in pulled]


# ---------------------------------------------------------------------- what is pulled


def test_each_kind_is_pulled_under_its_name_without_prefix_and_key(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        one, other = room.puller(), room.puller("test.*")
        sent = message("test.number", n="1")
        room.notify(one, other, 1)
        msg_id = room.do(room.hub.call(one, other.id, "my tag", sent, 0.0))
        assert await room.pull(other) == [
            {"samp.methodName": "receiveNotification", "samp.params": [one.id, sent]},
            {"samp.methodName": "receiveCall", "samp.params": [one.id, msg_id, sent]},
        ]
        response = ok_response({"a": "<&>"})
        room.ask("reply", other.key, msg_id, response)
        assert await room.pull(one) == [
            {"samp.methodName": "receiveResponse", "samp.params": [other.id, "my tag", response]}
        ]
        assert room.hub.counters.queued == 0
        assert room.hub.counters.delivered == 3

    run(talk())


def test_pull_waits_for_what_comes_and_gets_what_comes_together_at_once(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        pull = room.waiting_pull(to)
        for number in range(5):
            room.notify(sender, to, number)
        assert numbers_in(taken(await pull)) == [0, 1, 2, 3, 4]

    run(talk())


def test_pull_returns_with_nothing_when_its_time_is_over(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        to = room.puller()
        assert await room.pull(to, "0") == []
        assert await room.pull(to, "0.05") == []
        assert await room.pull(to, "1e-9") == []

    run(talk())


@pytest.mark.parametrize("timeout", ["-1", "99999999999", "1" + "0" * 400])
def test_pull_may_wait_for_ever(run: Run, timeout: str) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        pull = room.waiting_pull(to, timeout)
        await asyncio.sleep(0.05)
        assert not pull.done()
        room.notify(sender, to, 7)
        assert numbers_in(taken(await pull)) == [7]

    run(talk())


def test_second_pull_ends_the_first_with_nothing(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        first = room.waiting_pull(to)
        second = room.waiting_pull(to)
        assert taken(await first) == []
        room.notify(sender, to, 1)
        assert numbers_in(taken(await second)) == [1]

    run(talk())


def test_answer_takes_so_much_and_the_next_one_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_module, "MOST", 2)

    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        for number in range(5):
            room.notify(sender, to, number)
        assert [numbers_in(await room.pull(to)) for _ in range(3)] == [[0, 1], [2, 3], [4]]
        monkeypatch.setattr(pull_module, "MOST_BYTES", 1)
        for number in range(2):
            room.notify(sender, to, number)
        assert [numbers_in(await room.pull(to)) for _ in range(2)] == [[0], [1]]

    run(talk())


@pytest.mark.parametrize("timeout", ["", "soon", "nan", "inf", "0x10", "１"])
def test_timeout_that_is_no_number_is_a_fault(run: Run, timeout: str) -> None:
    async def talk() -> None:
        room = Pulled()
        to = room.puller()
        with pytest.raises(Fault, match="not a SAMP float"):
            await room.pull(to, timeout)

    run(talk())


# ---------------------------------------------------------------------- what is not written is not lost


def test_what_was_not_written_is_for_the_next_pull_in_its_order(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        room.notify(sender, to, 1)
        lost = room.start("pullCallbacks", to.key, "10")
        room.notify(sender, to, 2)
        lost_too = room.start("pullCallbacks", to.key, "10")
        room.notify(sender, to, 3)
        waiting = room.start("pullCallbacks", to.key, "10")
        assert isinstance(lost, Response)
        assert isinstance(lost_too, Response)
        assert isinstance(waiting, Response)
        assert numbers_in(taken(waiting, whole=False)) == [3]
        assert numbers_in(taken(lost, whole=False)) == [1]
        assert numbers_in(taken(lost_too, whole=False)) == [2]
        assert room.hub.counters.queued == 3
        assert numbers_in(await room.pull(to)) == [1, 2, 3]
        assert room.hub.counters.queued == 0

    run(talk())


def test_what_was_not_written_goes_to_a_pull_that_waits_already(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        room.notify(sender, to, 1)
        lost = room.start("pullCallbacks", to.key, "10")
        waiting = room.waiting_pull(to)
        assert isinstance(lost, Response)
        taken(lost, whole=False)
        assert numbers_in(taken(await waiting)) == [1]

    run(talk())


@asynccontextmanager
async def served(room: Pulled) -> AsyncIterator[Served]:
    async with serving(room.profile.handle) as one:
        yield one


def request(method: str, *params: Any) -> bytes:
    body = dumps(params, f"samp.hub.{method}").encode()
    return b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_pull_whose_connection_goes_away_takes_nothing_with_it(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        async with served(room) as server:
            gone = await server.peer()
            await gone.send(request("pullCallbacks", to.key, "600"))
            await until(lambda: room.deliveries.is_connected(to), "the pull waits")
            gone.close()
            await until(lambda: not room.deliveries.is_connected(to), "its end is seen")
            room.notify(sender, to, 1)
            peer = await server.peer()
            assert numbers_in(loads((await peer.ask(request("pullCallbacks", to.key, "600"))).body)[0][0]) == [1]
            await until(lambda: room.hub.counters.delivered == 1, "it has arrived")
            assert server.errors == []
            peer.close()

    run(talk())


def test_answer_that_a_peer_does_not_take_whole_is_handed_to_the_next_pull(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        text = "x" * 20_000_000  # more than the kernel takes for a peer that does not read
        room.do(room.hub.notify(sender, to.id, message("test.number", n="1", text=text), 0.0))
        async with served(room) as server:
            lazy = await server.peer()
            await lazy.send(request("pullCallbacks", to.key, "600"))
            await until(lambda: server.server.connections, "it is connected")
            await asyncio.sleep(0.1)
            assert room.hub.counters.queued == 1
            lazy.writer.transport.abort()
            peer = await server.peer()
            answer = await peer.ask(request("pullCallbacks", to.key, "600"))
            assert numbers_in(loads(answer.body)[0][0]) == [1]
            await until(lambda: room.hub.counters.delivered == 1, "it has arrived")
            assert server.errors == []
            peer.close()

    run(talk())


def test_answers_over_a_kept_connection_arrive_one_after_the_other(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to = room.join(""), room.puller("test.*")
        async with served(room) as server:
            peer: Peer = await server.peer()
            for number in range(50):
                asked = asyncio.ensure_future(peer.ask(request("pullCallbacks", to.key, "600")))
                await until(lambda: room.deliveries.is_connected(to), "the pull waits")
                room.notify(sender, to, number)
                assert numbers_in(loads((await asked).body)[0][0]) == [number]
            await until(lambda: room.hub.counters.delivered == 50, "all have arrived")
            peer.close()

    run(talk())


# ---------------------------------------------------------------------- callable, and how


def test_who_has_not_allowed_it_cannot_pull(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        client = room.join("")
        with pytest.raises(Fault, match="allowReverseCallbacks first"):
            room.ask("pullCallbacks", client.key, "0")
        with pytest.raises(Fault, match="register first"):
            room.ask("pullCallbacks", "nobody", "0")
        with pytest.raises(Fault, match="not a SAMP boolean"):
            room.ask("allowReverseCallbacks", client.key, "yes")

    run(talk())


def test_who_allows_it_no_more_is_not_callable_and_its_callers_are_told(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Pulled()
            sender, to = room.join(callback.url), room.puller("test.*")
            room.do(room.hub.call(sender, to.id, "tag", message("test.number", n="1"), 0.0))
            taken(room.start("pullCallbacks", to.key, "0"), whole=False)  # type: ignore[arg-type]
            room.ask("allowReverseCallbacks", to.key, "0")
            _, (_, _, tag, response) = await callback.next()
            assert (tag, response["samp.status"]) == ("tag", "samp.error")
            assert "not callable any more" in response["samp.error"]["samp.errortxt"]
            with pytest.raises(errors.Fault, match="not callable"):
                room.notify(sender, to, 1)
            with pytest.raises(Fault, match="allowReverseCallbacks first"):
                room.ask("pullCallbacks", to.key, "0")
            room.ask("allowReverseCallbacks", to.key, "1")
            room.notify(sender, to, 2)
            assert numbers_in(await room.pull(to)) == [2]

    run(talk())


def test_pull_that_waits_is_ended_with_nothing_by_0(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        to = room.puller()
        pull = room.waiting_pull(to)
        room.ask("allowReverseCallbacks", to.key, "1")  # changes nothing
        assert not pull.done()
        room.ask("allowReverseCallbacks", to.key, "0")
        assert taken(await pull) == []

    run(talk())


def test_what_waits_goes_the_way_that_was_declared_last(run: Run) -> None:
    async def talk() -> None:
        async with Callback() as callback:
            room = Pulled()
            sender, to = room.join(""), room.puller("test.*")
            room.notify(sender, to, 1)
            room.ask("setXmlrpcCallback", to.key, callback.url)
            assert (await callback.next()).params[2]["samp.params"]["n"] == "1"
            await until(lambda: room.hub.counters.delivered == 1, "it has arrived")
            room.ask("allowReverseCallbacks", to.key, "1")
            room.notify(sender, to, 2)
            assert numbers_in(await room.pull(to)) == [2]
            await room.deliveries.close(PATIENCE)

    run(talk())


# ---------------------------------------------------------------------- ends


def test_client_that_is_thrown_out_is_told_by_the_pull_that_waits(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        told, untold = room.puller("samp.hub.disconnect"), room.puller()
        pulls = room.waiting_pull(told), room.waiting_pull(untold)
        for client in told, untold:
            room.deliveries.carry_out(room.hub.throw_out(client, "go"))
        (farewell,), nothing = [taken(await pull) for pull in pulls]
        assert farewell["samp.params"] == ["hub", message("samp.hub.disconnect", reason="go")]
        assert nothing == []
        with pytest.raises(Fault, match="register first"):
            room.ask("pullCallbacks", told.key, "0")

    run(talk())


def test_hub_that_ends_waits_until_what_is_queued_has_been_pulled(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        to = room.puller("samp.hub.event.shutdown")
        room.deliveries.carry_out(room.hub.shut_down())
        closing = asyncio.ensure_future(room.deliveries.close(PATIENCE))
        await asyncio.sleep(0)
        ((event),) = await room.pull(to)
        assert event["samp.params"][1]["samp.mtype"] == "samp.hub.event.shutdown"
        await closing

    run(talk())


def test_hub_that_ends_waits_no_longer_for_a_client_that_does_not_pull_and_ends_pulls(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        absent, waiting = room.puller("samp.hub.event.shutdown"), room.puller()
        pull = room.waiting_pull(waiting)
        room.deliveries.carry_out(room.hub.shut_down())
        await room.deliveries.close(0.05)
        assert taken(await pull) == []
        assert not absent.gone

    run(talk())


def test_hub_that_is_replaced_hands_out_nothing_more_and_waits_for_what_is_being_written(run: Run) -> None:
    async def talk() -> None:
        room = Pulled()
        sender, to, idle = room.join(""), room.puller("test.*"), room.puller()
        pull = room.waiting_pull(idle)
        room.notify(sender, to, 1)
        answer = room.start("pullCallbacks", to.key, "600")
        assert isinstance(answer, Response)
        assert answer.written is not None
        suspending = asyncio.ensure_future(room.deliveries.suspend(PATIENCE))
        await asyncio.sleep(0)
        room.notify(sender, to, 2)
        assert await room.pull(to) == []
        assert not suspending.done()
        answer.written(True)
        await suspending
        assert taken(await pull) == []
        assert [each.payload.value["samp.params"] for each in room.hub.deliveries_to(to)] == [{"n": "2"}]  # type: ignore

    run(talk())


# ---------------------------------------------------------------------- bounds, and who is gone


def test_queue_of_a_client_that_does_not_pull_is_bounded() -> None:
    hub = make_hub()
    sender = hub.client_with_key(str(hub.register(Principal(), 0.0).result["samp.private-key"]))  # type: ignore
    for route, most in (Pull(), MOST_PULLED), (Push("http://127.0.0.1:9/"), MOST_PULLED + 100):
        to = hub.client_with_key(str(hub.register(Principal(), 0.0).result["samp.private-key"]))  # type: ignore
        hub.set_route(to, route, 0.0)
        hub.declare_subscriptions(to, {"a": {}}, 0.0)
        for _ in range(most):
            hub.notify(sender, to.id, message("a"), 0.0)
        if isinstance(route, Pull):
            with pytest.raises(errors.Fault, match="is full"):
                hub.notify(sender, to.id, message("a"), 0.0)


def test_client_that_does_not_pull_any_more_is_gone_after_a_while_and_one_afar_or_a_program_later(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 10 < LONGEST_SILENCE < LONGEST_SILENCE_FAR
    monkeypatch.setattr(liveness_module, "LONGEST_SILENCE", 0.2)

    async def talk() -> None:
        room = Pulled()
        near, pulling, far, program = room.puller(), room.puller(), room.puller(), room.puller()
        for page in (near, pulling, far):
            page.is_page = True
        far.principal = Principal(host="192.0.2.7")
        probes = Liveness(room.hub, room.deliveries)
        pull = room.waiting_pull(pulling, "-1")
        probes.beat()
        assert not near.gone
        await asyncio.sleep(0.25)
        probes.beat()
        assert (near.gone, pulling.gone, far.gone) == (True, False, False)
        pull.cancel()
        await asyncio.sleep(0.1)
        probes.beat()
        assert not pulling.gone
        await asyncio.sleep(0.15)
        probes.beat()
        assert (pulling.gone, far.gone, program.gone) == (True, False, False)
        probes.close()

    run(talk())


# ---------------------------------------------------------------------- a successor


def test_successor_hands_out_what_was_accepted_and_not_pulled(run: Run) -> None:
    async def talk() -> None:
        ledger = Ledger(noting=True)
        room = Pulled()
        room.hub = hub_on(ledger)
        sender = room.hub.client_with_key(str(room.hub.register(Principal(), 0.0).result["samp.private-key"]))  # type: ignore
        to = room.hub.client_with_key(str(room.hub.register(Principal(), 0.0).result["samp.private-key"]))  # type: ignore
        room.hub.set_route(to, Pull(), 0.0)
        room.hub.declare_subscriptions(to, {"test.*": {}}, 0.0)
        for number in range(3):
            room.hub.notify(sender, to.id, message("test.number", n=str(number)), 0.0)
        room.hub.delivered(room.hub.deliveries_to(to)[0])
        encoded = [msgspec.msgpack.encode(record) for record in ledger.take_changes()]
        recalled = recall([msgspec.msgpack.decode(each, type=Record) for each in encoded], 0.0)
        again = Ledger()
        again.restore(recalled)
        later = Pulled()
        later.hub.__dict__.update(hub_on(again).__dict__)
        later.deliveries.resume()
        back = later.hub.client_with_key(to.key)
        assert back.route == Pull()
        assert numbers_in(await later.pull(back)) == [1, 2]

    run(talk())


def hub_on(ledger: Ledger) -> Hub:
    numbers = iter(range(100))
    return Hub({}, limits=Limits(), new_key=lambda: f"key-{next(numbers)}", now=0.0, ledger=ledger)
