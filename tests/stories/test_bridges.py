"""Hubs that are joined: their clients talk as if on one, whatever is killed, and no message comes twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import psutil
import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.conftest import RunCli
from tests.support import Receiver, message, running, wait_for

OK = {"samp.status": "samp.ok", "samp.result": {"said": "yes"}}


@pytest.fixture
def two(farm: Farm) -> tuple[HubInfo, HubInfo]:
    one, other = farm.start(count=2, group="h")
    return one, other


@pytest.fixture
def enter() -> Iterator[Callable[..., Receiver]]:
    """Enter a hub, as a client that keeps what it receives."""
    with ExitStack() as stack:
        yield lambda hub, name, *patterns: stack.enter_context(Receiver()).join_by(hub.lock_file, name, *patterns)


def seen(client: Receiver, name: str) -> list[str]:
    """Return the public ids of those that a client's hub has under a name."""
    ids = client.hub.getRegisteredClients(client.key)
    return [id for id in ids if metadata_of(client, id).get("samp.name") == name]


def metadata_of(client: Receiver, id: str) -> dict[str, Any]:
    try:
        return dict(client.hub.getMetadata(client.key, id))  # type: ignore[arg-type]
    except Fault:
        return {}  # it has left meanwhile


def proxy_of(client: Receiver, name: str) -> str:
    """Wait until a client's hub has one proxy of this name, which is subscribed; return its public id."""

    def found() -> str | None:
        ids = seen(client, name)
        return ids[0] if len(ids) == 1 and client.hub.getSubscriptions(client.key, ids[0]) else None

    return str(wait_for(found, f"{name} is there"))


def texts(client: Receiver, count: int) -> list[str]:
    return [str(client.next().params[-1]["samp.params"]["text"]) for _ in range(count)]


def test_messages_of_all_kinds_cross_and_each_end_sees_who_it_talks_to(
    farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]
) -> None:
    a, b = enter(two[0], "A", "my.*"), enter(two[1], "B", "my.*")
    farm.bridges.join(["h-1", "h-2"])
    b_here, a_there = proxy_of(a, "B (h-2)"), proxy_of(b, "A (h-1)")
    said = metadata_of(a, b_here)
    assert (said["bridge.proxy.source"], said["hubfarm.bridge.of"].rpartition("/")[2]) == ("h-2", b.id)

    a.hub.notify(a.key, b_here, message("my.note", text="hello") | {"extra": "kept"})
    method, (_, sender, note) = b.next()
    assert (method, sender) == ("samp.client.receiveNotification", a_there)
    assert note == message("my.note", text="hello") | {"extra": "kept"}

    a.hub.call(a.key, b_here, "tag", message("my.question"))
    method, (_, sender, msg_id, _) = b.next()
    assert (method, sender) == ("samp.client.receiveCall", a_there)
    b.hub.reply(b.key, msg_id, OK)
    assert a.next() == ("samp.client.receiveResponse", (a.key, b_here, "tag", OK))

    a.hub.call(a.key, b_here, "tag", message("my.question"))
    failed = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "no", "more": {"code": "7"}}}
    b.hub.reply(b.key, b.next().params[2], failed)
    assert a.next().params[3] == failed


def test_broadcasts_reach_each_client_once_and_a_call_to_all_gets_each_answer(
    farm: Farm, enter: Callable[..., Receiver]
) -> None:
    hubs = farm.start(count=3, group="h")
    clients = [enter(hub, f"C{number}", "my.*") for number, hub in enumerate(hubs)]
    for pair in (("h-1", "h-2"), ("h-2", "h-3"), ("h-3", "h-1")):  # a circle
        farm.bridges.join(pair)
    for client, own in zip(clients, range(3), strict=True):
        for number in {0, 1, 2} - {own}:
            proxy_of(client, f"C{number} (h-{number + 1})")
    for number in range(30):
        clients[number % 3].hub.notifyAll(clients[number % 3].key, message("my.text", text=str(number)))
    for own, client in enumerate(clients):
        assert sorted(map(int, texts(client, 20))) == [number for number in range(30) if number % 3 != own]
    clients[0].hub.callAll(clients[0].key, "tag", message("my.question"))
    for client in clients[1:]:
        client.hub.reply(client.key, client.next().params[2], OK)
    answers = [clients[0].next() for _ in range(2)]
    assert {metadata_of(clients[0], each.params[1])["samp.name"] for each in answers} == {"C1 (h-2)", "C2 (h-3)"}
    assert all(client.received.empty() for client in clients)


