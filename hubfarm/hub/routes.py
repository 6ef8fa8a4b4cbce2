"""How a client is reached: what waits for it, its bounds and the journal do not care which way it is."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Push(NamedTuple):
    """The hub calls the client at a URL (SAMP 1.3, 4.3.2)."""

    url: str


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
    return route.url if route else ""


def read_route(text: str) -> Route | None:
    """Return the route that `write_route` wrote.

    Examples
    --------
    >>> read_route(write_route(Push("http://127.0.0.1:4000/")))
    Push(url='http://127.0.0.1:4000/')
    >>> read_route(write_route(Pull()))
    Pull()
    >>> read_route("") is None
    True
    """
    if text == _PULL:
        return Pull()
    return Push(text) if text else None
