"""Who is at the other end of a connection, and may be: this account's programs on this host, by the kernel's word.

And by which name they call us: a page whose own host name was turned to this host (DNS rebinding) gives itself away.
"""

import asyncio
import os

from hubfarm.access.host_accounts import name_of
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_messages import Ends


class Visitors:
    """Judges connections.

    Parameters
    ----------
    sockets : HostSockets, optional
        Asks the kernel.
    uid : int, optional
        Whose programs are welcome; by default, this process's account's.
    """

    def __init__(self, sockets: HostSockets | None = None, uid: int | None = None) -> None:
        self._sockets = sockets or HostSockets()
        self._uid = os.getuid() if uid is None else uid

    def are_ours(self, ends: Ends) -> bool:
        """Tell whether a connection is this account's, as far as the kernel says whose it is."""
        return not self._sockets.are_known or self._sockets.account(ends) == self._uid

    async def refusal_of(self, ends: Ends) -> str:
        """Say why a connection is none of ours; empty if it is."""
        if not self._sockets.are_known:
            return ""  # no Linux: loopback alone has to do
        uid = self._sockets.account(ends)
        if uid == self._uid:
            return ""
        mine = await asyncio.to_thread(name_of, self._uid)
        if uid is None:
            return f"this is the hub of the account {mine}, for programs of this host alone"
        theirs = await asyncio.to_thread(name_of, uid)
        return (
            f"the port {ends.own_port} of this host is held by the account {mine} and this page is of the account "
            f"{theirs}: one account's pages enter its own hubs only. An administrator can let each "
            "account have its own by hubfarm web switchboard"
        )

    def close(self) -> None:
        """Ask no more."""
        self._sockets.close()


def is_our_name(host: str | None, port: int) -> bool:
    """Tell whether a ``Host`` header names this host's loopback and our port.

    Examples
    --------
    >>> is_our_name("localhost:21012", 21012), is_our_name("[::1]:21012", 21012)
    (True, True)
    >>> is_our_name("evil.example:21012", 21012), is_our_name("localhost:80", 21012), is_our_name(None, 21012)
    (False, False, False)
    """
    return host is not None and host.lower() in {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
