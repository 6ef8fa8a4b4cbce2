"""What a newcomer shows at the Standard Profile's door: the secret, a password beside it, a ticket in its stead."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from xmlrpc.client import Fault, dumps

import pytest

from hubfarm.access.authenticators import Identity
from hubfarm.hub.core import Hub
from hubfarm.hub.profiles import passwords as checks
from hubfarm.hub.profiles.passwords import (
    AT_ONCE,
    MOST_WAITING,
    OF_A_NAME,
    Credentials,
    PasswordChecks,
    credentials_in,
)
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.throttle import FORGIVEN_AFTER, FREE, LONGEST_DELAY
from hubfarm.hub.profiles.waits import Waits
from hubfarm.registry.tickets import Ticket
from hubfarm.samp import errors
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.access import Restricted, Rule
from hubfarm.spec.limits import Limits
from hubfarm.spec.states import Access
from hubfarm.wire.http_messages import Response
from tests.hub.hub_support import HUB_METADATA, post
from tests.hub.test_standard_profile import Recorder, value_of
from tests.support import PATIENCE, in_a_loop

SECRET = "10f60b7d8294a8"
TICKET = Ticket(
    id="t1", user="anna", groups=("vandels",), admin=False, hub="", label="", digest="", made=0.0, until=1.0
)
MIMA = Restricted(Rule(access=Access.GROUP, group="mima"), "mima-1")


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


class Register:
    """An authenticator that knows luigi, and counts how often it is asked; and waits, if it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.failing: Exception | None = None

    def authenticate(self, user: str, password: str) -> Identity | None:
        self.asked.append(user)
        assert self.go.wait(10)
        if self.failing is not None:
            raise self.failing
        return Identity(user="luigi", groups=("mima",)) if (user, password) == ("luigi", "right: one") else None


@pytest.fixture(autouse=True)
def _doors_are_closed() -> Iterator[None]:
    """No thread that checks passwords outlives its test."""
    yield
    while Door.open:
        Door.open.pop().profile.close()


class Door:
    """The Standard Profile of a hub with a policy."""

    open: ClassVar[list["Door"]] = []

    def __init__(self, policy: Restricted | None = MIMA, **limits: int) -> None:
        self.open.append(self)
        keys = iter(range(1, 1000))
        more = {} if policy is None else {"policy": policy}
        self.now = 0.0
        self.hub = Hub(HUB_METADATA, limits=Limits(**limits), new_key=lambda: f"k{next(keys)}", now=0.0, **more)
        self.register = Register()
        waits = Waits()
        self.profile = StandardProfile(
            Inside(self.hub, Recorder(waits), waits, SECRET, lambda: self.now),  # type: ignore[arg-type]
            passwords=PasswordChecks(lambda: self.register, lambda: self.now),
            ticket_of=lambda secret: TICKET if secret == "a ticket" else None,
        )

    def start(self, *params: Any, method: str = "register", authorization: bytes = b"", peer: str = "127.0.0.1") -> Any:
        headers = {"authorization": authorization} if authorization else {}
        return self.profile.handle(post(dumps(params, f"samp.hub.{method}").encode(), peer, **headers))

    async def enter(self, secret: str = SECRET, authorization: bytes = b"") -> dict[str, str]:
        answer = self.start(secret, authorization=authorization)
        response = await answer if isinstance(answer, asyncio.Future) else answer
        assert isinstance(response, Response)
        return value_of(response)  # type: ignore[no-any-return]


@in_a_loop
async def test_secret_alone_opens_an_open_hub_and_no_restricted_one() -> None:
    await Door(policy=None).enter()
    with pytest.raises(Fault, match="hubfarm exec --user NAME mima-1"):
        await Door().enter()


@in_a_loop
async def test_password_beside_the_secret_makes_a_user() -> None:
    for policy in (MIMA, None):
        door = Door(policy)
        entered = await door.enter(authorization=basic("luigi", "right: one"))
        (client,) = door.hub.clients
        assert (client.principal.user, client.principal.groups) == ("luigi", ("mima",))
        assert value_of(door.start(entered["samp.private-key"], client.id, method="getMetadata")) == {
            "hubfarm.user": "luigi",
            "hubfarm.groups": ["mima"],
            "hubfarm.door": "standard",
        }


@in_a_loop
async def test_password_without_the_secret_is_not_even_looked_at() -> None:
    door = Door()
    with pytest.raises(Fault, match="secret is wrong"):
        await door.enter("guess", basic("luigi", "right: one"))
    assert door.register.asked == []


