"""Wrong secrets and keys: all answered alike, later and later, and nobody else waits for it."""

import asyncio
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import pytest

from hubfarm.farm import Farm
from hubfarm.hub.core import Hub
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.profiles import throttle
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.throttle import (
    FIRST_DELAY,
    FORGIVEN_AFTER,
    FREE,
    LONGEST_DELAY,
    MAX_ADDRESSES,
    HeldAnswers,
    Throttle,
)
from hubfarm.hub.profiles.waits import Waits
from hubfarm.spec.limits import Limits
from hubfarm.wire.http_messages import Response
from tests.hub.hub_support import HUB_METADATA, post
from tests.hub.test_standard_profile import Recorder
from tests.support import PATIENCE, Receiver

SECRET = "10f60b7d8294a8"
HERE, THERE = "127.0.0.1", "192.0.2.1"


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_first_failures_are_free_and_further_ones_wait_longer_and_longer() -> None:
    failures = Throttle(Clock())
    delays = [failures.count(HERE) for _ in range(FREE + 12)]
    assert delays[:FREE] == [0.0] * FREE
    assert delays[FREE] > 0
    assert delays[FREE:] == sorted(delays[FREE:])
    assert delays[FREE + 2] == 4 * FIRST_DELAY
    assert delays[-1] == LONGEST_DELAY


def test_one_address_does_not_pay_for_another() -> None:
    failures = Throttle(Clock())
    for _ in range(100):
        failures.count(HERE)
    assert failures.count(THERE) == 0


def test_failures_are_forgiven_with_time() -> None:
    clock = Clock()
    clock.now = 1000 * FORGIVEN_AFTER
    failures = Throttle(clock)
    for _ in range(FREE + 5):
        failures.count(HERE)
    clock.now += 3 * FORGIVEN_AFTER
    assert failures.count(HERE) == 4 * FIRST_DELAY  # the third of six after the free ones
    clock.now += 1000 * FORGIVEN_AFTER
    assert failures.count(HERE) == 0


def test_however_many_addresses_fail_few_are_remembered() -> None:
    failures = Throttle(Clock())
    for number in range(3 * MAX_ADDRESSES):
        failures.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures) == MAX_ADDRESSES


def test_address_with_the_fewest_failures_is_forgotten_first_and_of_these_the_oldest() -> None:
    clock = Clock()
    failures = Throttle(clock)
    for _ in range(FREE + 1):
        failures.count(THERE)
    failures.count(HERE)
    for number in range(3 * MAX_ADDRESSES):  # as under ever new names, so that one be forgotten that is guessed at
        failures.count(f"user-{number}")
    assert failures.failures(THERE) == FREE + 1
    assert failures.failures(HERE) == 0
    clock.now += FREE * FORGIVEN_AFTER
    for number in range(MAX_ADDRESSES):
        for _ in range(2):
            failures.count(f"user-{number}")
    assert failures.failures(THERE) == 0  # what is forgiven counts for nothing


def test_an_ipv6_network_counts_as_one_address() -> None:
    failures = Throttle(Clock())
    for number in range(FREE):
        failures.count(f"2001:db8::{number:x}")
    assert failures.count("2001:db8::ffff%eth0") > 0
    assert failures.count("2001:db8:0:0:8000::1") > 0
    assert failures.count("2001:db8:0:1::1") == 0
    for _ in range(FREE):
        failures.count("::ffff:192.0.2.1")
    assert failures.count("::ffff:192.0.2.2") == 0


def test_failure_that_is_answered_at_once_counts_for_its_address_alone() -> None:
    held = HeldAnswers(Clock(), FrequentLines(Clock()))
    assert [held.count(HERE) for _ in range(FREE + 1)][-1] > 0
    assert held.count(THERE) == 0


class Door:
    """A profile, as it is asked from some address."""

    def __init__(self) -> None:
        self.hub = Hub(HUB_METADATA, limits=Limits(), new_key=lambda: "a-key", now=0.0)
        waits = Waits()
        self.profile = StandardProfile(Inside(self.hub, Recorder(waits), waits, SECRET, Clock()))  # type: ignore

    def ask(self, method: str, *params: Any, peer: str = HERE) -> "Response | asyncio.Future[Response]":
        return self.profile.handle(post(dumps(params, f"samp.hub.{method}").encode(), peer))

    def fail(self, times: int) -> list["Response | asyncio.Future[Response]"]:
        return [self.ask("register", "guess") for _ in range(times)]


def fault_in(response: Response) -> Fault:
    with pytest.raises(Fault) as caught:
        loads(response.body)
    return caught.value


def test_answer_to_a_guess_waits_and_nobody_else_does() -> None:
    async def scene() -> None:
        door = Door()
        assert all(isinstance(each, Response) for each in door.fail(FREE))
        held = door.ask("register", "guess")
        assert isinstance(held, asyncio.Future)
        assert not held.done()
        for right in door.ask("register", SECRET), door.ask("getRegisteredClients", "a-key"):
            assert isinstance(right, Response)
            loads(right.body)
        assert isinstance(door.ask("register", "guess", peer=THERE), Response)
        async with asyncio.timeout(PATIENCE):
            assert "secret is wrong" in fault_in(await held).faultString

    asyncio.run(scene())


def test_wrong_keys_count_as_wrong_secrets_do() -> None:
    async def scene() -> None:
        door = Door()
        for number in range(FREE):
            door.ask("getRegisteredClients", f"key-{number}")
        held = door.ask("register", "guess")
        assert isinstance(held, asyncio.Future)
        held.cancel()
        for method, params in {
            "notify": ("id", {}),
            "callAndWait": ("id", {}, "1"),
            "setXmlrpcCallback": ("u",),
        }.items():
            held = door.ask(method, "guess", *params)
            assert isinstance(held, asyncio.Future), method
            held.cancel()

    asyncio.run(scene())


def test_guesser_who_goes_away_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(throttle, "MAX_HELD", 5)
        door = Door()
        door.fail(FREE)
        held = door.fail(5)
        over = door.ask("register", "guess")
        assert isinstance(over, Response)
        assert (over.status, over.content_type) == (429, b"text/plain; charset=utf-8")
        assert over.body == b"too many wrong secrets and private keys\n"
        for _ in range(2):
            for each in held:
                assert isinstance(each, asyncio.Future)
                each.cancel()
            await asyncio.sleep(0)
            held = door.fail(5)
            assert isinstance(door.ask("register", "guess"), Response)
        timers = [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()]  # type: ignore
        assert len(timers) == 5
        for each in held:
            each.cancel()  # type: ignore[union-attr]

    asyncio.run(scene())


def test_guess_is_not_logged_and_the_address_is(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start(label="guarded", log_level="DEBUG")
    with pytest.raises(Fault, match="secret is wrong"):
        receiver.join(hub.url, "a-guess-at-the-secret")
    with pytest.raises(Fault, match="register first"):
        receiver.hub.getRegisteredClients("a-guess-at-a-key")
    log = farm.log_file("guarded").read_text()
    assert log.count("127.0.0.1: a wrong secret or private key") == 2
    assert "a-guess" not in log
