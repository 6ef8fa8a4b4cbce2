"""What no reader takes, and what is said of it: one document for each refusal, the same word from both readers."""

from types import ModuleType

import pytest

from hubfarm.samp import expat_reader
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.expat_reader import LONGEST_MARKUP, MOST_ATTRIBUTES, MOST_MEMBERS, PORTION
from hubfarm.samp.plain_writer import write_plainly
from hubfarm.samp.refusals import _TEXTS, in_words
from hubfarm.samp.xmlrpc import EncodedList, decode_call, decode_response, decode_value, encode_value
from tests.samp.codec_support import _codec

READERS = [expat_reader] if _codec is None else [expat_reader, _codec]
LIMITS = {"depth": 2, "string": 100_000, "values": 20_000}


def call(inner: bytes) -> bytes:
    return b"<methodCall><methodName>m</methodName><params><param>%s</param></params></methodCall>" % inner


def element(name: bytes, inner: bytes) -> bytes:
    return b"<%s>%s</%s>" % (name, inner, name)


def members(count: int) -> bytes:
    each = b"".join(b"<member><name>%d</name><value/></member>" % number for number in range(count))
    return call(element(b"value", element(b"struct", each)))


ATTRIBUTES = b" ".join(b"a%d=''" % number for number in range(MOST_ATTRIBUTES + 1))
DEEP = b"<value><array><data>" * 3 + b"</data></array></value>" * 3
REFUSED = {
    "malformed": (b"<methodCall>", "not well-formed XML (about byte "),
    "doctype": (b"<!DOCTYPE x><methodCall/>", "document types and entity declarations are refused"),
    "encoding": (
        b"<?xml version='1.0' encoding='koi8-r'?><methodCall/>",
        "the encoding koi8-r is none that can be read",
    ),
    "attributes": (
        b"<methodCall %s/>" % ATTRIBUTES,
        "<methodCall> has more than 16 attributes, and XML-RPC knows none",
    ),
    "markup": (
        b"<!--%s--><methodCall/>" % (b"x" * (LONGEST_MARKUP + 1)),
        "a tag, comment or instruction is longer than 65536 bytes (about byte ",
    ),
    "root": (b"<x/>", "<x> cannot stand as the document's root"),
    "child": (b"<methodCall><x/></methodCall>", "<x> cannot stand in <methodCall>"),
    "order": (
        b"<methodCall><params/></methodCall>",
        "a <methodCall> holds one <methodName> and then one <params>",
    ),
    "more": (call(b"<value/><value/>"), "<param> holds more than one element"),
    "nothing": (call(b""), "<param> holds nothing"),
    "text": (
        b"<methodCall>x<methodName>m</methodName></methodCall>",
        "there is text between the elements of <methodCall>",
    ),
    "int": (call(b"<value><i4>1.5</i4></value>"), "not a SAMP int (an optional sign and digits): '1.5'"),
    "double": (call(b"<value><double>x</double></value>"), "not a SAMP float (a decimal number, as 1.5 or 2e-3): 'x'"),
    "boolean": (call(b"<value><boolean>2</boolean></value>"), "not a SAMP boolean (0 or 1): '2'"),
    "twins": (
        call(b"<value><struct>%s</struct></value>" % (b"<member><name>a</name><value/></member>" * 2)),
        "a <struct> holds two members of one name",
    ),
    "depth": (call(DEEP), "values nest deeper than 2 levels"),
    "string": (call(element(b"value", b"x" * 100_001)), "a string is longer than 100000 characters"),
    "values": (
        call(element(b"value", element(b"array", element(b"data", b"<value/>" * 20_000)))),
        "there are more than 20000 values in it",
    ),
    "members": (members(MOST_MEMBERS + 1), "a map that the hub has to look at has more than 10000 members"),
}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("problem", REFUSED)
def test_refusal_is_said_in_the_same_words_by_each_reader(reader: ModuleType, problem: str) -> None:
    data, words = REFUSED[problem]
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - by its words
        reader.read(data, problem == "members", *LIMITS.values())
    assert refused.value.args[0] == ("child" if problem == "root" else problem)
    assert in_words(*refused.value.args, **LIMITS).startswith(words)


