"""A hub of another host, here: its clients on both are one hub's, whatever is cut or killed."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from xmlrpc.client import Fault

import psutil
import pytest

from hubfarm.farm import Farm
from hubfarm.gateway.hubs import Hubs
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.conftest import RunCli
from tests.far_host import FarHost
from tests.stories.test_bridges import OK, texts
from tests.support import Receiver, is_dead, message, wait_for

LABEL = "tel@far"


@pytest.fixture
def far(home: Path) -> Iterator[FarHost]:
    """Another host, with a hub ``tel``."""
    host = FarHost(home / "host")
    host.hubfarm("start", "--label", "tel")
    yield host
    host.hubfarm("stop", "--all", "--coordinator", "-y")


@pytest.fixture
def near(farm: Farm, far: FarHost) -> Path:
    """The lock file here of that hub."""
    assert far.connect(farm).is_up
    return farm.find(LABEL).stable_name  # type: ignore[return-value]


@pytest.fixture
def enter() -> Iterator[Callable[..., Receiver]]:
    """Enter a hub by its lock file, as a client that keeps what it receives."""
    with ExitStack() as stack:
        yield lambda path, name, *patterns: stack.enter_context(Receiver()).join_by(path, name, *patterns)


def is_away(farm: Farm) -> bool:
    return farm.find(LABEL).state == "away"


def is_reached(farm: Farm) -> bool:
    return farm.find(LABEL).state == "running"


def process_of(farm: Farm) -> psutil.Process:
    state = farm.connections.find(LABEL).state
    assert state is not None
    return psutil.Process(state.pid)


def test_programs_of_both_hosts_are_clients_of_one_hub(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver]
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    assert b.id in a.hub.getRegisteredClients(a.key)  # type: ignore[operator]
    assert b.hub.getMetadata(b.key, a.id) == {"samp.name": "A"}
    assert list(a.hub.getSubscribedClients(a.key, "my.note")) == [b.id]  # type: ignore[call-overload]

    a.hub.notify(a.key, b.id, message("my.note", text="hello") | {"extra": "kept"})
    assert b.next().params == (b.key, a.id, message("my.note", text="hello") | {"extra": "kept"})
    b.hub.call(b.key, a.id, "tag", message("my.question"))
    method, (key, sender, msg_id, _) = a.next()
    assert (method, key, sender) == ("samp.client.receiveCall", a.key, b.id)
    a.hub.reply(a.key, msg_id, OK)
    assert b.next() == ("samp.client.receiveResponse", (b.key, a.id, "tag", OK))

    def reply() -> None:
        b.hub.reply(b.key, b.next().params[2], OK)

    answering = Thread(target=reply)
    answering.start()
    assert a.hub.callAndWait(a.key, b.id, message("my.question"), "10") == OK
    answering.join()
    assert a.hub.notifyAll(a.key, message("my.text", text="all")) == [b.id]
    assert texts(b, 1) == ["all"]
    with pytest.raises(Fault, match="c99"):  # the hub's own words
        a.hub.notify(a.key, "c99", message("my.note"))

    wait_for(lambda: farm.find(LABEL).clients == 1, "it says who is in")
    door = farm.find(LABEL)
    assert (door.kind, door.state) == ("connected", "running")
    assert asyncio.run(Hubs(farm.paths).all()) == []  # no page is led to it
    a.hub.unregister(a.key)
    wait_for(lambda: a.id not in b.hub.getRegisteredClients(b.key), "A has left the hub")  # type: ignore[operator]


def test_door_lets_in_by_its_own_secret_and_no_page(near: Path, far: FarHost, enter: Callable[..., Receiver]) -> None:
    a, b = enter(near, "A"), enter(far.lock_file(), "B")
    for hub, key in ((a.hub, b.key), (b.hub, "x"), (a.hub, "x")):
        with pytest.raises(Fault, match=r"register|no client"):
            hub.getRegisteredClients(key)
    with pytest.raises(Fault, match="the secret is wrong"):
        a.hub.register("x")
    with pytest.raises(Fault, match="unknown method"):
        a.hub.sing()
    with pytest.raises(Fault, match="setXmlrpcCallback"):
        a.hub.pullCallbacks(a.key, "0")
    for header in ({"Origin": "https://a.example"}, {"Host": "a.example"}, {"X-Hubfarm-Door": "web 1"}):
        url = near.read_text().partition("samp.hub.xmlrpc.url=")[2].split("\n")[0]
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(url, b"x", header), timeout=20)


def test_line_that_is_lost_is_told_at_once_and_what_was_accepted_arrives_once_it_is_back(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver], cli: RunCli
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    far.cut()
    wait_for(lambda: "No route" in farm.connections.find(LABEL).trouble, "the line is lost, and cannot be made again")
    with pytest.raises(Fault, match=r"cannot be reached now.*No route to host.*tried again"):
        a.hub.notify(a.key, b.id, message("my.text", text="no"))
    assert is_away(farm)
    a.hub.ping()
    assert "lost 1 times: ssh has ended: ssh: connect to host far" in cli("status", LABEL).stdout
    assert "is not reached" in cli("logs", LABEL).stdout
    assert "this leads to a hub of another host" in cli("trace", LABEL).stderr
    for word in ("restart", "drain", "sleep"):
        assert cli(word, LABEL).returncode == 2
    assert "No route to host" in cli("connections", "--columns", "label,state,why", "--wide").stdout
    for number in range(10):
        b.hub.notify(b.key, a.id, message("my.text", text=str(number)))
    assert a.received.empty()
    far.mend()
    assert far.connect(farm).is_up  # it is tried at once
    assert texts(a, 10) == [str(number) for number in range(10)]
    a.hub.notify(a.key, b.id, message("my.text", text="yes"))
    assert texts(b, 1) == ["yes"]
    state = farm.connections.find(LABEL).state
    assert state is not None
    assert state.lost == 1


def test_program_that_leaves_while_the_line_is_lost_has_left_once_it_is_back(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver]
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    far.cut()
    wait_for(lambda: is_away(farm), "the line is lost")
    a.hub.unregister(a.key)
    assert a.id in b.hub.getRegisteredClients(b.key)  # type: ignore[operator]
    far.mend()
    far.connect(farm)
    wait_for(lambda: a.id not in b.hub.getRegisteredClients(b.key), "A has left the hub")  # type: ignore[operator]


def test_either_end_may_be_killed_and_nothing_accepted_is_lost(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver]
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    sent = {"a": 0, "b": 0}

    def send(who: Receiver, to: Receiver, name: str, upto: int) -> None:
        while sent[name] < upto:
            try:
                who.hub.notify(who.key, to.id, message("my.text", text=str(sent[name])))
            except (Fault, OSError):
                continue  # the line is lost, or the door is being replaced: said again, under the same number
            sent[name] += 1

    def under_load(break_it: Callable[[], object], upto: int) -> None:
        senders = [Thread(target=send, args=(a, b, "a", upto)), Thread(target=send, args=(b, a, "b", upto))]
        for sender in senders:
            sender.start()
        wait_for(lambda: sent["a"] > upto - 150 and sent["b"] > upto - 150, "messages cross")
        break_it()
        for sender in senders:
            sender.join()

    under_load(lambda: [agent.kill() for agent in far.agents()], 200)
    door = process_of(farm)
    under_load(door.kill, 400)
    hub = far.lock_file().resolve().name.split("-")[2]
    under_load(lambda: os.kill(int(hub), signal.SIGKILL), 600)
    wait_for(lambda: is_dead(door) and is_reached(farm), "the connection is there again")
    for who, name in ((a, "b"), (b, "a")):
        heard: set[str] = set()
        while len(heard) < 600:
            heard.add(texts(who, 1)[0])
        assert heard == {str(number) for number in range(sent[name])}
    assert sorted(a.hub.getRegisteredClients(a.key)) == sorted(["hub", b.id])  # type: ignore[type-var]


def test_files_are_carried_both_ways_and_are_what_they_were_when_they_come_back(
    far: FarHost, near: Path, enter: Callable[..., Receiver], tmp_path: Path
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    file = tmp_path / "m 31.fits"
    file.write_bytes(os.urandom(3_000_000))
    for who, other in ((a, b), (b, a)):
        who.hub.notify(who.key, other.id, message("my.file", url=file.as_uri(), more=[{"also": file.as_uri()}]))
        params = other.next().params[-1]["samp.params"]
        url = params["url"]
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/m%2031.fits")
        assert params["more"] == [{"also": url}]
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.read() == file.read_bytes()
        part = urllib.request.Request(url, headers={"Range": "bytes=10-19"})
        with urllib.request.urlopen(part, timeout=20) as answer:
            assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 10-19/3000000")
            assert answer.read() == file.read_bytes()[10:20]
        head = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(head, timeout=20) as answer:
            assert answer.headers["Content-Length"] == "3000000"
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(f"{url.rpartition('/')[0]}x/m31.fits", timeout=20)
        other.hub.notify(other.key, who.id, message("my.file", url=url))
        assert who.next().params[-1]["samp.params"]["url"] == file.as_uri()


def test_server_of_a_program_is_reached_from_the_other_host_by_the_url_that_it_says(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver], tmp_path: Path
) -> None:
    (tmp_path / "t.vot").write_text("a table")
    serve = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
        named = f"http://localhost:{port}/t.vot"
        for who, other in ((a, b), (b, a)):
            who.hub.notify(who.key, other.id, message("my.table", url=named, elsewhere="http://a.example/x"))
            params = other.next().params[-1]["samp.params"]
            assert params["elsewhere"] == "http://a.example/x"
            assert params["url"] != named
            with urllib.request.urlopen(params["url"], timeout=20) as answer:
                assert answer.read() == b"a table"
        url = params["url"]
        far.cut()
        wait_for(lambda: is_away(farm), "the line is lost")
        with pytest.raises(HTTPError, match="503"):
            urllib.request.urlopen(url, timeout=20)
        server.terminate()


def test_file_that_the_other_host_has_named_first_is_not_served_to_it(
    far: FarHost, near: Path, enter: Callable[..., Receiver], tmp_path: Path
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    secret = tmp_path / "secret"
    secret.write_text("s")
    b.hub.notify(b.key, a.id, message("my.file", url=secret.as_uri()))
    a.next()
    a.hub.notify(a.key, b.id, message("my.file", url=secret.as_uri()))  # says again what it was told, as it is here
    assert b.next().params[-1]["samp.params"]["url"] == secret.as_uri()


def test_nothing_is_carried_if_nobody_wants_it(
    farm: Farm, far: FarHost, enter: Callable[..., Receiver], tmp_path: Path
) -> None:
    far.connect(farm, carry_files=False)
    a = enter(farm.find(LABEL).lock_file, "A", "my.*")
    b = enter(far.lock_file(), "B", "my.*")
    for who, other in ((a, b), (b, a)):
        who.hub.notify(who.key, other.id, message("my.file", url="file:///etc/hostname"))
        assert other.next().params[-1]["samp.params"]["url"] == "file:///etc/hostname"


def test_program_that_has_died_leaves_the_hub(far: FarHost, near: Path, enter: Callable[..., Receiver]) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B")
    a.close_server()
    b.hub.notify(b.key, a.id, message("my.text", text="is anybody there"))
    wait_for(lambda: a.id not in b.hub.getRegisteredClients(b.key), "A is out")  # type: ignore[operator]


def test_program_that_the_hub_has_thrown_out_is_told(
    far: FarHost, near: Path, enter: Callable[..., Receiver], farm: Farm
) -> None:
    a = enter(near, "A", "samp.hub.*")
    far.hubfarm("stop", "tel")
    wait_for(lambda: is_away(farm), "the hub is not there any more")
    far.hubfarm("start", "--label", "tel")
    far.connect(farm)
    while a.next().params[-1]["samp.mtype"] not in ("samp.hub.event.shutdown", "samp.hub.disconnect"):
        pass
    wait_for(lambda: farm.find(LABEL).clients == 0, "nobody is in")


def test_what_is_ended_leaves_nothing(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver], cli: RunCli
) -> None:
    a, b = enter(near, "A", "samp.hub.event.shutdown"), enter(far.lock_file(), "B")
    process = process_of(farm)
    assert cli("disconnect", "nobody").returncode == 2
    assert cli("disconnect").returncode == 2
    assert cli("disconnect", LABEL).stdout == f"ended {LABEL}\n"
    wait_for(lambda: is_dead(process), "its process has ended")
    assert a.next().params[-1]["samp.mtype"] == "samp.hub.event.shutdown"
    assert a.id not in b.hub.getRegisteredClients(b.key)  # type: ignore[operator]
    assert farm.hubs() == []
    assert "there are no connections" in cli("connections").stderr
    assert far.agents() == []


def test_hub_elsewhere_is_stopped_here_as_others_are(farm: Farm, far: FarHost, near: Path) -> None:
    process = process_of(farm)
    assert farm.stop([LABEL]) == [LABEL]
    wait_for(lambda: is_dead(process), "its process has ended")
    assert farm.connections.all() == []
    far.connect(farm)
    farm.stop(everything=True)
    assert farm.connections.all() == []
    far.connect(farm)
    farm.stop(coordinator=True)
    assert farm.connections.all() == farm.hubs() == []


def test_new_process_goes_on_with_the_programs_that_are_in(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver]
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    before = process_of(farm)
    farm.connections.renew()
    wait_for(lambda: is_dead(before) and farm.connections.find(LABEL).is_up, "another process is there")
    b.hub.notify(b.key, a.id, message("my.text", text="still here"))
    assert texts(a, 1) == ["still here"]
    a.hub.notify(a.key, b.id, message("my.text", text="me too"))
    assert texts(b, 1) == ["me too"]


def test_new_coordinator_takes_it_on_and_looks_after_it(
    farm: Farm, far: FarHost, near: Path, enter: Callable[..., Receiver]
) -> None:
    a, b = enter(near, "A", "my.*"), enter(far.lock_file(), "B", "my.*")
    before, coordinator = process_of(farm), farm.coordinator()
    assert coordinator is not None
    os.kill(coordinator["pid"], signal.SIGKILL)
    farm.start(label="another")
    assert process_of(farm) == before
    before.kill()

    def is_another() -> bool:
        info = farm.connections.find(LABEL)
        return info.is_up and info.state is not None and info.state.pid != before.pid

    wait_for(is_another, "another process is there")
    b.hub.notify(b.key, a.id, message("my.text", text="still here"))
    assert texts(a, 1) == ["still here"]


def test_program_is_run_on_it_and_it_ends_with_the_program(farm: Farm, far: FarHost, cli: RunCli) -> None:
    how = ("--ssh", str(far.ssh), "--remote-hubfarm", far.remote_hubfarm)
    script = "import os; print(os.environ['SAMP_HUB']); raise SystemExit(7)"
    done = cli("connect", "ssh://far/tel", *how, "--", sys.executable, "-c", script)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("std-lockurl:file://")
    assert farm.connections.all() == []
    assert cli("connect", "ssh://far/tel", *how, "--", "no-such-program").returncode == 127
    assert farm.connections.all() == []


def test_what_cannot_be_reached_is_said_and_not_tried_on(farm: Farm, far: FarHost, cli: RunCli) -> None:
    with pytest.raises(HubfarmError, match=r"on far: .*nowhere"):
        far.connect(farm, "nowhere")
    with pytest.raises(HubfarmError, match=r"there is no no-hubfarm on far.*--remote-hubfarm"):
        far.connect(farm, remote_hubfarm="no-hubfarm")
    with pytest.raises(HubfarmError, match=r"what answers on far is no hubfarm|ssh has ended"):
        far.connect(farm, remote_hubfarm="echo")
    far.cut()
    with pytest.raises(HubfarmError, match="No route to host"):
        far.connect(farm)
    assert farm.connections.all() == []
    for wrong in ("ssh://far", "ssh://-oProxyCommand=x/tel", "ssh://u:password@far/tel", "ssh://far:x/tel"):
        done = cli("connect", wrong)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert cli("connect", "/nowhere/at/all").returncode in (1, 2)
    assert cli("connect", "ssh://far/tel", "--ssh", "'").returncode == 2


def test_label_is_free_or_it_is_refused(farm: Farm, far: FarHost) -> None:
    farm.start(label="here")
    with pytest.raises(WrongUse, match="the label here is in use"):
        farm.connections.connect("ssh://far/tel", label="here")