def test_of_two_bridges_between_the_same_hubs_the_older_has_the_proxies_and_the_other_takes_over(
    farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]
) -> None:
    (third,) = farm.start(label="third")
    a, b = enter(two[0], "A", "my.*"), enter(two[1], "B", "my.*")
    farm.bridges.join(["h-1", "h-2"], name="older")
    by = metadata_of(a, proxy_of(a, "B (h-2)"))["hubfarm.bridge.by"]
    farm.bridges.join(["h-1", "h-2", "third"], name="younger")
    c = enter(third, "C", "my.*")
    proxy_of(c, "A (h-1)")
    c_here = proxy_of(a, "C (third)")
    assert metadata_of(a, proxy_of(a, "B (h-2)"))["hubfarm.bridge.by"] == by
    assert metadata_of(a, c_here)["hubfarm.bridge.by"] != by
    a.hub.notifyAll(a.key, message("my.text", text="once"))
    assert texts(b, 1) == texts(c, 1) == ["once"]
    farm.bridges.end(["older"])
    assert metadata_of(a, proxy_of(a, "B (h-2)"))["hubfarm.bridge.by"] != by
    proxy_of(b, "A (h-1)")
    a.hub.notifyAll(a.key, message("my.text", text="again"))
    assert texts(b, 1) == texts(c, 1) == ["again"]
    assert b.received.empty()


def test_proxy_follows_its_client_and_goes_with_it_and_who_waits_for_it_is_told(
    farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]
) -> None:
    a, b = enter(two[0], "A"), enter(two[1], "B", "my.*")
    farm.bridges.join(["h-1", "h-2"])
    b_here = proxy_of(a, "B (h-2)")
    b.hub.declareSubscriptions(b.key, {"my.*": {"x": "1"}, "other.mtype": {}, "samp.hub.event.*": {}})
    wait_for(
        lambda: a.hub.getSubscriptions(a.key, b_here) == {"my.*": {"x": "1"}, "other.mtype": {}},
        "the proxy is subscribed as its client",
    )
    b.hub.declareMetadata(b.key, {"samp.name": "renamed"})
    assert proxy_of(a, "renamed (h-2)") == b_here
    a.hub.declareSubscriptions(a.key, {"my.own": {}})
    a.hub.call(a.key, b_here, "tag", message("my.question"))
    while b.next().method != "samp.client.receiveCall":  # the hub has told it things too
        pass
    b.hub.unregister(b.key)
    response = a.next().params[3]
    assert "has gone" in response["samp.error"]["samp.errortxt"]
    wait_for(lambda: not seen(a, "renamed (h-2)"), "the proxy has gone")
    with pytest.raises(Fault, match=r"not subscribed|no client"):
        a.hub.notify(a.key, b_here, message("my.text"))


def test_call_that_the_other_hub_refuses_is_answered(
    farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]
) -> None:
    a, b = enter(two[0], "A", "my.*"), enter(two[1], "B", "my.*")
    farm.bridges.join(["h-1", "h-2"])
    b_here = proxy_of(a, "B (h-2)")
    bridge = farm.bridges.find("h-1-h-2").state
    assert bridge is not None
    os.kill(bridge.pid, signal.SIGSTOP)  # it learns of what follows after the call
    try:
        a.hub.call(a.key, b_here, "tag", message("my.question"))
        b.hub.declareSubscriptions(b.key, {"other.mtype": {}})
    finally:
        os.kill(bridge.pid, signal.SIGCONT)
    response = a.next().params[3]
    assert response["samp.status"] == "samp.error"
    assert "not subscribed" in response["samp.error"]["samp.errortxt"]


def test_synchronous_call_crosses(farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]) -> None:
    a = enter(two[0], "A")
    with SAMPIntegratedClient("B") as client:
        client.connect(label="h-2")
        client.on_call("my.question")(lambda asked: {"said": asked.params["text"]})
        farm.bridges.join(["h-1", "h-2"])
        b_here = proxy_of(a, "B (h-2)")
        answer: Any = a.hub.callAndWait(a.key, b_here, message("my.question", text="yes"), "20")
        assert answer == OK


@pytest.mark.timeout(300)
def test_hubs_and_bridge_and_coordinator_may_be_killed(
    farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]
) -> None:
    a, b = enter(two[0], "A"), enter(two[1], "B", "my.*")
    farm.bridges.join(["h-1", "h-2"])
    b_here = proxy_of(a, "B (h-2)")
    for number, hub in enumerate(two):  # a hub goes on where it fell, and its proxies with it
        assert hub.pid is not None
        os.kill(hub.pid, signal.SIGKILL)
        wait_for(
            lambda hub=hub: [one for one in farm.hubs() if one.label == hub.label and one.pid != hub.pid], "it is back"
        )
        a.hub.notify(a.key, b_here, message("my.text", text=f"hub {number}"))
        wait_for(
            lambda text=f"hub {number}": texts(b, 1) == [text], "it has arrived"
        )  # what came before may come again
    coordinator = farm.coordinator()
    assert coordinator is not None
    before = farm.bridges.find("h-1-h-2").state
    assert before is not None
    os.kill(coordinator["pid"], signal.SIGKILL)
    wait_for(lambda: farm.coordinator() is None, "the coordinator has died")
    farm.start_coordinator()
    os.kill(before.pid, signal.SIGKILL)  # it was adopted: the new coordinator brings it back

    def is_back() -> bool:
        info = farm.bridges.find("h-1-h-2")
        return info.is_whole and info.state is not None and info.state.pid != before.pid

    wait_for(is_back, "the bridge is back")
    wait_for(lambda: seen(a, "B (h-2)") not in ([], [b_here]), "a proxy of the new one's")
    a.hub.notify(a.key, proxy_of(a, "B (h-2)"), message("my.text", text="bridge"))
    wait_for(lambda: texts(b, 1) == ["bridge"], "it has arrived")


