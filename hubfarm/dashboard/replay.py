"""Messages sent again, to one client: how a fault in a program is found that some message has brought out."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubfarm.client.aio import AsyncClient
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.xmlrpc import decode_value
from hubfarm.spec.watching import Sent
from hubfarm.visible import brief

PATIENCE = 30
"""So long an answer is waited for, seconds."""

LONGEST_PAUSE = 10.0
"""A pause that there was is not made longer than this, seconds."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be sent again.

    Parameters
    ----------
    messages : sequence of Sent
        In their order.
    to : str
        The client's id.
    pauses : bool
        With the pauses that there were; otherwise one after the other, each when the last one is answered.
    """

    messages: Sequence[Sent]
    to: str
    pauses: bool = False


async def replay(wish: Replay, tokens: Mapping[str, str], door: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Send them; yield for each what became of it.

    Parameters
    ----------
    wish : Replay
        What, and to whom.
    tokens : mapping
        The content of the hub's lock file.
    door : mapping
        By what the hub is entered; see `House.door`.

    Raises
    ------
    HubfarmError
        The hub cannot be entered.
    """
    about = "Sends messages again, for the dashboard of hubfarm"
    async with AsyncClient("hubfarm replay", about, callable=False, hub_params=tokens, **door) as client:
        before = 0.0
        for place, sent in enumerate(wish.messages, 1):
            if wish.pauses and before:
                await asyncio.sleep(min(max(sent.at - before, 0.0), LONGEST_PAUSE))
            before = sent.at
            yield {"number": sent.number, "mtype": sent.mtype, "place": place, "of": len(wish.messages)} | await _send(
                client, wish.to, sent
            )


async def _send(client: AsyncClient, to: str, sent: Sent) -> dict[str, Any]:
    if not sent.xml:
        return {"status": "left out", "reason": f"it was too long to be kept: {sent.size} bytes"}
    message, begun = decode_value(sent.xml), time.monotonic()
    assert isinstance(message, dict)  # it was one when it was heard, or loaded
    try:
        if not sent.how.startswith("call"):
            await client.notify(to, message)
            return {"status": "sent", "took": time.monotonic() - begun}
        response = await client.call_and_wait(to, message, str(PATIENCE))
    except Fault as fault:
        return {"status": "refused", "reason": brief(str(fault), 300)}
    except HubfarmError as failure:
        return {"status": "failed", "reason": brief(str(failure), 300)}
    told = response if isinstance(response, dict) else {}
    error = told.get("samp.error")
    reason = str(error.get("samp.errortxt", "")) if isinstance(error, dict) else ""
    status = str(told.get("samp.status", "no response"))
    return {"status": status, "took": time.monotonic() - begun, "reason": brief(reason, 300), "response": told}
