"""The XML-RPC codec against the standard library's as oracle, and against whatever else may come in."""

import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.xmlrpc import (
    DEFAULT_DEPTH,
    PARSE_ERROR,
    Call,
    decode_call,
    decode_response,
    encode_call,
    encode_call_around,
    encode_fault,
    encode_response,
    encode_value,
)
from tests.strategies import samp_strings, samp_values, tried

numbers = st.one_of(st.integers(-(2**31), 2**31 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))


def as_samp(value: Any) -> Any:
    """What a value that the standard library writes must be to SAMP."""
    match value:
        case bool():
            return "1" if value else "0"
        case int() | float():
            return repr(value)
        case list():
            return [as_samp(item) for item in value]
        case dict():
            return {key: as_samp(item) for key, item in value.items()}
    return value


def with_references(xml: str) -> bytes:
    """The standard library writes a carriage return as it is, which no XML reader gets to see."""
    return xml.replace("\r", "&#13;").encode()


def response(value: str, head: str = "<?xml version='1.0'?>") -> bytes:
    return f"{head}<methodResponse><params><param>{value}</param></params></methodResponse>".encode()


def read(value: str) -> Any:
    return decode_response(response(value))


def nested(levels: int, opening: str, closing: str) -> str:
    return opening * levels + "<value>x</value>" + closing * levels


# ------------------------------------------------------------------ both directions


@given(st.lists(samp_values(samp_strings | numbers), max_size=4))
@tried(150)
def test_calls_that_the_standard_library_writes_are_understood(params: list[Any]) -> None:
    xml = with_references(xmlrpc.client.dumps(tuple(params), "samp.hub.notify"))
    assert decode_call(xml) == Call("samp.hub.notify", as_samp(params))


@given(samp_values(samp_strings | numbers))
@tried(150)
def test_responses_that_the_standard_library_writes_are_understood(value: Any) -> None:
    xml = with_references(xmlrpc.client.dumps((value,), methodresponse=True))
    assert decode_response(xml) == as_samp(value)


@given(st.lists(samp_values(), max_size=4))
@tried(150)
def test_the_standard_library_understands_our_calls(params: list[Any]) -> None:
    assert xmlrpc.client.loads(encode_call("samp.hub.notify", params)) == (tuple(params), "samp.hub.notify")


@given(samp_values())
@tried(150)
def test_the_standard_library_understands_our_responses(value: Any) -> None:
    assert xmlrpc.client.loads(encode_response(value)) == ((value,), None)


@given(st.text(), st.integers(-(2**31), 2**31 - 1))
@tried(100)
def test_a_fault_is_understood_by_the_standard_library_whatever_its_text(text: str, code: int) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(encode_fault(Fault(text, code)))
    assert caught.value.faultCode == code
    with pytest.raises(Fault) as ours:
        decode_response(encode_fault(Fault(text, code)))
    assert (ours.value.code, ours.value.text) == (code, caught.value.faultString)
    assert len(ours.value.text) == len(text)


@given(samp_strings, st.integers(-(2**31), 2**31 - 1))
@tried(50)
def test_a_fault_of_the_standard_library_is_raised_with_its_code_and_text(text: str, code: int) -> None:
    with pytest.raises(Fault) as caught:
        decode_response(with_references(xmlrpc.client.dumps(xmlrpc.client.Fault(code, text))))
    assert (caught.value.code, caught.value.text) == (code, text)


@given(samp_values(), samp_values())
@tried(50)
def test_a_value_encoded_once_can_be_pasted_into_any_call(first: Any, second: Any) -> None:
    assert b"".join(encode_call_around("m", [first], encode_value(second))) == encode_call("m", [first, second])


@pytest.mark.parametrize("wrong", [None, 1, True, 1.5, b"x", {1: "a"}, "\0", ["\ud800"], {"\x0b": ""}])
def test_what_is_no_samp_value_is_not_encoded(wrong: Any) -> None:
    with pytest.raises(BadValue):
        encode_value(wrong)


