"""Heads that were seen before: known byte for byte, and never more than so many."""

import pytest

from hubfarm.wire.known_heads import MAX_SIZE, KnownHead, KnownHeads, head_of

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (HEAD, HEAD),
        (HEAD + b"body\r\n\r\n", HEAD),
        (HEAD[:-1], b""),
        (b"\r\n" + HEAD, b""),
        (b"\n" + HEAD, b""),
        (b"", b""),
        (b"x" * (MAX_SIZE - 4) + b"\r\n\r\n", b"x" * (MAX_SIZE - 4) + b"\r\n\r\n"),
        (b"x" * (MAX_SIZE - 3) + b"\r\n\r\n", b""),
    ],
)
def test_head_is_what_ends_with_an_empty_line_and_is_short_enough(data: bytes, head: bytes) -> None:
    assert head_of(data) == head


def test_what_was_remembered_is_found_before_any_body() -> None:
    heads: KnownHeads[str] = KnownHeads()
    heads.remember(HEAD, 5, "well")
    assert heads.find(HEAD + b"hello") == KnownHead(len(HEAD), 5, "well")
    assert heads.find(HEAD.lower()) is None


def test_of_too_many_heads_all_before_are_forgotten() -> None:
    heads: KnownHeads[int] = KnownHeads(most=3)
    many = [b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(8)]
    for number, head in enumerate(many):
        heads.remember(head, 0, number)
    assert [found.says for head in many if (found := heads.find(head))] == [6, 7]
