"""The web's door of a hub: who opens it, what pages may send and read, and what a successor knows of it."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from xmlrpc.client import Fault, dumps, loads

import msgspec
import pytest

from hubfarm.access.host_accounts import Account
from hubfarm.hub.core import Hub
from hubfarm.hub.delivery import liveness as liveness_module
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.delivery.liveness import Liveness
from hubfarm.hub.ledger import MOST_URLS, Ledger
from hubfarm.hub.profiles.front_door import FrontDoor
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.throttle import FREE
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.profiles.watching import WatchDoor
from hubfarm.hub.profiles.web import WebProfile
from hubfarm.hub.recall import recall
from hubfarm.hub.records import Record
from hubfarm.hub.watchers import Watchers
from hubfarm.samp.values import ok_response
from hubfarm.spec.access import Restricted, Rule
from hubfarm.spec.limits import Limits
from hubfarm.spec.policy import OPEN, Open
from hubfarm.spec.states import Access
from hubfarm.spec.watching import Hello
from hubfarm.spec.web_pages import SAFE_MTYPES
from hubfarm.wire.http_messages import Ends, Request, Response
from tests.hub.hub_support import HUB_METADATA, OK
from tests.support import PATIENCE, in_a_loop, message

SECRET = "10f60b7d8294a8"
CREDENTIAL = hmac.new(SECRET.encode(), b"hubfarm web door", hashlib.sha256).hexdigest()
PAGE = "https://a.example"
FITS = "file:///home/anna/m31.fits"


class Doors:
    """A hub with both doors, asked as programs and as the gateway do; deliveries are pulled."""

    def __init__(self, ledger: Ledger | None = None, policy: Any = OPEN, **limits: int) -> None:
        keys = iter(range(1, 1000))
        self.now = 0.0
        self.ledger = ledger or Ledger(noting=True)
        self.hub = Hub(
            HUB_METADATA,
            limits=Limits(**limits),
            new_key=lambda: f"k{next(keys)}",
            now=0.0,
            ledger=self.ledger,
            policy=policy,
        )
        waits = Waits()
        self.deliveries = Deliveries(self.hub, waits.answer)
        inside = Inside(self.hub, self.deliveries, waits, SECRET, lambda: self.now)
        self.standard = StandardProfile(inside)
        self.web = WebProfile(inside)
        watchers = Watchers(self.hub, lambda: Hello(hub="h"), lambda: 1.0, lambda: None)
        watching = WatchDoor(watchers, self.standard, SECRET)
        self.front = FrontDoor(
            "h", self.standard.handle, self.standard.refusal_of, lambda host: True, self.web, watching
        )
        self.deliveries.resume()

    def ask(self, request: Request) -> "Response | asyncio.Future[Response]":
        return self.front.answer(request)

    def by_web(
        self, method: str, *params: Any, origin: str = PAGE, **headers: bytes
    ) -> "Response | asyncio.Future[Response]":
        fields = {b"x-hubfarm-door": b"web " + CREDENTIAL.encode()}
        if origin:
            fields[b"x-hubfarm-origin"] = quote(origin, safe="").encode()
        body = dumps(params, f"samp.webhub.{method}").encode()
        return self.ask(Request(b"POST", b"/", fields | {k.encode(): v for k, v in headers.items()}, body, PEER))

    def page(self, method: str, *params: Any, **more: Any) -> Any:
        return value_of(self.by_web(method, *params, **more))

    def program(self, method: str, *params: Any) -> Any:
        body = dumps(params, f"samp.hub.{method}").encode()
        return value_of(self.ask(Request(b"POST", b"/", {}, body, PEER)))

    def enter_page(self, *patterns: str, origin: str = PAGE) -> tuple[str, str]:
        told = self.page("register", {"samp.name": "A page"}, origin=origin)
        return self._callable(self.page, told, patterns)

    def enter_program(self, *patterns: str) -> tuple[str, str]:
        return self._callable(self.program, self.program("register", SECRET), patterns)

    def _callable(self, ask: Callable[..., Any], told: dict[str, str], patterns: tuple[str, ...]) -> tuple[str, str]:
        key = told["samp.private-key"]
        ask("allowReverseCallbacks", key, "1")
        ask("declareSubscriptions", key, {pattern: {} for pattern in patterns})
        return key, told["samp.self-id"]

    def may_read(self, key: str, url: str) -> int:
        target = f"/may-read?key={quote(key, safe='')}&url={quote(url, safe='')}".encode()
        answer = self.ask(Request(b"GET", target, {b"x-hubfarm-door": b"web " + CREDENTIAL.encode()}, b"", PEER))
        assert isinstance(answer, Response)
        return answer.status

    def successor(self) -> "Doors":
        """Return a hub that goes on from what this one's journal would hold."""
        records = [msgspec.msgpack.encode(record) for record in self.ledger.take_changes()]
        self.ledger._changes = []
        again = Ledger(noting=True)
        again.restore(recall([msgspec.msgpack.decode(each, type=Record) for each in records], 0.0))
        return Doors(again)


