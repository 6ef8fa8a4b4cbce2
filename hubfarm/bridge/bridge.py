"""The bridge: for each client of each hub a proxy on every other one, and messages passed on as what they are.

Theory of operation: a message to a proxy is sent on to the client that it stands for, by the proxy that stands for the
sender there; so both ends see who they talk to, and replies find their way back.  The hub that calls a proxy is
answered once the other hub has taken the message: order, bounds and what is kept over a crash are the hubs', and the
bridge holds no queue.  A broadcast is called to each proxy that is subscribed, and each passes it to one client, never
to all: so it reaches each client once, and comes round no circle.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from loguru import logger

from hubfarm.bridge.exports import Place, Serve, serve_alone
from hubfarm.bridge.icons import Icons
from hubfarm.bridge.marks import has_rival, proxy_metadata, proxy_subscriptions
from hubfarm.bridge.proxy import Proxy, Wanted
from hubfarm.bridge.reach import Reach
from hubfarm.bridge.side import Side
from hubfarm.client.callback_server import Callback
from hubfarm.client.errors import SAMPProxyError
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.methods import Kind
from hubfarm.samp.values import Map

SENDER_COMES_IN = 5.0
"""How long a message waits until its sender has a proxy, seconds: one that has just registered has none yet."""

MOST_CALLS = 10_000
"""Calls that may wait for their reply."""


class _Call(NamedTuple):
    """A call that was passed on, and waits for its reply.

    Parameters
    ----------
    to : Proxy
        Whom it was made to; it replies.
    msg_id : str
        By which its hub knows the call.
    """

    to: Proxy
    msg_id: str


class Files(Protocol):
    """Who sees to the files that messages name."""

    async def exported(self, content: Map, origin: Place, goal: Place) -> Map:
        """Return a message or response from one hub as another hub's clients can use it."""


