"""A hub as one kind of what the coordinator runs: what it does with its worker, its socket and its files."""

import os
import signal

import msgspec
import pytest

from hubfarm.coordinator.managed_hub import ManagedHub, last_lines
from hubfarm.prefork.worker_reports import Report
from hubfarm.registry.history import End, read_history, record_end
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Phase
from tests.coordinator.coordinator_support import FakeFarm, FakeWorker
from tests.registry.registry_support import publish
from tests.support import in_a_loop, logged

SPEC = HubSpec(id=3, label="mima", secret="s")
"""A hub that an earlier coordinator had."""


def worker_of(farm: FakeFarm) -> FakeWorker:
    return farm.workers.made[-1]


def account(farm: FakeFarm, hub: ManagedHub, how: End, reason: str) -> None:
    """Write down how a worker ends, as it does itself."""
    record_end(farm.lockdir.paths, hub.spec, worker_of(farm).pid, how, reason, 1.0)


@in_a_loop
async def test_hub_that_serves_is_described_without_its_secret(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima", owner="luigi")
    assert msgspec.to_builtins(hub.state()) == {
        "id": 1,
        "label": "mima",
        "owner": "luigi",
        "group": "",
        "phase": "running",
        "pid": 5001,
        "url": "http://127.0.0.1:5001/xmlrpc",
        "restarts": 0,
        "early_deaths": 0,
        "falls": 0,
        "lock_file": str(paths.lockdir / "samp-hub-5001-1"),
        "stable_name": str(paths.by_label / "mima"),
    }
    assert hub.spec.secret


@in_a_loop
async def test_worker_that_crashed_is_followed_by_one_on_the_same_socket_under_the_same_secret(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    first = worker_of(farm)
    farm.clock.now += 60
    first.end(fell=True)
    await farm.tick()
    assert first.closed
    assert [each.fell for each in farm.workers.specs] == [False, True]
    assert [each.restarts for each in farm.workers.specs] == [0, 1]
    assert len({each.secret for each in farm.workers.specs}) == len(set(farm.workers.sockets)) == 1
    (ending,) = read_history(paths)
    assert (ending.how, ending.reason, ending.pid, ending.uptime) == (End.CRASHED, "as the test says", 5001, 61.0)
    assert hub.held_by == HubName(5002, 1)


@in_a_loop
async def test_what_a_worker_left_stays_until_its_successor_serves(paths: Paths) -> None:
    farm = FakeFarm(paths)
    await farm.running("mima")
    left = paths.lockdir / "samp-hub-5001-1"
    left.write_text("")
    worker_of(farm).end()
    await farm.tick()
    assert left.exists()
    worker_of(farm).serve()
    await farm.tick()
    assert not left.exists()


@in_a_loop
async def test_what_cannot_be_cleared_now_is_left_to_a_sweep(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    worker_of(farm).end()
    await farm.tick()

    def locked(*_: object) -> None:
        raise HubfarmError("the mutex is held")

    monkeypatch.setattr(farm.lockdir, "clear_dead", locked)
    worker_of(farm).serve()
    await farm.tick()
    assert hub.life.phase is Phase.RUNNING


@in_a_loop
async def test_worker_that_says_why_it_cannot_serve_is_believed(paths: Paths) -> None:
    farm = FakeFarm(paths)
    await farm.running("mima")
    worker_of(farm).report(Report.FAILED, "the disk is full")
    worker_of(farm).end()
    await farm.tick()
    assert read_history(paths)[-1].reason == "the disk is full"


@in_a_loop
async def test_hub_that_ended_as_nobody_used_it_is_gone_with_its_socket_and_its_journal(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima", restart=Restart.ALWAYS)
    paths.journal(1).write_bytes(b"x")
    account(farm, hub, End.UNUSED, "unused for 5 s")
    worker_of(farm).end(in_order=True)
    await farm.tick()
    assert (farm.hubs.by_id(), paths.journal(1).exists()) == ({}, False)
    assert hub.sock is not None
    assert hub.sock.fileno() == -1
    assert [each.how for each in read_history(paths)] == [End.UNUSED]


@in_a_loop
async def test_hub_that_ended_in_order_is_replaced_if_it_always_is(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima", restart=Restart.ALWAYS)
    account(farm, hub, End.STOPPED, "by SIGTERM")
    worker_of(farm).end(in_order=True)
    await farm.tick()
    assert len(farm.workers.made) == 2
    assert [each.how for each in read_history(paths)] == [End.STOPPED]  # a crash it was not


@in_a_loop
async def test_worker_that_makes_way_keeps_its_journal_for_its_successor(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima", restart=Restart.NEVER)
    paths.journal(1).write_bytes(b"x")
    hub.replacing = True
    await farm.tick()
    assert worker_of(farm).signals == [signal.SIGQUIT]
    account(farm, hub, End.RESTARTED, "restarted")
    worker_of(farm).end(in_order=True)
    await farm.tick()
    assert (len(farm.workers.made), hub.left, paths.journal(1).exists()) == (2, HubName(5001, 1), True)
    assert [each.how for each in read_history(paths)] == [End.RESTARTED]


@in_a_loop
async def test_worker_that_made_way_for_nobody_leaves_nothing_behind(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    left = paths.lockdir / "samp-hub-5001-1"
    left.write_text("")
    hub.replacing = True
    await farm.tick()
    hub.wanted = False  # somebody stops it while it makes way
    account(farm, hub, End.RESTARTED, "restarted")
    worker_of(farm).end(in_order=True)
    await farm.tick()
    assert not left.exists()
    assert farm.hubs.by_id() == {}


@in_a_loop
async def test_what_becomes_of_a_worker_is_said_with_its_hub_and_process(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    with logged() as log:
        worker_of(farm).end()
        await farm.tick()
        paths.journal(1).write_bytes(b"poison")
        hub._set_journal_aside()
        hub._set_journal_aside()  # there is none any more
    (aside,) = paths.journals.iterdir()
    for line in (
        f"ERROR {hub.name} (id 1, process 5001) crashed: as the test says",
        f"INFO {hub.name} is replaced (restart 1)",
        f"ERROR {hub.name}: none of its workers came to serve; journal set aside as {aside}",
    ):
        assert log.count(line) == 1


@in_a_loop
async def test_hub_that_came_up_never_has_its_journal_set_aside_before_the_last_try_and_then_has_failed(
    paths: Paths,
) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    (paths.logs / "mima.log").write_text("".join(f"line {n}\n" for n in range(10)))
    paths.journal(1).write_bytes(b"poison")
    worker_of(farm).end()
    for forks in range(2, 7):
        while not hub.gone.done() and len(farm.workers.made) < forks:
            await farm.tick()
        worker_of(farm).end()
        assert paths.journal(1).exists() == (forks < 6)
    await farm.tick()
    assert hub.gone.done()
    assert [path.name.partition("-2")[0] for path in paths.journals.iterdir()] == ["hub-1.damaged"]
    ending = read_history(paths)[-1]
    assert (ending.how, ending.pid, ending.uptime) == (End.FAILED, 0, 0.0)
    assert ending.reason.splitlines() == [
        "died early 5 times in a row: as the test says",
        *(f"line {n}" for n in range(5, 10)),
    ]


@in_a_loop
async def test_worker_that_hangs_is_killed_once_and_said_to_have_hung(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    hub.hang(5.0)
    hub.hang(6.0)
    assert worker_of(farm).signals == [signal.SIGKILL]
    worker_of(farm).end()
    await farm.tick()
    assert [each.how for each in read_history(paths)] == [End.HUNG]
    assert farm.workers.specs[-1].fell


@in_a_loop
async def test_only_a_hub_that_serves_is_told_to_open_its_log_anew(paths: Paths) -> None:
    farm = FakeFarm(paths)
    (hub,) = await farm.running("mima")
    hub.reopen_log()
    assert worker_of(farm).signals == [signal.SIGHUP]
    worker_of(farm).end()
    await farm.tick()
    assert hub.life.phase is Phase.STARTING
    hub.reopen_log()
    assert worker_of(farm).signals == []


@in_a_loop
async def test_adopted_hub_is_asked_for_its_socket_and_binds_it_anew_if_it_never_comes(paths: Paths) -> None:
    farm = FakeFarm(paths)
    claim = publish(paths, number=3, label="mima")
    try:
        hub = farm.hubs.make(SPEC, left=claim.name)
        assert farm.supervisor.adopt(hub)
        assert farm.workers.adopted[-1].signals == [signal.SIGUSR2]
        assert (hub.held_by, hub.sock, hub.left) == (claim.name, None, None)
        farm.workers.adopted[-1].end()
        await farm.tick()
        assert farm.workers.sockets[-1].getsockname()[0] == "127.0.0.1"
    finally:
        claim.withdraw()


@in_a_loop
async def test_hub_with_nobody_to_take_over_is_not_adopted(paths: Paths) -> None:
    farm = FakeFarm(paths)
    assert not farm.hubs.make(SPEC).adopt()
    farm.workers.dead.add(4711)
    assert not farm.hubs.make(SPEC, left=HubName(4711, 3)).adopt()


def test_last_lines_of_a_log_that_cannot_be_read_are_none(paths: Paths) -> None:
    assert last_lines(paths.logs / "none", 5) == ""
    os.symlink("nowhere", paths.logs / "broken")
    assert last_lines(paths.logs / "broken", 5) == ""