PEER = Ends("127.0.0.1", 4000, "127.0.0.1", 5000)


def value_of(answer: "Response | asyncio.Future[Response]") -> Any:
    assert isinstance(answer, Response)
    assert answer.status == 200
    if answer.written is not None:
        answer.written(True)
    return loads(answer.body)[0][0]


def sent(pulled: list[Any]) -> list[Any]:
    return [each["samp.params"][-1]["samp.mtype"] for each in pulled]


# ---------------------------------------------------------------------- the door


@in_a_loop
async def test_page_registers_and_is_a_client_like_others() -> None:
    doors = Doors()
    told = doors.page("register", {"samp.name": "A page", "more": "x"})
    assert set(told) == {"samp.private-key", "samp.self-id", "samp.hub-id"}
    key = told["samp.private-key"]
    token, _, rest = key.partition(".")
    assert token == hmac.new(SECRET.encode(), b"hubfarm web keys", hashlib.sha256).hexdigest()[:16]
    assert rest
    assert doors.page("ping") == doors.page("ping", key) == ""
    (client,) = doors.hub.clients
    assert (client.principal.profile, client.principal.origin, client.principal.host) == ("web", PAGE, "127.0.0.1")
    doors.page("declareMetadata", key, {"samp.name": "x", "hubfarm.origin": "https://bank.example"})
    program, _ = doors.enter_program()
    said = {"samp.name": "x", "hubfarm.door": "web", "hubfarm.origin": PAGE}
    assert doors.program("getMetadata", program, client.id) == said
    assert doors.page("getMetadata", key, client.id) == {"samp.name": "x"}
    assert doors.page("unregister", key) == ""
    with pytest.raises(Fault, match="register first"):
        doors.page("getRegisteredClients", key)


@in_a_loop
async def test_identity_may_be_a_bare_string_and_must_be_a_name() -> None:
    doors = Doors()
    assert doors.page("register", "an old page")["samp.self-id"] == "c1"
    for identity in {}, {"samp.name": {}}, []:
        with pytest.raises(Fault, match="what it is called"):
            doors.page("register", identity)
    with pytest.raises(Fault, match="takes 1 parameter"):
        doors.page("register")


@in_a_loop
async def test_origin_is_what_the_gateway_says_and_none_is_a_programs() -> None:
    doors = Doors()
    for origin, said in (
        (PAGE, PAGE),
        ("null", "null"),
        ("none", ""),
        ("", ""),
        ("https://é.example", "https://é.example"),
    ):
        id = doors.page("register", "x", origin=origin)["samp.self-id"]
        metadata = doors.hub.get_metadata(id).decode()
        assert metadata == {"hubfarm.door": "web"} | ({"hubfarm.origin": said} if said else {})
    for origin in "https://" + "a" * 3000, "https://a\x00b", "https://a\x1b[2J":
        with pytest.raises(Fault, match=r"the origin of the page|cannot hold the character"):
            doors.page("register", "x", origin=origin)


