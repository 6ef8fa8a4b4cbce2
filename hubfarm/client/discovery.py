"""Ask hubs whether they answer, all at once."""

import asyncio
from collections.abc import Collection

from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.wire.http_client import HttpClient

PING_TIMEOUT = 2.0
"""How long a hub may take to answer a ping, seconds."""


def answering_hubs(urls: Collection[str], timeout: float = PING_TIMEOUT) -> set[str]:
    """Return those of `urls` behind which a hub answers ``samp.hub.ping`` (SAMP 1.3, 4.3.1).

    Dead and slow ones together cost `timeout` once, as all are asked at the same time.

    Parameters
    ----------
    urls : collection of str
        XML-RPC endpoints of hubs.
    timeout : float
        How long each may take, seconds.

    Examples
    --------
    >>> answering_hubs(["http://127.0.0.1:9/"])
    set()
    """
    if not urls:
        return set()
    return asyncio.run(_ask_all(urls, timeout))


async def _ask_all(urls: Collection[str], timeout: float) -> set[str]:
    distinct = set(urls)
    answers = await asyncio.gather(*(_answers(url, timeout) for url in distinct))
    return {url for url, answered in zip(distinct, answers, strict=True) if answered}


async def _answers(url: str, timeout: float) -> bool:
    """Tell whether a hub answers: with a result, or with a fault of its own."""
    try:
        client = HttpClient(url, connect_timeout=timeout)
        try:
            decode_response(await client.post(encode_call("samp.hub.ping", []), timeout=timeout))
        finally:
            client.close()
    except Fault:
        return False
    except HubfarmError:
        return False
    return True
