"""Passwords, as argon2id has them (RFC 9106); who holds the digest cannot tell the password.

To check one takes 20 ms and 19 MiB, for those who guess too: few at a time, and never in an event loop.
"""

from functools import cache
from typing import TYPE_CHECKING

from hubfarm.samp.errors import WrongUse

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LONGEST = 1024
"""Longest password, characters."""

_TIME, _MEMORY, _LANES = 2, 19 * 1024, 1
"""Passes, KiB and lanes: what OWASP asks for at least.  A hub is a small process, and there may be a thousand."""


def check_password(password: str) -> str:
    """Return `password` if it can be one.

    Raises
    ------
    WrongUse
        It is empty, longer than `LONGEST`, or has a control character in it; the message does not show it.
    """
    if not 1 <= len(password) <= LONGEST:
        raise WrongUse(f"the password has {len(password)} characters: it must have 1 to {LONGEST}")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in password):
        raise WrongUse("the password has a control character in it: it must be one line that can be typed")
    return password


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # 20 ms, which few commands need

    return PasswordHasher(time_cost=_TIME, memory_cost=_MEMORY, parallelism=_LANES)


def digest_of(password: str) -> str:
    """Return what is kept of a password."""
    return _hasher().hash(check_password(password))


@cache
def _nobodys() -> str:
    return digest_of("the password of nobody")


def is_right(password: str, digest: str | None) -> bool:
    """Tell whether a password is the one of a digest; without one, find out after as long a time that it is not.

    Raises
    ------
    argon2.exceptions.InvalidHashError
        It is no digest.
    """
    from argon2.exceptions import VerificationError

    try:
        _hasher().verify(digest or _nobodys(), password[:LONGEST])
    except VerificationError:
        return False
    return digest is not None and len(password) <= LONGEST
