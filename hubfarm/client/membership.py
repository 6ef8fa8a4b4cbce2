"""One client's membership of a hub: registered, callable, declared; and anew if its hub comes back.

Everything here runs in one event loop: an `AsyncClient`'s, or the background's for synchronous ones.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Callable, Mapping

from hubfarm.client.callback_server import Callback, CallbackServer
from hubfarm.client.calls import HubCalls, to_value
from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubUnreachable, SAMPNotConnected, SAMPProxyError
from hubfarm.client.puller import Puller
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import Kind
from hubfarm.samp.toolkit import SAMPClientError
from hubfarm.samp.values import Map, Value, check_map

CHECK_EVERY = 2.0
"""How often a client that reconnects by itself looks whether its hub still knows it, seconds."""

GOODBYE_TIMEOUT = 2.0
"""How long a hub may take to let a client go, seconds."""

_EVENTS: Map = {"samp.hub.event.shutdown": {}, "samp.hub.disconnect": {}}


def described(name: str | None, description: str | None, metadata: Mapping[str, object] | None) -> Map:
    """Return the metadata of a client that was made with a name, a description and more.

    Examples
    --------
    >>> described("Imager", None, {"author.name": "Luigi"})
    {'author.name': 'Luigi', 'samp.name': 'Imager'}
    """
    given = check_map(to_value(metadata or {}), "metadata")
    named = {"samp.name": name, "samp.description.text": description}
    return given | {key: value for key, value in named.items() if value is not None}


def pulls_by(callbacks: str) -> bool | None:
    """Tell whether a client pulls, of what it was made with; None if that is for the hub's place to say.

    Raises
    ------
    WrongUse
        That is neither ``auto`` nor ``push`` nor ``pull``.
    """
    if callbacks not in ("auto", "push", "pull"):
        raise WrongUse(f"callbacks is {callbacks!r}: it must be 'auto', 'push' or 'pull'")
    return None if callbacks == "auto" else callbacks == "pull"


def called(name: str, id: str) -> str:
    """Return what people are shown of a client.

    Examples
    --------
    >>> called("TOPCAT", "c24"), called("", "c3")
    ('TOPCAT (c24)', 'c3')
    """
    return f"{name} ({id})" if name else id


class Membership:
    """A client of a hub.

    Parameters
    ----------
    hub : HubCalls
        The hub; open.
    receive : callable
        Gets each `Callback` of the hub's, and returns at once.
    addr : str, optional
        Where to listen for it; by default the address that the hub sees.
    port : int
        Likewise; 0 lets the system choose.
    callable : bool
        Whether the hub can call this client at all.
    pulls : bool or None
        Fetch what the hub has for this client over a connection to it, instead of listening: where it cannot be called.
        None: if the hub is on another host or speaks TLS, and knows that.
    """

    def __init__(
        self,
        hub: HubCalls,
        receive: Callable[[Callback], None],
        *,
        addr: str | None = None,
        port: int = 0,
        callable: bool = True,
        pulls: bool | None = False,
    ) -> None:
        self.hub = hub
        self.key = ""
        self.id = ""
        self.hub_id = ""
        self.callable = callable
        self.metadata: Map = {}
        self.subscriptions: Map = {}
        self._receive = receive
        self._addr = addr
        self._port = port
        self._pulls = pulls
        self._pulls_now = False
        self._puller: Puller | None = None
        self._listens = False
        self._server: CallbackServer | None = None
        self._url = ""
        self._keeper: asyncio.Task[None] | None = None
        self._look = asyncio.Event()

    @property
    def is_registered(self) -> bool:
        """Whether the hub knows this client, as far as it is known."""
        return bool(self.key)

    # ------------------------------------------------------------------ in and out

    async def listen(self) -> None:
        """Be there for the hub's calls from now on, if this client is callable; tell the hub, if registered."""
        if not self.callable or self._listens:
            return
        self._pulls_now = self._pulls if self._pulls is not None else not self._addr and self.hub.is_afar
        if not self._pulls_now:
            await self._serve()
        self._listens = True
        if self.key:
            await self._become_callable()

    async def _serve(self) -> None:
        server = CallbackServer(self._take, self._is_own)
        self._url = await server.start(self._addr or self.hub.local_host, self._port)
        self._server = server

    def stop_listening(self) -> None:
        """Be there for the hub's calls no more."""
        self._listens = False
        self._stop_pulling()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _stop_pulling(self) -> None:
        if self._puller is not None:
            self._puller.close()
            self._puller = None

    async def register(self) -> None:
        """Register, become callable, and declare everything.

        Raises
        ------
        SAMPClientError
            This client is registered already, or the hub gives no key.
        SAMPHubError, SAMPProxyError
            The hub refuses it, or does not answer.
        """
        if self.key:
            raise SAMPClientError("the client is registered already: unregister it first")
        given = await self.hub.register(self.metadata)
        self.id, self.hub_id = str(given.get("samp.self-id", "")), str(given.get("samp.hub-id", ""))
        self.key = str(given.get("samp.private-key", ""))
        if not (self.id and self.key):
            self._forget()
            raise SAMPClientError("the hub gave no id or no private key at registration")
        try:
            if self._listens:
                await self._become_callable()
            if self.metadata:
                await self.declare_metadata()
        except BaseException:
            with contextlib.suppress(HubfarmError):
                await self._leave()
            raise

    async def _become_callable(self) -> None:
        if self._pulls_now:
            try:
                await self.call("allowReverseCallbacks", "1")
            except SAMPProxyError:
                if self._pulls:
                    raise
                self._pulls_now = False  # another's hub, which knows no such thing
                await self._serve()
        if self._pulls_now:
            self._puller = Puller(self.hub, self.key, self._take)
        else:
            await self.call("setXmlrpcCallback", self._url)
        await self.declare_subscriptions()

    async def unregister(self) -> None:
        """Leave the hub, and stop looking after the membership."""
        self.stop_keeping()
        await self._leave()

    async def _leave(self) -> None:
        key = self.key
        self._forget()
        if key:
            await self.hub.call("unregister", key, timeout=min(GOODBYE_TIMEOUT, self.hub.timeout))

    def _forget(self) -> None:
        self._stop_pulling()
        self.key = self.id = self.hub_id = ""

    # ------------------------------------------------------------------ calls

    async def call(self, method: str, *params: object) -> Value:
        """Call ``samp.hub.<method>`` in this client's name; see `HubCalls.call`.

        Raises
        ------
        SAMPNotConnected
            This client is not registered.
        """
        return await self.hub.call(method, self._registered_key(), *params)

    async def call_and_wait(self, recipient: str, message: object, timeout: object) -> Map:
        """Call a client and wait for its response; see `HubCalls.call_and_wait`."""
        return await self.hub.call_and_wait(self._registered_key(), recipient, message, timeout)

    def _registered_key(self) -> str:
        if not self.key:
            raise SAMPNotConnected("the client is not registered with a hub: connect first")
        return self.key

    async def declare_metadata(self) -> None:
        """Declare `metadata`."""
        await self.call("declareMetadata", self.metadata)

    async def declare_subscriptions(self) -> None:
        """Declare `subscriptions`."""
        events = _EVENTS if self._keeper is not None else {}
        await self.call("declareSubscriptions", events | self.subscriptions)

    # ------------------------------------------------------------------ what the hub calls

    def _is_own(self, key: str) -> bool:
        return bool(self.key) and hmac.compare_digest(key.encode(), self.key.encode())

    def _take(self, callback: Callback) -> None:
        if not self._is_own(callback.key):
            raise Fault("the private key is not this client's")
        if callback.kind is Kind.NOTIFICATION and self._keeper is not None:
            match callback.content.get("samp.mtype"):
                case "samp.hub.event.shutdown":
                    self._look.set()
                case "samp.hub.disconnect":  # it was meant: this is no hub to come back to
                    self.stop_keeping()
                    self._forget()
        self._receive(callback)

    # ------------------------------------------------------------------ coming back

    async def keep(self, choice: Choice) -> None:
        """From now on, register anew whenever the hub has forgotten this client, or comes back.

        Parameters
        ----------
        choice : Choice
            Which hub it is, should it come back elsewhere.
        """
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep(choice))
            if self._listens:
                await self.declare_subscriptions()

    def stop_keeping(self) -> None:
        """Leave the membership as it is from now on."""
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
        self._keeper = None

    async def _keep(self, choice: Choice) -> None:
        last = self.hub.tokens
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY):
                    await self._look.wait()
            if self._look.is_set():
                self._look.clear()
                await asyncio.sleep(CHECK_EVERY / 10)  # it has announced its end: let it
            try:
                last = await self._find(last, choice)
                if not await self._is_known():
                    self._forget()
                    await self.register()
            except HubfarmError:
                self.hub.close()  # found anew next time

    async def _find(self, last: dict[str, str], choice: Choice) -> dict[str, str]:
        """Connect to the hub where it was, or where it is now, if it was lost; return its tokens."""
        # What we show a hub is nothing for another program that has got its port.
        present = await asyncio.to_thread(LockDir(Paths.from_environment()).present, last)
        try:
            if present is None:
                self.hub.close()
                raise SAMPHubUnreachable("the hub has ended")
            if self.hub.is_open:
                return dict(present)
            last = dict(present)
            await self.hub.open(last, self.hub.owner)
        except HubfarmError:
            found = await choice.find(self.hub.timeout)
            await self.hub.open(found.tokens, found.owner)
            last = found.tokens
        return last

    async def _is_known(self) -> bool:
        if not self.key:
            return False
        try:
            await self.call("getSubscriptions", self.id)
        except SAMPProxyError:
            return False
        return True