# ------------------------------------------------------------------ what is taken


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<value>bare text</value>", "bare text"),
        ("<value></value>", ""),
        ("<value/>", ""),
        ("<value>  </value>", "  "),
        ("<value><string/></value>", ""),
        ("<value><string> kept </string></value>", " kept "),
        ("<value><int>-7</int></value>", "-7"),
        ("<value><i4> 007 </i4></value>", "007"),
        ("<value><i8>9007199254740993</i8></value>", "9007199254740993"),
        ("<value><boolean>1</boolean></value>", "1"),
        ("<value><double>1e+16</double></value>", "1e+16"),
        ("<value><array><data/></array></value>", []),
        ("<value><struct/></value>", {}),
        ("<value><struct><member><name/><value/></member></struct></value>", {"": ""}),
        ("<value>\n  <array>\n<data>\n <value>a</value>\n</data> </array>\n</value>", ["a"]),
        ("<value><string>a<!-- not text -->b<![CDATA[<c>&]]></string></value>", "ab<c>&"),
        ("<value>&#x41;&lt;&gt;&amp;&quot;&apos;</value>", "A<>&\"'"),
        ("<value>a&#13;&#xD;\nb</value>", "a\r\r\nb"),
        ("<value>a\r\nb\rc</value>", "a\nb\nc"),
        ("<value>héllo ★ \U0001f52d</value>", "héllo ★ \U0001f52d"),
    ],
)
def test_every_spelling_of_a_value_is_read(xml: str, value: Any) -> None:
    assert read(xml) == value


