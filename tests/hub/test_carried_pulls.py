"""Answers to pulls that a gateway carries on to web pages: handed out again until they have arrived."""

import asyncio
from typing import Any
from urllib.parse import quote
from xmlrpc.client import dumps, loads

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.hub.core import MOST_PULLED
from hubfarm.hub.delivery.liveness import LONGEST_SILENCE
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.recall import recall
from hubfarm.hub.records import Record
from hubfarm.wire.carried_pulls import MOST_NAMED, CarriedPull, as_list, names_in, pull_in
from hubfarm.wire.http_messages import Request, Response
from tests.hub.test_web_profile import CREDENTIAL, PEER, Doors
from tests.support import in_a_loop, message


class Carrier:
    """A gateway, as far as it carries: what it does with an answer is the test's to say."""

    def __init__(self, doors: Doors, key: str, mark: str = "a") -> None:
        self.doors, self.key, self.mark = doors, key, mark
        self.count = 0
        self.carried: list[str] = []

    def pull(self, seconds: str = "0", *, arrived: str = "") -> "tuple[str, Response | asyncio.Future[Response]]":
        self.count += 1
        name = f"{self.mark}.{self.count}"
        field = CarriedPull(name, frozenset(self.carried)).as_field().encode()
        self.carried.append(name)
        more = {"x-hubfarm-arrived": arrived.encode()} if arrived else {}
        return name, self.doors.by_web("pullCallbacks", self.key, seconds, **{"x-hubfarm-pull": field, **more})

    def tell(self, what: str, *names: str, key: str = "") -> int:
        target = f"/pulled?key={quote(key or self.key, safe='')}&{what}={quote(','.join(names), safe='')}".encode()
        answer = self.doors.ask(Request(b"GET", target, {b"x-hubfarm-door": b"web " + CREDENTIAL.encode()}, b"", PEER))
        assert isinstance(answer, Response)
        return answer.status

    def over(self, name: str, *, arrived: bool) -> None:
        self.carried.remove(name)
        assert self.tell("arrived" if arrived else "lost", name) == 200


def numbers(answer: "Response | asyncio.Future[Response]", *, whole: bool = True) -> list[int]:
    """Return what an answer brings, once the kernel has it."""
    assert isinstance(answer, Response)
    if answer.written is not None:
        answer.written(whole)
    return [int(each["samp.params"][-1]["samp.params"]["n"]) for each in loads(answer.body)[0][0]]


def a_page_and_a_program() -> tuple[Doors, str, Any]:
    doors = Doors()
    key, id = doors.enter_page("table.*")
    sender, _ = doors.enter_program()
    count = iter(range(10**6))

    def send() -> int:
        number = next(count)
        doors.program("notify", sender, id, message("table.x", n=str(number)))
        return number

    return doors, key, send


def waiting(doors: Doors) -> int:
    return doors.hub.counters.queued


@in_a_loop
async def test_what_is_carried_is_settled_when_it_has_arrived() -> None:
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    send()
    name, answer = gateway.pull()
    assert numbers(answer) == [0]
    assert waiting(doors) == 1  # the kernel has it, and its page has not yet
    gateway.over(name, arrived=True)
    assert waiting(doors) == 0
    assert doors.hub.counters.delivered == 1


@in_a_loop
async def test_any_request_of_the_page_may_say_so_and_the_next_pull_does() -> None:
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    for ask in ("getRegisteredClients", "pullCallbacks"):
        send()
        name, answer = gateway.pull()
        assert len(numbers(answer)) == 1
        gateway.carried.remove(name)
        if ask == "pullCallbacks":
            assert numbers(gateway.pull(arrived=name)[1]) == []
        else:
            doors.page(ask, key, **{"x-hubfarm-arrived": name.encode()})
        assert waiting(doors) == 0


