"""A bridge as a process: its life, and what it tells of itself.

SIGTERM ends it in order, SIGHUP opens its log anew.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from loguru import logger

from hubfarm.bridge.bridge import Bridge
from hubfarm.bridge.exports import Exports
from hubfarm.bridge.reach import ByLockFile
from hubfarm.bridge.side import Side
from hubfarm.client.discovery import Choice
from hubfarm.registry.bridges import Bridges, BridgeState, EndState
from hubfarm.registry.wished import Wish
from hubfarm.spec.bridge_spec import BridgeSpec
from hubfarm.wire.connections import raise_descriptor_limit

TELL_EVERY = 0.5
"""How often it may tell of itself, seconds."""


def choice_of(hub: str) -> Choice:
    """Return which hub is meant: by its label, or by its lock file's path or URL.

    Examples
    --------
    >>> choice_of("mima-1").label, choice_of("/home/x/.samp").hub
    ('mima-1', '/home/x/.samp')
    """
    return Choice(hub=hub) if "/" in hub else Choice(label=hub)


async def serve(
    wish: Wish[BridgeSpec], bridges: Bridges, reopen_log: Callable[[], None], ready: Callable[[], None]
) -> None:
    """Be the bridge until a signal ends it, in the running event loop."""
    spec = wish.spec
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, reopen_log)
    exports = Exports() if spec.export_urls else None
    bridge = Bridge([ByLockFile(choice_of(hub)) for hub in spec.hubs], wish.by, exports)
    former = bridges.keys(spec.name)
    for hub, side in zip(spec.hubs, bridge.sides, strict=True):
        side.former_keys = former.get(hub, [])
    since = time.time()
    running = asyncio.create_task(bridge.run())
    running.add_done_callback(lambda _: ended.set())
    told, kept = None, former
    ready()
    while not ended.is_set():
        state = BridgeState(pid=os.getpid(), since=since, ends=_ends(spec, bridge))
        if state != told:
            await asyncio.to_thread(bridges.tell, spec.name, state)
            told = state
        keys = {hub: side.keys() for hub, side in zip(spec.hubs, bridge.sides, strict=True)}
        if keys != kept:
            await asyncio.to_thread(bridges.keep_keys, spec.name, keys)
            kept = keys
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELL_EVERY):
                await ended.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    if exports is not None:
        await exports.close()
    logger.info("ended")


def _ends(spec: BridgeSpec, bridge: Bridge) -> list[EndState]:
    return [_end(hub, side, bridge) for hub, side in zip(spec.hubs, bridge.sides, strict=True)]


def _end(hub: str, side: Side, bridge: Bridge) -> EndState:
    proxies = [proxy for proxy in bridge.proxies() if proxy.away is side]
    missing = [proxy for proxy in proxies if proxy.trouble and not proxy.is_there] if side.is_up else []
    return EndState(
        hub=hub,
        label=side.label,
        joined=side.is_up,
        clients=len(side.real_clients()),
        proxies=sum(proxy.is_there for proxy in proxies),
        missing=len(missing),
        trouble=side.trouble or next((proxy.trouble for proxy in missing), ""),
    )


def run(wish: Wish[BridgeSpec], bridges: Bridges, reopen_log: Callable[[], None], ready: Callable[[], None]) -> None:
    """Be a bridge, as all of this process."""
    import uvloop

    raise_descriptor_limit()
    uvloop.run(serve(wish, bridges, reopen_log, ready))
