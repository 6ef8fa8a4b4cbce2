"""What is wanted is kept by the coordinator, and brought back by the next one even if others removed the lock file."""

import asyncio
import os

import pytest

from hubfarm.coordinator.adoption import Adoption
from hubfarm.registry import wanted as wanted_module
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from tests.coordinator.coordinator_support import FakeFarm, nobody
from tests.registry.registry_support import publish, tokens
from tests.support import in_a_loop

MIMA = HubSpec(id=3, label="mima", secret="s", port=0)


def wanted(paths: Paths) -> list[tuple[str, int]]:
    """Return what is wanted: labels, and how often each was restarted."""
    return [(wish.spec.label, wish.spec.restarts) for wish in Wanted(paths).all()]


def adopt(farm: FakeFarm) -> list[tuple[str, int]]:
    """Take on what there is, and return what is looked after now."""
    Adoption(farm.hubs, farm.lockdir).adopt()
    return [(hub.spec.label, hub.spec.restarts) for hub in farm.hubs.by_id().values()]


@in_a_loop
async def test_hub_is_wanted_from_its_first_service_until_it_is_stopped(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    assert wanted(paths) == [("mima", 0)]
    farm.workers.made[0].end()
    await farm.turn()
    assert wanted(paths) == [("mima", 1)], "a successor is to come"
    await farm.tick()
    farm.workers.made[1].serve()
    await farm.tick()
    hub.wanted = False
    await farm.tick()
    farm.workers.made[1].end(in_order=True)
    await farm.turn()
    assert hub.gone.done()
    assert wanted(paths) == []


@in_a_loop
async def test_hub_that_never_served_was_promised_to_nobody(paths: Paths) -> None:
    farm = FakeFarm(paths)
    await farm.running("other")
    farm.workers.cannot_fork = "no room"
    asked = asyncio.create_task(farm.hubs.start(lambda used: [HubSpec(id=0, label="mima")], nobody))
    await farm.turn()
    await farm.turn()
    with pytest.raises(HubfarmError, match="no room"):
        await asked
    assert wanted(paths) == [("other", 0)]


@in_a_loop
async def test_hub_whose_lock_file_others_removed_is_brought_back(paths: Paths) -> None:
    Wanted(paths).want(MIMA)
    farm = FakeFarm(paths)
    assert adopt(farm) == [("mima", 1)]
    await farm.turn()
    assert [(spec.id, spec.secret) for spec in farm.workers.specs] == [(3, "s")]


@pytest.mark.parametrize("spec", [HubSpec(id=3, label="mima", restart=Restart.NEVER), MIMA], ids=["never", "boot"])
def test_hub_that_nobody_expects_back_is_wanted_no_more(
    paths: Paths, spec: HubSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    @in_a_loop
    async def run() -> None:
        with monkeypatch.context() as earlier:
            if spec is MIMA:
                earlier.setattr(wanted_module, "boot_id", lambda: "an earlier one")
            Wanted(paths).want(spec)
        assert adopt(FakeFarm(paths)) == []
        assert wanted(paths) == []

    run()


@in_a_loop
async def test_hub_whose_label_another_has_taken_is_wanted_no_more(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    Wanted(paths).want(MIMA)
    assert adopt(farm) == [("mima", 0)]
    assert hub.spec.id != MIMA.id
    assert wanted(paths) == []


@in_a_loop
async def test_hub_that_lives_without_its_lock_file_is_left_to_mend_it(paths: Paths) -> None:
    claim = publish(paths, 3, "mima")
    try:
        Wanted(paths).want(MIMA)
        claim.path.unlink()
        farm = FakeFarm(paths)
        assert adopt(farm) == []
        assert wanted(paths) == [("mima", 0)]
        assert LockDir(paths).living_ids() == {3}
        assert claim.name.pid == os.getpid()
    finally:
        claim.withdraw()


@in_a_loop
async def test_hub_that_is_adopted_is_wanted(paths: Paths) -> None:
    claim = publish(paths, 3, "mima")
    try:
        claim.publish(tokens(HubSpec(id=3, label="mima"), paths, os.getpid()) | {"hubfarm.kind": "farm"})
        assert adopt(FakeFarm(paths)) == [("mima", 0)]
        assert wanted(paths) == [("mima", 0)]
    finally:
        claim.withdraw()
