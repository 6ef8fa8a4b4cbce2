"""The version of hubfarm, for all who say it, and which of two is the later one."""

import re

__version__ = "0.2.0"


def in_order(release: str) -> list[int]:
    """Return what tells which of two releases is the later one.

    Examples
    --------
    >>> in_order("0.10.0") > in_order("0.9.1") > in_order("")
    True
    """
    return [int(number) for number in re.findall(r"[0-9]{1,9}", release)]
