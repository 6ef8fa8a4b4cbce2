"""The host's switchboard as a farm finds it: a line to it, if it is to be believed.

Who answers at its Unix socket is believed in two cases.  It has the web's port already: then it can do nothing more by
our line.  Or it is an account of the system's: those are the administrator's to give.
"""

import contextlib
import socket
from pathlib import Path

from hubfarm.registry.unix_socket import peer_account
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.switchboard_line import line_to_switchboard

_FIRST_OF_PEOPLE = 1000
_DYNAMIC = range(61184, 65520)
"""Accounts that systemd makes for a service while it runs (DynamicUser=)."""


def trusted_line(path: Path, port: int) -> socket.socket | None:
    """Return a line to the host's switchboard; None if there is none that is to be believed.

    Parameters
    ----------
    path : Path
        Where it is found.
    port : int
        The web's.
    """
    if not path.exists():
        return None
    try:
        line = line_to_switchboard(path)
    except OSError:
        return None
    uid = peer_account(line)
    if uid is not None and (is_of_the_system(uid) or _has_port(uid, port)):
        return line
    line.close()
    return None


def is_of_the_system(uid: int) -> bool:
    """Tell whether an account is no person's.

    Examples
    --------
    >>> is_of_the_system(0), is_of_the_system(1000), is_of_the_system(61184)
    (True, False, True)
    """
    return uid < _FIRST_OF_PEOPLE or uid in _DYNAMIC


def _has_port(uid: int, port: int) -> bool:
    with contextlib.closing(HostSockets()) as sockets:
        return sockets.listener("localhost", port) == uid
