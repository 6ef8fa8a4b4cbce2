"""Traffic of unmodified programs, byte for byte as recorded with JSAMP's hub (tests/recorded/README.md).

Each program's recording is played as a piece on our own hub, over real sockets: its requests are
sent as they were, the hub's calls on it are answered with the bytes that the program answered
with, and everybody else it met is played by a simple cast.  Public ids, keys and the secret are
made to be those of the recording, so that requests need no editing; only callback URLs and
msg-ids are exchanged for living ones.
"""

import asyncio
import functools
import itertools
import re
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery import push
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.model import Client
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.routes import Push
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import Call, decode_call, decode_response, encode_response
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY
from hubfarm.wire.http_client import HttpClient
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_server import HttpServer
from hubfarm.wire.sockets import bind
from tests.support import PATIENCE, ROOT

WIRE = ROOT / "tests" / "recorded"
SECRET = "10f60b7d8294a8"
FAULT = "a fault"
_HEAD = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?i)(content-length: *)([0-9]+)")


@dataclass(frozen=True)
class Exchange:
    """One recorded HTTP exchange."""

    program: str
    number: int
    method: str
    request: bytes
    response: bytes

    @property
    def from_hub(self) -> bool:
        return self.method.startswith("samp.client.")

    @property
    def call(self) -> Call:
        params, method = xmlrpc.client.loads(body_of(self.request))
        return Call(str(method), list(params))

    @property
    def result(self) -> Any:
        return result_of(self.response)

    def __str__(self) -> str:
        return f"{self.program}-{self.number:02}-{self.method}"


def body_of(raw: bytes) -> bytes:
    return _HEAD.split(raw, maxsplit=1)[1]


def result_of(response: bytes) -> Any:
    """What the standard library reads in a response: its value, or FAULT."""
    try:
        return xmlrpc.client.loads(body_of(response))[0][0]
    except xmlrpc.client.Fault:
        return FAULT


def recording(program: str) -> list[Exchange]:
    exchanges = []
    for path in sorted((WIRE / program).glob("*.request")):
        number, _, method = path.stem.split("-", 2)
        response = path.with_suffix(".response").read_bytes()
        exchanges.append(Exchange(program, int(number), method, path.read_bytes(), response))
    return exchanges


PROGRAMS = ["ds9", "topcat", "jsamp", "astropy"]
EXCHANGES = [exchange for program in PROGRAMS for exchange in recording(program)]


def with_replaced(raw: bytes, old: str, new: str) -> bytes:
    """Exchange one text for another in a request, and correct its length; all other bytes stay."""
    head, body = raw[: -len(body_of(raw))], body_of(raw).replace(old.encode(), new.encode())
    return _LENGTH.sub(lambda found: found[1] + b"%d" % len(body), head) + body


# ------------------------------------------------------------------ what was there besides the program

DS9_METADATA = next(each for each in EXCHANGES if each.method == "samp.hub.getMetadata").result
DS9_SUBSCRIPTIONS = next(each for each in EXCHANGES if each.method == "samp.hub.getSubscriptions").result
HARMLESS = {"*": {"x-samp.mostly-harmless": "1"}}
TOPCAT = {"table.load.fits": {}, "table.load.votable": {}, "samp.app.ping": {}}
FEW = {"image.load.fits": {}, "table.load.votable": {}, "ds9.get": {}}
ASTROPY = {"samp.app.ping": {}, "client.env.get": {}}

CAST: dict[str, dict[str, dict[str, Any]]] = {
    "ds9": {"c1": DS9_SUBSCRIPTIONS, "c4": TOPCAT, "c5": HARMLESS, "c6": {}, "c9": {}, "c10": {}},
    "topcat": {"c1": DS9_SUBSCRIPTIONS, "c3": DS9_SUBSCRIPTIONS, "c5": HARMLESS, "c9": {}},
    "jsamp": {"c1": FEW, "c3": DS9_SUBSCRIPTIONS, "c4": TOPCAT, "c5": HARMLESS, "c7": ASTROPY, "c8": ASTROPY},
    "astropy": {
        "c1": FEW,
        "c3": DS9_SUBSCRIPTIONS,
        "c4": TOPCAT,
        "c5": {"samp.app.ping": {}},
        "c10": {},
        "c11": {"samp.app.ping": {}, "test.echo": {}},
    },
}
"""Who else was registered, and to what it was subscribed; ids not named here had left already."""

DEAD = {"jsamp": "c1", "astropy": "c1"}
"""A DS9 that had died, and that JSAMP's hub kept registered."""

