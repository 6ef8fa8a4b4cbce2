"""Which function is called for which message, and what its return value says to the sender."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hubfarm.client.calls import to_value
from hubfarm.client.typed import noted, restored
from hubfarm.samp.errors import BadValue
from hubfarm.samp.mtype import candidates, check_pattern
from hubfarm.samp.toolkit import SAMP_STATUS_OK, SAMP_STATUS_WARNING
from hubfarm.samp.values import Map, check_map, check_message, check_response, error_response, ok_response
from hubfarm.visible import brief


@dataclass(frozen=True, slots=True)
class Message:
    """A message, as callbacks get it.

    Parameters
    ----------
    sender : str
        The sender's public id.
    id : str or None
        The msg-id of a call; None for a notification.
    mtype : str
        What it means.
    params : dict
        Its parameters.
    extra : dict
        Whatever else the sender put into it.
    """

    sender: str
    id: str | None
    mtype: str
    params: Map
    extra: Map

    @classmethod
    def read(cls, sender: str, msg_id: str | None, content: Map) -> "Message":
        """Make one of the map that a hub hands over.

        Raises
        ------
        BadValue
            It is no message.

        Examples
        --------
        >>> Message.read("c1", None, {"samp.mtype": "samp.app.ping", "samp.params": {}}).mtype
        'samp.app.ping'
        """
        checked = restored(check_message(content))
        mtype, params = str(checked.pop("samp.mtype")), check_map(checked.pop("samp.params", {}), "samp.params")
        return cls(sender, msg_id, mtype, params, checked)

    def __repr__(self) -> str:
        kind = f"call {self.id}" if self.id is not None else "notification"
        said = f"{self.mtype} from {self.sender}, {kind}: {', '.join(self.params)}"
        return f"<Message {brief(said, 160)}>"

    def _repr_html_(self) -> str:
        from hubfarm import html

        params, more = (html.facts("", told) if told else "" for told in (self.params, self.extra))
        return html.facts(self.mtype, {"from": self.sender, "call": self.id, "parameters": params, "more": more})


class Binding(NamedTuple):
    """A function bound to a pattern.

    Parameters
    ----------
    function : callable
        The function.
    annotations : Map
        What the subscription says beside the pattern.
    replies : bool
        It gets a `Message`, and its return value is the reply; otherwise it gets SAMPY's
        parameters, and replies itself.
    """

    function: Callable[..., Any]
    annotations: Map
    replies: bool


@dataclass(slots=True)
class Bindings:
    """All of a client's bindings.

    Parameters
    ----------
    notifications, calls : dict
        By pattern.
    responses : dict
        Functions by msg-tag.
    declared : dict
        Subscriptions beyond what is bound.
    """

    notifications: dict[str, Binding] = field(default_factory=dict)
    calls: dict[str, Binding] = field(default_factory=dict)
    responses: dict[str, Callable[..., Any]] = field(default_factory=dict)
    declared: Map = field(default_factory=dict)

    def subscriptions(self) -> Map:
        """Return what the client is to be subscribed to."""
        bound = {
            pattern: binding.annotations
            for table in (self.notifications, self.calls)
            for pattern, binding in table.items()
        }
        return bound | self.declared

    def bind(
        self,
        mtype: str,
        function: Callable[..., Any],
        annotations: Mapping[str, object] | None,
        *,
        notifications: bool = True,
        calls: bool = True,
        replies: bool,
    ) -> None:
        """Bind a function to a pattern, instead of the one that was.

        Raises
        ------
        BadValue
            `mtype` is no subscription pattern.
        """
        binding = Binding(function, check_map(to_value(annotations or {}), "metadata"), replies)
        check_pattern(mtype)
        if notifications:
            self.notifications[mtype] = binding
        if calls:
            self.calls[mtype] = binding


def matching(table: Mapping[str, Binding], mtype: str) -> Iterator[Binding]:
    """Yield the bindings that a message of `mtype` is for, the most specific first."""
    for pattern in candidates(mtype):
        if pattern in table:
            yield table[pattern]


def takes_msg_id(function: Callable[..., Any]) -> bool:
    """Tell whether a notification's function has a parameter for the msg-id, as a call's has.

    Examples
    --------
    >>> takes_msg_id(lambda private_key, sender_id, mtype, params, extra: None)
    False
    >>> takes_msg_id(lambda private_key, sender_id, msg_id, mtype, params, extra: None)
    True
    """
    try:
        inspect.signature(function).bind(*range(6))
    except TypeError:
        return False
    except ValueError:  # a builtin that does not say
        return True
    return True


def response_to(result: object) -> Map:
    """Return the response that a callback's return value means.

    Parameters
    ----------
    result : dict or None
        The result; a whole response, with ``samp.status``, is taken as it is.

    Raises
    ------
    BadValue
        It is neither.

    Examples
    --------
    >>> response_to({"row": 7})
    {'samp.status': 'samp.ok', 'samp.result': {'row': '7'}}
    """
    if result is None:
        return ok_response({})
    if not isinstance(result, Mapping):
        raise BadValue(f"a callback returns a dict or None as its reply, not {type(result).__name__}")
    response = result if "samp.status" in result else {"samp.status": SAMP_STATUS_OK, "samp.result": result}
    return check_response(to_value(noted(response)))


def response_to_failure(error: BaseException) -> Map:
    """Return the response that a callback's exception means.

    Examples
    --------
    >>> response_to_failure(KeyError("row"))["samp.error"]
    {'samp.errortxt': "KeyError: 'row'"}
    """
    text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in f"{type(error).__name__}: {error}")
    return error_response(text)


def variable_of(message: Message) -> Map:
    """Return the response to ``client.env.get``: an environment variable's value.

    Examples
    --------
    >>> variable_of(Message("c1", "msg-1", "client.env.get", {"name": "no such variable"}, {}))["samp.status"]
    'samp.warning'
    """
    value = os.environ.get(str(message.params.get("name", "")))
    if value is not None:
        return ok_response({"value": value})
    error: Map = {"samp.errortxt": "there is no environment variable of that name here"}
    return {"samp.status": SAMP_STATUS_WARNING, "samp.result": {"value": ""}, "samp.error": error}


def easy_message(mtype: str, params: Mapping[str, object]) -> dict[str, object]:
    """Make a message of keyword parameters; ``extra_kws`` goes beside them, not among them.

    Examples
    --------
    >>> easy_message("samp.msg.progress", {"txt": "begun", "extra_kws": {"my.key": "1"}})
    {'samp.mtype': 'samp.msg.progress', 'samp.params': {'txt': 'begun'}, 'my.key': '1'}
    """
    plain = dict(params)
    extra = plain.pop("extra_kws", {})
    return {"samp.mtype": mtype, "samp.params": plain} | dict(extra)  # type: ignore[call-overload, no-any-return]
