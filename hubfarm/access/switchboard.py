"""The host's switchboard as a farm finds it: a line to it, if it is to be believed.

Who answers at its Unix socket is believed if it is an account of the system's: those are the administrator's to give.
That another has the web's port does not help it: by our line it could lead a browser that it has shown a page of its
own, as of our address, to our gateway.
"""

import socket
from pathlib import Path

from hubfarm.registry.unix_socket import peer_account
from hubfarm.wire.switchboard_line import line_to_switchboard

_FIRST_OF_PEOPLE = 1000
_DYNAMIC = range(61184, 65520)
"""Accounts that systemd makes for a service while it runs (DynamicUser=)."""


def trusted_line(path: Path) -> socket.socket | None:
    """Return a line to the host's switchboard; None if there is none that is to be believed.

    Parameters
    ----------
    path : Path
        Where it is found.
    """
    if not path.exists():
        return None
    try:
        line = line_to_switchboard(path)
    except OSError:
        return None
    uid = peer_account(line)
    if uid is not None and is_of_the_system(uid):
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
