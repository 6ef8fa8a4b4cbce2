"""What one hub is asked to be: the facts that a lock file carries and a successor needs.

`HubSpec` travels from the command line to the coordinator to the worker, and is read back
from the lock file by whoever lists hubs.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from hubfarm.samp.errors import WrongUse
from hubfarm.samp.values import DEEPEST

MAX_HUBS = 1000
"""Hubs a farm may hold: the slots of the state table."""

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a hub takes; over any of them the sender gets a fault or an HTTP 4xx.

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
    declared: int = 2**20
    total_declared: int = 128 * 2**20
    calls: int = 10_000
    queue: int = 10_000
    queue_bytes: int = 256 * 2**20
    total_queue: int = 200_000
    total_queue_bytes: int = 2**30

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) < 1:
                raise WrongUse(f"the limit {each.name} is {getattr(self, each.name)}: it must be 1 or more")
        if self.depth > DEEPEST:
            raise WrongUse(f"the limit depth is {self.depth}: it must be {DEEPEST} or less")

    @classmethod
    def parse(cls, settings: "list[str] | tuple[str, ...]") -> "Limits":
        """Read ``NAME=VALUE`` settings; what is not set keeps its default.

        Raises
        ------
        WrongUse
            A name is unknown, or a value no whole number above zero.
        """
        names = [each.name for each in fields(cls)]
        values = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in names or not re.fullmatch("[0-9]{1,15}", value, re.ASCII):
                raise WrongUse(f"not a limit: {setting!r}; write NAME=NUMBER with NAME one of {', '.join(names)}")
            values[name] = int(value)
        return cls(**values)

    def with_room_for(self, clients: int) -> "Limits":
        """Return the same limits, but for no more than so many registered clients."""
        return self if self.clients <= clients else replace(self, clients=clients)

    def write(self) -> list[str]:
        """Return the settings that differ from the defaults, as `parse` reads them."""
        default = Limits()
        return [
            f"{each.name}={getattr(self, each.name)}"
            for each in fields(self)
            if getattr(self, each.name) != getattr(default, each.name)
        ]


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be an owner's or a group's; `what` names it in the error.

    Raises
    ------
    WrongUse
        It is empty, longer than 100 characters, has a control character, line end or ``=``
        in it, or white space around it.
    """
    # A second "=" in one line of one lock file, and astropy and pyvo find no hub at all.
    if not _NAME.fullmatch(name) or name != name.strip() or "=" in name:
        raise WrongUse(
            f"not usable as {what}: {name[:120]!r} "
            "(1 to 100 printable characters on one line, no white space around, no =)"
        )
    return name


def check_label(label: str) -> str:
    r"""Return `label` if it can be a hub's: a name that can be a file's too.

    Raises
    ------
    WrongUse
        It is no name (see `check_name`), has a slash in it, starts with a dot or a dash, reads as
        an id or ``PID-ID``, which select hubs too, or is ``coordinator``.

    Examples
    --------
    >>> check_label("mima-2")
    'mima-2'
    """
    check_name(label, "a label")
    if "/" in label or "\\" in label or label[0] in ".-" or len(label.encode()) > 200:
        raise WrongUse(
            f"not usable as a label: {label!r} (no slash or backslash, no dot or dash at the start, 200 bytes at most)"
        )
    if re.fullmatch("[0-9]+(-[0-9]+)?", label, re.ASCII):
        raise WrongUse(f"not usable as a label: {label!r} (numbers select hubs by id: put a letter in it)")
    if label == "coordinator":
        raise WrongUse(f"not usable as a label: {label!r} (the coordinator's log is called so)")
    return label


def check_callback_hosts(hosts: Collection[str]) -> tuple[str, ...]:
    """Return `hosts` if each can be a host, an address, a network or ``*``.

    Raises
    ------
    WrongUse
        One cannot.
    """
    for host in hosts:
        if not host or not host.isascii() or not host.isprintable() or any(each in " ,=/" for each in _unmasked(host)):
            raise WrongUse(f"not a callback host: {host!r}; write a name, an address, a network (10.0.0.0/8), or *")
    return tuple(hosts)


def _unmasked(host: str) -> str:
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError:
        return host
    return host.partition("/")[0]