@in_a_loop
async def test_what_a_killed_gateway_had_in_its_hand_goes_to_the_next_pull_in_its_order() -> None:
    doors, key, send = a_page_and_a_program()
    killed = Carrier(doors, key, "a")
    send()
    assert numbers(killed.pull()[1]) == [0]
    send()
    assert numbers(killed.pull()[1]) == [1]  # the first is on its way still: it is not given twice
    send()
    successor = Carrier(doors, key, "b")
    name, answer = successor.pull()
    assert numbers(answer) == [0, 1, 2]
    successor.over(name, arrived=True)
    assert waiting(doors) == 0


@in_a_loop
async def test_what_was_lost_on_the_way_to_the_browser_goes_to_a_pull_that_waits() -> None:
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    send()
    first, answer = gateway.pull()
    assert numbers(answer) == [0]
    _, second = gateway.pull("10")
    assert isinstance(second, asyncio.Future)
    gateway.over(first, arrived=False)
    assert numbers(await second) == [0]


@in_a_loop
async def test_a_name_that_is_used_again_is_another_pull() -> None:
    """A gateway asks again under the same name when a connection broke; its name is free once that is over."""
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    send()
    _, first = gateway.pull()
    gateway.count, gateway.carried = 0, []
    name, second = gateway.pull()
    assert numbers(second) == [0]
    assert numbers(first, whole=False) == [0]  # which comes out late, and takes nothing back from the second
    assert numbers(gateway.pull()[1]) == []
    gateway.over(name, arrived=True)
    assert waiting(doors) == 0


@in_a_loop
async def test_what_has_arrived_before_the_kernel_says_so_has_arrived() -> None:
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    send()
    name, answer = gateway.pull()
    gateway.over(name, arrived=True)
    assert numbers(answer, whole=False) == [0]
    assert numbers(gateway.pull()[1]) == []


@in_a_loop
async def test_who_pulls_without_a_carrier_has_it_when_the_kernel_does() -> None:
    doors, key, send = a_page_and_a_program()
    send()
    assert numbers(doors.by_web("pullCallbacks", key, "0")) == [0]
    assert waiting(doors) == 0


@in_a_loop
async def test_a_page_whose_gateway_died_with_its_answer_is_silent_and_its_queue_is_bounded() -> None:
    doors, key, send = a_page_and_a_program()
    for _ in range(MOST_PULLED):
        send()
    assert len(numbers(Carrier(doors, key).pull()[1])) > 0
    assert waiting(doors) == MOST_PULLED
    client = doors.hub.client_with_key(key)
    outbox = doors.deliveries._outboxes[client.id]
    outbox._last_pull -= LONGEST_SILENCE  # type: ignore[union-attr]
    assert doors.deliveries.silence_of(client) >= LONGEST_SILENCE


@in_a_loop
async def test_a_successor_of_the_hub_hands_out_what_had_not_arrived() -> None:
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    send()
    first, answer = gateway.pull()
    assert numbers(answer) == [0]
    send()
    gateway.pull()
    gateway.over(first, arrived=True)
    gateway.doors = doors.successor()
    assert numbers(gateway.pull()[1]) == [1]


@in_a_loop
async def test_a_hub_that_ends_waits_for_what_is_carried() -> None:
    doors, key, send = a_page_and_a_program()
    gateway = Carrier(doors, key)
    send()
    name, answer = gateway.pull()
    assert numbers(answer) == [0]
    ending = asyncio.ensure_future(doors.deliveries.suspend(grace=20.0))
    await asyncio.sleep(0)
    assert not ending.done()
    gateway.over(name, arrived=True)
    await ending
    assert waiting(doors) == 0


@in_a_loop
async def test_who_is_told_of_pulls_wants_a_key_and_understands_anything() -> None:
    doors, key, _ = a_page_and_a_program()
    assert Carrier(doors, key).tell("arrived", "never", "heard", "of") == 200
    assert Carrier(doors, key).tell("lost", "x" * 5000) == 200
    assert Carrier(doors, key).tell("arrived", key="wrong") == 403


