"""Adoption: what an earlier coordinator has left is taken on, and nothing else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hubfarm.coordinator.adoption import Adoption
from hubfarm.registry.claim import Claim, claim_for
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import read_records
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from tests.coordinator.coordinator_support import FakeFarm
from tests.registry.registry_support import FOREIGN_URL, dead_hub, tokens
from tests.support import in_a_loop, logged, read_lock_file

SPEC = HubSpec(id=3, label="mima", secret="s")


def living(paths: Paths, spec: HubSpec, **more: str) -> Claim:
    """Claim and publish a hub in this process, as a worker does."""
    claim = claim_for(spec, LockDir(paths))
    claim.publish(tokens(spec, paths, os.getpid()) | more)
    return claim


def dead(spec: HubSpec, **more: str) -> Path:
    """Return the lock file of a hub that was killed."""
    path = dead_hub(spec.id, spec.label)
    content = read_lock_file(path) | spec.tokens() | more
    path.write_text("".join(f"{key}={value}\n" for key, value in content.items()))
    return path


def adopt(farm: FakeFarm) -> list[HubSpec]:
    """Take on what there is, and return what is looked after now."""
    Adoption(farm.hubs, farm.lockdir).adopt()
    return [hub.spec for hub in farm.hubs.by_id().values()]


@in_a_loop
async def test_hub_that_died_while_nobody_watched_has_a_successor_under_its_url(paths: Paths) -> None:
    farm, left = FakeFarm(paths), dead(SPEC)
    assert [(spec.label, spec.restarts) for spec in adopt(farm)] == [("mima", 1)]
    assert not left.exists()
    assert farm.hubs.by_id()[3].url == FOREIGN_URL
    await farm.turn()
    assert [spec.id for spec in farm.workers.specs] == [3]


@in_a_loop
async def test_hub_of_an_earlier_boot_is_not_expected_back(paths: Paths) -> None:
    left = dead(SPEC, **{"hubfarm.boot": "an earlier one"})
    assert adopt(FakeFarm(paths)) == []
    assert left.exists(), "the next sweep takes it"


@in_a_loop
async def test_hub_that_is_never_restarted_has_no_successor(paths: Paths) -> None:
    dead(HubSpec(id=3, label="mima", restart=Restart.NEVER))
    assert adopt(FakeFarm(paths)) == []


@pytest.mark.parametrize("spec", [HubSpec(id=7, label="mima"), HubSpec(id=1, label="another")], ids=["label", "id"])
@in_a_loop
async def test_dead_hub_is_not_replaced_if_one_lives_under_its_label_or_id(paths: Paths, spec: HubSpec) -> None:
    farm = FakeFarm(paths)
    await farm.running("mima")  # under id 1
    left = dead(spec)
    assert [known.label for known in adopt(farm)] == ["mima"]
    assert left.exists()


@in_a_loop
async def test_hub_that_lives_is_taken_on_once_and_has_served_since_it_began(paths: Paths) -> None:
    farm, claim = FakeFarm(paths), living(paths, SPEC)
    try:
        began = farm.clock() - 500.0
        claim.write(replace(read_records(paths.state_table)[claim.name], started=began))
        for _ in range(2):
            assert [spec.label for spec in adopt(farm)] == ["mima"]
        assert farm.hubs.by_id()[3].serving_since == began
        assert [worker.pid for worker in farm.workers.adopted] == [os.getpid()]
    finally:
        claim.withdraw()


@in_a_loop
async def test_hub_that_no_slot_tells_of_counts_as_serving_from_now_on(paths: Paths) -> None:
    farm, claim = FakeFarm(paths), living(paths, SPEC)
    try:
        paths.state_table.unlink()
        adopt(farm)
        assert farm.hubs.by_id()[3].serving_since == farm.clock()
    finally:
        claim.withdraw()


@in_a_loop
async def test_hub_whose_lock_file_makes_no_sense_is_left_alone_and_said_so(paths: Paths) -> None:
    claim = living(paths, SPEC, **{"hubfarm.restart": "sometimes"})
    try:
        with logged() as log:
            assert adopt(FakeFarm(paths)) == []
        assert [line for line in log if line.startswith(f"WARNING {claim.path} is left alone: ")]
    finally:
        claim.withdraw()


@in_a_loop
async def test_hub_that_is_not_the_coordinators_is_left_alone(paths: Paths) -> None:
    claim = living(paths, SPEC, **{"hubfarm.kind": "standalone"})
    try:
        assert adopt(FakeFarm(paths)) == []
    finally:
        claim.withdraw()


@in_a_loop
async def test_nobody_is_taken_on_by_a_coordinator_that_ends(paths: Paths) -> None:
    farm, claim = FakeFarm(paths), living(paths, SPEC)
    try:
        await farm.supervisor.close()
        assert adopt(farm) == []
    finally:
        claim.withdraw()