BEGINS_TO_LISTEN = {("astropy", 10): ("c8", {**ASTROPY, "test.echo": {}})}
"""Who declared new subscriptions, unrecorded, before an exchange."""

PLAYED_BY_RECORDING = {"ds9": {"c3"}, "topcat": {"c4"}, "jsamp": set[str](), "astropy": {"c10", "c11"}}
"""The clients whose callbacks are answered by recorded bytes, and whose replies are recorded requests."""

UNRECORDED_KEYS = {"astropy": {"c10": "k:10_wpnmafutvtpjhtax", "c11": "k:11_wputvwpfvfmgnmyq"}}
"""The keys of clients of the program whose registration was not recorded."""

GOT_IT = {"samp.status": "samp.ok", "samp.result": {"txt": "got it"}}


def is_error(value: Any) -> bool:
    return isinstance(value, dict) and value["samp.status"] == "samp.error" and "c1" in str(value["samp.error"])


@dataclass(frozen=True)
class Better:
    """Where our hub is meant to answer otherwise than the recorded one."""

    why: str
    holds: Callable[[Any], bool]


BETTER = {
    ("astropy", 10): Better("JSAMP refuses é; we carry any character of XML", lambda value: value == GOT_IT),
    ("astropy", 21): Better("c1 is dead: the caller gets samp.error, and not an HTTP client's exception", is_error),
    ("jsamp", 3): Better("c1 is dead: the caller gets samp.error, and not an HTTP client's exception", is_error),
    ("jsamp", 5): Better("c1 was found dead and is registered no more", lambda value: value == FAULT),
    ("jsamp", 10): Better("c1 is not offered any more", lambda value: sorted(value) == ["c3", "c4", "c5"]),
}


# ------------------------------------------------------------------ the stage


class Stage:
    """A hub behind a real HTTP server, and the callback servers of all its clients."""

    def __init__(self, program: str, exchanges: list[Exchange]) -> None:
        self.program = program
        self.received: list[Call] = []
        self.live_ids: dict[str, str] = {}
        self.cast_replies: asyncio.Queue[Any] = asyncio.Queue()
        self.registered = 0
        self._news = asyncio.Event()
        self._keys = {
            each.result["samp.self-id"]: each.result["samp.private-key"]
            for each in exchanges
            if each.method == "samp.hub.register"
        } | UNRECORDED_KEYS.get(program, {})
        self._answers = {each.method: each.response for each in exchanges if each.from_hub}
        self._closers: list[Callable[[], None]] = []
        self._failures: list[BaseException] = []

    async def open(self) -> None:
        numbers = itertools.count(1)
        self.hub = Hub(
            {"samp.name": "Hub"},
            limits=Limits(),
            new_key=lambda: self._keys.get(f"c{(n := next(numbers))}", f"key-{n}"),
            now=0.0,
        )
        waits = Waits()
        self.deliveries = Deliveries(self.hub, waits.answer)
        profile = StandardProfile(Inside(self.hub, self.deliveries, waits, SECRET, lambda: 1.0))
        server = HttpServer(profile.handle, HttpLimits(), self._failures.append)
        sock = bind("127.0.0.1", 0)
        await server.start(sock)
        self.port: int = sock.getsockname()[1]
        self._closers.append(server.close)
        self.by_recording = await self._callback_server(self._answer_as_recorded)
        self.by_cast = await self._callback_server(self._answer_as_cast)
        unused = bind("127.0.0.1", 0)
        self.nobody = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        unused.close()

    async def close(self) -> None:
        await self.deliveries.close(grace=PATIENCE)
        for close in self._closers:
            close()
        assert self._failures == []

    # -------------------------------------------------------------- callbacks

    async def _callback_server(self, answer: Callable[[Call], bytes]) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None
            response = answer(decode_call(await reader.readexactly(int(length[2]))))
            writer.write(response)
            writer.close()  # as DS9 and astropy do, whatever their HTTP version promises

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._closers.append(server.close)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    def _answer_as_recorded(self, call: Call) -> bytes:
        self.received.append(call)
        self._news.set()
        return self._answers.get(call.method, next(iter(self._answers.values())))

    def _answer_as_cast(self, call: Call) -> bytes:
        if call.method == "samp.client.receiveCall":
            key, _, msg_id, _ = call.params
            recipient = self.hub.client_with_key(str(key))
            reply = self.hub.reply(recipient, str(msg_id), self.cast_replies.get_nowait(), 1.0)
            self.deliveries.carry_out(reply.effects)
        body = encode_response("")
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)

    async def until_received(self, wanted: Callable[[Call], bool]) -> Call:
        async with asyncio.timeout(PATIENCE):
            while True:
                for call in self.received:
                    if wanted(call):
                        return call
                self._news.clear()
                await self._news.wait()

    # -------------------------------------------------------------- the cast

    def enter(self) -> None:
        """Register the next client of the cast; one without a part leaves at once."""
        outcome = self.hub.register(ANYBODY, 1.0)
        self.registered += 1
        self.deliveries.carry_out(outcome.effects)
        assert isinstance(outcome.result, dict)
        client = self.hub.client_with_key(str(outcome.result["samp.private-key"]))
        part = CAST[self.program].get(client.id)
        if part is None:
            self.deliveries.carry_out(self.hub.unregister(client, 1.0).effects)
            return
        if client.id == DEAD.get(self.program):
            url = self.nobody
        else:
            url = self.by_recording if client.id in PLAYED_BY_RECORDING[self.program] else self.by_cast
        self.hub.set_route(client, Push(url), 1.0)
        if part is DS9_SUBSCRIPTIONS or part is FEW:
            self.hub.declare_metadata(client, DS9_METADATA, 1.0)
        self.listen(client, part)

    def listen(self, client: Client, subscriptions: Any) -> None:
        self.deliveries.carry_out(self.hub.declare_subscriptions(client, subscriptions, 1.0).effects)

    def enter_until(self, client_id: str) -> None:
        """Let the cast register until `client_id` was the last."""
        while self.registered < int(client_id[1:]):
            self.enter()

    def client(self, client_id: str) -> Client:
        """Return a client that has entered and is still there."""
        self.enter_until(client_id)
        return next(client for client in self.hub.clients if client.id == client_id)

    # -------------------------------------------------------------- the program

    async def send(self, raw: bytes) -> Any:
        """Send a request as the program did, on a connection of its own; return what it is answered."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None
            answer = head + await reader.readexactly(int(length[2]))
            writer.close()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        return result_of(answer)


# ------------------------------------------------------------------ the play


async def play(program: str) -> dict[int, Any]:
    """Play a program's recording; return what our hub answered to each of its requests."""
    exchanges = recording(program)
    stage = Stage(program, exchanges)
    await stage.open()
    try:
        answers: dict[int, asyncio.Future[Any]] = {}
        for exchange in exchanges:
            if (program, exchange.number) in BEGINS_TO_LISTEN:
                client_id, subscriptions = BEGINS_TO_LISTEN[program, exchange.number]
                stage.listen(stage.client(client_id), subscriptions)
            if exchange.from_hub:
                await play_callback(stage, exchange)
            else:
                answers[exchange.number] = await play_request(stage, exchange)
        return {number: await answer for number, answer in answers.items()}
    finally:
        await stage.close()


