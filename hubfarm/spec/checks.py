"""What a name, a number or an address may be that somebody wants a hub to have.

Pure, and light: listing hubs loads this and nothing else of what a hub is asked to be.
"""

import ipaddress
import re
from collections.abc import Collection

from hubfarm.samp.errors import WrongUse

MAX_HUBS = 1000
"""Hubs a farm may hold: the slots of the state table."""

LONGEST_NAME = 100
"""Longest name of an owner, a group or a user, characters."""

_NAME = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]{{1,{LONGEST_NAME}}}")


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be an owner's or a group's; `what` names it in the error.

    Raises
    ------
    WrongUse
        It is empty, longer than 100 characters, has a control character, line end or ``=``
        in it, or white space around it.
    """
    # A second "=" in one line of one lock file, and astropy and pyvo find no hub at all.
    if not _NAME.fullmatch(name) or name != name.strip() or "=" in name:
        raise WrongUse(
            f"not usable as {what}: {name[:120]!r} "
            "(1 to 100 printable characters on one line, no white space around, no =)"
        )
    return name


_SHORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


def is_short_name(name: str) -> bool:
    """Tell whether a bridge, or what else a farm wants besides hubs, may be called so.

    Examples
    --------
    >>> is_short_name("mima-1-desktop"), is_short_name("a/b")
    (True, False)
    """
    return _SHORT_NAME.fullmatch(name) is not None


def check_label(label: str) -> str:
    r"""Return `label` if it can be a hub's: a name that can be a file's too.

    Raises
    ------
    WrongUse
        It is no name (see `check_name`), has a slash in it, starts with a dot or a dash, reads as
        an id or ``PID-ID``, which select hubs too, or is ``coordinator``.

    Examples
    --------
    >>> check_label("mima-2")
    'mima-2'
    """
    check_name(label, "a label")
    if "/" in label or "\\" in label or label[0] in ".-" or len(label.encode()) > 200:
        raise WrongUse(
            f"not usable as a label: {label!r} (no slash or backslash, no dot or dash at the start, 200 bytes at most)"
        )
    if re.fullmatch("[0-9]+(-[0-9]+)?", label, re.ASCII):
        raise WrongUse(f"not usable as a label: {label!r} (numbers select hubs by id: put a letter in it)")
    if label == "coordinator":
        raise WrongUse(f"not usable as a label: {label!r} (the coordinator's log is called so)")
    return label


def check_file(path: str, what: str) -> str:
    """Return `path` if it can be a file's that a lock file names; `what` names it in the error.

    Raises
    ------
    WrongUse
        It is not absolute, longer than 1000 characters, or has a control character, line end or ``=`` in it, or white
        space around it.
    """
    plain = path.isprintable() and "=" not in path and path == path.strip()
    if not (path.startswith("/") and plain and len(path) <= 1000):
        raise WrongUse(f"not usable as {what}: {path[:120]!r} (a whole path, printable, no =)")
    return path


def check_user(name: str) -> str:
    """Return `name` if a user can bear it: a name without a colon, which ends it where a password follows.

    Raises
    ------
    WrongUse
        It is no name (see `check_name`), or has a colon in it.
    """
    if ":" in check_name(name, "a user's name"):
        raise WrongUse(f"not usable as a user's name: {name!r} (no colon)")
    return name


def check_seconds(value: float, what: str) -> float:
    """Return `value` if it is a time span that a hub can wait; `what` names it in the error.

    Raises
    ------
    WrongUse
        It is negative, not finite, or over a hundred years.
    """
    if not 0 <= value <= 3.2e9:
        raise WrongUse(f"{what} is {value:g}: it must be seconds, 0 or more")
    return value


LONGEST_SPAN = 36500 * 86400.0
"""Longest time span that people can ask for, seconds."""

LONGEST_SPAN_IN_WORDS = "36500d"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_span(text: str, what: str) -> float:
    """Return the seconds that people write as ``90``, ``45m``, ``12h`` or ``2d``; `what` names it in the error.

    Raises
    ------
    WrongUse
        It is something else, or no time at all, or over `LONGEST_SPAN`.

    Examples
    --------
    >>> read_span("12h", "--for")
    43200.0
    """
    found = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,6})?)([smhd]?)", text, re.ASCII)
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if seconds > LONGEST_SPAN:
        raise WrongUse(f"{what} is {text[:40]!r}: it can be {LONGEST_SPAN_IN_WORDS} at most")
    if not seconds:
        raise WrongUse(f"{what} is {text[:40]!r}: write a time span, as 90 (seconds), 45m, 12h or 2d")
    return seconds


def check_port(port: int) -> int:
    """Return `port` if a hub can be asked to listen on it; 0 lets the system choose.

    Raises
    ------
    WrongUse
        It is none.
    """
    if not 0 <= port <= 65535:
        raise WrongUse(f"port is {port}: it must be 0 (chosen by the system) or 1 to 65535")
    return port


def check_callback_hosts(hosts: Collection[str]) -> Collection[str]:
    """Return `hosts` if each can be a host, an address, a network or ``*``.

    Raises
    ------
    WrongUse
        One cannot.
    """
    for host in hosts:
        if not host or not host.isascii() or not host.isprintable() or any(each in " ,=/" for each in _unmasked(host)):
            raise WrongUse(f"not a callback host: {host!r}; write a name, an address, a network (10.0.0.0/8), or *")
    return hosts


def _unmasked(host: str) -> str:
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError:
        return host
    return host.partition("/")[0]
