"""A farm end to end, by its Python face: real processes, real sockets, real clients."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from xmlrpc.client import Fault, ServerProxy

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.conftest import coordinator_suspended, processes_of, remains
from tests.support import Received, Receiver, StuckReceiver, is_dead, message, read_lock_file, wait_for


@pytest.fixture
def four(farm: Farm) -> list[HubInfo]:
    """Four hubs of the group mima."""
    return farm.start(count=4, group="mima")


@pytest.fixture
def other() -> Iterator[Receiver]:
    """A second client."""
    with Receiver() as one:
        yield one


@pytest.fixture
def third_port_taken() -> Iterator[int]:
    """The first of four ports in a row, of which the third is in use."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            if all(is_free(each) for each in (port - 2, port - 1, port + 1)):
                yield port - 2
                return


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def labels(farm: Farm) -> list[str]:
    return [hub.label for hub in farm.hubs()]


def answers(url: str) -> bool:
    try:
        return ServerProxy(url).samp.hub.ping() == ""
    except OSError:
        return False


def files(home: Path) -> set[Path]:
    """The lock directory's files, logs and the coordinator's temporary files left out."""
    return {path for path in (home / ".samp-1").rglob("*") if not {"logs", "scratch"} & set(path.parts)}


def kill_and_wait(pid: int) -> None:
    """Kill a process of the farm as a crash would, and wait until it is dead."""
    process = psutil.Process(pid)
    process.kill()
    wait_for(lambda: is_dead(process), f"process {pid} dies")


def kill_coordinator(farm: Farm) -> None:
    status = farm.coordinator()
    assert status is not None
    kill_and_wait(status["pid"])


# ---------------------------------------------------------------------- starting


def test_four_hubs_have_distinct_lock_files_named_after_pid_and_id(four: list[HubInfo], home: Path) -> None:
    assert sorted((home / ".samp-1").glob("samp-hub-*")) == sorted(hub.lock_file for hub in four)
    assert [hub.lock_file.name for hub in four] == [f"samp-hub-{hub.pid}-{hub.id}" for hub in four]
    assert [hub.id for hub in four] == [1, 2, 3, 4]
    assert len({hub.pid for hub in four}) == 4
    assert {hub.state for hub in four} == {"running"}


def test_every_hub_answers_ping_and_passes_messages_between_its_own_clients(
    four: list[HubInfo], receiver: Receiver, other: Receiver
) -> None:
    for hub in four:
        assert answers(hub.url)
        receiver.join_by(hub.lock_file, "receiver", "test.of")
        other.join_by(hub.lock_file, "sender")
        assert other.hub.notifyAll(other.key, message("test.of", hub=hub.label)) == [receiver.id]
        expected = (receiver.key, other.id, message("test.of", hub=hub.label))
        assert receiver.next() == Received("samp.client.receiveNotification", expected)


def test_clients_of_one_hub_do_not_hear_those_of_another(
    four: list[HubInfo], receiver: Receiver, other: Receiver
) -> None:
    receiver.join_by(four[0].lock_file, "receiver", "*")
    other.join_by(four[1].lock_file, "sender", "*")
    assert other.hub.notifyAll(other.key, message("test.of")) == []


def test_lock_files_carry_label_owner_and_group_under_both_spellings(farm: Farm) -> None:
    (hub,) = farm.start(label="deep field", owner="luigi", group="mima")
    tokens = read_lock_file(hub.lock_file)
    assert [tokens[f"samp.hub.{name}"] for name in ("label", "owner", "owner_group")] == ["deep field", "luigi", "mima"]
    assert [tokens[f"hub.{name}"] for name in ("label", "owner.name", "owner.group")] == ["deep field", "luigi", "mima"]
    assert hub.lock_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"group": "mima", "owner": "luigi"}, ["mima-1", "mima-2"]),
        ({"owner": "luigi"}, ["luigi-1", "luigi-2"]),
        ({}, ["hub-1", "hub-2"]),
        ({"label": "x", "group": "mima"}, ["x-1", "x-2"]),
        ({"label": "x", "count": 1}, ["x"]),
    ],
)
def test_labels_default_to_group_or_owner_or_hub_and_a_number(
    farm: Farm, given: dict[str, Any], expected: list[str]
) -> None:
    assert [hub.label for hub in farm.start(**{"count": 2} | given)] == expected


