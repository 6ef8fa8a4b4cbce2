"""Who is at the other end of a connection of this host, by the kernel's word: no secret is needed, and no lie helps.

One question for exactly one connection, 16 µs, to netlink; and one to the name service, in a thread, about what the
account is called, and of which groups it is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hubfarm.access.host_accounts import Account, account_of
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_messages import Ends

REMEMBERED = 60.0
"""How long the name service's answer about an account counts, seconds."""

MOST_ACCOUNTS = 1000
"""Accounts that are remembered."""


class Accounts:
    """The accounts at the other ends of a hub's connections.

    Parameters
    ----------
    clock : callable
        Returns the time, seconds.
    sockets : HostSockets, optional
        Asks the kernel.
    """

    def __init__(self, clock: Callable[[], float], sockets: HostSockets | None = None) -> None:
        self._clock = clock
        self._sockets = sockets or HostSockets()
        self._known: dict[int, tuple[float, Account]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def uid(self, connection: Ends) -> int | None:
        """Return whose the other end of a connection is, None if that is not known.

        Asked each time: a port that is free again may be another's.
        """
        return self._sockets.account(connection)

    def listens(self, uid: int, host: str, port: int) -> bool:
        """Tell whether a port is an account's: whether its process, and nobody else's, would get a connection."""
        return self._sockets.listener(host, port) == uid

    async def account(self, uid: int) -> Account:
        """Return what an account is called, and its groups."""
        now = self._clock()
        if uid in self._known and now - self._known[uid][0] < REMEMBERED:
            return self._known[uid][1]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "hubfarm-accounts")
        account = await asyncio.get_running_loop().run_in_executor(self._pool, account_of, uid)
        if len(self._known) >= MOST_ACCOUNTS:
            self._known.clear()
        self._known[uid] = now, account
        return account

    def close(self) -> None:
        """Ask no more."""
        self._sockets.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
