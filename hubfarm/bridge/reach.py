"""How a bridge gets to a hub, is called by it, and shows who it is there.

Most hubs are reached by what their lock files say (`ByLockFile`).  Whatever else leads to one is a `Reach` as well.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from hubfarm.bridge.rights import Rights, Who
from hubfarm.client.callback_server import Callback, CallbackServer
from hubfarm.client.calls import HubCalls
from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubUnreachable, SAMPProxyError
from hubfarm.client.puller import Puller
from hubfarm.registry.entry import label_of
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.lockfile import URL
from hubfarm.samp.values import Map, Value
from hubfarm.wire.urls import place_of

Receive = Callable[[Callback], Awaitable[None]]


class Reach(Protocol):
    """One hub, as its bridge gets to it."""

    label: str
    """What people call the hub, once it was entered."""
    is_on_this_host: bool
    """Whether its clients open the files that ours do."""
    own_address: str
    """The address of this host that the hub sees."""
    receivers: dict[str, Receive]
    """Who gets what the hub has for a client of the bridge's, by the client's private key."""

    async def open(self) -> None:
        """Find the hub, and get to it.

        Raises
        ------
        HubfarmError
            It is not there.
        """

    async def look(self) -> bool:
        """Look whether the hub is there; tell whether that is sure without asking it.

        Raises
        ------
        HubfarmError
            It is not.
        """

    async def call(self, method: str, *params: object) -> Value:
        """Call the hub's method of this name; see `HubCalls.call`."""

    async def be_callable(self, key: str) -> None:
        """See to it that the client with this private key gets what the hub has for it."""

    def be_gone(self, key: str) -> None:
        """Undo `be_callable`, as far as that is not the hub's affair."""

    def leave(self) -> None:
        """Forget the hub and all clients there; it may be opened again."""

    def close(self) -> None:
        """Leave for good."""

    def who(self, metadata: Map) -> Who:
        """Return who a client of this hub has proved to be, as far as the hub can be believed."""

    async def secret(self, who: Who | None) -> str:
        """Return what a proxy shows to be let in as somebody; without one, what the bridge itself does.

        Raises
        ------
        HubfarmError
            It is not let in, or the hub is away.
        """


class ByLockFile:
    """A hub that a lock file leads to; see `Reach`.

    Parameters
    ----------
    choice : Choice
        Which hub it is.
    """

    def __init__(self, choice: Choice) -> None:
        self.label = ""
        self.is_on_this_host = True
        self.own_address = ""
        self.receivers: dict[str, Receive] = {}
        self._choice = choice
        self._hub = HubCalls()
        self._rights: Rights | None = None
        self._server: CallbackServer | None = None
        self._url = ""
        self._pulls = False
        self._pullers: dict[str, tuple[Puller, HubCalls]] = {}

    async def open(self) -> None:
        """See `Reach`."""
        found = await self._choice.find(self._hub.timeout)
        await self._hub.open(found.tokens, found.owner)
        self.label = label_of(found.tokens) or "{}:{}".format(*place_of(found.tokens[URL]))
        self.is_on_this_host, self.own_address = not self._hub.leads_afar, self._hub.local_host
        self._pulls = self._hub.is_afar
        if self._server is None:
            self._server = CallbackServer(self._receive, self.receivers.__contains__)
            self._url = await self._server.start(self.own_address)
        self._rights = await asyncio.to_thread(Rights, self._hub.tokens)

    async def look(self) -> bool:
        """See `Reach`; a worker that was replaced is found again."""
        present = await asyncio.to_thread(LockDir(Paths.from_environment()).present, self._hub.tokens)
        if present is None:
            raise SAMPHubUnreachable("the hub has ended")
        if present != self._hub.tokens:
            await self._hub.open(present, self._hub.owner)
            return False
        return self._rights is not None and self._rights.is_of_the_farm  # its lock file and guard need not wake it

    async def call(self, method: str, *params: object) -> Value:
        """See `Reach`."""
        return await self._hub.call(method, *params)

    async def be_callable(self, key: str) -> None:
        """See `Reach`: the hub calls the client; or that pulls, if the hub cannot call, or not unread."""
        if self._pulls:
            try:
                await self._hub.call("allowReverseCallbacks", key, "1")
            except SAMPProxyError:
                self._pulls = False  # another's hub, which knows no such thing
            else:
                calls = HubCalls(pool_size=1)
                await calls.open(self._hub.tokens, self._hub.owner)
                self._pullers[key] = (Puller(calls, key, self._receive), calls)
                return
        await self._hub.call("setXmlrpcCallback", key, self._url)

    def be_gone(self, key: str) -> None:
        """See `Reach`."""
        self.receivers.pop(key, None)
        puller, calls = self._pullers.pop(key, (None, None))
        if puller is not None and calls is not None:
            puller.close()
            calls.close()

    def leave(self) -> None:
        """See `Reach`."""
        for key in [*self._pullers, *self.receivers]:
            self.be_gone(key)
        self._hub.close()

    def close(self) -> None:
        """See `Reach`."""
        self.leave()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _receive(self, callback: Callback) -> Awaitable[None]:
        receive = self.receivers.get(callback.key)
        if receive is None:
            raise Fault("the private key is nobody's here")
        return receive(callback)

    def who(self, metadata: Map) -> Who:
        """See `Reach`."""
        return self._rights.who(metadata) if self._rights is not None else Who()

    async def secret(self, who: Who | None) -> str:
        """See `Reach`."""
        if self._rights is None:
            raise HubfarmError("the hub is away")
        if who is None:
            return await asyncio.to_thread(self._rights.secret_for_the_bridge)
        return await asyncio.to_thread(self._rights.secret_for, who)
