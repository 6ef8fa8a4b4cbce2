"""What all views of the dashboard stand on: the farm, what is seen of it, and how a visitor gets onto a hub."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubfarm.access.host_accounts import name_of
from hubfarm.dashboard.lookout import Lookout
from hubfarm.dashboard.visitor import NotAllowed, Role, Visitor
from hubfarm.farm import Farm
from hubfarm.registry.files import read_private
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.paths import Paths
from hubfarm.registry.tickets import Tickets
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse
from hubfarm.spec.states import Access, HubKind

TICKET_LASTS = 12 * 3600.0
"""A ticket by which the dashboard enters a restricted hub for a visitor counts so long, seconds."""


class House:
    """The farm, for the views.

    Parameters
    ----------
    paths : Paths
        Where its files lie.
    icons : bool
        Whether icons of clients are fetched that lie on other hosts.
    """

    def __init__(self, paths: Paths, *, icons: bool = True) -> None:
        self.paths = paths
        self.farm = Farm(paths)
        self.lookout = Lookout(paths)
        self.icons = icons
        self._tickets: dict[tuple[str, str, str], tuple[str, float]] = {}

    async def hub(self, visitor: Visitor, key: str) -> HubInfo:
        """Return the living hub of a key, if the visitor may see it.

        Parameters
        ----------
        visitor : Visitor
            Who asks.
        key : str
            See `hubfarm.dashboard.lookout.key_of`.

        Raises
        ------
        WrongUse
            There is none that the visitor may see.
        """
        hub = await self._seen(visitor, key)
        if not hub.alive:
            raise WrongUse(f"the hub {hub.name} has ended")
        return hub

    async def _seen(self, visitor: Visitor, key: str) -> HubInfo:
        """Return the hub of a key, also one that has ended; one that has only just begun is looked for."""
        for again in (False, True):
            if again:
                await self.lookout.look(anew=True)
            seen = self.lookout.seen.get(key)
            if seen is not None and visitor.role_at(seen.hub) is not None:
                return seen.hub
        raise WrongUse("there is no such hub, or no longer")

    async def owned(self, visitor: Visitor, key: str) -> HubInfo:
        """Return a hub, if the visitor is its owner or an admin; see `hub`.

        Raises
        ------
        NotAllowed
            The visitor is neither.
        """
        hub = await self.hub(visitor, key)
        if (visitor.role_at(hub) or 0) < Role.OWNER:
            raise NotAllowed(f"that is for the owner of the hub {hub.name}, and administrators")
        return hub

    async def log_of(self, visitor: Visitor, key: str) -> Path:
        """Return the log of a hub, also of one that has ended, or of the ``coordinator``.

        Raises
        ------
        WrongUse
            There is no such hub, it logs elsewhere, or it is not the visitor's.
        """
        if key == "coordinator":
            visitor.check_admin()
            return self.paths.logs / "coordinator.log"
        hub = await self._seen(visitor, key)
        if (visitor.role_at(hub) or 0) < Role.OWNER:
            raise NotAllowed(f"the log is for the owner of the hub {hub.name}, and administrators")
        if hub.kind is not HubKind.FARM:
            raise WrongUse(f"the hub {hub.name} is {hub.kind}, and logs elsewhere")
        return self.paths.logs / f"{hub.label or f'hub-{hub.id}'}.log"

    async def tokens(self, hub: HubInfo) -> Mapping[str, str]:
        """Return the content of a hub's lock file; there are secrets in it.

        Raises
        ------
        HubfarmError
            It is gone, or cannot be read.
        """
        try:
            return lockfile.parse(await asyncio.to_thread(read_private, hub.lock_file))
        except OSError as error:
            raise HubfarmError(f"the lock file of the hub {hub.name} cannot be read: {error.strerror}") from None
        except BadLockFile as error:
            raise HubfarmError(str(error)) from None

    async def door(self, visitor: Visitor, hub: HubInfo) -> dict[str, Any]:
        """Return the keywords by which a client enters a hub for a visitor: none, or a ticket of the visitor's.

        Raises
        ------
        HubfarmError
            No ticket can be made.
        """
        if hub.access == Access.OPEN or hub.kind is HubKind.FOREIGN:
            return {}
        tokens = await self.tokens(hub)
        if "hubfarm.id" not in tokens:
            return {}
        return {"ticket": await asyncio.to_thread(self._ticket, visitor, tokens)}

    def _ticket(self, visitor: Visitor, tokens: Mapping[str, str]) -> str:
        user = visitor.name or name_of(os.getuid())
        place = (user, tokens["hubfarm.id"], tokens[lockfile.SECRET])
        secret, until = self._tickets.get(place, ("", 0.0))
        if time.monotonic() < until and Tickets(self.paths).get(secret.partition("-")[0]) is not None:
            return secret
        _, path = Tickets(self.paths.prepare()).make(
            tokens,
            user=user,
            groups=visitor.who.groups,
            admin=visitor.is_admin,
            revision=self.farm.users.content().revision,
            seconds=TICKET_LASTS,
            for_this_process=True,
        )
        secret = lockfile.parse(read_private(path))[lockfile.SECRET]
        self._tickets[place] = secret, time.monotonic() + TICKET_LASTS / 2
        return secret
