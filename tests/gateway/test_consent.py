"""Which questions wait, and what may ask."""

from contextlib import suppress

import pytest

from hubfarm.gateway.consent import (
    LONGEST_NAME,
    MOST_A_MINUTE,
    MOST_JOINED,
    MOST_ORIGINS,
    MOST_WAITING,
    Consent,
    NotAsked,
    suspicion,
)
from hubfarm.samp.errors import WrongUse

A = "https://a.example"


def asked(consent: Consent, origin: str = A, now: float = 0.0, name: str = "Viewer", referer: str = "") -> str:
    return consent.ask(origin, name, referer, now).id


def test_pages_of_one_origin_are_one_question_up_to_a_limit() -> None:
    consent = Consent(60.0)
    ids = {asked(consent, now=number / 10) for number in range(MOST_JOINED)}
    assert len(ids) == 1
    assert consent.waiting[ids.pop()].pages == MOST_JOINED
    with pytest.raises(NotAsked, match="of this origin wait"):
        asked(consent)


def test_pages_whose_origin_cannot_be_told_from_others_do_not_share_an_answer() -> None:
    for origin in ("null", "none"):
        consent = Consent(60.0)
        asked(consent, origin)
        with pytest.raises(NotAsked, match="only one may"):
            asked(consent, origin)
        assert len(consent.waiting) == 1


def test_an_origin_that_asks_again_and_again_has_to_wait() -> None:
    consent = Consent(60.0)
    for number in range(MOST_A_MINUTE):
        consent.take(asked(consent, now=number))
    with pytest.raises(NotAsked, match="within a minute"):
        asked(consent, now=MOST_A_MINUTE)
    asked(consent, "https://b.example", now=MOST_A_MINUTE)  # others need not
    asked(consent, now=61.0)


def test_thousands_of_origins_are_a_few_questions_and_no_memory() -> None:
    consent = Consent(60.0)
    refused = 0
    for number in range(10_000):
        try:
            asked(consent, f"https://{number}.example", now=number / 1000)
        except NotAsked:
            refused += 1
    assert (len(consent.waiting), refused) == (MOST_WAITING, 10_000 - MOST_WAITING)
    assert len(consent._asked) <= MOST_WAITING


def test_origins_that_ask_and_go_at_once_are_no_memory_either() -> None:
    consent = Consent(60.0)
    for number in range(2 * MOST_ORIGINS):
        with suppress(NotAsked):
            consent.leave(consent.ask(f"https://{number}.example", "Viewer", "", now=number / 1000))
    assert len(consent._asked) <= MOST_ORIGINS
    asked(consent, "https://another.example", now=100.0)


def test_silence_is_no_and_an_answer_counts_once() -> None:
    consent = Consent(60.0)
    first, second = asked(consent), asked(consent, "https://b.example", now=10.0)
    assert consent.expired(59.9) == []
    assert [each.id for each in consent.expired(60.0)] == [first]
    assert consent.take(second).id == second
    for id in (first, second):
        with pytest.raises(WrongUse, match="it has been answered, or has gone"):
            consent.take(id)


def test_a_question_goes_with_the_last_page_that_waits_for_its_answer() -> None:
    consent = Consent(60.0)
    question = consent.ask(A, "", "", 0.0)
    consent.ask(A, "", "", 0.0)
    consent.leave(question)
    assert question.id in consent.waiting
    consent.leave(question)
    assert not consent.waiting


def test_what_a_page_says_of_itself_is_short_and_does_not_command_what_shows_it() -> None:
    question = Consent(60.0).ask(A, "\u202eevil\x1b[31m" + "x" * 10_000, "javascript:\u202e" + "y" * 10_000, 0.0)
    for text in (question.name, question.referer):
        assert text.isprintable()
    assert len(question.name) <= LONGEST_NAME + 20
    assert "\\u202e" in question.name


@pytest.mark.parametrize(
    ("origin", "referer", "said"),
    [
        (A, f"{A}/page", ""),
        (A, "", ""),
        (A, "https://b.example/", "the page says that it is of https://b.example"),
        (A, "https://a.example.evil/", "the page says that it is of https://a.example.evil"),
        (A, "http://a.example/", "the page says that it is of http://a.example"),
        (A, "no URL", "the page says that it is of no URL"),
        ("null", "https://a.example/", "could be anybody's"),
        ("none", "", "a program of this account"),
    ],
)
def test_where_origin_and_referer_disagree_the_user_is_warned(origin: str, referer: str, said: str) -> None:
    assert said in suspicion(origin, referer)
    assert bool(suspicion(origin, referer)) == bool(said)