@in_a_loop
async def test_door_is_opened_by_what_follows_from_the_secret_alone() -> None:
    doors = Doors()
    good = b"web " + CREDENTIAL.encode()
    for shown in b"", b"web", b"web ", good[:-1], good + b"0", good.upper(), b"web " + SECRET.encode(), b"\xff":
        for method, target in (b"POST", b"/"), (b"GET", b"/may-read?key=x&url=y"), (b"OPTIONS", b"/"):
            answer = Doors().ask(Request(method, target, {b"x-hubfarm-door": shown}, b"", PEER))
            assert isinstance(answer, Response)
            assert answer.status == 403
            assert SECRET.encode() not in answer.body
        request = Request(b"POST", b"/", {b"x-hubfarm-door": shown}, b"x" * 100_000, PEER)
        refusal = doors.front.admit(request)
        assert refusal is not None
        assert refusal.status == 403
    for method, target in (b"GET", b"/"), (b"OPTIONS", b"/"), (b"GET", b"/may-read/"), (b"PUT", b"/may-read"):
        answer = doors.ask(Request(method, target, {b"x-hubfarm-door": good}, b"", PEER))
        assert isinstance(answer, Response)
        assert answer.status == 404


@in_a_loop
async def test_guesses_at_the_door_meet_the_brake() -> None:
    doors = Doors()
    guess = Request(b"POST", b"/", {b"x-hubfarm-door": b"web guess"}, b"", PEER)
    answers = [doors.ask(guess) for _ in range(FREE + 1)]
    assert [isinstance(answer, Response) for answer in answers] == [True] * FREE + [False]
    last = answers[-1]
    assert isinstance(last, asyncio.Future)
    assert (await asyncio.wait_for(last, PATIENCE)).status == 403


@in_a_loop
async def test_pages_are_still_refused_at_the_programs_door() -> None:
    doors = Doors()
    body = dumps((SECRET,), "samp.hub.register").encode()
    answer = doors.ask(Request(b"POST", b"/", {b"origin": PAGE.encode()}, body, PEER))
    assert isinstance(answer, Response)
    assert answer.status == 403
    with pytest.raises(Fault, match="unknown method"):
        doors.program("webhub.register", "x")
    with pytest.raises(Fault, match=r"unknown method 'samp\.hub\.register'"):
        value_of(doors.ask(Request(b"POST", b"/", {b"x-hubfarm-door": b"web " + CREDENTIAL.encode()}, body, PEER)))
    with pytest.raises(Fault, match="unknown method"):
        doors.page("setXmlrpcCallback", doors.enter_page()[0], "http://127.0.0.1:1/")


@in_a_loop
async def test_long_request_is_read_on_for_a_pages_key_alone() -> None:
    doors = Doors()
    key, _ = doors.enter_page()
    start = dumps((key, message("table.x", text="x")), "samp.webhub.notifyAll").encode()
    fields = {b"x-hubfarm-door": b"web " + CREDENTIAL.encode()}
    assert doors.front.admit(Request(b"POST", b"/", fields, start[:-20], PEER)) is None
    unknown = start.replace(key.encode(), b"nobody")
    assert doors.front.admit(Request(b"POST", b"/", fields, unknown[:-20], PEER)) is not None


# ---------------------------------------------------------------------- restricted hubs


@in_a_loop
async def test_page_is_nobody_in_particular_where_users_are_asked_for() -> None:
    for rule in (
        Rule(access=Access.USERS),
        Rule(access=Access.GROUP, group="mima"),
        Rule(access=Access.OWNER, owner="a"),
    ):
        doors = Doors(policy=Restricted(rule, "mima-1"))
        with pytest.raises(Fault, match="a web page is nobody in particular"):
            doors.page("register", "x")


class OneAccount:
    """Where everybody is of one account of this host."""

    def __init__(self, name: str) -> None:
        self._account = Account(name=name, groups=("astro",))

    def uid(self, connection: Ends) -> int:
        return 1000

    async def account(self, uid: int) -> Account:
        return self._account

    def close(self) -> None:
        pass


