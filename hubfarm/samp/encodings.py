"""Documents in other encodings than UTF-8, brought into that: the readers know no other.

What expat reads is read: UTF-16, and every encoding with one byte a character that Python knows.
"""

import codecs
import re

from hubfarm.samp.errors import BadValue

_DECLARATION = re.compile(
    rb"<\?xml[ \t\r\n][^>]{0,200}?\bencoding[ \t\r\n]*=[ \t\r\n]*['\"]([A-Za-z][A-Za-z0-9._-]*+)['\"]"
)


def encoding_of(data: bytes) -> str:
    """Return what encoding a document is in, as far as its first bytes tell; in lower case.

    Examples
    --------
    >>> encoding_of(b"<?xml version='1.0' encoding='ISO-8859-1'?><methodCall/>")
    'iso-8859-1'
    """
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0", b"\0<"):
        return "utf-16"
    return _declared(data.removeprefix(codecs.BOM_UTF8) if data[:1] == b"\xef" else data) or "utf-8"


def _declared(data: bytes) -> str:
    found = _DECLARATION.match(data)
    return found[1].decode().lower() if found else ""


def to_utf8(data: bytes, encoding: str, *, whole: bool = True) -> bytes:
    """Return a document in UTF-8, without its declaration.

    Parameters
    ----------
    data : bytes
        The document.
    encoding : str
        What `encoding_of` says of it.
    whole : bool
        It is no mere beginning, which may end in the middle of a character.

    Raises
    ------
    BadValue
        The encoding is unknown, or the document is not in it.
    """
    try:
        if encoding == "utf-16":
            text = _from_utf_16(data, whole)
        else:
            text = codecs.charmap_decode(data, "strict", _table(encoding))[0]
    except (UnicodeError, LookupError, ValueError):
        raise BadValue(f"the document is not in the encoding {encoding}, or that is none that can be read") from None
    if text.startswith("<?xml"):
        text = text.partition("?>")[2]
    return text.encode()


def _from_utf_16(data: bytes, whole: bool) -> str:
    order = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(data[:2], "utf-16")
    text = codecs.getincrementaldecoder(order)().decode(data, final=whole)
    if order == "utf-16" and data[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise ValueError  # it only says that it is
    if _declared(text[:400].encode()) not in ("", "utf-16", "utf-16le", "utf-16be"):
        raise ValueError
    return text


def _table(encoding: str) -> str:
    """Return the character of each byte, U+FFFE where there is none."""
    table = bytes(range(256)).decode(encoding, "replace")
    if len(table) != 256:
        raise ValueError
    return table.replace("\ufffd", "\ufffe")
