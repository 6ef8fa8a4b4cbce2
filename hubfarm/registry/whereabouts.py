"""Where a hub's process is: on which machine, since which start of it, among which PIDs.

Host names tell little: two hosts may have one, and two containers that share a home often do.  Whether a PID in
a lock file means a process that this one could see and signal, and whether what died, died for certain, is
decided here, by facts alone.  It may know what lock files say, and nothing of guards.
"""

import os
from collections.abc import Mapping
from enum import Enum
from functools import cache
from hashlib import sha256
from pathlib import Path

from hubfarm.registry.boot_id import boot_id

UID = "hubfarm.uid"
"""The token that says of which account the process is."""

TOKENS = ("hubfarm.host", "hubfarm.boot", "hubfarm.machine", "hubfarm.namespace", UID)
"""Those by which `where_is` judges, and whose the process is."""

_MACHINE_ID = Path("/etc/machine-id")
_OUTERMOST = "4026531836"
"""The PID namespace of the system itself (the kernel's ``PROC_PID_INIT_INO``)."""


class Where(Enum):
    """Where the process of a lock file is, seen from this one."""

    HERE = "here"
    """Its PID means the same here."""
    BESIDE = "of another container on this host"
    """On this host since this boot, but with PIDs of its own."""
    BEFORE = "of an earlier boot of this host"
    """It died with that."""
    AWAY = "of another host of this name"
    """Or of one of another name, which its lock file tells."""
    UNKNOWN = "of an earlier boot of this host, or of another one of this name"


def whereabouts() -> dict[str, str]:
    """Return the lock-file tokens that say where this process is; `where_is` reads them."""
    return {
        "hubfarm.boot": boot_id(),
        "hubfarm.machine": _machine(),
        "hubfarm.namespace": _namespace(),
        UID: str(os.getuid()),
    }


def where_is(tokens: Mapping[str, str], host: str) -> Where:
    """Return where the process is that has written a lock file.

    Parameters
    ----------
    tokens : dict of str to str
        The lock file's content.  One without ``hubfarm.host`` was written by a foreign hub, which is taken to
        be here: it says nothing of where it is.
    host : str
        This host's name.

    Examples
    --------
    >>> where_is({"hubfarm.host": "observatory"}, "laptop")
    <Where.AWAY: 'of another host of this name'>
    """
    named = tokens.get("hubfarm.host")
    if named is None:
        return Where.HERE
    if named != host:
        return Where.AWAY
    if not _namespace():
        return Where.HERE  # no Linux: no containers to mistake for us, and its boot's time moves with the clock
    if tokens.get("hubfarm.boot", boot_id()) == boot_id():
        return Where.HERE if tokens.get("hubfarm.namespace", _namespace()) == _namespace() else Where.BESIDE
    machine = tokens.get("hubfarm.machine")
    if not (machine and _machine()):
        return Where.UNKNOWN
    return Where.BEFORE if machine == _machine() else Where.AWAY


@cache
def _namespace() -> str:
    """Return what tells the PID namespace of this process from others of this boot; empty if there is no such thing."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""


@cache
def _machine() -> str:
    """Return what tells this machine from others; empty in a container, which may have another's, and if nothing does.

    A digest: the id itself is not to be handed on (machine-id(5)).
    """
    if _namespace() != _OUTERMOST:
        return ""
    try:
        machine = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    return sha256(b"hubfarm " + machine).hexdigest()[:16] if len(machine) == 32 else ""
