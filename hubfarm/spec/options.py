"""What may be asked of a hub: one field an option, with its check, its help and its lock-file tokens.

The command line, `hubfarm.farm.Farm.start`, farm files, the control protocol, lock files, ``sampy.py`` and embedded
hubs all read this: to add an option is to add a field here, and to use it where it matters.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar, get_origin, get_type_hints

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.samp.lockfile import TLS_CERT_FILE
from hubfarm.spec.access import check_allow
from hubfarm.spec.checks import check_callback_hosts, check_file, check_label, check_name, check_port, check_seconds
from hubfarm.spec.limits import DEFAULT_LIMITS, Limits
from hubfarm.spec.states import Access
from hubfarm.spec.toml_file import in_our_words
from hubfarm.spec.web_pages import check_web_mtypes

FIRST_RELEASE = "0.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """How a field travels in a hub's lock file.

    Parameters
    ----------
    tokens : tuple of str
        The tokens that carry it, all with the same value; the first is read back.
    since : str
        The release whose lock files first had them: one that runs on from before lacks them, and has the default.
    """

    tokens: tuple[str, ...] = ()
    since: str = FIRST_RELEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Carried):
    """What makes a field an option that people set.

    Parameters
    ----------
    help : str
        One sentence for ``--help``.
    metavar : str
        What stands for its value there.
    flag : str
        How it is spelt on the command line, if not like the field.
    check : callable
        Raises `WrongUse` for a value that cannot be; not asked about the default.
    is_file : bool
        It is the path of a file, kept as an absolute one: a hub's process runs elsewhere than who asks for it.
    """

    help: str
    metavar: str = ""
    flag: str = ""
    check: Callable[[Any], object] = lambda value: None
    is_file: bool = False


class Restart(StrEnum):
    """When a hub whose worker has ended is started again; never after it ended unused or drained."""

    ALWAYS = "always"
    """Whenever nobody asked hubfarm to stop it."""
    ON_FAILURE = "on-failure"
    """When its worker died and did not end in order."""
    NEVER = "never"


class Idle(StrEnum):
    """What becomes of a hub that was not used for its timeout."""

    STOP = "stop"
    """It ends."""
    SLEEP = "sleep"
    """Its process ends, and the next connection brings it back with its clients."""


class HubOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be asked of a hub.

    Parameters
    ----------
    label : str
        Its name for people, unique on the host; empty for none.
    owner, group : str
        Free names, not the UNIX user and group; empty for none.
    timeout : float
        Seconds without activity after which the hub ends or sleeps; 0 for never.
    idle : Idle
        Which of both.
    dormant : bool
        It begins asleep: the first connection starts its process.
    client_timeout : float
        Seconds without activity after which a client is thrown out; 0 for never.
    host : str
        The address to listen on, as given.
    port : int
        Where to listen there; 0 for where the system chooses.
    callback_hosts : tuple of str
        The other hosts on which a hub on loopback calls clients back: names, addresses,
        networks, ``*`` for all.
    tls : bool
        Its port speaks TLS, and nothing in the clear.
    cert_file, key_file : str
        Its certificate, and the private key if that is in another file (PEM); by default the farm's own.
    client_ca : str
        The certificates of who signs those of clients (PEM): who shows one is the user that it names.
    need_client_cert : bool
        Who shows none is not talked to.
    access : Access
        Whom it lets in.
    allow : tuple of str
        Who may enter a restricted hub beside those, as ``user:luigi``, ``group:mima``, ``account:anna``.
    web_mtypes : tuple of str
        What web pages may send beside what does no harm: MTypes, or patterns.
    restart : Restart
        When it is started again.
    limits : Limits
        How much it takes.

    Raises
    ------
    WrongUse
        A value cannot be.

    Examples
    --------
    >>> HubOptions(group="mima", timeout=3600).client_timeout
    0.0
    """

    label: Annotated[
        str,
        Option(
            help="Its name; several get NAME-1, NAME-2, …",
            metavar="NAME",
            check=check_label,
            tokens=("samp.hub.label", "hub.label"),
        ),
    ] = ""
    owner: Annotated[
        str,
        Option(
            help="Whose it is: any name, not the UNIX user.",
            metavar="NAME",
            check=lambda name: check_name(name, "an owner"),
            tokens=("samp.hub.owner", "hub.owner.name"),
        ),
    ] = ""
    group: Annotated[
        str,
        Option(
            help="Which group's: any name, not the UNIX group.",
            metavar="NAME",
            check=lambda name: check_name(name, "a group"),
            tokens=("samp.hub.owner_group", "hub.owner.group"),
        ),
    ] = ""
    timeout: Annotated[
        float,
        Option(
            help="End it after S seconds unused; 0 for never.",
            metavar="S",
            check=lambda value: check_seconds(value, "timeout"),
            tokens=("hubfarm.timeout",),
        ),
    ] = 0.0
    idle: Annotated[
        Idle,
        Option(
            help="What becomes of it after --timeout: it stops, or sleeps with its clients.",
            tokens=("hubfarm.idle",),
            since="0.2.0",
        ),
    ] = Idle.STOP
    dormant: Annotated[
        bool,
        Option(
            help="Begin asleep: the first connection wakes it.",
            tokens=("hubfarm.dormant",),
            since="0.2.0",
        ),
    ] = False
    client_timeout: Annotated[
        float,
        Option(
            help="Throw out a client silent for S seconds; 0 for never.",
            metavar="S",
            check=lambda value: check_seconds(value, "client-timeout"),
            tokens=("hubfarm.client-timeout",),
        ),
    ] = 0.0
    host: Annotated[
        str,
        Option(
            help="Address to listen on.",
            metavar="ADDR",
            check=lambda name: check_name(name, "a host"),
            tokens=("hubfarm.address",),
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Option(  # the lock file's URL carries it
            help="Port of the first hub, the next ones' follow; 0: chosen.", metavar="P", check=check_port
        ),
    ] = 0
    callback_hosts: Annotated[
        tuple[str, ...],
        Option(
            help="Call clients back on this host too: name, address, network, or '*'. "
            "By default a hub on loopback calls back its own host only.",
            metavar="HOST",
            check=check_callback_hosts,
            tokens=("hubfarm.callback-hosts",),
        ),
    ] = ()
    tls: Annotated[
        bool,
        Option(
            help="Speak TLS, with a certificate of the farm's own unless --cert-file is given.",
            tokens=("hubfarm.tls",),
            since="0.2.0",
        ),
    ] = False
    cert_file: Annotated[
        str,
        Option(
            help="Its certificate, and those between it and a CA's (PEM).",
            metavar="FILE",
            check=lambda path: check_file(path, "a certificate's file"),
            is_file=True,
            tokens=(TLS_CERT_FILE,),
            since="0.2.0",
        ),
    ] = ""
    key_file: Annotated[
        str,
        Option(
            help="The certificate's private key (PEM), if it is in another file.",
            metavar="FILE",
            check=lambda path: check_file(path, "a private key's file"),
            is_file=True,
            tokens=("hubfarm.tls.key-file",),
            since="0.2.0",
        ),
    ] = ""
    client_ca: Annotated[
        str,
        Option(
            help="Certificates of who signs those of clients (PEM): who shows one is the user that it names.",
            metavar="FILE",
            check=lambda path: check_file(path, "a CA's file"),
            is_file=True,
            tokens=("hubfarm.tls.client-ca",),
            since="0.2.0",
        ),
    ] = ""
    need_client_cert: Annotated[
        bool,
        Option(
            help="Talk to nobody who shows no such certificate.",
            tokens=("hubfarm.tls.need-client-cert",),
            since="0.2.0",
        ),
    ] = False
    access: Annotated[
        Access,
        Option(
            help="Whom it lets in: everybody who reads its lock file, or who proves to be a user, of its group, its "
            "owner, or listed by --allow.",
            tokens=("hubfarm.access",),
            since="0.2.0",
        ),
    ] = Access.OPEN
    allow: Annotated[
        tuple[str, ...],
        Option(
            help="Let in these too: user:NAME, group:NAME; account:NAME, account-group:NAME of this host.",
            metavar="WHO",
            check=check_allow,
            tokens=("hubfarm.allow",),
            since="0.2.0",
        ),
    ] = ()
    web_mtypes: Annotated[
        tuple[str, ...],
        Option(
            help="Let web pages send this too, an MType or NAME.*: beside what does no harm (table.*, coord.*, …).",
            metavar="MTYPE",
            check=check_web_mtypes,
            tokens=("hubfarm.web-mtypes",),
            since="0.2.0",
        ),
    ] = ()
    restart: Annotated[
        Restart,
        Option(help="When a hub that ended is started again.", tokens=("hubfarm.restart",)),
    ] = Restart.ON_FAILURE
    limits: Annotated[
        Limits,
        Option(
            help=f"Set a limit. Defaults: {Limits().in_words()}.",
            metavar="NAME=N",
            flag="--limit",
            tokens=("hubfarm.limits",),
        ),
    ] = Limits()

    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            value = getattr(self, field.name)
            if isinstance(field.how, Option) and value != field.default:
                field.how.check(value)


class Field(NamedTuple):
    """One field of a structure, with what it says of itself."""

    name: str
    type: Any
    default: Any
    how: Carried


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[Field, ...]:
    """Return the fields of a structure that are `Carried` or an `Option`, in order.

    Examples
    --------
    >>> [field.name for field in fields_of(HubOptions)][:3]
    ['label', 'owner', 'group']
    """
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        Field(field.name, hints[field.name].__origin__, field.default, how)
        for field in msgspec.structs.fields(kind)
        for how in getattr(hints[field.name], "__metadata__", ())
        if isinstance(how, Carried)
    )


