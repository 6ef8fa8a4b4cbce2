"""A value written as XML-RPC, in Python: what `hubfarm.samp._codec` does, where that could not be compiled.

It also says what is wrong with a value that cannot be written.
"""

import re
from collections.abc import Callable

from hubfarm.samp.errors import BadValue
from hubfarm.samp.values import check_string

_TO_ESCAPE = re.compile("[&<>\r]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def escape(text: str) -> str:
    """Return a string as it stands in XML.

    Raises
    ------
    BadValue
        It holds a character that XML cannot carry.
    """
    check_string(text)
    # XML readers turn a literal carriage return into a newline: only a reference survives.
    return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)


def write_plainly(value: object) -> bytes:
    """Return a value as its ``<value>`` element.

    Raises
    ------
    BadValue
        It is no SAMP value.
    """
    parts: list[str] = []
    try:
        _write(value, parts.append)
    except RecursionError:
        raise BadValue("a value nests too deep, or holds itself") from None
    return "".join(parts).encode()


def _write(value: object, write: Callable[[str], None]) -> None:
    match value:
        case str():
            write(f"<value><string>{escape(value)}</string></value>")
        case dict():
            write("<value><struct>")
            for key, item in value.items():
                if not isinstance(key, str):
                    raise BadValue(f"the keys of a SAMP map are strings, not {key!r}")
                write(f"<member><name>{escape(key)}</name>")
                _write(item, write)
                write("</member>")
            write("</struct></value>")
        case list():
            write("<value><array><data>")
            for item in value:
                _write(item, write)
            write("</data></array></value>")
        case _:
            raise BadValue(
                f"SAMP knows strings, lists and maps only, not {type(value).__name__}: write {value!r} as a string"
            )
