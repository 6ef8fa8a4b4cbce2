"""SAMP's values: strings, lists and maps, and the numbers that travel as strings.

SAMP has three types (SAMP 1.3, 3.3).  Numbers and truth are written into strings
(3.4).  Beyond the letter of the standard, a string may hold any character that is
legal in XML 1.0, because real clients send Unicode.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

from hubfarm.samp.errors import BadValue

Value: TypeAlias = "str | list[Value] | dict[str, Value]"
Map: TypeAlias = dict[str, Value]

_ILLEGAL_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Possessive quantifiers: nothing is ever tried twice, whatever is sent.
_INT = re.compile(r"[+-]?+[0-9]++", re.ASCII)
_FLOAT = re.compile(r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?+", re.ASCII)

DEEPEST = 256
"""No limit on how deep lists and maps nest may be set higher: who reads documents calls itself for each level."""

LONGEST_NUMBER = 4000
"""A number has no more characters: to make a number of a million digits takes seconds."""


def check_string(text: str) -> str:
    r"""Return `text` if it may stand in a SAMP message.

    Raises
    ------
    BadValue
        `text` holds a character that XML 1.0 cannot carry.

    Examples
    --------
    >>> check_string("M 31 \u2605")
    'M 31 \u2605'
    """
    found = _ILLEGAL_IN_XML.search(text)
    if found:
        raise BadValue(
            f"a SAMP string cannot hold the character U+{ord(found[0]):04X} "
            f"(at position {found.start()}): leave it out or encode it"
        )
    return text


def check_value(value: object) -> Value:
    """Return `value` if it is made of strings, lists and maps with string keys only.

    Raises
    ------
    BadValue
        Something else is in it, or a string that XML cannot carry.

    Examples
    --------
    >>> check_value({"samp.name": "demo", "list": ["1", "2"]})
    {'samp.name': 'demo', 'list': ['1', '2']}
    """
    match value:
        case str():
            check_string(value)
        case list():
            for item in value:
                check_value(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise BadValue(f"the keys of a SAMP map are strings, not {type(key).__name__}: {key!r}")
                check_string(key)
                check_value(item)
        case _:
            raise BadValue(
                f"SAMP knows strings, lists and maps only, not {type(value).__name__}: write {value!r} as a string"
            )
    return value


def check_map(value: Value, what: str) -> Map:
    """Return `value` if it is a map; `what` names it in the error.

    Raises
    ------
    BadValue
        `value` is a string or a list.
    """
    if not isinstance(value, dict):
        raise BadValue(f"{what} must be a map, not a {_type_name(value)}")
    return value


def _type_name(value: object) -> str:
    return "string" if isinstance(value, str) else "list" if isinstance(value, list) else "map"


def outline_of(whole: Map) -> Map:
    """Return a map's members: strings as they are, of lists and maps only that they are such.

    Examples
    --------
    >>> outline_of({"samp.mtype": "a.b", "samp.params": {"x": "1"}})
    {'samp.mtype': 'a.b', 'samp.params': {}}
    """
    outlined: Map = {}
    for key, value in whole.items():
        if isinstance(value, str):
            outlined[key] = value
        elif key == "samp.error" and isinstance(value, dict):  # what is in an error is looked at too
            outlined[key] = {name: item if isinstance(item, str) else type(item)() for name, item in value.items()}
        else:
            outlined[key] = type(value)()
    return outlined


def expect_string(value: object, what: str) -> str:
    """Return `value` if it is a string; `what` names it in the error.

    Raises
    ------
    BadValue
        `value` is a list or a map.
    """
    if not isinstance(value, str):
        raise BadValue(f"{what} must be a string, not a {_type_name(value)}")
    return value


def parse_int(text: str) -> int:
    """Read a SAMP int (SAMP 1.3, 3.4).

    Raises
    ------
    BadValue
        `text` is not ``[+-]?[0-9]+``, or longer than `LONGEST_NUMBER`.

    Examples
    --------
    >>> parse_int("-7")
    -7
    """
    if len(text) > LONGEST_NUMBER or not _INT.fullmatch(text):
        raise BadValue(f"not a SAMP int (an optional sign and digits): {text[:40]!r}")
    return int(text)


def parse_float(text: str) -> float:
    """Read a SAMP float (SAMP 1.3, 3.4).

    Raises
    ------
    BadValue
        `text` is not a decimal number with an optional exponent, or longer than `LONGEST_NUMBER`.

    Examples
    --------
    >>> parse_float("1.5e3")
    1500.0
    """
    if len(text) > LONGEST_NUMBER or not _FLOAT.fullmatch(text):
        raise BadValue(f"not a SAMP float (a decimal number, as 1.5 or 2e-3): {text[:40]!r}")
    return float(text)


def parse_boolean(text: str) -> bool:
    """Read a SAMP boolean (SAMP 1.3, 3.4).

    Raises
    ------
    BadValue
        `text` is neither ``"0"`` nor ``"1"``.

    Examples
    --------
    >>> parse_boolean("1")
    True
    """
    if text not in ("0", "1"):
        raise BadValue(f"not a SAMP boolean (0 or 1): {text[:40]!r}")
    return text == "1"


def write_boolean(truth: bool) -> str:
    """Write a SAMP boolean.

    Examples
    --------
    >>> write_boolean(False)
    '0'
    """
    return "1" if truth else "0"


def check_message(message: Value) -> Map:
    """Return `message` if it is a SAMP message (SAMP 1.3, 3.8).

    A message is a map with the string ``samp.mtype`` and the map ``samp.params``;
    any other key is legal and stays.  Some clients leave ``samp.params`` out when there are none.

    Raises
    ------
    BadValue
        The MType is missing, or one of the two is of the wrong type.
    """
    checked = check_map(message, "a message")
    if "samp.mtype" not in checked:
        raise BadValue("a message needs the key samp.mtype: it says what the message means")
    expect_string(checked["samp.mtype"], "samp.mtype")
    check_map(checked.get("samp.params", {}), "samp.params")
    return checked


_NEEDED_BY_STATUS: Mapping[str, tuple[str, ...]] = {
    "samp.ok": ("samp.result",),
    "samp.warning": ("samp.result", "samp.error"),
    "samp.error": ("samp.error",),
}


def check_response(response: Value) -> Map:
    """Return `response` if it is a SAMP response (SAMP 1.3, 3.9).

    A status of another word passes, with a result or an error beside it.

    Raises
    ------
    BadValue
        ``samp.status`` is missing, or a key that this status needs is
        missing or not a map, or ``samp.error`` has no ``samp.errortxt``.
    """
    checked = check_map(response, "a response")
    status = checked.get("samp.status")
    if not isinstance(status, str):
        raise BadValue(f"a response needs samp.status: one of {', '.join(_NEEDED_BY_STATUS)}")
    present = [key for key in ("samp.result", "samp.error") if key in checked]
    for key in _NEEDED_BY_STATUS.get(status, present or ["samp.result"]):
        if key not in present:
            raise BadValue(f"a response with samp.status {status[:40]} needs the key {key}: a map")
    for key in present:
        check_map(checked[key], key)
    error = checked.get("samp.error")
    if isinstance(error, dict) and not isinstance(error.get("samp.errortxt"), str):
        raise BadValue("samp.error needs the key samp.errortxt: a string that says what went wrong")
    return checked


def error_response(text: str) -> Map:
    """Make the response that says that something went wrong (SAMP 1.3, 3.9).

    Examples
    --------
    >>> error_response("client c2 has gone")
    {'samp.status': 'samp.error', 'samp.error': {'samp.errortxt': 'client c2 has gone'}}
    """
    return {"samp.status": "samp.error", "samp.error": {"samp.errortxt": text}}


def ok_response(result: Map) -> Map:
    """Make the response that carries a result (SAMP 1.3, 3.9).

    Examples
    --------
    >>> ok_response({})
    {'samp.status': 'samp.ok', 'samp.result': {}}
    """
    return {"samp.status": "samp.ok", "samp.result": result}
