"""Who is on a hub, as one of its clients follows it: by a list at the start, and by the hub's events from then on."""

from dataclasses import dataclass, field

from hubfarm.samp.values import Map, Value

EVENTS: Map = {"samp.hub.event.*": {}, "samp.hub.disconnect": {}}
"""What the follower is subscribed to (SAMP 1.3, 6.1)."""


@dataclass(slots=True)
class Client:
    """One client.

    Parameters
    ----------
    metadata, subscriptions : Map
        What it has declared.
    described : bool
        It has declared metadata, or was given the time to.
    """

    metadata: Map = field(default_factory=dict)
    subscriptions: Map = field(default_factory=dict)
    described: bool = False


class Roster:
    """The clients of one hub, by their public ids, in the order of their coming."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self._told: set[tuple[str, str]] = set()

    def hear(self, mtype: str, params: Map) -> str | None:
        """Take in an event of the hub; return the id of the client that it is about, if it is about one.

        An event that does not say what it has to is passed over.
        """
        id = params.get("id")
        if not isinstance(id, str):
            return None
        match mtype.removeprefix("samp.hub.event."), params:
            case "register", _:
                self.clients.setdefault(id, Client())
            case "unregister", _:
                self.clients.pop(id, None)
            case "metadata", {"metadata": dict(metadata)}:
                self.describe(id, metadata)
                self._told.add((id, "metadata"))
            case "subscriptions", {"subscriptions": dict(subscriptions)}:
                self.clients.setdefault(id, Client()).subscriptions = subscriptions
                self._told.add((id, "subscriptions"))
            case _:
                return None
        return id

    def describe(self, id: str, metadata: Map) -> None:
        """Take in a client's metadata."""
        one = self.clients.setdefault(id, Client())
        one.metadata, one.described = metadata, one.described or bool(metadata)

    def answer(self, id: str, metadata: Value, subscriptions: Value) -> None:
        """Take in what the hub has answered about a client; what it has told meanwhile is newer, and stays."""
        one = self.clients.get(id)
        if one is None:
            return  # it has left meanwhile
        if isinstance(metadata, dict) and (id, "metadata") not in self._told:
            self.describe(id, metadata)
        if isinstance(subscriptions, dict) and (id, "subscriptions") not in self._told:
            one.subscriptions = subscriptions
