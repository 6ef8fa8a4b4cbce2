"""Responses as bytes."""

import pytest

from hubfarm.wire.http_messages import JOINED, Ends, Request, Response, encode

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n"


@pytest.mark.parametrize(
    ("response", "keep_alive", "version", "written"),
    [
        (Response(b"hi"), True, "1.1", OK + b"\r\nhi"),
        (Response(b"hi"), True, "1.0", OK + b"Connection: keep-alive\r\n\r\nhi"),
        (Response(b"hi"), False, "1.1", OK + b"Connection: close\r\n\r\nhi"),
        (Response(b"hi"), False, "1.0", OK + b"Connection: close\r\n\r\nhi"),
        (
            Response(b"", 404, b"text/plain"),
            True,
            "1.1",
            b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        ),
    ],
)
def test_response_says_whether_the_connection_stays_where_the_version_does_not(
    response: Response, keep_alive: bool, version: str, written: bytes
) -> None:
    assert encode(response, keep_alive=keep_alive, version=version) == (written,)


def test_long_body_is_not_copied_behind_its_head() -> None:
    (joined,) = encode(Response(b"x" * JOINED), keep_alive=True, version="1.1")
    assert joined.endswith(b"\r\n\r\n" + b"x" * JOINED)
    body = b"x" * (JOINED + 1)
    head, rest = encode(Response(body), keep_alive=True, version="1.1")
    assert rest is body
    assert head.endswith(b"Content-Length: %d\r\n\r\n" % len(body))


def test_request_comes_from_its_connections_other_end() -> None:
    assert Request(b"POST", b"/", {}, b"", Ends("192.0.2.7", 4000, "192.0.2.1", 80)).peer == "192.0.2.7"
    assert Request(b"POST", b"/", {}, b"").peer == ""
