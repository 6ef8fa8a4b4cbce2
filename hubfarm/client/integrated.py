"""`SAMPIntegratedClient`: proxy and client in one, for synchronous programs."""

import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from hubfarm.client.background import acquire, release
from hubfarm.client.binding import ByDecorator, ByFunction, F
from hubfarm.client.calls import POOL_SIZE, TIMEOUT
from hubfarm.client.chooser import ask
from hubfarm.client.client import SAMPClient
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
from hubfarm.client.discovery import Choice, HubLike, selectable_hubs, ticket_text
from hubfarm.client.errors import SAMPHubUnreachable, SAMPProxyError
from hubfarm.client.handlers import Bindings, Message
from hubfarm.client.keyword_messages import EasySending
from hubfarm.client.proxy import SAMPHubProxy, warn_if_unheard
from hubfarm.client.shown import Shown, Standing
from hubfarm.samp.toolkit import SAMPClientError, with_original_names
from hubfarm.samp.values import Map
from hubfarm.switches import conf

T = TypeVar("T")


@with_original_names
class SAMPIntegratedClient(Shown, ByFunction, ByDecorator, EasySending[Any], DataSending[Any, list[Receipt]]):
    """A client of a hub.

    The API is that of ``astropy.samp.SAMPIntegratedClient`` and ``pyvo.samp.SAMPIntegratedClient``, and
    more; ``docs/clients.md`` says what differs.

    Parameters
    ----------
    name, description, metadata, addr, port, callable, callbacks, in_order
        As for `SAMPClient`.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> hubs = Farm().start(count=2, group="mima")
    >>> with SAMPIntegratedClient("sender") as sender, SAMPIntegratedClient("doubler") as doubler:
    ...     doubler.connect(label="mima-2")
    ...     sender.connect(label="mima-2")
    ...     @doubler.on_call("my.double")
    ...     def double(message):
    ...         return {"result": 2 * int(message.params["value"])}
    ...     answer = sender.ecall_and_wait(doubler.get_public_id(), "my.double", timeout=10, value=21)
    >>> answer
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
        callbacks: Literal["auto", "push", "pull"] = "auto",
        in_order: bool = False,
    ) -> None:
        self.client_arguments: dict[str, Any] = {
            "name": name,
            "description": description,
            "metadata": metadata,
            "addr": addr,
            "port": port,
            "callable": callable,
        }
        """What this was made with; astropy's has it, and programs read it."""
        self.hub = SAMPHubProxy()
        self.client = SAMPClient(self.hub, **self.client_arguments, callbacks=callbacks, in_order=in_order)
        self._outbox = Outbox()

    # ------------------------------------------------------------------ life

    @property
    def is_connected(self) -> bool:
        """Whether this is registered with a hub."""
        return self.hub.is_connected and self.client.is_registered

    def connect(
        self,
        hub: HubLike | str | os.PathLike[str] | None = None,
        hub_params: Mapping[str, str] | None = None,
        pool_size: int = POOL_SIZE,
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
        choose: bool = False,
        reconnect: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        """Connect to a hub and register: by default the one that ``SAMP_HUB`` or ``~/.samp`` names.

        What was bound stays bound, over `disconnect` and `connect` too.

        Parameters
        ----------
        hub : SAMPHubServer, path or str, optional
            A hub in this program; or a lock file by its path or URL.
        hub_params : dict, optional
            A lock file's content, of whatever host.
        pool_size : int
            Connections to the hub at most: as many calls can wait for their answer at once.
        label, owner, group : str
            One of the hubs that run, by its names; the unique beginning of a label will do.
        user : str
            Register as this user; empty for nobody in particular.
        password : str or callable, optional
            The user's password, or a function that returns it; by default it is asked for on the terminal.
        ticket : str or path
            Register as the holder of this ticket: the lock file that ``hubfarm login`` has made, its URL, or the
            secret in it.
        cert_file, key_file : str or path
            Register as the user whom this certificate names; its private key, if that is in another file (PEM).
        ca_certs : str or path
            Who signs the certificates of hubs that speak TLS (PEM). By default a hub is known by the certificate in its
            lock file, or by one that a CA of this system has signed for its name.
        choose : bool
            Ask on the terminal which one of them.
        reconnect : bool
            Register and declare everything anew by itself when the hub comes back.
        timeout : float
            How long finding the hub, and each call to it, may take, seconds.

        Raises
        ------
        SAMPHubError
            There is no such hub, or it does not answer.
        SAMPHubNotNamed
            Several hubs are meant, or one is named in several ways; a `SAMPHubError` and a ValueError.
        SAMPClientError
            This is connected already.
        """
        if self.client.is_running:
            if not conf.connect_again:
                raise SAMPClientError("this client is connected already: disconnect it first")
            self.disconnect()
        choice = Choice(hub, hub_params, label, owner, group)
        if choose:
            choice = self._choose(choice, timeout)
        choice = replace(choice, ticket=ticket_text(ticket))
        self.hub.connect_to(choice, pool_size, timeout, Credentials(user, password, cert_file, key_file, ca_certs))
        try:
            self.client.start()
            self.client.register()
            if reconnect:
                self.client.keep(choice)
        except BaseException:
            self._take_down()
            raise

    def _choose(self, choice: Choice, timeout: float) -> Choice:
        background = acquire()
        try:
            hubs = background.run(selectable_hubs(timeout))
        finally:
            release(background)
        return ask(hubs, choice)

    def disconnect(self) -> None:
        """Unregister and leave the hub; without a hub there is nothing to do."""
        if not self.client.is_running:
            return
        try:
            if self.is_connected:
                with contextlib.suppress(SAMPHubUnreachable, SAMPProxyError):  # it has gone, or forgotten us
                    self.client.unregister()
        finally:
            self._take_down()

    def _take_down(self) -> None:
        background = self.client.hub.background
        try:
            background.run(self._outbox.close())
            self.client.stop()
        finally:
            self.hub.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def _standing(self) -> Standing:
        return self.client._standing()

    # ------------------------------------------------------------------ callbacks

    def _changeable(self) -> Bindings:
        return self.client._changeable()

    def _declare_bound(self) -> None:
        self.client._declare_bound()

    def on_table(self, function: F) -> F:
        """Bind a function to tables that are sent here; a decorator.

        It gets an astropy ``Table``, whose ``meta["samp"]`` holds the message's parameters.
        Needs astropy.
        """

        def load(message: Message) -> None:
            function(read_table(message))

        for mtype in TABLE_MTYPES:
            self.on_call(mtype)(load)
        return function

    # ------------------------------------------------------------------ the hub's methods

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.client._run(work)

    def _call(self, method: str, *params: object) -> Any:
        return self._run(self.client.membership.call(method, *params))

    def _send_data(self, sending: Sending, prepare: Callable[[], Prepared], send: SendPrepared) -> list[Receipt]:
        membership = self.client.membership
        with sending:
            return self._run(send(membership, prepare()))

    def ping(self) -> Any:
        """Ask whether the hub answers."""
        return self.hub.ping()

    def declare_metadata(self, metadata: Mapping[str, object] | None = None) -> None:
        """Declare metadata, beside what was declared before."""
        self.client.declare_metadata(metadata)

    def declare_subscriptions(self, subscriptions: Mapping[str, object] | None = None) -> None:
        """Declare what is bound, and `subscriptions` beside it."""
        self.client.declare_subscriptions(subscriptions)

    def get_metadata(self, client_id: str) -> Any:
        """Return a client's metadata."""
        return self._call("getMetadata", client_id)

    def get_subscriptions(self, client_id: str) -> Any:
        """Return a client's subscriptions."""
        return self._call("getSubscriptions", client_id)

    def get_registered_clients(self) -> Any:
        """Return the ids of all other clients, the hub's included."""
        return self._call("getRegisteredClients")

    def get_subscribed_clients(self, mtype: str) -> Any:
        """Return the other clients subscribed to an MType, and their annotations."""
        return self._call("getSubscribedClients", mtype)

    def find_client(self, wanted: str) -> str:
        """Return the id of the client that has it or is called so, whatever the case.

        Raises
        ------
        WrongUse
            There is none, or there are several; the message lists them.
        """
        found: str = self._run(find_client(self.client.membership, wanted))
        return found

    def notify(self, recipient_id: str, message: Mapping[str, object]) -> Any:
        """Send a notification to one client."""
        return self._call("notify", recipient_id, message)

    def notify_all(self, message: Mapping[str, object]) -> Any:
        """Send a notification to all who are subscribed; returns their ids."""
        reached = self._call("notifyAll", message)
        warn_if_unheard(reached, message)
        return reached

    def call(self, recipient_id: str, msg_tag: str, message: Mapping[str, object]) -> Any:
        """Call one client; returns the msg-id. The response comes under `msg_tag`."""
        return self._call("call", recipient_id, msg_tag, message)

    def call_all(self, msg_tag: str, message: Mapping[str, object]) -> Any:
        """Call all who are subscribed; returns a msg-id for each."""
        return self._call("callAll", msg_tag, message)

    def call_and_wait(self, recipient_id: str, message: Mapping[str, object], timeout: float | str) -> Any:
        """Call one client, wait at most `timeout` seconds (0: a day), and return its response."""
        return self._run(self.client.membership.call_and_wait(recipient_id, message, timeout))

    def reply(self, msg_id: str, response: Mapping[str, object]) -> Any:
        """Answer a call."""
        return self._call("reply", msg_id, response)

    # ------------------------------------------------------------------ the client's methods

    def receive_notification(self, private_key: str, sender_id: str, message: Map) -> str:
        """Do what a notification from the hub does; see `SAMPClient`."""
        return self.client.receive_notification(private_key, sender_id, message)

    def receive_call(self, private_key: str, sender_id: str, msg_id: str, message: Map) -> str:
        """Do what a call from the hub does; see `SAMPClient`."""
        return self.client.receive_call(private_key, sender_id, msg_id, message)

    def receive_response(self, private_key: str, responder_id: str, msg_tag: str, response: Map) -> str:
        """Do what a response from the hub does; see `SAMPClient`."""
        return self.client.receive_response(private_key, responder_id, msg_tag, response)

    def get_private_key(self) -> str | None:
        """Return the private key, None without a hub."""
        return self.client.get_private_key()

    def get_public_id(self) -> str | None:
        """Return the public id, None without a hub."""
        return self.client.get_public_id()
