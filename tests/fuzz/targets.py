"""What is fuzzed, as functions of bytes that fail by an exception; coverage is the fuzzer's business.

``python -m tests.fuzz.run TARGET`` runs one under atheris, tests/stories/test_fuzz.py a little of each.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httptools

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.keep.journal import _FRAME, DamagedJournal, _checksum, _head, read_journal
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.model import Client, Delivery, Kind, Payload
from hubfarm.hub.profiles.host_names import HostNames
from hubfarm.hub.recall import Nonsense, recall
from hubfarm.registry.statetable import _HEADER_BYTES, _SIZE, read_records
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.values import check_value
from hubfarm.samp.xmlrpc import decode_call, decode_response, decode_start, encode_call, encode_response
from hubfarm.spec.limits import Limits
from hubfarm.wire.bare_lf import CrlfHeads
from hubfarm.wire.http_connection import Connection, HttpLimits
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.http_server import HttpServer
from hubfarm.wire.known_heads import KnownHeads
from tests.fuzz.gateway_targets import GATEWAY_TARGETS
from tests.fuzz.house_targets import HOUSE_TARGETS
from tests.fuzz.web_targets import WEB_TARGETS
from tests.samp.codec_support import compare

LIMITS = HttpLimits(head=2000, body=5000)


def fuzz_xmlrpc(data: bytes) -> None:
    """Any bytes are a value or a fault; what is read can be written and is read the same again."""
    try:
        call = decode_call(data, depth=20, string=5000, values=500)
    except Fault:
        pass
    else:
        for param in call.params:
            check_value(param)
        assert decode_call(encode_call(call.method, call.params)) == call
    try:
        value = decode_response(data, depth=20, string=5000, values=500)
    except Fault:
        return
    assert decode_response(encode_response(value)) == value


def fuzz_codec(data: bytes) -> None:
    """The reader in C and its oracle take the same documents, and read the same in them."""
    compare(data, (20, 5000, 500))
    decode_start(data)


class _Transport:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written += data

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    resume_reading = pause_reading


class _Loop:
    """As much of a loop as a connection needs."""

    def time(self) -> float:
        return 0.0

    def call_soon(self, _: object) -> None:
        """The bench flushes."""

    def call_later(self, *_: object) -> "_Loop":
        return self

    def cancel(self) -> None:
        """There is no timer."""


class _Answers:
    """Reads what a connection wrote, as a client would."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def read(self, data: bytes) -> list[int]:
        self._parser.feed_data(data)
        return [status for status in self.statuses if status != 100]


class _HttpBench:
    """One server, and connections to it without a socket."""

    def __init__(self) -> None:
        async def make() -> HttpServer:
            return HttpServer(self._handle, LIMITS, self._failed)

        self._server = asyncio.run(make())
        self._server.loop = cast(asyncio.AbstractEventLoop, _Loop())
        self._server.connections._loop = self._server.loop
        self.requests: list[Request] = []

    def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(request.body)

    def _failed(self, error: BaseException) -> None:
        raise AssertionError("the handler does not fail") from error

    def forget(self) -> None:
        """Know no head any more."""
        self._server.known = KnownHeads()

    def talk(self, pieces: list[bytes]) -> tuple[list[Request], bytes]:
        """Send pieces on a new connection; return the requests that came of it, and what was written."""
        self.requests = []
        transport = _Transport()
        connection = Connection(self._server)
        connection.connection_made(cast(Any, transport))
        for piece in pieces:
            if transport.closing:
                break
            connection.data_received(piece)
            self._server.flush()
            assert connection.activity
        connection.connection_lost(None)
        return self.requests, transport.written


_BENCH = _HttpBench()


