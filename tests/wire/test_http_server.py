"""The HTTP server on real sockets: every way to ask rightly is answered, every wrong one refused, and it lives on."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.http_connection import MOST_FIELDS, MOST_UNSENT, HttpLimits
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.sockets import bind
from tests.strategies import tried
from tests.support import PATIENCE
from tests.wire.wire_support import LOOPS, Peer, Served, cut, run_in, serving

Run = Callable[[Coroutine[Any, Any, None]], None]
Talk = Callable[[Served, Peer], Awaitable[None]]

SMALL = HttpLimits(head=1000, body=100_000)
POST = b"POST /xmlrpc HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each kind of loop."""
    return lambda coroutine: run_in(request.param, coroutine)


def echo(request: Request) -> Response:
    return Response(b"%s %s %s" % (request.method, request.target, request.body))


def post(body: bytes, *fields: bytes, version: bytes = b"1.1") -> bytes:
    lines = [b"POST /x HTTP/" + version, b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)


async def with_echo(talk: Talk, limits: HttpLimits = SMALL) -> None:
    """Let `talk` have one connection to an echoing server; afterwards the server must still be well."""
    async with serving(echo, limits) as served:
        peer = await served.peer()
        await talk(served, peer)
        peer.close()
        await assert_well(served)


async def assert_well(served: Served) -> None:
    """A good request on a new connection is answered, and nothing has failed inside the server."""
    peer = await served.peer()
    assert (await peer.ask(POST)).body == b"POST /xmlrpc hello"
    peer.close()
    assert served.errors == []