@in_a_loop
async def test_page_is_of_its_gateways_account_where_accounts_are_asked_for() -> None:
    rule = Rule(access=Access.LISTED, allow=("account:anna",))
    for name, enters in ("anna", True), ("luigi", False):
        doors = Doors(policy=Restricted(rule, "mima-1"))
        doors.web.accounts = OneAccount(name)  # type: ignore[assignment]
        answer = doors.by_web("register", "x")
        assert isinstance(answer, asyncio.Future)
        if enters:
            assert value_of(await answer)["samp.self-id"] == "c1"
            (client,) = doors.hub.clients
            assert (client.principal.account, client.principal.uid) == ("anna", 1000)
        else:
            with pytest.raises(Fault, match="nobody in particular"):
                value_of(await answer)


# ---------------------------------------------------------------------- what pages may send


@in_a_loop
async def test_page_sends_and_sees_what_does_no_harm_alone() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*", "script.run", "samp.app.ping")
    assert doors.page("getSubscribedClients", page, "table.load.fits") == {to: {}}
    assert doors.page("getSubscribedClients", page, "script.run") == {}
    assert doors.page("getSubscriptions", page, to) == {"table.*": {}, "samp.app.ping": {}}
    assert doors.page("getSubscriptions", page, page_id) == {"*": {}}
    assert doors.page("getSubscriptions", page, "hub") == {"samp.app.ping": {}}
    assert doors.page("notifyAll", page, message("table.load.fits")) == [to]
    assert doors.page("notifyAll", page, message("script.run")) == []
    assert doors.page("callAll", page, "tag", message("script.run")) == {}
    assert set(doors.page("callAll", page, "tag", message("samp.app.ping"))) == {to, "hub"}
    for send in ("notify", to), ("call", to, "tag"):
        with pytest.raises(Fault, match=r"you may not send script\.run"):
            doors.page(send[0], page, *send[1:], message("script.run"))
    with pytest.raises(Fault, match=r"you may not send script\.run"):
        doors.page("callAndWait", page, to, message("script.run"), "10")
    with pytest.raises(Fault, match=r"you may not send samp\.query\.by-meta to the hub"):
        doors.page("call", page, "hub", "tag", message("samp.query.by-meta", key="a", value="b"))
    assert sent(doors.program("pullCallbacks", program, "0")) == ["table.load.fits", "samp.app.ping"]
    # Programs may send pages everything.
    other, _ = doors.enter_program()
    doors.page("pullCallbacks", page, "0")
    assert set(doors.program("notifyAll", other, message("script.run"))) == {page_id, to}
    assert sent(doors.page("pullCallbacks", page, "0")) == ["script.run"]
    assert doors.program("getSubscriptions", other, to) == {"table.*": {}, "script.run": {}, "samp.app.ping": {}}


@in_a_loop
async def test_receiver_says_itself_what_is_harmless_in_both_spellings() -> None:
    doors = Doors()
    page, _ = doors.enter_page()
    program, to = doors.enter_program()
    for name in "samp.mostly-harmless", "x-samp.mostly-harmless":
        doors.program(
            "declareSubscriptions",
            program,
            {"script.*": {name: "1"}, "script.kill": {name: "0"}, "table.*": {name: "0"}},
        )
        assert doors.page("getSubscribedClients", page, "script.run") == {to: {name: "1"}}
        assert doors.page("notify", page, to, message("script.run")) == ""
        for mtype in "script.kill", "table.load.fits":
            with pytest.raises(Fault, match="you may not send"):
                doors.page("notify", page, to, message(mtype))
        assert doors.page("getSubscriptions", page, to) == {"script.*": {name: "1"}}


@in_a_loop
async def test_hub_may_be_asked_to_let_pages_send_more() -> None:
    for policy in Open(["script.*"]), Restricted(Rule(), "h", ["script.*"]):
        doors = Doors(policy=policy)
        page, _ = doors.enter_page()
        program, to = doors.enter_program("script.run", "script.kill", "x.y")
        doors.program(
            "declareSubscriptions", program, {"script.run": {}, "script.kill": {"samp.mostly-harmless": "0"}, "x.y": {}}
        )
        assert doors.page("notifyAll", page, message("script.run")) == [to]
        assert doors.page("notifyAll", page, message("script.kill")) == []
        assert doors.page("notifyAll", page, message("x.y")) == []