def test_each_refusal_has_its_document() -> None:
    assert set(REFUSED) == set(_TEXTS)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_what_is_just_within_a_limit_is_read(reader: ModuleType) -> None:
    limits = tuple(LIMITS.values())
    for data in (
        b"<methodCall %s><methodName>m</methodName></methodCall>" % ATTRIBUTES.rpartition(b" ")[0],
        b"<!--%s-->%s" % (b"x" * (LONGEST_MARKUP - 7), call(b"<value/>")),  # what is around it counts in C
        b"<?x %s?>%s" % (b"x" * (LONGEST_MARKUP - 7), call(b"<value/>")),  # what is around it counts in C
        call(b"<value><array><data>" * 2 + b"</data></array></value>" * 2),
        call(element(b"value", b"x" * 100_000)),
        call(element(b"value", element(b"array", element(b"data", b"<value/>" * 19_999)))),
        members(MOST_MEMBERS),
    ):
        is_call, method, _, is_fault = reader.read(data, True, *limits)
        assert (is_call, method, is_fault) == (True, "m", False)


def test_what_was_cut_in_the_middle_of_a_character_can_be_said() -> None:
    assert in_words("int", 0, "größe".encode()[:3], "", **LIMITS).endswith("digits): 'gr\ufffd'")
    assert in_words("int", 0, b"x" * 63, "", **LIMITS).endswith(f"digits): '{'x' * 40}'")
    member = in_words("order", 0, b"member", "", **LIMITS)
    assert member == "a <member> holds one <name> and then one <value>"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_is_read_with_and_without_a_mark(encoding: str) -> None:
    text = "<methodCall><methodName>größe</methodName></methodCall>"
    assert decode_call(text.encode(encoding)).method == "größe"


def test_what_is_no_call_or_no_response_is_said_to_be_none() -> None:
    with pytest.raises(Fault) as fault:
        decode_call(b"<methodResponse><params><param><value/></param></params></methodResponse>")
    no_call = "not an XML-RPC call: it needs a <methodCall> of a <methodName> and then <params>"
    assert (fault.value.code, fault.value.text) == (-32700, no_call)
    with pytest.raises(Fault) as fault:
        decode_response(call(b"<value/>"))
    no_response = "not an XML-RPC response: it needs a <methodResponse> with one value or a <fault>"
    assert (fault.value.code, fault.value.text) == (-32700, no_response)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_declaration_without_end_is_markup_that_is_too_long(reader: ModuleType) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - by its words
        reader.read(b"<?xml version='1.0'".ljust(2 * LONGEST_MARKUP), False, *LIMITS.values())
    assert refused.value.args[0] == "markup"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"<methodCall".ljust(3 * PORTION) + b"/>", "markup"),
        (b"<methodCall><methodName>m</methodName><params/><params/></methodCall>", "order"),
        (b"<methodResponse><params/><params/></methodResponse>", "more"),
        (b"<methodResponse><params/><fault><value/></fault></methodResponse>", "more"),
        (b"<methodResponse><fault/></methodResponse>", "nothing"),
    ],
)
def test_what_stands_twice_or_has_no_end_is_refused(reader: ModuleType, data: bytes, problem: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - by its words
        reader.read(data, False, *LIMITS.values())
    assert refused.value.args[0] == problem


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_fault_is_read_as_one_and_never_in_outline(reader: ModuleType) -> None:
    data = b"<methodResponse><fault>%s</fault></methodResponse>" % encode_value({"faultCode": "1"})
    for outline in (False, True):
        assert reader.read(data, outline, *LIMITS.values()) == (False, None, [{"faultCode": "1"}], True)


def test_value_that_cannot_be_written_is_named() -> None:
    with pytest.raises(BadValue, match=r"^SAMP knows strings, lists and maps only, not int: write 7 as a string$"):
        encode_value({"a": [7]})  # type: ignore[dict-item]
    with pytest.raises(BadValue, match=r"^the keys of a SAMP map are strings, not 7$"):
        encode_value({7: ""})  # type: ignore[dict-item]
    endless: list[object] = []
    endless.append(endless)
    for write in (encode_value, write_plainly):
        with pytest.raises(BadValue, match=r"^a value nests too deep, or holds itself$"):
            write(endless)  # type: ignore[arg-type]


def test_what_was_taken_once_is_read_again_whatever_its_limits_were() -> None:
    many = b"<value><array><data>%s</data></array></value>" % (b"<value/>" * 1_000_001)
    assert len(decode_value(many)) == 1_000_001
    long = encode_value("x" * (32 * 2**20 + 1))
    assert len(decode_value(long)) == 32 * 2**20 + 1


def test_list_without_an_item_is_without_the_first_of_its_kind() -> None:
    def without(items: list[str], item: str) -> object:
        return decode_value(EncodedList(encode_value(items)).without(item).xml)  # type: ignore[arg-type]

    assert without(["c1", "c2", "c12", "c1"], "c1") == ["c2", "c12", "c1"]
    assert without(["c1"], "c9") == ["c1"]
    assert without(["c1"], "c1") == []
