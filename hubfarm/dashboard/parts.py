"""What a view of the dashboard adds to its server: topics that the page listens to, and actions that it asks for.

A topic is a generator: each thing that it yields goes to the page, and it goes on when the page has taken that.  An
action is a function: what it returns is the answer.  What the page sends with either is a structure, checked before.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from hubfarm.dashboard.visitor import Visitor


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page sends with a request; nothing, unless a view's own structure adds fields."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a page can listen to.

    Parameters
    ----------
    asked : type
        What it says with that.
    follow : callable
        Yields what there is to tell, as JSON can carry it.
    """

    asked: type[Asked]
    follow: Callable[[Visitor, Any], AsyncIterator[Any]]


@dataclass(frozen=True, slots=True)
class Action:
    """What a page can ask for.

    Parameters
    ----------
    asked : type
        What it says with that.
    do : callable
        Does it, and returns the answer as JSON can carry it.
    """

    asked: type[Asked]
    do: Callable[[Visitor, Any], Awaitable[Any]]


Handler = Callable[[Visitor, web.Request], Awaitable[web.StreamResponse]]
"""Answers a request that is no JSON: a picture, a file that is handed over."""


OpenHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""Answers a request of whoever makes it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one view adds.

    Parameters
    ----------
    topics, actions : mapping
        By their names, which no two views share.
    gets, posts : mapping
        Handlers of other requests, by the first part of their path.
    open_gets : mapping
        Handlers of requests that need no login: who makes one knows what cannot be guessed, which the path says.
    close : callable
        Ends whatever goes on for the view, at the server's end.
    """

    topics: Mapping[str, Topic] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    gets: Mapping[str, Handler] = field(default_factory=dict)
    posts: Mapping[str, Handler] = field(default_factory=dict)
    open_gets: Mapping[str, OpenHandler] = field(default_factory=dict)
    close: Callable[[], Awaitable[None]] | None = None