def test_numbers_of_default_labels_go_on(farm: Farm, four: list[HubInfo]) -> None:
    assert [hub.label for hub in four] == ["mima-1", "mima-2", "mima-3", "mima-4"]
    assert [hub.label for hub in farm.start(group="mima")] == ["mima-5"]


def test_label_in_use_is_an_error_that_says_by_which_hub(farm: Farm) -> None:
    (hub,) = farm.start(label="reduction")
    with pytest.raises(WrongUse, match=rf"reduction is in use by the hub {hub.pid}-{hub.id}\b"):
        farm.start(label="reduction")
    assert labels(farm) == ["reduction"]


def test_label_of_a_hub_whose_coordinator_died_is_in_use_still(farm: Farm) -> None:
    (hub,) = farm.start(label="reduction")
    kill_coordinator(farm)
    with pytest.raises(WrongUse, match=f"{hub.pid}-{hub.id}"):
        farm.start(label="reduction")


def test_port_is_the_first_hubs_and_the_next_ones_follow(farm: Farm) -> None:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        if is_free(port + 1):
            break
    assert [hub.url.split(":")[-1] for hub in farm.start(count=2, port=port)] == [
        f"{port}/xmlrpc",
        f"{port + 1}/xmlrpc",
    ]


def test_none_starts_when_the_third_ones_port_is_in_use(farm: Farm, home: Path, third_port_taken: int) -> None:
    with pytest.raises(HubfarmError, match=f"{third_port_taken + 2}.*in use"):
        farm.start(count=4, port=third_port_taken)
    wait_for(lambda: not remains(home), "nothing is left")
    assert is_free(third_port_taken)
    assert is_free(third_port_taken + 1)


def test_those_that_serve_are_taken_down_when_the_third_cannot(farm: Farm, home: Path) -> None:
    (before,) = farm.start(label="before")
    files_before = files(home)
    obstacle = before.stable_name.with_name("mima-3")  # type: ignore[union-attr]
    obstacle.mkdir()
    with pytest.raises(HubfarmError, match="mima-3"):
        farm.start(count=4, group="mima")
    assert labels(farm) == ["before"]
    assert files(home) == files_before | {obstacle, farm.paths.history}
    assert answers(before.url)


def test_failed_start_in_an_empty_farm_leaves_no_coordinator(farm: Farm, home: Path, third_port_taken: int) -> None:
    with pytest.raises(HubfarmError):
        farm.start(port=third_port_taken + 2)
    wait_for(lambda: not remains(home), "the coordinator that was started for it ends")
    assert [hub.label for hub in farm.start()] == ["hub-1"]


def test_failed_start_in_an_empty_farm_does_not_disturb_the_next(farm: Farm, third_port_taken: int) -> None:
    for _ in range(3):
        with pytest.raises(HubfarmError, match="in use"):
            farm.start(port=third_port_taken + 2)
    assert [hub.label for hub in farm.start()] == ["hub-1"]


def test_starts_at_the_same_instant_make_one_coordinator_and_all_hubs(farm: Farm, home: Path) -> None:
    command = [sys.executable, "-m", "hubfarm", "start", "--count", "2", "--group", "g"]
    starting = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(5)]
    errors = [process.communicate(timeout=60)[1] for process in starting]
    assert [process.returncode for process in starting] == [0] * 5, errors
    assert sorted(labels(farm)) == sorted(f"g-{number}" for number in range(1, 11))
    assert len({hub.id for hub in farm.hubs()}) == 10
    assert sum("hubfarm coordinator" in process.cmdline() for process in processes_of(home)) == 1


def test_start_while_the_coordinator_ends_gets_a_new_one(farm: Farm) -> None:
    with StuckReceiver() as stuck:
        (old,) = farm.start(label="old")
        stuck.join_by(old.lock_file, "stuck", "*")
        status = farm.coordinator()
        assert status is not None
        os.kill(status["pid"], signal.SIGTERM)
        wait_for(lambda: not old.lock_file.exists(), "the hub is ending, held up by a client that does not answer")
        (new,) = farm.start(label="new")
        assert answers(new.url)
        assert labels(farm) == ["new"]
        assert farm.coordinator() != status


# ---------------------------------------------------------------------- a hub of the farm


