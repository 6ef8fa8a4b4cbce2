"""How a client is reached: what waits for it, its bounds and the journal do not care which way it is."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Push(NamedTuple):
    """The hub calls the client at a URL (SAMP 1.3, 4.3.2).

    Parameters
    ----------
    url : str
        The URL.
    uid : int or None
        The account of this host that listened there when it was declared; None if that is not known.
    """

    url: str
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class Pull:
    """The client asks for what waits, over a connection that it has made: a web page, say."""


Route: TypeAlias = Push | Pull

_PULL = "pull:"
"""What a journal has for a client that pulls; no URL at which anybody can be called."""


def write_route(route: Route | None) -> str:
    """Return a route as the journal has it; empty for a client that is not callable."""
    if isinstance(route, Pull):
        return _PULL
    if route is None:
        return ""
    return route.url if route.uid is None else f"{route.uid} {route.url}"


def read_route(text: str) -> Route | None:
    """Return the route that `write_route` wrote.

    Examples
    --------
    >>> read_route(write_route(Push("http://127.0.0.1:4000/")))
    Push(url='http://127.0.0.1:4000/', uid=None)
    >>> read_route(write_route(Push("http://127.0.0.1:4000/", 1000)))
    Push(url='http://127.0.0.1:4000/', uid=1000)
    >>> read_route(write_route(Pull()))
    Pull()
    >>> read_route("") is None
    True
    """
    if text == _PULL:
        return Pull()
    uid, blank, url = text.partition(" ")
    if blank and uid.isascii() and uid.isdigit():
        return Push(url, int(uid))
    return Push(text) if text else None
