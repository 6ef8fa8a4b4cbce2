"""The fast path reads what the plain path reads, and takes nothing that the plain path refuses; in C as in Python."""

import re
from collections.abc import Callable
from xmlrpc.client import dumps

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubfarm.samp.errors import Fault
from hubfarm.samp.nested import end_of_member
from hubfarm.samp.values import Map, Value
from hubfarm.samp.xmlrpc import decode_call, encode_call
from tests.fast_path_support import compare
from tests.strategies import samp_values
from tests.support import need_module

METHODS = ("notify", "notifyAll", "call", "callAll", "callAndWait", "reply", "ping", "declareMetadata", "getMetadata")

texts = st.text(st.sampled_from("abc.-_ <>&'\"\t\n\r\x00\x7f\xe9★[]"), max_size=8)
names = st.sampled_from(["samp.mtype", "samp.params", "samp.status", "samp.result", "samp.error", "a", "b", "a&b"])
nested = st.recursive(
    texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
maps = st.dictionaries(names, nested, max_size=4)


def as_python_writes(method: str, params: list[Value]) -> bytes:
    return dumps(tuple(params), method).encode()


def as_jsamp_writes(method: str, params: list[Value]) -> bytes:
    def write(value: Value, indent: str) -> str:
        if isinstance(value, str):
            return f"{indent}<value>{escape(value)}</value>\n"
        if isinstance(value, list):
            inner = "".join(write(item, indent + "        ") for item in value)
            return (
                f"{indent}<value>\n{indent}  <array>\n{indent}    <data>\n{inner}"
                f"{indent}    </data>\n{indent}  </array>\n{indent}</value>\n"
            )
        inner = "".join(
            f"{indent}    <member>\n{indent}      <name>{escape(key)}</name>\n{write(item, indent + '      ')}"
            f"{indent}    </member>\n"
            for key, item in value.items()
        )
        return f"{indent}<value>\n{indent}  <struct>\n{inner}{indent}  </struct>\n{indent}</value>\n"

    body = "".join(f"    <param>\n{write(param, '      ')}    </param>\n" for param in params)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<methodCall>\n  <methodName>{method}</methodName>\n  <params>\n{body}  </params>\n</methodCall>\n"
    ).encode()


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


WRITERS = {"ours": encode_call, "python": as_python_writes, "jsamp": as_jsamp_writes}
Writer = Callable[[str, list[Value]], bytes]


calls = st.tuples(st.sampled_from(METHODS).map("samp.hub.{}".format), st.lists(texts | maps | nested, max_size=4))
writers = st.sampled_from(list(WRITERS.values()))


@given(calls, writers)
@example(("samp.hub.notify", [{"samp.mtype": "<"}]), encode_call)
def test_both_read_the_same_in_whatever_is_written_in_whichever_way(
    call: tuple[str, list[Value]], write: Writer
) -> None:
    try:
        body = write(*call)
    except Exception:  # of strings that XML cannot carry
        return
    compare(body)


@given(calls, writers, st.data())
def test_what_is_damaged_is_taken_by_both_or_not_by_the_fast_one(
    call: tuple[str, list[Value]], write: Writer, data: st.DataObject
) -> None:
    try:
        body = write(*call)
    except Exception:
        return
    marks = [found.span() for found in re.finditer(rb"<[^>]*>|[^<]+", body)]
    start, end = data.draw(st.sampled_from(marks))
    other = data.draw(st.sampled_from(marks))
    piece = body[slice(*other)]
    how = data.draw(st.sampled_from(["drop", "double", "replace", "insert", "cut"]))
    damaged = {
        "drop": body[:start] + body[end:],
        "double": body[:end] + body[start:],
        "replace": body[:start] + piece + body[end:],
        "insert": body[:start] + data.draw(st.binary(max_size=3)) + body[start:],
        "cut": body[:start],
    }[how]
    compare(damaged)


@given(st.binary(max_size=40).map(lambda body: b"<methodCall><methodName>samp.hub.ping</methodName>" + body))
@example(b"<methodCall><methodName>samp.hub.ping</methodName></methodCall>trailing")
def test_what_follows_a_call_is_looked_at_by_both(body: bytes) -> None:
    compare(body)


