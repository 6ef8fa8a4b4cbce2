"""What a client is told of the others on its hub, for people to see: who is there, and since when.

All of it is other people's: what is not as SAMP has it is passed over.
"""

import contextlib
from typing import Any

from hubfarm.client.data import DATA_TIMEOUT
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.samp.errors import HubfarmError
from hubfarm.visible import brief

COMMAND = "hubfarm.command"
"""The metadata key under which our own commands and the dashboard say which one they are."""


def clients_on(client: SAMPIntegratedClient) -> list[dict[str, Any]]:
    """Return what the hub says of each other client.

    Returns
    -------
    list of dict
        ``id``, ``metadata``, ``subscriptions``; ``registered`` (since when, seconds) and ``messages`` (that it has
        sent), None if it is a foreign hub.
    """
    known = _what_the_hub_knows(client)
    found = []
    for id in client.get_registered_clients():
        with contextlib.suppress(SAMPProxyError):  # it has left meanwhile
            told = {"metadata": client.get_metadata(id), "subscriptions": client.get_subscriptions(id)}
            found.append(
                {"id": str(id)}
                | {key: as_map(value) for key, value in told.items()}
                | known.get(id, {"registered": None, "messages": None})
            )
    return found


def watchers_of(client: SAMPIntegratedClient) -> list[str]:
    """Return who sees what all clients of the hub say to each other, as they call themselves."""
    watchers = _what_the_hub_tells(client).get("watchers")
    return [brief(str(each), 200) for each in watchers] if isinstance(watchers, list) else []


def _what_the_hub_tells(client: SAMPIntegratedClient) -> dict[str, Any]:
    hub = client.client.membership.hub_id
    if hub not in as_map(client.get_subscribed_clients("hubfarm.query.clients")):
        return {}  # a foreign hub tells nothing of it
    response = client.ecall_and_wait(hub, "hubfarm.query.clients", DATA_TIMEOUT)
    check(response, hub)
    return as_map(response.get("samp.result"))


def _what_the_hub_knows(client: SAMPIntegratedClient) -> dict[str, dict[str, float | int]]:
    told: dict[str, dict[str, float | int]] = {}
    for id, known in as_map(_what_the_hub_tells(client).get("clients")).items():
        with contextlib.suppress(KeyError, TypeError, ValueError):  # another's hub may mean something else by it
            told[id] = {"registered": float(known["registered"]), "messages": int(known["messages"])}
    return told


def as_map(value: Any) -> dict[str, Any]:
    """Return what a hub answered where SAMP has a map, or an empty one if it did not."""
    return value if isinstance(value, dict) else {}


def check(response: Any, who: str) -> None:
    """Refuse a response that is not good.

    Raises
    ------
    HubfarmError
        It tells of an error, or is none.
    """
    status = as_map(response).get("samp.status")
    if status == "samp.error":
        text = as_map(response.get("samp.error")).get("samp.errortxt", "")
        raise HubfarmError(f"{who} answered with an error: {text}")
    if status not in ("samp.ok", "samp.warning"):
        raise HubfarmError(f"{who} answered with {brief(str(response), 200)}, which is no response")