@pytest.mark.parametrize("text", ["\r", "a\r\nb", "\r\r\n\n", "\t\r "])
def test_a_carriage_return_survives_the_way_there_and_back(text: str) -> None:
    assert decode_response(encode_response({text: [text]})) == {text: [text]}
    assert xmlrpc.client.loads(encode_response(text)) == ((text,), None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252", "us-ascii"])
def test_a_document_is_read_in_the_encoding_that_it_declares(encoding: str) -> None:
    text = "plain" if encoding == "us-ascii" else "hélloß"
    declared = encoding.removesuffix("-sig")
    xml = response(f"<value>{text}</value>", f"<?xml version='1.0' encoding='{declared}'?>").decode()
    assert decode_response(xml.encode(encoding)) == text


@pytest.mark.parametrize(
    ("xml", "call"),
    [
        ("<methodCall><methodName>m</methodName></methodCall>", Call("m", [])),
        ("<methodCall><methodName> samp.hub.ping\n</methodName><params/></methodCall>", Call("samp.hub.ping", [])),
        (
            "<methodCall>\n<methodName>m</methodName>\n<params>\n<param><value>a</value></param>\n"
            "<param>\n<value/>\n</param></params>\n</methodCall>\n",
            Call("m", ["a", ""]),
        ),
    ],
)
def test_a_call_may_have_no_parameters_and_any_white_space(xml: str, call: Call) -> None:
    assert decode_call(xml.encode()) == call


# ------------------------------------------------------------------ what is refused

BOMB = "<!DOCTYPE b [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"
EXTERNAL = "<!DOCTYPE b [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"


@pytest.mark.parametrize("prologue", ["<!DOCTYPE methodResponse>", BOMB, EXTERNAL, "<!DOCTYPE a SYSTEM 'http://x/'>"])
def test_document_types_and_entities_are_refused(prologue: str) -> None:
    with pytest.raises(Fault, match="refused") as caught:
        decode_response(response("<value>x</value>", f"<?xml version='1.0'?>{prologue}"))
    assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(
    "xml",
    [
        "<value><struct><member><name>a</name><value/></member><member><name>a</name><value/></member></struct></value>",
        "<value><struct><member><value/><name>a</name></member></struct></value>",
        "<value><struct><member><name>a</name></member></struct></value>",
        "<value><struct><member><name>a</name><name>b</name></member></struct></value>",
        "<value><struct><member><name>a</name><value/><value/></member></struct></value>",
        "<value><struct><member/></struct></value>",
        "<value><struct>text</struct></value>",
        "<value><struct><value/></struct></value>",
        "<value><array/></value>",
        "<value><array><data/><data/></array></value>",
        "<value><array><value/></array></value>",
        "<value><array><data>text<value/></data></array></value>",
        "<value><array><data><value/>text</data></array></value>",
        "<value>text<string/></value>",
        "<value><string/>text</value>",
        "<value><string/><string/></value>",
        "<value><string><string/></string></value>",
        "<value><value/></value>",
        "<value><int/></value>",
        "<value><int>1.5</int></value>",
        "<value><int>x</int></value>",
        "<value><boolean>true</boolean></value>",
        "<value><double>nan</double></value>",
        "<value><nil/></value>",
        "<value><base64>AAAA</base64></value>",
        "<value><dateTime.iso8601>20120411T00:00:00</dateTime.iso8601></value>",
        "<VALUE>x</VALUE>",
        "<value>&unknown;</value>",
        "<value>&#0;</value>",
        "<value>\x01</value>",
        "<value>&#xFFFF;</value>",
        "<value>&#xD800;</value>",
        "<value/><value/>",
        "text",
        "",
    ],
)
def test_what_the_grammar_does_not_know_is_refused(xml: str) -> None:
    with pytest.raises(Fault) as caught:
        read(xml)
    assert caught.value.code == PARSE_ERROR


NAME = "<methodName>m</methodName>"


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "not XML",
        "<methodCall/>",
        "<methodCall><params/></methodCall>",
        "<methodCall><methodName/></methodCall>",
        f"<methodCall><params/>{NAME}</methodCall>",
        f"<methodCall>{NAME}{NAME}</methodCall>",
        f"<methodCall>{NAME}<params/><params/></methodCall>",
        f"<methodCall>{NAME}text</methodCall>",
        f"<methodCall>{NAME}<params><value/></params></methodCall>",
        f"<methodCall>{NAME}<params><param/></params></methodCall>",
        f"<methodCall>{NAME}</methodCall><methodCall>{NAME}</methodCall>",
        f"<methodCall>{NAME}</methodCall>text",
        f"text<methodCall>{NAME}</methodCall>",
        f"<methodCall><methodCall>{NAME}</methodCall></methodCall>",
        NAME,
        "<html/>",
        encode_response("a response").decode(),
        f"<?xml version='1.:'?><methodCall>{NAME}</methodCall>",
        f"<?xml version='1.0' encoding='no-such'?><methodCall>{NAME}</methodCall>",
        f"<?xml version='1.0' encoding='rot13'?><methodCall>{NAME}</methodCall>",
        f"<?xml version='1.0' encoding='undefined'?><methodCall>{NAME}</methodCall>",
        f"<?xml version='1.0' encoding='utf-16'?><methodCall>{NAME}</methodCall>",
        f"<?xml version='1.0' encoding='shift_jis'?><methodCall>{NAME}</methodCall>",
    ],
)
def test_what_is_no_call_is_a_fault(xml: str) -> None:
    with pytest.raises(Fault) as caught:
        decode_call(xml.encode())
    assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(
    "xml",
    [
        "<methodResponse/>",
        "<methodResponse><params/></methodResponse>",
        "<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>",
        "<methodResponse><params><param><value/></param></params><fault><value/></fault></methodResponse>",
        "<methodResponse><fault/></methodResponse>",
        encode_call("a.call", []).decode(),
    ],
)
def test_what_is_no_response_is_a_parse_error(xml: str) -> None:
    with pytest.raises(Fault) as caught:
        decode_response(xml.encode())
    assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        ("<value/>", 1, ""),
        ("<value><struct/></value>", 1, ""),
        ("<value><array><data/></array></value>", 1, ""),
        ("<value><struct><member><name>faultCode</name><value>x</value></member></struct></value>", 1, ""),
        ("<value><struct><member><name>faultString</name><value>text</value></member></struct></value>", 1, "text"),
    ],
)
def test_a_malformed_fault_is_a_fault_all_the_same(value: str, code: int, text: str) -> None:
    with pytest.raises(Fault) as caught:
        decode_response(f"<methodResponse><fault>{value}</fault></methodResponse>".encode())
    assert (caught.value.code, caught.value.text) == (code, text)


LISTS = ("<value><array><data>", "</data></array></value>")
MAPS = ("<value><struct><member><name>a</name>", "</member></struct></value>")


@pytest.mark.parametrize(("opening", "closing"), [LISTS, MAPS])
def test_values_may_nest_as_deep_as_the_limit_and_no_deeper(opening: str, closing: str) -> None:
    read(nested(DEFAULT_DEPTH, opening, closing))
    decode_response(response(nested(3, opening, closing)), depth=3)
    for limit, levels in (3, 4), (DEFAULT_DEPTH, DEFAULT_DEPTH + 1), (DEFAULT_DEPTH, 20_000):
        with pytest.raises(Fault, match="deeper"):
            decode_response(response(nested(levels, opening, closing)), depth=limit)


