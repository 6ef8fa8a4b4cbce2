"""URLs of hubs and of clients: what is one, and how the address of a socket is written as one."""

import socket
from urllib.parse import SplitResult, urlsplit

from hubfarm.samp.errors import WrongUse
from hubfarm.wire.addresses import EVERYWHERE

LONGEST_URL = 2048
"""Longest URL, characters: it is looked at more than once, and goes into every head."""


def check_http_url(url: str) -> SplitResult:
    """Return the parts of `url` if it is an ``http:`` or ``https:`` URL with a host.

    Raises
    ------
    WrongUse
        It is not, or it is longer than `LONGEST_URL`.

    Examples
    --------
    >>> check_http_url("http://127.0.0.1:4000/xmlrpc").port
    4000
    """
    if len(url) > LONGEST_URL:
        raise WrongUse(f"the URL is longer than {LONGEST_URL} characters: {url[:60]!r}…")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character <= " " or character > "~" for character in url):
        raise WrongUse(f"not an http or https URL: {url[:200]!r}")
    return parts


def place_of(url: str) -> tuple[str, int]:
    """Return the host and the port that a URL leads to.

    Raises
    ------
    WrongUse
        It is none; see `check_http_url`.

    Examples
    --------
    >>> place_of("http://[::1]/xmlrpc")
    ('::1', 80)
    """
    parts = check_http_url(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def base_url(sock: socket.socket, *, tls: bool = False) -> str:
    """Return the URL at which a client reaches what listens on `sock`; it ends in a slash.

    Examples
    --------
    >>> with socket.create_server(("127.0.0.1", 0)) as sock:
    ...     base_url(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}/"
    True
    """
    host, port = sock.getsockname()[:2]
    if host in EVERYWHERE:
        host = socket.gethostname()  # a wildcard is no address: other hosts know us by name
    return f"http{'s' * tls}://{written(host)}:{port}/"


def written(host: str) -> str:
    """Return a host as it stands in a URL: IPv6 addresses in brackets.

    Examples
    --------
    >>> written("::1"), written("localhost")
    ('[::1]', 'localhost')
    """
    return f"[{host}]" if ":" in host else host
