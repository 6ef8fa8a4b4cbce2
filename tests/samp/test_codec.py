"""The reader in C reads what its oracle on expat reads, and refuses what that refuses; likewise the writers."""

import re
from collections.abc import Callable
from typing import Any
from xmlrpc.client import dumps

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubfarm.samp.plain_writer import write_plainly
from hubfarm.samp.values import Map, Value
from hubfarm.samp.xmlrpc import COMPILED, EncodedMap, decode_call_in_outline, encode_call, encode_call_around
from tests.samp.codec_support import LIMITS, Refusal, compare, expat_reader
from tests.strategies import samp_values
from tests.support import need_module

METHODS = ("notify", "notifyAll", "call", "callAll", "callAndWait", "reply", "ping", "declareMetadata", "getMetadata")

texts = st.text(st.sampled_from("abc.-_ <>&'\"\t\n\r\x00\x7f\xe9★🔭[]"), max_size=8)
names = st.sampled_from(["samp.mtype", "samp.params", "samp.status", "samp.result", "samp.error", "a", "b", "a&b"])
nested = st.recursive(
    texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
maps = st.dictionaries(names, nested, max_size=4)


@pytest.fixture(scope="module", autouse=True)
def _in_c() -> None:
    need_module("hubfarm.samp._codec")


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


def in_every_way(method: str, params: list[Value]) -> bytes:
    """A call in which each text is written in another of the ways that XML knows."""
    plain = encode_call(method, params).decode()
    ways = iter(range(10**6))

    def write(found: re.Match[str]) -> str:
        text, way = found[1], next(ways) % 6
        raw = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#13;", "\r").replace("&amp;", "&")
        match way:
            case 0:
                text = "".join(f"&#{ord(each)};" for each in raw)
            case 1:
                text = "".join(f"&#x{ord(each):X};" for each in raw)
            case 2 if "]]>" not in raw and "\r" not in raw:
                text = f"<![CDATA[{raw}]]>"
            case 3:
                text = f"<!-- {way} -->{text}<?pi {way}?>"
        return f"<string >{text}</string\n>"

    return re.sub(r"<string>([^<]*)</string>", write, plain).replace("<struct>", "<struct a='1' >").encode()


WRITERS = {"ours": encode_call, "python": as_python_writes, "jsamp": as_jsamp_writes, "every way": in_every_way}
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
def test_what_is_damaged_is_taken_by_both_or_by_none(
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
    compare(damaged, data.draw(st.sampled_from([LIMITS, (2, 5, 6)])))


@given(st.binary(max_size=40).map(lambda body: b"<methodCall><methodName>samp.hub.ping</methodName>" + body))
@example(b"<methodCall><methodName>samp.hub.ping</methodName></methodCall>trailing")
def test_what_follows_a_call_is_looked_at_by_both(body: bytes) -> None:
    compare(body)


def a_call(value: str) -> bytes:
    return (
        f"<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
    ).encode()  # fmt: skip


def in_a_message(value: str) -> bytes:
    return a_call(f"<value><struct><member><name>samp.params</name>{value}</member></struct></value>")


@pytest.mark.parametrize(
    ("value", "xml"),
    [
        ("<value>plain</value>", "<value>plain</value>"),
        ("<value> \n</value>", "<value> \n</value>"),
        ("<value><int> 7 </int></value>", "<value><string>7</string></value>"),
        ("<value><i4>7</i4></value>", "<value><string>7</string></value>"),
        ("<value><double>-1.5e3</double></value>", "<value><string>-1.5e3</string></value>"),
        ("<value><boolean>1</boolean></value>", "<value><string>1</string></value>"),
        ("<value/>", "<value></value>"),
        ("<value><string/></value>", "<value><string></string></value>"),
        ("<value><struct/></value>", "<value><struct></struct></value>"),
        ("<value><array><data/></array></value>", "<value><array><data></data></array></value>"),
        ("<value a='1'>x</value >", "<value>x</value>"),
        ("<value>é★🔭</value>", "<value>é★🔭</value>"),
        ("<value>&#233;&#x2605;&#13;&#60;&#38;</value>", "<value>é★&#13;&lt;&amp;</value>"),
        ("<value>&lt;&quot;&apos;</value>", "<value>&lt;&quot;&apos;</value>"),
        ("<value>a > b</value>", "<value>a &gt; b</value>"),
        ("<value><![CDATA[<value>&]]></value>", "<value>&lt;value&gt;&amp;</value>"),
        ("<value>a<!-- b -->c<?d e?>f</value>", "<value>acf</value>"),
        ("<!-- a --><value>x</value><?b?>", "<value>x</value>"),
        ("<value><!-- a --><string>x</string><?b?></value>", "<value><string>x</string></value>"),
    ],
)
def test_what_goes_on_is_the_document_s_own_but_for_what_need_not_go_on(value: str, xml: str) -> None:
    body = in_a_message(value)
    assert not isinstance(compare(body), Refusal)
    [param] = decode_call_in_outline(body).params
    assert isinstance(param, EncodedMap)
    assert param.xml.decode() == f"<value><struct><member><name>samp.params</name>{xml}</member></struct></value>"


@pytest.mark.parametrize(
    "smuggled",
    [
        "]]></string></value></param></params></methodCall><methodCall>",
        "<value>",
        "</value></member></struct></value></param><param><value>another</value>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?xml version='1.0' encoding='utf-7'?>",
        "+ADw-value+AD4-",
        "&#60;/value&#62;",
        "<!DOCTYPE x>",
        "&x;",
    ],
)
@pytest.mark.parametrize("wrap", ["<value><![CDATA[{}]]></value>", "<value><string>{}</string></value>", "<value>a{}"])
def test_nothing_is_smuggled_from_one_client_s_bytes_into_another_s_document(smuggled: str, wrap: str) -> None:
    body = in_a_message(wrap.format(smuggled))
    if isinstance(compare(body), Refusal):
        return
    for param in decode_call_in_outline(body).params:
        assert isinstance(param, EncodedMap) or param == "another"
        if isinstance(param, EncodedMap):
            pasted = b"".join(encode_call_around("m", [], param.xml))
            assert compare(pasted)[2] == [param.decode()]


def twins(*names: str) -> str:
    return "".join(f"<member><name>{name}</name><value>1</value></member>" for name in names)


MANY = [f"n{number}" for number in range(1000)]


@pytest.mark.parametrize(
    "members",
    [
        twins("a", "a"),
        twins("a", "&#97;"),
        twins("a\r\n", "a\n"),
        twins("a", "<![CDATA[a]]>"),
        twins(*MANY, "n0"),
        twins(*MANY, "n999"),
        twins(*MANY[:8], "n0"),
        twins(*MANY[:8], "n7"),
        twins(*MANY[:16], "n15"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 7])
def test_two_members_of_one_name_are_refused_at_any_depth(members: str, depth: int) -> None:
    value = f"<value><struct>{members}</struct></value>"
    for _ in range(depth):
        value = f"<value><struct><member><name>a</name>{value}</member></struct></value>"
    assert compare(a_call(value)) == "twins"


@pytest.mark.parametrize("count", [7, 8, 9, 15, 16, 17, 100, 1000])
def test_a_map_may_have_many_members_of_different_names(count: int) -> None:
    value = f"<value><struct>{twins(*MANY[:count])}</struct></value>"
    assert compare(a_call(value))[2] == [dict.fromkeys(MANY[:count], "1")]


def test_members_of_one_name_in_different_maps_are_no_twins() -> None:
    rows: Value = [{"id": "1", "at": {"id": "x"}}, {"id": "2"}]
    assert compare(encode_call("samp.hub.notifyAll", [{"samp.mtype": "a", "samp.params": {"rows": rows}}]))[2]


def test_a_map_that_the_hub_has_to_look_at_has_a_bounded_number_of_members() -> None:
    most = expat_reader.MOST_MEMBERS
    for key in ("", "samp.error"):
        for count, taken in ((most, True), (most + 1, False)):
            inner = dict.fromkeys(map(str, range(count)), "")
            body = encode_call("samp.hub.reply", [{key: inner} if key else inner])  # type: ignore[dict-item]
            for read in (need_module("hubfarm.samp._codec").read, expat_reader.read):
                if taken:
                    read(body, True, *LIMITS)
                else:
                    with pytest.raises(ValueError, match="members"):
                        read(body, True, *LIMITS)


@pytest.mark.parametrize(
    ("limits", "value", "problem"),
    [
        ((1, 9, 9), "<value><array><data><value><array><data/></array></value></data></array></value>", "depth"),
        ((9, 2, 9), "<value>éé</value>", ""),
        ((9, 2, 9), "<value>ééé</value>", "string"),
        ((9, 2, 9), "<value>\n \n <string>éé</string>\n \n </value>", ""),
        ((9, 2, 9), "<value><struct><member><name>abc</name><value/></member></struct></value>", "string"),
        ((9, 9, 2), "<value><array><data><value/></data></array></value>", ""),
        ((9, 9, 2), "<value><array><data><value/><value/></data></array></value>", "values"),
        ((9, 9, 9), "<value><int>x</int></value>", "int"),
        ((9, 9, 9), "<value><double>.</double></value>", "double"),
        ((9, 9, 9), "<value><boolean>2</boolean></value>", "boolean"),
        ((9, 9, 9), "<value><nil/></value>", "child"),
        ((9, 9, 9), "<value><string/><string/></value>", "more"),
        ((9, 9, 9), "<value><struct><member/></struct></value>", "order"),
        ((9, 9, 9), "<value><array/></value>", "nothing"),
        ((9, 9, 9), "<value><array>x<data/></array></value>", "text"),
        ((9, 9, 9), "<value>]]></value>", "malformed"),
        ((9, 9, 9), "<value>&x;</value>", "malformed"),
        ((9, 9, 9), "<value>\x01</value>", "malformed"),
        ((9, 9, 9), "<value>￾</value>", "malformed"),
        ((9, 9, 9), "<value " + " ".join(f"a{n}=''" for n in range(17)) + "/>", "attributes"),
    ],
)
def test_both_refuse_for_the_same_reason(limits: tuple[int, int, int], value: str, problem: str) -> None:
    method = "<methodCall><methodName>m</methodName>"
    body = f"{method}<params><param>{value}</param></params></methodCall>".encode()
    if problem:
        assert compare(body, limits) == problem
        with pytest.raises(ValueError, match=problem):
            expat_reader.read(body, False, *limits)
    else:
        assert not isinstance(compare(body, limits), Refusal)


WHOLE = ["", "+", "-1", "+1", "0x1", "1 2", "１", "inf"]
REAL = ["1.", ".1", "1.5", "-.5e-3", "1e5", "1E+5", "e5", "1e", "1e+", "."]


@pytest.mark.parametrize("kind", ["int", "i8", "double", "boolean"])
@pytest.mark.parametrize("text", [*WHOLE, *REAL, "1" * 4000, "1" * 4001, "\n 1\t", "\xa01"])
def test_both_take_the_same_numbers(kind: str, text: str) -> None:
    compare(a_call(f"<value><{kind}>{text}</{kind}></value>"))


# ------------------------------------------------------------------ the beginning of a call


def test_the_beginning_of_a_call_tells_its_method_and_its_first_parameter() -> None:
    whole = encode_call("samp.hub.notifyAll", ["key", {"samp.mtype": "a"}])
    for end in range(len(whole) + 1):
        for reader in (need_module("hubfarm.samp._codec"), expat_reader):
            start = reader.read_start(whole[:end])
            assert start == (("samp.hub.notifyAll", "key") if end >= whole.index(b"</param>") + 8 else None)


# ------------------------------------------------------------------ writing


@given(samp_values())
def test_both_write_the_same(value: Value) -> None:
    assert need_module("hubfarm.samp._codec").write(value) == write_plainly(value)


@pytest.mark.parametrize(
    "wrong", [None, 1, True, 1.5, b"x", {1: "a"}, "\0", ["\ud800"], {"\x0b": ""}, "\ufffe", ("a",)]
)
def test_what_is_no_samp_value_is_not_written_in_c(wrong: Any) -> None:
    assert need_module("hubfarm.samp._codec").write(wrong) is None


def test_a_value_that_holds_itself_is_not_written() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert need_module("hubfarm.samp._codec").write(endless) is None


@given(samp_values())
def test_any_value_in_a_message_arrives_as_it_was_sent(value: Value) -> None:
    message: Map = {"samp.mtype": "a.b", "samp.params": {"value": value}}
    assert compare(encode_call("samp.hub.notifyAll", ["key", message]))[2] == ["key", message]


def test_this_installation_reads_in_c() -> None:
    assert COMPILED
