"""The farm's hubs: who may come in, who is ended, whose socket it is, and who hangs."""

import asyncio
import signal
import socket
from collections.abc import Callable, Collection, Sequence

import pytest

from hubfarm.coordinator.admission import admit, bind_all
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.pulse import LATE
from hubfarm.coordinator.supervisor import TICK
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import Record, StateTable
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import HubState
from tests.coordinator.coordinator_support import FakeFarm, nobody
from tests.registry.registry_support import publish
from tests.support import in_a_loop


def plan(*labels: str) -> Callable[[Collection[str]], Sequence[HubSpec]]:
    return lambda used: [HubSpec(id=0, label=label) for label in labels]


# ---------------------------------------------------------------------- admission


def specs(*labels: str) -> list[HubSpec]:
    return [HubSpec(id=0, label=label) for label in labels]


def test_who_comes_in_has_an_id_and_a_secret_of_its_own() -> None:
    admitted = admit(specs("a", "b"), running=3, used={"c": "3"}, first_id=4)
    assert [(spec.label, spec.id) for spec in admitted] == [("a", 4), ("b", 5)]
    assert len({spec.secret for spec in admitted}) == 2
    assert all(len(spec.secret) == 32 for spec in admitted)


def test_more_than_a_farm_holds_do_not_come_in() -> None:
    assert len(admit(specs("a"), running=MAX_HUBS - 1, used={}, first_id=1)) == 1
    with pytest.raises(WrongUse, match=f"cannot start 2 hubs: {MAX_HUBS - 1} run already, a farm holds {MAX_HUBS}"):
        admit(specs("a", "b"), running=MAX_HUBS - 1, used={}, first_id=1)


def test_a_label_in_use_keeps_all_of_them_out() -> None:
    with pytest.raises(WrongUse, match="the label b is in use by the hub 4711-2: choose another or stop that hub"):
        admit(specs("a", "b"), running=0, used={"b": "4711-2"}, first_id=1)


def test_all_ports_are_had_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = HubSpec(id=1)
        with pytest.raises(HubfarmError, match=f"port {port} of 127.0.0.1"):
            bind_all([free, HubSpec(id=2, port=port)])
    ((spec, sock),) = bind_all([HubSpec(id=2, port=port)])
    with sock:
        assert spec.port == sock.getsockname()[1] == port
    ((spec, sock),) = bind_all([free])
    with sock:
        assert spec.port == sock.getsockname()[1] != 0  # which its successors are to have


# ---------------------------------------------------------------------- requests


@in_a_loop
async def test_hubs_get_ids_above_all_that_live_on_this_host(paths: Paths) -> None:
    farm = FakeFarm(paths)
    claim = publish(paths, number=7, label="standalone")
    try:
        assert [hub.spec.id for hub in await farm.running("a", "b")] == [8, 9]
        assert farm.hubs.labels_in_use() == {"a": "8", "b": "9", "standalone": str(claim.name)}
        with pytest.raises(WrongUse, match=f"standalone is in use by the hub {claim.name}"):
            await farm.hubs.start(plan("standalone"), nobody)
    finally:
        claim.withdraw()


@in_a_loop
async def test_two_requests_for_one_label_are_two_and_the_second_is_refused(paths: Paths) -> None:
    farm = FakeFarm(paths)
    first = asyncio.create_task(farm.hubs.start(plan("mima"), nobody))
    second = asyncio.create_task(farm.hubs.start(plan("mima"), nobody))
    with pytest.raises(WrongUse, match="the label mima is in use by the hub 1"):
        await second
    await farm.turn()
    farm.workers.made[0].serve()
    await farm.tick()
    await first


@in_a_loop
async def test_hub_that_cannot_be_forked_is_told_to_who_asked_for_it(paths: Paths) -> None:
    farm = FakeFarm(paths)
    farm.workers.cannot_fork = "cannot fork a worker: no room"
    asked = asyncio.create_task(farm.hubs.start(plan("mima"), nobody))
    await farm.turn()
    await farm.turn()
    with pytest.raises(HubfarmError, match="hub mima cannot start: cannot fork a worker: no room"):
        await asked
    assert farm.hubs.by_id() == {}


