"""What a server says to web pages of other origins, so that their browser lets them talk to it (CORS).  Pure.

A browser asks first (a *preflight*, by OPTIONS) whether a page may send what it wants to; and of each answer it asks
whether the page may read it.  Here every page may both: whether it is let in is another question, which the user is
asked.  Cookies and passwords that the browser keeps are never wanted.
"""

import re
from collections.abc import Mapping

LONGEST_ORIGIN = 2048
"""A longer ``Origin`` is none that a browser sends, characters."""

REMEMBERED = 600
"""How long a browser need not ask again, seconds."""

_ORIGIN = re.compile(r"null|[A-Za-z][A-Za-z0-9+.-]*://[\x21-\x7e]+", re.ASCII)

Fields = list[tuple[str, str]]
"""Header fields: names and values."""


def origin_of(headers: Mapping[str, str]) -> str:
    """Return which origin the browser says that a page is of; empty if it says none, or something that is none.

    Examples
    --------
    >>> origin_of({"origin": "https://aladin.cds.unistra.fr"})
    'https://aladin.cds.unistra.fr'
    """
    origin = headers.get("origin", "")
    return origin if len(origin) <= LONGEST_ORIGIN and _ORIGIN.fullmatch(origin) else ""


def preflight(headers: Mapping[str, str]) -> Fields | None:
    """Return the header fields of the answer to an OPTIONS request, whose status is 200 and whose body is empty.

    Parameters
    ----------
    headers : mapping
        The request's; names in lower case, or in a mapping that knows no case.

    Returns
    -------
    list of tuple of str, or None
        None if the request is no preflight.

    Examples
    --------
    >>> preflight({"origin": "https://a.example", "access-control-request-method": "POST"})[0]
    ('Access-Control-Allow-Origin', 'https://a.example')
    >>> preflight({"origin": "https://a.example"}) is None
    True
    """
    if "origin" not in headers or "access-control-request-method" not in headers:
        return None
    fields = readable(headers)
    if not fields:
        return []
    fields += [
        ("Access-Control-Allow-Methods", "POST, GET, HEAD, OPTIONS"),
        ("Access-Control-Allow-Headers", "Content-Type"),
        ("Access-Control-Max-Age", str(REMEMBERED)),
    ]
    if headers.get("access-control-request-private-network") == "true":  # an early form of Local Network Access
        fields.append(("Access-Control-Allow-Private-Network", "true"))
    return fields


def readable(headers: Mapping[str, str]) -> Fields:
    """Return the header fields of any other answer, by which the browser lets the page read it.

    Examples
    --------
    >>> readable({"origin": "null"})
    [('Access-Control-Allow-Origin', 'null'), ('Vary', 'Origin')]
    >>> readable({})
    []
    """
    origin = origin_of(headers)
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")] if origin else []
