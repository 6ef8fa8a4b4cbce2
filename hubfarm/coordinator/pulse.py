"""Who hangs: judged by heartbeats, and by nothing else.

Pure: beats and the time go in, verdicts come out.  A process is judged by how many of *our own punctual* looks have
passed since its last beat, and not by how long ago that was: if the machine was suspended, or is so loaded that we are
late ourselves, nobody is judged.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

LATE = 1.5
"""A look that comes after more than this number of periods is late."""

Key = TypeVar("Key", bound=Hashable)


class Pulse(Generic[Key]):
    """Judges by their heartbeats those it is shown, again and again.

    Parameters
    ----------
    period : float
        Between two looks, as between two beats, seconds.

    Examples
    --------
    >>> pulse = Pulse(period=1.0)
    >>> [pulse.judge(now, {"stuck": 0.5}, patience=2) for now in (1.0, 2.0, 3.0)]
    [{}, {}, {'stuck': 2.5}]
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._looked: float | None = None
        self._seen: dict[Key, tuple[float, int]] = {}

    def judge(self, now: float, beats: Mapping[Key, float], patience: int) -> dict[Key, float]:
        """Return who hangs, and how long each has been silent, seconds.

        Parameters
        ----------
        now : float
            The time, by the clock of the beats, seconds.
        beats : dict
            Each one's last beat.  Of who is not in it nothing is remembered.
        patience : int
            How many beats may be missed.
        """
        late = self._looked is not None and now - self._looked > LATE * self._period
        self._looked = now
        seen = {}
        for key, beat in beats.items():
            before, missed = self._seen.get(key, (None, 0))
            seen[key] = beat, 0 if late or beat != before else missed + 1
        self._seen = seen
        return {key: now - beat for key, (beat, missed) in seen.items() if missed >= patience}