def test_hub_has_metadata_with_its_label_an_icon_and_a_page(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start(label="deep field", owner="luigi", group="mima")
    receiver.join_by(hub.lock_file)
    hub_id = ServerProxy(hub.url).samp.hub.register(read_lock_file(hub.lock_file)["samp.secret"])["samp.hub-id"]
    metadata = receiver.hub.getMetadata(receiver.key, hub_id)
    assert metadata["samp.name"] == "Hub"
    assert "deep field" in metadata["samp.description.text"]
    with urlopen(metadata["samp.icon.url"]) as icon:
        assert icon.headers["Content-Type"] == "image/png"
        assert icon.read().startswith(b"\x89PNG\r\n\x1a\n")
    with urlopen(metadata["samp.documentation.url"]) as page:
        assert page.headers["Content-Type"].startswith("text/html")
        assert "deep field" in page.read().decode()


def test_listing_tells_clients_and_messages(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start(timeout=3600)
    receiver.join_by(hub.lock_file)
    receiver.hub.notifyAll(receiver.key, message("test.of"))

    def told() -> tuple[int | None, int | None, float | None]:
        found = farm.find("1")
        return found.clients, found.messages, found.timeout

    wait_for(lambda: told() == (1, 1, 3600), "the hub's next heartbeat")


def test_unused_hub_ends_after_its_timeout_though_it_is_pinged_and_listed(farm: Farm, receiver: Receiver) -> None:
    used, unused = farm.start(count=2, group="mima", timeout=1)
    receiver.join_by(used.lock_file)

    def gone() -> bool:
        receiver.hub.notifyAll(receiver.key, message("test.of"))
        return not answers(unused.url) and labels(farm) == ["mima-1"]

    wait_for(gone, "the unused hub ends")
    assert not unused.lock_file.exists()
    assert answers(used.url)


def test_silent_client_is_told_and_thrown_out_after_the_client_timeout(
    farm: Farm, receiver: Receiver, other: Receiver
) -> None:
    (hub,) = farm.start(client_timeout=1)
    other.join_by(hub.lock_file, "alive", "samp.app.ping")
    receiver.join_by(hub.lock_file, "silent", "samp.hub.disconnect")
    method, (key, _, told) = receiver.next()
    assert (method, key, told["samp.mtype"]) == (
        "samp.client.receiveNotification",
        receiver.key,
        "samp.hub.disconnect",
    )
    with pytest.raises(Fault):
        receiver.hub.getRegisteredClients(receiver.key)
    method, (_, _, msg_id, asked) = other.next()
    assert (method, asked["samp.mtype"]) == ("samp.client.receiveCall", "samp.app.ping")
    other.hub.reply(other.key, msg_id, {"samp.status": "samp.ok", "samp.result": {}})
    assert other.hub.getRegisteredClients(other.key) == ["hub"]


# ---------------------------------------------------------------------- listing


def test_copy_of_a_lock_file_is_not_listed_twice(farm: Farm, four: list[HubInfo], home: Path) -> None:
    shutil.copy(four[1].lock_file, home / ".samp")
    assert [hub.lock_file for hub in farm.hubs()] == [hub.lock_file for hub in four]


def test_listing_asks_no_process_of_the_farm(farm: Farm, four: list[HubInfo], home: Path) -> None:
    stopped = processes_of(home)
    for process in stopped:
        process.suspend()
    try:
        assert [(hub.label, hub.state) for hub in farm.hubs()] == [(hub.label, "running") for hub in four]
    finally:
        for process in stopped:
            process.resume()


def test_hubs_are_listed_and_serve_on_after_the_coordinator_was_killed(
    farm: Farm, four: list[HubInfo], receiver: Receiver, other: Receiver
) -> None:
    kill_coordinator(farm)
    assert farm.coordinator() is None
    assert labels(farm) == ["mima-1", "mima-2", "mima-3", "mima-4"]
    receiver.join_by(four[2].lock_file, "receiver", "test.of")
    other.join_by(four[2].lock_file, "sender")
    other.hub.notify(other.key, receiver.id, message("test.of"))
    assert receiver.next().params == (receiver.key, other.id, message("test.of"))


def test_new_coordinator_starts_beside_the_hubs_of_a_killed_one(farm: Farm, four: list[HubInfo], home: Path) -> None:
    kill_coordinator(farm)
    (fifth,) = farm.start(group="mima")
    assert (fifth.id, fifth.label) == (5, "mima-5")
    assert labels(farm) == ["mima-1", "mima-2", "mima-3", "mima-4", "mima-5"]
    assert farm.stop(everything=True, coordinator=True) == ["mima-1", "mima-2", "mima-3", "mima-4", "mima-5"]
    wait_for(lambda: not processes_of(home), "no process is left")
    farm.gc()
    assert not remains(home)


def test_environment_names_a_lock_file_by_a_name_that_lasts(farm: Farm, four: list[HubInfo]) -> None:
    value = farm.environment("mima-2")["SAMP_HUB"]
    prefix = "std-lockurl:file://"
    assert value.startswith(prefix)
    named = Path(value.removeprefix(prefix))
    assert (named.parent.name, named.name) == ("by-label", "mima-2")
    assert read_lock_file(named) == read_lock_file(four[1].lock_file)


# ---------------------------------------------------------------------- selecting and stopping


def test_hub_is_found_by_id_label_its_unique_beginning_and_pid_id(farm: Farm, four: list[HubInfo]) -> None:
    (alone,) = farm.start(label="reduction")
    for selector in ("5", "reduction", "red", f"{alone.pid}-5"):
        assert farm.find(selector).lock_file == alone.lock_file


def test_whole_label_is_meant_before_a_beginning(farm: Farm) -> None:
    farm.start(label="mima-1")
    farm.start(label="mima-10")
    assert farm.find("mima-1").label == "mima-1"


def test_selector_of_no_hub_or_of_several_is_an_error_that_lists_them(farm: Farm, four: list[HubInfo]) -> None:
    for selector in ("mima", "", "5", "mima-5", "1-1", "mima-1x"):
        with pytest.raises(WrongUse, match="mima-1, mima-2, mima-3, mima-4"):
            farm.find(selector)


def test_nothing_is_stopped_when_one_selector_is_wrong(farm: Farm, four: list[HubInfo]) -> None:
    with pytest.raises(WrongUse, match="nonsense"):
        farm.stop(["mima-1", "nonsense"])
    with pytest.raises(WrongUse, match="4 hubs"):
        farm.stop(["mima"])
    assert len(farm.hubs()) == 4


def test_stop_needs_to_be_told_what(farm: Farm) -> None:
    with pytest.raises(WrongUse, match="which"):
        farm.stop()


@pytest.mark.parametrize("coordinated", [True, False], ids=["by the coordinator", "without a coordinator"])
def test_stop_ends_exactly_what_is_named(farm: Farm, coordinated: bool) -> None:
    farm.start(count=4, group="mima")
    farm.start(count=2, owner="luigi")
    farm.start(count=2, label="x", owner="mario", group="other")
    if not coordinated:
        kill_coordinator(farm)
    pid = farm.find("mima-4").pid
    assert farm.stop(["1", "mima-2", f"{pid}-4", "x-1"]) == ["mima-1", "mima-2", "mima-4", "x-1"]
    assert labels(farm) == ["mima-3", "luigi-1", "luigi-2", "x-2"]
    assert farm.stop(group="mima") == ["mima-3"]
    assert farm.stop(owner="luigi") == ["luigi-1", "luigi-2"]
    assert labels(farm) == ["x-2"]
    assert farm.stop(everything=True) == ["x-2"]
    assert {hub.state for hub in farm.hubs(everything=True)} == {"stopped"}


def test_nothing_is_left_after_stop_of_all_and_the_coordinator(farm: Farm, four: list[HubInfo], home: Path) -> None:
    assert remains(home)
    assert farm.stop(everything=True, coordinator=True) == [hub.label for hub in four]
    assert not any(answers(hub.url) for hub in four)
    wait_for(lambda: not remains(home), "nothing is left")


def test_stop_of_all_without_a_coordinator_leaves_no_hub(farm: Farm, four: list[HubInfo], home: Path) -> None:
    kill_coordinator(farm)
    farm.stop(everything=True, coordinator=True)
    assert not any(hub.lock_file.exists() for hub in four)
    wait_for(lambda: not processes_of(home), "no process is left")
    farm.gc()
    assert remains(home) == []


def test_hub_says_that_it_shuts_down_before_it_goes(farm: Farm, receiver: Receiver) -> None:
    (hub,) = farm.start()
    receiver.join_by(hub.lock_file, "receiver", "samp.hub.event.shutdown")
    farm.stop(["1"])
    _, (key, sender, told) = receiver.received.get_nowait()
    assert (key, sender, told) == (receiver.key, "hub", message("samp.hub.event.shutdown"))


def test_queued_messages_are_delivered_before_the_hub_ends(farm: Farm, other: Receiver) -> None:
    with StuckReceiver() as stuck:
        (hub,) = farm.start()
        stuck.join_by(hub.lock_file, "stuck", "test.of", "samp.hub.event.shutdown")
        other.join_by(hub.lock_file, "sender")
        for number in range(20):
            other.hub.notify(other.key, stuck.id, message("test.of", number=str(number)))
        stopping = threading.Thread(target=farm.stop, kwargs={"everything": True})
        stopping.start()
        wait_for(lambda: not hub.lock_file.exists(), "the hub is ending")
        stuck.gate.set()
        told = [stuck.next().params[2] for _ in range(21)]
        stopping.join()
    numbers = [each["samp.params"].get("number") for each in told]
    assert numbers == [str(number) for number in range(20)] + [None]
    assert told[-1]["samp.mtype"] == "samp.hub.event.shutdown"


def test_client_that_never_answers_does_not_keep_the_hub_from_ending(farm: Farm, home: Path) -> None:
    with StuckReceiver() as stuck:
        (hub,) = farm.start()
        stuck.join_by(hub.lock_file, "stuck", "*")
        farm.stop(everything=True, coordinator=True)
        wait_for(lambda: not remains(home), "nothing is left")


# ---------------------------------------------------------------------- clearing


def test_gc_removes_exactly_the_files_of_a_killed_hub_that_does_not_come_back(farm: Farm, home: Path) -> None:
    four = farm.start(count=4, group="mima", restart="never")
    before = files(home)
    killed = four[1]
    assert killed.pid is not None
    with coordinator_suspended(farm):  # or it would clear up itself
        kill_and_wait(killed.pid)
        assert [(hub.label, hub.state) for hub in farm.hubs(everything=True)][1] == ("mima-2", "dead")
        assert len(farm.hubs()) == 3
        its = {killed.lock_file, killed.stable_name, farm.paths.guards / killed.lock_file.name}
        for dry_run in (True, False):
            assert files(home) == before
            verdicts = farm.gc(dry_run=dry_run)
            assert {verdict.path for verdict in verdicts if verdict.removed} == its
            assert {verdict.path for verdict in verdicts if not verdict.removed} >= {
                hub.lock_file for hub in four if hub is not killed
            }
            assert all(verdict.reason for verdict in verdicts)
        assert files(home) == before - its
        assert all(answers(hub.url) for hub in farm.hubs())


def test_gc_clears_after_the_whole_farm_was_killed(farm: Farm, four: list[HubInfo], home: Path) -> None:
    for process in processes_of(home):
        process.kill()
    wait_for(lambda: not processes_of(home), "all are dead")
    # A process that is being killed loses its environment first, by which it is known, and its guard last.
    wait_for(lambda: {hub.state for hub in farm.hubs(everything=True)} == {"dead"}, "no guard is held")
    farm.gc()
    assert set(remains(home)) <= {str(farm.paths.control_socket)}
    assert [hub.label for hub in farm.start(count=4, group="mima")] == [hub.label for hub in four]


def test_gc_of_a_farm_that_never_ran_makes_nothing(farm: Farm, home: Path) -> None:
    assert farm.gc() == []
    assert list(home.iterdir()) == []


def test_hubs_to_end_are_named_in_one_way_and_a_group_and_an_owner_narrow_each_other(farm: Farm) -> None:
    farm.start(count=2, group="mima", owner="luigi")
    farm.start(group="mima", label="annas", owner="anna")
    farm.start(group="vandels", label="other", owner="luigi")
    for both in ({"selectors": ["other"], "group": "mima"}, {"group": "mima", "everything": True}):
        with pytest.raises(WrongUse, match="not two of these"):
            farm.stop(**both)
        with pytest.raises(WrongUse, match="not two of these"):
            farm.restart(**both)
    assert sorted(farm.stop(group="mima", owner="luigi")) == ["mima-1", "mima-2"]
    assert sorted(hub.label for hub in farm.hubs()) == ["annas", "other"]


def test_settings_that_are_wrong_leave_the_coordinator_that_runs(
    farm: Farm, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.start(label="h")
    before = farm.coordinator()
    (home / "settings.toml").write_text("late_beats = 'many'\n")
    monkeypatch.setenv("HUBFARM_CONFIG", str(home / "settings.toml"))
    with pytest.raises(WrongUse, match="late_beats"):
        farm.restart_coordinator()
    after = farm.coordinator()
    assert before is not None
    assert after is not None
    assert after["pid"] == before["pid"]
