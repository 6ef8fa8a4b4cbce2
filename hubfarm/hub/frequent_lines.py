"""Lines of the log that may come thousands a second: some are written, and of the rest how many there were.

Clients that come and go, and deliveries that fail, each have a line.  A program in a loop would make so many that they
cost the hub more than the loop does, and that they push all else out of a log which is rotated.  One that is refused
and tries again, once a second say, makes the same line each time: that is written once, and then counted.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

from loguru import logger

A_SECOND = 100
"""How many lines are written within a second."""

COUNTED_FOR = 60.0
"""How long a line that repeats itself is counted and not written, seconds."""

MOST_COUNTED = 1000
"""Lines that are counted at the same time."""


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
        self._repeated: OrderedDict[tuple[str, str, tuple[object, ...]], tuple[float, int]] = OrderedDict()

    def log(self, level: str, line: str, *values: object) -> None:
        """Write a line, if there is room for it in this second.

        Parameters
        ----------
        level : str
            As ``INFO``.
        line : str
            What it says, with ``{}`` for each of the values.
        """
        self._log(level, line, values)

    def _log(self, level: str, line: str, values: tuple[object, ...]) -> None:
        if not self._room or self._left_out:
            self.settle()
        if self._room:
            self._room -= 1
            logger.opt(depth=2).log(level, line, *values)
        else:
            self._left_out[level, line] += 1

    def log_once(self, level: str, line: str, *values: object) -> None:
        """Write a line, unless the very same was written within `COUNTED_FOR`; see `log`."""
        key = (level, line, values)
        if key in self._repeated:
            until, count = self._repeated[key]
            self._repeated[key] = until, count + 1
            return
        if len(self._repeated) >= MOST_COUNTED:
            self._say_how_often()
        self._repeated[key] = self._clock() + COUNTED_FOR, 0
        self._log(level, line, values)

    def _say_how_often(self) -> None:
        """Let go of the line that has been counted for longest, and say how often it came."""
        (level, line, values), (_, count) = self._repeated.popitem(last=False)
        if count:
            logger.log(level, f"{{}} times more: {line}", count, *values)

    def settle(self) -> None:
        """If a second is over, say what it left out, and make room for the next one."""
        now = self._clock()
        while self._repeated and next(iter(self._repeated.values()))[0] <= now:
            self._say_how_often()
        if now < self._until:
            return
        self._until, self._room = now + 1.0, A_SECOND
        for (level, line), count in self._left_out.items():
            logger.log(level, "{} more lines in a second like this one: {}", count, line.replace("{}", "…"))
        self._left_out.clear()
