"""Where a web page comes from: its *origin*, as browsers say it (RFC 6454), and what can be told by it."""

import re
from urllib.parse import urlsplit

from hubfarm.samp.errors import WrongUse

OPAQUE = "null"
"""What a browser says of a page that is none of any host's: a sandboxed one, or a file.  All such pages look alike."""

NO_BROWSER = "none"
"""What we call the origin of a program that says none: no page in a browser, as these always do."""

_LONGEST = 2048
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@\\]+", re.ASCII)


def origin_said(header: str | None) -> str:
    """Return the origin of a request by its ``Origin`` header.

    Examples
    --------
    >>> origin_said("https://aladin.cds.unistra.fr"), origin_said("null"), origin_said(None), origin_said("x y")
    ('https://aladin.cds.unistra.fr', 'null', 'none', 'null')
    """
    if header is None:
        return NO_BROWSER
    said = header.strip().lower()
    return (
        said if len(said) <= _LONGEST and said.isprintable() and said.isascii() and _ORIGIN.fullmatch(said) else OPAQUE
    )


def origin_of(url: str) -> str:
    """Return the origin of a page by its URL, empty if that has none.

    Examples
    --------
    >>> origin_of("https://Archive.example:443/a/page?x=1"), origin_of("http://localhost:8000/"), origin_of("no URL")
    ('https://archive.example', 'http://localhost:8000', '')
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if not host or not parts.scheme:
        return ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}" + (f":{port}" if port not in (None, usual) else "")


def can_be_remembered(origin: str) -> bool:
    """Tell whether an origin is of one page's host, and no other's."""
    return origin not in (OPAQUE, NO_BROWSER)


def check_origin(text: str) -> str:
    """Return the origin that a user has named, who may have taken it from the address of a page.

    Raises
    ------
    WrongUse
        It is none, or one that cannot be told from others.

    Examples
    --------
    >>> check_origin("https://aladin.cds.unistra.fr/AladinLite/"), check_origin("none")
    ('https://aladin.cds.unistra.fr', 'none')
    """
    if text == NO_BROWSER:
        return text
    origin = origin_of(text)
    if not origin or origin_said(origin) != origin:
        raise WrongUse(
            f"{text[:200]!r} is no origin that can be trusted: write https://HOST, with its port if it has one; "
            f"or {NO_BROWSER} for this account's programs that are no browser"
        )
    return origin
