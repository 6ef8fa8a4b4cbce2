"""The fast path against the plain one, and the reader in C against the one in Python."""

from types import ModuleType
from unittest.mock import patch

from hubfarm.samp import cutting, nested
from hubfarm.samp.cutting import CutCall, EncodedMap, cut_call
from hubfarm.samp.values import Map
from hubfarm.samp.xmlrpc import Call, decode_call

READERS: list[ModuleType] = [nested]
try:
    from hubfarm.samp import _nested
except ImportError:  # a test says so
    pass
else:
    READERS.append(_nested)


def compare(body: bytes) -> bool:
    """Hold what the fast path makes of a call against what the plain one does; tell whether it took the call."""
    cut, *others = [cut_by(reader, body) for reader in READERS]
    assert all(other == cut for other in others)
    if cut is None:
        return False
    plain = decode_call(body)  # a Fault here is a failure: the fast path took what the plain one refuses
    read = [param.decode() if isinstance(param, EncodedMap) else param for param in cut.params]
    assert Call(cut.method, read) == plain
    for param in cut.params:
        if isinstance(param, EncodedMap):
            assert param.outline == outline_of(param.decode())
            assert param.xml in body
    return True


def cut_by(reader: ModuleType, body: bytes) -> CutCall | None:
    with patch.object(cutting, "end_of_member", reader.end_of_member):
        return cut_call(body)


def outline_of(whole: Map) -> Map:
    return {key: value if isinstance(value, str) else type(value)() for key, value in whole.items()}
