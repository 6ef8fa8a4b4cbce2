"""`SAMPClient`: a synchronous program's callable side; its callbacks run on the background's workers."""

import atexit
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from hubfarm.client.background import Background, acquire, release
from hubfarm.client.binding import ByFunction, Function
from hubfarm.client.callback_server import Callback
from hubfarm.client.calls import to_value
from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPNotConnected
from hubfarm.client.handlers import (
    Bindings,
    Message,
    matching,
    response_to,
    response_to_failure,
    takes_msg_id,
    variable_of,
)
from hubfarm.client.membership import Membership, described, pulls_by
from hubfarm.client.proxy import SAMPHubProxy
from hubfarm.client.shown import Shown, Standing
from hubfarm.client.typed import restored
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.methods import Kind
from hubfarm.samp.toolkit import SAMPClientError, with_original_names
from hubfarm.samp.values import Map, check_map, error_response
from hubfarm.switches import conf

_log = logging.getLogger("hubfarm.client")
"""The standard library's: this runs in other people's programs, which configure that."""


T = TypeVar("T")


@with_original_names
class SAMPClient(Shown, ByFunction):
    """A client of the hub that a proxy is connected to.

    The API is that of ``astropy.samp.SAMPClient`` and ``pyvo.samp.SAMPClient``; ``docs/clients.md`` says
    what differs.  Functions bound to messages start in the order of the messages, each on a
    worker thread of its own, so that one may call the hub itself and wait; see `in_order`.

    Parameters
    ----------
    hub : SAMPHubProxy
        The hub.
    name, description : str, optional
        The metadata ``samp.name`` and ``samp.description.text``.
    metadata : dict, optional
        More metadata.
    addr : str, optional
        Where to listen for the hub; by default the address by which the hub is reached: 127.0.0.1 for one
        on this host.
    port : int
        Likewise; 0 lets the system choose.
    callable : bool
        Whether the hub can call this client at all.
    callbacks : str
        ``auto``, ``push`` or ``pull``; see `hubfarm.client.aio.AsyncClient`.
    in_order : bool
        Run the functions one after the other, on one thread: each has ended before the next message is looked at.  None
        may wait for another message then, a response for instance.
    """

    def __init__(
        self,
        hub: SAMPHubProxy,
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
        self.hub = hub
        self._in_order = in_order
        self._own_pool: ThreadPoolExecutor | None = None
        self.bindings = Bindings()
        self._metadata = described(name, description, metadata)
        self._where = {"addr": addr, "port": port, "callable": callable, "pulls": pulls_by(callbacks)}
        self._callable = callable
        self._membership: Membership | None = None
        self._background: Background | None = None
        if callable:
            self.bindings.bind("samp.app.ping", lambda message: None, None, notifications=False, replies=True)
            if conf.env_get:
                self.bindings.bind("client.env.get", variable_of, None, notifications=False, replies=True)

    # ------------------------------------------------------------------ life

    @property
    def is_running(self) -> bool:
        """Whether this was started, and not stopped since."""
        return self._background is not None

    @property
    def is_registered(self) -> bool:
        """Whether the hub knows this client."""
        return self._membership is not None and self._membership.is_registered

    @property
    def membership(self) -> Membership:
        """What runs in the background's event loop.

        Raises
        ------
        SAMPNotConnected
            This client does not run.
        """
        if self._membership is None:
            raise SAMPNotConnected("the client is not connected: connect (or start and register) first")
        return self._membership

    def start(self) -> None:
        """Start to listen for the hub, to which the proxy is connected; returns at once.

        Raises
        ------
        HubfarmError
            The address to listen on is not to be had.
        """
        self._begin()
        try:
            self._run(self.membership.listen())
        except BaseException:
            self.stop()
            raise

    def _begin(self) -> None:
        if self._background is None:
            self._background = acquire()
            self._own_pool = ThreadPoolExecutor(1, "hubfarm-callback") if self._in_order else None
            self._membership = Membership(self.hub.calls, self._receive, **self._where)  # type: ignore[arg-type]
            atexit.register(self._say_goodbye)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop to listen.

        Parameters
        ----------
        timeout : float
            Not needed here: stopping does not wait for other programs.
        """
        atexit.unregister(self._say_goodbye)
        background, self._background = self._background, None
        membership, self._membership = self._membership, None
        if background is not None and membership is not None:
            try:
                background.run(_stop(membership))
            finally:
                release(background)
                if self._own_pool is not None:
                    self._own_pool.shutdown(wait=False)

    def _say_goodbye(self) -> None:
        with contextlib.suppress(HubfarmError):
            self.unregister()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._background is None:
            work.close()
            raise SAMPNotConnected("the client is not connected: connect (or start and register) first")
        return self._background.run(work)

    def register(self) -> None:
        """Register with the hub, and declare metadata and subscriptions; it calls this client once `start` was called.

        Raises
        ------
        SAMPClientError
            The proxy is not connected, or this client registered already.
        """
        if not self.hub.is_connected:
            raise SAMPNotConnected("cannot register: the hub proxy is not connected to a hub")
        self._begin()
        self.membership.metadata = dict(self._metadata)
        self.membership.subscriptions = self.bindings.subscriptions()
        self._run(self.membership.register())

    def unregister(self) -> None:
        """Leave the hub.

        Raises
        ------
        SAMPNotConnected
            The proxy is not connected to a hub.
        """
        if not self.hub.is_connected:
            raise SAMPNotConnected("cannot unregister: the hub proxy is not connected to a hub")
        self._run(self.membership.unregister())

    def keep(self, choice: Choice) -> None:
        """Register anew by itself whenever the hub comes back; see `Membership.keep`."""
        self._run(self.membership.keep(choice))

    def get_private_key(self) -> str | None:
        """Return the private key, None without registration."""
        return (self._membership.key or None) if self._membership else None

    def get_public_id(self) -> str | None:
        """Return the public id, None without registration."""
        return (self._membership.id or None) if self._membership else None

    def _standing(self) -> Standing:
        return Standing(self._metadata, self.bindings, self._membership)

    # ------------------------------------------------------------------ what is declared

    def declare_metadata(self, metadata: Mapping[str, object] | None = None) -> None:
        """Declare metadata, beside what was declared before.

        Raises
        ------
        SAMPNotConnected
            This client is not registered.
        """
        self._metadata |= check_map(to_value(metadata or {}), "metadata")
        self.membership.metadata = dict(self._metadata)
        self._run(self.membership.declare_metadata())

    def declare_subscriptions(self, subscriptions: Mapping[str, object] | None = None) -> None:
        """Declare what is bound, and `subscriptions` beside it.

        Raises
        ------
        SAMPClientError
            This client is not callable, or not registered.
        """
        self._check_callable()
        self.bindings.declared = check_map(to_value(subscriptions or {}), "subscriptions")
        self.membership.subscriptions = self.bindings.subscriptions()
        self._run(self.membership.declare_subscriptions())

    def _declare_bound(self) -> None:
        # Before registration there is nothing to do: it declares everything.
        if self._membership is not None:
            self._membership.subscriptions = self.bindings.subscriptions()
            if self._membership.is_registered:
                self._run(self._membership.declare_subscriptions())

    def _changeable(self) -> Bindings:
        self._check_callable()
        return self.bindings

    def _check_callable(self) -> None:
        if not self._callable:
            raise SAMPClientError("the client is not callable: make it with callable=True")

    # ------------------------------------------------------------------ what the hub hands over

    def _receive(self, callback: Callback) -> None:
        assert self._background is not None
        (self._own_pool or self._background.pool).submit(self._take, callback)

    def _take(self, callback: Callback) -> None:
        key, sender, tag, content = callback[1:]
        try:
            if callback.kind is Kind.NOTIFICATION:
                self.receive_notification(key, sender, content)
            elif callback.kind is Kind.CALL:
                self.receive_call(key, sender, str(tag), content)
            else:
                self.receive_response(key, sender, str(tag), content)
        except Exception:
            _log.exception("a function bound to %s of %s has failed", callback.kind.value, sender)

    def receive_notification(self, private_key: str, sender_id: str, message: Map) -> str:
        """Hand a notification to the functions bound to it; a subclass may do otherwise."""
        if private_key == self.get_private_key():
            received = Message.read(sender_id, None, message)
            for function, _, replies in matching(self.bindings.notifications, received.mtype):
                if replies:
                    function(received)
                else:
                    with_id = (None,) if takes_msg_id(function) else ()
                    function(private_key, sender_id, *with_id, received.mtype, received.params, received.extra)
        return ""

    def receive_call(self, private_key: str, sender_id: str, msg_id: str, message: Map) -> str:
        """Hand a call to the functions bound to it; a subclass may do otherwise.

        A function that raises, and a call that nothing is bound to, are answered with an error:
        nobody waits in vain.
        """
        if private_key != self.get_private_key():
            return ""
        received = Message.read(sender_id, msg_id, message)
        bound = list(matching(self.bindings.calls, received.mtype))
        if not bound:
            self._reply(msg_id, error_response(f"nothing is bound to calls of {received.mtype} here"))
        for function, _, replies in bound:
            try:
                if replies:
                    self._reply(msg_id, response_to(function(received)))
                else:
                    function(private_key, sender_id, msg_id, received.mtype, received.params, received.extra)
            except Exception as error:
                self._reply(msg_id, response_to_failure(error))
                raise
        return ""

    def receive_response(self, private_key: str, responder_id: str, msg_tag: str, response: Map) -> str:
        """Hand a response to the function bound to its tag; a subclass may do otherwise."""
        if private_key == self.get_private_key() and msg_tag in self.bindings.responses:
            self.bindings.responses[msg_tag](private_key, responder_id, msg_tag, restored(response))
        return ""

    def _reply(self, msg_id: str, response: Map) -> None:
        # The hub may have gone, or the function have replied itself before it failed.
        with contextlib.suppress(HubfarmError):
            self._run(self.membership.call("reply", msg_id, response))


async def _stop(membership: Membership) -> None:
    membership.stop_keeping()
    membership.stop_listening()


class SAMPMsgReplierWrapper:
    """A decorator that replies to a call with what the function returns, or how it fails.

    For functions bound by `SAMPClient.bind_receive_call` and its like: a dict that is returned becomes
    the result, an exception a ``samp.error`` with the reason.  None is an empty result, unless
    `hubfarm.switches.Conf.silent_replier` is on.

    Parameters
    ----------
    cli : SAMPIntegratedClient or SAMPClient
        The client that the function is bound to.
    """

    def __init__(self, cli: Any) -> None:
        self.cli = cli

    def __call__(self, f: Function) -> Function:
        """Return `f` with a reply."""

        def wrapped(*args: Any) -> None:
            if not takes_msg_id(f) or args[2] is None:
                f(*args)
                return
            try:
                result = f(*args)
                if not result and conf.silent_replier:
                    return
                response = response_to(result)
            except Exception as error:
                response = response_to_failure(error)
                _log.exception("a function bound to calls of %s has failed", args[3])
            with contextlib.suppress(HubfarmError):  # it has replied itself, or the hub has gone
                self.cli.hub.reply(self.cli.get_private_key(), args[2], response)

        return wrapped
