"""`AsyncClient`: a client of a hub for asyncio programs; in their event loop, without threads."""

import asyncio
import contextlib
import inspect
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from hubfarm.client.binding import ByDecorator, F, Function
from hubfarm.client.callback_server import Callback
from hubfarm.client.calls import POOL_SIZE, TIMEOUT, HubCalls, to_value
from hubfarm.client.credentials import Credentials, Password
from hubfarm.client.data import (
    TABLE_MTYPES,
    DataSending,
    Outbox,
    Prepared,
    Receipt,
    Sending,
    SendPrepared,
    find_client,
    read_table,
)
from hubfarm.client.discovery import Choice, HubLike, ticket_text
from hubfarm.client.errors import SAMPHubUnreachable, SAMPNotConnected, SAMPProxyError
from hubfarm.client.handlers import Bindings, Message, matching, response_to, response_to_failure
from hubfarm.client.keyword_messages import EasySending
from hubfarm.client.membership import Membership, described, pulls_by
from hubfarm.client.shown import Shown, Standing
from hubfarm.client.typed import restored
from hubfarm.client.web import WEB_URL, WebCalls
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import URL
from hubfarm.samp.methods import Kind
from hubfarm.samp.toolkit import SAMPClientError
from hubfarm.samp.values import Map, check_map, error_response

_log = logging.getLogger("hubfarm.client")
"""The standard library's: this runs in other people's programs, which configure that."""


