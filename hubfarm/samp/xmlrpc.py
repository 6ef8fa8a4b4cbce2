"""XML-RPC as SAMP uses it: bytes to calls, responses and faults, and back.

The codec knows exactly SAMP's part of XML-RPC (SAMP 1.3, 4.1) and is liberal in what it
takes: ``<int>``, ``<i4>``, ``<boolean>`` and ``<double>`` become their SAMP strings, a bare
``<value>text</value>`` is a string.  expat reads the XML; DTDs and entity declarations are
refused; depth, string size and the number of values bounded.  Whatever comes in, the outcome is a value or a `Fault`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.parsers import expat

from hubfarm.samp.errors import BadValue, Fault
from hubfarm.samp.values import Map, Value, check_string, parse_boolean, parse_float, parse_int

PARSE_ERROR = -32700
"""faultCode of a body that is not an XML-RPC document (xmlrpc-epi's numbers)."""
UNKNOWN_METHOD = -32601
WRONG_PARAMETERS = -32602

DEFAULT_DEPTH = 64
"""How deep lists and maps may nest; real messages stay under ten."""
DEFAULT_STRING = 32 * 2**20
"""Longest string, characters."""
DEFAULT_VALUES = 1_000_000
"""Values in one document: it takes some seconds to read so many, and the hub stands still meanwhile."""

PORTION = 2**20
"""So much of a document is given to expat at once, bytes."""
LONGEST_TAG = 2 * PORTION
"""Longest tag or comment in a document of several portions, bytes."""
MOST_ATTRIBUTES = 16
"""Attributes of one element: they mean nothing, but declare a name space for some."""


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


# ------------------------------------------------------------------ encoding

_TO_ESCAPE = re.compile("[&<>\r]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def _escape(text: str) -> str:
    if text.isascii() and text.isalnum():
        return text  # ids, keys, numbers: the two searches below take ten times as long
    # XML readers turn a literal carriage return into a newline: only a reference survives.
    check_string(text)
    return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)


def _write_value(value: object, write: Callable[[str], None]) -> None:
    match value:
        case str():
            write(f"<value><string>{_escape(value)}</string></value>")
        case dict():
            write("<value><struct>")
            for key, item in value.items():
                if not isinstance(key, str):
                    raise BadValue(f"the keys of a SAMP map are strings, not {key!r}")
                write(f"<member><name>{_escape(key)}</name>")
                _write_value(item, write)
                write("</member>")
            write("</struct></value>")
        case list():
            write("<value><array><data>")
            for item in value:
                _write_value(item, write)
            write("</data></array></value>")
        case _:
            raise BadValue(
                f"SAMP knows strings, lists and maps only, not {type(value).__name__}: write {value!r} as a string"
            )


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
    parts: list[str] = []
    _write_value(value, parts.append)
    return "".join(parts).encode()


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
    return encode_call_around(method, params)


def encode_call_around(method: str, params: Sequence[Value], *encoded: bytes) -> bytes:
    """Encode a call whose last parameters are `encoded` already (by `encode_value`)."""
    return b"".join(  # in one go: what is `encoded` may be long, and is copied once
        [
            b"<?xml version='1.0'?>\n<methodCall><methodName>%s</methodName><params>" % _escape(method).encode(),
            *(b"<param>%s</param>" % encode_value(param) for param in params),
            *(piece for value in encoded for piece in (b"<param>", value, b"</param>")),
            b"</params></methodCall>\n",
        ]
    )


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


def encode_fault(fault: Fault) -> bytes:
    """Encode a fault.

    Characters that XML cannot carry are replaced: a fault is always sent.
    """
    text = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", fault.text)
    return (
        b"<?xml version='1.0'?>\n<methodResponse><fault><value><struct>"
        b"<member><name>faultCode</name><value><int>%d</int></value></member>"
        b"<member><name>faultString</name><value><string>%s</string></value></member>"
        b"</struct></value></fault></methodResponse>\n" % (fault.code, _escape(text).encode())
    )


# ------------------------------------------------------------------ decoding

_SCALARS: dict[str, Callable[[str], str]] = {}


def _scalar(*names: str) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    def enter(read: Callable[[str], str]) -> Callable[[str], str]:
        _SCALARS.update(dict.fromkeys(names, read))
        return read

    return enter


@_scalar("string")
def _read_string(text: str) -> str:
    return text


@_scalar("int", "i4", "i8")
def _read_int(text: str) -> str:
    parse_int(text.strip())
    return text.strip()


@_scalar("boolean")
def _read_boolean(text: str) -> str:
    parse_boolean(text.strip())
    return text.strip()


@_scalar("double")
def _read_double(text: str) -> str:
    parse_float(text.strip())
    return text.strip()


_CHILDREN: dict[str, frozenset[str]] = {
    "": frozenset({"methodCall", "methodResponse"}),
    "methodCall": frozenset({"methodName", "params"}),
    "methodResponse": frozenset({"params", "fault"}),
    "params": frozenset({"param"}),
    "param": frozenset({"value"}),
    "fault": frozenset({"value"}),
    "value": frozenset({"struct", "array", *_SCALARS}),
    "struct": frozenset({"member"}),
    "member": frozenset({"name", "value"}),
    "array": frozenset({"data"}),
    "data": frozenset({"value"}),
}
"""Which element may stand in which: the whole grammar, but for the counts."""

_HOLDS_TEXT = frozenset({"methodName", "name", "value", *_SCALARS})
_OPENS_LEVEL = frozenset({"struct", "array"})
_IN_ORDER = {"methodCall": ("methodName", "params"), "member": ("name", "value")}
"""Elements that hold these, each once at most."""
_ONE_CHILD = frozenset({"methodResponse", "param", "fault", "value", "array"})
"""Elements that hold exactly one child (a ``value`` may hold text instead)."""
_NONE = frozenset[str]()


class _Document:
    """One XML-RPC document being read: expat's events in, nested values out.

    Every open element has a name and a list of what its children left in it; an element that
    ends leaves one value in its parent's list.  After `parse`, `root` names the root element
    and `content` is what it held.
    """

    def __init__(self, depth: int, string: int, values: int) -> None:
        self.root = ""
        self.content: list[Value] = []
        self.is_fault = False
        self._max_depth = depth
        self._max_string = string
        self._max_values = values
        self._values = 0
        self._depth = 0
        self._names = [""]
        self._held: list[list[Value]] = [[]]
        self._text: list[str] = []
        self._text_size = 0

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=None)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.EntityDeclHandler = self._refuse_doctype
        try:
            # In portions: expat collects a tag with a million attributes before it tells of it.
            for end in range(PORTION, len(data), PORTION):
                parser.Parse(data[end - PORTION : end], False)
                if end - parser.CurrentByteIndex > LONGEST_TAG:
                    raise BadValue(f"a tag or comment is longer than {LONGEST_TAG} bytes")
            parser.Parse(data[(len(data) - 1) // PORTION * PORTION :], True)
        except expat.ExpatError as error:
            raise Fault(f"not well-formed XML: {error}", PARSE_ERROR) from None
        except (ValueError, LookupError) as error:  # BadValue, and encodings that Python or expat can't take
            raise Fault(f"not an XML-RPC document: {error}", PARSE_ERROR) from None

    def _refuse_doctype(self, *_: object) -> None:
        raise BadValue("document types and entity declarations are refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._names[-1]
        if len(attributes) > MOST_ATTRIBUTES:
            raise BadValue(f"<{name[:40]}> has {len(attributes)} attributes, and XML-RPC knows none")
        if name not in _CHILDREN.get(parent, _NONE):
            where = f"in <{parent}>" if parent else "as the document's root"
            raise BadValue(f"<{name[:40]}> cannot stand {where}")
        held = self._held[-1]
        if held and parent in _ONE_CHILD:
            raise BadValue(f"<{parent}> holds more than one element")
        if parent in _IN_ORDER and name not in _IN_ORDER[parent][len(held) : len(held) + 1]:
            raise BadValue(f"a <{parent}> holds one {' and then one '.join(f'<{each}>' for each in _IN_ORDER[parent])}")
        if self._text:
            self._drop_white_space(parent)
        if name in _OPENS_LEVEL:
            self._depth += 1
            if self._depth > self._max_depth:
                raise BadValue(f"values nest deeper than {self._max_depth} levels")
        if name == "value":
            self._values += 1
            if self._values > self._max_values:
                raise BadValue(f"there are more than {self._max_values} values in it")
        self._names.append(name)
        self._held.append([])

    def _characters(self, text: str) -> None:
        self._text_size += len(text)
        if self._text_size > self._max_string:
            raise BadValue(f"a string is longer than {self._max_string} characters")
        self._text.append(text)

    def _drop_white_space(self, name: str) -> None:
        if not "".join(self._text).isspace():
            raise BadValue(f"there is text between the elements of <{name}>")
        self._text.clear()
        self._text_size = 0

    def _take_text(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        self._text_size = 0
        return text

    def _end(self, name: str) -> None:
        self._names.pop()
        held = self._held.pop()
        if self._text and (held or name not in _HOLDS_TEXT):
            self._drop_white_space(name)
        above = self._held[-1]
        if name == "value":
            above.append(held[0] if held else self._take_text())
        elif name in _SCALARS:
            above.append(_SCALARS[name](self._take_text()))
        elif name == "name":
            above.append(self._take_text())
        else:
            self._end_structure(name, held, above)

    def _end_structure(self, name: str, held: list[Value], above: list[Value]) -> None:
        match name:
            case "member":
                if len(held) != 2:
                    raise BadValue("a <member> holds one <name> and then one <value>")
                above.append(held)
            case "struct":
                self._depth -= 1
                struct: Map = dict(held)  # type: ignore[arg-type]  # each of `held` is a member: a name and a value
                if len(struct) != len(held):
                    raise BadValue("a <struct> holds two members of one name")
                above.append(struct)
            case "array":
                self._depth -= 1
                above.append(_only(name, held))
            case "data" | "params":
                above.append(held)
            case "param":
                above.append(_only(name, held))
            case "fault":
                self.is_fault = True
                above.append(_only(name, held))
            case "methodName":
                above.append(self._take_text().strip())
            case "methodCall" | "methodResponse":
                self.root, self.content = name, held


def _only(name: str, held: list[Value]) -> Value:
    if not held:
        raise BadValue(f"<{name}> holds nothing")
    return held[0]


def decode_call(
    data: bytes, *, depth: int = DEFAULT_DEPTH, string: int = DEFAULT_STRING, values: int = DEFAULT_VALUES
) -> Call:
    """Decode the body of a request.

    Parameters
    ----------
    data : bytes
        The whole XML document, in any encoding that expat reads.
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
    document = _Document(depth, string, values)
    document.parse(data)
    if document.root == "methodCall":
        match document.content:
            case [str(method)] if method:
                return Call(method, [])
            case [str(method), list(params)] if method:
                return Call(method, params)
    raise Fault("not an XML-RPC call: it needs a <methodCall> of a <methodName> and then <params>", PARSE_ERROR)


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
    document = _Document(depth, string, values)
    document.parse(data)
    if document.root == "methodResponse":
        match document.content:
            case [value] if document.is_fault:
                raise _fault_of(value)
            case [[value]]:
                return value
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
    return decode_response(document, depth=len(data), string=len(data), values=len(data))
