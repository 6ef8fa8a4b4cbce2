"""What a client fetches of its hub, where the hub cannot call it (SAMP 1.3, 5.2.4), handed on as `Callback`."""

import asyncio
import logging

from hubfarm.client.callback_server import Callback, Receive
from hubfarm.client.calls import HubCalls
from hubfarm.client.errors import SAMPProxyError
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import Kind
from hubfarm.samp.values import Value, check_map, expect_string

PULL = 60.0
"""How long one pull waits at the hub, seconds: what stands between may close connections on which nothing passes."""

AGAIN_AFTER = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between pulls that fail because the hub does not answer, seconds; the last one from then on."""

_log = logging.getLogger("hubfarm.client")
_KINDS = {kind.value: kind for kind in Kind}


class Puller:
    """Pulls for one client, in a task of the running loop, until it is closed or the hub does not know the client.

    Parameters
    ----------
    hub : HubCalls
        The hub.
    key : str
        The client's private key.
    receive : callable
        See `Receive`; what it may return is awaited before more is handed on.
    """

    def __init__(self, hub: HubCalls, key: str, receive: Receive) -> None:
        self._hub = hub
        self._key = key
        self._receive = receive
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    def close(self) -> None:
        """Pull no more."""
        self._task.cancel()

    async def _go_on(self) -> None:
        failures = 0
        while True:
            try:
                pulled = await self._hub.pull(self._key, PULL)
            except SAMPProxyError as fault:
                _log.info("pulls no more: %s", fault)
                return
            except HubfarmError:  # it is being replaced, say
                await asyncio.sleep(AGAIN_AFTER[min(failures, len(AGAIN_AFTER) - 1)])
                failures += 1
                continue
            failures = 0
            for each in pulled:
                await self._hand_on(each)

    async def _hand_on(self, pulled: Value) -> None:
        try:
            if (under_way := self._receive(callback_of(pulled, self._key))) is not None:
                await under_way
        except (Fault, WrongUse) as error:
            _log.warning("the hub had something that is not understood: %s", error)


def callback_of(pulled: Value, key: str) -> Callback:
    """Return one of the callbacks that a client with the private key `key` has pulled.

    Raises
    ------
    BadValue
        It is none.

    Examples
    --------
    >>> pulled = {"samp.methodName": "receiveNotification", "samp.params": ["c1", {"samp.mtype": "a.b"}]}
    >>> callback_of(pulled, "key").content
    {'samp.mtype': 'a.b'}
    """
    said = check_map(pulled, "what was pulled")
    method = expect_string(said.get("samp.methodName", []), "samp.methodName")
    kind = _KINDS.get(method.rpartition(".")[2])  # some hubs put a prefix before it
    params = said.get("samp.params")
    if kind is None or not isinstance(params, list) or len(params) != len(kind.takes) - 1:
        raise Fault(f"a callback that no client knows: {method[:80]!r}")
    *strings, content = params
    sender, *tag = [expect_string(value, f"a parameter of {method}") for value in strings]
    return Callback(kind, key, sender, tag[0] if tag else None, check_map(content, "a message or response"))
