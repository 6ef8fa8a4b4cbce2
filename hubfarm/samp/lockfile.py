"""Lock-file text to tokens and back, and the ``SAMP_HUB`` variable (SAMP 1.3, 4.2 and 4.3).

Pure text: where lock files lie and who may write them is `hubfarm.registry`'s.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hubfarm.samp.errors import BadLockFile, WrongUse

SECRET = "samp.secret"
URL = "samp.hub.xmlrpc.url"
VERSION = "samp.profile.version"
TLS_CERTIFICATE = "hubfarm.tls.certificate"
"""By which certificate a hub is known: its own, or the one that has signed it; see `hubfarm.wire.tls`."""
TLS_CERT_FILE = "hubfarm.tls.cert-file"
"""Where its certificate lies, if that is not the farm's own."""
TLS_FINGERPRINT = "hubfarm.tls.fingerprint"
"""The SHA-256 of the certificate that it shows."""
REQUIRED = (SECRET, URL, VERSION)

PREFIX = "std-lockurl:"
"""What a value of ``SAMP_HUB`` begins with."""
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_ESCAPED = re.compile(r"\\(.?)")


def parse(text: str) -> dict[str, str]:
    r"""Read a lock file's text.

    Lines end in LF, CR or CRLF; comments and blank lines are passed over; backslashes,
    with which some writers escape colons, are dropped.  A key that stands twice keeps its
    last value.

    Parameters
    ----------
    text : str
        The whole file.

    Returns
    -------
    dict of str to str
        The tokens, in the file's order; not necessarily all the required ones.

    Raises
    ------
    BadLockFile
        A line is not ``key=value``.

    Examples
    --------
    >>> parse("# a hub\nsamp.secret=abc\nsamp.hub.xmlrpc.url=http\\://127.0.0.1\\:4000/\n")
    {'samp.secret': 'abc', 'samp.hub.xmlrpc.url': 'http://127.0.0.1:4000/'}
    """
    tokens = {}
    for number, line in enumerate(_LINE_ENDS.split(text.removeprefix("\ufeff")), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise BadLockFile(f"line {number} of the lock file is not key=value")
        tokens[_unescape(key.strip())] = _unescape(value.strip())
    return tokens


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def write(tokens: Mapping[str, str], comment: str = "") -> str:
    """Write tokens as a lock file's text; `parse` reads the same tokens back.

    Raises
    ------
    BadLockFile
        A token or the comment holds a line end, or a key cannot be told from a comment or a value.

    Examples
    --------
    >>> print(write({"samp.secret": "abc"}, comment="a hub"), end="")
    # a hub
    samp.secret=abc
    """
    if _LINE_ENDS.search(comment):
        raise BadLockFile("the comment of the lock file has a line end in it")
    lines = [f"# {comment}"] if comment else []
    for key, value in tokens.items():
        if not key or key != key.strip() or "=" in key or key.startswith(("#", "\ufeff")) or _LINE_ENDS.search(key):
            raise BadLockFile(f"not a key for a lock file: {key!r}")
        if _LINE_ENDS.search(value) or value != value.strip():
            raise BadLockFile(f"the value of {key} has a line end in it or white space around it")
        lines.append(f"{key}={value}".replace("\\", "\\\\"))
    return "\n".join([*lines, ""])


def check_required(tokens: Mapping[str, str]) -> Mapping[str, str]:
    """Return `tokens` if the three required ones are there (SAMP 1.3, 4.3).

    Raises
    ------
    BadLockFile
        One is missing or empty.
    """
    missing = [key for key in REQUIRED if not tokens.get(key)]
    if missing:
        raise BadLockFile(f"the lock file lacks {', '.join(missing)}")
    return tokens


def lock_url(path: Path) -> str:
    """Return the value of ``SAMP_HUB`` that names the lock file at `path`.

    Examples
    --------
    >>> lock_url(Path("/home/luigi/.samp-1/samp-hub-12-1"))
    'std-lockurl:file:///home/luigi/.samp-1/samp-hub-12-1'
    """
    return PREFIX + path.absolute().as_uri()


def parse_samp_hub(value: str) -> str:
    """Return the lock file's URL from a value of ``SAMP_HUB``.

    Raises
    ------
    WrongUse
        The value does not start with ``std-lockurl:``.

    Examples
    --------
    >>> parse_samp_hub("std-lockurl:file:///tmp/lock")
    'file:///tmp/lock'
    """
    if not value.startswith(PREFIX):
        raise WrongUse(f"SAMP_HUB is {value[:80]!r}: it must start with std-lockurl: and name a lock file by URL")
    return value.removeprefix(PREFIX)


def shown(lock_file: str) -> str:
    """Return a lock file as it was named, but for a share's secret: for people and logs.

    Examples
    --------
    >>> shown("https://obs.example.org:40001/share/5d0c#sha256=9a"), shown("/home/x/.samp")
    ('https://obs.example.org:40001/share/…', '/home/x/.samp')
    """
    before, share, _ = lock_file.partition("/share/")
    return f"{before}{share}…" if share and before.startswith(("http", "std-lockurl:")) else lock_file


def file_path(url: str) -> Path:
    """Return the path that a ``file:`` URL names.

    Raises
    ------
    WrongUse
        The URL is of another scheme, or names another host.

    Examples
    --------
    >>> file_path("file:///tmp/a%20lock")
    PosixPath('/tmp/a lock')
    """
    try:
        parts = urlsplit(url)
        path = unquote(parts.path)
        usable = parts.scheme == "file" and parts.netloc in ("", "localhost") and path and "\0" not in path
    except ValueError:
        usable = False
    if not usable:
        raise WrongUse(f"not the URL of a file on this host: {url[:80]!r} (file:///path is)")
    return Path(path)