def test_hub_that_ended_is_joined_again_when_it_is_there_again(
    farm: Farm, two: tuple[HubInfo, HubInfo], enter: Callable[..., Receiver]
) -> None:
    a = enter(two[0], "A", "my.*")
    enter(two[1], "B")
    farm.bridges.join(["h-1", "h-2"])
    wait_for(lambda: seen(a, "B (h-2)"), "B is there")
    farm.stop(["h-2"])
    wait_for(lambda: not seen(a, "B (h-2)"), "its proxies have gone")
    end = wait_for(lambda: next((e for e in farm.bridges.all()[0].state.ends if not e.joined), None), "it says so")  # type: ignore[union-attr]
    assert "h-2" in end.trouble
    (again,) = farm.start(label="h-2")
    b = enter(again, "B", "my.*")
    a.hub.notify(a.key, proxy_of(a, "B (h-2)"), message("my.text", text="again"))
    assert texts(b, 1) == ["again"]


def test_process_that_is_told_to_end_is_not_the_end_of_the_bridge(farm: Farm, two: tuple[HubInfo, HubInfo]) -> None:
    farm.bridges.join([hub.label for hub in two])
    state = farm.bridges.find("h-1-h-2").state
    assert state is not None
    farm.bridges.renew()

    def is_another() -> bool:
        info = farm.bridges.find("h-1-h-2")
        return info.is_whole and info.state is not None and info.state.pid != state.pid

    wait_for(is_another, "another process is the bridge")


def test_farm_that_ends_takes_its_bridges_along(farm: Farm, two: tuple[HubInfo, HubInfo]) -> None:
    farm.bridges.join(["h-1", "h-2"])
    state = farm.bridges.find("h-1-h-2").state
    assert state is not None
    farm.stop(everything=True, coordinator=True)
    wait_for(lambda: not psutil.pid_exists(state.pid), "its process has ended")
    assert farm.bridges.all() == []


def test_all_that_is_stopped_are_bridges_too_with_a_coordinator_or_without(
    farm: Farm, two: tuple[HubInfo, HubInfo]
) -> None:
    farm.bridges.join(["h-1", "h-2"])
    state = farm.bridges.find("h-1-h-2").state
    assert state is not None
    farm.end_coordinator()
    assert farm.bridges.find("h-1-h-2").is_whole
    assert farm.stop(everything=True) == ["h-1", "h-2"]
    wait_for(lambda: not psutil.pid_exists(state.pid), "its process has ended")
    assert farm.bridges.all() == []


@pytest.mark.usefixtures("two")
def test_what_no_bridge_can_be_is_refused(farm: Farm) -> None:
    for hubs, why in (
        (["h-1"], "two hubs or more"),
        (["h-1", "1"], "two hubs or more"),
        (["h-1", "nix"], "no running hub"),
        (["h-1", "h"], "h-1, h-2"),
    ):
        with pytest.raises(WrongUse, match=why):
            farm.bridges.join(hubs)
    with pytest.raises(HubfarmError, match="is missing"):
        farm.bridges.join(["h-1", "file:///nowhere/at/all"])
    with pytest.raises(WrongUse, match="not usable"):
        farm.bridges.join(["h-1", "h-2"], name="a/b")
    farm.bridges.join(["h-1", "h-2"], name="one")
    with pytest.raises(WrongUse, match="joins these hubs already"):
        farm.bridges.join(["h-2", "h-1"], name="two")
    with pytest.raises(WrongUse, match="there is no bridge 'two'; there is one"):
        farm.bridges.end(["two"])


