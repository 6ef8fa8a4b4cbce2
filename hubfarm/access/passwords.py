"""Passwords, as argon2id has them (RFC 9106); who holds the digest cannot tell the password.

To check one takes 20 ms and 19 MiB, for those who guess too: few at a time, and never in an event loop.
"""

import contextlib
from functools import cache
from typing import TYPE_CHECKING

from hubfarm.samp.errors import HubfarmError, WrongUse

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LONGEST = 1024
"""Longest password, characters."""

_TIME, _MEMORY, _LANES = 2, 19 * 1024, 1
"""Passes, KiB and lanes: what OWASP asks for at least.  A hub is a small process, and there may be a thousand."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""What glibc's mallopt(3) calls them."""

_MOST_MEMORY, _MOST_TIME = 2**20, 100
"""KiB and passes that no digest asks for which is whole."""


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


def keep_no_memory() -> None:
    """Have this process give back what the check of a password takes; for a process that is all ours.

    glibc would keep 19 MiB for each of the threads that check, for good: it takes what was freed once for what will be
    asked for again. What is larger than the threshold that is set here is the system's again when it is freed.
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError):  # another C library has no such thing, and need not
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 16 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 32 * 2**20)


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
    HubfarmError
        It cannot be told: the digest is damaged, or there is no memory to compute it in.
    """
    from argon2 import extract_parameters
    from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

    try:
        kept = _nobodys() if digest is None else digest
        asked = extract_parameters(kept)
        if asked.memory_cost > _MOST_MEMORY or asked.time_cost > _MOST_TIME:
            raise InvalidHashError
        _hasher().verify(kept, password[:LONGEST])
    except VerifyMismatchError:  # of all that can go wrong this alone says that the password is
        return False
    except (ValueError, TypeError):  # what argon2 says of what is none of its digests
        raise HubfarmError("its digest is damaged") from None
    except (Argon2Error, MemoryError) as error:
        raise HubfarmError(str(error) or "there is no memory for it") from None
    return digest is not None and len(password) <= LONGEST
