"""DS9's dialect: heads whose lines end in a bare LF become heads that httptools takes; nothing else changes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.wire.bare_lf import CrlfHeads
from tests.strategies import tried
from tests.support import ROOT
from tests.wire.wire_support import cut

HEAD = b"POST /xmlrpc HTTP/1.0\nContent-Type: text/xml\nContent-length: 7\n\n"
BODY = b"<a>\n\n\r\n"
BARE = HEAD + BODY
CRLF = HEAD.replace(b"\n", b"\r\n") + BODY


def filtered(*pieces: bytes, max_head: int = 1000) -> bytes:
    heads = CrlfHeads(max_head)
    return b"".join(heads.feed(piece) for piece in pieces)


@pytest.mark.parametrize("place", range(1, len(BARE)))
def test_bare_lf_head_becomes_crlf_wherever_it_is_cut(place: int) -> None:
    assert filtered(BARE[:place], BARE[place:]) == CRLF


def test_bare_lf_head_comes_out_byte_by_byte_too() -> None:
    assert filtered(*cut(BARE, range(len(BARE)))) == CRLF


def test_body_passes_untouched() -> None:
    body = bytes(range(256)) + b"\n\n\r\nPOST / HTTP/1.0\n\n"
    head = b"POST / HTTP/1.0\nContent-Length: %d\n\n" % len(body)
    assert filtered(head + body).partition(b"\r\n\r\n")[2] == body


def test_several_requests_on_one_connection_are_all_rewritten() -> None:
    assert filtered(BARE + BARE + BARE) == CRLF * 3


@pytest.mark.parametrize("data", [CRLF, CRLF + BARE, b"GET / HTTP/1.1\r\nX: 1\n\n"])
def test_what_begins_with_a_crlf_line_passes_untouched(data: bytes) -> None:
    heads = CrlfHeads(1000)
    assert heads.feed(data) == data
    assert heads.transparent


def test_head_that_mixes_both_line_ends_is_made_crlf() -> None:
    assert filtered(b"GET / HTTP/1.0\nA: 1\r\nB: 2\n\r\n") == b"GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\n\r\n"


def test_empty_lines_before_a_request_do_no_harm() -> None:
    assert filtered(b"\n" + BARE) == b"\r\n" + CRLF


@pytest.mark.parametrize("endless", [b"x" * 2000, b"POST / HTTP/1.0\n" + b"x: y\n" * 400])
def test_head_over_the_limit_is_handed_on_for_the_parser_to_refuse(endless: bytes) -> None:
    assert len(filtered(*cut(endless, range(0, len(endless), 100)))) > 0


def test_answer_whose_body_ends_with_the_connection_passes() -> None:
    assert filtered(b"HTTP/1.0 200 OK\nA: 1\n\n", b"a\n\nb") == b"HTTP/1.0 200 OK\r\nA: 1\r\n\r\na\n\nb"


@tried(100)
@given(places=st.sets(st.integers(1, 4 * len(BARE))), bodies=st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_any_bodies_cut_anywhere_come_out_whole(places: set[int], bodies: list[bytes]) -> None:
    sent = b"".join(b"POST / HTTP/1.1\ncontent-length: %d\n\n%s" % (len(body), body) for body in bodies)
    expected = b"".join(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)
    assert filtered(*cut(sent, places)) == expected


@tried(100)
@given(pieces=st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b"\r\n", b"POST / HTTP/1.0\n"])))
def test_no_bytes_are_invented_or_lost(pieces: list[bytes]) -> None:
    heads = CrlfHeads(500)
    passed = b"".join(heads.feed(piece) for piece in pieces) + heads._held
    assert passed.replace(b"\r\n", b"\n") == b"".join(pieces).replace(b"\r\n", b"\n")


DS9 = sorted((ROOT / "tests" / "recorded" / "ds9").glob("*-hub-*.request"))


@pytest.mark.parametrize("sample", DS9, ids=lambda path: path.name)
def test_recorded_requests_of_ds9_get_crlf_heads_and_keep_their_bodies(sample: Path) -> None:
    head, _, body = sample.read_bytes().partition(b"\n\n")
    assert b"\r" not in head
    assert filtered(head + b"\n\n" + body, max_head=65536) == head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body