@pytest.mark.usefixtures("two")
def test_commands_join_list_and_part(cli: RunCli) -> None:
    assert "there are no bridges" in cli("bridges").stderr
    done = cli("bridge", "h-1", "h-2")
    assert (done.returncode, done.stdout) == (0, "bridge h-1-h-2 joins h-1 and h-2\n")
    lines = cli("bridges", "--columns", "bridge,hub,state").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["BRIDGE", "HUB", "STATE"],
        ["h-1-h-2", "h-1", "joined"],
        ["h-1-h-2", "h-2", "joined"],
    ]
    for wrong in ((), ("h-1-h-2", "--all")):
        assert cli("unbridge", *wrong).returncode == 2
    assert cli("unbridge", "h-1-h-2").stdout == "ended h-1-h-2\n"
    assert cli("bridges", "--json").stdout.strip() == "[]"


def test_proxy_is_the_user_that_its_client_is_and_nobody_enters_who_may_not(
    farm: Farm, enter: Callable[..., Receiver]
) -> None:
    for user, group in (("anna", "mima"), ("otto", "other")):
        farm.users.add(user, "a password", groups=[group])
    (open_one,) = farm.start(label="open")
    farm.start(label="night", group="mima", access="group")
    anna, otto, nobody = (SAMPIntegratedClient(name) for name in ("Annas", "Ottos", "Nobodys"))
    inside = SAMPIntegratedClient("Inside")
    with anna, otto, nobody, inside:
        anna.connect(label="open", user="anna", password="a password")
        otto.connect(label="open", user="otto", password="a password")
        nobody.connect(label="open")
        inside.connect(label="night", user="anna", password="a password")
        farm.bridges.join(["open", "night"])

        def on_night() -> dict[str, str]:
            found = [inside.get_metadata(id) for id in inside.get_registered_clients()]
            return {each["samp.name"]: each.get("hubfarm.user", "") for each in found if "bridge.proxy.source" in each}

        def end() -> Any:
            state = farm.bridges.all()[0].state
            return next(each for each in state.ends if each.label == "night") if state else None

        wait_for(lambda: on_night() == {"Annas (open)": "anna"}, "anna's is in, as anna")
        wait_for(lambda: end().missing == 2, "the others are counted")
        looker = enter(open_one, "looker")
        proxy = wait_for(lambda: seen(looker, "Inside (night)"), "anna's client is on the open hub")
        assert metadata_of(looker, proxy[0])["hubfarm.user"] == "anna"


BOTH = """
[[hub]]
group = "h"
count = 2
[[bridge]]
hubs = ["h-1", "h-2"]
"""


def test_bridges_are_declared_in_a_farm_file(farm: Farm, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text(BOTH)
    changes = {change.label: change.action for change in farm.up(file)}
    assert changes == {"h-1": "start", "h-2": "start", "bridge h-1-h-2": "start"}
    assert farm.bridges.find("h-1-h-2").is_whole
    file.write_text(f"{BOTH}export_urls = false\n")
    assert [(each.label, each.action) for each in farm.up(file, dry_run=True)][-1] == ("bridge h-1-h-2", "differs")
    farm.up(file, replace_changed=True)
    wait_for(lambda: farm.bridges.find("h-1-h-2").is_whole, "the bridge is there anew")
    assert not farm.bridges.find("h-1-h-2").spec.export_urls
    file.write_text(BOTH.partition("[[bridge]]")[0])
    assert [each.label for each in farm.up(file, prune=True) if each.action == "stop"] == ["bridge h-1-h-2"]
    assert farm.bridges.all() == []


def test_service_of_a_farm_file_sees_to_its_bridges(farm: Farm, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text(BOTH)
    command = [sys.executable, "-m", "hubfarm", "up", str(file), "--foreground"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as service:
        assert service.stdout is not None
        service.stdout.readline()
        wait_for(lambda: [info.is_whole for info in farm.bridges.all()] == [True], "the bridge is there")
        file.write_text(BOTH.partition("[[bridge]]")[0])
        service.send_signal(signal.SIGHUP)
        wait_for(lambda: farm.bridges.all() == [], "it is gone with its lines")
        service.terminate()
        assert service.wait(30) == 0


def test_bridge_that_was_given_up_is_shown_as_failed_until_it_is_wanted_anew(
    farm: Farm, two: tuple[HubInfo, HubInfo], cli: RunCli
) -> None:
    farm.bridges.join(["h-1", "h-2"])

    def failed() -> bool:
        (info,) = farm.bridges.all()
        if info.state is not None:
            with suppress(ProcessLookupError):
                os.kill(info.state.pid, signal.SIGKILL)
        return bool(info.failure)

    wait_for(failed, "it is given up")  # after five early deaths in a row
    assert farm.bridges.all()[0].failure.endswith("in a row: killed by SIGKILL")
    assert cli("bridges", "--columns", "bridge,state").stdout.splitlines()[1].split() == ["h-1-h-2", "failed"]
    farm.bridges.join(["h-1", "h-2"])
    assert [(info.is_whole, info.failure) for info in farm.bridges.all()] == [(True, "")]
    farm.bridges.end(["h-1-h-2"])
    assert farm.bridges.all() == []
