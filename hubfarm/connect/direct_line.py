"""A line without a far end of ours: the hub itself speaks TLS, and is called from here over connections that stay."""

import asyncio

from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubUnreachable
from hubfarm.connect.far_hub import FarHub
from hubfarm.connect.line import Line
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import SECRET
from hubfarm.samp.methods import STANDARD_PREFIX
from hubfarm.samp.xmlrpc import encode_call
from hubfarm.spec.connection_spec import ConnectionSpec

LOOK_EVERY = 3.0
"""Between two looks whether the hub answers, seconds."""

ANSWERS_IN = 7.0
"""How long it may take to answer then, seconds."""

_PING = encode_call(f"{STANDARD_PREFIX}ping", [])


class DirectLine(Line):
    """A line over TLS.

    Parameters
    ----------
    spec : ConnectionSpec
        Where to.
    """

    def __init__(self, spec: ConnectionSpec) -> None:
        super().__init__(spec.label)
        self._hub = FarHub(Choice(hub=spec.address))
        self._doubt = asyncio.Event()
        self._calls: set[asyncio.Task[bytes]] = set()

    async def make(self) -> None:
        await self._hub.open()
        self.secret = self._hub.tokens[SECRET]

    async def stay(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._doubt.wait()
            except TimeoutError:
                pass
            self._doubt.clear()
            try:
                async with asyncio.timeout(ANSWERS_IN):
                    await self._hub.call(_PING, seconds=ANSWERS_IN)
            except TimeoutError:
                raise SAMPHubUnreachable(f"the hub has not answered for {ANSWERS_IN:g} s") from None

    async def cut(self) -> None:
        self._hub.close()
        for call in self._calls:
            call.cancel()

    async def pass_on(self, body: bytes, fields: bytes, seconds: float) -> bytes:
        call = asyncio.ensure_future(self._hub.call(body, fields, seconds))
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            if not self.up.is_set() and call.cancelled():
                raise SAMPHubUnreachable("the line was lost") from None
            raise
        except HubfarmError:
            self._doubt.set()
            raise
        finally:
            self._calls.discard(call)
            call.cancel()
