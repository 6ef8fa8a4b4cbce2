"""The Access view: users, tickets and shares, and whom each hub lets in; for administrators."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Action, Asked, Part, Topic
from hubfarm.dashboard.visitor import Visitor
from hubfarm.farm import Farm
from hubfarm.registry.settings import load_settings
from hubfarm.samp.errors import HubfarmError, WrongUse

LOOK_EVERY = 1.0
"""Between two looks at users and tickets, seconds."""

LONGEST = 30 * 86400.0
"""A share lasts no longer that is made here, seconds."""


class AUser(Asked, frozen=True):
    """Which user."""

    name: str


class NewUser(AUser, frozen=True, kw_only=True):
    """A user that is added."""

    password: str
    groups: tuple[str, ...] = ()
    admin: bool = False


class ChangedUser(AUser, frozen=True, kw_only=True):
    """What is to be another of a user; None: nothing."""

    password: str | None = None
    groups: tuple[str, ...] | None = None
    admin: bool | None = None


class ATicket(Asked, frozen=True):
    """Which ticket."""

    id: str


class AShare(Asked, frozen=True):
    """What is shared, with whom, and how long (seconds)."""

    hub: str
    user: str
    seconds: float = 8 * 3600.0


class ARule(Asked, frozen=True):
    """Whom a hub lets in."""

    hub: str
    access: str
    allow: tuple[str, ...] = ()


def part(house: House) -> Part:
    """Return what this view adds."""
    view = _AccessView(house)
    return Part(
        topics={"access": Topic(Asked, view.follow)},
        actions={
            "user-add": Action(NewUser, view.on_users(_add)),
            "user-change": Action(ChangedUser, view.on_users(_change)),
            "user-remove": Action(AUser, view.on_users(_remove)),
            "user-disconnect": Action(AUser, view.doing(lambda farm, asked: farm.users.disconnect(asked.name))),
            "ticket-revoke": Action(ATicket, view.doing(_revoke)),
            "share": Action(AShare, view.share),
            "access": Action(ARule, view.set_access),
        },
    )


def _add(farm: Farm, asked: NewUser) -> None:
    farm.users.add(asked.name, asked.password, groups=asked.groups, admin=asked.admin)


def _change(farm: Farm, asked: ChangedUser) -> None:
    farm.users.change(asked.name, password=asked.password, groups=asked.groups, admin=asked.admin)


def _remove(farm: Farm, asked: AUser) -> None:
    farm.users.remove(asked.name, disconnect=True)


def _revoke(farm: Farm, asked: ATicket) -> None:
    farm.tickets.revoke(farm.tickets.find(asked.id).id)


class _AccessView:
    def __init__(self, house: House) -> None:
        self._house = house

    async def follow(self, visitor: Visitor, asked: Asked) -> AsyncIterator[Any]:
        """Yield users and tickets, whenever they have changed."""
        visitor.check_admin()
        sent = None
        while True:
            told = await asyncio.to_thread(self._state)
            if told != sent:
                sent = told
                yield told
            await asyncio.sleep(LOOK_EVERY)

    def _state(self) -> dict[str, Any]:
        farm, trouble = self._house.farm, ""
        by = load_settings().access.authenticator
        users: list[dict[str, Any]] = []
        try:
            users = [user.as_json() for user in farm.users.all()] if by == "file" else []
        except HubfarmError as error:
            trouble = str(error)
        tickets = [
            {
                "id": ticket.id,
                "user": ticket.user,
                "label": ticket.label,
                "until": None if ticket.guarded else round(ticket.until),
                "shared": ticket.shared,
                "made": round(ticket.made),
            }
            for ticket in farm.tickets.all()
            if ticket.until > time.time()
        ]
        return {"users": users, "tickets": tickets, "authenticator": by, "trouble": trouble}

    def doing(self, what: Callable[[Farm, Any], Any]) -> Callable[[Visitor, Any], Any]:
        """Return an action of an administrator's."""

        async def do(visitor: Visitor, asked: Any) -> Any:
            visitor.check_admin()
            await asyncio.to_thread(what, Farm(self._house.paths), asked)
            return {}

        return do

    def on_users(self, what: Callable[[Farm, Any], Any]) -> Callable[[Visitor, Any], Any]:
        """Return an action on the users file, if it is the one that counts."""

        def checked(farm: Farm, asked: Any) -> None:
            if load_settings().access.authenticator != "file":
                raise WrongUse("users and their passwords are another's, by the setting access.authenticator")
            what(farm, asked)

        return self.doing(checked)

    async def share(self, visitor: Visitor, asked: AShare) -> Any:
        """Share a hub by URL; return the value of ``SAMP_HUB`` that leads to it."""
        visitor.check_admin()
        if not 0 < asked.seconds <= LONGEST:
            raise WrongUse(f"a share of {asked.seconds:g} s: it must be at most {LONGEST:g}")
        hub = await self._house.hub(visitor, asked.hub)
        name = str(hub.names.name or hub.lock_file)
        farm = Farm(self._house.paths)
        shared = await asyncio.to_thread(lambda: farm.share(name, user=asked.user, seconds=asked.seconds))
        return {"hub": shared.samp_hub}

    async def set_access(self, visitor: Visitor, asked: ARule) -> Any:
        """Change whom a hub lets in; who is in and may not be is thrown out."""
        visitor.check_admin()
        hub = await self._house.hub(visitor, asked.hub)
        name = str(hub.names.name or hub.lock_file)
        farm = Farm(self._house.paths)
        await asyncio.to_thread(lambda: farm.set_access(name, asked.access, asked.allow))
        await self._house.lookout.look(anew=True)
        return {}