class Bridge:
    """Joins hubs, in the running event loop.

    Parameters
    ----------
    hubs : sequence of Reach
        How to get to each.
    by : str
        Which bridge this is, among those that might join the same hubs; the older comes before, as text.
    files : Files, optional
        Sees to the files that messages name; without it they are named as they are.
    serve : callable
        Returns what serves icons at an address of this host.
    """

    def __init__(
        self,
        hubs: Sequence[Reach],
        by: str,
        files: Files | None = None,
        serve: Serve = serve_alone,
    ) -> None:
        self._by = by
        self._files = files
        self._icons = Icons(self._look_at_all, serve)
        self.sides = [Side(number, reach, by, self) for number, reach in enumerate(hubs)]
        self._proxies: dict[tuple[int, str, int], Proxy] = {}
        self._calls: dict[str, _Call] = {}
        self._next = 0

    async def run(self) -> None:
        """Join the hubs until cancelled; then leave them."""
        try:
            async with asyncio.TaskGroup() as living:
                for side in self.sides:
                    living.create_task(side.run())
        finally:
            await self._icons.close()

    def proxies(self) -> list[Proxy]:
        """Return those that are on a hub, or ought to be."""
        return list(self._proxies.values())

    def _look_at_all(self) -> None:
        for proxy in self.proxies():
            proxy.look()

    # ------------------------------------------------------------------ who is to be where

    def side_changed(self, side: Side) -> None:
        """See `hubfarm.bridge.side.Watcher`."""
        if not side.is_up:
            for proxy in self._proxies.values():
                if proxy.away is side:
                    proxy.forget()
                    self._calls_to(proxy)  # nobody is there to hear of them
        for client in side.real_clients():
            self._look_at(side, client)
        for proxy in self.proxies():
            if side in (proxy.home, proxy.away):
                proxy.look()

    def client_changed(self, side: Side, client: str) -> None:
        """See `hubfarm.bridge.side.Watcher`."""
        self._look_at(side, client)

    def rivals_changed(self, side: Side) -> None:
        """See `hubfarm.bridge.side.Watcher`."""
        for proxy in self.proxies():
            if proxy.away is side:
                proxy.look()

    def _look_at(self, home: Side, client: str) -> None:
        is_real = home.real_client(client) is not None
        for away in self.sides:
            place = (home.number, client, away.number)
            if away is home or not (is_real or place in self._proxies):
                continue
            if place not in self._proxies:
                self._proxies[place] = Proxy(client, home, away, self)
            self._proxies[place].look()

    def wanted(self, proxy: Proxy) -> Wanted | None:
        """See `hubfarm.bridge.proxy.Keeper`."""
        home, away = proxy.home, proxy.away
        client = home.real_client(proxy.client) if home.is_up else None
        if client is None:
            self._proxies.pop((home.number, proxy.client, away.number), None)
            return None
        if not away.is_up:
            return None
        of = f"{home.mark}/{proxy.client}"
        if rivals := away.rivals():
            at_home = {id: one.metadata for id, one in home.real_clients().items()}
            if has_rival(proxy.client, at_home, of, self._by, rivals):
                return None
        marked = self._icons.marked(client.metadata, away.own_address)
        metadata = proxy_metadata(marked, home.label, of, self._by)
        return metadata, proxy_subscriptions(client.subscriptions)

    # ------------------------------------------------------------------ messages

    async def pass_on(self, proxy: Proxy, callback: Callback) -> None:
        """Pass on what the other hub has for a proxy: a message to its client, or a response to one of its calls."""
        if callback.kind is Kind.RESPONSE:
            await self._pass_on_response(proxy, callback)
            return
        try:
            speaker = await self._speaker(callback.sender, proxy.away, proxy.home)
            message = await self._exported(callback.content, proxy.away, proxy.home)
            if callback.kind is Kind.NOTIFICATION:
                await proxy.home.call("notify", speaker.key, proxy.client, message)
            else:
                tag = self._remember(proxy, str(callback.tag))
                await self._call(speaker, proxy, tag, message)
        except (SAMPProxyError, Fault) as fault:
            await self._say_no(proxy, callback, str(fault))
        except HubfarmError as error:
            await self._say_no(proxy, callback, f"the bridge to {proxy.home.label} cannot pass it on: {error}")

    async def _call(self, speaker: Proxy, proxy: Proxy, tag: str, message: Map) -> None:
        try:
            await proxy.home.call("call", speaker.key, proxy.client, tag, message)
        except BaseException:
            self._calls.pop(tag, None)
            raise

    async def _speaker(self, sender: str, side: Side, on: Side) -> Proxy:
        """Return the proxy that stands for a sender, on another hub; wait until it is there.

        Raises
        ------
        Fault
            It has none, and gets none.
        """
        try:
            async with asyncio.timeout(SENDER_COMES_IN):
                while True:
                    proxy = self._proxies.get((side.number, sender, on.number))
                    if proxy is not None and not proxy.is_there:
                        await proxy.settled()
                    if proxy is not None and proxy.is_there:
                        return proxy
                    if not (proxy.trouble if proxy is not None else side.may_become_real(sender)):
                        break
                    await side.wait_for_news()
        except TimeoutError:
            pass
        raise Fault(f"the sender {sender} has no proxy on {on.label}: another bridge speaks for it, or nobody may")

    def _remember(self, proxy: Proxy, msg_id: str) -> str:
        if len(self._calls) >= MOST_CALLS:
            raise Fault(f"{MOST_CALLS} calls wait for their reply at this bridge: no more until some have it")
        self._next += 1
        tag = f"{self._next}-{secrets.token_hex(4)}"
        self._calls[tag] = _Call(proxy, msg_id)
        return tag

    async def _pass_on_response(self, speaker: Proxy, callback: Callback) -> None:
        call = self._calls.pop(str(callback.tag), None)
        if call is None:
            raise Fault("this is the response to no call of the bridge's, or it was answered already")
        response = await self._exported(callback.content, speaker.away, call.to.away)
        await self._reply(call, response)

    async def _reply(self, call: _Call, response: Map) -> None:
        try:
            await call.to.away.call("reply", call.to.key, call.msg_id, response)
        except HubfarmError as error:  # the caller has gone, or does not wait any more
            logger.debug("a reply to {} was not taken: {}", call.to.away.label, error)

    async def _say_no(self, proxy: Proxy, callback: Callback, reason: str) -> None:
        """Tell a caller that its call was not passed on; of a notification nobody waits to hear."""
        logger.debug("not passed on from {} to {}: {}", proxy.away.label, proxy.home.label, reason)
        if callback.kind is Kind.CALL:
            await self._reply(_Call(proxy, str(callback.tag)), _error(reason))

    async def before_leaving(self, proxy: Proxy) -> None:
        """Tell those that wait for a client's reply that it has gone."""
        for call in self._calls_to(proxy):
            await self._reply(call, _error("the client has gone"))

    def _calls_to(self, proxy: Proxy) -> list[_Call]:
        """Return the calls to a proxy that wait for their reply, and forget them."""
        tags = [tag for tag, call in self._calls.items() if call.to is proxy]
        return [self._calls.pop(tag) for tag in tags]

    async def _exported(self, content: Map, origin: Side, goal: Side) -> Map:
        return content if self._files is None else await self._files.exported(content, origin, goal)


def _error(reason: str) -> Map:
    return {"samp.status": "samp.error", "samp.error": {"samp.errortxt": reason}}
