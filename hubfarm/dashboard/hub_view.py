"""The Hub view: a hub's clients, and what can be said to them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from hubfarm.client.data import Receipt
from hubfarm.client.guarded_icons import GuardedIcons
from hubfarm.client.others import as_map, check
from hubfarm.client.sniff import SNIFFED, kind_of
from hubfarm.client.watching import disconnect
from hubfarm.dashboard.farm_view import facts_of, numbers_of
from hubfarm.dashboard.house import House
from hubfarm.dashboard.parts import Action, Asked, Part, Topic
from hubfarm.dashboard.station import Client, Station, Stations
from hubfarm.dashboard.visitor import Visitor
from hubfarm.samp.errors import BadValue, HubfarmError, WrongUse
from hubfarm.samp.mtype import check_mtype
from hubfarm.spec.states import HubState
from hubfarm.visible import brief

ANSWER_TIMEOUT = 30.0
"""How long a client may take to answer what somebody clicks, seconds."""

LOAD_TIMEOUT = 120.0
"""How long it may take to load a table or image, seconds."""

LARGEST_HANDED = 2 * 2**30
"""What is handed over at most, bytes."""

MOST_MISSED = 5
"""A hub that was not seen for more looks has ended."""

LONGEST_ANSWER = 20_000
"""So much of an answer is shown, characters."""

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


class AHub(Asked, frozen=True):
    """Which hub, by its key."""

    hub: str


class AClient(AHub, frozen=True):
    """Which client of which hub."""

    client: str


class AMessage(AClient, frozen=True, kw_only=True):
    """What is sent to a client; to all, if none is named."""

    mtype: str
    params: dict[str, str] = msgspec.field(default_factory=dict)
    call: bool = False


def part(house: House) -> Part:
    """Return what this view adds."""
    view = _HubView(house)
    return Part(
        topics={"hub": Topic(AHub, view.follow), "clients": Topic(AHub, view.follow_clients)},
        actions={
            "ping": Action(AClient, view.ping),
            "send": Action(AMessage, view.send),
            "disconnect": Action(AClient, view.disconnect),
        },
        gets={"icon": view.icon},
        posts={"hand": view.hand},
        close=view.stations.close,
    )


class _HubView:
    def __init__(self, house: House) -> None:
        self._house = house
        self.stations = Stations(house)
        self._icons = GuardedIcons(far=house.icons)

    async def _station(self, visitor: Visitor, key: str, *, speaks: bool = False) -> Station:
        """Return the visitor's station on a hub; to speak there takes its owner, or an admin."""
        hub = await (self._house.owned if speaks else self._house.hub)(visitor, key)
        return await self.stations.at(visitor, key, hub)

    # ------------------------------------------------------------------ seen

    async def follow(self, visitor: Visitor, asked: AHub) -> AsyncIterator[Any]:
        """Yield what people read of a hub, and its numbers, when they have changed."""
        await self._house.hub(visitor, asked.hub)
        sent: Any = None
        missed = 0
        async for _ in self._house.lookout.looks():
            seen = self._house.lookout.seen.get(asked.hub)
            role = visitor.role_at(seen.hub) if seen is not None else None
            if seen is None or role is None:
                missed += 1
                if missed > MOST_MISSED:
                    raise HubfarmError("the hub has ended")
                continue  # it may be on its way from one process to the next
            missed = 0
            told: dict[str, Any] = {"facts": facts_of(seen, role), "now": numbers_of(seen)}
            if told != sent:
                first, sent = sent is None, told
                yield told | {"line": [round(rate, 1) for rate in seen.line]} if first else told

    async def follow_clients(self, visitor: Visitor, asked: AHub) -> AsyncIterator[Any]:
        """Yield a hub's clients: all, and then those of which something has changed; a look wakes no hub."""
        asleep = False
        async for _ in self._house.lookout.looks():
            if (await self._house.hub(visitor, asked.hub)).state is not HubState.DORMANT:
                break
            if not asleep:
                asleep = True
                yield {"clients": {}, "gone": [], "whole": True, "asleep": True}
        station = await self._station(visitor, asked.hub)
        sent: dict[str, Client] = {}
        watchers: list[str] | None = None
        edition = -1
        with station.looked_at():
            while True:
                edition = await station.beyond(edition)
                present = {id: dict(one) for id, one in station.clients.items()}
                changed = {id: one for id, one in present.items() if sent.get(id) != one}
                gone = [id for id in sent if id not in present]
                told: dict[str, Any] = {"clients": changed, "gone": gone, "whole": not sent}
                if watchers != station.watchers:
                    told["watchers"] = watchers = list(station.watchers)
                if changed or gone or "watchers" in told:
                    sent = present
                    yield told
                await asyncio.sleep(0.2)  # a flood of events is told in few words

    async def icon(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        """Return a client's icon."""
        station = await self._station(visitor, request.query.get("hub", ""))
        url, of_page = station.icon_of(request.query.get("client", ""))
        content, kind = await self._icons.fetch(url, for_page=of_page) if url else (b"", "")
        if not kind:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "private, max-age=600", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return web.Response(body=content, content_type=kind, headers=headers)

    # ------------------------------------------------------------------ said

    async def ping(self, visitor: Visitor, asked: AClient) -> Any:
        """Ask a client whether it answers; return how long that took, milliseconds."""
        station = await self._station(visitor, asked.hub, speaks=True)
        begun = time.perf_counter()
        check(await station.client.ecall_and_wait(asked.client, "samp.app.ping", ANSWER_TIMEOUT), asked.client)
        return {"ms": round(1000 * (time.perf_counter() - begun), 1)}

    async def send(self, visitor: Visitor, asked: AMessage) -> Any:
        """Send a message; return what was answered, or who got it."""
        try:
            check_mtype(asked.mtype)
        except BadValue as error:
            raise WrongUse(str(error)) from None
        station = await self._station(visitor, asked.hub, speaks=True)
        message = {"samp.mtype": asked.mtype, "samp.params": asked.params}
        if not asked.client:
            return {"got": len(await station.client.notify_all(message))}
        if not asked.call:
            await station.client.notify(asked.client, message)
            return {"got": 1}
        response = as_map(await station.client.call_and_wait(asked.client, message, ANSWER_TIMEOUT))
        text = msgspec.json.format(msgspec.json.encode(response), indent=2).decode(errors="replace")
        return {"status": brief(str(response.get("samp.status", "")), 60), "response": text[:LONGEST_ANSWER]}

    async def disconnect(self, visitor: Visitor, asked: AClient) -> Any:
        """Throw a client out of its hub."""
        hub = await self._house.owned(visitor, asked.hub)
        door = await self._house.door(visitor, hub)
        tokens = await self._house.tokens(hub)
        await disconnect(tokens, asked.client, ticket=str(door.get("ticket", "")), by=str(visitor))
        return {}

    async def hand(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        """Hand a file over that comes with the request, to one client or to all who can take it."""
        if request.content_type != "application/octet-stream":
            raise WrongUse("a file comes as application/octet-stream")
        station = await self._station(visitor, request.query.get("hub", ""), speaks=True)
        name = brief(request.query.get("name", ""), 200)
        suffix = _SUFFIX.search(name[-9:])
        path = station.new_path(suffix[0] if suffix else ".dat")
        with station.looked_at():
            start = await _save(request, path)
            kind = kind_of(start)
            send = getattr(station.client, f"send_{kind}")
            to = request.query.get("client") or None
            try:
                receipts = await send(path, name, to, serve=True, timeout=LOAD_TIMEOUT)
            except HubfarmError as error:
                path.unlink(missing_ok=True)  # nobody was led to it
                if isinstance(error, WrongUse):
                    raise WrongUse(str(error).replace(str(path), name or "the file")) from None
                raise
        told = {"kind": kind, "receipts": [_receipt_as_json(receipt) for receipt in receipts]}
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


async def _save(request: web.Request, path: Path) -> bytes:
    """Write a request's body into a file, return its beginning; what does not come whole is not kept."""
    start, size = b"", 0
    try:
        with path.open("xb") as file:
            async for part in request.content.iter_chunked(256 * 2**10):
                size += len(part)
                if size > LARGEST_HANDED:
                    raise WrongUse(f"the file is too large: {LARGEST_HANDED} bytes at most")
                if len(start) < SNIFFED:
                    start += part[: SNIFFED - len(start)]
                await asyncio.to_thread(file.write, part)
        if not size:
            raise WrongUse("the file is empty")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return start


def _receipt_as_json(receipt: Receipt) -> dict[str, Any]:
    name = brief(receipt.name or receipt.id, 120)
    return {"name": name, "ok": receipt.ok, "error": brief(receipt.error, 500)}