async def play_request(stage: Stage, exchange: Exchange) -> "asyncio.Future[Any]":
    """Send a request; its answer is there, unless it waits for a reply that is yet to be played."""
    raw, call = exchange.request, exchange.call
    by_recording = PLAYED_BY_RECORDING[stage.program]
    replied_later = False
    match call.method, call.params:
        case "samp.hub.register", _:
            stage.enter_until(f"c{int(exchange.result['samp.self-id'][1:]) - 1}")
            stage.registered += 1
        case "samp.hub.setXmlrpcCallback", [str(key), str(url)]:
            client = stage.hub.client_with_key(key)
            raw = with_replaced(raw, url, stage.by_recording if client.id in by_recording else stage.by_cast)
        case "samp.hub.reply", [_, str(msg_id), _]:
            if msg_id not in stage.live_ids:  # DS9 answers a call that was not recorded
                nonsense = {"samp.mtype": "ds9.set", "samp.params": {"cmd": "nonsense"}}
                await ask_the_program(stage, msg_id, "c10", nonsense)
            raw = with_replaced(raw, msg_id, stage.live_ids[msg_id])
        case "samp.hub.callAndWait", [_, str(to), *_]:
            replied_later = to in by_recording
            if to in CAST[stage.program]:
                stage.enter_until(to)
            if not replied_later and to != DEAD.get(stage.program):
                stage.cast_replies.put_nowait(GOT_IT if exchange.result == FAULT else exchange.result)
    answer = asyncio.ensure_future(stage.send(raw))
    if not replied_later:
        await asyncio.wait([answer])
    return answer


