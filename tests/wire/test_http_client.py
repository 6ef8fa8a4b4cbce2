"""The HTTP client against every kind of callback server there is: what arrives, what is retried, what is an error."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hubfarm.samp.errors import WrongUse
from hubfarm.wire.http_client import (
    MAX_HEAD,
    BadAnswer,
    HttpClient,
    HttpError,
    NoAnswer,
    Unreachable,
    _Exchange,
)
from hubfarm.wire.known_heads import KnownHeads
from hubfarm.wire.sockets import KEEPALIVE, notice_silence
from hubfarm.wire.urls import check_http_url
from tests.support import PATIENCE, need
from tests.wire.wire_support import LOOPS, Heard, Script, Scripted, cut, read_request, run_in, unused_port

Run = Callable[[Coroutine[Any, Any, None]], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each kind of loop."""
    return lambda coroutine: run_in(request.param, coroutine)


def answering(*answers: bytes, heard: list[Heard] | None = None) -> Script:
    """Answer the requests of each connection with `answers` in turn, then close."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            request = await read_request(reader)
            if heard is not None:
                heard.append(request)
            writer.write(answer)
            await writer.drain()

    return script


async def post(url: str, body: bytes = b"body", timeout: float = PATIENCE) -> bytes:
    with contextlib.closing(HttpClient(url)) as client:
        return await client.post(body, timeout=timeout)


async def failed_post(script: Script, timeout: float = PATIENCE) -> tuple[type[HttpError], int]:
    """Return the error that a POST ends with, and how many connections it made."""
    async with Scripted(script) as server:
        with pytest.raises(HttpError) as caught:
            await post(server.url, timeout=timeout)
        return caught.type, server.connections


def test_request_is_whole_http(run: Run) -> None:
    async def talk() -> None:
        heard: list[Heard] = []
        async with Scripted(answering(OK, heard=heard)) as server:
            assert await post(f"{server.url}path/to?a=b", b"<xml/>") == b"ok"
        lines = heard[0].head.split(b"\r\n")
        assert lines[0] == b"POST /path/to?a=b HTTP/1.1"
        assert b"Host: 127.0.0.1:%d" % server.port in lines
        assert b"Content-Type: text/xml" in lines
        assert heard[0].body == b"<xml/>"

    run(talk())


def test_connection_is_kept_and_requests_arrive_in_order(run: Run) -> None:
    async def talk() -> None:
        heard: list[Heard] = []
        async with Scripted(answering(*[OK] * 10, heard=heard)) as server:
            client = HttpClient(server.url)
            for number in range(10):
                assert await client.post(b"%d" % number, timeout=PATIENCE) == b"ok"
            assert [request.body for request in heard] == [b"%d" % number for number in range(10)]
            assert server.connections == 1
            client.close()

    run(talk())


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-length: 2\n\nok",
        b"HTTP/1.0 200 OK\n\nok",
    ],
    ids=[
        "in silence",
        "as said",
        "HTTP/1.0",
        "HTTP/1.0 and no length",
        "no length",
        "bare LF",
        "bare LF and no length",
    ],
)
def test_server_that_closes_after_each_answer_gets_each_request_once(run: Run, answer: bytes) -> None:
    async def talk() -> None:
        heard: list[Heard] = []
        async with Scripted(answering(answer, heard=heard)) as server:
            client = HttpClient(server.url)
            for number in range(5):
                assert await client.post(b"%d" % number, timeout=PATIENCE) == b"ok"
            assert [request.body for request in heard] == [b"%d" % number for number in range(5)]
            client.close()

    run(talk())


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\nContent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
    ids=["CRLF", "bare LF", "chunked", "HTTP/1.0 kept", "terse", "interim answer before"],
)
def test_answer_is_understood_in_whatever_pieces_it_comes(run: Run, answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for places in [], range(len(answer)), [len(answer) // 2]:
            await read_request(reader)
            for piece in cut(answer, places):
                writer.write(piece)
                for _ in range(3):
                    await asyncio.sleep(0)

    async def talk() -> None:
        async with Scripted(script) as server:
            client = HttpClient(server.url)
            assert [await client.post(b"x", timeout=PATIENCE) for _ in range(3)] == [b"ok"] * 3
            assert server.connections == 1
            client.close()

    run(talk())


def test_kept_connection_that_was_closed_just_then_is_replaced(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)  # and closes instead of an answer

    async def talk() -> None:
        async with Scripted(script) as server:
            client = HttpClient(server.url)
            assert [await client.post(b"x", timeout=PATIENCE) for _ in range(3)] == [b"ok"] * 3
            assert server.connections == 3
            client.close()

    run(talk())


def test_request_on_a_fresh_connection_is_never_sent_twice(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async def talk() -> None:
        assert await failed_post(script) == (NoAnswer, 1)

    run(talk())


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"])
def test_request_whose_answer_had_begun_is_never_sent_twice(run: Run, begun: bytes) -> None:
    async def talk() -> None:
        heard: list[Heard] = []
        async with Scripted(answering(OK, begun, heard=heard)) as server:
            client = HttpClient(server.url)
            await client.post(b"1", timeout=PATIENCE)
            with pytest.raises(NoAnswer):
                await client.post(b"2", timeout=PATIENCE)
            assert len(heard) == 2

    run(talk())


def test_answer_that_does_not_come_in_time_is_no_answer_and_the_next_request_gets_its_own(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = (await read_request(reader)).body
            if body != b"slow":
                writer.write(OK[:-2] + body)

    async def talk() -> None:
        async with Scripted(script) as server:
            client = HttpClient(server.url)
            assert await client.post(b"q1", timeout=PATIENCE) == b"q1"
            with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
                await client.post(b"slow", timeout=0.05)
            assert await client.post(b"q2", timeout=PATIENCE) == b"q2"
            client.close()

    run(talk())


def test_closing_ends_the_request_that_is_under_way(run: Run) -> None:
    async def talk() -> None:
        asked = asyncio.Event()

        async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await read_request(reader)
            asked.set()
            await reader.read()

        async with Scripted(script) as server:
            client = HttpClient(server.url)
            posting = asyncio.ensure_future(client.post(b"x", timeout=PATIENCE))
            await asked.wait()
            client.close()
            with pytest.raises(NoAnswer):
                await posting

    run(talk())


def test_request_that_was_ended_by_closing_is_not_sent_again_although_the_connection_had_served(run: Run) -> None:
    async def talk() -> None:
        heard: list[Heard] = []
        server = Scripted(answering(OK, b"", heard=heard))
        async with server:
            client = HttpClient(server.url)
            await client.post(b"1", timeout=PATIENCE)
            posting = asyncio.ensure_future(client.post(b"2", timeout=PATIENCE))
            await asyncio.sleep(0)
            client.close()
            with pytest.raises(NoAnswer):
                await posting
            assert server.connections == 1

    run(talk())


class NoTransport(asyncio.Transport):
    """A transport of which a test says what is known, and which only notes that it was closed."""

    def __init__(self, **known: Any) -> None:
        super().__init__(extra=known)
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


def test_head_of_an_answer_may_be_so_long_and_no_longer() -> None:
    exchange, transport, told = _Exchange(KnownHeads(), 100), NoTransport(), list[bytes | HttpError]()
    exchange.connection_made(transport)
    exchange.request([b"POST"], told.append)
    exchange.data_received(b"HTTP/1.1 200 OK\r\nX: ".ljust(MAX_HEAD, b"x"))
    assert (told, transport.closed) == ([], False)
    exchange.data_received(b"x")
    (error,) = told
    assert isinstance(error, BadAnswer)
    assert str(error) == f"answered with a head of more than {MAX_HEAD} bytes"
    assert transport.closed


@pytest.mark.parametrize(("host", "watched"), [("192.0.2.1", 1), ("2001:db8::1", 1), ("127.5.0.1", 0), ("::1", 0)])
def test_peer_on_another_host_is_watched_by_the_kernel(host: str, watched: int) -> None:
    with socket.socket() as sock:
        notice_silence(NoTransport(socket=sock, peername=(host, 9)))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == watched
        for option, value in KEEPALIVE.items():
            if watched and hasattr(socket, option):
                assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) == value


def test_only_an_address_that_is_permitted_is_connected_to(run: Run) -> None:
    async def talk() -> None:
        asked: list[tuple[str, str]] = []

        def permits(host: str, address: str) -> bool:
            asked.append((host, address))
            return host == "localhost" and address == "127.0.0.1"

        async with Scripted(answering(OK)) as server:
            with contextlib.closing(HttpClient(f"http://localhost:{server.port}/", permits=permits)) as client:
                assert await client.post(b"", timeout=PATIENCE) == b"ok"
            assert ("localhost", "127.0.0.1") in asked
            elsewhere = HttpClient(server.url, permits=permits)
            with pytest.raises(
                Unreachable, match=r"^127\.0\.0\.1 is at 127\.0\.0\.1, where this hub calls nobody back$"
            ) as no:
                await elsewhere.post(b"", timeout=PATIENCE)
            assert no.value.for_good
            assert server.connections == 1

    run(talk())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\nContent-Length: 3\n\nwhy",
        b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_anything_but_http_200_is_a_bad_answer(run: Run, answer: bytes) -> None:
    async def talk() -> None:
        assert await failed_post(answering(answer)) == (BadAnswer, 1)

    run(talk())


def test_head_without_end_is_a_bad_answer(run: Run) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 10_000 + b"\r\n")
            await writer.drain()

    async def talk() -> None:
        assert await failed_post(endless) == (BadAnswer, 1)

    run(talk())


def test_body_without_end_is_a_bad_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfarm.wire.http_client.MAX_BODY", 100_000)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async def talk() -> None:
        assert await failed_post(endless) == (BadAnswer, 1)

    run(talk())


# ---------------------------------------------------------------------- connecting


def test_refused_connection_is_unreachable(run: Run) -> None:
    async def talk() -> None:
        port = unused_port()
        with pytest.raises(Unreachable, match=rf"no connection to 127\.0\.0\.1:{port}: ") as refused:
            await post(f"http://127.0.0.1:{port}/")
        assert refused.value.for_good

    run(talk())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70, "256.1.1.1"])
def test_unknown_host_is_unreachable(run: Run, host: str) -> None:
    async def talk() -> None:
        with pytest.raises(Unreachable):
            await post(f"http://{host}/")

    run(talk())


def test_server_that_was_unreachable_is_reached_later(run: Run) -> None:
    async def talk() -> None:
        server = Scripted(answering(OK))
        async with server:
            client = HttpClient(server.url)
            await client.post(b"1", timeout=PATIENCE)
        with pytest.raises(Unreachable):
            await client.post(b"2", timeout=PATIENCE)
        again = await asyncio.start_server(server._connected, "127.0.0.1", server.port)
        assert await client.post(b"3", timeout=PATIENCE) == b"ok"
        again.close()
        client.close()

    run(talk())


def test_ipv6_address_can_be_reached(run: Run) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6")

    async def talk() -> None:
        heard: list[Heard] = []
        async with Scripted(answering(OK, heard=heard), host="::1") as server:
            assert await post(server.url) == b"ok"
            assert b"Host: [::1]:%d\r\n" % server.port in heard[0].head

    run(talk())


def test_untrusted_certificate_is_unreachable(run: Run, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", key, "-out", certificate]
    subprocess.run([need("openssl"), *command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def talk() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the same refusal
        async with Scripted(answering(OK), ssl=context) as server:
            with pytest.raises(Unreachable, match="certificate"):
                await post(server.url)

    run(talk())


def test_https_to_a_server_that_speaks_plain_http_is_unreachable(run: Run) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async def talk() -> None:
        async with Scripted(plain) as server:
            with pytest.raises(Unreachable):
                await post(server.url.replace("http:", "https:"))

    run(talk())


# ---------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4000/xmlrpc",
        "http://[::1]:4000/",
        "https://host/",
        "HTTP://host",
        "http://user:word@host:80/?q",
    ],
)
def test_http_url_is_taken(url: str) -> None:
    assert check_http_url(url).hostname


NO_URLS = ["", "file:///tmp/x", "ftp://host/", "http://", "http:///path", "//host/", "host:80", "javascript:alert(1)"]
BAD_PORTS = ["http://host:port/", "http://host:70000/", "http://host:0/", "http://host:-1/"]
BAD_CHARACTERS = [
    "http://ho st/",
    "http://host/\r\nX: y",
    "http://host/é",
    "http://höst/",
    "http://host/\0",
    "http://[::1/",
]


@pytest.mark.parametrize("url", [*NO_URLS, *BAD_PORTS, *BAD_CHARACTERS])
def test_other_url_is_wrong_use(url: str) -> None:
    with pytest.raises(WrongUse, match="not an http or https URL"):
        HttpClient(url)
