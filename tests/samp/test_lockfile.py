"""Lock-file text and the SAMP_HUB variable (SAMP 1.3, 4.2 and 4.3): no file is opened here."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, WrongUse
from tests.strategies import tried

TOKENS = {"samp.secret": "abc", "samp.hub.xmlrpc.url": "http://127.0.0.1:4000/", "samp.profile.version": "1.3"}

keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="=\r\n"), min_size=1).filter(
    lambda key: key == key.strip() and key[0] not in "#\ufeff"
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")).map(str.strip)


@given(st.dictionaries(keys, texts), texts)
@tried(200)
def test_what_is_written_is_read_back_in_its_order(tokens: dict[str, str], comment: str) -> None:
    read = lockfile.parse(lockfile.write(tokens, comment=comment))
    assert list(read.items()) == list(tokens.items())


@given(st.text(), st.text(), st.text())
@tried(200)
def test_what_is_refused_is_refused_and_all_else_is_read_back(key: str, value: str, comment: str) -> None:
    try:
        text = lockfile.write({key: value}, comment=comment)
    except BadLockFile:
        return
    assert lockfile.parse(text) == {key: value}


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_end_in_lf_cr_or_crlf(end: str) -> None:
    lines = ["# a hub", "", *(f"{key}={value}" for key, value in TOKENS.items()), ""]
    assert lockfile.parse(end.join(lines)) == TOKENS


def test_comments_blank_lines_a_byte_order_mark_and_a_missing_last_line_end_do_no_harm() -> None:
    text = "\ufeff#c=d\n\n  \n # indented=comment\nsamp.secret=abc\n#\nother=x"
    assert lockfile.parse(text) == {"samp.secret": "abc", "other": "x"}


def test_a_value_may_hold_equals_signs_and_hashes() -> None:
    assert lockfile.parse("a=b=c#d\n") == {"a": "b=c#d"}


def test_white_space_around_keys_and_values_is_dropped() -> None:
    assert lockfile.parse(" a = b c \n") == {"a": "b c"}


def test_colons_that_jsamp_escapes_are_read_as_colons() -> None:
    text = "samp.hub.xmlrpc.url=http\\://127.0.0.1\\:41235/\n"
    assert lockfile.parse(text) == {"samp.hub.xmlrpc.url": "http://127.0.0.1:41235/"}


def test_backslashes_in_keys_are_dropped_as_in_values() -> None:
    assert lockfile.parse("hub\\:label=x\n") == {"hub:label": "x"}


@pytest.mark.parametrize("line", ["no equals sign", "=value", "  =value"])
def test_a_line_that_is_not_key_equals_value_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(BadLockFile, match="line 2 "):
        lockfile.parse(f"a=b\n{line}\n")


@pytest.mark.parametrize("key", ["", " a", "a ", "a=b", "#a", "a\nb", "a\rb", "\ufeffa"])
def test_a_key_that_could_not_be_read_back_is_not_written(key: str) -> None:
    with pytest.raises(BadLockFile, match="not a key"):
        lockfile.write({key: "value"})


@pytest.mark.parametrize("value", ["a\nb", "a\rsamp.secret=stolen", " a", "a\t"])
def test_a_value_that_could_not_be_read_back_is_not_written(value: str) -> None:
    with pytest.raises(BadLockFile, match="the value of key"):
        lockfile.write({"key": value})


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_comment_cannot_smuggle_in_a_token(end: str) -> None:
    with pytest.raises(BadLockFile, match="comment"):
        lockfile.write(TOKENS, comment=f"a hub{end}samp.secret=stolen")


def test_the_required_tokens_suffice() -> None:
    assert lockfile.check_required(TOKENS) == TOKENS


@pytest.mark.parametrize("key", TOKENS)
def test_a_required_token_that_is_missing_or_empty_is_named(key: str) -> None:
    for tokens in ({k: v for k, v in TOKENS.items() if k != key}, {**TOKENS, key: ""}):
        with pytest.raises(BadLockFile, match=key):
            lockfile.check_required(tokens)


@pytest.mark.parametrize("name", ["plain", "with space", "percent%20", "hash#mark?", "ünïcode", "a\\b"])
def test_samp_hub_names_any_path_and_leads_back_to_it(name: str) -> None:
    path = Path("/tmp") / name / "lock"
    value = lockfile.lock_url(path)
    assert value.startswith("std-lockurl:file:///tmp/")
    assert value.isascii()
    assert lockfile.file_path(lockfile.parse_samp_hub(value)) == path


@pytest.mark.parametrize("url", ["http://host:8000/lock", "https://host/lock", "file:///home/luigi/.samp"])
def test_samp_hub_may_name_a_lock_file_by_any_url(url: str) -> None:
    assert lockfile.parse_samp_hub(f"std-lockurl:{url}") == url


@pytest.mark.parametrize("value", ["", "/tmp/lock", "file:///tmp/lock", "STD-LOCKURL:file:///tmp/lock", "jsamp:x"])
def test_any_other_value_of_samp_hub_is_refused_by_name(value: str) -> None:
    with pytest.raises(WrongUse, match="std-lockurl"):
        lockfile.parse_samp_hub(value)


def test_the_url_of_a_local_file_may_name_localhost() -> None:
    assert lockfile.file_path("file://localhost/tmp/lock") == Path("/tmp/lock")


@pytest.mark.parametrize("url", ["http://127.0.0.1/lock", "file://elsewhere/tmp/lock", "file:", "/tmp/lock", ""])
def test_the_url_of_anything_else_is_no_path(url: str) -> None:
    with pytest.raises(WrongUse, match="file on this host"):
        lockfile.file_path(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///a%00b", "'file:///a%00b'"),
        ("file://[::1", "'file://[::1'"),
        ("file://", "'file://'"),
        ("http:///path", "'http:///path'"),
        ("x" * 200, f"'{'x' * 80}'"),
    ],
)
def test_url_that_is_no_path_is_named_in_the_error_and_not_at_length(url: str, said: str) -> None:
    with pytest.raises(WrongUse) as refused:
        lockfile.file_path(url)
    assert str(refused.value) == f"not the URL of a file on this host: {said} (file:///path is)"


def test_value_of_samp_hub_is_not_repeated_at_length() -> None:
    with pytest.raises(WrongUse) as refused:
        lockfile.parse_samp_hub("x" * 200)
    assert f"SAMP_HUB is '{'x' * 80}': it must" in str(refused.value)
