"""The Consent view: web pages that ask to come in, those that are in, and what is remembered; by the web's gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Action, Asked, Part, Topic
from hubfarm.dashboard.visitor import Visitor
from hubfarm.farm.web import Web

WAIT = 5.0
"""How long the gateway is asked to wait for a change, seconds: a page that has gone holds a thread so long."""


class APage(Asked, frozen=True):
    """Which page, question or origin."""

    id: str


class Allowed(APage, frozen=True):
    """That a page may come in."""

    hub: str
    lasts: str = "once"


def part(house: House) -> Part:
    """Return what this view adds."""
    web = Web(house.paths)

    async def follow(visitor: Visitor, asked: Asked) -> AsyncIterator[Any]:
        visitor.check_admin()
        told = web.watch(WAIT)
        sent = None
        while True:
            state = await asyncio.to_thread(next, told)
            if state.pop("edition", None) is None:  # no gateway runs: what is remembered is in a file
                state = await asyncio.to_thread(web.state)
            if state != sent:
                sent = state
                yield state

    def deciding(decide: Callable[[Any], Any]) -> Callable[[Visitor, Any], Any]:
        async def do(visitor: Visitor, asked: Any) -> Any:
            visitor.check_admin()
            await asyncio.to_thread(decide, asked)
            return {}

        return do

    return Part(
        topics={"consent": Topic(Asked, follow)},
        actions={
            "consent-allow": Action(Allowed, deciding(lambda asked: web.allow(asked.id, asked.hub, asked.lasts))),
            "consent-deny": Action(APage, deciding(lambda asked: web.deny(asked.id))),
            "consent-disconnect": Action(APage, deciding(lambda asked: web.disconnect(asked.id))),
            "consent-forget": Action(APage, deciding(lambda asked: web.forget(asked.id))),
            "consent-trust": Action(Allowed, deciding(lambda asked: web.trust(asked.id, asked.hub))),
        },
    )