def test_lists_of_names_are_short_and_read_back() -> None:
    names = [f"a.{number}" for number in range(MOST_NAMED + 5)]
    assert names_in(as_list(names).encode()) == names[5:]


@given(st.binary(max_size=200))
def test_whatever_a_header_says_is_a_pull_or_none(field: bytes) -> None:
    pull = pull_in(field)
    assert (pull is None) == (not field.strip())


@given(st.data())
def test_whatever_dies_all_arrives_in_its_order(data: st.DataObject) -> None:
    """Messages, pulls, answers that arrive or not in any order, new gateways, new hubs: nothing is lost.

    Nor does anything come twice, unless an answer was lost, or somebody died who knew that it was not.
    """

    async def run() -> None:
        doors, key, _ = a_page_and_a_program()
        journal: list[Record] = []

        def send(number: int) -> None:
            (sender,) = [each.key for each in doors.hub.clients if each.principal.profile == "standard"]
            to = doors.hub.client_with_key(key).id
            doors.program("notify", sender, to, message("table.x", n=str(number)))

        def successor() -> Doors:
            written = [msgspec.msgpack.encode(record) for record in doors.ledger.take_changes()]
            journal.extend(msgspec.msgpack.decode(each, type=Record) for each in written)
            doors.ledger._changes = []
            again = Ledger(noting=True)
            again.restore(recall(journal, 0.0))
            return Doors(again)

        gateway = Carrier(doors, key, "g0")
        in_hand: dict[str, list[int]] = {}
        seen: list[int] = []
        sent = generation = 0
        faultless = True
        for step in data.draw(st.lists(st.sampled_from(["send", "pull", "arrive", "lose", "gateway", "hub"]))):
            match step:
                case "send":
                    send(sent)
                    sent += 1
                case "pull":
                    name, answer = gateway.pull()
                    in_hand[name] = numbers(answer)
                case "arrive" | "lose" if in_hand:
                    name = data.draw(st.sampled_from(sorted(in_hand)))
                    got = in_hand.pop(name)
                    gateway.over(name, arrived=step == "arrive")
                    if step == "arrive":
                        seen += got
                    else:
                        faultless = False
                case "gateway" | "hub":
                    generation += 1
                    faultless = False
                    if step == "hub":
                        doors = successor()
                    in_hand = {}
                    gateway = Carrier(doors, key, f"g{generation}")
        for name, got in list(in_hand.items()):
            seen += got
            gateway.over(name, arrived=True)
        name, answer = gateway.pull()
        seen += numbers(answer)
        gateway.over(name, arrived=True)
        assert set(seen) == set(range(sent))
        assert waiting(doors) == 0
        if faultless:
            assert sorted(seen) == list(range(sent))

    asyncio.run(run())


@in_a_loop
async def test_program_that_pulls_says_what_has_arrived_too() -> None:
    doors = Doors()
    key, id = doors.enter_program("table.*")
    sender, _ = doors.enter_program()

    def pull(**said: str) -> "Response | asyncio.Future[Response]":
        fields = {f"x-hubfarm-{name}".encode(): value.encode() for name, value in said.items()}
        body = dumps((key, "0"), "samp.hub.pullCallbacks").encode()
        return doors.ask(Request(b"POST", b"/", fields, body, PEER))

    def send(number: int) -> None:
        doors.program("notify", sender, id, message("table.x", n=str(number)))

    send(0)
    assert numbers(pull(pull="a.1")) == [0]
    assert waiting(doors) == 1
    send(1)
    assert numbers(pull(pull="a.2")) == [0, 1]  # of the first nothing was heard
    assert numbers(pull(pull="a.3", arrived="a.2")) == []
    assert waiting(doors) == 0
    send(2)
    assert numbers(pull()) == [2]  # carried by nobody: it is settled once it has left
    assert waiting(doors) == 0
