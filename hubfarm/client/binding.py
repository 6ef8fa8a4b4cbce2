"""The methods by which a program binds functions to messages, written once for all clients.

`ByFunction` has those of astropy's API, for the synchronous classes; `ByDecorator` has ours.  What is bound
lies in `Bindings`; a client says here how it gets at its own, and how the hub hears of a change.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hubfarm.client.errors import SAMPNothingBound
from hubfarm.client.handlers import Bindings

F = TypeVar("F", bound=Callable[..., Any])

Function = Callable[..., Any]


class ByDecorator:
    """``@client.on_call("my.mtype")``, over a client's `_bind`."""

    _bind: Any

    def on_call(self, mtype: str, annotations: Mapping[str, object] | None = None) -> Callable[[F], F]:
        """Bind a function to messages of an MType; a decorator.

        It gets a `Message`.  What it returns is the reply to a call: a dict for the result, None
        for an empty one.  What it raises is the reply too: a ``samp.error`` with the reason.

        A synchronous client tells the hub at once; an `AsyncClient` that is connected already
        does by `declare_subscriptions`.

        Parameters
        ----------
        mtype : str
            An MType, or a pattern as ``table.*``.
        annotations : dict, optional
            What the subscription says beside the pattern.
        """

        def bind(function: F) -> F:
            self._bind(mtype, function, annotations, replies=True)
            return function

        return bind

    def on_notification(self, mtype: str, annotations: Mapping[str, object] | None = None) -> Callable[[F], F]:
        """Bind a function to notifications of an MType only; a decorator, see `on_call`."""

        def bind(function: F) -> F:
            self._bind(mtype, function, annotations, calls=False, replies=True)
            return function

        return bind


class ByFunction:
    """``client.bind_receive_call("my.mtype", function)`` and its like."""

    def _changeable(self) -> Bindings:
        """Return the client's bindings, to change them.

        Raises
        ------
        SAMPClientError
            The client is not callable.
        """
        raise NotImplementedError

    def _declare_bound(self) -> None:
        """Tell the hub what is bound, if the client is registered."""
        raise NotImplementedError

    def _bind(
        self,
        mtype: str,
        function: Function,
        annotations: Mapping[str, object] | None,
        *,
        declare: bool = True,
        **kinds: bool,
    ) -> None:
        self._changeable().bind(mtype, function, annotations, **kinds)
        if declare:
            self._declare_bound()

    def bind_receive_message(
        self, mtype: str, function: Function, declare: bool = True, metadata: Mapping[str, object] | None = None
    ) -> None:
        """Bind ``function(private_key, sender_id, msg_id, mtype, params, extra)`` to calls and notifications.

        Parameters
        ----------
        mtype : str
            An MType, or a pattern as ``table.*``.
        function : callable
            Gets None as `msg_id` of a notification; answers calls by `reply`.
        declare : bool
            Subscribe too.
        metadata : dict, optional
            Annotations of the subscription.
        """
        self._bind(mtype, function, metadata, declare=declare, replies=False)

    def bind_receive_notification(
        self, mtype: str, function: Function, declare: bool = True, metadata: Mapping[str, object] | None = None
    ) -> None:
        """Bind ``function(private_key, sender_id, mtype, params, extra)`` to notifications."""
        self._bind(mtype, function, metadata, declare=declare, calls=False, replies=False)

    def bind_receive_call(
        self, mtype: str, function: Function, declare: bool = True, metadata: Mapping[str, object] | None = None
    ) -> None:
        """Bind ``function(private_key, sender_id, msg_id, mtype, params, extra)`` to calls."""
        self._bind(mtype, function, metadata, declare=declare, notifications=False, replies=False)

    def bind_receive_response(self, msg_tag: str, function: Function) -> None:
        """Bind ``function(private_key, responder_id, msg_tag, response)`` to responses under `msg_tag`."""
        self._changeable().responses[msg_tag] = function

    def unbind_receive_notification(self, mtype: str, declare: bool = True) -> None:
        """Take back what was bound to notifications of `mtype`; `SAMPNothingBound` if nothing is."""
        _take_back(self._changeable().notifications, mtype, "notifications of")
        if declare:
            self._declare_bound()

    def unbind_receive_call(self, mtype: str, declare: bool = True) -> None:
        """Take back what was bound to calls of `mtype`; `SAMPNothingBound` if nothing is."""
        _take_back(self._changeable().calls, mtype, "calls of")
        if declare:
            self._declare_bound()

    def unbind_receive_response(self, msg_tag: str) -> None:
        """Take back what was bound to responses under `msg_tag`; `SAMPNothingBound` if nothing is."""
        _take_back(self._changeable().responses, msg_tag, "responses under")


def _take_back(bound: dict[str, Any], key: str, what: str) -> None:
    if key not in bound:
        raise SAMPNothingBound(f"nothing is bound to {what} {key!r}")
    del bound[key]
