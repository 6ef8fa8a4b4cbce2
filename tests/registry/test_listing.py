"""What the registry tells of hubs: those that live, hang, are dead, foreign, of another farm, or have ended."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfarm.registry.claim import Claim
from hubfarm.registry.history import End, record_end
from hubfarm.registry.listing import HubInfo, describe_answering, ended_hubs, found_hubs
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import Record
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.rhythm import HUNG_AFTER
from hubfarm.spec.states import HubKind, HubState
from tests.registry.registry_support import ASTROPY, FOREIGN_URL, dead_hub, publish

COUNTS = {"clients": 4, "accepted": 5, "delivered": 6, "failed": 7, "queued": 8, "queued_bytes": 9, "peak": 10}


@pytest.fixture
def claim(paths: Paths) -> Iterator[Claim]:
    claim = publish(paths, 3, "mima")
    yield claim
    claim.withdraw()


def listed(paths: Paths, *answering: str) -> list[HubInfo]:
    return found_hubs(LockDir(paths), lambda urls: set(answering) & set(urls))


def say(path: Path, **tokens: str) -> None:
    """Give tokens of a lock file other values: ``say(path, restarts="2")`` the token ``hubfarm.restarts``."""
    said = {f"hubfarm.{key}": value for key, value in tokens.items()}
    kept = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in said]
    path.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in said.items()), ""]))


def test_living_hub_is_told_by_its_lock_file_and_its_slot(paths: Paths, claim: Claim) -> None:
    now = time.monotonic()
    record = Record(*claim.name, HubState.DRAINING, started=now - 100, beat=now, active=now - 10, **COUNTS)
    claim.write(record)
    say(claim.path, restarts="2", timeout="60", version="1.2", access="users", allow="user:luigi%20m group:mima")
    (hub,) = listed(paths)
    assert (hub.pid, hub.id, hub.label, hub.state, hub.kind) == (*claim.name, "mima", HubState.DRAINING, HubKind.FARM)
    assert (hub.host, hub.url, hub.lock_file, hub.stable_name) == (
        paths.host, FOREIGN_URL, claim.path, paths.by_label / "mima",
    )  # fmt: skip
    assert (hub.clients, hub.messages, hub.delivered, hub.failed) == (4, 5, 6, 7)
    assert (hub.queued, hub.queued_bytes, hub.peak) == (8, 9, 10)
    assert hub.idle == pytest.approx(10, abs=9)
    assert hub.uptime == pytest.approx(100, abs=60)
    assert (hub.restarts, hub.timeout, hub.version, hub.problem) == (2, 60, "1.2", "")
    assert (hub.access, hub.allow) == ("users", ("user:luigi m", "group:mima"))
    assert hub.alive


def test_hub_whose_heart_stands_still_is_hung(paths: Paths, claim: Claim) -> None:
    then = time.monotonic() - HUNG_AFTER - 1
    claim.write(Record(*claim.name, HubState.RUNNING, started=then, beat=then, active=then))
    assert [hub.state for hub in listed(paths)] == [HubState.HUNG]


def test_dead_hub_has_no_numbers(paths: Paths) -> None:
    path = dead_hub(1, "mima")
    (hub,) = listed(paths)
    assert (hub.state, hub.alive, hub.lock_file, hub.stable_name) == (HubState.DEAD, False, path, None)
    assert (hub.clients, hub.messages, hub.queued, hub.idle, hub.uptime, hub.peak) == (None,) * 6


def test_foreign_hub_runs_if_it_answers_and_comes_last(paths: Paths, claim: Claim) -> None:
    paths.single.write_text(ASTROPY)
    assert [hub.state for hub in listed(paths)] == [HubState.STARTING, HubState.SILENT]
    ours, theirs = listed(paths, FOREIGN_URL)
    assert (ours.id, theirs.state, theirs.kind, theirs.pid) == (3, HubState.RUNNING, HubKind.FOREIGN, None)
    assert theirs.names.foreign
    assert theirs.restarts is None
    assert describe_answering(LockDir(paths).read(paths.single), paths) == theirs


def test_hub_of_another_farm_is_said_to_be_of_that(paths: Paths, claim: Claim) -> None:
    say(claim.path, guard="/elsewhere/farm/guards/samp-hub-1-1", **{"guard-file": "1:1"})
    assert [hub.problem for hub in listed(paths)] == ["of the farm in /elsewhere/farm"]


def test_numbers_that_no_hub_can_have_are_none(paths: Paths, claim: Claim) -> None:
    for word in ("nan", "-1", "inf", "x", ""):
        say(claim.path, timeout=word, restarts=word)
        assert [(hub.timeout, hub.restarts) for hub in listed(paths)] == [(None, None)]


def test_hub_is_written_as_json_and_as_html(paths: Paths, claim: Claim) -> None:
    now = time.monotonic()
    claim.write(Record(*claim.name, HubState.RUNNING, started=now - 7201, beat=now, active=now - 7201))
    (hub,) = listed(paths)
    told = hub.as_json()
    stable = paths.by_label / "mima"
    assert json.loads(json.dumps(told))["state"] == "running"
    assert (told["lock_file"], told["stable_name"]) == (str(claim.path), str(stable))
    assert told["samp_hub"] == f"std-lockurl:{stable.as_uri()}"
    assert "<tr><th>uptime</th><td>2:00:0" in hub._repr_html_()
    stable.unlink()
    (nameless,) = listed(paths)
    assert (nameless.as_json()["stable_name"], nameless.samp_hub) == (None, f"std-lockurl:{claim.path.as_uri()}")


def test_what_has_ended_for_good_is_told_once_a_label_unless_it_lives_again(paths: Paths) -> None:
    for number, (label, how) in enumerate(
        [("a", End.STOPPED), ("a", End.FAILED), ("b", End.CRASHED), ("c", End.UNUSED), ("d", End.DRAINED)], 1
    ):
        record_end(paths, HubSpec(id=number, label=label, owner="luigi"), 4711, how, "why", 12.0)
    ended = {hub.label: hub for hub in ended_hubs(paths, {"c"})}
    assert set(ended) == {"a", "d"}
    assert (ended["a"].id, ended["a"].pid, ended["a"].owner, ended["a"].uptime) == (2, 4711, "luigi", 12.0)
    assert (ended["a"].state, ended["a"].alive) == (HubState.FAILED, False)
    assert ended["a"].problem.endswith(": why")