class Later:
    """A handler whose answers are futures: the test decides when each comes."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[bytes, asyncio.Future[Response]]] = asyncio.Queue()

    def __call__(self, request: Request) -> "Response | asyncio.Future[Response]":
        if request.target == b"/now":
            return Response(b"now " + request.body)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait((request.body, future))
        return future

    async def next(self) -> "asyncio.Future[Response]":
        async with asyncio.timeout(PATIENCE):
            return (await self.asked.get())[1]


# ---------------------------------------------------------------------- connections


def test_connection_is_kept_for_further_requests(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        for body in (b"one", b"", b"three"):
            answer = await peer.ask(post(body))
            assert (answer.status, answer.body) == (200, b"POST /x " + body)
            assert "connection" not in answer.headers

    run(with_echo(talk))


@pytest.mark.parametrize(
    ("version", "field", "kept"),
    [
        (b"1.0", b"X: y", False),
        (b"1.0", b"Connection: keep-alive", True),
        (b"1.1", b"X: y", True),
        (b"1.1", b"Connection: close", False),
    ],
)
def test_connection_is_kept_or_closed_as_the_version_and_the_client_say(
    run: Run, version: bytes, field: bytes, kept: bool
) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        answer = await peer.ask(post(b"a", field, version=version))
        assert answer.body == b"POST /x a"
        if kept:
            assert answer.headers.get("connection") == ("keep-alive" if version == b"1.0" else None)
            assert (await peer.ask(post(b"b", field, version=version))).body == b"POST /x b"
        else:
            assert answer.headers["connection"] == "close"
            assert await peer.end() == b""

    run(with_echo(talk))


def test_nothing_follows_an_answer_after_which_the_client_wished_to_close(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        await peer.ask(post(b"last", b"Connection: close") + post(b"ignored"))
        assert await peer.end() == b""

    run(with_echo(talk))


def test_client_may_end_a_body_with_a_line_end_too_many(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        assert (await peer.ask(post(b"a") + b"\r\n")).body == b"POST /x a"
        assert (await peer.ask(post(b"b"))).body == b"POST /x b"

    run(with_echo(talk))


def test_pipelined_requests_are_answered_in_order(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        bodies = [b"%d" % number for number in range(5000)]  # more than is parsed at once
        await peer.send(b"".join(post(body) for body in bodies))
        assert [(await peer.answer()).body for _ in bodies] == [b"POST /x " + body for body in bodies]

    run(with_echo(talk))


def test_requests_of_a_connection_are_handled_one_after_the_other(run: Run) -> None:
    async def talk() -> None:
        later = Later()
        async with serving(later) as served:
            peer = await served.peer()
            now = post(b"2").replace(b"/x", b"/now")
            await peer.send(post(b"1") + now + post(b"3") + now)
            first = await later.next()
            assert later.asked.empty()
            first.set_result(Response(b"first"))
            (await later.next()).set_result(Response(b"third"))
            assert [(await peer.answer()).body for _ in range(4)] == [b"first", b"now 2", b"third", b"now 2"]

    run(talk())


def test_requests_wait_until_the_peer_has_taken_the_answers_before(run: Run) -> None:
    async def talk() -> None:
        handled: list[bytes] = []
        large = bytes(4 * MOST_UNSENT)

        def answer(request: Request) -> Response:
            handled.append(request.body)
            return Response(large)

        async with serving(answer) as served:
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", served.port)) as sock:
                sock.setblocking(False)
                await loop.sock_sendall(sock, post(b"x") * 200)
                quick = await served.peer()
                await quick.ask(post(b"quick"))
                most = len(large) + 2 * MOST_UNSENT  # one answer, and what the loop holds before it says so
                [held] = [each for each in served.server.connections.close() if each.unsent]
                assert held.unsent <= most
                assert len(handled) < 100  # the kernel's buffers took some
                peer = Peer(*await asyncio.open_connection(sock=sock.dup()))
                for _ in range(200):
                    assert (await peer.answer()).body == large
                assert handled.count(b"x") == 200
                quick.close()
                peer.close()

    run(talk())


def test_many_pipelined_requests_that_wait_are_all_answered(run: Run) -> None:
    async def talk() -> None:
        later = Later()
        count = 200
        async with serving(later) as served:
            peer = await served.peer()
            for number in range(count):
                await peer.send(post(b"%d" % number))
            for number in range(count):
                (await later.next()).set_result(Response(b"%d" % number))
                assert (await peer.answer()).body == b"%d" % number

    run(talk())


def test_client_that_leaves_cancels_the_future_of_its_answer(run: Run) -> None:
    async def talk() -> None:
        later = Later()
        async with serving(later) as served:
            peer = await served.peer()
            await peer.send(post(b"1"))
            future = await later.next()
            peer.close()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([future])
            assert future.cancelled()
            assert served.errors == []

    run(talk())


def test_slow_reader_loses_nothing_and_holds_up_nobody(run: Run) -> None:
    async def talk() -> None:
        large = bytes(range(256)) * 4096

        def answer(request: Request) -> Response:
            return Response(large if request.body else b"small")

        async with serving(answer) as served:
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", served.port)) as sock:
                sock.setblocking(False)
                await loop.sock_sendall(sock, post(b"x") * 40)
                quick = await served.peer()
                assert (await quick.ask(post(b""))).body == b"small"
                peer = Peer(*await asyncio.open_connection(sock=sock.dup()))
                for _ in range(40):
                    assert (await peer.answer()).body == large
                quick.close()
                peer.close()

    run(talk())


def test_close_ends_every_connection(run: Run) -> None:
    async def talk() -> None:
        async with serving(echo) as served:
            peers = [await served.peer() for _ in range(3)]
            for peer in peers:
                await peer.ask(POST)
            served.server.close()
            assert [await peer.end() for peer in peers] == [b""] * 3
            with pytest.raises(ConnectionRefusedError):
                await served.peer()

    run(talk())


# ---------------------------------------------------------------------- requests


BARE = b"POST /xmlrpc HTTP/1.0\nContent-Type: text/xml\nContent-length: 5\nConnection: keep-alive\n\nhello"


def test_heads_with_bare_lf_are_taken_wherever_they_are_cut(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        for place in range(1, len(BARE)):
            answer = await peer.ask(BARE[:place], BARE[place:])
            assert (answer.status, answer.body) == (200, b"POST /xmlrpc hello"), f"cut at {place}"

    run(with_echo(talk))


def test_bare_lf_and_crlf_are_taken_on_connections_side_by_side(run: Run) -> None:
    async def talk(served: Served, peer: Peer) -> None:
        other = await served.peer()
        await peer.send(BARE[:30])
        assert (await other.ask(POST)).status == 200
        assert (await peer.ask(BARE[30:])).body == b"POST /xmlrpc hello"
        other.close()

    run(with_echo(talk))


CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("head", [CHUNKED, CHUNKED.replace(b"\r\n", b"\n")], ids=["crlf", "bare lf"])
@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\n\r\n", b"hello!"),
        (b"A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", b"0123456789"),
    ],
)
def test_chunked_body_is_put_together(run: Run, head: bytes, chunks: bytes, body: bytes) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        for _ in range(2):
            assert (await peer.ask(head + chunks)).body == b"POST /x " + body
            if b"\r" not in head:
                break  # behind a chunked body a bare-LF client has to open another connection

    run(with_echo(talk))


def test_client_that_expects_100_continue_is_told_to_go_on(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        head, body = post(b"hello", b"Expect: 100-continue").split(b"\r\n\r\n")
        assert (await peer.ask(head + b"\r\n\r\n")).status == 100
        assert (await peer.ask(body)).body == b"POST /x hello"

    run(with_echo(talk))


def test_client_that_expects_100_continue_with_too_large_a_body_is_refused_instead(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        answer = await peer.ask(b"POST / HTTP/1.1\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n")
        assert answer.status == 413

    run(with_echo(talk))


@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_large_body_is_answered_once_and_the_connection_kept(run: Run, size: int) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        for _ in range(3):
            answer = await peer.ask(post(b"x" * size))
            assert (answer.status, len(answer.body)) == (200, size + len(b"POST /x "))

    run(with_echo(talk, HttpLimits(head=1000)))


def test_request_that_asks_for_an_upgrade_is_answered_without_it(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        # Java's HttpClient asks so with its first request (RFC 9110, 7.8: a server may ignore it).
        upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAE")
        for body in (b"hello", b"", b"again"):
            assert (await peer.ask(post(body, *upgrade))).body == b"POST /x " + body
        assert (await peer.ask(post(b"plain"))).body == b"POST /x plain"
        await peer.send(post(b"many", *upgrade) * 2000)
        assert {(await peer.answer()).body for _ in range(2000)} == {b"POST /x many"}

    run(with_echo(talk))


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"OPTIONS"])
def test_every_method_of_http_reaches_the_handler(run: Run, method: bytes) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        assert (await peer.ask(method + b" /page?a=b HTTP/1.1\r\n\r\n")).body == method + b" /page?a=b "

    run(with_echo(talk))


def test_head_that_is_known_is_short_for_all_that_it_says(run: Run) -> None:
    """Method, target, fields, and the connection that it comes over."""

    async def talk() -> None:
        requests: list[Request] = []

        def keep(request: Request) -> Response:
            requests.append(request)
            return Response(b"")

        async with serving(keep) as served:
            peer = await served.peer()
            request = post(b"body", b"X-One: 1")
            for _ in range(3):
                await peer.ask(request)
            assert served.server.known.find(request) is not None, "it takes the short way from the second on"
            first, *others = requests
            assert (first.method, first.body, first.headers[b"x-one"]) == (b"POST", b"body", b"1")
            assert first.ends[:4] == peer.writer.get_extra_info("sockname") + peer.writer.get_extra_info("peername")
            assert others == [first, first]
            get = b"GET / HTTP/1.1\r\n\r\n"
            await peer.ask(get)
            assert served.server.known.find(get) is None, "it says nothing of its body"
            peer.close()

    run(talk())


def test_handler_gets_fields_by_names_in_lower_case(run: Run) -> None:
    async def talk() -> None:
        def user_agent(request: Request) -> Response:
            return Response(request.headers[b"user-agent"])

        async with serving(user_agent) as served:
            peer = await served.peer()
            assert (await peer.ask(post(b"", b"User-AGENT: Jakarta"))).body == b"Jakarta"

    run(talk())


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b"x", b"Content-Encoding: gzip"), 415),
        (b"POST / HTTP/1.1\r\nContent-Length: 100001\r\n\r\n", 413),
        (b"POST / HTTP/1.0\nContent-Length: 100001\n\n", 413),
        (CHUNKED + b"c351\r\n" + b"x" * 50001 + b"\r\nc351\r\n" + b"x" * 50001 + b"\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 2000, 431),
        (b"GET /" + b"y" * 2000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000, 431),
        (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * (MOST_FIELDS + 1) + b"\r\n", 431),
        (b"GET / HTTP/1.1\n" + b"X: y\n" * 1000, 431),
        (CHUNKED + b"0\r\nTrailer: " + b"x" * 2000, 431),
        (b"\r\n\r\n", None),
        (b"not HTTP at all\r\n\r\n", 400),
        (b"not HTTP at all\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (CHUNKED + b"xyz\r\n", 400),
        (b"BREW /pot HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT there:80 HTTP/1.1\r\nHost: there\r\n\r\n", 501),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
    ],
)
def test_what_cannot_be_taken_is_refused_and_the_server_lives_on(run: Run, request_: bytes, status: int | None) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        await peer.send(*cut(request_, range(0, len(request_), 900)))
        if status is None:
            await peer.send(POST)  # empty lines before a request are nothing
        answer = await peer.answer()
        assert answer.status == (status or 200)
        if status:
            assert answer.headers["connection"] == "close"
            assert answer.body.endswith(b"\n")

    run(with_echo(talk))


def test_identity_is_no_content_encoding(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        assert (await peer.ask(post(b"x", b"Content-Encoding: identity"))).status == 200

    run(with_echo(talk))


@pytest.mark.parametrize("framing", [b"Content-Length: 40000000", b"Transfer-Encoding: chunked"])
def test_client_that_goes_on_sending_can_read_why_it_is_refused(run: Run, framing: bytes) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        peer.writer.write(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
        chunk = b"x" * 100_000 if b"Length" in framing else b"186A0\r\n" + b"x" * 100_000 + b"\r\n"
        for _ in range(100):
            peer.writer.write(chunk)
            await peer.writer.drain()
        assert (await peer.answer()).status == 413

    run(with_echo(talk))


def test_head_under_the_limit_is_taken_in_however_many_pieces_it_comes(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        request = post(b"hello", b"X: " + b"y" * 400, b"Z: " + b"y" * 400)
        assert (await peer.ask(*cut(request, range(0, len(request), 50)))).status == 200

    run(with_echo(talk))


@pytest.mark.parametrize(("size", "status"), [(200, 200), (201, 431)])
def test_head_may_be_so_long_and_no_longer(run: Run, size: int, status: int) -> None:
    """Its target and its fields count, each with what it takes beside name and value."""

    async def talk() -> None:
        value = b"x" * (size - len("/") - len("a: \r\n"))
        async with serving(lambda _: Response(b""), HttpLimits(head=200)) as served:
            peer = await served.peer()
            assert (await peer.ask(b"GET / HTTP/1.1\r\na: " + value + b"\r\n\r\n")).status == status
            peer.close()

    run(talk())


def test_who_takes_a_hub_for_a_proxy_is_told_that_it_is_none(run: Run) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        answer = await peer.ask(b"CONNECT there:80 HTTP/1.1\r\nHost: there\r\n\r\n")
        assert (answer.status, answer.body) == (501, b"a SAMP hub is no proxy\n")

    run(with_echo(talk))


@pytest.mark.parametrize("as_future", [False, True])
def test_exception_in_the_handler_is_reported_and_answered_500(run: Run, as_future: bool) -> None:
    async def fail() -> Response:
        raise ZeroDivisionError("on purpose")

    def handler(request: Request) -> "Response | asyncio.Future[Response]":
        if request.body == b"ok":
            return Response(b"well")
        if as_future:
            return asyncio.ensure_future(fail())
        raise ZeroDivisionError("on purpose")

    async def talk() -> None:
        async with serving(handler) as served:
            peer = await served.peer()
            failed = await peer.ask(post(b"bad"))
            assert (failed.status, failed.body) == (500, b"the hub failed on this request; its log says why\n")
            assert failed.headers["content-type"] == "text/plain; charset=utf-8"
            assert (await peer.ask(post(b"ok"))).body == b"well"
            assert [type(error) for error in served.errors] == [ZeroDivisionError]
            peer.close()

    run(talk())


def test_future_that_the_handler_cancels_is_answered_500(run: Run) -> None:
    async def talk() -> None:
        later = Later()
        async with serving(later) as served:
            peer = await served.peer()
            await peer.send(post(b"x"))
            (await later.next()).cancel()
            assert (await peer.answer()).status == 500

    run(talk())


# ---------------------------------------------------------------------- any bytes


GOOD = [
    POST,
    BARE,
    CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    post(b"x" * 300, b"X: " + b"y" * 300),
    post(b"one") + post(b"two"),
    b"GET / HTTP/1.0\r\n\r\n",
]


@tried(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request_=st.sampled_from(GOOD), places=st.sets(st.integers(1, 700), max_size=12))
def test_request_cut_anywhere_gets_the_same_answer(run: Run, request_: bytes, places: set[int]) -> None:
    async def talk(served: Served, peer: Peer) -> None:
        other = await served.peer()
        for _ in range(2 if request_.startswith(post(b"one")) else 1):
            await peer.send(request_)
            await other.send(*cut(request_, places))
            assert await other.answer() == await peer.answer()
        other.close()

    run(with_echo(talk))


PIECES = st.sampled_from(
    [*GOOD, b"\r\n", b"\n", b"POST / HTTP/1.1\r\n", b"Content-Length: 9\r\n", b"0\r\n", b"Upgrade: x"]
)


@tried(100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=100) | PIECES | PIECES.map(lambda data: data[: len(data) // 2]), max_size=6))
def test_no_bytes_kill_the_server(run: Run, pieces: list[bytes]) -> None:
    async def talk(_: Served, peer: Peer) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's, on a connection that was lost
            await peer.send(*pieces)

    run(with_echo(talk))


# ---------------------------------------------------------------------- bind


def test_bound_socket_listens_on_a_port_that_the_system_chose() -> None:
    with bind("127.0.0.1", 0) as sock:
        assert sock.getsockname()[1] > 0
        socket.create_connection(sock.getsockname()).close()


def test_host_may_be_a_name() -> None:
    with bind("localhost", 0) as sock:
        assert sock.getsockname()[0] in ("127.0.0.1", "::1")


def test_port_in_use_is_named_in_the_error() -> None:
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(
            HubfarmError, match=rf"cannot listen on port {port} of 127\.0\.0\.1: Address already in use"
        ):
            bind("127.0.0.1", port)


def test_port_of_a_server_that_just_ended_can_be_bound_again() -> None:
    async def talk() -> None:
        async with serving(echo) as served:
            peer = await served.peer()
            await peer.ask(post(b"x", b"Connection: close"))
            await peer.end()
        bind("127.0.0.1", served.port).close()

    run_in("asyncio", talk())


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b", "x" * 70, "256.1.1.1", "nul\0"])
def test_host_that_is_not_ours_is_named_in_the_error(host: str) -> None:
    with pytest.raises(HubfarmError, match=r"^cannot listen on [^ ]+: [^\[]"):  # in words
        bind(host, 0)
