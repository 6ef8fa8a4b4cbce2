"""XML-RPC read by expat: what `hubfarm.samp._codec` does, where that could not be compiled, and its oracle.

Both have the same two functions, `read` and `read_start`, take and refuse the same documents,
and say what they refuse by the same ``ValueError`` (`hubfarm.samp.refusals`).
"""

import codecs
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeAlias
from xml.parsers import expat

from hubfarm.samp.encodings import encoding_of
from hubfarm.samp.errors import BadValue
from hubfarm.samp.plain_writer import write_plainly
from hubfarm.samp.values import Map, Value, outline_of, parse_boolean, parse_float, parse_int

MOST_ATTRIBUTES = 16
"""Attributes of one element: they mean nothing, but declare a name space for some."""
LONGEST_MARKUP = 65536
"""One comment or instruction, bytes."""
MOST_MEMBERS = 10_000
"""Members of a map that is read in outline."""

PORTION = 2**20
"""How much of a document is given to expat at once, bytes."""
LONGEST_TAG = 2 * PORTION
"""Longest tag in a document of several portions, bytes: expat collects it before it tells of it."""

SPACE = " \t\r\n"
"""What XML calls white space."""

Read: TypeAlias = "Value | tuple[bytes, Map]"
"""A value; or a map in outline: its bytes, and its members: strings as they are, lists and maps empty."""


def read(data: bytes, outline: bool, depth: int, string: int, values: int) -> tuple[bool, str | None, list[Read], bool]:
    """Read a document.

    Parameters
    ----------
    data : bytes
        The document, in UTF-8.
    outline : bool
        Leave the maps among its parameters encoded; see `Read`.
    depth, string, values : int
        How deep lists and maps may nest, how long a string may be (characters), how many values there may be.

    Returns
    -------
    bool
        Whether it is a call.
    str or None
        Its method.
    list
        The parameters; of a response what it holds.
    bool
        Whether that is a fault.

    Raises
    ------
    ValueError
        It is refused; see `hubfarm.samp.refusals`.
    """
    document = _Document(depth, string, values)
    document.parse(data)
    params: list[Read] = [*document.params]
    if outline and not document.is_fault:
        params = [_in_outline(param) for param in document.params]
    is_call = document.root == "methodCall"
    return is_call, document.method if is_call else None, params, document.is_fault


def _in_outline(param: Value) -> Read:
    match param:
        case dict():
            _check_members(param)
            return write_plainly(param), outline_of(param)
        case list():
            return []
    return param


def _check_members(whole: Map) -> None:
    error = whole.get("samp.error", {})
    if max(len(whole), len(error) if isinstance(error, dict) else 0) > MOST_MEMBERS:
        _refuse("members")


def read_start(data: bytes) -> tuple[str, str] | None:
    """Read a call's method and its first parameter, a string; None if they are not all there.

    Parameters
    ----------
    data : bytes
        The beginning of a document in UTF-8.
    """
    document = _Document(0, len(data), 1)
    with suppress(ValueError):
        document.parse(data)
    match document.root, document.params[:1]:
        case "methodCall", [str(first)]:
            return document.method, first
    return None


def _refuse(problem: str, position: int = 0, what: str = "", where: str = "") -> NoReturn:
    raise ValueError(problem, position, what.encode("utf-8", "replace")[:63], where)


# ---------------------------------------------------------------------- the grammar

