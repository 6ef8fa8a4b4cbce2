"""Where a member that holds a list or a map ends, and whether it is sound.

This is what takes the place of ``_nested.c`` where that could not be compiled.
"""

import re
from functools import cache

# Possessive quantifiers throughout: nothing is ever tried twice, whatever is sent.
SPACE = rb"[ \t\r\n]*+"
PLAIN = rb"[^<&>\x00-\x08\x0b\x0c\x0e-\x1f]*+"
_NAME_TEXT = rb"[^<&>\x00-\x08\x0b-\x1f]*+"
_TEXT = rb"%b(?:&(?:amp|lt|gt|quot|apos|#13);%b)*+" % (PLAIN, PLAIN)

_NAME = re.compile(rb"<name>([^<]*+)")
_MARK = re.compile(rb"<name>[^<]*+|</?struct>")


def end_of_member(data: bytes, position: int, levels: int) -> int:
    """Return where a member's value, and the member with it, ends; -1 if that is not sure.

    Sure is it of ASCII in ``<string>`` or bare values, with the usual character references, in
    lists and maps without two members of one name.

    Parameters
    ----------
    data : bytes
        XML.
    position : int
        Where the member's ``<value>`` begins, bytes.
    levels : int
        How deep lists and maps may nest in it; the pattern doubles with each level.

    Examples
    --------
    >>> member = b"<member><name>a</name><value><array><data></data></array></value></member>"
    >>> end_of_member(member, member.index(b"<value>"), 1) == len(member)
    True
    >>> end_of_member(member, member.index(b"<value>"), 0)
    -1
    """
    found = _member(levels).match(data, position)
    return -1 if found is None or _has_twins(data, position, found.end()) else found.end()


@cache
def _member(levels: int) -> re.Pattern[bytes]:
    # Without groups: behind one, `re` saves the groups at every turn of a loop, and takes twice as long.
    return re.compile(rb"%b%b</member>%b" % (_value(levels), SPACE, SPACE))


def _value(levels: int) -> bytes:
    """Return the pattern of a ``<value>`` in which lists and maps nest up to `levels` deep.

    A list of strings as Python's clients write it has an alternative of its own: a third faster.
    """
    kinds = rb"<string>%b</string>" % _TEXT
    if levels:
        inner = _value(levels - 1)
        strings = rb"(?:<value><string>%b</string></value>%b)++" % (PLAIN, SPACE)
        member = rb"<member>%b<name>%b</name>%b%b%b</member>%b" % (SPACE, _NAME_TEXT, SPACE, inner, SPACE, SPACE)
        kinds += rb"|<struct>%b(?:%b)*+</struct>" % (SPACE, member)
        kinds += rb"|<array>%b<data>%b(?:%b|%b%b)*+</data>%b</array>" % (SPACE, SPACE, strings, inner, SPACE, SPACE)
    return rb"<value>(?:%b(?:%b)%b|%b)</value>" % (SPACE, kinds, SPACE, _TEXT)


def _has_twins(xml: bytes, start: int, end: int) -> bool:
    """Tell whether a map between `start` and `end` has two members of one name."""
    names = _NAME.findall(xml, start, end)
    if len(set(names)) == len(names):
        return False
    open_maps: list[set[bytes]] = []
    for mark in _MARK.findall(xml, start, end):
        if mark == b"<struct>":
            open_maps.append(set())
        elif mark == b"</struct>":
            open_maps.pop()
        elif mark in open_maps[-1]:
            return True
        else:
            open_maps[-1].add(mark)
    return False
