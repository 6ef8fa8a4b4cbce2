"""How a client is reached: what waits for it, its bounds and the journal do not care which way it is."""

from typing import NamedTuple, TypeAlias


class Push(NamedTuple):
    """The hub calls the client at a URL (SAMP 1.3, 4.3.2)."""

    url: str


Route: TypeAlias = Push


def write_route(route: Route | None) -> str:
    """Return a route as the journal has it; empty for a client that is not callable."""
    return route.url if route else ""


def read_route(text: str) -> Route | None:
    """Return the route that `write_route` wrote.

    Examples
    --------
    >>> read_route(write_route(Push("http://127.0.0.1:4000/")))
    Push(url='http://127.0.0.1:4000/')
    >>> read_route("") is None
    True
    """
    return Push(text) if text else None
