"""A proxy: on another hub, the client that stands for a client of this one."""

import asyncio
from typing import Protocol

from loguru import logger

from hubfarm.bridge.side import Side
from hubfarm.client.callback_server import Callback
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.values import Map

AGAIN_AFTER = (2.0, 5.0, 15.0, 60.0)
"""Between two tries to have a proxy on a hub that refuses it, seconds; the last one from then on."""

Wanted = tuple[Map, Map]
"""What a proxy is to declare: metadata, and subscriptions."""


class Keeper(Protocol):
    """Who has proxies: it knows what they are to be, and does what they are for."""

    def wanted(self, proxy: "Proxy") -> Wanted | None:
        """Return what a proxy is to declare now; None if it is not to be."""

    async def pass_on(self, proxy: "Proxy", callback: Callback) -> None:
        """Take a call of the hub where the proxy is."""

    async def before_leaving(self, proxy: "Proxy") -> None:
        """Do what has to be done by a proxy that is about to leave."""


class Proxy:
    """One client's proxy on one other hub; there as long as it is wanted there.

    Theory of operation: what is to be follows from what is known of both hubs, which changes at any time.  So nobody
    tells a proxy what to do, only that something has changed; one task then brings it to what is wanted, until it is.

    Parameters
    ----------
    client : str
        The client's public id on its own hub.
    home, away : Side
        That hub, and the one where the proxy is.
    keeper : Keeper
        Whose it is.
    """

    def __init__(self, client: str, home: Side, away: Side, keeper: Keeper) -> None:
        self.client = client
        self.home = home
        self.away = away
        self.key = self.id = ""
        self.trouble = ""
        """Why it is not there, though it is wanted; for people."""
        self._keeper = keeper
        self._declared: Wanted = ({}, {})
        self._settling: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._changed = False
        self._failures = 0

    @property
    def is_there(self) -> bool:
        """Whether it is registered on the other hub."""
        return bool(self.key)

    def look(self) -> None:
        """Have it brought to what is wanted."""
        self._changed = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    def forget(self) -> None:
        """Note that the other hub was lost, and it with that."""
        self.key = self.id = ""
        self._declared = ({}, {})

    async def settled(self) -> None:
        """Wait until it is what was wanted when this was asked."""
        while self._settling is not None:
            await asyncio.shield(self._settling)

    async def _settle(self) -> None:
        try:
            while self._changed:
                self._changed = False
                await self._bring_to(self._keeper.wanted(self))
            self.trouble = ""
            self._failures = 0
        except HubfarmError as error:
            if str(error) != self.trouble and self.away.is_up:
                logger.warning("{} of {} cannot be on {}: {}", self.client, self.home.label, self.away.label, error)
            self.trouble = str(error)
            pause = AGAIN_AFTER[min(self._failures, len(AGAIN_AFTER) - 1)]
            self._failures += 1
            self._again = asyncio.get_running_loop().call_later(pause, self.look)
        finally:
            self._settling = None
            if self._changed and self._again is None:
                self.look()

    async def _bring_to(self, wanted: Wanted | None) -> None:
        if wanted is None:
            if self.key:
                await self._keeper.before_leaving(self)
                key, id = self.key, self.id
                self.forget()
                await self.away.unregister(key, id)
            return
        if not self.key:
            who = self.home.who(self.client)
            self.key, self.id = await self.away.register(lambda callback: self._keeper.pass_on(self, callback), who)
        metadata, subscriptions = wanted
        if metadata != self._declared[0]:
            await self.away.call("declareMetadata", self.key, metadata)
            self._declared = (metadata, self._declared[1])
        if subscriptions != self._declared[1]:
            await self.away.call("declareSubscriptions", self.key, subscriptions)
            self._declared = (metadata, subscriptions)