class AsyncClient(
    Shown,
    ByDecorator,
    EasySending[Coroutine[Any, Any, Any]],
    DataSending[Coroutine[Any, Any, Any], Coroutine[Any, Any, list[Receipt]]],
):
    """A client of a hub, for asyncio.

    ``async with AsyncClient("me", label="mima-2") as client`` connects and disconnects.  Callbacks may be
    coroutine functions; they start in the order of the messages, each in a task of its own.

    Parameters
    ----------
    name, description : str, optional
        The metadata ``samp.name`` and ``samp.description.text``.
    metadata : dict, optional
        More metadata.
    addr : str, optional
        Where to listen for the hub; by default the address by which the hub is reached.
    port : int
        Likewise; 0 lets the system choose.
    callable : bool
        Whether the hub can call this client at all.
    hub, hub_params, label, owner, group, user, password, ticket, cert_file, key_file, ca_certs, reconnect, pool_size, \
    timeout
        As `SAMPIntegratedClient.connect` has them: for ``async with``, and for `connect` if that is not told otherwise.
    callbacks : str
        ``push``: the hub calls this client, which listens for it; ``pull``: this client fetches what the hub has for it
        over a connection of its own, which goes where nobody could call it (a hub of this project; others know no such
        thing). ``auto``: pull, if the hub is on another host or speaks TLS, unless `addr` says where to listen.
    profile : str
        ``standard``; or ``web``: this client is to its hub what a page in a browser is.  It looks at
        ``http://localhost:21012/``, or at the URL that `hub` is; the user says whether it may enter, and which hub.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> hubs = Farm().start(count=2, group="mima")
    >>> async def main():
    ...     async with AsyncClient("sender", label="mima-2") as sender, AsyncClient("other", label="mima-2") as other:
    ...         @other.on_call("my.double")
    ...         async def double(message):
    ...             return {"result": 2 * int(message.params["value"])}
    ...         await other.declare_subscriptions()
    ...         return await sender.ecall_and_wait(other.id, "my.double", 10, value=21)
    >>> asyncio.run(main())
    {'samp.status': 'samp.ok', 'samp.result': {'result': '42'}}
    """

    def __init__(
        self,
        name: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, object] | None = None,
        addr: str | None = None,
        port: int = 0,
        callable: bool = True,
        *,
        hub: HubLike | str | os.PathLike[str] | None = None,
        hub_params: Mapping[str, str] | None = None,
        label: str = "",
        owner: str = "",
        group: str = "",
        user: str = "",
        password: Password | None = None,
        ticket: str | os.PathLike[str] = "",
        cert_file: str | os.PathLike[str] = "",
        key_file: str | os.PathLike[str] = "",
        ca_certs: str | os.PathLike[str] = "",
        reconnect: bool = False,
        pool_size: int = POOL_SIZE,
        timeout: float = TIMEOUT,
        callbacks: Literal["auto", "push", "pull"] = "auto",
        profile: Literal["standard", "web"] = "standard",
    ) -> None:
        self.metadata = described(name, description, metadata)
        self.bindings = Bindings()
        self._where = {"addr": addr, "port": port, "callable": callable, "pulls": pulls_by(callbacks)}
        if profile not in ("standard", "web"):
            raise WrongUse(f"profile is {profile!r}: it must be 'standard' or 'web'")
        self._is_page = profile == "web"
        self._choice = Choice(hub, hub_params, label, owner, group, ticket_text(ticket))
        self._credentials = Credentials(user, password, cert_file, key_file, ca_certs)
        self._reconnect, self._pool_size, self._timeout = reconnect, pool_size, timeout
        self._membership: Membership | None = None
        self._outbox = Outbox()
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Queue[Message | None]] = set()
        self.on_call("samp.app.ping")(lambda message: None)

    # ------------------------------------------------------------------ life

    @property
    def is_connected(self) -> bool:
        """Whether this is registered with a hub."""
        return self._membership is not None and self._membership.hub.is_open and self._membership.is_registered

    @property
    def id(self) -> str | None:
        """The public id, None without a hub."""
        return (self._membership.id or None) if self._membership else None

    @property
    def url_translator(self) -> str:
        """What stands before a URL, percent-encoded, that a page reads by its hub (SAMP 1.3, 5.2.6); else empty."""
        calls = self._membership.hub if self._membership else None
        return calls.translator if isinstance(calls, WebCalls) else ""

    @property
    def hub_params(self) -> dict[str, str]:
        """The hub's lock file's content; empty without a hub."""
        return self._membership.hub.tokens if self._membership else {}

    async def connect(
        self,
        hub: HubLike | str | os.PathLike[str] | None = None,
        hub_params: Mapping[str, str] | None = None,
        *,
        label: str = "",
        owner: str = "",
        group: str = "",
        user: str = "",
        password: Password | None = None,
        ticket: str | os.PathLike[str] = "",
        cert_file: str | os.PathLike[str] = "",
        key_file: str | os.PathLike[str] = "",
        ca_certs: str | os.PathLike[str] = "",
        reconnect: bool | None = None,
        pool_size: int | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Connect to a hub, register, and return this client; see `SAMPIntegratedClient.connect`.

        What is not given is as it was given when the client was made.  A hub that is named here takes the place
        of all by which one was named there.
        """
        if self._membership is not None:
            raise SAMPClientError("this client is connected already: disconnect it first")
        choice = Choice(hub, hub_params, label, owner, group, ticket_text(ticket)).or_else(self._choice)
        given = Credentials(user, password, cert_file, key_file, ca_certs)
        credentials = given if given != Credentials() else self._credentials
        timeout = self._timeout if timeout is None else timeout
        kind = WebCalls if self._is_page else HubCalls
        calls = kind(
            pool_size=self._pool_size if pool_size is None else pool_size, timeout=timeout, credentials=credentials
        )
        reconnects = self._reconnect if reconnect is None else reconnect
        where = self._where | ({"pulls": True} if self._is_page else {})
        membership = Membership(calls, self._receive, **where)  # type: ignore[arg-type]
        membership.metadata = self.metadata
        membership.subscriptions = self.bindings.subscriptions()
        self._membership = membership
        try:
            if isinstance(calls, WebCalls):
                await calls.open({URL: _url_for_pages(choice, credentials, reconnects)})
            else:
                found = await choice.find(timeout)
                await calls.open(found.tokens, found.owner)
            await membership.listen()
            await membership.register()
            if reconnects:
                await membership.keep(choice)
        except BaseException:
            await self._take_down(membership)
            raise
        return self

    async def disconnect(self) -> None:
        """Unregister and leave the hub; without a hub there is nothing to do."""
        membership = self._membership
        if membership is None:
            return
        try:
            if self.is_connected:
                with contextlib.suppress(SAMPHubUnreachable, SAMPProxyError):  # it has gone, or forgotten us
                    await membership.unregister()
        finally:
            await self._take_down(membership)

    async def _take_down(self, membership: Membership) -> None:
        self._membership = None
        membership.stop_keeping()
        membership.stop_listening()
        membership.hub.close()
        for stream in self._streams:
            stream.put_nowait(None)
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await self._outbox.close()

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    def _standing(self) -> Standing:
        return Standing(self.metadata, self.bindings, self._membership)

    # ------------------------------------------------------------------ callbacks

    def _bind(self, mtype: str, function: Function, annotations: Mapping[str, object] | None, **kinds: bool) -> None:
        self.bindings.bind(mtype, function, annotations, **kinds)

    def on_response(self, msg_tag: str) -> Callable[[F], F]:
        """Bind ``function(responder_id, response)`` to responses under `msg_tag`; a decorator."""

        def bind(function: F) -> F:
            self.bindings.responses[msg_tag] = function
            return function

        return bind

    def on_table(self, function: F) -> F:
        """Bind a function to tables that are sent here; a decorator, see `SAMPIntegratedClient.on_table`.

        The table is read in a thread, so that the event loop goes on.
        """

        async def load(message: Message) -> None:
            result = function(await asyncio.to_thread(read_table, message))
            if inspect.isawaitable(result):
                await result

        for mtype in TABLE_MTYPES:
            self.on_call(mtype)(load)
        return function

    async def messages(self, *mtypes: str) -> AsyncIterator[Message]:
        """Iterate over incoming messages of some MTypes; ends when the client disconnects.

        Calls are answered with an empty ``samp.ok`` as they arrive: who has more to say binds a
        function by `on_call`.

        Parameters
        ----------
        *mtypes : str
            MTypes or patterns, as ``table.*``.
        """
        stream: asyncio.Queue[Message | None] = asyncio.Queue()
        for mtype in mtypes:
            self.on_call(mtype)(stream.put_nowait)
        self._streams.add(stream)
        try:
            await self.declare_subscriptions()
            while (message := await stream.get()) is not None:
                yield message
        finally:
            self._streams.discard(stream)
            for mtype in mtypes:
                self.bindings.calls.pop(mtype, None)
                self.bindings.notifications.pop(mtype, None)
            if self.is_connected:
                with contextlib.suppress(HubfarmError):
                    await self.declare_subscriptions()

    def _receive(self, callback: Callback) -> None:
        task = asyncio.get_running_loop().create_task(self._take(callback))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, callback: Callback) -> None:
        try:
            if callback.kind is Kind.RESPONSE:
                await self._take_response(callback)
            else:
                await self._take_message(Message.read(callback.sender, callback.tag, callback.content))
        except Exception:
            _log.exception("a function bound to %s of %s has failed", callback.kind.value, callback.sender)

    async def _take_response(self, callback: Callback) -> None:
        function = self.bindings.responses.get(str(callback.tag))
        if function is not None:
            await _outcome(function(callback.sender, restored(callback.content)))

    async def _take_message(self, message: Message) -> None:
        if message.id is None:
            for binding in matching(self.bindings.notifications, message.mtype):
                await _outcome(binding.function(message))
            return
        bound = list(matching(self.bindings.calls, message.mtype))
        if not bound:
            await self._reply(message.id, error_response(f"nothing is bound to calls of {message.mtype} here"))
        for binding in bound:
            try:
                await self._reply(message.id, response_to(await _outcome(binding.function(message))))
            except Exception as error:
                await self._reply(message.id, response_to_failure(error))
                raise

    async def _reply(self, msg_id: str, response: Map) -> None:
        with contextlib.suppress(HubfarmError):  # the hub may have gone, or another function have replied
            await self._call("reply", msg_id, response)

    # ------------------------------------------------------------------ the hub's methods

    @property
    def _registered(self) -> Membership:
        if self._membership is None:
            raise SAMPNotConnected("this client is not connected: connect it first")
        return self._membership

    async def _call(self, method: str, *params: object) -> Any:
        return await self._registered.call(method, *params)

    async def _send_data(self, sending: Sending, prepare: Callable[[], Prepared], send: SendPrepared) -> list[Receipt]:
        with sending:
            return await send(self._registered, await asyncio.to_thread(prepare))

    async def ping(self) -> Any:
        """Ask whether the hub answers."""
        return await self._registered.hub.call("ping")

    async def declare_metadata(self, metadata: Mapping[str, object] | None = None) -> None:
        """Declare metadata, beside what was declared before."""
        self.metadata |= check_map(to_value(metadata or {}), "metadata")
        await self._registered.declare_metadata()

    async def declare_subscriptions(self, subscriptions: Mapping[str, object] | None = None) -> None:
        """Declare what is bound, and `subscriptions` beside it."""
        if subscriptions is not None:
            self.bindings.declared = check_map(to_value(subscriptions), "subscriptions")
        self._registered.subscriptions = self.bindings.subscriptions()
        await self._registered.declare_subscriptions()

    async def get_metadata(self, client_id: str) -> Any:
        """Return a client's metadata."""
        return await self._call("getMetadata", client_id)

    async def get_subscriptions(self, client_id: str) -> Any:
        """Return a client's subscriptions."""
        return await self._call("getSubscriptions", client_id)

    async def get_registered_clients(self) -> Any:
        """Return the ids of all other clients, the hub's included."""
        return await self._call("getRegisteredClients")

    async def get_subscribed_clients(self, mtype: str) -> Any:
        """Return the other clients subscribed to an MType, and their annotations."""
        return await self._call("getSubscribedClients", mtype)

    async def find_client(self, wanted: str) -> str:
        """Return the id of the client that has it or is called so, whatever the case.

        Raises
        ------
        WrongUse
            There is none, or there are several; the message lists them.
        """
        return await find_client(self._registered, wanted)

    async def notify(self, recipient_id: str, message: Mapping[str, object]) -> Any:
        """Send a notification to one client."""
        return await self._call("notify", recipient_id, message)

    async def notify_all(self, message: Mapping[str, object]) -> Any:
        """Send a notification to all who are subscribed; returns their ids."""
        return await self._call("notifyAll", message)

    async def call(self, recipient_id: str, msg_tag: str, message: Mapping[str, object]) -> Any:
        """Call one client; returns the msg-id. The response comes under `msg_tag`, see `on_response`."""
        return await self._call("call", recipient_id, msg_tag, message)

    async def call_all(self, msg_tag: str, message: Mapping[str, object]) -> Any:
        """Call all who are subscribed; returns a msg-id for each."""
        return await self._call("callAll", msg_tag, message)

    async def call_and_wait(self, recipient_id: str, message: Mapping[str, object], timeout: float | str) -> Any:
        """Call one client, wait at most `timeout` seconds (0: a day), and return its response."""
        return await self._registered.call_and_wait(recipient_id, message, timeout)

    async def reply(self, msg_id: str, response: Mapping[str, object]) -> Any:
        """Answer a call."""
        return await self._call("reply", msg_id, response)


def _url_for_pages(choice: Choice, credentials: Credentials, reconnects: bool) -> str:
    """Return where a client that is a page asks to be let in."""
    if reconnects:
        raise WrongUse("a web page does not come back by itself: the user is asked each time")
    url = choice.hub if choice.hub is not None else WEB_URL
    if not isinstance(url, str) or choice != Choice(hub=choice.hub) or credentials != Credentials():
        raise WrongUse("of a web page the user says to which hub it goes: give no more than a URL, by hub=")
    return url


async def _outcome(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
