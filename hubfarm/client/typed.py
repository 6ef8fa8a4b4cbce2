"""Numbers that arrive as numbers, for programs that have the switch on (`hubfarm.switches.Conf.numbers`).

SAMP knows strings (SAMP 1.3, 3.4), and most hubs turn XML-RPC's numbers into them.  So a message goes out as SAMP
has it, with a note beside its parameters that says which of its strings were numbers; any hub passes it on, and other
programs pass over it.  What comes in is read by its note.  Notes are others' words: what does not fit is left.
"""

import numbers
from collections.abc import Callable, Mapping
from typing import Any

from hubfarm.samp.values import Value, parse_boolean, parse_int
from hubfarm.switches import conf

NOTE = "hubfarm.numbers"
"""The key of the note in a message or response.

A note has the shape of what it is about, where there are numbers: a map's note is a map; a list's is a map by position,
or a list of one if that says all; a number's is its type as XML-RPC calls it.
"""

_READ: Mapping[str, Callable[[str], object]] = {"int": parse_int, "double": float, "boolean": parse_boolean}


def noted(value: Any) -> Any:
    """Return a message or response with the note of its numbers; anything else as it is.

    Examples
    --------
    >>> with conf.set_temp("numbers", True):
    ...     noted({"samp.mtype": "my.mtype", "samp.params": {"row": 7, "name": "7", "rows": [1, 2]}})[NOTE]
    {'samp.params': {'row': 'int', 'rows': ['int']}}
    """
    if conf.numbers and isinstance(value, Mapping) and ("samp.mtype" in value or "samp.status" in value):
        note = _note(value)
        return value if note is None else {**value, NOTE: note}
    return value


def _note(value: object) -> "Value | None":
    match value:
        case bool():
            return "boolean"
        case numbers.Integral():
            return "int"
        case numbers.Real():
            return "double"
        case Mapping():
            return {key: note for key, item in value.items() if (note := _note(item)) is not None} or None
        case list() | tuple():
            notes = [_note(item) for item in value]
            if notes and isinstance(notes[0], str) and all(note == notes[0] for note in notes):
                return [notes[0]]
            return {str(position): note for position, note in enumerate(notes) if note is not None} or None
    return None


def restored(content: Mapping[str, Value]) -> dict[str, Any]:
    """Return a message or response that came in, with its numbers, and without its note.

    Examples
    --------
    >>> with conf.set_temp("numbers", True):
    ...     restored({"samp.params": {"row": "7", "name": "7"}, NOTE: {"samp.params": {"row": "int"}}})
    {'samp.params': {'row': 7, 'name': '7'}}
    """
    plain = dict(content)
    if not conf.numbers or NOTE not in plain:
        return plain
    note = plain.pop(NOTE)
    return _restore(plain, note)  # type: ignore[no-any-return]  # a dict stays one


def _restore(value: Value, note: Value) -> Any:
    match value, note:
        case str(), str():
            return _read(value, note)
        case dict(), dict():
            return {key: _restore(item, note[key]) if key in note else item for key, item in value.items()}
        case list(), [str(same)]:
            return [_restore(item, same) for item in value]
        case list(), dict():
            return [
                _restore(item, note[key]) if (key := str(position)) in note else item
                for position, item in enumerate(value)
            ]
    return value


def _read(text: str, kind: str) -> object:
    try:
        return _READ[kind](text)
    except (KeyError, ValueError):
        return text
