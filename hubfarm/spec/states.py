"""What a hub can be, in one word each: of which kind it is, what it is doing, and whom it lets in.

The words are those of ``hubfarm ls``, of JSON and of the logs.  A `StrEnum` compares with plain strings.
"""

from enum import StrEnum


class HubKind(StrEnum):
    """Who runs a hub."""

    FARM = "farm"
    """The coordinator: the hub is a worker."""
    STANDALONE = "standalone"
    """Nobody: it is a process of its own (``sampy.py``)."""
    EMBEDDED = "embedded"
    """A program that has it in itself (`SAMPHubServer`)."""
    FOREIGN = "foreign"
    """A program that hubfarm does not know."""
    SHARED = "shared"
    """Another account of this host, which lets this one in."""
    CONNECTED = "connected"
    """Another host: here is a door that leads to it (``hubfarm connect``)."""

    @classmethod
    def read(cls, text: str) -> "HubKind":
        """Return the kind that a lock file or the history names; what this release does not know is foreign to it."""
        try:
            return cls(text)
        except ValueError:
            return cls.FOREIGN


class Access(StrEnum):
    """Whom a hub lets in; administrators always, and those of ``--allow`` beside."""

    OPEN = "open"
    """Everybody who can read its lock file."""
    USERS = "users"
    """Everybody who proves to be a user."""
    GROUP = "group"
    """Users of the hub's group."""
    OWNER = "owner"
    """The user who bears the name of the hub's owner."""
    LISTED = "listed"
    """Those of ``--allow``."""


class HubState(StrEnum):
    """What a hub is doing, or what has become of it."""

    STARTING = "starting"
    RUNNING = "running"
    DORMANT = "dormant"
    """It sleeps: it has no process, and the next connection wakes it as it was."""
    DRAINING = "draining"
    """It takes no new clients, and ends when nothing waits any more."""
    STOPPING = "stopping"
    AWAY = "away"
    """It is elsewhere, and cannot be reached now: the line to it is lost."""
    HUNG = "hung"
    """It misses its heartbeats."""
    DEAD = "dead"
    """Its process has died; a successor may be on its way."""
    FAILED = "failed"
    """It died again and again, and was given up."""
    SILENT = "silent"
    """Foreign, and it does not answer."""
    ELSEWHERE = "elsewhere"
    """On another host, which alone knows more."""
    STOPPED = "stopped"
    """Somebody has stopped it."""
    UNUSED = "unused"
    """Its inactivity timeout has ended it."""
    DRAINED = "drained"
    """It has ended, as it was drained."""

    @property
    def is_alive(self) -> bool:
        """Whether a client of this host could connect."""
        return self in _ALIVE


_ALIVE = frozenset(
    {
        HubState.STARTING,
        HubState.RUNNING,
        HubState.DORMANT,
        HubState.DRAINING,
        HubState.STOPPING,
        HubState.AWAY,
        HubState.HUNG,
    }
)


class Phase(StrEnum):
    """Where in its life something is that the coordinator runs; see `hubfarm.coordinator.life`."""

    WAITING = "waiting"
    """Its process is to be started, now or after a pause."""
    STARTING = "starting"
    """Its process is started, and does not serve yet."""
    RUNNING = "running"
    DOZING = "dozing"
    """Its process is told to sleep: it stays awake if somebody uses it."""
    DORMANT = "dormant"
    """It sleeps, without a process, until somebody connects or it is told to wake."""
    STOPPING = "stopping"
    """Its process is told to end."""
    ENDED = "ended"
    """Its process has ended, or could not be started; what becomes of it is being decided."""
    GONE = "gone"
    """It is over."""