def test_list_is_the_one_of_jsamp() -> None:
    assert {*SAFE_MTYPES} == {
        "samp.app.*", "samp.msg.progress", "table.*", "image.*", "coord.*", "spectrum.*", "bibcode.*", "voresource.*",
        "coverage.*",
    }  # fmt: skip


# ---------------------------------------------------------------------- what pages may read


@in_a_loop
async def test_page_may_read_what_a_program_has_sent_and_nothing_that_pages_named_first() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*", "image.*")
    assert doors.may_read(page, FITS) == 403
    doors.program("notify", program, page_id, message("table.load.fits", url=FITS, table={"id": ["http://x/1"]}))
    assert doors.may_read(page, FITS) == doors.may_read(page, "http://x/1") == 200
    made_up = "file:///etc/passwd"
    doors.page("notify", page, to, message("table.load.fits", url=made_up))
    doors.program("notify", program, page_id, message("table.load.fits", url=made_up))
    assert doors.may_read(page, made_up) == 403
    # What was sent stays readable, whoever names it later.
    doors.page("notify", page, to, message("table.load.fits", url=FITS))
    assert doors.may_read(page, FITS) == 200
    # A message to programs alone is nothing to pages.
    _other, other_id = doors.enter_program("table.*")
    doors.program("notify", program, other_id, message("table.load.fits", url="file:///private"))
    assert doors.may_read(page, "file:///private") == 403


@in_a_loop
async def test_every_way_by_which_a_page_can_name_a_url_bars_it() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*", "samp.app.ping")
    url = iter(f"file:///etc/{number}" for number in range(100)).__next__
    named = []
    for call in (
        lambda u: doors.page("notify", page, to, message("table.x", url=u)),
        lambda u: doors.page("notifyAll", page, message("table.x", u=[{"a": u}])),
        lambda u: doors.page("call", page, to, "tag", message("table.x", url=f"  {u}  ")),
        lambda u: doors.page("callAll", page, "tag", message("table.x", url=u)),
        lambda u: doors.by_web("callAndWait", page, to, message("table.x", url=u), "10"),
        lambda u: doors.page("declareMetadata", page, {"samp.icon.url": u}),
        lambda u: doors.page("declareSubscriptions", page, {"*": {"x": u}}),
        lambda u: refused(lambda: doors.page("notify", page, "nobody", message("table.x", url=u))),
        lambda u: refused(lambda: doors.page("notify", page, to, message("script.x", url=u))),
        lambda u: refused(lambda: doors.page("reply", page, "no-m1", ok_response({"url": u}))),
    ):
        named.append(url())
        call(named[-1])
    for each in named:
        doors.program("notify", program, page_id, message("table.load.fits", url=each))
        assert doors.may_read(page, each) == 403, each
    msg_id = doors.program("call", program, page_id, "tag", message("table.x"))
    doors.page("reply", page, msg_id, ok_response({"url": "file:///etc/reply"}))
    doors.program("notify", program, page_id, message("table.load.fits", url="file:///etc/reply"))
    assert doors.may_read(page, "file:///etc/reply") == 403


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(Fault):
        call()


@in_a_loop
async def test_every_way_by_which_a_page_is_told_a_url_lets_it_read() -> None:
    doors = Doors()
    page, _page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*")
    doors.program("declareMetadata", program, {"samp.icon.url": "http://127.0.0.1:1/icon"})
    assert doors.may_read(page, "http://127.0.0.1:1/icon") == 200  # the page got the event
    other, other_id = doors.enter_program("image.*")
    doors.page("declareSubscriptions", page, {})
    doors.program("declareMetadata", other, {"samp.icon.url": "http://127.0.0.1:2/icon"})
    assert doors.may_read(page, "http://127.0.0.1:2/icon") == 403
    doors.page("getMetadata", page, other_id)
    assert doors.may_read(page, "http://127.0.0.1:2/icon") == 200
    doors.program("declareSubscriptions", other, {"image.*": {"see": "http://x/see"}})
    doors.page("getSubscribedClients", page, "image.load")
    assert doors.may_read(page, "http://x/see") == 200
    waiting = doors.by_web("callAndWait", page, to, message("table.x"), "10")
    assert isinstance(waiting, asyncio.Future)
    (called,) = doors.program("pullCallbacks", program, "0")
    doors.program("reply", program, called["samp.params"][1], ok_response({"url": "file:///tmp/answer"}))
    await waiting
    await asyncio.sleep(0)
    assert doors.may_read(page, "file:///tmp/answer") == 200
    msg_id = doors.page("call", page, to, "tag", message("table.x"))
    doors.program("reply", program, msg_id, ok_response({"url": "file:///tmp/response"}))
    assert doors.may_read(page, "file:///tmp/response") == 200


