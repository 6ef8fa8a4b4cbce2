"""Notice clients whose process is gone, though nobody sends them anything.

Once a heartbeat those are looked at whose reply somebody waits for, those that have refused a
connection the last time, and a share of all others, so that each has its turn every `ROUND`
beats: a bare connection to its callback URL, closed at once.  Only refusals count, and only
`REFUSALS` in a row: a client that is slow or busy is not gone.
"""

import asyncio

from hubfarm.wire.http_client import Unreachable, check_reachable
from hubfarm.worker.delivery import Deliveries
from hubfarm.worker.hub import Hub
from hubfarm.worker.model import Client

ROUND = 10
"""Heartbeats until every client has had its turn."""

REFUSALS = 3
"""As patient as deliveries are, see `hubfarm.worker.delivery.RETRY_AFTER`."""


class Probes:
    """Looks after one hub's clients.

    Parameters
    ----------
    hub : Hub
        Whose clients.
    deliveries : Deliveries
        Knows which of them are connected anyway, and throws out the dead.
    """

    def __init__(self, hub: Hub, deliveries: Deliveries) -> None:
        self._hub = hub
        self._deliveries = deliveries
        self._refused: dict[Client, int] = {}
        self._beats = 0
        self._tasks: dict[Client, asyncio.Task[None]] = {}

    def beat(self) -> None:
        """Look at the clients whose turn it is; returns at once."""
        self._beats += 1
        self._refused = {client: times for client, times in self._refused.items() if not client.gone}
        for place, client in enumerate(self._hub.clients):
            has_its_turn = (place - self._beats) % ROUND == 0
            if not (has_its_turn or client.owing or client in self._refused):
                continue
            if client.callback and client not in self._tasks and not self._deliveries.is_connected(client):
                self._tasks[client] = asyncio.get_running_loop().create_task(self._look_at(client))

    async def _look_at(self, client: Client) -> None:
        try:
            await check_reachable(self._deliveries.new_client(client.callback))
        except Unreachable as error:
            refusals = self._refused.get(client, 0) + 1 if error.refused else 0
        else:
            refusals = 0
        finally:
            del self._tasks[client]
        self._refused.pop(client, None)
        if client.gone:
            return
        if refusals >= REFUSALS:
            self._deliveries.throw_out(client, "its process is gone: its callback URL refuses connections")
        elif refusals:
            self._refused[client] = refusals

    def close(self) -> None:
        """Stop looking."""
        for task in self._tasks.values():
            task.cancel()
