"""Requests that mean to be read in two ways, or not at all: refused, and the server is well afterwards."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_messages import Request, Response
from tests.wire.wire_support import LOOPS, run_in, serving, until

Run = Callable[[Coroutine[Any, Any, None]], None]
POST = b"POST /xmlrpc HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each kind of loop."""
    return lambda coroutine: run_in(request.param, coroutine)


def echo(request: Request) -> Response:
    return Response(b"%s %s" % (request.method, request.body))


def post(*fields: bytes, body: bytes = b"hello", line: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *fields, b"", body])


LENGTH = b"Content-Length: 5"
CHUNKED = b"Transfer-Encoding: chunked"

AMBIGUOUS = {
    "a length and chunks": post(LENGTH, CHUNKED, body=b"0\r\n\r\n"),
    "chunks and a length": post(CHUNKED, LENGTH, body=b"0\r\n\r\n"),
    "two lengths": post(LENGTH, b"Content-Length: 6"),
    "a list of lengths": post(b"Content-Length: 5, 5"),
    "a negative length": post(b"Content-Length: -5"),
    "a length with a sign": post(b"Content-Length: +5"),
    "a length in hexadecimal": post(b"Content-Length: 0x5"),
    "a length with an exponent": post(b"Content-Length: 5e0"),
    "a length beyond 64 bits": post(b"Content-Length: 18446744073709551621"),
    "a length in other digits": post("Content-Length: \u0665".encode()),
    "a length with a blank before the colon": post(b"Content-Length : 5"),
    "a length on a continued line": post(b"Content-Length:\r\n 5"),
    "an unknown transfer encoding": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked not as the last": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "a chunk of negative size": post(CHUNKED, body=b"-1\r\n"),
    "a chunk beyond 64 bits": post(CHUNKED, body=b"fffffffffffffffff\r\n"),
    "a chunk longer than it says": post(CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n"),
    "two hosts": post(b"Host: a", b"Host: b", LENGTH),
    "two passwords": post(b"Authorization: Basic eDp4", b"Authorization: Basic eDp4", LENGTH),
}

UNREADABLE = {
    "NUL in a field": post(b"X: a\0b", LENGTH),
    "NUL in a name": post(b"X\0Y: a", LENGTH),
    "NUL in the target": post(LENGTH, line=b"POST /\0 HTTP/1.1"),
    "a control byte in a name": post(b"X\x01: a", LENGTH),
    "a control byte in a field": post(b"X: a\x01b", LENGTH),
    "a lone carriage return in a field": post(b"X: a\rY: b", LENGTH),
    "a field without a colon": post(b"nonsense", LENGTH),
    "a field without a name": post(b": a", LENGTH),
    "no method": b" / HTTP/1.1\r\n\r\n",
    "a method of no protocol": post(LENGTH, line=b"FLY / HTTP/1.1"),
    "a method in lower case": post(LENGTH, line=b"post / HTTP/1.1"),
    "a method without an end": b"POST" * 300,
    "no target": b"POST HTTP/1.1\r\n\r\n",
    "a blank in the target": post(LENGTH, line=b"POST /a b HTTP/1.1"),
    "a target without an end": b"POST /" + b"../" * 1000,
    "a version of no standard": post(LENGTH, line=b"POST / HTTP/1.1.1"),
    "endless fields": b"POST / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)),
    "endless continuation": b"POST / HTTP/1.1\r\nX: y\r\n" + b" y\r\n" * 500,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("bare_lf", [False, True], ids=["crlf", "lf"])
@pytest.mark.parametrize("case", AMBIGUOUS | UNREADABLE)
def test_request_is_refused(run: Run, case: str, bare_lf: bool) -> None:
    request = (AMBIGUOUS | UNREADABLE)[case]
    if bare_lf:
        request = request.replace(b"\r\n", b"\n")

    async def scene() -> None:
        async with serving(echo, HttpLimits(head=1000, body=1000)) as served:
            peer = await served.peer()
            await peer.send(request)
            peer.writer.write_eof()
            answers = await peer.end()
            # What is sent in chunks with bare LF has no whole chunk: nothing is answered, either.
            assert answers.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) or (bare_lf and not answers), answers
            assert answers.count(b"HTTP/1.1 ") <= 1
            other = await served.peer()
            assert (await other.ask(POST)).body == b"POST hello"
            assert served.errors == []

    run(scene())


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_body_longer_than_its_length_is_no_second_request_that_runs(run: Run, line_end: bytes) -> None:
    async def scene() -> None:
        async with serving(echo) as served:
            peer = await served.peer()
            await peer.send(line_end.join([b"POST / HTTP/1.1", b"Content-Length: 2", b"", b"hello" + 2 * line_end]))
            assert (await peer.answer()).body == b"POST he"
            assert (await peer.answer()).status == 400

    run(scene())


def test_head_behind_empty_lines_is_remembered_for_no_other(run: Run) -> None:
    async def scene() -> None:
        async with serving(echo) as served:
            for _ in range(3):
                peer = await served.peer()
                assert (await peer.ask(POST)).body == b"POST hello"  # its line ends are known from here
                assert (await peer.ask(b"\r\n\r\n" + POST)).body == b"POST hello"

    run(scene())


def test_request_behind_one_that_closes_is_not_handed_on(run: Run) -> None:
    async def scene() -> None:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        seen: list[bytes] = []

        def handle(request: Request) -> "Response | asyncio.Future[Response]":
            seen.append(request.body)
            return answer if request.body == b"later" else Response(b"")

        async with serving(handle) as served:
            peer = await served.peer()
            await peer.ask(POST)
            await peer.send(post(LENGTH, b"Connection: close", body=b"later"))
            await until(lambda: b"later" in seen, "it is handed on")
            await peer.send(POST)
            assert (await (await served.peer()).ask(post(LENGTH, body=b"other"))).status == 200  # all has come by now
            answer.set_result(Response(b"done"))
            assert (await peer.answer()).body == b"done"
            assert await peer.end() == b""
            assert seen == [b"hello", b"later", b"other"]

    run(scene())


def test_body_shorter_than_its_length_is_never_handed_on(run: Run) -> None:
    async def scene() -> None:
        seen: list[Request] = []

        def keep(request: Request) -> Response:
            seen.append(request)
            return Response(b"")

        async with serving(keep) as served:
            peer = await served.peer()
            await peer.send(b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nhello")
            peer.writer.write_eof()
            assert await peer.end() == b""
            assert seen == []

    run(scene())