@in_a_loop
async def test_pages_are_told_nothing_that_the_hub_says_of_others() -> None:
    doors = Doors()
    page, _ = doors.enter_page("samp.hub.event.metadata")
    program, _ = doors.enter_program("samp.hub.event.metadata")
    other, other_id = doors.enter_page(origin="http://router.local")
    assert doors.page("getMetadata", page, other_id) == {}
    doors.page("declareMetadata", other, {"samp.name": "x"})
    said = {"samp.name": "x", "hubfarm.door": "web", "hubfarm.origin": "http://router.local"}
    for ask, key, metadata in (doors.page, page, {"samp.name": "x"}), (doors.program, program, said):
        (event,) = ask("pullCallbacks", key, "0")
        assert event["samp.params"][1]["samp.params"] == {"id": other_id, "metadata": metadata}
    assert doors.page("getMetadata", page, other_id) == {"samp.name": "x"}
    assert doors.may_read(page, "http://router.local") == 403


@in_a_loop
async def test_pages_see_of_subscriptions_those_that_concern_them_in_events_too() -> None:
    """As JSAMP does it; see docs/decisions/0011-pages-at-the-hub.md."""
    doors = Doors()
    page, _ = doors.enter_page("samp.hub.event.subscriptions")
    another, _ = doors.enter_page("samp.hub.event.*")
    program, _ = doors.enter_program("samp.hub.event.*")
    key, id = doors.enter_program()
    for each in (page, another, program):
        doors.page("pullCallbacks", each, "0") if each != program else doors.program("pullCallbacks", each, "0")
    harmless = {"table.load.fits": {}, "my.own": {"samp.mostly-harmless": "1"}}
    declared = {**harmless, "script.aladin.send": {}, "table.closed": {"x-samp.mostly-harmless": "0"}}
    doors.program("declareSubscriptions", key, declared)
    for ask, of, told in (
        (doors.page, page, harmless),
        (doors.page, another, harmless),
        (doors.program, program, declared),
    ):
        (event,) = ask("pullCallbacks", of, "0")
        assert event["samp.params"][1]["samp.params"] == {"id": id, "subscriptions": told}
    assert doors.page("getSubscriptions", page, id) == harmless
    own = {"samp.hub.event.subscriptions": {}, "script.aladin.send": {}}
    doors.page("declareSubscriptions", page, own)
    for of, told in ((page, own), (another, {})):  # of its own it is told all, as it is by getSubscriptions
        (event,) = doors.page("pullCallbacks", of, "0")
        assert event["samp.params"][1]["samp.params"]["subscriptions"] == told


@in_a_loop
async def test_translator_is_told_what_is_missing() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, _ = doors.enter_program()
    doors.program("notify", program, page_id, message("table.x", url="file:///a b&c=d+e%20f?x"))
    assert doors.may_read(page, "file:///a b&c=d+e%20f?x") == 200
    assert doors.may_read(page, "file:///a b&c=d e%20f?x") == 403  # a plus is a plus
    assert doors.may_read(page, "file:///a b&c=d+e%2520f?x") == 403  # decoded once
    assert doors.may_read(page, "") == 404
    assert doors.may_read("nobody", FITS) == doors.may_read("", FITS) == 403
    for query in b"", b"?", b"?key", b"?url=x", b"?&&&", b"?key=%", b"?key=\xff&url=%ff", b"?" + b"&" * 5000:
        answer = doors.ask(
            Request(b"GET", b"/may-read" + query, {b"x-hubfarm-door": b"web " + CREDENTIAL.encode()}, b"", PEER)
        )
        status = answer.status if isinstance(answer, Response) else (await answer).status
        assert status in (403, 404)


