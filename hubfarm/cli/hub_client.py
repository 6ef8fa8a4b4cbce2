"""A command as a client of a hub: for as long as it takes, and known as such by its metadata."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubfarm.cli.asking import NOBODY, Who
from hubfarm.cli.show import compact
from hubfarm.client.data import DATA_TIMEOUT
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.samp.errors import HubfarmError

COMMAND = "hubfarm.command"
"""The metadata key under which our commands say which one they are."""


@contextmanager
def command_on(
    selector: str, command: str, who: Who = NOBODY, *, callable: bool = False
) -> Iterator[SAMPIntegratedClient]:
    """Be a client of the hub that `selector` names.

    Parameters
    ----------
    selector : str
        See `Farm.find`.
    command : str
        Which command it is.
    who : Who
        As whom it enters; nobody in particular has the ticket that ``SAMP_HUB`` names, if it is one for that hub.
    callable : bool
        Whether it is to get messages.
    """
    with client_of(Farm().find(selector).lock_file, command, who, callable=callable) as client:
        yield client


@contextmanager
def client_of(
    lock_file: Path, command: str, who: Who = NOBODY, *, callable: bool = False
) -> Iterator[SAMPIntegratedClient]:
    """Be a client of the hub that a lock file leads to; see `command_on`."""
    about = "The command line of hubfarm"
    with SAMPIntegratedClient("hubfarm", about, {COMMAND: command}, callable=callable) as client:
        if who.user:
            client.connect(lock_file, user=who.user, password=who.password())
        else:
            client.connect(lock_file, ticket=Farm().ticket_at_hand(lock_file) or "")
        yield client


class Names:
    """What a hub's clients are called, for people: ``TOPCAT (c24)``.

    Parameters
    ----------
    client : SAMPIntegratedClient
        Asks the hub for those that are not known yet.
    """

    def __init__(self, client: SAMPIntegratedClient) -> None:
        self._client = client
        self._names: dict[str, str] = {}

    def learn(self, id: str, metadata: object) -> None:
        """Keep the name that a client's metadata says."""
        self._names[id] = str(as_map(metadata).get("samp.name", ""))

    def of(self, id: str) -> str:
        """Return what a client is called; its id alone if it has no name, or has left."""
        if id not in self._names:
            metadata: object = {}
            with contextlib.suppress(HubfarmError):
                metadata = self._client.get_metadata(id)
            self.learn(id, metadata)
        return called(self._names[id], id)


def called(name: str, id: str) -> str:
    """Return what people are shown of a client.

    Examples
    --------
    >>> called("TOPCAT", "c24"), called("", "c3")
    ('TOPCAT (c24)', 'c3')
    """
    return f"{name} ({id})" if name else id


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


def _what_the_hub_knows(client: SAMPIntegratedClient) -> dict[str, dict[str, float | int]]:
    hub = client.client.membership.hub_id
    if hub not in as_map(client.get_subscribed_clients("hubfarm.query.clients")):
        return {}  # a foreign hub tells nothing of it
    response = client.ecall_and_wait(hub, "hubfarm.query.clients", DATA_TIMEOUT)
    check(response, hub)
    told: dict[str, dict[str, float | int]] = {}
    for id, known in as_map(as_map(response.get("samp.result")).get("clients")).items():
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
        raise HubfarmError(f"{who} answered with {compact(response)[:200]}, which is no response")