@in_a_loop
async def test_wrong_password_and_unknown_user_get_the_same_answer_also_on_an_open_hub() -> None:
    for policy in (MIMA, None):
        door, faults = Door(policy), []
        for authorization in (basic("luigi", "wrong"), basic("nobody", "right: one")):
            with pytest.raises(Fault) as caught:
                await door.enter(authorization=authorization)
            faults.append((caught.value.faultCode, caught.value.faultString))
        assert faults == [(1, "the user or the password is wrong")] * 2
        assert not door.hub.clients


@in_a_loop
async def test_ticket_in_place_of_the_secret_makes_its_holder_and_the_policy_decides() -> None:
    with pytest.raises(Fault, match="the user anna is none of them"):
        await Door().enter("a ticket")
    door = Door(policy=None)
    await door.enter("a ticket")
    (client,) = door.hub.clients
    assert (client.principal.user, client.principal.ticket) == ("anna", "t1")


@in_a_loop
async def test_guesser_waits_by_address_and_no_further_password_of_that_user_is_checked_meanwhile() -> None:
    door = Door(policy=None)
    for _ in range(FREE):
        with pytest.raises(Fault, match="is wrong"):
            await door.enter(authorization=basic("luigi", "wrong"))
    held = door.start(SECRET, authorization=basic("luigi", "wrong"))
    while len(door.register.asked) <= FREE or door.profile._passwords._running:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    assert not held.done()
    with pytest.raises(Fault, match="too many wrong passwords were given for this user"):
        await door.enter(authorization=basic("luigi", "right: one"))
    assert len(door.register.asked) == FREE + 1
    await door.enter("a ticket")  # others enter, and so does the user by a ticket
    held.cancel()
    door.now += LONGEST_DELAY
    await door.enter(authorization=basic("luigi", "right: one"))
    door.now += FREE * FORGIVEN_AFTER


@in_a_loop
async def test_guesses_side_by_side_at_one_user_are_checked_one_at_a_time() -> None:
    door = Door()
    for _ in range(FREE):
        with pytest.raises(Fault):
            await door.enter(authorization=basic("luigi", "wrong"))
    door.now += 1.0
    door.register.go.clear()
    many = [door.start(SECRET, authorization=basic("luigi", f"guess {number}")) for number in range(20)]
    await asyncio.sleep(0)
    door.register.go.set()
    first, *others = [(await each).body for each in many]
    assert b"the user or the password is wrong" in first
    assert all(b"too many wrong passwords" in body for body in others)
    assert len(door.register.asked) == FREE + 1


@in_a_loop
async def test_only_so_many_passwords_wait_to_be_checked_and_the_hub_answers_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "MOST_WAITING", 5)
    door = Door()
    door.register.go.clear()
    waiting = [door.start(SECRET, authorization=basic(f"user-{number}", "x")) for number in range(AT_ONCE + 6)]
    await asyncio.sleep(0)
    assert value_of(door.start(method="ping")) == ""
    door.register.go.set()
    answers = [(await each).body for each in waiting]
    assert sum(b"too many passwords are being checked" in body for body in answers) == 1
    assert len(door.register.asked) == AT_ONCE + 5
    await door.enter(authorization=basic("luigi", "right: one"))


@in_a_loop
async def test_of_one_name_only_a_few_passwords_wait() -> None:
    door = Door()
    door.register.go.clear()
    many = [door.start(SECRET, authorization=basic("luigi", f"guess {number}")) for number in range(OF_A_NAME + 10)]
    await asyncio.sleep(0)
    door.register.go.set()
    answers = [(await each).body for each in many]
    assert sum(b"too many passwords of this user are being checked" in body for body in answers) == 10
    assert len(door.register.asked) == OF_A_NAME


@pytest.mark.parametrize("name", ["Luigi", "LUIGI ", "\tluigi", "ｌｕｉｇｉ"], ids=ascii)
@in_a_loop
async def test_guesses_at_one_user_are_counted_together_however_the_name_is_written(name: str) -> None:
    door = Door()
    for number in range(FREE):
        with pytest.raises(Fault, match="is wrong"):
            await door.enter(authorization=basic(("luigi", name)[number % 2], "wrong"))
    door.start(SECRET, authorization=basic(name, "wrong"))
    while len(door.register.asked) <= FREE or door.profile._passwords._running:  # type: ignore[union-attr]
        await asyncio.sleep(0)
    with pytest.raises(Fault, match="too many wrong passwords were given for this user"):
        await door.enter(authorization=basic("luigi", "right: one"))