@in_a_loop
async def test_hubs_are_stopped_and_restarted_by_their_ids_and_others_passed_over(paths: Paths) -> None:
    farm = FakeFarm(paths)
    one, two = await farm.running("one", "two")
    stopping = asyncio.create_task(farm.hubs.stop([99, one.spec.id], nobody))
    restarting = asyncio.create_task(farm.hubs.restart([two.spec.id, 99], nobody))
    await farm.turn()
    assert [worker.signals for worker in farm.workers.made] == [[signal.SIGTERM], [signal.SIGQUIT]]
    for worker in farm.workers.made:
        worker.end(in_order=True)
    await farm.tick()
    await stopping
    assert list(farm.hubs.by_id()) == [two.spec.id]
    farm.workers.made[-1].serve()
    await farm.tick()
    await restarting


# ---------------------------------------------------------------------- what workers bring


@in_a_loop
async def test_socket_that_is_handed_over_goes_to_its_hub_and_any_other_is_closed(paths: Paths) -> None:
    farm = FakeFarm(paths)
    claim = publish(paths, number=3, label="mima")
    hub = farm.hubs.make(HubSpec(id=3, label="mima"), left=claim.name)
    farm.supervisor.adopt(hub)
    with socket.socket() as own, socket.socket() as second, socket.socket() as strange:
        farm.hubs.take_socket("4711-99", strange)
        farm.hubs.take_socket(str(claim.name), own)
        farm.hubs.take_socket(str(claim.name), second)  # it has one
        assert hub.sock is own
        assert (own.fileno() >= 0, second.fileno(), strange.fileno()) == (True, -1, -1)
    claim.withdraw()


class Beats:
    """The slots of some hubs' workers, written as by themselves."""

    def __init__(self, farm: FakeFarm, hubs: Sequence[ManagedHub]) -> None:
        self.farm = farm
        self.table = StateTable(farm.lockdir.paths.state_table, writable=True)
        self.hubs = hubs

    async def tick(self, *beating: ManagedHub, after: float = TICK) -> None:
        """Let those beat, time pass and the loop look."""
        self.farm.clock.now += after
        for hub in self.hubs:
            name = hub.held_by
            if name is not None and (hub in beating or self.table.read(hub.spec.id) is None):
                beat = self.farm.clock.now - 0.5
                self.table.write(hub.spec.id, Record(*name, HubState.RUNNING, beat, beat, beat))
        await self.farm.turn()


@in_a_loop
async def test_worker_that_misses_as_many_beats_as_are_set_is_killed_and_no_other(paths: Paths) -> None:
    farm = FakeFarm(paths, late_beats=3)
    stuck, well = await farm.running("stuck", "well")
    beats = Beats(farm, [stuck, well])
    await beats.tick(stuck, well)
    for _ in range(2):
        await beats.tick(well)
    assert [worker.signals for worker in farm.workers.made] == [[], []]
    for _ in range(2):
        await beats.tick(well)
    assert [worker.signals for worker in farm.workers.made] == [[signal.SIGKILL], []]


@in_a_loop
async def test_nobody_is_killed_by_a_coordinator_that_is_late_itself(paths: Paths) -> None:
    farm = FakeFarm(paths, late_beats=3)
    hubs = await farm.running("one", "two")
    beats = Beats(farm, hubs)
    for _ in range(20):
        await beats.tick(after=LATE * TICK + 0.6)
    assert [worker.signals for worker in farm.workers.made] == [[], []]


@in_a_loop
async def test_worker_that_is_told_to_end_is_judged_no_more(paths: Paths) -> None:
    farm = FakeFarm(paths, late_beats=2)
    (hub,) = await farm.running("mima")
    beats = Beats(farm, [hub])
    await beats.tick(hub)
    hub.wanted = False
    for _ in range(4):
        await beats.tick()
    assert farm.workers.made[0].signals == [signal.SIGTERM]


@in_a_loop
async def test_successor_is_not_judged_by_the_beats_of_the_one_before(paths: Paths) -> None:
    farm = FakeFarm(paths, late_beats=3)
    (hub,) = await farm.running("mima")
    beats = Beats(farm, [hub])
    for _ in range(4):
        await beats.tick()
    farm.workers.made[0].end()
    await farm.tick()
    farm.workers.made[1].serve()
    for _ in range(5):
        await farm.tick()  # its slot still says what the one before wrote
    assert farm.workers.made[1].signals == []


@in_a_loop
async def test_table_that_cannot_be_read_is_said_once_and_kills_nobody(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("hubfarm.coordinator.hubs.logger.error", lambda text, *_: said.append(text))
    farm = FakeFarm(paths, late_beats=2)
    await farm.running("mima")
    paths.state_table.write_bytes(b"nonsense")
    for _ in range(5):
        await farm.tick()
    assert said == ["no heartbeats can be read, no hang is noticed: {}"]
    assert farm.workers.made[0].signals == []
