"""The URLs in an encoded value: those that a walk through the value finds, at a cost that its size alone decides."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.samp.urls_in import LONGEST_URL, urls_in
from hubfarm.samp.xmlrpc import decode_call_in_outline, encode_call, encode_value

TEXTS = st.one_of(
    st.text(st.sampled_from("a:/<>&\"' \n;é]"), max_size=12),
    st.sampled_from(["file:///a", "http://x/?a&b", "x:/", "1:/x", "a+b-c.d:/e f", " file:/x "]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


def strings_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for item in (value.values() if isinstance(value, dict) else value) for text in strings_in(item)]


def looks_like_url(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/\S", text) is not None


@given(VALUES)
def test_they_are_those_of_the_decoded_value(value: Any) -> None:
    expected = [text.strip() for text in strings_in(value) if looks_like_url(text.strip())]
    assert sorted(urls_in(encode_value(value))) == sorted(expected)


@given(VALUES)
def test_also_in_a_message_as_a_hub_takes_it(value: Any) -> None:
    message = {"samp.mtype": "a", "samp.params": {"x": value}}
    (param,) = decode_call_in_outline(encode_call("m", [message])).params
    assert sorted(urls_in(param.xml)) == sorted(urls_in(encode_value(value)))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [
        b"<value>file:///a</value>", b"<value> file:///a </value>", b"<value ><string >file:///a</string></value>",
        b"<value><!-- x -->file:///a</value>", b"<value><![CDATA[file:///a]]></value>",
        b"<value>file:&#47;//a</value>", b"<value>file&#58;///a</value>",
        b"<value>f<!-- -->ile:/<![CDATA[/]]>/a</value>",
    ],
)  # fmt: skip
def test_whatever_way_a_sender_has_written_it(value: bytes) -> None:
    body = (
        b"<methodCall><methodName>m</methodName><params><param><value><struct><member><name>samp.mtype</name>"
        b"<value>a</value></member><member><name>x</name>%s</member></struct></value></param></params></methodCall>"
    )
    (param,) = decode_call_in_outline(body % value).params
    assert list(urls_in(param.xml)) == ["file:///a"]  # type: ignore[union-attr]


def test_longest() -> None:
    url = "file:///" + "a" * (LONGEST_URL - 8)
    assert list(urls_in(encode_value([url, url + "a"]))) == [url]


@pytest.mark.parametrize("text", [":/", "a:/b ", "://", ">:/", "x" * 100 + ":/"], ids=str)
def test_a_megabyte_costs_no_more_than_its_size(text: str) -> None:
    for value in text * (2**22 // len(text)), [text] * (2**18 // len(text)), {f"{n}{text}": "" for n in range(2000)}:
        xml = encode_value(value)
        start = time.process_time()
        for _ in urls_in(xml):
            pass
        assert time.process_time() - start < 2.0
