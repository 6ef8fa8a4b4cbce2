"""The dashboard as a client of one hub: it sees who is there, and speaks for whoever looks.

It is there while somebody looks at the hub, and some minutes longer: files that it has handed over lie here.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any

from loguru import logger

from hubfarm.client.aio import AsyncClient
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.others import COMMAND, as_map, check
from hubfarm.dashboard.house import House
from hubfarm.dashboard.visitor import Visitor
from hubfarm.hub.model import HUB_ID
from hubfarm.hub.said_by_hub import ACCOUNT, DOOR, GROUPS, ORIGIN, USER
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.web_pages import WEB
from hubfarm.visible import brief

LINGERS = 600.0
"""It stays so long after the last look, seconds."""

ASK_AGAIN = 2.0
"""Between two questions how many messages each client has sent, seconds."""

MOST_SHOWN = 200
"""Subscriptions and metadata of a client that are shown."""

ABOUT = {COMMAND: "dashboard"}
"""What its client says of itself, so that it is told from others."""

Client = dict[str, Any]

_BOUNDED = Repr()
"""Writes the beginning of lists and maps of any size."""

_BOUNDED.maxlevel, _BOUNDED.maxdict, _BOUNDED.maxlist, _BOUNDED.maxstring = 3, 12, 12, 100


class Station:
    """A client of ours on one hub.

    Parameters
    ----------
    hub : HubInfo
        Which.
    sleeps : callable
        Tells whether it sleeps, as far as is known: no question of ours wakes it.
    """

    def __init__(self, hub: HubInfo, sleeps: Callable[[], bool]) -> None:
        self.hub = hub
        self._sleeps = sleeps
        self.clients: dict[str, Client] = {}
        self.watchers: list[str] = []
        self.users = 0
        """How many look just now."""
        self.used = time.monotonic()
        self._icons: dict[str, tuple[str, bool]] = {}
        self._due: set[str] = set()
        self._changed = asyncio.Condition()
        self._edition = 0
        self._looking: asyncio.Task[None] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0
        self.client = AsyncClient("hubfarm dashboard", "The farm in a browser", ABOUT, timeout=10.0)
        self.client.on_notification("samp.hub.event.*")(self._take_event)

    async def open(self, door: Mapping[str, Any]) -> None:
        """Enter.

        Raises
        ------
        HubfarmError
            The hub does not let us in.
        """
        await self.client.connect(self.hub.lock_file, **door)
        try:
            await self._read_all()
        except BaseException:
            await self.close()
            raise
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Leave."""
        if self._looking is not None:
            self._looking.cancel()
        with contextlib.suppress(HubfarmError):
            await self.client.disconnect()
        if self._directory is not None:
            await asyncio.to_thread(self._directory.cleanup)

    @property
    def is_open(self) -> bool:
        """Whether it is on the hub, and follows it."""
        return self.client.is_connected and self._looking is not None and not self._looking.done()

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[None]:
        """Somebody looks."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            self.used = time.monotonic()

    def new_path(self, suffix: str) -> Path:
        """Return the path of a file that is handed over; it goes with this."""
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="hubfarm-dashboard-")
        self._files += 1
        return Path(self._directory.name) / f"{self._files}{suffix}"

    def icon_of(self, id: str) -> tuple[str, bool]:
        """Return the address of a client's icon, and whether the client is a web page; empty if there is none."""
        return self._icons.get(id, ("", True))

    async def beyond(self, edition: int) -> int:
        """Wait until something is another than at an edition; return the present one.

        Raises
        ------
        HubfarmError
            The hub is gone, or has thrown us out.
        """
        async with self._changed:
            while self._edition == edition:
                if not self.is_open:
                    raise HubfarmError("the hub has ended, or does not let us in any more")
                await self._changed.wait()
        return self._edition

    # ------------------------------------------------------------------ who is there

    def _take_event(self, message: Any) -> None:
        params = as_map(message.params)
        id = params.get("id")
        if isinstance(id, str) and id in self.clients and message.mtype == "samp.hub.event.unregister":
            del self.clients[id]
            self._icons.pop(id, None)
        elif isinstance(id, str):
            self._due.add(id)
        self._edition += 1
        self._tell()

    def _tell(self) -> None:
        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._telling = asyncio.ensure_future(tell())

    async def _look(self) -> None:
        failures = 0
        try:
            while failures < 3:
                await asyncio.sleep(0.1 if self._due else ASK_AGAIN if self.users else 5 * ASK_AGAIN)
                if self._sleeps():
                    continue
                try:
                    before = [dict(one) for one in self.clients.values()]
                    due, self._due = self._due, set()
                    for id in due:
                        await self._read(id)
                    await self._count()
                    failures = 0
                    if before != list(self.clients.values()):
                        self._edition += 1
                        self._tell()
                except HubfarmError as error:
                    failures += 1
                    logger.debug("the hub {} does not answer: {}", self.hub.name, error)
        finally:
            self._tell()

    async def _read_all(self) -> None:
        for id in await self.client.get_registered_clients():
            await self._read(str(id))
        await self._count()

    async def _read(self, id: str) -> None:
        if id in (self.client.id, HUB_ID):
            return
        try:
            metadata = as_map(await self.client.get_metadata(id))
            subscriptions = as_map(await self.client.get_subscriptions(id))
        except SAMPProxyError:  # it has left meanwhile
            self.clients.pop(id, None)
            return
        known = self.clients.get(id, {})
        self.clients[id] = shown_of(id, metadata, subscriptions) | {
            name: known[name] for name in ("since", "messages", "queued") if name in known
        }
        url = metadata.get("samp.icon.url")
        of_page = metadata.get(DOOR) == WEB or bool(metadata.get(ORIGIN))
        self._icons[id] = (url if isinstance(url, str) and len(url) < 2000 else "", of_page)
        self.clients[id]["icon"] = bool(self._icons[id][0])

    async def _count(self) -> None:
        """Ask the hub since when each client is there, and what it has sent; a foreign one does not tell."""
        if "hubfarm.query.clients" not in as_map(await self.client.get_subscriptions(HUB_ID)):
            return
        response = await self.client.ecall_and_wait(HUB_ID, "hubfarm.query.clients", 5.0)
        check(response, "the hub")
        result = as_map(response.get("samp.result"))
        watchers = result.get("watchers")
        self.watchers = [brief(str(each), 100) for each in watchers[:50]] if isinstance(watchers, list) else []
        now = time.time()
        for id, told in as_map(result.get("clients")).items():
            with contextlib.suppress(KeyError, TypeError, ValueError):
                since = round((now - float(told["registered"])) / 2) * 2
                known = self.clients[id]
                if abs(known.get("since", 0) - since) > 2:
                    known["since"] = since
                known["messages"] = int(told["messages"])
                known["queued"] = int(told.get("queued", 0))


