"""What a hub and those who watch it agree on in time: when it beats, and how long its end may take."""

BEAT = 1.0
"""Between two heartbeats, seconds."""

HUNG_AFTER = 3.5
"""A hub whose last heartbeat is older counts as hung, seconds."""

DRAIN = 2.0
"""How long the end of a hub waits for deliveries under way, seconds."""


def until_beat(now: float) -> float:
    """Return how long to wait for the next heartbeat, seconds: they fall on whole multiples of `BEAT`.

    All hubs of a host beat at the same time, one after the other: each finds the code, which
    they share, in the processor's caches, and a beat costs less than half of what it costs alone.

    Examples
    --------
    >>> until_beat(41.75), until_beat(42.0), until_beat(41.999)
    (1.25, 1.0, 1.0009999999999977)
    """
    return (round(now / BEAT) + 1) * BEAT - now
