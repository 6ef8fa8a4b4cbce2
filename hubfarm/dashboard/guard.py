"""What a request must be, before anybody answers it: for this dashboard, and of a page of its own.  Pure.

A page of another site that leads a browser here gives itself away by its origin; one whose own host name was turned to
this host (DNS rebinding), by the name that it calls us.
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        # The hub of the visitor's desktop, if it is to be joined.
        "connect-src 'self' http://localhost:21012 http://127.0.0.1:21012; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""What every answer says."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def refusal_of_name(host: str | None, allowed: Collection[str]) -> str:
    """Say why a request is not for us by the name that it calls us; empty if it is.

    Parameters
    ----------
    host : str or None
        Its ``Host``; the port is anybody's, as ``ssh -L`` may have another.
    allowed : collection of str
        Other names that are ours, small letters.

    Examples
    --------
    >>> refusal_of_name("localhost:9000", ()), refusal_of_name("[::1]:8621", ()), refusal_of_name("farm.x", ["farm.x"])
    ('', '', '')
    >>> refusal_of_name("evil.example:8621", ())
    'this dashboard is not called evil.example; hubfarm dashboard --allow-host says that it is'
    """
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        name = ""
    if name in LOOPBACK or name in allowed:
        return ""
    return f"this dashboard is not called {name[:100]}; hubfarm dashboard --allow-host says that it is"


def refusal_of_origin(headers: Mapping[str, str], *, is_proxied: bool) -> str:
    """Say why a request that does something is not of a page of ours; empty if it is.

    Parameters
    ----------
    headers : mapping
        Its head, by names in whichever case.
    is_proxied : bool
        A proxy's word counts for the name by which the browser has called it.

    Examples
    --------
    >>> refusal_of_origin({"Origin": "http://localhost:8621", "Host": "localhost:8621"}, is_proxied=False)
    ''
    >>> refusal_of_origin({"Origin": "http://localhost:8888", "Host": "localhost:8621"}, is_proxied=False)
    'a page of http://localhost:8888 may not ask that'
    """
    origin = headers.get("Origin", "")
    ours = {headers.get("Host", "").lower()}
    if is_proxied:
        ours.add(headers.get("X-Forwarded-Host", "").lower())
    scheme, _, place = origin.partition("://")
    if scheme not in ("http", "https") or not place or place.lower() not in ours:
        return f"a page of {origin[:100] or 'no origin'} may not ask that"
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return "a page of another site may not ask that"
    return ""
