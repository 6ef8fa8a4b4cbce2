"""The Farm view: what hubs there are, what they do, and what can be done with them.

A page gets all of it once, and then differences: what people read of a hub (its facts) when that has changed, and its
numbers in one short list.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

import msgspec

from hubfarm.dashboard.house import House
from hubfarm.dashboard.lookout import Seen, key_of
from hubfarm.dashboard.parts import Action, Asked, Part, Topic
from hubfarm.dashboard.visitor import Role, Visitor
from hubfarm.farm import Farm
from hubfarm.registry.log_reading import last_lines
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.states import HubKind, HubState
from hubfarm.visible import brief

HISTORY = 100
"""So many endings are shown, the last ones."""

LAST_LINES = 12
"""So many lines of a failed hub's log are shown."""

MOST_HUBS = 100
"""Hubs that one click starts at most."""

Facts = dict[str, Any]
Numbers = list[float]


class Start(Asked, frozen=True):
    """What hubs to start: those of `hubfarm.spec.options.HubOptions` that the form has."""

    label: str = ""
    count: int = 1
    owner: str = ""
    group: str = ""
    timeout: float = 0.0
    access: str = "open"
    allow: tuple[str, ...] = ()


class Hubs(Asked, frozen=True):
    """Which hubs, by their keys."""

    hubs: list[str]


class OneHub(Asked, frozen=True):
    """Which hub, by its key."""

    hub: str


def part(house: House) -> Part:
    """Return what this view adds."""
    view = _FarmView(house)
    return Part(
        topics={"farm": Topic(Asked, view.follow), "history": Topic(Asked, view.follow_history)},
        actions={
            "start": Action(Start, view.start),
            "stop": Action(Hubs, view.doing(lambda farm, names: farm.stop(names))),
            "drain": Action(Hubs, view.doing(lambda farm, names: farm.drain(names))),
            "restart": Action(Hubs, view.doing(lambda farm, names: farm.restart(names))),
            "sleep": Action(Hubs, view.doing(lambda farm, names: farm.sleep(names))),
            "wake": Action(Hubs, view.doing(lambda farm, names: farm.wake(names))),
            "last-lines": Action(OneHub, view.last_lines),
        },
    )


class _FarmView:
    def __init__(self, house: House) -> None:
        self._house = house

    # ------------------------------------------------------------------ seen

    async def follow(self, visitor: Visitor, asked: Asked) -> AsyncIterator[Any]:
        """Yield what there is, and then what has changed."""
        lookout = self._house.lookout
        sent = _Sent(visitor)
        first = True
        async for _ in lookout.looks():
            told = sent.difference(lookout.seen, with_lines=first)
            coordinator = _coordinator_as_json(lookout.coordinator) if visitor.is_admin else None
            if (beside := {"trouble": lookout.trouble, "coordinator": coordinator}) != sent.beside:
                sent.beside = beside
                told |= beside
            if first:
                told["whole"] = True
            if told:
                yield told
            first = False

    async def follow_history(self, visitor: Visitor, asked: Asked) -> AsyncIterator[Any]:
        """Yield what has ended, the last first, whenever something has."""
        visitor.check_admin()
        sent: list[Any] | None = None
        async for _ in self._house.lookout.looks():
            endings = await asyncio.to_thread(self._house.farm.history)
            told = [ending.as_json() for ending in reversed(endings[-HISTORY:])]
            if told != sent:
                sent = told
                yield told

    # ------------------------------------------------------------------ done

    async def start(self, visitor: Visitor, asked: Start) -> Any:
        """Start hubs; return their keys."""
        visitor.check_admin()
        if not 1 <= asked.count <= MOST_HUBS:
            raise WrongUse(f"count is {asked.count}: it must be 1 to {MOST_HUBS}")
        given = {name: value for name, value in msgspec.structs.asdict(asked).items() if value not in ("", ())}
        hubs = await asyncio.to_thread(lambda: Farm(self._house.paths).start(**given))
        await self._house.lookout.look(anew=True)
        return {"hubs": [key_of(hub) for hub in hubs], "labels": [hub.label for hub in hubs]}

    def doing(self, what: Callable[[Farm, Collection[str]], Any]) -> Callable[[Visitor, Any], Awaitable[Any]]:
        """Return an action that does something with hubs of which the visitor is the owner or an admin."""

        async def do(visitor: Visitor, asked: Hubs) -> Any:
            hubs = [await self._house.owned(visitor, key) for key in dict.fromkeys(asked.hubs)]
            if not hubs:
                raise WrongUse("say which hubs")
            names = [str(hub.names.name or hub.lock_file) for hub in hubs]
            await asyncio.to_thread(lambda: what(Farm(self._house.paths), names))
            await self._house.lookout.look(anew=True)
            return {"labels": [hub.name for hub in hubs]}

        return do

    async def last_lines(self, visitor: Visitor, asked: OneHub) -> Any:
        """Return the last lines that a hub has logged, also one that has failed."""
        path = await self._house.log_of(visitor, asked.hub)
        try:
            lines = await asyncio.to_thread(last_lines, path, LAST_LINES)
        except OSError as error:
            raise HubfarmError(f"there is no log of it: {error.strerror}") from None
        return {"lines": [brief(line, 500) for line in lines]}