MESSAGE: Map = {"samp.mtype": "table.select.rowList", "samp.params": {"rows": ["1", "2"], "map": {"a": [{"b": ""}]}}}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("samp.hub.notify", ["key", "c1", MESSAGE]),
        ("samp.hub.notifyAll", ["key", MESSAGE]),
        ("samp.hub.call", ["key", "c1", "tag", MESSAGE]),
        ("samp.hub.callAndWait", ["key", "c1", MESSAGE, "10"]),
        ("samp.hub.reply", ["key", "c1-m1", {"samp.status": "samp.ok", "samp.result": {"x": "1"}}]),
        ("samp.hub.ping", []),
        ("samp.hub.getRegisteredClients", ["key"]),
    ],
)
def test_what_clients_send_most_takes_the_fast_path(write: Writer, method: str, params: list[Value]) -> None:
    assert compare(write(method, params))


@pytest.mark.parametrize(
    "value",
    [
        "<value><int>1</int></value>",  # has to become a string
        "<value><struct><member><name>a</name><value/></member></struct></value>",
        "<value><string>é</string></value>",
        "<value><![CDATA[a]]></value>",
        "<value>a<!-- b --></value>",
    ],
)
def test_what_has_to_be_rewritten_takes_the_plain_path(value: str) -> None:
    body = (
        "<methodCall><methodName>samp.hub.notifyAll</methodName><params><param><value><struct><member>"
        f"<name>samp.params</name>{value}</member></struct></value></param></params></methodCall>"
    )
    assert not compare(body.encode())
    assert decode_call(body.encode())


def twins(*names: str) -> str:
    return "".join(f"<member><name>{name}</name><value>1</value></member>" for name in names)


def in_a_map(members: str) -> str:
    return f"<member><name>b</name><value><struct>{members}</struct></value></member>"


@pytest.mark.parametrize(
    "members",
    # XML parsers make one of the last two.
    [twins("a", "a"), in_a_map(twins("a", "a")), in_a_map(twins("a\r\n", "a\n"))],
    ids=["the message", "a map in it", "ends of lines"],
)
def test_two_members_of_one_name_are_refused_at_any_depth(members: str) -> None:
    body = (
        "<methodCall><methodName>samp.hub.notifyAll</methodName><params><param><value><struct>"
        f"{members}</struct></value></param></params></methodCall>"
    ).encode()
    assert not compare(body)
    with pytest.raises(Fault, match="two members of one name"):
        decode_call(body)


def test_members_of_one_name_in_different_maps_are_no_twins() -> None:
    rows: Value = [{"id": "1", "at": {"id": "x"}}, {"id": "2"}]
    assert compare(encode_call("samp.hub.notifyAll", [{"samp.mtype": "a", "samp.params": {"rows": rows}}]))


@given(samp_values())
def test_any_value_in_a_message_arrives_as_it_was_sent(value: Value) -> None:
    compare(encode_call("samp.hub.notifyAll", ["key", {"samp.mtype": "a.b", "samp.params": {"value": value}}]))


MEMBER = (
    b"<value> <struct>\n<member> <name>a</name> <value>x&#13;y&amp;</value> </member>"
    b"<member><name>b</name><value><array> <data><value><string>1</string></value>\n"
    b"<value>\t<array><data></data></array></value><value><struct></struct></value>"
    b"</data></array></value></member></struct>\n</value></member>\n"
)
BYTES = [b"", b"<", b">", b"&", b"/", b"\x00", b"\x0b", b"\x1f", b"\r", b"\n", b" ", b"b", b"\x7f", b"\xe9"]


def test_the_reader_in_c_and_the_one_in_python_say_the_same_of_whatever_is_cut_short_or_changed() -> None:
    in_c, in_python = need_module("hubfarm.samp._nested").end_of_member, end_of_member
    for levels, end in ((0, -1), (2, -1), (3, len(MEMBER)), (4, len(MEMBER))):
        assert in_c(MEMBER, 0, levels) == in_python(MEMBER, 0, levels) == end
    for at in range(len(MEMBER) + 1):
        for damaged in (MEMBER[:at], *(MEMBER[:at] + other + MEMBER[at + 1 :] for other in BYTES)):
            assert in_c(damaged, 0, 4) == in_python(damaged, 0, 4), damaged
        assert in_c(MEMBER, at, 4) == in_python(MEMBER, at, 4)


def test_the_reader_in_c_refuses_what_it_cannot_read() -> None:
    in_c = need_module("hubfarm.samp._nested").end_of_member
    for position in (-1, len(MEMBER) + 1, 2**62):
        with pytest.raises(ValueError, match="outside"):
            in_c(MEMBER, position, 4)
    with pytest.raises(TypeError):
        in_c(bytearray(MEMBER), 0, 4)
    with pytest.raises(OverflowError):
        in_c(MEMBER, 2**70, 4)
