"""XML-RPC as SAMP uses it: bytes to calls, responses and faults, and back (SAMP 1.3, 4.1).

The codec knows exactly SAMP's part of XML-RPC and is liberal in what it takes: ``<int>``, ``<i4>``,
``<boolean>`` and ``<double>`` become their SAMP strings, a bare ``<value>text</value>`` is a string.
Documents are read and values written in C (``_codec.c``), or where that could not be compiled by
`hubfarm.samp.expat_reader` and `hubfarm.samp.plain_writer`.  DTDs and entity declarations are refused; depth,
string size and the number of values bounded.  Whatever comes in, the outcome is a value or a `Fault`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from hubfarm.samp.encodings import encoding_of, to_utf8
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.plain_writer import escape, write_plainly
from hubfarm.samp.refusals import in_words
from hubfarm.samp.values import DEEPEST, Map, Value, outline_of, parse_int

try:
    from hubfarm.samp._codec import read, read_start, write
except ImportError:  # no compiler was at hand when this was installed
    from hubfarm.samp.expat_reader import read, read_start
    from hubfarm.samp.plain_writer import write_plainly as write

COMPILED = read.__module__ != "hubfarm.samp.expat_reader"
"""Whether documents are read in C."""

PARSE_ERROR = -32700
"""faultCode of a body that is not an XML-RPC document (xmlrpc-epi's numbers)."""
UNKNOWN_METHOD = -32601
WRONG_PARAMETERS = -32602

DEFAULT_DEPTH = 64
"""How deep lists and maps may nest; real messages stay under ten."""
DEFAULT_STRING = 32 * 2**20
"""Longest string, characters."""
DEFAULT_VALUES = 1_000_000
"""Values in one document."""


class EncodedMap(NamedTuple):
    """A map that stays encoded: a hub needs little of it, and pastes it into other documents.

    Parameters
    ----------
    xml : bytes
        Its ``<value>`` element.
    outline : Map
        Its members: strings as they are, of lists and maps only that they are such: they are empty.
        A ``samp.error`` is outlined likewise.
    file : str
        The name of the file in which a journal has it already; empty for none.
    """

    xml: bytes
    outline: Map
    file: str = ""

    @classmethod
    def of(cls, whole: Map) -> "EncodedMap":
        """Encode a map.

        Raises
        ------
        BadValue
            It holds something that is not a SAMP value.

        Examples
        --------
        >>> EncodedMap.of({"samp.name": "x"}).decode()
        {'samp.name': 'x'}
        """
        return cls(encode_value(whole), outline_of(whole))

    def decode(self) -> Map:
        """Return the map itself.

        Examples
        --------
        >>> EncodedMap(b"<value><struct></struct></value>", {}).decode()
        {}
        """
        value = decode_value(self.xml)
        assert isinstance(value, dict)
        return value


class EncodedList(NamedTuple):
    """A list that stays encoded: the same for many who ask.

    Parameters
    ----------
    xml : bytes
        Its ``<value>`` element.
    """

    xml: bytes

    def without(self, item: Value) -> "EncodedList":
        """Return the list without the first of its items that is so; the whole if there is none.

        Examples
        --------
        >>> decode_value(EncodedList(encode_value(["c1", "c2", "c12"])).without("c2").xml)
        ['c1', 'c12']
        """
        return EncodedList(self.xml.replace(encode_value(item), b"", 1))


Param: TypeAlias = "Value | EncodedMap"
"""A parameter of a call, as it is decoded."""


@dataclass(frozen=True, slots=True)
class Call:
    """One XML-RPC call.

    Parameters
    ----------
    method : str
        As ``samp.hub.notify``.
    params : list of Value
        The positional parameters.
    """

    method: str
    params: list[Value]


class CallInOutline(NamedTuple):
    """A call whose maps are still encoded; otherwise as `Call`."""

    method: str
    params: list[Param]


# ------------------------------------------------------------------ encoding


def encode_value(value: Value) -> bytes:
    """Encode one value as its ``<value>`` element.

    What goes to many receivers is encoded here once and pasted into each call by
    `encode_call_around`.

    Raises
    ------
    BadValue
        `value` holds something that is not a SAMP value.

    Examples
    --------
    >>> encode_value(["1", "a&b"])
    b'<value><array><data><value><string>1</string></value><value><string>a&amp;b</string></value></data></array></value>'
    """
    written = write(value)
    return write_plainly(value) if written is None else written  # which says what is wrong


def encode_map_around(members: Map, name: str, encoded: bytes) -> bytes:
    """Encode a map with one more member, whose value is `encoded` already (by `encode_value`).

    Examples
    --------
    >>> decode_value(encode_map_around({"id": "c1"}, "metadata", encode_value({"samp.name": "x"})))
    {'id': 'c1', 'metadata': {'samp.name': 'x'}}
    """
    rest = encode_value(members).removesuffix(b"</struct></value>")
    return b"%s<member><name>%s</name>%s</member></struct></value>" % (rest, escape(name).encode(), encoded)


def encode_call(method: str, params: Sequence[Value]) -> bytes:
    """Encode a call.

    Raises
    ------
    BadValue
        A parameter is not a SAMP value.

    Examples
    --------
    >>> decode_call(encode_call("samp.hub.unregister", ["key"]))
    Call(method='samp.hub.unregister', params=['key'])
    """
    return b"".join(
        [
            b"<?xml version='1.0'?>\n<methodCall><methodName>%s</methodName><params>" % escape(method).encode(),
            *(b"<param>%s</param>" % encode_value(param) for param in params),
            b"</params></methodCall>\n",
        ]
    )


def encode_call_around(method: str, params: Sequence[Value], encoded: bytes) -> Sequence[bytes]:
    """Encode a call whose last parameter is `encoded` already (by `encode_value`), in pieces: it is not copied."""
    start = [
        b"<?xml version='1.0'?>\n<methodCall><methodName>%s</methodName><params>" % escape(method).encode(),
        *(b"<param>%s</param>" % encode_value(param) for param in params),
        b"<param>",
    ]
    return b"".join(start), encoded, b"</param></params></methodCall>\n"


def encode_response(value: Value) -> bytes:
    """Encode the response that carries a result.

    Examples
    --------
    >>> decode_response(encode_response({"samp.status": "samp.ok"}))
    {'samp.status': 'samp.ok'}
    """
    return encode_response_around(encode_value(value))


def encode_response_around(encoded: bytes) -> bytes:
    """Encode the response that carries a result which is `encoded` already (by `encode_value`)."""
    return b"<?xml version='1.0'?>\n<methodResponse><params><param>%s</param></params></methodResponse>\n" % encoded


_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def encode_fault(fault: Fault) -> bytes:
    """Encode a fault.

    Characters that XML cannot carry are replaced: a fault is always sent.
    """
    text = _NOT_IN_XML.sub("\ufffd", fault.text)
    return (
        b"<?xml version='1.0'?>\n<methodResponse><fault><value><struct>"
        b"<member><name>faultCode</name><value><int>%d</int></value></member>"
        b"<member><name>faultString</name><value><string>%s</string></value></member>"
        b"</struct></value></fault></methodResponse>\n" % (fault.code, escape(text).encode())
    )


# ------------------------------------------------------------------ decoding


def _read(
    data: bytes, depth: int, string: int, values: int, *, outline: bool = False
) -> tuple[bool, str | None, list[Param], bool]:
    try:
        try:
            found = read(data, outline, depth, string, values)
        except ValueError as refused:
            if refused.args[0] != "encoding":
                raise
            found = read(to_utf8(data, encoding_of(data)), outline, depth, string, values)
    except BadValue as error:
        raise Fault(f"not an XML-RPC document: {error}", PARSE_ERROR) from None
    except ValueError as refused:
        reason = in_words(*refused.args, depth=depth, string=string, values=values)
        raise Fault(f"not an XML-RPC document: {reason}", PARSE_ERROR) from None
    is_call, method, params, is_fault = found
    return is_call, method, [EncodedMap(*param) if isinstance(param, tuple) else param for param in params], is_fault


def decode_call(
    data: bytes, *, depth: int = DEFAULT_DEPTH, string: int = DEFAULT_STRING, values: int = DEFAULT_VALUES
) -> Call:
    """Decode the body of a request.

    Parameters
    ----------
    data : bytes
        The whole XML document, in UTF-8, UTF-16, or an encoding with one byte a character that it declares.
    depth : int
        How deep lists and maps may nest, levels.
    string : int
        Longest string, characters.
    values : int
        Strings, lists and maps together.

    Raises
    ------
    Fault
        `data` is not an XML-RPC call, or goes over a limit.

    Examples
    --------
    >>> decode_call(b"<methodCall><methodName>samp.hub.ping</methodName></methodCall>")
    Call(method='samp.hub.ping', params=[])
    """
    is_call, method, params, _ = _read(data, depth, string, values)
    return Call(_check_call(is_call, method), params)  # type: ignore[arg-type]  # not in outline, there are values only


def decode_call_in_outline(
    data: bytes, *, depth: int = DEFAULT_DEPTH, string: int = DEFAULT_STRING, values: int = DEFAULT_VALUES
) -> CallInOutline:
    """Decode the body of a request, but leave the maps among its parameters encoded.

    A list among them is read as an empty one: no method of SAMP takes any.  Parameters and errors are
    those of `decode_call`; a map that has over 10,000 members itself is refused too.

    Examples
    --------
    >>> message = {"samp.mtype": "samp.app.ping", "samp.params": {"a": "1"}}
    >>> call = decode_call_in_outline(encode_call("samp.hub.notifyAll", ["key", message]))
    >>> call.params[1].outline
    {'samp.mtype': 'samp.app.ping', 'samp.params': {}}
    >>> call.params[1].decode() == message
    True
    """
    is_call, method, params, _ = _read(data, depth, string, values, outline=True)
    return CallInOutline(_check_call(is_call, method), params)


def _check_call(is_call: bool, method: str | None) -> str:
    if not (is_call and method):
        raise Fault("not an XML-RPC call: it needs a <methodCall> of a <methodName> and then <params>", PARSE_ERROR)
    return method


def decode_start(data: bytes) -> tuple[str, str]:
    """Return a call's method and its first parameter, a string, from the beginning of its body; "" if it is not there.

    Examples
    --------
    >>> decode_start(encode_call("samp.hub.notifyAll", ["key", {}])[:-50])
    ('samp.hub.notifyAll', 'key')
    """
    encoding = encoding_of(data)
    if encoding != "utf-8":
        try:
            data = to_utf8(data, encoding, whole=False)
        except BadValue:
            return "", ""
    return read_start(data) or ("", "")


def decode_response(
    data: bytes, *, depth: int = DEFAULT_DEPTH, string: int = DEFAULT_STRING, values: int = DEFAULT_VALUES
) -> Value:
    """Decode the body of a response to the value it carries.

    Parameters are those of `decode_call`.

    Raises
    ------
    Fault
        The response is a fault (`Fault.code` and `Fault.text` are the other side's), or
        `data` is no XML-RPC response (`Fault.code` is `PARSE_ERROR`).

    Examples
    --------
    >>> decode_response(encode_response("c1"))
    'c1'
    >>> decode_response(encode_fault(Fault("no such client", 1)))
    Traceback (most recent call last):
    hubfarm.samp.errors.Fault: no such client
    """
    match _read(data, depth, string, values):
        case False, _, [value], True:
            raise _fault_of(value)  # type: ignore[arg-type]
        case False, _, [value], False:
            return value  # type: ignore[return-value]
    raise Fault("not an XML-RPC response: it needs a <methodResponse> with one value or a <fault>", PARSE_ERROR)


def _fault_of(value: Value) -> Fault:
    struct = value if isinstance(value, dict) else {}
    code, text = struct.get("faultCode"), struct.get("faultString")
    if not isinstance(text, str):
        text = ""
    try:
        return Fault(text, parse_int(code) if isinstance(code, str) else 1)
    except BadValue:
        return Fault(text, 1)


def decode_value(data: bytes) -> Value:
    """Decode one ``<value>`` element, as `encode_value` makes it.

    Raises
    ------
    Fault
        `data` is something else.

    Examples
    --------
    >>> decode_value(encode_value({"samp.mtype": "samp.app.ping"}))
    {'samp.mtype': 'samp.app.ping'}
    """
    document = b"<methodResponse><params><param>%s</param></params></methodResponse>" % data
    # What was taken once is taken, whatever limits it was under.
    return decode_response(document, depth=DEEPEST, string=len(data), values=len(data))
