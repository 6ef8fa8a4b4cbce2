"""How often an address has given a wrong secret, key or password of late, and how long it waits for the answer.

Only answers to failures wait: one account that guesses must not hold up the others, who come
from the same address on one host.  What keeps guessers out is the length of keys and secrets.
"""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.wire.http_messages import Response

FREE = 10
"""Failures that are answered at once: a program whose hub was restarted errs a few times."""

FIRST_DELAY = 0.1
"""Delay of the first failure after those, seconds; each further one doubles it."""

LONGEST_DELAY = 10.0
"""No answer waits longer, seconds."""

FORGIVEN_AFTER = 5.0
"""An address's count falls by one in this time, seconds."""

MAX_ADDRESSES = 1024
"""Addresses that are remembered; the one with the fewest failures is forgotten first, of these the oldest: who fails
under many names makes none of them forgotten that is guessed at.
"""

MAX_HELD = 100
"""Answers to failures that are held back at the same time; over it, the address is told at once."""


class _Count(NamedTuple):
    failures: float
    at: float

    def left(self, now: float) -> float:
        """Return the failures that are not forgiven yet."""
        return max(0.0, self.failures - (now - self.at) / FORGIVEN_AFTER)


class Throttle:
    """Counts failures by the address they come from, or by whom they are for.

    Parameters
    ----------
    clock : callable
        Returns the time, seconds.

    Examples
    --------
    >>> throttle = Throttle(clock=lambda: 0.0)
    >>> [throttle.count("127.0.0.1") for _ in range(13)][-4:]
    [0.0, 0.1, 0.2, 0.4]
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, address: str) -> float:
        """Count one failure of an address; return how long its answer has to wait, seconds."""
        source, now = source_of(address), self._clock()
        failures = self.failures(address) + 1
        self._counts[source] = _Count(failures, now)
        self._counts.move_to_end(source)
        if len(self._counts) > MAX_ADDRESSES:
            del self._counts[min(self._counts, key=lambda each: self._counts[each].left(now))]
        return _delay(failures)

    def wait(self, address: str) -> float:
        """Return how much of the delay of an address's last failure is still to come, seconds."""
        last = self._counts.get(source_of(address))
        return max(0.0, last.at + _delay(last.failures) - self._clock()) if last else 0.0

    def failures(self, address: str) -> float:
        """Return the failures of an address that are not forgiven yet."""
        last = self._counts.get(source_of(address))
        return last.left(self._clock()) if last else 0.0


def _delay(failures: float) -> float:
    doublings = failures - FREE - 1
    return 0.0 if doublings < 0 else min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(doublings, 32))


class HeldAnswers:
    """The answers to failures, each held back as long as its address has deserved.

    Parameters
    ----------
    clock : callable
        Returns the time, seconds.
    lines : FrequentLines
        Of the hub's log.
    """

    def __init__(self, clock: Callable[[], float], lines: FrequentLines) -> None:
        self._throttle = Throttle(clock)
        self._lines = lines
        self._held = 0

    def count(self, address: str) -> float:
        """Count a failure that is answered at once; see `Throttle.count`."""
        return self._throttle.count(address)

    def hold(
        self, response: Response, address: str, what: str = "a wrong secret or private key"
    ) -> "Response | asyncio.Future[Response]":
        """Count a failure, and return its answer: now or later; the log says what it was."""
        delay = self._throttle.count(address)
        log = self._lines.log_once if delay else self._lines.log
        log("WARNING", "{}: {}", address or "a client", what)
        return self.hold_for(response, delay)

    def hold_for(self, response: Response, seconds: float) -> "Response | asyncio.Future[Response]":
        """Return an answer after a while, if not too many are held already; 0 s for now."""
        if not seconds:
            return response
        if self._held >= MAX_HELD:
            return Response(b"too many wrong secrets and private keys\n", 429, b"text/plain; charset=utf-8")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        timer = loop.call_later(seconds, answer.set_result, response)
        self._held += 1
        answer.add_done_callback(lambda _: self._release(timer))
        return answer

    def _release(self, timer: asyncio.TimerHandle) -> None:
        self._held -= 1
        timer.cancel()


def source_of(address: str) -> str:
    """Return as what an address is counted: an IPv6 one as its network, and a name as it is."""
    # Who has one IPv6 address has the 2**64 of its network.
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
