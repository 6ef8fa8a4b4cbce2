"""A message's bytes cut out of the request, to be pasted into every delivery as they are.

A hub needs little of a message: its MType, and that the rest is sound.  `cut_call` reads the
calls that carry messages by regular expressions, and what nests in them in C, if a compiler was
at hand (`hubfarm.samp.nested` otherwise); the message it leaves encoded.  It takes only what it
is sure of (ASCII, ``<string>`` or bare values, the usual character references, `LEVELS` of
nesting); of all else it says so, and `hubfarm.samp.xmlrpc.decode_call`, the plain path, decides.
Rule: what it takes, the plain path takes too, and reads the same in it (``tests/test_fast_path.py``).

It earns its keep: on a busy machine a ``notify`` of 700 bytes took 23 µs instead of 92 µs to decode
and 10 µs to encode again, one of 1 MB 0.6 ms (3 ms without C) instead of 71 ms and 27 ms.
"""

import re
from typing import NamedTuple, TypeAlias

from hubfarm.samp.nested import PLAIN, SPACE
from hubfarm.samp.values import Map, Value  # Value is named in a string
from hubfarm.samp.xmlrpc import decode_value

try:
    from hubfarm.samp._nested import end_of_member
except ImportError:  # no compiler was at hand when this was installed
    from hubfarm.samp.nested import end_of_member

LEVELS = 5
"""How deep lists and maps may nest in a message that is cut."""

MIN_VALUE_SIZE = len("<value></value>")
"""The least that a value takes, bytes: so many values there are at most in what `cut_call` takes."""

_CARRIERS = frozenset(f"samp.hub.{name}" for name in ("notify", "notifyAll", "call", "callAll", "callAndWait", "reply"))
"""The methods whose map goes on to other clients."""


class EncodedMap(NamedTuple):
    """A map that stays encoded.

    Parameters
    ----------
    xml : bytes
        Its ``<value>`` element.
    outline : Map
        Its members: strings as they are, of lists and maps only that they are such: they are empty.
    """

    xml: bytes
    outline: Map

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


Param: TypeAlias = "Value | EncodedMap"
"""A parameter of a call, as it is decoded."""


class CutCall(NamedTuple):
    """A call whose message is still encoded; otherwise as `hubfarm.samp.xmlrpc.Call`."""

    method: str
    params: list[Param]


_HEAD = re.compile(
    rb"(?:<\?xml version=['\"]1\.0['\"](?: encoding=['\"](?:UTF|utf)-8['\"])? ?\?>)?%b"
    rb"<methodCall>%b<methodName>(samp\.hub\.[A-Za-z]+)</methodName>%b(?:(<params>)%b)?" % (SPACE, SPACE, SPACE, SPACE)
)
_STRING_PARAM = re.compile(
    rb"<param>%b<value>(?:%b<string>(%b)</string>%b|(%b))</value>%b</param>%b"
    % (SPACE, SPACE, PLAIN, SPACE, PLAIN, SPACE, SPACE)
)
_MAP_PARAM = re.compile(rb"<param>%b(?=<value>)" % SPACE)
_MAP = re.compile(rb"<value>%b<struct>%b" % (SPACE, SPACE))
_MEMBER = re.compile(
    rb"<member>%b<name>(%b)</name>%b"
    rb"(?:<value>(?:%b<string>(%b)</string>%b|(%b))</value>%b</member>%b|(?=<value>%b<(struct|array)>))"
    % (SPACE, PLAIN, SPACE, SPACE, PLAIN, SPACE, PLAIN, SPACE, SPACE, SPACE)
)
_END_OF_MAP = re.compile(rb"</struct>%b</value>" % SPACE)
_END_OF_PARAM = re.compile(rb"%b</param>%b" % (SPACE, SPACE))
_TAIL = re.compile(rb"</methodCall>%b" % SPACE)
_TAIL_WITH_PARAMS = re.compile(rb"</params>%b</methodCall>%b" % (SPACE, SPACE))


def cut_call(data: bytes) -> CutCall | None:
    """Read a call and leave a map among its parameters encoded; None if the plain path is needed.

    Parameters
    ----------
    data : bytes
        The body of a request.

    Examples
    --------
    >>> from hubfarm.samp.xmlrpc import encode_call
    >>> message = {"samp.mtype": "samp.app.ping", "samp.params": {"a": "1"}}
    >>> cut = cut_call(encode_call("samp.hub.notifyAll", ["key", message]))
    >>> cut.params[1].outline
    {'samp.mtype': 'samp.app.ping', 'samp.params': {}}
    >>> cut.params[1].decode() == message
    True
    """
    head = _HEAD.match(data) if data.isascii() else None
    if head is None:
        return None
    method = head[1].decode()
    params: list[Param] = []
    position = head.end()
    if head[2] is not None:
        while True:
            if found := _STRING_PARAM.match(data, position):
                text = found[1] or found[2] or b""
                if b"\r" in text:
                    return None
                params.append(text.decode())
                position = found.end()
            elif method in _CARRIERS and (found := _MAP_PARAM.match(data, position)):
                cut = _cut_map(data, found.end())
                # What is in an error is looked at: the outline is too little.
                if cut is None or "samp.error" in cut.outline:
                    return None
                if not (end := _END_OF_PARAM.match(data, found.end() + len(cut.xml))):
                    return None
                params.append(cut)
                position = end.end()
            else:
                break
    tail = _TAIL if head[2] is None else _TAIL_WITH_PARAMS
    return CutCall(method, params) if tail.fullmatch(data, position) else None


def _cut_map(data: bytes, start: int) -> EncodedMap | None:
    found = _MAP.match(data, start)
    if found is None:
        return None
    outline: Map = {}
    position = found.end()
    while found := _MEMBER.match(data, position):
        name, string, bare, kind = found.groups()
        key, value = name.decode(), string or bare or b""
        if key in outline or b"\r" in name or b"\r" in value:
            return None
        outline[key] = value.decode() if kind is None else {} if kind == b"struct" else []
        position = found.end() if kind is None else end_of_member(data, found.end(), LEVELS - 1)
        if position < 0:
            return None
    end = _END_OF_MAP.match(data, position)
    return None if end is None else EncodedMap(data[start : end.end()], outline)
