"""The hub at the far end of a line: what was called there is passed on to it as it is.

A hub whose worker is being replaced is waited for.  Nothing is sent twice that it may have seen.
"""

import asyncio
import contextlib

from hubfarm.access.genuine import present
from hubfarm.client.calls import HubCalls
from hubfarm.client.discovery import Choice
from hubfarm.client.errors import SAMPHubUnreachable
from hubfarm.samp.errors import HubfarmError
from hubfarm.wire.http_client import BadAnswer, HttpError, Unreachable

COMES_BACK = 10.0
"""How long a hub that does not answer is waited for, seconds: as long as a fallen worker takes to be replaced."""

GONE_AFTER = 5.0
"""A hub of this host that has no lock file for so long has ended, seconds: a guard is put back in 3.5 s."""

LOOK_EVERY = 1.0
"""Between two looks whether it has, seconds."""

AGAIN = 0.2
"""Between two looks whether it is back, seconds."""

MOST_AT_ONCE = 10_000
"""Calls that may be under way: a client that waits for what it is sent is one of them."""


class FarHub:
    """A hub that calls are passed on to.

    Parameters
    ----------
    choice : Choice
        Which hub it is.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._calls = HubCalls(pool_size=MOST_AT_ONCE)
        self._opening = asyncio.Lock()

    @property
    def tokens(self) -> dict[str, str]:
        """What its lock file says."""
        return self._calls.tokens

    async def open(self) -> None:
        """Find the hub.

        Raises
        ------
        HubfarmError
            There is none, it does not answer, or is not the one that is meant.
        """
        found = await self._choice.find(self._calls.timeout)
        await self._calls.open(found.tokens, found.owner)

    async def call(self, body: bytes, fields: bytes = b"", seconds: float = COMES_BACK) -> bytes:
        """Pass a call on, and return the answer as it came.

        Parameters
        ----------
        body, fields : bytes
            The call, and header fields for it.
        seconds : float
            How long the answer may take.

        Raises
        ------
        SAMPHubUnreachable
            The hub does not answer.
        """
        until = asyncio.get_running_loop().time() + COMES_BACK
        while True:
            try:
                return await self._calls.pass_on(body, fields, seconds)
            except BadAnswer as error:
                raise SAMPHubUnreachable(f"the hub has not answered as a hub does: it {error}") from None
            except Unreachable as error:
                trouble: HubfarmError = error
            except HttpError as error:
                raise SAMPHubUnreachable(f"the hub has not answered: {error}; it may have taken the call") from None
            except HubfarmError as error:  # it was lost, and is being found again
                trouble = error
            if asyncio.get_running_loop().time() >= until:
                raise SAMPHubUnreachable(f"the hub does not answer: {trouble}")
            await asyncio.sleep(AGAIN)
            await self._look_for_it()

    async def _look_for_it(self) -> None:
        if self._opening.locked():
            return
        async with self._opening:
            with contextlib.suppress(HubfarmError):  # it is looked for again
                await self.open()

    async def has_ended(self) -> None:
        """Return once the hub has ended, and does not come back."""
        gone_since = None
        while gone_since is None or asyncio.get_running_loop().time() < gone_since + GONE_AFTER:
            await asyncio.sleep(LOOK_EVERY)
            if await asyncio.to_thread(present, self.tokens) is not None:
                gone_since = None
            elif gone_since is None:
                gone_since = asyncio.get_running_loop().time()

    def close(self) -> None:
        """Leave it."""
        self._calls.close()
