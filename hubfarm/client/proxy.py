"""`SAMPHubProxy`: a hub's methods for synchronous programs, private keys given by the caller."""

import os
import warnings
from collections.abc import Collection, Mapping
from typing import Any, cast

from hubfarm.client.background import Background, acquire, borrowed, release
from hubfarm.client.calls import LONGEST_WAIT, POOL_SIZE, TIMEOUT, HubCalls
from hubfarm.client.credentials import Credentials, Password
from hubfarm.client.discovery import Choice, HubLike, running_hubs, ticket_text
from hubfarm.client.errors import SAMPNotConnected
from hubfarm.samp.toolkit import SAMPWarning, with_original_names
from hubfarm.standard_hub import PING_TIMEOUT
from hubfarm.switches import conf


@with_original_names
class SAMPHubProxy:
    """A hub, as a program that is no client of it yet sees it.

    The API is that of ``astropy.samp.SAMPHubProxy`` and ``pyvo.samp.SAMPHubProxy``; ``docs/clients.md``
    says what differs.

    Examples
    --------
    >>> SAMPHubProxy().get_running_hubs()
    {}
    """

    def __init__(self) -> None:
        self.calls = HubCalls()
        """The hub, for code that runs in the background's event loop."""
        self._background: Background | None = None

    @staticmethod
    def get_running_hubs(timeout: float = PING_TIMEOUT) -> dict[str, dict[str, str]]:
        """Return the hubs that answer, of single and multiple mode: lock file to its content.

        Parameters
        ----------
        timeout : float
            How long they may take to answer, all of them together, seconds.

        Raises
        ------
        HubfarmError
            The lock directory cannot be read.
        """
        with borrowed() as background:
            return background.run(running_hubs(timeout))

    @property
    def is_connected(self) -> bool:
        """Whether a hub was found, and not left or lost since."""
        return self._background is not None and self.calls.is_open

    @property
    def lockfile(self) -> dict[str, str]:
        """The hub's lock file's content; empty without a hub."""
        return self.calls.tokens

    @property
    def background(self) -> Background:
        """Where `calls` is used.

        Raises
        ------
        SAMPNotConnected
            This is not connected.
        """
        if self._background is None:
            raise SAMPNotConnected("not connected to a hub: connect first")
        return self._background

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
        timeout: float = TIMEOUT,
    ) -> None:
        """Connect to a hub: by default the one that ``SAMP_HUB`` or ``~/.samp`` names.

        Parameters
        ----------
        hub : SAMPHubServer, path or str, optional
            A hub in this program; or a lock file by its path or URL.
        hub_params : dict, optional
            A lock file's content, of whatever host.
        pool_size : int
            Connections to the hub at most.
        label, owner, group : str
            One of the hubs that run, by its names.
        user, password, ticket, cert_file, key_file, ca_certs
            As whom to register, and which hub to believe; see `SAMPIntegratedClient.connect`.
        timeout : float
            How long finding it, and each call to it, may take, seconds.

        Raises
        ------
        SAMPHubError
            There is no such hub, or it does not answer.
        SAMPHubNotNamed
            Several hubs are meant, or one is named in several ways; a `SAMPHubError` and a ValueError.
        """
        choice = Choice(hub, hub_params, label, owner, group, ticket_text(ticket))
        self.connect_to(choice, pool_size, timeout, Credentials(user, password, cert_file, key_file, ca_certs))

    def connect_to(
        self,
        choice: Choice,
        pool_size: int = POOL_SIZE,
        timeout: float = TIMEOUT,
        credentials: Credentials | None = None,
    ) -> None:
        """Connect to the hub that `choice` means; see `connect`."""
        self.disconnect()
        if credentials is not None:
            credentials.ask()  # here: Ctrl-C interrupts this thread
        self.calls = HubCalls(pool_size=pool_size, timeout=timeout, credentials=credentials)
        self._background = acquire()
        try:
            self._background.run(self._open(choice, timeout))
        except BaseException:
            self.disconnect()
            raise

    async def _open(self, choice: Choice, timeout: float) -> None:
        found = await choice.find(timeout)
        await self.calls.open(found.tokens, found.owner)

    def disconnect(self) -> None:
        """Leave the hub."""
        background, self._background = self._background, None
        if background is not None:
            try:
                background.run(self._close())
            finally:
                release(background)

    async def _close(self) -> None:
        self.calls.close()

    # ------------------------------------------------------------------ the Standard Profile (SAMP 1.3, 4.3.1)

    def _call(self, method: str, *params: object) -> Any:
        return self.background.run(self.calls.call(method, *params))

    def ping(self) -> str:
        """Ask whether the hub answers."""
        return cast(str, self._call("ping"))

    def set_xmlrpc_callback(self, private_key: str, xmlrpc_addr: str) -> str:
        """Say at which URL a client can be called."""
        return cast(str, self._call("setXmlrpcCallback", private_key, xmlrpc_addr))

    def register(self, secret: str) -> dict[str, str]:
        """Register a client; returns its private key, its public id and the hub's."""
        return cast(dict[str, str], self._call("register", secret))

    def unregister(self, private_key: str) -> str:
        """Unregister a client."""
        return cast(str, self._call("unregister", private_key))

    def declare_metadata(self, private_key: str, metadata: Mapping[str, object]) -> str:
        """Declare a client's metadata, instead of what it declared before."""
        return cast(str, self._call("declareMetadata", private_key, metadata))

    def get_metadata(self, private_key: str, client_id: str) -> dict[str, Any]:
        """Return a client's metadata."""
        return cast(dict[str, Any], self._call("getMetadata", private_key, client_id))

    def declare_subscriptions(self, private_key: str, subscriptions: Mapping[str, object]) -> str:
        """Declare a client's subscriptions, instead of what it declared before."""
        return cast(str, self._call("declareSubscriptions", private_key, subscriptions))

    def get_subscriptions(self, private_key: str, client_id: str) -> dict[str, Any]:
        """Return a client's subscriptions."""
        return cast(dict[str, Any], self._call("getSubscriptions", private_key, client_id))

    def get_registered_clients(self, private_key: str) -> list[str]:
        """Return the ids of all clients but the caller, the hub's included."""
        return cast(list[str], self._call("getRegisteredClients", private_key))

    def get_subscribed_clients(self, private_key: str, mtype: str) -> dict[str, Any]:
        """Return the clients subscribed to an MType, and their annotations."""
        return cast(dict[str, Any], self._call("getSubscribedClients", private_key, mtype))

    def notify(self, private_key: str, recipient_id: str, message: Mapping[str, object]) -> str:
        """Send a notification to one client."""
        return cast(str, self._call("notify", private_key, recipient_id, message))

    def notify_all(self, private_key: str, message: Mapping[str, object]) -> list[str]:
        """Send a notification to all who are subscribed; returns their ids."""
        reached = cast(list[str], self._call("notifyAll", private_key, message))
        warn_if_unheard(reached, message)
        return reached

    def call(self, private_key: str, recipient_id: str, msg_tag: str, message: Mapping[str, object]) -> str:
        """Call one client; returns the msg-id. The response comes under `msg_tag`."""
        return cast(str, self._call("call", private_key, recipient_id, msg_tag, message))

    def call_all(self, private_key: str, msg_tag: str, message: Mapping[str, object]) -> dict[str, str]:
        """Call all who are subscribed; returns a msg-id for each."""
        return cast(dict[str, str], self._call("callAll", private_key, msg_tag, message))

    def call_and_wait(
        self, private_key: str, recipient_id: str, message: Mapping[str, object], timeout: float | str
    ) -> dict[str, Any]:
        """Call one client, wait at most `timeout` seconds (0: a day), and return its response."""
        return self.background.run(self.calls.call_and_wait(private_key, recipient_id, message, timeout))

    def reply(self, private_key: str, msg_id: str, response: Mapping[str, object]) -> str:
        """Answer a call."""
        return cast(str, self._call("reply", private_key, msg_id, response))

    def allow_reverse_callbacks(self, private_key: str, allow: bool | str) -> str:
        """Let a client pull what it is called with, or make it not callable (SAMP 1.3, 5.2.4)."""
        return cast(str, self._call("allowReverseCallbacks", private_key, allow))

    def pull_callbacks(self, private_key: str, timeout: float | str) -> list[dict[str, Any]]:
        """Fetch what a client is called with; wait at most `timeout` seconds (below 0: a day) for something."""
        return self.background.run(self._pull(private_key, float(timeout)))

    async def _pull(self, private_key: str, seconds: float) -> list[Any]:
        return await self.calls.pull(private_key, seconds if seconds >= 0 else LONGEST_WAIT)


def warn_if_unheard(reached: Collection[str], message: Mapping[str, object]) -> None:
    """Warn the caller's caller, if it wants that, of a message to all that reached nobody."""
    if conf.warn_unheard and not reached:
        warnings.warn(f"nobody is subscribed to {message.get('samp.mtype')}", SAMPWarning, stacklevel=3)