class Restart(StrEnum):
    """When a hub whose worker has ended is started again; never after it ended unused or drained."""

    ALWAYS = "always"
    """Whenever nobody asked hubfarm to stop it."""
    ON_FAILURE = "on-failure"
    """When its worker died and did not end in order."""
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpec:
    """What one hub is asked to be.

    Parameters
    ----------
    id : int
        The hub's number on this host, restarts included.
    label : str
        Its name for people, unique on the host; empty for none.
    owner, group : str
        Free names, not the UNIX user and group; empty for none.
    timeout : float
        Ends the hub after so long without activity, seconds; 0 for never.
    client_timeout : float
        Throws out a client after so long without activity, seconds; 0 for never.
    host : str
        The address to listen on, as given.
    secret : str
        Admits a client to ``register``.
    limits : Limits
        How much it takes.
    restart : Restart
        When it is started again.
    restarts : int
        How often it has been.
    fell : bool
        Its last worker fell of itself: it hung, or crashed without being killed.
    callback_hosts : tuple of str
        The other hosts on which a hub on loopback calls clients back: names, addresses,
        networks, ``*`` for all.
    origin : str
        A digest of the path of the farm file that declares it; empty for none.
    """

    id: int
    label: str = ""
    owner: str = ""
    group: str = ""
    timeout: float = 0
    client_timeout: float = 0
    host: str = "127.0.0.1"
    secret: str = field(default="", repr=False)
    limits: Limits = Limits()
    restart: Restart = Restart.ON_FAILURE
    restarts: int = 0
    fell: bool = False
    callback_hosts: tuple[str, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        if self.label:
            check_label(self.label)
        if self.owner:
            check_name(self.owner, "an owner")
        if self.group:
            check_name(self.group, "a group")
        check_seconds(self.timeout, "timeout")
        check_seconds(self.client_timeout, "client-timeout")
        check_name(self.host, "a host")
        check_callback_hosts(self.callback_hosts)

    @property
    def name(self) -> str:
        """What logs and errors call the hub: its label, or ``hub-<id>`` without one."""
        return self.label or f"hub-{self.id}"

    def tokens(self) -> dict[str, str]:
        """Return the lock-file tokens that carry this, secret excepted.

        The names of 2008 come first, then those that later clients read, then the farm's.
        """
        return {
            "samp.hub.label": self.label,
            "samp.hub.owner": self.owner,
            "samp.hub.owner_group": self.group,
            "hub.label": self.label,
            "hub.owner.name": self.owner,
            "hub.owner.group": self.group,
            "hubfarm.id": str(self.id),
            "hubfarm.timeout": _write_seconds(self.timeout),
            "hubfarm.client-timeout": _write_seconds(self.client_timeout),
            "hubfarm.address": self.host,
            "hubfarm.limits": " ".join(self.limits.write()).replace("=", ":"),
            "hubfarm.restart": self.restart.value,
            "hubfarm.restarts": str(self.restarts),
            "hubfarm.callback-hosts": " ".join(self.callback_hosts),
            "hubfarm.origin": self.origin,
        }

    @classmethod
    def from_tokens(cls, tokens: Mapping[str, str]) -> "HubSpec":
        """Read back what `tokens` wrote, and the secret.

        Raises
        ------
        WrongUse
            A token of the farm's is missing or malformed.
        """
        try:
            return cls(
                id=int(tokens["hubfarm.id"]),
                label=tokens["samp.hub.label"],
                owner=tokens["samp.hub.owner"],
                group=tokens["samp.hub.owner_group"],
                timeout=float(tokens["hubfarm.timeout"]),
                client_timeout=float(tokens["hubfarm.client-timeout"]),
                host=tokens["hubfarm.address"],
                secret=tokens["samp.secret"],
                limits=Limits.parse(tokens["hubfarm.limits"].replace(":", "=").split()),
                restart=Restart(tokens["hubfarm.restart"]),
                restarts=int(tokens["hubfarm.restarts"]),
                callback_hosts=tuple(tokens["hubfarm.callback-hosts"].split()),
                origin=tokens["hubfarm.origin"],
            )
        except (KeyError, ValueError) as error:
            raise WrongUse(f"the lock file's hubfarm tokens are damaged: {error}") from None

    def labelled(self, label: str) -> "HubSpec":
        """Return the same hub with another label."""
        return replace(self, label=label)

    def successor(self, *, fell: bool = False) -> "HubSpec":
        """Return the same hub, restarted once more; `fell` tells whether its last worker fell of itself."""
        return replace(self, restarts=self.restarts + 1, fell=fell)


def check_seconds(value: float, what: str) -> float:
    """Return `value` if it is a time span that a hub can wait; `what` names it in the error.

    Raises
    ------
    WrongUse
        It is negative, not finite, or over a hundred years.
    """
    if not 0 <= value <= 3.2e9:
        raise WrongUse(f"{what} is {value:g}: it must be 0 (never) or a number of seconds")
    return value


def _write_seconds(value: float) -> str:
    # Exactly, and as people write it: 3600, not 3600.0, and not 1e+06 for 1000001.
    return repr(float(value)).removesuffix(".0")


def labels_for(template: HubSpec, count: int, used: Collection[str]) -> list[str]:
    """Return the labels of `count` hubs like `template`.

    A label that was asked for is taken as it is for one hub, and numbered for several.
    Without one, labels are ``<group or owner or "hub">-<n>``, with the first numbers that
    are not in `used`.

    Examples
    --------
    >>> labels_for(HubSpec(id=0, group="mima"), 2, used={"mima-1"})
    ['mima-2', 'mima-3']
    >>> labels_for(HubSpec(id=0, label="x"), 2, used=())
    ['x-1', 'x-2']
    """
    if template.label:
        return [template.label] if count == 1 else [f"{template.label}-{n}" for n in range(1, count + 1)]
    stem = template.group or template.owner or "hub"
    labels: list[str] = []
    number = 0
    while len(labels) < count:
        number += 1
        if f"{stem}-{number}" not in used:
            labels.append(f"{stem}-{number}")
    return labels
