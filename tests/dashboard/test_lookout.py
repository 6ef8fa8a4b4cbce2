"""What is seen of a farm: hubs of other programs too, and what cannot be read is said and no end of looking."""

import asyncio
from dataclasses import replace

import pytest

from hubfarm.dashboard.house import House
from hubfarm.dashboard.lookout import Lookout, Seen, key_of
from hubfarm.dashboard.process import PORT, listen_near, running
from hubfarm.dashboard.visitor import NotAllowed, Role, Visitor
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import HubState
from tests.dashboard.dashboard_support import give_up
from tests.support import in_a_loop, logged

ACCOUNT = Visitor(Principal(), is_account=True)
LUIGI = Visitor(Principal(user="luigi"))


@pytest.fixture
def foreign(farm: Farm, paths: Paths) -> HubInfo:
    """A hub whose lock file lies in the farm's directory, and that is another program's; its lock file says so."""
    [own] = farm.start(label="own")
    tokens = [line for line in own.lock_file.read_text().splitlines() if not line.startswith("hubfarm.")]
    (paths.lockdir / "samp-hub-another").write_text("\n".join(tokens))
    return next(hub for hub in farm.hubs() if hub.id is None)


@in_a_loop
async def test_hub_of_another_program_is_seen_by_the_account_and_is_nobodys(foreign: HubInfo, paths: Paths) -> None:
    house = House(paths)
    await house.lookout.look()
    key = key_of(foreign)
    assert key == "foreign:samp-hub-another"
    assert (await house.hub(ACCOUNT, key)).lock_file == foreign.lock_file
    assert await house.door(ACCOUNT, foreign) == {}
    with pytest.raises(WrongUse, match="logs elsewhere"):
        await house.log_of(ACCOUNT, key)
    with pytest.raises(WrongUse, match="no such hub"):
        await house.hub(LUIGI, key)


@in_a_loop
async def test_lock_file_that_is_gone_or_no_lock_file_is_said(foreign: HubInfo, paths: Paths) -> None:
    house = House(paths)
    foreign.lock_file.write_text("nothing of the kind\n")
    with pytest.raises(HubfarmError, match="line 1 of the lock file"):
        await house.tokens(foreign)
    foreign.lock_file.unlink()
    with pytest.raises(HubfarmError, match="cannot be read: No such file"):
        await house.tokens(foreign)


@in_a_loop
async def test_hub_that_was_given_up_is_seen_by_its_owner_with_its_log_and_entered_no_more(
    farm: Farm, paths: Paths
) -> None:
    await asyncio.to_thread(lambda: farm.start(label="night", owner="luigi"))
    house = House(paths)
    await house.lookout.look()
    assert house.lookout.seen["1"].state is HubState.RUNNING
    await asyncio.to_thread(give_up, farm, "night")
    await house.lookout.look(anew=True)
    [(key, failed)] = house.lookout.seen.items()
    assert (key, failed.state, failed.memory) == ("ended:night", HubState.FAILED, 0)
    assert (await house.log_of(LUIGI, key)).read_text()
    for refused in (house.hub(LUIGI, key), house.owned(ACCOUNT, key)):
        with pytest.raises(WrongUse, match="the hub night has ended"):
            await refused
    with pytest.raises(NotAllowed):
        await house.log_of(LUIGI, "coordinator")
    assert (await house.log_of(ACCOUNT, "coordinator")).name == "coordinator.log"


@in_a_loop
async def test_what_hides_the_farm_is_said_until_it_is_seen_again(
    farm: Farm, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout = Lookout(paths)

    def hides(error: Exception) -> None:
        def hubs(self: Farm) -> list[HubInfo]:
            raise error

        monkeypatch.setattr(Farm, "hubs", hubs)

    with logged() as lines:
        hides(HubfarmError("the directory is another's"))
        await lookout.look(anew=True)
        assert (lookout.trouble, lines) == ("the directory is another's", [])
        hides(RuntimeError("inside"))
        await lookout.look(anew=True)
        assert lookout.trouble == "the farm cannot be looked at: the dashboard's log says more"
        assert lines == ["ERROR the farm could not be looked at"]
    monkeypatch.undo()
    await lookout.look(anew=True)
    assert lookout.trouble == ""


@in_a_loop
async def test_coordinator_that_cannot_be_asked_is_a_problem_and_no_trouble(
    farm: Farm, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coordinator(self: Farm) -> None:
        raise HubfarmError("it is of another release")

    monkeypatch.setattr(Farm, "coordinator", coordinator)
    lookout = Lookout(paths)
    await lookout.look()
    assert (lookout.trouble, lookout.coordinator) == ("", {"problem": "it is of another release"})


@in_a_loop
async def test_memory_and_time_of_hubs_are_measured_and_one_that_beats_no_more_hangs(
    farm: Farm, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(lambda: farm.start(count=2, group="g"))
    lookout = Lookout(paths)
    await lookout.look()
    seen = list(lookout.seen.values())
    assert [one.state for one in seen] == [HubState.RUNNING] * 2
    assert all(one.memory > 2**20 for one in seen)
    record = seen[0].record
    assert record is not None
    monkeypatch.setattr("hubfarm.dashboard.lookout.time.monotonic", lambda: record.beat + 1000)
    assert seen[0].state is HubState.HUNG


def test_visitor_sees_what_the_rules_say_and_a_broken_rule_lets_nobody_in(farm: Farm) -> None:
    [hub] = farm.start(label="night", owner="anna")
    boss = Visitor(Principal(user="boss", admin=True))
    assert (LUIGI.role_at(hub), boss.role_at(hub)) == (Role.WATCHER, Role.ADMIN)
    assert Visitor(Principal(user="anna")).role_at(hub) is Role.OWNER
    assert Visitor(Principal()).role_at(hub) is None
    assert LUIGI.role_at(replace(hub, access="whoever")) is None  # type: ignore[arg-type]
    ended = replace(hub, state=HubState.FAILED)
    assert (LUIGI.role_at(ended), Visitor(Principal(user="anna")).role_at(ended)) == (None, Role.OWNER)
    assert (Seen(ended).state, key_of(ended)) == (HubState.FAILED, "ended:night")


def test_dashboard_that_runs_is_found_by_its_guard_and_what_it_has_written(paths: Paths) -> None:
    assert running(paths) is None
    with holding(paths.dashboard_guard, timeout=1.0, by="another"):
        assert running(paths) is None
        for broken in ("", "[]", "{}", '{"port": "x", "token": "t"}', '{"port": 1}'):
            paths.dashboard.write_text(broken)
            paths.dashboard.chmod(0o600)
            assert running(paths) is None, broken
        paths.dashboard.write_text('{"port": 8621, "token": "abc", "pid": 1}')
        found = running(paths)
        assert found is not None
        assert found.address == "http://localhost:8621/#token=abc"


def test_port_is_the_first_free_one_or_the_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port, sockets = listen_near(None)
    try:
        assert port >= PORT
        with pytest.raises(HubfarmError, match=str(port)):
            listen_near(port)
        monkeypatch.setattr("hubfarm.dashboard.process.PORT", port)
        monkeypatch.setattr("hubfarm.dashboard.process.MOST_TRIES", 1)
        with pytest.raises(HubfarmError, match="are all in use: choose one by --port"):
            listen_near(None)
    finally:
        for sock in sockets:
            sock.close()
