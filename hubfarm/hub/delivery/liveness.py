"""Notice clients whose process is gone, though nobody sends them anything.

Once a heartbeat those are looked at whose reply somebody waits for, those that seemed gone the
last time, and a share of all others, so that each has its turn every `ROUND` beats.  A client of this
host is not asked: the kernel knows whether anybody listens at its callback URL.  (DS9 opens an
error dialogue for a connection that says nothing.)  Who seems gone is asked by a whole call, and is out if
the connection is refused.  Clients of other hosts are asked likewise, and only while somebody waits for
their reply.  A client that is slow or busy is not gone.

A client that pulls cannot be asked: it is out when it has not pulled for a while, which is longer for a program, as
what is between may be a line that is lost, or a host that sleeps, than for a page that a browser of this host shows.
"""

import asyncio
import time
from collections.abc import Callable

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.model import Client
from hubfarm.hub.routes import Pull, Push
from hubfarm.samp.methods import CLIENT_PREFIX
from hubfarm.samp.xmlrpc import encode_call
from hubfarm.wire.addresses import is_loopback
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_client import HttpError, Unreachable
from hubfarm.wire.urls import place_of

ROUND = 10
"""Heartbeats until every client has had its turn."""

MOST_ABSENCES = 3
"""Looks in a row at which nobody listened, or the connection was refused: a server may be set up anew."""

LONGEST_SILENCE = 60.0
"""A page of this host that has not pulled for so long is gone, seconds: it was closed, say."""

LONGEST_SILENCE_FAR = 600.0
"""Likewise one of another host, or a program, which may sleep or be out of reach for a while."""

LONGEST_SILENCE_OF_CALLS = 600.0
"""A web page that cannot be called and has called nothing for so long is gone, seconds."""

_QUESTION = encode_call(f"{CLIENT_PREFIX}ping", [])
"""No client knows this method. Any answer shows that the client is there."""


class Liveness:
    """Looks after one hub's clients.

    Parameters
    ----------
    hub : Hub
        Whose clients.
    deliveries : Deliveries
        Knows which of them are connected anyway, and throws out the dead.
    clock : callable
        Returns the time by which clients are active, seconds.
    """

    def __init__(self, hub: Hub, deliveries: Deliveries, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hub = hub
        self._deliveries = deliveries
        self._sockets = HostSockets()
        self._absent: dict[Client, int] = {}
        self._beats = 0
        self._tasks: dict[Client, asyncio.Task[None]] = {}

    def beat(self) -> None:
        """Look at the clients whose turn it is; returns at once."""
        self._beats += 1
        self._absent = {client: times for client, times in self._absent.items() if not client.gone}
        for place, client in enumerate(list(self._hub.clients)):
            if isinstance(client.route, Pull):
                self._look_whether_it_pulls(client)
                continue
            if client.is_page:
                self._look_whether_it_calls(client)
                continue
            has_its_turn = (place - self._beats) % ROUND == 0
            if not (has_its_turn or client.owing or client in self._absent):
                continue
            idle = client not in self._tasks and not self._deliveries.is_connected(client)
            if isinstance(client.route, Push) and idle:
                self._look_at(client, client.route.url)

    @property
    def at_rest(self) -> bool:
        """Whether no client is being asked."""
        return not self._tasks

    def catch_up(self) -> None:
        """Look at all clients at once, after a time in which nobody could; who does not listen is asked at once."""
        for client in self._hub.clients:
            if isinstance(client.route, Push) and not client.is_page:
                self._absent[client] = MOST_ABSENCES - 1
                self._look_at(client, client.route.url)

    def _look_whether_it_pulls(self, client: Client) -> None:
        silence = self._deliveries.silence_of(client)
        far = not client.is_page or (client.principal.host and not is_loopback(client.principal.host))
        if silence >= (LONGEST_SILENCE_FAR if far else LONGEST_SILENCE):
            self._deliveries.throw_out(client, f"it has not pulled for {silence:.0f} s")

    def _look_whether_it_calls(self, page: Client) -> None:
        silence = self._clock() - page.active
        if silence >= LONGEST_SILENCE_OF_CALLS and not page.asked:
            self._deliveries.throw_out(
                page, f"a page that cannot be called, and has called nothing for {silence:.0f} s"
            )

    def _look_at(self, client: Client, url: str) -> None:
        listens = self._sockets.listens(*place_of(url))
        if listens:
            self._absent.pop(client, None)
        elif listens is False:
            self._absent[client] = self._absent.get(client, 0) + 1
            if self._absent[client] >= MOST_ABSENCES:
                self._ask_soon(client, url)
        elif client.owing or client in self._absent:
            self._ask_soon(client, url)

    def _ask_soon(self, client: Client, url: str) -> None:
        self._tasks[client] = asyncio.get_running_loop().create_task(self._ask(client, url))

    async def _ask(self, client: Client, url: str) -> None:
        http = self._deliveries.client_for(client, url)
        gone = False
        try:
            await http.post(_QUESTION, timeout=None)
        except Unreachable as error:
            gone = error.for_good
        except HttpError:
            pass  # it is there
        finally:
            http.close()
            del self._tasks[client]
        absences = self._absent.pop(client, 0) + 1
        if client.gone or not gone:
            return
        if absences >= MOST_ABSENCES:
            self._deliveries.throw_out(client, "its process is gone: its callback URL refuses connections")
        else:
            self._absent[client] = absences

    def close(self) -> None:
        """Stop looking."""
        self._sockets.close()
        for task in self._tasks.values():
            task.cancel()
