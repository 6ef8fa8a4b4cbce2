"""A command as a client of a hub: for as long as it takes, and known as such by its metadata."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubfarm.cli.asking import NOBODY, Who
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.client.membership import called
from hubfarm.client.others import COMMAND, as_map
from hubfarm.farm import Farm
from hubfarm.samp.errors import HubfarmError


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
    with SAMPIntegratedClient("hubfarm", about, {COMMAND: command}, callable=callable, in_order=True) as client:
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