class _Sent:
    """What a page knows already."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._facts: dict[str, Facts] = {}
        self._numbers: dict[str, Numbers] = {}
        self.beside: Facts = {}

    def difference(self, seen: dict[str, Seen], *, with_lines: bool) -> dict[str, Any]:
        """Return what the page does not know yet, and know it sent."""
        facts: dict[str, Facts] = {}
        numbers: dict[str, Numbers] = {}
        for key, one in seen.items():
            role = self._visitor.role_at(one.hub)
            if role is None:
                continue
            present = facts_of(one, role)
            if self._facts.get(key) != present:
                facts[key] = self._facts[key] = present
                if with_lines and any(one.line):
                    facts[key] = present | {"line": [_short(rate) for rate in one.line]}
            counted = numbers_of(one)
            if self._numbers.get(key) != counted:
                numbers[key] = self._numbers[key] = counted
        gone = [key for key in self._facts if key not in seen]
        for key in gone:
            del self._facts[key]
            self._numbers.pop(key, None)
        told = {"hubs": facts, "numbers": numbers, "gone": gone}
        return {name: value for name, value in told.items() if value}


def facts_of(seen: Seen, role: Role) -> Facts:
    """Return what people read of a hub; what is empty is left out."""
    hub = seen.hub
    own = role >= Role.OWNER
    supervised = own and hub.alive and hub.kind is HubKind.FARM
    facts = {
        "id": hub.id,
        "label": hub.label or hub.name,
        "owner": hub.owner,
        "group": hub.group,
        "state": seen.state.value,
        "alive": hub.alive,
        "kind": hub.kind.value,
        "access": str(hub.access),
        "allow": list(hub.allow),
        "url": hub.url,
        "pid": hub.pid,
        "restarts": hub.restarts or 0,
        "timeout": hub.timeout or 0,
        "version": hub.version,
        "account": hub.account,
        "started": _started(seen),
        "problem": brief(hub.problem, 300),
        "lockFile": str(hub.stable_name or hub.lock_file) if own else "",
        "role": role.name.lower(),
        "mayEnd": own and hub.alive and hub.kind in (HubKind.FARM, HubKind.STANDALONE),
        "mayRestart": supervised,
        "maySleep": supervised and seen.state is not HubState.DORMANT,
        "mayWake": supervised and seen.state is HubState.DORMANT,
    }
    return {name: value for name, value in facts.items() if value not in ("", None, [], False)}


def _started(seen: Seen) -> int | None:
    """Return when it started, whole seconds since 1970: so it does not change from look to look."""
    if seen.record is None or seen.state is HubState.DORMANT:
        return None
    return round((time.time() - time.monotonic() + seen.record.started) / 2) * 2


def numbers_of(seen: Seen) -> Numbers:
    """Return clients, messages a second, deliveries that wait, memory (MB) and processor (percent)."""
    record = seen.record
    if record is None:
        return [seen.hub.clients or 0, 0, seen.hub.queued or 0, 0, 0]
    memory = round(seen.memory / 2**20, 1)
    return [record.clients, _short(seen.rate), record.queued, memory, round(seen.cpu)]


def _short(rate: float) -> float:
    """Return a rate to three digits: nobody reads more of them."""
    return round(rate, 1) if rate < 10 else round(rate) if rate < 1000 else float(f"{rate:.3g}")


def _coordinator_as_json(told: dict[str, Any] | None) -> Facts | None:
    """Return what people read of the coordinator; when it started, as that stays the same."""
    if told is None or "pid" not in told:
        return told
    started = round((time.time() - told["uptime"]) / 5) * 5
    return {"pid": told["pid"], "version": told["version"], "started": started, "web": told.get("web")}
