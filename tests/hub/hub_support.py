"""A pure hub to play with: how tests make one, fill it, and look at it from outside."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytest

from hubfarm.hub.core import Hub
from hubfarm.hub.model import Client, Delivery, Departure, Effect
from hubfarm.hub.routes import Push
from hubfarm.samp.errors import BadValue, Fault
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import ANYBODY
from hubfarm.wire.http_messages import Ends, Request

OK: dict[str, Any] = {"samp.status": "samp.ok", "samp.result": {"answer": "42"}}

HUB_METADATA: dict[str, Any] = {"samp.name": "Hub"}


def post(body: bytes, peer: str = "", **headers: bytes) -> Request:
    """Return the HTTP request in which a body comes from an address."""
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Request(b"POST", b"/xmlrpc", named, body, Ends(peer))


def make_hub(**limits: int) -> Hub:
    """Return a hub whose clients get the keys key-1, key-2 and so on."""
    numbers = itertools.count(1)
    return Hub(HUB_METADATA, limits=Limits(**limits), new_key=lambda: f"key-{next(numbers)}", now=0.0)


def join(hub: Hub, *patterns: str, name: str = "", url: str = "http://127.0.0.1:9/", now: float = 0.0) -> Client:
    """Register a client, callable at `url` and subscribed to `patterns`."""
    client = hub.client_with_key(hub.register(ANYBODY, now).result["samp.private-key"])  # type: ignore
    hub.set_route(client, Push(url) if url else None, now)
    if name:
        hub.declare_metadata(client, {"samp.name": name}, now)
    hub.declare_subscriptions(client, {pattern: {} for pattern in patterns}, now)
    return client


def deliveries(effects: Iterable[Effect], to: Client | None = None) -> list[Delivery]:
    """Return the deliveries among effects, to one client if it is given."""
    return [effect for effect in effects if isinstance(effect, Delivery) and to in (None, effect.to)]


def departed(effects: Iterable[Effect]) -> list[Client]:
    """Return the clients that effects say are gone."""
    return [effect.client for effect in effects if isinstance(effect, Departure)]


def mtypes_to(effects: Iterable[Effect], client: Client) -> list[Any]:
    """Return the MTypes of the messages that go to one client."""
    return [each.payload.value.get("samp.mtype") for each in deliveries(effects, client)]


def snapshot(hub: Hub) -> Any:
    """Return all that can be seen of a hub's state."""
    return asdict(hub.counters), hub.last_active, [asdict(client) for client in hub.clients]


@contextmanager
def refused(hub: Hub, match: str | None = None) -> Iterator[None]:
    """Expect a fault that leaves the hub as it was."""
    before = snapshot(hub)
    with pytest.raises((Fault, BadValue), match=match):
        yield
    assert snapshot(hub) == before
