"""Documents made to harm whoever reads them: each is a fault, and soon.  See also tests/samp/test_xmlrpc.py."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfarm.samp.errors import Fault
from hubfarm.samp.expat_reader import MOST_ATTRIBUTES, PORTION
from hubfarm.samp.xmlrpc import DEFAULT_VALUES, PARSE_ERROR, decode_call, decode_response

CPU_SECONDS = 20.0
"""What one refusal may take at most on a slow machine: without its limit each of these takes minutes, or all memory."""


def call(value: str, prologue: str = "") -> bytes:
    return (
        f"{prologue}<methodCall><methodName>a</methodName><params><param>{value}</param></params></methodCall>"
    ).encode()


def laughs(levels: int) -> str:
    entities = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(levels))
    return f"<?xml version='1.0'?><!DOCTYPE methodCall [{entities}]>"


ENTITIES = {
    "a billion laughs": call("<value>&l9;</value>", laughs(9)),
    "quadratic blow-up": call(f"<value>{'&a;' * 50_000}</value>", f'<!DOCTYPE x [<!ENTITY a "{"x" * 50_000}">]>'),
    "a parameter entity": call("<value/>", "<!DOCTYPE x [<!ENTITY % a \"<!ENTITY b 'c'>\"> %a;]>"),
    "a file": call("<value>&a;</value>", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "a URL": call("<value>&a;</value>", '<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:9/">]>'),
    "an external DTD": call("<value/>", '<!DOCTYPE methodCall SYSTEM "http://127.0.0.1:9/x.dtd">'),
    "an empty DTD": call("<value/>", "<!DOCTYPE methodCall []>"),
    "default attributes": call("<value/>", '<!DOCTYPE x [<!ATTLIST value a CDATA "b">]>'),
    "an undeclared entity": call("<value>&nbsp;</value>"),
}

SHAPES = {
    "breadth": lambda: call("<value><array><data>" + "<value/>" * (DEFAULT_VALUES + 1) + "</data></array></value>"),
    "breadth without values": lambda: b"<methodCall><methodName>a</methodName>" + b"<params/>" * 5_000_000,
    "breadth of methods": lambda: b"<methodCall>" + b"<methodName>a</methodName>" * 1_000_000,
    "depth": lambda: call("<value><array><data>" * 1_000_000),
    "depth of maps": lambda: call("<value><struct><member><name>a</name>" * 1_000_000),
    "a huge element name": lambda: call(f"<{'v' * 30_000_000}/>"),
    "a huge method name": lambda: b"<methodCall><methodName>" + b"a" * 40_000_000 + b"</methodName></methodCall>",
    "a huge member name": lambda: call("<value><struct><member><name>" + "a" * 40_000_000),
    "a huge attribute": lambda: call(f"<value a='{'v' * 30_000_000}'/>"),
    "a million attributes": lambda: call("<value " + " ".join(f"a{n}=''" for n in range(1_000_000)) + "/>"),
    "a huge comment": lambda: call(f"<!--{'v' * 30_000_000}--><value/>"),
    "a huge instruction": lambda: call(f"<?a {'v' * 30_000_000}?><value/>"),
    "a huge declaration": lambda: call("<value/>", f"<?xml version='1.0' {' ' * 30_000_000}?>"),
}  # fmt: skip

BROKEN = {
    "two roots": call("<value/>") * 2,
    "text behind the root": call("<value/>") + b"more",
    "duplicate members": call(f"<value><struct>{'<member><name>a</name><value/></member>' * 2}</struct></value>"),
    "NUL": call("<value>\0</value>"),
    "a reference to NUL": call("<value>&#0;</value>"),
    "an escape": call("<value>\x1b[2J</value>"),
    "a surrogate": call("<value>&#xD800;</value>"),
    "a character beyond Unicode": call("<value>&#x110000;</value>"),
    "UTF-8 of a surrogate": call("<value>%</value>").replace(b"%", b"\xed\xa0\x80"),
    "UTF-8 in too many bytes": call("<value>%</value>").replace(b"%", b"\xc0\xbc"),
    "Latin-1 that says nothing of it": call("<value>%</value>").replace(b"%", b"\xe9"),
    "UTF-16 that says it is UTF-8": "<?xml version='1.0' encoding='utf-8'?><methodCall/>".encode("utf-16"),
    "UTF-8 that says it is UTF-16": call("<value/>", "<?xml version='1.0' encoding='utf-16'?>"),
    "UTF-16 cut in a character": call("<value>\U0001f52d</value>").decode().encode("utf-16")[:-131],
    "UTF-7": call("<value/>", "<?xml version='1.0' encoding='utf-7'?>"),
    "an unknown encoding": call("<value/>", "<?xml version='1.0' encoding='klingon'?>"),
    "an encoding that is none": call("<value/>", "<?xml version='1.0' encoding='hex'?>"),
    "unclosed": call("<value>")[:-60],
    "an XInclude": call('<xi:include href="file:///etc/passwd" xmlns:xi="http://www.w3.org/2001/XInclude"/>'),
}  # fmt: skip


def assert_fault(document: bytes) -> None:
    before = time.process_time()
    for decode in decode_call, decode_response:
        with pytest.raises(Fault) as caught:
            decode(document)
        assert caught.value.code == PARSE_ERROR
        assert len(caught.value.text) < 300
    assert time.process_time() - before < CPU_SECONDS


@pytest.mark.parametrize("case", ENTITIES)
def test_nothing_is_expanded_or_fetched(case: str) -> None:
    assert_fault(ENTITIES[case])


@pytest.mark.parametrize("case", SHAPES)
def test_no_shape_makes_the_reader_work_for_long(case: str) -> None:
    make: Callable[[], bytes] = SHAPES[case]
    assert_fault(make())


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_document_is_a_fault(case: str) -> None:
    assert_fault(BROKEN[case])


def test_values_are_counted_wherever_they_stand() -> None:
    value = "<value><array><data><value>a</value><value><string>b</string></value></data></array></value>"
    assert decode_call(call(value), values=3).params == [["a", "b"]]
    with pytest.raises(Fault, match="more than 2 values"):
        decode_call(call(value), values=2)


def test_a_name_space_may_be_declared() -> None:
    assert decode_call(call("<value xmlns='x' a='b'>c</value>")).params == ["c"]
    attributes = " ".join(f"a{number}=''" for number in range(MOST_ATTRIBUTES + 1))
    with pytest.raises(Fault, match="attributes"):
        decode_call(call(f"<value {attributes}/>"))


@pytest.mark.parametrize("length", [PORTION - 1, PORTION, PORTION + 1, 2 * PORTION, 2 * PORTION + 1, 5 * PORTION])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_of_several_portions_is_read_whole(length: int, encoding: str) -> None:
    text = "\xe9\U0001f52d&" * (length // 12)
    escaped = text.replace("&", "&amp;")
    document = call(f"<value>{escaped}</value>").decode().encode(encoding)
    if encoding == "utf-8":
        document += b" " * (length - len(document))
    assert decode_call(document).params == [text]


def test_reading_leaves_no_file_open() -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()  # or what earlier tests have left is closed meanwhile
    before = opened()
    for document in ENTITIES.values():
        assert_fault(document)
    assert opened() == before
