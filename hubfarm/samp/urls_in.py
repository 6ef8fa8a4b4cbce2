"""The URLs that an encoded message, response or map names: its strings that look like one.

Theory of operation: most messages name none, and none of their bytes may be looked at twice.  So it is the bytes of the
XML that are searched, for the ``:/`` that each URL has; only the text around one is decoded.  Every byte costs the
same, whatever it says.
"""

import re
from collections.abc import Iterator

from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_value

LONGEST_URL = 8192
"""A longer string is none that anybody fetches, bytes."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/\S.*", re.DOTALL)


def urls_in(xml: bytes) -> Iterator[str]:
    """Yield the strings in an encoded value that look like a URL, in their order; the keys of maps are none.

    Parameters
    ----------
    xml : bytes
        A ``<value>`` element, or a document around one, as the codec has written or taken it.

    Examples
    --------
    >>> from hubfarm.samp.xmlrpc import encode_value
    >>> list(urls_in(encode_value({"url": "file:///a&b.fits", "name": "M 31", "at:/": "1"})))
    ['file:///a&b.fits']
    """
    end = 0
    while (found := xml.find(b":/", end)) >= 0:
        tag = xml.rfind(b"<", end, found)
        start = xml.find(b">", tag if tag >= 0 else end, found) + 1
        end = xml.find(b"<", found)
        if end < 0:
            return
        # Of a text that is cut in two by markup (there is none within strings) nothing is a URL.
        if tag < 0 or not start or end - start > LONGEST_URL or xml[tag:start].startswith(b"<name"):
            continue
        if _URL.fullmatch(text := _text_of(xml[start:end])):
            yield text


def _text_of(encoded: bytes) -> str:
    try:
        text = decode_value(b"<value>%s</value>" % encoded)
    except Fault:  # it is no string
        return ""
    return text.strip() if isinstance(text, str) else ""
