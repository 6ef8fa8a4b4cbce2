"""Housekeeping: a sweep takes what the dead have left, keeps the history short, and looks for hubs to take on.

And the coordinator's own files are put back; who has lost its guard to another steps down.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hubfarm.coordinator import housekeeping as module
from hubfarm.coordinator.adoption import Adoption
from hubfarm.coordinator.housekeeping import Housekeeping
from hubfarm.registry import history
from hubfarm.registry.history import End, read_history, record_end
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import Settings
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from tests.coordinator.coordinator_support import FakeFarm
from tests.registry.registry_support import dead_hub, publish
from tests.support import in_a_loop, logged


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


# ---------------------------------------------------------------------- the coordinator's own files


class Kept:
    """A file that is there, gone (and is put back), or cannot be put back."""

    def __init__(self) -> None:
        self.gone = False
        self.trouble = ""
        self.looks = 0

    def mend(self) -> bool:
        self.looks += 1
        if self.trouble:
            raise HubfarmError(self.trouble)
        gone, self.gone = self.gone, False
        return gone


class KeptInTheLoop(Kept):
    async def mend(self) -> bool:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().mend()


class House:
    """A coordinator's files, and what keeps them."""

    def __init__(self, paths: Paths) -> None:
        self.guard, self.control, self.handovers = Kept(), KeptInTheLoop(), Kept()
        self.steps_down = 0
        self.swept = 0
        farm = FakeFarm(paths)
        files: Any = (self.guard, self.control, self.handovers)
        self.keeper = Housekeeping(
            paths, lambda: Settings(sweep_every=1.0), *files, Adoption(farm.hubs, farm.lockdir), self.step_down
        )

    def step_down(self) -> None:
        self.steps_down += 1


@pytest.fixture
def house(paths: Paths) -> House:
    return House(paths)


@pytest.fixture
def log() -> Iterator[list[str]]:
    with logged() as lines:
        yield lines


@in_a_loop
async def _mend(house: House) -> None:
    await house.keeper._mend()


def test_what_is_gone_is_put_back_and_said_once(house: House, log: list[str]) -> None:
    house.guard.gone = house.control.gone = house.handovers.gone = True
    for _ in range(2):
        _mend(house)
    assert log == [
        "WARNING put back the coordinator's guard",
        "WARNING put back the control socket",
        "WARNING put back the handover socket",
    ]
    assert (house.guard.looks, house.control.looks, house.handovers.looks) == (2, 2, 2)


def test_who_has_lost_its_guard_to_another_steps_down_and_touches_nothing_more(house: House, log: list[str]) -> None:
    house.guard.trouble = "another coordinator runs"
    house.control.gone = True
    _mend(house)
    assert (house.steps_down, house.control.looks, house.handovers.looks) == (1, 0, 0)
    assert log == ["ERROR stepping down, the hubs run on: another coordinator runs"]


def test_trouble_is_said_once_and_again_when_it_comes_back(house: House, log: list[str]) -> None:
    for trouble in ("full", "full", "fuller", "", "fuller"):
        house.control.trouble = trouble
        _mend(house)
    assert log == [f"ERROR {trouble}; trying on" for trouble in ("full", "fuller", "fuller")]
    assert house.steps_down == 0


def test_directories_that_are_gone_are_made_anew(house: House, paths: Paths) -> None:
    paths.scratch.rmdir()
    _mend(house)
    assert paths.scratch.is_dir()


def test_house_is_kept_round_after_round_whatever_happens(
    house: House, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """Every round mends; a sweep comes when it is time; an error ends neither."""
    monkeypatch.setattr(module, "EVERY", 0.001)
    now = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    sweeps: list[float] = []

    async def sweep() -> None:
        sweeps.append(now)
        if len(sweeps) == 1:
            raise RuntimeError("broken")

    monkeypatch.setattr(house.keeper, "_sweep", sweep)

    async def until(true: Callable[[], bool]) -> None:
        while not true():
            await asyncio.sleep(0.001)

    @in_a_loop
    async def keep() -> None:
        nonlocal now
        keeping = asyncio.create_task(house.keeper.run())
        await until(lambda: house.guard.looks > 3)
        now = 100.9
        looks = house.guard.looks
        await until(lambda: house.guard.looks > looks + 2)
        assert sweeps == [], "it is not time yet"
        now = 101.0
        await until(lambda: bool(sweeps))
        looks = house.guard.looks
        await until(lambda: house.guard.looks > looks + 2)
        assert sweeps == [101.0], "once"
        now = 102.0
        await until(lambda: len(sweeps) == 2)
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping

    keep()
    assert log == ["ERROR keeping house failed; trying on"]


def test_sweep_says_what_it_took_and_what_it_could_not(house: House, paths: Paths, log: list[str]) -> None:
    left = dead_hub()

    @in_a_loop
    async def sweep() -> None:
        await house.keeper._sweep()

    sweep()
    assert [line for line in log if line.startswith(f"INFO swept {left}: ")]
    log.clear()
    paths.lockdir.chmod(0o777)  # what lies there may be others'
    sweep()
    paths.lockdir.chmod(0o700)
    assert len(log) == 1
    assert log[0].startswith("WARNING could not sweep: others may write in")
