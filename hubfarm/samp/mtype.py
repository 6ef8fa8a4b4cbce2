"""MTypes and subscription patterns (SAMP 1.3, 3.6.2 and 3.7).

An MType is dot-separated atoms.  A pattern is an MType, or a prefix that ends in
``.*``, or ``*``.  Matching never looks at the patterns that exist: the few that
*could* match an MType follow from the MType itself (`candidates`).
"""

import re
from collections.abc import Container, Sequence
from functools import lru_cache

from hubfarm.samp.errors import BadValue

_ATOM = r"[A-Za-z0-9_-]+"
_MTYPE = re.compile(rf"{_ATOM}(\.{_ATOM})*", re.ASCII)
_PATTERN = re.compile(rf"\*|{_ATOM}(\.{_ATOM})*(\.\*)?", re.ASCII)

LONGEST = 255
"""Longest MType or pattern, characters: what could match grows with the square of the length."""


def check_mtype(text: str) -> str:
    """Return `text` if it is an MType.

    Raises
    ------
    BadValue
        It is not made of dot-separated atoms, or longer than `LONGEST`.

    Examples
    --------
    >>> check_mtype("table.load.votable")
    'table.load.votable'
    """
    if len(text) > LONGEST:
        raise BadValue(f"the MType {text[:80]!r}… has {len(text)} characters: {LONGEST} at most")
    if not _MTYPE.fullmatch(text):
        raise BadValue(f"not an MType: {text[:80]!r} (dot-separated atoms of A-Z a-z 0-9 _ -, as table.load.votable)")
    return text


def check_pattern(text: str) -> str:
    """Return `text` if it is a subscription pattern.

    Raises
    ------
    BadValue
        It is neither an MType, nor an MType followed by ``.*``, nor ``*``; or longer than `LONGEST`.

    Examples
    --------
    >>> check_pattern("table.*")
    'table.*'
    """
    if len(text) > LONGEST:
        raise BadValue(f"the subscription {text[:80]!r}… has {len(text)} characters: {LONGEST} at most")
    if not _PATTERN.fullmatch(text):
        raise BadValue(f"not a subscription: {text[:80]!r} (an MType, or one that ends in .*, or * alone)")
    return text


@lru_cache(maxsize=64)
def candidates(mtype: str) -> Sequence[str]:
    """Return every pattern that matches `mtype`, the most specific first.

    Examples
    --------
    >>> candidates("table.load.votable")
    ('table.load.votable', 'table.load.*', 'table.*', '*')
    """
    found = [mtype]
    end = mtype.rfind(".")
    while end > 0:
        found.append(mtype[: end + 1] + "*")
        end = mtype.rfind(".", 0, end)
    return (*found, "*")


def matching(patterns: Container[str], mtype: str) -> str | None:
    """Return the most specific of some patterns that matches `mtype`, None if none does.

    Examples
    --------
    >>> matching({"*", "table.*"}, "table.load.votable")
    'table.*'
    >>> matching({"image.*"}, "table.load.votable") is None
    True
    """
    return next((pattern for pattern in candidates(mtype) if pattern in patterns), None)


def without_x(mtype: str) -> str:
    """Return the ``samp.`` namesake of an ``x-samp.`` name, any other name as it is.

    Examples
    --------
    >>> without_x("x-samp.query.by-meta")
    'samp.query.by-meta'
    """
    return mtype.removeprefix("x-") if mtype.startswith("x-samp.") else mtype