_SCALARS: dict[str, tuple[str, Callable[[str], object] | None]] = {
    "string": ("string", None),
    "int": ("int", parse_int),
    "i4": ("int", parse_int),
    "i8": ("int", parse_int),
    "boolean": ("boolean", parse_boolean),
    "double": ("double", parse_float),
}
"""What each is called in a refusal, and what checks it."""

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

    Every open element has a name and what its children left in it, a struct as a map, the others as
    a list; an element that ends leaves one value in its parent's.
    """

    def __init__(self, depth: int, string: int, values: int) -> None:
        self.root = ""
        self.method = ""
        self.params: list[Value] = []
        self.is_fault = False
        self._max_depth = depth
        self._max_string = string
        self._max_values = values
        self._values = 0
        self._depth = 0
        self._names = [""]
        self._held: list[list[Value] | Map] = [[]]
        self._text: list[str] = []

    def parse(self, data: bytes) -> None:
        encoding = encoding_of(data)
        if encoding != "utf-8":
            _refuse("encoding", what=encoding)
        if data[:1] == b"\xef":
            data = data.removeprefix(codecs.BOM_UTF8)
        if data.startswith(b"<?xml") and len(data) > LONGEST_MARKUP and b"?>" not in data[:LONGEST_MARKUP]:
            _refuse("markup", LONGEST_MARKUP)
        self._parser = parser = expat.ParserCreate("utf-8", namespace_separator=None)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.CommentHandler = self._check_markup
        parser.ProcessingInstructionHandler = self._check_instruction
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.EntityDeclHandler = self._refuse_doctype
        try:
            # In portions: expat collects a tag with a million attributes before it tells of it.
            for end in range(PORTION, len(data), PORTION):
                parser.Parse(data[end - PORTION : end], False)
                if end - parser.CurrentByteIndex > LONGEST_TAG:
                    self._refuse("markup")
            parser.Parse(data[(len(data) - 1) // PORTION * PORTION :], True)
        except expat.ExpatError:
            _refuse("malformed", parser.ErrorByteIndex)

    def _refuse(self, problem: str, what: str = "", where: str = "") -> NoReturn:
        _refuse(problem, self._parser.CurrentByteIndex, what, where)

    def _refuse_doctype(self, *_: object) -> None:
        self._refuse("doctype")

    def _check_markup(self, text: str) -> None:
        if len(text) > LONGEST_MARKUP:
            self._refuse("markup")

    def _check_instruction(self, target: str, text: str) -> None:
        if not target.isascii():
            self._refuse("malformed")
        self._check_markup(text)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._names[-1]
        if attributes:
            self._check_attributes(name, attributes)
        if name not in _CHILDREN.get(parent, _NONE):
            self._refuse("child", name, parent)
        held = self._held[-1]
        if held and parent in _ONE_CHILD:
            self._refuse("more", parent)
        if parent in _IN_ORDER and name not in _IN_ORDER[parent][len(held) : len(held) + 1]:
            self._refuse("order", parent)
        if self._text:
            self._drop_white_space(parent)
        if name in _OPENS_LEVEL:
            self._depth += 1
            if self._depth > self._max_depth:
                self._refuse("depth")
        if name == "value":
            self._values += 1
            if self._values > self._max_values:
                self._refuse("values")
        if not self.root:
            self.root = name
        self._names.append(name)
        self._held.append({} if name == "struct" else [])

    def _check_attributes(self, name: str, attributes: dict[str, str]) -> None:
        if len(attributes) > MOST_ATTRIBUTES:
            self._refuse("attributes", name)
        if not all(map(str.isascii, attributes)):
            self._refuse("malformed")

    def _drop_white_space(self, name: str) -> None:
        if "".join(self._text).strip(SPACE):
            self._refuse("text", name)
        self._text.clear()

    def _take_text(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        if len(text) > self._max_string:
            self._refuse("string")
        return text

    def _end(self, name: str) -> None:
        self._names.pop()
        held = self._held.pop()
        if self._text and (held or name not in _HOLDS_TEXT):
            self._drop_white_space(name)
        above = self._held[-1]
        if isinstance(above, dict):
            self._end_member(held, above)
        elif isinstance(held, dict):
            self._depth -= 1
            above.append(held)
        elif name == "value":
            above.append(held[0] if held else self._take_text())
        elif name in _SCALARS:
            above.append(self._take_scalar(name))
        elif name == "name":
            above.append(self._take_text())
        else:
            self._end_structure(name, held, above)

    def _take_scalar(self, name: str) -> str:
        kind, check = _SCALARS[name]
        text = self._take_text()
        if check is None:
            return text
        text = text.strip(SPACE)
        try:
            check(text)
        except BadValue:
            self._refuse(kind, text)
        return text

    def _end_member(self, held: list[Value] | Map, above: Map) -> None:
        match held:
            case [str(name), value]:
                if name in above:
                    self._refuse("twins")
                above[name] = value
            case _:
                self._refuse("order", "member")

    def _end_structure(self, name: str, held: list[Value], above: list[Value]) -> None:
        match name:
            case "array":
                self._depth -= 1
                above.append(self._only(name, held))
            case "data":
                above.append(held)
            case "params":
                above.append([])
            case "param":
                self.params.append(self._only(name, held))
            case "fault":
                self.is_fault = True
                self.params.append(self._only(name, held))
                above.append([])
            case "methodName":
                self.method = self._take_text().strip(SPACE)
                above.append([])

    def _only(self, name: str, held: list[Value]) -> Value:
        if not held:
            self._refuse("nothing", name)
        return held[0]
