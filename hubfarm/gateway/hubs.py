"""The farm's hubs as the gateway sees them: which there are, which one a page's private key is of, where its door is.

All is read from the lock files, so that a gateway that was killed, or a hub, is found again by the same keys.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from hubfarm.client.credentials import Credentials
from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import HubNames, select
from hubfarm.registry.statetable import read_records
from hubfarm.registry.wanted import Wanted
from hubfarm.samp import lockfile
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import TLS_CERTIFICATE
from hubfarm.spec.states import HubKind
from hubfarm.wire.web_door import door_credential, hub_token

PATIENCE = 5.0
"""How long a hub that is wanted may take to be there, seconds."""

AGAIN = 0.05
"""Between two looks whether it is, seconds."""

FRESH = 1.0
"""How long what was read of the lock files counts, seconds."""


@dataclass(frozen=True, slots=True)
class WebHub:
    """One hub that pages can enter.

    Parameters
    ----------
    names : HubNames
        What it may be called by.
    url : str
        Its XML-RPC endpoint.
    token : str
        What the private keys of its pages begin with.
    door : str
        What opens its door; a secret.
    clients : int
        How many it has.
    known_by : SSLContext or None
        By what its certificate is known, if it speaks TLS.
    """

    names: HubNames
    url: str
    token: str
    door: str
    clients: int = 0
    known_by: ssl.SSLContext | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return self.names.label or str(self.names.name)


class Hubs:
    """The hubs of one farm.

    Parameters
    ----------
    paths : Paths
        Where its files lie.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lockdir = LockDir(paths)
        self._hubs: list[WebHub] = []
        self._by_token: dict[str, WebHub] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._read_at = -FRESH
        self._reading = asyncio.Lock()

    async def all(self, *, anew: bool = False) -> Sequence[WebHub]:
        """Return those that live; what was read within a second counts, unless it is asked for anew."""
        asked = time.monotonic()
        if anew or asked - self._read_at >= FRESH:
            async with self._reading:
                if self._read_at < asked:
                    moment = time.monotonic()
                    self._hubs = await asyncio.to_thread(self._read)
                    self._by_token = {hub.token: hub for hub in self._hubs}
                    self._read_at = moment
        return self._hubs

    async def of_key(self, key: str, *, anew: bool = False) -> WebHub | None:
        """Return the living hub that a private key is of, if there is one.

        Its guard is looked at each time: another account may have got the port of one that has died.
        """
        token = key.partition(".")[0]
        if not anew and (known := self._by_token.get(token)) and self._lives(known):
            return known
        await self.all(anew=anew or token not in self._by_token)
        found = self._by_token.get(token)
        return found if found and self._lives(found) else None

    def _lives(self, hub: WebHub) -> bool:
        return hub.names.name is not None and self._lockdir.is_alive(hub.names.name)

    async def find(self, selector: str) -> WebHub:
        """Return the hub that a selector names.

        Raises
        ------
        WrongUse
            It names none, or several.
        """
        return select(list(await self.all(anew=True)), selector)

    async def find_living(self, label: str = "") -> WebHub | None:
        """Return the hub that is called exactly so, or any if none is named; one being replaced is waited for."""
        deadline = time.monotonic() + PATIENCE
        anew = False
        while True:
            for hub in await self.all(anew=anew):
                if label in ("", hub.label) and self._lives(hub):
                    return hub
            wanted = await asyncio.to_thread(self._wanted_labels)
            if not (label in wanted if label else wanted) or time.monotonic() >= deadline:
                return None
            await asyncio.sleep(AGAIN)
            anew = True

    def _wanted_labels(self) -> set[str]:
        return {wish.spec.label for wish in Wanted(self._paths).all() if wish.boot == boot_id()}

    async def to_choose(self, last: str) -> list[WebHub]:
        """Return the hubs in the order in which they are offered.

        Parameters
        ----------
        last : str
            The label of the hub that the page was on last; empty if that is not known.
        """
        default = _default(self._paths)
        return sorted(
            await self.all(anew=True),
            key=lambda hub: (hub.label != last, hub.names.name != default, -hub.clients, _number(hub)),
        )

    def _read(self) -> list[WebHub]:
        try:
            entries = self._lockdir.living()
            records = read_records(self._paths.state_table)
        except HubfarmError:
            return []
        return [
            WebHub(
                names=entry.names,
                url=entry.url,
                token=hub_token(entry.tokens[lockfile.SECRET]),
                door=door_credential(entry.tokens[lockfile.SECRET]),
                clients=records[entry.name].clients if entry.name in records else 0,
                known_by=self._known_by(entry) if entry.url.startswith("https:") else None,
            )
            for entry in entries
            if _has_a_door(entry)
        ]

    def _known_by(self, entry: Entry) -> ssl.SSLContext | None:
        certificate = entry.tokens.get(TLS_CERTIFICATE, "")
        if certificate not in self._contexts:
            try:
                self._contexts[certificate] = Credentials().contexts(entry.tokens)[0]
            except HubfarmError as error:
                logger.warning("the certificate of {} is not to be read: {}", entry.names, error)
                return None
        return self._contexts[certificate]


def _has_a_door(entry: Entry) -> bool:
    is_here = entry.tokens.get("hubfarm.kind") != HubKind.CONNECTED  # pages of another host's hub are let in there
    return is_here and entry.standing is Standing.ALIVE and not entry.problem and entry.name is not None


def _default(paths: Paths) -> object:
    """Return the ``<PID>-<ID>`` of the hub that ``~/.samp`` leads to, if it is one of ours."""
    try:
        return LockDir(paths).read(Path(paths.single)).name
    except (OSError, WrongUse):
        return None


def _number(hub: WebHub) -> int:
    return hub.names.name.id if hub.names.name else 0
