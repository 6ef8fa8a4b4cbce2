"""TOML that people write: where something stands, and what is wrong with it, in our words.

It knows neither farm files nor settings: those say what may stand in them.
"""

import re
import tomllib
from typing import Any

from hubfarm.samp.errors import WrongUse

_KINDS = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "text",
    "`bool`": "true or false",
    "`object`": "a table",
    "`array`": "a list",
}
"""What msgspec calls the kinds of values that TOML has, and what people do."""

_SAID = {"Cannot overwrite a value": "it is set twice"}
"""What tomllib says that nobody understands."""


def load_toml(text: str) -> dict[str, Any]:
    r"""Return what TOML holds.

    Raises
    ------
    WrongUse
        It is none; the message begins with the line.

    Examples
    --------
    >>> load_toml("[[hub]]\ncount = 4")
    {'hub': [{'count': 4}]}
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", where)
        lines = text.splitlines() or [""]
        number = int(found[1]) if found else len(lines)
        raise WrongUse(f"line {number}: {_SAID.get(what, what)}: {lines[number - 1].strip()[:80]!r}") from None
    except RecursionError:
        raise WrongUse("it nests too deeply") from None


def line_of(text: str, key: str, header: str = "", number: int = 1) -> str:
    """Return where a key stands, below the so-many-th `header`, as ``line 3: ``; nothing if it is not found."""
    seen = 0 if header else number
    at_header = ""
    for count, line in enumerate(text.splitlines(), start=1):
        bare = re.sub(r"\s", "", line)
        if header and bare.startswith(header):
            seen += 1
            at_header = f"line {count}: " if seen == number else at_header
        elif seen == number and key and re.match(rf"\[*{re.escape(key)}[\].=]", bare):
            return f"line {count}: "
    return at_header


def in_our_words(text: str) -> str:
    """Return what msgspec says of a wrong value as people would: the name first, and no code.

    Examples
    --------
    >>> in_our_words("Expected `float`, got `str` - at `$.timeout`")
    'timeout: expected a number, got text'
    """
    what, _, where = text.partition(" - at `$")
    if what[:1].islower():  # a check of ours: it names what it is about
        return what
    for theirs, ours in _KINDS.items():
        what = what.replace(theirs, ours)
    return f"{where.strip('.`')}: {what[0].lower()}{what[1:]}" if where else what