def shown_of(id: str, metadata: Mapping[str, Any], subscriptions: Mapping[str, Any]) -> Client:
    """Return what people read of a client: other people's words, each cut to what can be read.

    Examples
    --------
    >>> shown_of("c1", {"samp.name": "x" * 1000}, {"table.*": {}})["mtypes"]
    ['table.*']
    """
    own = {
        brief(key, 100): brief(value if isinstance(value, str) else _BOUNDED.repr(value), 300)
        for key, value in list(metadata.items())[:MOST_SHOWN]
        if key not in (USER, GROUPS, ACCOUNT, DOOR, ORIGIN)
    }
    name = metadata.get("samp.name")
    groups = metadata.get(GROUPS)
    return {
        "id": brief(id, 100),
        "name": brief(name, 120) if isinstance(name, str) else "",
        "user": brief(str(metadata.get(USER, "")), 120),
        "groups": [brief(str(each), 60) for each in groups[:20]] if isinstance(groups, list) else [],
        "account": brief(str(metadata.get(ACCOUNT, "")), 60),
        "door": brief(str(metadata.get(DOOR, "")), 40),
        "origin": brief(str(metadata.get(ORIGIN, "")), 300),
        "metadata": own,
        "mtypes": [brief(each, 120) for each in sorted(subscriptions)[:MOST_SHOWN]],
        "more": max(0, len(subscriptions) - MOST_SHOWN),
    }


class Stations:
    """The stations that there are: one a hub and user.

    Parameters
    ----------
    house : House
        Knows how to enter.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._stations: dict[tuple[str, str], Station] = {}
        self._opening = asyncio.Lock()

    async def at(self, visitor: Visitor, key: str, hub: HubInfo) -> Station:
        """Return the visitor's station on a hub; enter, if there is none.

        Raises
        ------
        HubfarmError
            The hub does not let us in.
        """
        place = (key, visitor.name)
        async with self._opening:
            await self._leave_unused()
            station = self._stations.get(place)
            if station is not None and (not station.is_open or station.hub.lock_file != hub.lock_file):
                await self._stations.pop(place).close()
                station = None
            if station is None:
                station = Station(hub, lambda: self._house.lookout.sleeps(key))
                await station.open(await self._house.door(visitor, hub))
                self._stations[place] = station
            station.used = time.monotonic()
            return station

    async def _leave_unused(self) -> None:
        now = time.monotonic()
        for place, station in list(self._stations.items()):
            if not station.is_open or (not station.users and now - station.used > LINGERS):
                await self._stations.pop(place).close()

    async def close(self) -> None:
        """Leave all hubs."""
        stations, self._stations = self._stations, {}
        await asyncio.gather(*(station.close() for station in stations.values()), return_exceptions=True)
