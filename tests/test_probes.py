"""Clients whose process is gone are noticed though nobody sends them anything; slow ones are not taken for gone."""

import asyncio

import pytest

from hubfarm.worker.model import Client
from hubfarm.worker.probes import REFUSALS, ROUND, Probes
from hubfarm.worker.process import BEAT
from tests.support import PATIENCE
from tests.test_delivery import Callback, Room
from tests.wire_support import LOOPS, run_in, unused_port


async def beat_until(probes: Probes, client: Client, most: int) -> int:
    """Beat until a client is gone, at most so often; return how often it took."""
    for number in range(1, most + 1):
        probes.beat()
        await asyncio.sleep(0.02)  # in a hub, a second: time enough for a connection to be refused
        if client.gone:
            return number
    return most + 1


@pytest.mark.parametrize("loop", LOOPS)
def test_client_that_is_gone_is_out_within_half_a_minute_and_everybody_told(loop: str) -> None:
    async def talk() -> None:
        async with Callback() as one:
            room = Room()
            witness = room.join(one.url, "samp.hub.event.unregister")
            gone = room.join(f"http://127.0.0.1:{unused_port()}/")
            beats = await beat_until(Probes(room.hub, room.deliveries), gone, 30)
            assert beats * BEAT <= 30
            assert (await one.next()).params[2]["samp.params"] == {"id": gone.id}
            assert list(room.hub.clients) == [witness]
            await room.deliveries.close(PATIENCE)

    run_in(loop, talk())


@pytest.mark.parametrize("loop", LOOPS)
def test_client_that_takes_connections_stays_however_slow_it_is(loop: str) -> None:
    async def talk() -> None:
        async with Callback() as slow:  # nothing that it is sent is ever answered
            room = Room()
            client = room.join(slow.url)
            silent = room.do(room.hub.register(0.0))["samp.self-id"]  # has no callback to be asked at
            probes = Probes(room.hub, room.deliveries)
            await beat_until(probes, client, ROUND * (REFUSALS + 1))
            assert [one.id for one in room.hub.clients] == [client.id, silent]
            probes.close()
            await room.deliveries.close(PATIENCE)

    run_in(loop, talk())


def test_client_is_not_taken_for_gone_by_one_refusal() -> None:
    async def talk() -> None:
        room = Room()
        client = room.join(f"http://127.0.0.1:{unused_port()}/")
        probes = Probes(room.hub, room.deliveries)
        for _ in range(ROUND):  # its turn has come once
            probes.beat()
        await asyncio.sleep(0.1)
        assert not client.gone
        async with Callback() as back:
            room.do(room.hub.set_callback(client, back.url, 0.0))
            assert await beat_until(probes, client, ROUND * REFUSALS) > ROUND * REFUSALS
        probes.close()

    run_in("uvloop", talk())
