"""One of the hubs that a bridge joins, as the bridge sees it: who is there, and what the bridge has there.

The bridge is a client of the hub, which follows who comes and goes, and has its proxies registered there.  All of them
are called at one address, and told apart by their private keys.  A hub that is lost is looked for until it is back.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Collection
from typing import Protocol

from loguru import logger

from hubfarm.bridge.marks import BY, DESCRIPTION, HUB, NAME, is_of_a_bridge, mark_given
from hubfarm.bridge.reach import Reach, Receive
from hubfarm.bridge.rights import Who
from hubfarm.bridge.roster import EVENTS, Client, Roster
from hubfarm.client.callback_server import Callback
from hubfarm.client.errors import SAMPProxyError
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.values import Map

LOOK_EVERY = 3.0
"""Between two looks whether a hub is there and still knows the bridge, seconds."""

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Between two tries to enter a hub, seconds; the last one from then on."""

SAYS_WHO_IT_IS_IN = 2.0
"""How long a client may take to declare its metadata, seconds: by then one without is mirrored as it is."""

COMES_BACK = 10.0
"""How long a call waits for a hub that does not answer, seconds: as long as a fallen worker takes to be replaced."""


class Watcher(Protocol):
    """Who is told what happens at a side."""

    def side_changed(self, side: "Side") -> None:
        """Note that the side has come up or gone down, or that its mark is another one."""

    def client_changed(self, side: "Side", client: str) -> None:
        """Note that a client has come, gone, or declared something."""

    def rivals_changed(self, side: "Side") -> None:
        """Note that a proxy of another bridge has come, gone, or declared something."""


