"""How much one hub takes of what others send it."""

import re
from collections.abc import Iterable

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.samp.values import DEEPEST


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a hub takes; over any of them the sender gets a fault or an HTTP 4xx.

    The defaults suit a host that hundreds share: with all that clients can make it hold, a hub takes some 300 MB.

    Parameters
    ----------
    body : int
        One request's body, bytes.
    head : int
        One request's line and header fields, bytes.
    depth : int
        How deep lists and maps may nest, levels.
    string : int
        One string, characters.
    values : int
        Strings, lists and maps in one request.
    clients : int
        Registered clients.
    user_clients : int
        Those of one user; clients of nobody in particular are not counted.
    declared : int
        A client's metadata, and its subscriptions, bytes.
    total_declared : int
        Those of all clients together, bytes.
    calls : int
        Calls of one client that wait for their reply, and calls that one client has to reply to.
    queue : int
        Messages waiting for one client.
    queue_bytes : int
        Their size together, bytes.
    total_queue, total_queue_bytes : int
        The same for all clients together.

    Raises
    ------
    WrongUse
        One is below 1, or `depth` over what can be read.

    Examples
    --------
    >>> Limits.parse(["body=1000000", "clients=20"]).clients
    20
    """

    body: int = 64 * 2**20
    head: int = 16 * 2**10
    depth: int = 64
    string: int = 32 * 2**20
    values: int = 1_000_000
    clients: int = 5000
    user_clients: int = 1000
    declared: int = 2**20
    total_declared: int = 32 * 2**20
    calls: int = 10_000
    queue: int = 10_000
    queue_bytes: int = 128 * 2**20
    total_queue: int = 200_000
    total_queue_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise WrongUse(f"the limit {name} is {getattr(self, name)}: it must be 1 or more")
        if self.depth > DEEPEST:
            raise WrongUse(f"the limit depth is {self.depth}: it must be {DEEPEST} or less")

    @classmethod
    def parse(cls, settings: Iterable[str], others: "Limits | None" = None) -> "Limits":
        """Read ``NAME=NUMBER`` settings; what is not set is as in `others`, or has its default.

        Raises
        ------
        WrongUse
            A name is unknown, or a value no whole number above zero.
        """
        names = cls.__struct_fields__
        values = {}
        for setting in settings:
            name, equals, value = setting.partition("=")
            if name not in names or not equals:
                raise WrongUse(f"not a limit: {setting!r}; write NAME=NUMBER with NAME one of {', '.join(names)}")
            if not re.fullmatch("[0-9]{1,15}", value, re.ASCII):
                raise WrongUse(f"the limit {name} is {value!r}: it must be a whole number, 1 or more")
            values[name] = int(value)
        return msgspec.structs.replace(others or cls(), **values)

    def write(self) -> list[str]:
        """Return the settings that differ from the defaults, as `parse` reads them."""
        default = Limits()
        return [
            f"{name}={getattr(self, name)}"
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(default, name)
        ]

    def in_words(self) -> str:
        """Return all of them in one line."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.__struct_fields__)

    def with_room_for(self, clients: int) -> "Limits":
        """Return the same limits, but for no more than this number of registered clients."""
        return self if self.clients <= clients else msgspec.structs.replace(self, clients=clients)


DEFAULT_LIMITS = Limits()
