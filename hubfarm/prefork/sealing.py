"""What is loaded, and what a worker makes for itself: kept on different pages.

Python puts a new object into a hole among old ones.  In a worker that copies the page, which the
worker shared with its siblings until then; so the holes are filled before workers are forked.
docs/decisions/0005-what-is-done-before-forks.md says what that spares.
"""

import gc

# Python keeps small objects in pools of one size each.
_POOL = 2**14
_POOL_HEADER = 48
_SIZES = range(48, 513, 16)
_MOST = 2**20
"""Bytes of one size that are tried to fill its pools' holes."""

_fillers: list[bytes] = []


def seal() -> None:
    """Keep what is loaded out of the garbage collector's way, and new objects away from it.

    A collection in a worker would write to every object that it shares with its siblings.
    """
    gc.collect()
    for size in _SIZES:
        _fill_holes(size)
    gc.freeze()


def _fill_holes(size: int) -> None:
    """Make objects of a size until they have filled a whole pool: no other has a hole by then."""
    in_a_row, last = 0, 0
    for _ in range(_MOST // size):
        filler = bytes(size - bytes.__basicsize__)
        _fillers.append(filler)
        in_a_row = in_a_row + 1 if id(filler) == last + size else 1
        if in_a_row == (_POOL - _POOL_HEADER) // size:
            return
        last = id(filler)
