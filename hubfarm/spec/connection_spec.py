"""What a connection is asked to be: to which hub elsewhere, and how it is reached.  Pure."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import check_label, is_short_name

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")


class SshAddress(NamedTuple):
    """A hub that is reached by ssh.

    Parameters
    ----------
    host : str
        A name or an address, or what ssh's configuration calls it.
    label : str
        The hub's, on that host.
    user : str
        The account there; empty for what ssh says.
    port : int
        0 for what ssh says.
    """

    host: str
    label: str
    user: str = ""
    port: int = 0

    @property
    def destination(self) -> str:
        """The host as ssh takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host


def ssh_address(address: str) -> SshAddress | None:
    """Return what an ``ssh:`` address says; None if it is another.

    Raises
    ------
    WrongUse
        It is an ``ssh:`` address, and not a whole one.

    Examples
    --------
    >>> ssh_address("ssh://luigi@obs.example.org:2222/mima-1")
    SshAddress(host='obs.example.org', label='mima-1', user='luigi', port=2222)
    >>> ssh_address("https://obs.example.org:40001/share/5d0c") is None
    True
    """
    if not address.startswith("ssh:"):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port or 0
    except ValueError:
        raise _no_address(address) from None
    user, host = unquote(parts.username or ""), _as_written(parts.hostname or "", parts.netloc)
    label = unquote(parts.path.removeprefix("/"))
    # ssh would take what begins with a dash for an option of its own.
    usable = _HOST.fullmatch(host) and (not user or _USER.fullmatch(user)) and label
    if not usable or parts.password or parts.query or parts.fragment:
        raise _no_address(address)
    return SshAddress(host, check_label(label), user, port)


def _as_written(host: str, netloc: str) -> str:
    """Return a host with its capitals, as a name of ssh's configuration may have some; an IPv6 zone as ssh has it."""
    at = netloc.lower().rindex(host)
    return netloc[at : at + len(host)].replace("%25", "%")


def _no_address(address: str) -> WrongUse:
    return WrongUse(f"not an address of a hub elsewhere: {address[:200]!r} (write ssh://[USER@]HOST[:PORT]/LABEL)")


class ConnectionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection is to be.

    Parameters
    ----------
    name : str
        Its name in the farm, as files have it.
    label : str
        That of the hub's door here.
    address : str
        Where the hub is: ``ssh://…``, or the lock file of a hub that speaks TLS by its URL or path.
    ssh : tuple of str
        What is run as ssh, with options.
    remote_hubfarm : str
        What the shell over there runs as hubfarm.
    carry_files : bool
        Carry the files that messages name.
    agent : str
        Where the ssh agent of the account listens; empty for nowhere.

    Raises
    ------
    WrongUse
        A name or label cannot be.
    """

    name: str
    label: str
    address: str
    ssh: tuple[str, ...] = ("ssh",)
    remote_hubfarm: str = "hubfarm"
    carry_files: bool = True
    agent: str = ""

    def __post_init__(self) -> None:
        check_label(self.label)
        if not is_short_name(self.name):
            raise WrongUse(f"not usable as a connection's name: {self.name!r}")
        if not self.ssh or not self.remote_hubfarm:
            raise WrongUse("say what to run as ssh, and as hubfarm over there")
        ssh_address(self.address)


def connection_name(label: str) -> str:
    """Return what a connection is called in files, after its label.

    Examples
    --------
    >>> connection_name("mima-1@obs.example.org")
    'mima-1-obs-example-org'
    """
    return re.sub("[^A-Za-z0-9_-]+", "-", label).strip("-_")[:60] or "connection"
