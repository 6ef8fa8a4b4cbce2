"""What should exist is known while no process is there: to a coordinator, to a sweep, to who asks for the label."""

import stat

import pytest

from hubfarm.registry.claim import claim_for
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import Lock
from hubfarm.registry.paths import Paths
from hubfarm.registry.sweep import sweep
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import Restart
from tests.registry.registry_support import dead_hub, publish

MIMA = HubSpec(
    id=3,
    label="mima",
    secret="s",
    limits=Limits(clients=7),
    callback_hosts=("a", "b"),
    restart=Restart.ALWAYS,
    restarts=2,
    fell=True,
    port=4711,
)


def of_coordinator(paths: Paths) -> Lock:
    """Hold the coordinator's guard, as if one ran."""
    guard = Lock(paths.coordinator_guard)
    guard.acquire(timeout=0)
    return guard


def removed(paths: Paths) -> set[str]:
    """Sweep, and return the names of what was removed."""
    return {each.path.name for each in sweep(LockDir(paths), lambda urls: ()) if each.removed}


def test_what_is_wanted_is_read_as_it_was_written_and_is_private(paths: Paths) -> None:
    wanted = Wanted(paths)
    wanted.want(MIMA)
    wanted.want(HubSpec(id=1, label="größe"))
    assert [wish.spec.id for wish in wanted.all()] == [1, 3]
    wish = wanted.find("mima")
    assert wish is not None
    assert wish.spec == MIMA
    assert stat.S_IMODE((paths.wanted / "mima").stat().st_mode) == 0o600


def test_a_wish_is_replaced_by_a_later_one_and_dropped_once(paths: Paths) -> None:
    wanted = Wanted(paths)
    wanted.want(MIMA)
    wanted.want(successor := MIMA.successor())
    assert [wish.spec for wish in wanted.all()] == [successor]
    for _ in range(2):
        wanted.drop(MIMA)
    assert wanted.all() == []


def test_drop_leaves_a_hub_that_has_taken_the_label_since(paths: Paths) -> None:
    wanted = Wanted(paths)
    wanted.want(HubSpec(id=4, label="mima"))
    wanted.drop(MIMA)
    assert [wish.spec.id for wish in wanted.all()] == [4]


@pytest.mark.parametrize(
    "content", ["", "null", '{"spec": {"id": 1}}', "[" * 100_000, '{"spec": {"id": 1}, "boot": 2}']
)
def test_what_cannot_be_read_is_no_wish(paths: Paths, content: str) -> None:
    (paths.wanted / "mima").write_text(content)
    (paths.wanted / ".new-x").write_text("{}")
    assert Wanted(paths).all() == []
    assert Wanted(paths).find("mima") is None


def test_nothing_is_wanted_where_there_is_no_farm(paths: Paths) -> None:
    paths.wanted.rmdir()
    assert (Wanted(paths).all(), Wanted(paths).looked_after()) == ([], set())
    Wanted(paths).drop(MIMA)


def test_label_of_a_hub_between_two_workers_is_in_use_while_its_coordinator_lives(paths: Paths) -> None:
    Wanted(paths).want(MIMA)
    guard = of_coordinator(paths)
    try:
        with pytest.raises(WrongUse, match="the label mima is in use by the hub 3, which comes back: choose another"):
            claim_for(HubSpec(id=9, label="mima"), LockDir(paths))
        assert list(paths.guards.iterdir()) == []
        claim_for(MIMA, LockDir(paths)).withdraw()  # its own successor
    finally:
        guard.release()
    claim_for(HubSpec(id=9, label="mima"), LockDir(paths)).withdraw()


def test_sweep_leaves_what_a_worker_left_whose_successor_comes(paths: Paths) -> None:
    lock_file = dead_hub(3, "mima")
    Wanted(paths).want(MIMA)
    guard = of_coordinator(paths)
    try:
        assert lock_file.name not in removed(paths)
        assert [wish.spec.id for wish in Wanted(paths).all()] == [3]
    finally:
        guard.release()


def test_sweep_takes_what_a_hub_left_that_is_never_restarted(paths: Paths) -> None:
    lock_file = dead_hub(3, "mima")
    Wanted(paths).want(HubSpec(id=3, label="mima", restart=Restart.NEVER))
    guard = of_coordinator(paths)
    try:
        assert removed(paths) >= {lock_file.name}
    finally:
        guard.release()


def test_sweep_takes_what_a_worker_left_once_its_successor_lives(paths: Paths) -> None:
    lock_file = dead_hub(3, "mima")
    Wanted(paths).want(MIMA)
    guard, claim = of_coordinator(paths), publish(paths, 3, "mima")
    try:
        assert removed(paths) >= {lock_file.name}
        assert claim.path.exists()
    finally:
        claim.withdraw()
        guard.release()


def test_sweep_takes_all_of_a_hub_that_nobody_brings_back(paths: Paths) -> None:
    lock_file = dead_hub(3, "mima")
    Wanted(paths).want(MIMA)
    assert removed(paths) >= {lock_file.name, "mima"}
    assert Wanted(paths).all() == []


def test_sweep_leaves_the_wish_of_a_hub_that_lives_without_a_coordinator(paths: Paths) -> None:
    claim = publish(paths, 3, "mima")
    try:
        Wanted(paths).want(MIMA)
        assert removed(paths) == set()
        assert [wish.spec.id for wish in Wanted(paths).all()] == [3]
    finally:
        claim.withdraw()
