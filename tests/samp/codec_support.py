"""The two readers of XML-RPC held against each other: the one in C, and its oracle on expat."""

from types import ModuleType
from typing import Any
from xmlrpc.client import loads

from hubfarm.samp import expat_reader
from hubfarm.samp.encodings import encoding_of, to_utf8
from hubfarm.samp.errors import BadValue
from hubfarm.samp.xmlrpc import decode_value

try:
    from hubfarm.samp import _codec
except ImportError:  # a test says so
    _codec = None  # type: ignore[assignment]

LIMITS = (64, 2**20, 100_000)


class Refusal(str):
    """What a reader says of a document that it refuses."""


def read_by(reader: ModuleType, data: bytes, outline: bool, limits: tuple[int, int, int]) -> Any:
    """Return what a reader makes of a document, or why it refuses it."""
    try:
        return reader.read(data, outline, *limits)
    except ValueError as refused:
        return Refusal(refused.args[0])


def compare(data: bytes, limits: tuple[int, int, int] = LIMITS) -> Any:
    """Hold both readers against each other, whole and in outline; return what the one in C made of the document."""
    whole = _agreed(data, limits)
    if whole == "encoding":
        try:
            return _agreed(to_utf8(data, encoding_of(data)), limits)
        except BadValue:
            pass
    return whole


def _agreed(data: bytes, limits: tuple[int, int, int]) -> Any:
    in_c, by_expat = (read_by(reader, data, False, limits) for reader in (_codec, expat_reader))
    assert _codec.read_start(data) == expat_reader.read_start(data)
    if isinstance(in_c, Refusal) or isinstance(by_expat, Refusal):
        # Which of two mistakes is noticed first is each reader's own affair.
        assert isinstance(in_c, Refusal), (in_c, by_expat)
        assert isinstance(by_expat, Refusal), (in_c, by_expat)
        return in_c
    assert in_c == by_expat
    check_outline(in_c, read_by(_codec, data, True, limits), read_by(expat_reader, data, True, limits))
    return in_c


def check_outline(whole: Any, in_c: Any, by_expat: Any) -> None:
    """Whatever is left encoded is what was read, fit to be pasted into any document."""
    for params in (in_c[2], by_expat[2]):
        for value, param in zip(whole[2], params, strict=True):
            if isinstance(value, dict) and not whole[3]:
                xml, outline = param
                assert decode_value(xml) == value
                assert loads(b"<params><param>%s</param></params>" % xml)[0] == (value,)
                assert b"<!" not in xml
                assert b"<?" not in xml
                assert outline == outlined(value)
            else:
                assert param == ([] if isinstance(value, list) and not whole[3] else value)


def outlined(value: dict[str, Any], levels: int = 1) -> dict[str, Any]:
    """The outline of a map, as it has to be."""
    return {
        key: item
        if isinstance(item, str)
        else outlined(item, 0)
        if isinstance(item, dict) and key == "samp.error" and levels
        else type(item)()
        for key, item in value.items()
    }
