"""The life of what the coordinator runs: its phases, what can happen in each, and where that leads.

Rule: a phase changes here and nowhere else, by an event of the table.  The table says what *can* happen; what *is to*
happen the supervisor decides, and it asks nobody but this for the phase.

Theory of operation: something WAITING has no process yet, or none any more.  Its process is STARTED, and then SERVES;
one that an earlier coordinator has left is ADOPTED as it is.  It ENDED, told or not, or could not be started at all:
then it waits for a successor (TO_BE_REPLACED), LIES_DOWN, or is FORGOTTEN.  What can sleep is TOLD_TO_SLEEP while it
runs.  If somebody uses it, it STAYS_AWAKE; if not its process ends, and it lies DORMANT until it is WOKEN: then it
waits for a process as it did at first.  A process that could not be had, or did not come to serve, lets it lie down
again.  Some lie down before they ever had one.  A process that was told to end while it was starting may still come to
serve; that changes nothing.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from hubfarm.spec.states import Phase

Clock = Callable[[], float]
"""The time that counts, seconds; as a rule `time.monotonic`."""


class Event(Enum):
    """What can happen to something."""

    STARTED = "its process was started"
    NOT_STARTED = "its process could not be started"
    ADOPTED = "its process was taken over from an earlier coordinator"
    SERVES = "its process serves"
    TOLD_TO_SLEEP = "its process was told to sleep"
    STAYS_AWAKE = "its process is in use, and does not sleep"
    LIES_DOWN = "it sleeps, and needs no process"
    WOKEN = "somebody has come, and it needs a process"
    TOLD_TO_END = "its process was told to end"
    ENDED = "its process has ended"
    TO_BE_REPLACED = "another process is to take the place of the one that ended"
    FORGOTTEN = "nobody wants it any more, or it was given up"


TRANSITIONS: Mapping[Phase, Mapping[Event, Phase]] = {
    Phase.WAITING: {
        Event.STARTED: Phase.STARTING,
        Event.NOT_STARTED: Phase.ENDED,
        Event.ADOPTED: Phase.RUNNING,
        Event.LIES_DOWN: Phase.DORMANT,
        Event.FORGOTTEN: Phase.GONE,
    },
    Phase.STARTING: {
        Event.SERVES: Phase.RUNNING,
        Event.TOLD_TO_END: Phase.STOPPING,
        Event.ENDED: Phase.ENDED,
    },
    Phase.RUNNING: {
        Event.TOLD_TO_SLEEP: Phase.DOZING,
        Event.TOLD_TO_END: Phase.STOPPING,
        Event.ENDED: Phase.ENDED,
    },
    Phase.DOZING: {
        Event.STAYS_AWAKE: Phase.RUNNING,
        Event.TOLD_TO_END: Phase.STOPPING,
        Event.ENDED: Phase.ENDED,
    },
    Phase.DORMANT: {
        Event.WOKEN: Phase.WAITING,
        Event.FORGOTTEN: Phase.GONE,
    },
    Phase.STOPPING: {
        Event.SERVES: Phase.STOPPING,
        Event.STAYS_AWAKE: Phase.STOPPING,
        Event.ENDED: Phase.ENDED,
    },
    Phase.ENDED: {
        Event.LIES_DOWN: Phase.DORMANT,
        Event.TO_BE_REPLACED: Phase.WAITING,
        Event.FORGOTTEN: Phase.GONE,
    },
    Phase.GONE: {},
}

_WITH_A_PROCESS = frozenset({Phase.STARTING, Phase.RUNNING, Phase.DOZING, Phase.STOPPING})


class ImpossibleTransition(Exception):
    """Something is said to have happened that cannot happen in this phase: a mistake of the coordinator's."""


class Life:
    """Where one thing is in its life.

    Parameters
    ----------
    clock : callable
        Tells the time.

    Examples
    --------
    >>> life = Life(clock=lambda: 0.0)
    >>> life.take(Event.STARTED)
    >>> life.phase.value, life.has_process
    ('starting', True)
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phase = Phase.WAITING
        self._since = clock()

    @property
    def phase(self) -> Phase:
        """Where it is."""
        return self._phase

    @property
    def has_process(self) -> bool:
        """Whether there is a process that reports and ends."""
        return self._phase in _WITH_A_PROCESS

    def take(self, event: Event) -> None:
        """Go on to the phase that the event leads to.

        Raises
        ------
        ImpossibleTransition
            It leads nowhere from here.
        """
        try:
            phase = TRANSITIONS[self._phase][event]
        except KeyError:
            raise ImpossibleTransition(f"{event.value}, and it is {self._phase}") from None
        if phase is not self._phase:
            self._phase = phase
            self._since = self._clock()

    def has_lasted(self, seconds: float) -> bool:
        """Tell whether it has been in its phase for that long."""
        return self._clock() - self._since >= seconds