def test_depth_counts_what_is_open_and_not_what_was() -> None:
    flat = "".join(nested(2, *LISTS) for _ in range(10))
    assert len(decode_response(response(f"{LISTS[0]}{flat}{LISTS[1]}"), depth=3)) == 10


@pytest.mark.parametrize("form", ["<value>{}</value>", "<value><string>{}</string></value>"])
def test_a_string_may_be_as_long_as_the_limit_and_no_longer(form: str) -> None:
    assert decode_response(response(form.format("é" * 9)), string=9) == "é" * 9
    with pytest.raises(Fault, match="longer than 9 characters"):
        decode_response(response(form.format("é" * 10)), string=9)


def test_names_and_the_method_are_strings_under_the_limit_too() -> None:
    long = "x" * 10
    for xml in encode_call(long, []), encode_call("m", [{long: ""}]):
        with pytest.raises(Fault, match="longer than 9 characters"):
            decode_call(xml, string=9)


def test_the_limit_holds_for_one_string_and_not_for_all_together() -> None:
    many = ["x" * 9] * 50
    assert decode_call(encode_call("m", [many]), string=9).params == [many]


# ------------------------------------------------------------------ whatever comes in

DOCUMENTS = [
    encode_call("samp.hub.call", ["key", "c1", "tag", {"samp.mtype": "a.b", "samp.params": {"x": ["1", "é\r"]}}]),
    encode_response({"samp.status": "samp.ok", "samp.result": {"list": ["1", []], "": ""}}),
    encode_fault(Fault("went wrong", 7)),
    xmlrpc.client.dumps((1, True, 1.5, [1], {"a": 2}), "m").encode(),
]
FRAGMENTS = [
    *(b"<%s>" % name for name in (b"value", b"/value", b"struct", b"/struct", b"member", b"int", b"fault", b"params")),
    *(b"&#13;", b"&x;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<!DOCTYPE a [", b"<?xml version='1.0'?>", b"\xff\xfe"),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid document with a few places cut out, doubled or overwritten."""
    data = draw(st.sampled_from(DOCUMENTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 30))
        new = draw(
            st.one_of(st.just(b""), st.binary(max_size=4), st.sampled_from(FRAGMENTS), st.just(data[start:end] * 2))
        )
        data = data[:start] + new + data[end:]
    return data


def check_any_outcome(data: bytes) -> None:
    """Decoding returns what SAMP can carry or raises Fault; any other exception fails the test."""
    try:
        call = decode_call(data)
    except Fault:
        pass
    else:
        assert decode_call(encode_call(call.method, call.params)) == call
    try:
        value = decode_response(data)
    except Fault:
        pass
    else:
        assert decode_response(encode_response(value)) == value


@given(st.binary())
@tried(150)
def test_arbitrary_bytes_are_a_value_or_a_fault(data: bytes) -> None:
    check_any_outcome(data)


@given(mutated())
@tried(400)
def test_mutated_documents_are_a_value_or_a_fault(data: bytes) -> None:
    check_any_outcome(data)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the codec unicode_escape warns of what it reads
@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=12)
    | st.sampled_from(
        ["utf-7", "idna", "punycode", "hex", "zlib", "unicode_escape", "raw_unicode_escape", "mbcs", "cp037", "utf-32"]
    ),
    st.binary(max_size=20),
)
@tried(150)
def test_any_declared_encoding_is_a_value_or_a_fault(encoding: str, text: bytes) -> None:
    head = f"<?xml version='1.0' encoding='{encoding}'?>".encode()
    check_any_outcome(head + b"<methodCall><methodName>m%s</methodName></methodCall>" % text)


@given(samp_values(), st.sampled_from(["utf-16", "utf-16-le", "utf-16-be"]), st.data())
@tried(50)
def test_broken_utf_16_is_a_value_or_a_fault(value: Any, encoding: str, data: st.DataObject) -> None:
    broken = bytearray(encode_response(value).decode().encode(encoding))
    broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.sampled_from([0xD8, 0xDC, 0xFF, 0]))
    check_any_outcome(bytes(broken))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_cut_short_anywhere_is_a_fault(document: bytes) -> None:
    whole = document.rstrip()
    for end in range(len(whole)):
        for decode in decode_call, decode_response:
            with pytest.raises(Fault) as caught:
                decode(whole[:end])
            assert caught.value.code == PARSE_ERROR
