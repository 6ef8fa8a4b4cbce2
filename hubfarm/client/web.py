"""The calls of the Web Profile on a hub, for programs that stand in for a page in a browser (SAMP 1.3, 5).

No lock file leads here, and no secret: the user is asked, by whoever listens at the Web Profile's fixed address.
"""

import asyncio
from collections.abc import Mapping

from hubfarm.client.calls import HubCalls
from hubfarm.client.errors import SAMPHubNotNamed
from hubfarm.samp.errors import WrongUse
from hubfarm.samp.lockfile import URL
from hubfarm.samp.methods import WEB_METHODS, WEB_PREFIX
from hubfarm.samp.values import Map, Value
from hubfarm.wire.urls import check_http_url

WEB_URL = "http://localhost:21012/"
"""Where pages look for a hub (SAMP 1.3, 5.2.1)."""

CONSENT = 120.0
"""How long the user has to let a page in, seconds."""


class WebCalls(HubCalls):
    """A hub to call as web pages do; the parameters are those of `HubCalls`."""

    PREFIX = WEB_PREFIX
    METHODS = WEB_METHODS

    translator = ""
    """What stands before a URL that is to be read through the hub (5.2.6)."""

    async def open(self, tokens: Mapping[str, str], owner: int | None = None) -> None:
        """Connect to whoever serves pages at a URL.

        Parameters
        ----------
        tokens : dict of str to str
            As of a lock file; the URL alone counts.
        owner : int, optional
            Does not count here.

        Raises
        ------
        SAMPHubError
            No hub answers there.
        """
        self.close()
        try:
            check_http_url(tokens[URL])
        except WrongUse as error:
            raise SAMPHubNotNamed(f"no hub for web pages: {error}") from None
        self._url = tokens[URL]
        self._slots = asyncio.Semaphore(self._pool_size)
        try:
            await self.call("ping")
        except BaseException:
            self.close()
            raise
        self.tokens = dict(tokens)

    async def register(self, metadata: Map) -> Map:
        """Register as a page; returns once the user has let it in.

        Raises
        ------
        SAMPProxyError
            The user does not.
        """
        name: Value = metadata.get("samp.name", "")
        told = await self.call("register", {"samp.name": name}, timeout=max(CONSENT, self.timeout))
        given = told if isinstance(told, dict) else {}
        self.translator = str(given.get("samp.url-translator", ""))
        return given
