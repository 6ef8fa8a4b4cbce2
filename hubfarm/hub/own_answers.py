"""What the hub answers itself, as a client among its clients: the MTypes that it is subscribed to.

Each has a function from the message's parameters and the time to the result.
"""

from collections.abc import Callable, Mapping, Sequence

from hubfarm.hub.model import HUB_ID, Client
from hubfarm.samp.values import Map, expect_string
from hubfarm.samp.xmlrpc import EncodedMap


def own_answers(
    metadata: EncodedMap, clients: Mapping[str, Client], watchers: Callable[[], Sequence[str]]
) -> dict[str, Callable[[Map, float], Map]]:
    """Return the function for each MType.

    Parameters
    ----------
    metadata : EncodedMap
        The hub's own.
    clients : dict of str to Client
        The registered clients, by id, as they come and go.
    watchers : callable
        Returns the names of those who watch the hub.
    """

    def query_by_metadata(params: Map, _now: float) -> Map:
        key = expect_string(params.get("key", []), "the parameter key")
        value = expect_string(params.get("value", []), "the parameter value")
        everybody = [(HUB_ID, metadata), *((client.id, client.metadata) for client in clients.values())]
        return {"ids": [client_id for client_id, declared in everybody if declared.outline.get(key) == value]}

    def query_clients(_params: Map, now: float) -> Map:
        """Tell of each client since when it is here, what it has sent and what waits for it; and who watches all."""
        return {
            "clients": {
                client.id: {
                    "registered": f"{now - client.since:.3f}",
                    "messages": str(client.messages),
                    "queued": str(client.queued),
                }
                for client in clients.values()
            },
            "watchers": list(watchers()),
        }

    return {
        "samp.app.ping": lambda _params, _now: {},
        "samp.query.by-meta": query_by_metadata,
        "x-samp.query.by-meta": query_by_metadata,
        "hubfarm.query.clients": query_clients,
    }