class Side:
    """One hub of a bridge.

    Parameters
    ----------
    number : int
        Its place among the bridge's hubs.
    reach : Reach
        How to get to it.
    by : str
        Which bridge this is; see `hubfarm.bridge.marks.BY`.
    watcher : Watcher
        Is told.
    """

    def __init__(self, number: int, reach: Reach, by: str, watcher: Watcher) -> None:
        self.number = number
        self.mark = ""
        """By which all bridges know the hub; see `hubfarm.bridge.marks`."""
        self.is_up = False
        self.former_keys: list[str] = []
        """Of clients that a process of this bridge has had here which died: they leave when this one enters."""
        self.trouble = "not entered yet"
        """Why it is not up, for people."""
        self._reach = reach
        self._by = by
        self._watcher = watcher
        self._roster = Roster()
        self._own_ids: dict[str, str] = {}
        self._rivals: dict[str, Map] = {}
        self._key = self._id = self._hub_id = ""
        self._look_now = asyncio.Event()
        self._news = asyncio.Event()

    @property
    def label(self) -> str:
        """What people call the hub."""
        return self._reach.label or f"hub {self.number + 1}"

    @property
    def is_on_this_host(self) -> bool:
        """Whether its clients open the files that ours do."""
        return self._reach.is_on_this_host

    @property
    def own_address(self) -> str:
        """The address of this host that the hub sees."""
        return self._reach.own_address

    # ------------------------------------------------------------------ who is there

    def real_clients(self) -> dict[str, Client]:
        """Return the clients that are to be mirrored elsewhere: those that are nobody's proxy, by their public ids."""
        return {id: one for id, one in self._roster.clients.items() if self._is_real(id, one)}

    def real_client(self, id: str) -> Client | None:
        """Return one of `real_clients`; None if it is none, or not yet."""
        one = self._roster.clients.get(id)
        return one if one is not None and self._is_real(id, one) else None

    def may_become_real(self, id: str) -> bool:
        """Tell whether somebody who is no real client may prove to be one: little is known of it yet."""
        one = self._roster.clients.get(id)
        return id not in (self._hub_id, self._id) and id not in self._own_ids and (one is None or not one.described)

    def _is_real(self, id: str, one: Client) -> bool:
        if id in (self._hub_id, self._id) or id in self._own_ids:
            return False
        return one.described and not is_of_a_bridge(one.metadata)

    def rivals(self) -> Collection[Map]:
        """Return the metadata of other bridges' clients here: their own, and proxies."""
        return self._rivals.values()

    # ------------------------------------------------------------------ its life

    async def run(self) -> None:
        """Enter the hub, and again whenever it was lost, until cancelled; then leave it."""
        failures = 0
        try:
            while True:
                try:
                    await self._enter()
                    failures = 0
                    await self._stay()
                except HubfarmError as error:
                    if str(error) != self.trouble:
                        logger.warning("{}: {}; trying on", self.label, error)
                    self.trouble = str(error)
                self._lose()
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
        finally:
            await self._leave()

    async def _enter(self) -> None:
        await self._reach.open()
        self._roster = Roster()
        self._key, self._id, self._hub_id = await self._register(self._hear, await self._reach.secret(None))
        for key in self.former_keys:
            with contextlib.suppress(SAMPProxyError):  # it has left, or the hub is another one
                await self._reach.call("unregister", key)
        self.former_keys = []
        mark = secrets.token_hex(4)
        await self._reach.call("declareMetadata", self._key, self._said(mark))
        await self._reach.call("declareSubscriptions", self._key, EVENTS)
        listed = await self._reach.call("getRegisteredClients", self._key)
        for id in listed if isinstance(listed, list) else []:
            self._roster.clients.setdefault(str(id), Client())
        await asyncio.gather(*(self._ask_about(id) for id in list(self._roster.clients)))
        for id in self._roster.clients:
            self._look_whether_rival(id)
        await self._agree_on_mark(mark)
        self.is_up = True
        self.trouble = ""
        logger.info("{}: entered, {} clients", self.label, len(self.real_clients()))
        self._watcher.side_changed(self)

    async def _ask_about(self, id: str) -> None:
        with contextlib.suppress(SAMPProxyError):  # it has left meanwhile
            metadata = await self._reach.call("getMetadata", self._key, id)
            self._roster.answer(id, metadata, await self._reach.call("getSubscriptions", self._key, id))
        if (one := self._roster.clients.get(id)) is not None and not one.described:
            self._give_time(id)

    def _said(self, mark: str) -> Map:
        return {NAME: "hubfarm bridge", DESCRIPTION: "Joins this hub with others", HUB: mark, BY: self._by}

    async def _agree_on_mark(self, mark: str) -> None:
        """Take the least of the marks that bridges have given the hub: all come to the same one."""
        self.mark = min(filter(None, [mark, *map(mark_given, self.rivals())]))
        if self.mark != mark:
            await self._reach.call("declareMetadata", self._key, self._said(self.mark))

    async def _stay(self) -> None:
        """Return when the hub is lost."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._look_now.wait()
            asked = self._look_now.is_set()
            self._look_now.clear()
            if not await self._is_known(asked=asked):
                return

    async def _is_known(self, *, asked: bool) -> bool:
        """Tell whether the hub is there and knows the bridge; a worker that was replaced is found again.

        Parameters
        ----------
        asked : bool
            There is reason to doubt it.
        """
        until = asyncio.get_running_loop().time() + COMES_BACK
        while True:
            try:
                if await self._reach.look() and not asked:
                    return True
                await self._reach.call("getSubscriptions", self._key, self._id)
            except SAMPProxyError as fault:
                self.trouble = f"the hub does not know the bridge any more: {fault}"
                return False
            except HubfarmError as error:
                if asyncio.get_running_loop().time() > until:
                    self.trouble = str(error)
                    return False
                await asyncio.sleep(PAUSES[0])
            else:
                return True

    def _lose(self) -> None:
        """Forget all that was there."""
        was_up, self.is_up = self.is_up, False
        self._reach.leave()
        self._own_ids.clear()
        self._rivals.clear()
        self._roster = Roster()
        self._key = self._id = self._hub_id = ""
        if was_up:
            logger.warning("{}: lost: {}", self.label, self.trouble)
            self._watcher.side_changed(self)

    async def _leave(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):  # one that has left already does not keep the others
                leaving = (self._reach.call("unregister", key) for key in list(self._reach.receivers))
                await asyncio.gather(*leaving, return_exceptions=True)
        self._reach.close()

    # ------------------------------------------------------------------ what the hub tells

    async def _hear(self, callback: Callback) -> None:
        mtype = str(callback.content.get("samp.mtype"))
        if mtype in ("samp.hub.event.shutdown", "samp.hub.disconnect"):
            self._look_now.set()
            return
        params = callback.content.get("samp.params")
        id = self._roster.hear(mtype, params if isinstance(params, dict) else {})
        if id is None:
            return
        one = self._roster.clients.get(id)
        if one is not None and not one.described:
            self._give_time(id)
        if self._look_whether_rival(id) and self.is_up:
            self._watcher.rivals_changed(self)
        self._note_change(id)
        if one is not None and "" < mark_given(one.metadata) < self.mark:
            await self._agree_on_mark(self.mark)
            self._watcher.side_changed(self)

    def _look_whether_rival(self, id: str) -> bool:
        """Note whether a client is another bridge's; tell whether that makes a difference."""
        before = self._rivals.pop(id, None)
        one = self._roster.clients.get(id)
        if one is not None and id != self._id and id not in self._own_ids and is_of_a_bridge(one.metadata):
            self._rivals[id] = one.metadata
        return self._rivals.get(id) != before

    def _give_time(self, id: str) -> None:
        asyncio.get_running_loop().call_later(SAYS_WHO_IT_IS_IN, self._take_as_it_is, self._roster, id)

    def _take_as_it_is(self, roster: Roster, id: str) -> None:
        one = roster.clients.get(id)
        if roster is self._roster and one is not None and not one.described:
            one.described = True
            self._note_change(id)

    def _note_change(self, id: str) -> None:
        self._news.set()
        self._news = asyncio.Event()
        if self.is_up:
            self._watcher.client_changed(self, id)

    async def wait_for_news(self) -> None:
        """Wait until something has changed among the clients."""
        await self._news.wait()

    # ------------------------------------------------------------------ what the bridge has there

    def keys(self) -> list[str]:
        """Return the private keys of all clients that the bridge has there, or has had and not let leave yet."""
        return [*self.former_keys, *self._reach.receivers]

    def who(self, id: str) -> Who:
        """Return who a client has proved to be, as far as its hub can be believed."""
        one = self._roster.clients.get(id)
        return self._reach.who(one.metadata) if one is not None else Who()

    async def register(self, receive: Receive, who: Who) -> tuple[str, str]:
        """Register a client that gets the hub's calls, as somebody; return its private key and its public id.

        Raises
        ------
        HubfarmError
            The hub does not let it in, or does not answer.
        """
        key, id, _ = await self._register(receive, await self._reach.secret(who))
        self._own_ids[id] = key
        return key, id

    async def _register(self, receive: Receive, secret: str) -> tuple[str, str, str]:
        told = await self._reach.call("register", secret)
        given = told if isinstance(told, dict) else {}
        key, id, hub = (str(given.get(f"samp.{name}", "")) for name in ("private-key", "self-id", "hub-id"))
        if not (key and id):
            raise HubfarmError("the hub gave no id or no private key at registration")
        self._reach.receivers[key] = receive
        await self._reach.be_callable(key)
        return key, id, hub

    async def unregister(self, key: str, id: str) -> None:
        """Let one of the bridge's clients leave."""
        self._reach.be_gone(key)
        with contextlib.suppress(HubfarmError):  # the hub has ended, or has thrown it out
            await self._reach.call("unregister", key)
        self._own_ids.pop(id, None)

    async def call(self, method: str, *params: object) -> None:
        """Call the hub; one whose worker is being replaced is waited for.

        Raises
        ------
        SAMPProxyError
            The hub answers with a fault.
        HubfarmError
            The hub is lost.
        """
        until = asyncio.get_running_loop().time() + COMES_BACK
        while True:
            try:
                await self._reach.call(method, *params)
            except SAMPProxyError:
                self._look_now.set()  # it may have forgotten us
                raise
            except HubfarmError:
                self._look_now.set()
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(PAUSES[0])
            else:
                return