def fuzz_http(data: bytes) -> None:
    """Any bytes are requests or refused, in however many pieces they come and seen before or not."""
    _BENCH.forget()
    whole, written = _BENCH.talk([data])
    assert _BENCH.talk([data]) == (whole, written)
    statuses = _Answers().read(written)
    assert statuses.count(200) == len(whole)
    assert all(status >= 400 for status in statuses if status != 200)
    for request in whole:
        assert len(request.body) <= LIMITS.body
        assert request.method.isalpha() or b"-" in request.method
        assert b"\0" not in b"".join([request.target, *request.headers, *request.headers.values()])
    third = len(data) // 3
    cut, written_too = _BENCH.talk([data[:third], data[third : third + 1], data[third + 1 :]])
    assert cut == whole
    assert written_too.count(b"HTTP/1.1 200 ") == written.count(b"HTTP/1.1 200 ")


def fuzz_heads(data: bytes) -> None:
    """The filter for bare line feeds loses no body, and says the same in however many pieces bytes come."""
    whole, cut = CrlfHeads(1000), CrlfHeads(1000)
    expected = whole.feed(data)
    middle = len(data) // 2
    got = cut.feed(data[:middle]) + cut.feed(data[middle:])
    if len(data) <= 1000:  # over it, what is held back depends on when it came
        assert got == expected


class _Bound:
    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 4000


_NAMES = HostNames(cast(Any, _Bound()), "127.0.0.1")


def fuzz_host(data: bytes) -> None:
    """No Host but those of this hub is taken for one."""
    if _NAMES.include(data):
        plain = data.strip().lower().removesuffix(b":4000").removesuffix(b".")
        assert plain in {each.removesuffix(b":4000") for each in _NAMES._known}


class _Nobody(Deliveries):
    """Deliveries of a hub without clients."""

    def __init__(self) -> None:
        hub = Hub({}, limits=Limits(), new_key=lambda: "key", now=0.0)
        super().__init__(hub, lambda answer: None)


_TO = Client("c1", "key", active=0.0)


def fuzz_answers(data: bytes) -> None:
    """What a client answers to a delivery is a reason why it failed, or none."""
    reason = _Nobody().reason(Delivery(_TO, Kind.NOTIFICATION, "c2", "", Payload(b""), 1), data)
    assert not reason or b"<fault" in data


_HEAD = _head("secret")


def fuzz_journal(data: bytes) -> None:
    """Whatever stands in a journal, in whole frames too, is a state that a hub can go on from, or damage."""
    for journal in (data, _HEAD + data, _HEAD + _FRAME.pack(len(data), _checksum(data)) + data):
        try:
            records, end = read_journal(journal, "secret")
            assert end <= len(journal)
            recalled = recall(records, 0.0)
        except (DamagedJournal, Nonsense):
            continue
        ledger = Ledger(noting=True)
        ledger.restore(recalled)
        again = Ledger()
        again.restore(recall(list(ledger.snapshot()), 0.0))
        assert [*again.clients] == [*ledger.clients]
        assert again.counters.queued == ledger.counters.queued


_TABLE = Path(tempfile.mkdtemp()) / "state"


def fuzz_state_table(data: bytes) -> None:
    """Whatever stands in a state table is records of hubs, or one error."""
    whole = bytearray(_HEADER_BYTES.ljust(_SIZE, b"\0"))
    whole[len(_HEADER_BYTES) : len(_HEADER_BYTES) + len(data)] = data
    for table in (data, bytes(whole[:_SIZE])):
        _TABLE.write_bytes(table)
        try:
            records = read_records(_TABLE)
        except HubfarmError:
            continue
        assert all(name.id == record.id for name, record in records.items())


TARGETS: dict[str, Callable[[bytes], None]] = {
    "xmlrpc": fuzz_xmlrpc,
    "codec": fuzz_codec,
    "http": fuzz_http,
    "heads": fuzz_heads,
    "host": fuzz_host,
    "answers": fuzz_answers,
    "journal": fuzz_journal,
    "state_table": fuzz_state_table,
    **HOUSE_TARGETS,
    **WEB_TARGETS,
    **GATEWAY_TARGETS,
}
