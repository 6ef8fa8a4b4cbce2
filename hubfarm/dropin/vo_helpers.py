"""pyvo's short forms of sending, for its own connection or ours: functions of a client that is connected."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

from hubfarm.client.data import write_table
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.samp.toolkit import SAMPWarning

__all__ = [
    "accessible_table",
    "connection",
    "find_client_id",
    "send_image_to",
    "send_product_to",
    "send_spectrum_to",
    "send_table_to",
]

_LOAD_TIMEOUT = "10"
"""How long a client may take to load a table, seconds."""

_MAKING = frozenset(signature(SAMPIntegratedClient).parameters)


@contextmanager
def connection(
    client_name: str = "hubfarm client", description: str = "A generic client of hubfarm", **kwargs: Any
) -> Iterator[SAMPIntegratedClient]:
    """Have a client that is connected for as long as a block runs.

    Parameters
    ----------
    client_name, description : str
        What others see of it.
    **kwargs
        What `SAMPIntegratedClient` takes, and what its ``connect`` takes: ``label="mima-2"``.

    Raises
    ------
    SAMPHubError
        There is no such hub, or it does not answer.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> hubs = Farm().start(label="mima")
    >>> with connection("me", label="mima") as conn:
    ...     conn.get_metadata(conn.get_public_id())["samp.name"]
    'me'
    """
    making = {name: value for name, value in kwargs.items() if name in _MAKING}
    with SAMPIntegratedClient(client_name, description, **making) as client:
        client.connect(**{name: value for name, value in kwargs.items() if name not in _MAKING})
        yield client


def find_client_id(conn: Any, name: str) -> str:
    """Return the public id of the client that is called `name`.

    Raises
    ------
    KeyError
        No client of the hub is.
    """
    for client in conn.get_registered_clients():
        if conn.get_metadata(client).get("samp.name") == name:
            return str(client)
    raise KeyError(name)


def send_table_to(conn: Any, table: Any, client_name: str | None = None, name: str = "data") -> None:
    """Send a table, and return once it was loaded.

    Parameters
    ----------
    conn : SAMPIntegratedClient
        The sender.
    table : Table or VOTableFile
        astropy's.
    client_name : str, optional
        To whom; by default to all that take tables: who does not load it is warned of.
    name : str
        What they shall call it.

    Raises
    ------
    KeyError
        There is no such client.
    xmlrpc.client.Fault
        The client named does not load it within 10 s.
    """
    with accessible_table(table) as url:
        message = {"samp.mtype": "table.load.votable", "samp.params": {"url": url, "name": name}}
        if client_name is not None:
            conn.call_and_wait(find_client_id(conn, client_name), message, _LOAD_TIMEOUT)
            return
        for client in conn.get_subscribed_clients("table.load.votable"):
            try:
                conn.call_and_wait(client, message, _LOAD_TIMEOUT)
            except SAMPProxyError as error:
                warnings.warn(f"{client} did not load the table {name}: {error}", SAMPWarning, stacklevel=2)


def send_product_to(conn: Any, url: str, mtype: str, client_name: str | None = None, name: str = "data") -> None:
    """Tell a client, or all that take them, to load something; without waiting.

    Parameters
    ----------
    conn : SAMPIntegratedClient
        The sender.
    url : str
        Where it lies.
    mtype : str
        What it is: ``image.load.fits``, say.
    client_name : str, optional
        To whom; by default to all.
    name : str
        What they shall call it.

    Raises
    ------
    KeyError
        There is no such client.
    """
    message = {"samp.mtype": mtype, "samp.params": {"url": url, "name": name}}
    if client_name is None:
        conn.notify_all(message)
    else:
        conn.notify(find_client_id(conn, client_name), message)


def send_spectrum_to(conn: Any, url: str, client_name: str | None = None, name: str = "data") -> None:
    """Tell a client, or all that take them, to load a spectrum; see `send_product_to`."""
    send_product_to(conn, url, "spectrum.load.ssa-generic", client_name, name)


def send_image_to(conn: Any, url: str, client_name: str | None = None, name: str = "data") -> None:
    """Tell a client, or all that take them, to load a FITS image; see `send_product_to`."""
    send_product_to(conn, url, "image.load.fits", client_name, name)


@contextmanager
def accessible_table(table: Any) -> Iterator[str]:
    """Have the URL of a file with a table for as long as a block runs.

    Parameters
    ----------
    table : Table or VOTableFile
        astropy's.
    """
    with tempfile.TemporaryDirectory(prefix="hubfarm-sent-") as directory:
        path = Path(directory) / "table.xml"
        write_table(table, path)
        yield path.as_uri()