@in_a_loop
async def test_full_room_has_room_for_another_source_and_for_who_has_entered_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door()
    await door.enter(authorization=basic("luigi", "right: one"))  # before the guesser came
    door.register.go.clear()
    many = [door.start(SECRET, authorization=basic(f"user-{number}", "x")) for number in range(AT_ONCE + MOST_WAITING)]
    again = door.start(SECRET, authorization=basic("luigi", "right: one"))
    elsewhere = door.start(SECRET, authorization=basic("luigi", "right: one"), peer="192.0.2.1")
    more = [door.start(SECRET, authorization=basic(f"more-{number}", "x")) for number in range(500)]
    await asyncio.sleep(0)
    door.register.go.set()
    for each in (again, elsewhere):
        assert value_of(await each)["samp.self-id"]
    turns = [turn for turn, user in enumerate(door.register.asked) if user == "luigi"]
    assert len(turns) == 3
    assert turns[-1] <= AT_ONCE + 4 + AT_ONCE, "the one from elsewhere has the next turn"
    for each in (*many, *more):
        each.cancel()


@in_a_loop
async def test_who_goes_away_leaves_the_room() -> None:
    door = Door()
    door.register.go.clear()
    waiting = [door.start(SECRET, authorization=basic(f"user-{number}", "x")) for number in range(AT_ONCE + 6)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.sleep(0)
    passwords = door.profile._passwords
    assert passwords is not None
    assert (len(passwords._waiting), len(passwords._running)) == (0, AT_ONCE)
    door.register.go.set()
    await door.enter(authorization=basic("luigi", "right: one"))
    async with asyncio.timeout(PATIENCE):
        while passwords._running:  # the others' threads may come to their end later than this one's
            await asyncio.sleep(0.01)
    assert passwords._waiting == []


@pytest.mark.parametrize("failure", [HubfarmError("the directory does not answer"), RuntimeError("luigi:right: one")])
@in_a_loop
async def test_authenticator_that_cannot_tell_lets_in_nobody(failure: Exception) -> None:
    door = Door(policy=None)
    door.register.failing = failure
    with pytest.raises(Fault, match="cannot be checked now"):
        await door.enter(authorization=basic("luigi", "right: one"))
    assert not door.hub.clients


@pytest.mark.parametrize(
    "authorization", [b"Basic", b"Basic ", b"Basic !", b"Basic bHVpZ2k=", b"Basic /w==", b"Bearer abc", b"Negotiate"]
)
@in_a_loop
async def test_authorization_that_says_nothing_is_a_fault_and_no_way_around(authorization: bytes) -> None:
    door = Door(policy=None)
    with pytest.raises(Fault, match=r"Basic|RFC 7617"):
        await door.enter(authorization=authorization)
    assert not door.hub.clients


def test_password_may_hold_colons_and_what_is_not_ascii() -> None:
    assert credentials_in(basic("luigi", "a:b: ü")) == Credentials("luigi", "a:b: ü")
    assert credentials_in(None) is None


@in_a_loop
async def test_client_cannot_say_of_itself_what_the_hub_says() -> None:
    door = Door(policy=None)
    claim = {"samp.name": "x", "hubfarm.user": "root", "hubfarm.groups": ["wheel"], "hubfarm.door": "console"}
    stranger, holder = await door.enter(), await door.enter("a ticket")
    for entered, said in (
        (stranger, {}),
        (holder, {"hubfarm.user": "anna", "hubfarm.groups": ["vandels"], "hubfarm.door": "standard"}),
    ):
        key, id = entered["samp.private-key"], entered["samp.self-id"]
        door.start(key, claim, method="declareMetadata")
        assert value_of(door.start(key, id, method="getMetadata")) == {"samp.name": "x"} | said
    (found,) = [client for client in door.hub.clients if client.metadata.outline.get("hubfarm.user") == "anna"]
    assert found.id == holder["samp.self-id"]


@in_a_loop
async def test_user_has_so_many_clients_and_others_theirs() -> None:
    door = Door(policy=None, user_clients=2)
    for _ in range(2):
        await door.enter("a ticket")
    with pytest.raises(Fault, match="2 clients of anna are registered"):
        await door.enter("a ticket")
    for _ in range(3):
        await door.enter()
    await door.enter(authorization=basic("luigi", "right: one"))
    first = next(iter(door.hub.clients))
    door.hub.unregister(first, 1.0)
    await door.enter("a ticket")


@in_a_loop
async def test_hub_that_is_restricted_while_it_runs_throws_out_who_may_not_be_in() -> None:
    door = Door(policy=None)
    await door.enter()
    await door.enter("a ticket")
    entered = await door.enter(authorization=basic("luigi", "right: one"))
    door.hub.restrict(MIMA)
    assert [client.id for client in door.hub.clients] == [entered["samp.self-id"]]
    with pytest.raises(errors.Fault):
        door.hub.client_with_key("k1")
    with pytest.raises(Fault):
        await door.enter()  # from now on
