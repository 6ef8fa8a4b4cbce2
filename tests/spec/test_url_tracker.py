"""What pages may read is decided by what was noted first, and what is kept of it has bounds that open nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.spec import url_tracker
from hubfarm.spec.url_tracker import UrlTracker

URLS = st.sampled_from(["file:///a", "file:///b", "http://c/"])


@given(st.lists(st.tuples(st.booleans(), URLS)))
def test_first_word_counts(words: list[tuple[bool, str]]) -> None:
    tracker, first = UrlTracker(), {}
    for by_page, url in words:
        first.setdefault(url, by_page)
        (tracker.note_named if by_page else tracker.note_sent)([url])
    for url in "file:///a", "file:///b", "http://c/":
        assert tracker.may_read(url) is (first.get(url) is False)


def test_notes_say_what_is_new() -> None:
    tracker = UrlTracker()
    assert len(tracker.note_sent(["a:/b", "a:/c", "a:/b"])) == 2
    assert tracker.note_sent(["a:/b"]) == []
    assert tracker.note_named(["a:/b"]) == []
    assert len(tracker.note_named(["a:/d", "a:/d"])) == 1
    assert tracker.note_sent(["a:/d"]) == []


def test_white_space_around_a_url_is_none_of_it() -> None:
    tracker = UrlTracker()
    tracker.note_named([" file:///a\n"])
    tracker.note_sent(["file:///a"])
    assert not tracker.may_read("file:///a")


@pytest.mark.parametrize(
    "echo",
    [
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "file://localhost/etc/passwd",
        "file:////etc//passwd",
        "file:///etc/pass%77d",
        "file:///etc/passwd?x",
        "file:///etc/passwd#: is no table",
    ],
)
def test_a_program_that_repeats_what_a_page_has_named_in_other_words_lets_nobody_read_it(echo: str) -> None:
    tracker = UrlTracker()
    tracker.note_named(["file:///etc/passwd"])
    tracker.note_sent([echo])
    assert not tracker.may_read(echo)
    tracker.note_named(["http://intranet.example/a"])
    tracker.note_sent(["HTTP://Intranet.example/a#b"])
    assert not tracker.may_read("HTTP://Intranet.example/a#b")


def test_oldest_that_may_be_read_is_forgotten_and_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_tracker, "MOST_PERMITTED", 2)
    tracker = UrlTracker()
    for url in "a:/1", "a:/2", "a:/3":
        tracker.note_sent([url])
    assert [tracker.may_read(url) for url in ("a:/1", "a:/2", "a:/3")] == [False, True, True]


def test_what_pages_have_named_is_never_forgotten_and_nothing_new_is_read_once_it_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(url_tracker, "MOST_NAMED", 2)
    tracker = UrlTracker()
    tracker.note_sent(["a:/old"])
    tracker.note_named(["file:///etc/passwd", "a:/2", "a:/3", "a:/4"])
    tracker.note_sent(["file:///etc/passwd", "a:/4", "a:/new"])
    assert [tracker.may_read(url) for url in ("a:/old", "file:///etc/passwd", "a:/4", "a:/new")] == [
        True, False, False, False,
    ]  # fmt: skip
    permitted, named = tracker.decisions()
    assert (len(permitted), len(named)) == (1, 2)


def test_where_records_contradict_each_other_it_may_not_be_read() -> None:
    tracker = UrlTracker()
    (digest,) = tracker.note_sent(["a:/b"])
    tracker.deny([digest])
    assert not tracker.may_read("a:/b")
