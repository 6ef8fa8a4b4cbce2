"""How ssh is called for a connection.  Pure."""

from pathlib import Path
from shlex import quote

from hubfarm.spec.connection_spec import ConnectionSpec, SshAddress

LONGEST_MASTER = 88
"""Longest path at which an ssh can listen, bytes: it puts 17 more behind it, and 107 are a Unix socket's."""

_SEES = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ForwardX11=no", "-o", "ForwardAgent=no")
"""A dead connection is noticed, and nothing but ours goes over it."""


def ssh_command(spec: ConnectionSpec, address: SshAddress, master: Path, *, control: str = "") -> list[str]:
    """Return the command that brings the far end's streams here, asking nobody.

    Parameters
    ----------
    spec, address
        Where to, and how.
    master : Path
        Where an ssh listens that the user has opened, if there is one.
    control : str
        What that one is to be told instead, as ``exit``.
    """
    by_master = [] if len(str(master).encode()) > LONGEST_MASTER else ["-o", f"ControlPath={_literal(master)}"]
    if control:
        return [*spec.ssh, *by_master, "-O", control, *_where(address)]
    asking_nobody = ["-T", "-x", "-o", "BatchMode=yes", "-o", "ControlMaster=no"]
    return [*spec.ssh, *asking_nobody, *by_master, *_SEES, *_where(address), _agent(spec, address)]


def first_ssh_command(spec: ConnectionSpec, address: SshAddress, master: Path) -> list[str]:
    """Return the command that the user sees, who may be asked; its connection stays for those that ask nobody."""
    stays = ["-o", "ControlMaster=yes", "-o", f"ControlPath={_literal(master)}", "-o", "ControlPersist=yes"]
    return [*spec.ssh, "-T", "-x", *stays, *_SEES, *_where(address), "true"]


def _where(address: SshAddress) -> list[str]:
    return [*(["-p", str(address.port)] if address.port else []), address.destination]


def _agent(spec: ConnectionSpec, address: SshAddress) -> str:
    """Return what the far host's shell is to run: what comes first may be a command with options."""
    return f"exec {spec.remote_hubfarm} line {quote(address.label)}"


def _literal(path: Path) -> str:
    """Return a path for a configuration in which ``%`` has a meaning, and blanks end a word."""
    doubled = str(path).replace("%", "%%")
    return f'"{doubled}"'