def options() -> tuple[Field, ...]:
    """Return the fields that people set."""
    return tuple(field for field in fields_of(HubOptions) if isinstance(field.how, Option))


def file_options() -> list[str]:
    """Return the names of those fields that are paths of files."""
    return [field.name for field in options() if isinstance(field.how, Option) and field.how.is_file]


Asked = TypeVar("Asked", bound=msgspec.Struct)


def asked(kind: type[Asked], given: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS) -> Asked:
    """Return the structure that keywords, a command line or a table of a farm file ask for.

    Parameters
    ----------
    kind : type
        `HubOptions`, or what is made of it.
    given : mapping
        Its fields by name; limits may be ``NAME=NUMBER`` settings too.
    limits : Limits
        Those that hold where nothing else is asked for.

    Raises
    ------
    WrongUse
        A name is unknown, a value is of the wrong type, or cannot be.

    Examples
    --------
    >>> asked(HubOptions, {"label": "night", "limits": ["clients=20"]}).limits.clients
    20
    """
    names = kind.__struct_fields__
    unknown = [name for name in given if name not in names]
    if unknown:
        raise WrongUse(f"there is no option {unknown[0]!r}: there are {', '.join(names)}")
    fields = {field.name: field for field in fields_of(kind)}
    whole = ({"limits": {}} if "limits" in names else {}) | dict(given)
    values = {name: _in_full(fields.get(name), name, value, limits) for name, value in whole.items()}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise WrongUse(in_our_words(str(error))) from None


def _in_full(field: Field | None, name: str, value: Any, limits: Limits) -> Any:
    if field is None:
        return value
    kind = field.type
    if isinstance(field.how, Option) and field.how.is_file and isinstance(value, (str, os.PathLike)) and value:
        return os.path.abspath(os.path.expanduser(value))
    if kind is Limits and isinstance(value, Mapping):
        unknown = [each for each in value if each not in Limits.__struct_fields__]
        if unknown:
            raise WrongUse(f"limits: there is no {unknown[0]!r}: there are {', '.join(Limits.__struct_fields__)}")
        return msgspec.to_builtins(limits) | dict(value)
    if kind is Limits and not isinstance(value, Limits):
        return Limits.parse(value, limits)
    if get_origin(kind) is tuple and isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum) and value not in list(kind):
        raise WrongUse(f"{name} is {value!r}: it must be one of {', '.join(kind)}")
    return value
