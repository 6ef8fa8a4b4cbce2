"""Lines of the log that may come thousands a second: some are written, and of the rest how many there were.

Clients that come and go, and deliveries that fail, each have a line.  A program in a loop would make so many that they
cost the hub more than the loop does, and that they push all else out of a log which is rotated.
"""

from collections import Counter
from collections.abc import Callable

from loguru import logger

A_SECOND = 100
"""How many lines are written within a second."""


class FrequentLines:
    """The lines of one hub that may come often.

    Parameters
    ----------
    clock : callable
        Returns the time, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = 0.0
        self._room = 0
        self._left_out: Counter[tuple[str, str]] = Counter()

    def log(self, level: str, line: str, *values: object) -> None:
        """Write a line, if there is room for it in this second.

        Parameters
        ----------
        level : str
            As ``INFO``.
        line : str
            What it says, with ``{}`` for each of the values.
        """
        if not self._room or self._left_out:
            self.settle()
        if self._room:
            self._room -= 1
            logger.opt(depth=1).log(level, line, *values)
        else:
            self._left_out[level, line] += 1

    def settle(self) -> None:
        """If a second is over, say what it left out, and make room for the next one."""
        now = self._clock()
        if now < self._until:
            return
        self._until, self._room = now + 1.0, A_SECOND
        for (level, line), count in self._left_out.items():
            logger.log(level, "{} more lines in a second like this one: {}", count, line.replace("{}", "…"))
        self._left_out.clear()