async def play_callback(stage: Stage, exchange: Exchange) -> None:
    """Bring about what made the hub call the program, and see that our hub makes the same call."""
    wanted = exchange.call
    match wanted.method, wanted.params:
        case "samp.client.receiveCall", [key, str(sender), str(msg_id), message]:
            if sender in PLAYED_BY_RECORDING[stage.program]:  # its call was sent as recorded
                found = await stage.until_received(
                    lambda call: (
                        call.method == wanted.method and [*call.params[:2], call.params[3]] == [key, sender, message]
                    )
                )
                stage.live_ids[msg_id] = str(found.params[2])
            else:
                await ask_the_program(stage, msg_id, sender, message)
        case _, [_, "hub", {"samp.mtype": "samp.hub.event.register", "samp.params": {"id": str(newcomer)}}]:
            stage.enter_until(newcomer)
            await stage.until_received(lambda call: call == wanted)
        case _:
            await stage.until_received(lambda call: call == wanted)


async def ask_the_program(stage: Stage, msg_id: str, sender_id: str, message: Any) -> None:
    """Let a client of the cast call the program, and remember the live msg-id for the recorded one."""
    sender = stage.client(sender_id)
    [program_id] = PLAYED_BY_RECORDING[stage.program]
    outcome = stage.hub.call(sender, program_id, "tag", message, 1.0)
    stage.deliveries.carry_out(outcome.effects)
    found = await stage.until_received(
        lambda call: call.method == "samp.client.receiveCall" and call.params[2] == outcome.result
    )
    assert [found.params[1], found.params[3]] == [sender_id, message]
    stage.live_ids[msg_id] = str(found.params[2])


@functools.cache
def answers_of(program: str) -> dict[int, Any]:
    """What our hub answers in a program's play; each is played once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push, "RETRY_AFTER", (0.01,))  # a dead client shall be found dead sooner
        return asyncio.run(play(program))


# ------------------------------------------------------------------ what is tested


def in_any_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


REQUESTS = [exchange for exchange in EXCHANGES if not exchange.from_hub]
CALLBACKS = [exchange for exchange in EXCHANGES if exchange.from_hub]


@pytest.mark.parametrize("exchange", REQUESTS, ids=str)
def test_a_recorded_request_is_answered_as_it_was_or_better(exchange: Exchange) -> None:
    answer = answers_of(exchange.program)[exchange.number]
    better = BETTER.get((exchange.program, exchange.number))
    if better is not None:
        assert better.holds(answer), better.why
        assert in_any_order(answer) != in_any_order(exchange.result), "no longer better: take it out of the table"
    elif exchange.method == "samp.hub.call":
        assert isinstance(answer, str)  # a msg-id is each hub's own
        assert answer
    else:
        assert in_any_order(answer) == in_any_order(exchange.result)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_hub_calls_a_program_as_the_recorded_hub_did(program: str) -> None:
    # The play goes on only when each recorded callback has come, equal in all but its msg-id.
    assert set(answers_of(program)) == {each.number for each in REQUESTS if each.program == program}


@pytest.mark.parametrize("exchange", EXCHANGES, ids=str)
def test_every_recorded_body_is_read_as_the_standard_library_reads_it(exchange: Exchange) -> None:
    assert decode_call(body_of(exchange.request)) == exchange.call
    if exchange.result == FAULT:
        with pytest.raises(Fault) as ours:
            decode_response(body_of(exchange.response))
        with pytest.raises(xmlrpc.client.Fault) as theirs:
            xmlrpc.client.loads(body_of(exchange.response))
        assert (ours.value.code, ours.value.text) == (theirs.value.faultCode, theirs.value.faultString)
    else:
        assert decode_response(body_of(exchange.response)) == exchange.result


@pytest.mark.parametrize("exchange", CALLBACKS, ids=str)
@pytest.mark.parametrize("piece", [10**6, 7, 1], ids=["whole", "in sevens", "byte by byte"])
@pytest.mark.parametrize("closes", [True, False], ids=["closes", "stays open"])
def test_a_recorded_callback_response_is_understood(exchange: Exchange, piece: int, closes: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(10**6):
            assert head.endswith(b"\r\n\r\nwhatever")
            for start in range(0, len(exchange.response), piece):
                writer.write(exchange.response[start : start + piece])
                await asyncio.sleep(0)
            if closes:
                break
        writer.close()

    async def ask_twice() -> list[bytes]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        try:
            return [await client.post(b"whatever", timeout=PATIENCE) for _ in range(2)]
        finally:
            client.close()
            server.close()

    assert asyncio.run(ask_twice()) == [body_of(exchange.response)] * 2


def test_the_recordings_are_whole() -> None:
    assert [len([each for each in EXCHANGES if each.program == program]) for program in PROGRAMS] == [15, 15, 14, 26]
    ds9 = [each for each in EXCHANGES if each.program == "ds9"]
    assert ds9
    for each in ds9:  # its bare line feeds must survive whatever handles these files
        assert b"\r" not in (each.response if each.from_hub else each.request)
