"""What is remembered of web pages, in a file that people can edit."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.registry import web_memory
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.registry.web_memory import ALWAYS, ASK, MOST, Memory, RememberedPage, WebMemory, as_toml, until
from hubfarm.registry.web_token import web_token
from hubfarm.samp.errors import HubfarmError, WrongUse

A, B = "https://a.example", "https://b.example:8443"


def test_what_is_remembered_is_read_again_and_is_the_users_alone(paths: Paths) -> None:
    memory = WebMemory(paths)
    assert memory.read() == Memory()
    memory.note(A, "mima-1", ALWAYS)
    memory.note(B, "mima-2", until(time.time() + 60))
    again = WebMemory(paths).read()
    assert (again.hub_for(A, time.time()), again.hub_for(B, time.time())) == ("mima-1", "mima-2")
    assert again.hub_for(B, time.time() + 61) == ""
    assert again.last_hub_of(B) == "mima-2"
    assert paths.web_memory.stat().st_mode & 0o777 == 0o600


def test_to_have_been_on_a_hub_once_takes_nothing_back(paths: Paths) -> None:
    memory = WebMemory(paths)
    memory.note(A, "mima-1", ALWAYS)
    memory.note(A, "mima-2", ASK)
    assert memory.read().hub_for(A, time.time()) == "mima-1"
    memory.note(B, "mima-2", ASK)
    assert (memory.read().hub_for(B, time.time()), memory.read().last_hub_of(B)) == ("", "mima-2")


@pytest.mark.parametrize("origin", ["null", "none"])
def test_an_origin_that_cannot_be_told_from_others_is_not_noted(paths: Paths, origin: str) -> None:
    WebMemory(paths).note(origin, "mima-1", ALWAYS)
    assert WebMemory(paths).read() == Memory()


def test_people_may_edit_it(paths: Paths) -> None:
    paths.web_memory.write_text(f'on = false\n[[page]]\norigin = "{A}"\nhub = "mima-1"\nallowed = "always"\n')
    memory = WebMemory(paths).read()
    assert not memory.on
    assert memory.hub_for(A, time.time()) == "mima-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[page]]\norigin = "null"\nhub = "x"', "is no origin that can be trusted"),
        ('[[page]]\norigin = "https://A.example/"\nhub = "x"', "is written https://a.example"),
        ('[[page]]\norigin = "https://a.example"\nhub = "x"\nallowed = "yes"', "allowed is 'yes'"),
        ("[[page", "mend it or remove it"),
        ("nothing = 1", "unknown field"),
    ],
)
def test_what_makes_no_sense_allows_nothing_and_is_left_as_it_is(paths: Paths, text: str, said: str) -> None:
    paths.web_memory.write_text(text)
    with pytest.raises(HubfarmError, match=said):
        WebMemory(paths).read()
    with pytest.raises(HubfarmError):
        WebMemory(paths).note(A, "x", ALWAYS)
    assert paths.web_memory.read_text() == text


def test_a_link_in_its_place_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "planted").write_text(f'[[page]]\norigin = "{A}"\nhub = "x"\nallowed = "always"\n')
    paths.web_memory.symlink_to(tmp_path / "planted")
    with pytest.raises(HubfarmError):
        WebMemory(paths).read()


def test_it_does_not_grow_without_end() -> None:
    memory = Memory()
    for number in range(MOST + 5):
        memory = memory.with_page(RememberedPage(origin=f"https://{number}.example", hub="x"))
    assert len(memory.page) == MOST
    assert memory.page[-1].origin == f"https://{MOST + 4}.example"


LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(LABELS, max_size=5), st.booleans())
def test_whatever_a_label_is_the_file_says_it_again(labels: list[str], on: bool) -> None:
    import msgspec

    pages = tuple(
        RememberedPage(origin=f"https://{n}.example", hub=label, allowed=ALWAYS) for n, label in enumerate(labels)
    )
    memory = Memory(on=on, page=pages)
    assert msgspec.toml.decode(as_toml(memory), type=Memory) == memory


def test_a_page_that_nobody_can_trust_cannot_be_remembered() -> None:
    with pytest.raises(WrongUse):
        RememberedPage(origin="null", hub="x")


def test_who_has_to_wait_for_the_file_for_too_long_is_told_so(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_memory, "_LOCK_TIMEOUT", 0.01)
    lock = paths.web_memory.with_suffix(".lock")
    with (
        holding(lock, timeout=0, by="nobody"),
        pytest.raises(HubfarmError, match=rf"^{lock} has been locked for 0.01 s by another process$"),
    ):
        WebMemory(paths).note(A, "mima-1", ALWAYS)
    assert WebMemory(paths).read() == Memory()


@pytest.mark.parametrize("weak", ["", "guessed", "a" * 31, "a" * 31 + "#", "ä" * 32, "a" * 20 + " " + "b" * 20])
def test_a_token_that_is_none_is_made_anew(paths: Paths, weak: str) -> None:
    paths.web_token.write_text(weak)
    token = web_token(paths)
    assert (len(token), token.isalnum(), token == weak) == (32, True, False)
    assert web_token(paths) == token


def test_the_token_is_made_once_and_is_the_users_alone(paths: Paths) -> None:
    token = web_token(paths)
    assert len(token) == 32
    assert web_token(paths) == token
    assert paths.web_token.stat().st_mode & 0o777 == 0o600