@in_a_loop
async def test_page_that_names_very_many_urls_at_once_is_refused_and_of_many_it_is_told_the_first_are_read() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*")
    many = [f"file:///{number}" for number in range(MOST_URLS + 1)]
    with pytest.raises(Fault, match="1000 URLs at a time"):
        doors.page("notify", page, to, message("table.x", urls=many))
    assert doors.program("pullCallbacks", program, "0") == []
    doors.program("notify", program, page_id, message("table.x", urls=many))
    assert (doors.may_read(page, many[MOST_URLS - 1]), doors.may_read(page, many[MOST_URLS])) == (200, 403)


# ---------------------------------------------------------------------- a successor, and who is gone


@in_a_loop
async def test_successor_knows_pages_by_their_keys_and_what_they_may_read() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*")
    doors.page("notify", page, to, message("table.x", url="file:///etc/passwd"))
    doors.program("notify", program, page_id, message("table.x", url=FITS))
    again = doors.successor()
    assert again.program("getMetadata", program, page_id) == {"hubfarm.door": "web", "hubfarm.origin": PAGE}
    assert again.may_read(page, FITS) == 200
    again.program("notify", program, page_id, message("table.x", url="file:///etc/passwd"))
    assert again.may_read(page, "file:///etc/passwd") == 403
    assert sent(again.page("pullCallbacks", page, "0"))[-2:] == ["table.x", "table.x"]
    again.program("declareSubscriptions", program, {"script.x": {}})
    with pytest.raises(Fault, match="you may not send"):
        again.page("notify", page, to, message("script.x"))


@in_a_loop
async def test_shortened_journal_holds_what_pages_may_read() -> None:
    doors = Doors()
    page, page_id = doors.enter_page("*")
    program, to = doors.enter_program("table.*")
    doors.page("notify", page, to, message("table.x", url="file:///etc/passwd"))
    doors.program("notify", program, page_id, message("table.x", urls=[f"file:///{n}" for n in range(500)]))
    for order in 1, -1:
        records = list(doors.ledger.snapshot())[::order]
        if order == -1:  # a message's record has to stand before those that refer to it
            records = [record for record in records if "Urls" in type(record).__name__]
        recalled = recall(records, 0.0)
        assert (len(recalled.permitted), len(recalled.named)) == (500, 1)


@in_a_loop
async def test_page_that_cannot_be_called_and_calls_nothing_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors()
    told = doors.page("register", "silent")
    waiting = doors.page("register", "waiting")
    program = doors.program("register", SECRET)
    _, to = doors.enter_program("table.*")
    call = doors.by_web("callAndWait", waiting["samp.private-key"], to, message("table.x"), "0")
    probes = Liveness(doors.hub, doors.deliveries, lambda: doors.now)
    doors.now = liveness_module.LONGEST_SILENCE_OF_CALLS - 1
    probes.beat()
    assert len(doors.hub.clients) == 4
    doors.now += 1
    probes.beat()
    assert told["samp.self-id"] not in [client.id for client in doors.hub.clients]
    assert {waiting["samp.self-id"], program["samp.self-id"]} < {client.id for client in doors.hub.clients}
    assert isinstance(call, asyncio.Future)
    call.cancel()
    probes.close()


@in_a_loop
async def test_web_door_that_is_shut_throws_pages_out_and_leaves_programs() -> None:
    doors = Doors()
    _page, _ = doors.enter_page()
    _program, program_id = doors.enter_program()
    doors.web.shut("no more pages")
    assert [client.id for client in doors.hub.clients] == [program_id]
    with pytest.raises(Fault, match="takes no clients by the web profile now"):
        doors.page("register", "x")
    assert doors.program("ping") == OK["samp.status"][:0]
