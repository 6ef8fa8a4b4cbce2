"""Housekeeping: a sweep takes what the dead have left, keeps the history short, and looks for hubs to take on."""

from typing import Any

from hubfarm.coordinator.adoption import Adoption
from hubfarm.coordinator.housekeeping import Housekeeping
from hubfarm.registry import history
from hubfarm.registry.history import End, read_history, record_end
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import Settings
from hubfarm.spec.hub_spec import HubSpec
from tests.coordinator.coordinator_support import FakeFarm
from tests.registry.registry_support import dead_hub, publish
from tests.support import in_a_loop


def housekeeping(farm: FakeFarm) -> Housekeeping:
    """Make one that sweeps, and has no files of its own to keep."""
    nothing: Any = None
    adoption = Adoption(farm.hubs, farm.lockdir)
    return Housekeeping(farm.lockdir.paths, Settings, nothing, nothing, nothing, adoption, lambda: None)


@in_a_loop
async def test_a_sweep_takes_what_the_dead_have_left(paths: Paths) -> None:
    left = dead_hub()
    await housekeeping(FakeFarm(paths))._sweep()
    assert not left.exists()


@in_a_loop
async def test_a_sweep_keeps_the_history_short(paths: Paths) -> None:
    record_end(paths, HubSpec(id=1), 4711, End.STOPPED, "", 1.0)
    line = paths.history.read_bytes()
    paths.history.write_bytes(line * (history.MAX_SIZE // len(line) + 1))
    await housekeeping(FakeFarm(paths))._sweep()
    assert 0 < len(read_history(paths)) * len(line) < 0.6 * history.MAX_SIZE


@in_a_loop
async def test_a_sweep_takes_on_a_hub_that_was_passed_over_before(paths: Paths) -> None:
    farm, claim = FakeFarm(paths), publish(paths, 3, "mima")
    try:
        await housekeeping(farm)._sweep()
        assert list(farm.hubs.by_id()) == [3]
    finally:
        claim.withdraw()
