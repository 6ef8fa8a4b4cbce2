"""Finding hubs, choosing one, and coming back to it."""

import os
import pty
import queue
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hubfarm import (
    SAMP_HUB_MULTIPLE_INSTANCE,
    Farm,
    HubfarmError,
    HubInfo,
    SAMPHubError,
    SAMPHubProxy,
    SAMPHubServer,
    SAMPIntegratedClient,
    WrongUse,
)
from hubfarm.client.calls import SAMPHubUnreachable
from hubfarm.registry.paths import Paths
from hubfarm.samp.lockfile import lock_url
from tests.client.client_support import Inbox
from tests.conftest import RunCli
from tests.support import PATIENCE, Receiver, read_lock_file, running, wait_for


@pytest.fixture
def hubs(home: Path) -> Iterator[list[SAMPHubServer]]:
    """Three hubs: mima-1 and mima-2 of luigi's, vandels-1 of anna's."""
    made = [
        SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label=label, owner=owner, owner_group=label[:-2])
        for label, owner in (("mima-1", "luigi"), ("mima-2", "luigi"), ("vandels-1", "anna"))
    ]
    for hub in made:
        hub.start()
    yield made
    for hub in made:
        hub.stop()


@pytest.fixture
def client() -> Iterator[SAMPIntegratedClient]:
    with SAMPIntegratedClient("test") as one:
        yield one


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"


def write_lock_file(path: Path, url: str, host: str = "") -> None:
    """Write a foreign hub's lock file, or that of a farm's hub on another host."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    farms = f"hubfarm.host={host}\n" if host else ""
    path.write_text(f"samp.secret=x\nsamp.hub.xmlrpc.url={url}\nsamp.profile.version=1.3\n{farms}")


# ---------------------------------------------------------------------- which run


def test_running_hubs_are_those_that_answer_by_lock_file(hubs: list[SAMPHubServer], home: Path, silent: str) -> None:
    for number in range(20):
        write_lock_file(home / ".samp-1" / f"samp-hub-slow-{number}", silent)
    write_lock_file(home / ".samp-1" / "samp-hub-dead", "http://127.0.0.1:9/")
    begun = time.monotonic()
    with SAMPHubServer() as single:
        found = SAMPHubProxy().get_running_hubs(timeout=1)
    assert time.monotonic() - begun < 15, "twenty slow ones are waited for together, 1 s, not 20"
    assert found[str(home / ".samp")] == single.params
    assert [tokens["hub.label"] for tokens in found.values()] == ["", "mima-1", "mima-2", "vandels-1"]


def test_the_hub_of_samp_hub_is_listed_once(
    hubs: list[SAMPHubServer], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMP_HUB", Farm().environment("mima-1")["SAMP_HUB"])
    assert len(SAMPHubProxy.get_running_hubs()) == 3
    monkeypatch.setenv("SAMP_HUB", lock_url(home / "elsewhere"))
    with SAMPHubServer() as other:
        assert SAMPHubProxy.get_running_hubs()[(home / "elsewhere").as_uri()] == other.params


def test_hub_on_another_hosts_loopback_is_not_asked(paths: Paths, receiver: Receiver) -> None:
    write_lock_file(paths.lockdir / "samp-hub-4711-1", receiver.url, "elsewhere")
    write_lock_file(paths.lockdir / "samp-hub-4711-2", receiver.url.replace("127.0.0.1", "localhost"), "elsewhere")
    assert SAMPHubProxy.get_running_hubs() == {}
    assert receiver.received.empty()
    write_lock_file(paths.lockdir / "samp-hub-4711-3", receiver.url)
    assert [tokens["samp.hub.xmlrpc.url"] for tokens in SAMPHubProxy.get_running_hubs().values()] == [receiver.url]
    assert receiver.next().method == "samp.hub.ping"


# ---------------------------------------------------------------------- which is meant


def label_of(client: SAMPIntegratedClient) -> str:
    return client.hub.lockfile["hub.label"]


@pytest.mark.parametrize(
    "names", [{"label": "vandels-1"}, {"label": "van"}, {"owner": "anna"}, {"group": "vandels"}], ids=str
)
def test_a_hub_is_chosen_by_its_names(
    hubs: list[SAMPHubServer], client: SAMPIntegratedClient, names: dict[str, str]
) -> None:
    client.connect(**names)  # type: ignore[arg-type]
    assert label_of(client) == "vandels-1"


def test_a_whole_label_is_meant_before_one_that_begins_with_it(
    hubs: list[SAMPHubServer], client: SAMPIntegratedClient
) -> None:
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="mima-10"):
        client.connect(label="mima-1")
        assert label_of(client) == "mima-1"


def test_several_that_match_are_listed(hubs: list[SAMPHubServer], client: SAMPIntegratedClient) -> None:
    for caught in (SAMPHubError, ValueError):
        with pytest.raises(caught, match="2 hubs have the group 'mima': mima-1, mima-2"):
            client.connect(group="mima")
    client.connect(label="mima-2", group="mima")
    assert label_of(client) == "mima-2"


def test_none_that_matches_is_an_error_that_lists_what_there_is(
    hubs: list[SAMPHubServer], client: SAMPIntegratedClient
) -> None:
    with pytest.raises(SAMPHubError, match="there are mima-1, mima-2, vandels-1"):
        client.connect(label="nobody")
    assert not client.is_connected


def test_without_a_choice_it_is_the_hub_of_samp_hub(
    hubs: list[SAMPHubServer], client: SAMPIntegratedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMP_HUB", Farm().environment("mima-2")["SAMP_HUB"])
    client.connect()
    assert label_of(client) == "mima-2"


def test_a_lock_file_by_its_path_its_url_and_its_content(
    hubs: list[SAMPHubServer], client: SAMPIntegratedClient
) -> None:
    path = Farm().find("mima-1").lock_file
    for hub in (str(path), path, path.as_uri(), lock_url(path)):
        client.connect(hub)
        assert label_of(client) == "mima-1"
        client.disconnect()
    client.connect(hub_params=read_lock_file(path))
    assert label_of(client) == "mima-1"


def test_a_lock_file_served_over_http(hubs: list[SAMPHubServer], client: SAMPIntegratedClient) -> None:
    text = Farm().find("mima-1").lock_file.read_bytes()

    class Serve(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in ("/lock", "/large") else 404)
            self.end_headers()
            for part in (text[:20], text[20:]):  # two packets: the second has to be waited for
                self.wfile.write(part)
                self.wfile.flush()
                time.sleep(0.05)
            if self.path == "/large":
                self.wfile.write(b"#" * 70_000)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Serve) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        client.connect(f"{url}/lock")
        assert label_of(client) == "mima-1"
        client.disconnect()
        with pytest.raises(SAMPHubError, match="404"):
            client.connect(f"{url}/other")
        with pytest.raises(SAMPHubError, match="larger than 65536 bytes"):
            client.connect(f"{url}/large")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "missing"), ("nonsense", "key=value"), ("samp.secret=x", "lacks")], ids=str
)
def test_a_lock_file_that_is_none_is_an_error_that_says_why(
    home: Path, client: SAMPIntegratedClient, content: str | None, said: str
) -> None:
    if content is not None:
        (home / ".samp").write_text(content)
    with pytest.raises(SAMPHubError, match=said):
        client.connect()


def test_something_that_is_no_hub_and_something_that_is_silent_are_errors_in_time(
    home: Path, client: SAMPIntegratedClient, silent: str
) -> None:
    for url in (silent, "http://127.0.0.1:9/"):
        with pytest.raises(SAMPHubError, match=url):
            client.connect(hub_params={"samp.secret": "x", "samp.hub.xmlrpc.url": url}, timeout=0.5)


def test_two_ways_to_name_a_hub_are_wrong_use(hubs: list[SAMPHubServer], client: SAMPIntegratedClient) -> None:
    with pytest.raises(ValueError, match="one way"):
        client.connect(hubs[0], hub_params=hubs[1].params)
    with pytest.raises(ValueError, match="not both"):
        client.connect(hubs[0], choose=True)


@pytest.mark.parametrize("named", ["nonsense", "std-lockurl:file://elsewhere/lock", "std-lockurl:http://[::1"])
def test_a_name_that_names_no_lock_file_is_an_error_of_the_hub_and_of_the_value(
    client: SAMPIntegratedClient, monkeypatch: pytest.MonkeyPatch, named: str, home: Path
) -> None:
    monkeypatch.setenv("SAMP_HUB", named)
    for caught in (SAMPHubError, ValueError):
        with pytest.raises(caught):
            client.connect()


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1/", ""])
def test_a_lock_file_with_a_url_that_is_none_is_an_error_that_says_so(client: SAMPIntegratedClient, url: str) -> None:
    with pytest.raises(SAMPHubError, match="describes no hub"):
        client.connect(hub_params={"samp.secret": "x", "samp.hub.xmlrpc.url": url})


# ---------------------------------------------------------------------- on a terminal


def test_choose_without_a_terminal_shows_how_to_select_by_name(hubs: list[SAMPHubServer], cli: RunCli) -> None:
    done = cli("choose", "--group", "mima")
    assert done.returncode == 2
    assert "hubfarm env mima-1" in done.stderr
    for caught in (SAMPHubError, WrongUse):
        with pytest.raises(caught, match="connect\\(label='mima-1'\\)"):
            SAMPIntegratedClient().connect(choose=True)


def test_choose_with_the_arrow_keys_prints_the_line_for_the_shell(hubs: list[SAMPHubServer]) -> None:
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "hubfarm", "choose", "--group", "mima"]
    with running(*command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        deadline = time.monotonic() + PATIENCE
        while b"mima-2" not in shown and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 4096)
                if b"\x1b[6n" in shown:  # asks where its cursor is
                    os.write(terminal, b"\x1b[1;1R")
        os.write(terminal, b"\x1b[B\r")
        output, _ = process.communicate(timeout=PATIENCE)
    os.close(terminal)
    assert output == f"export SAMP_HUB={Farm().environment('mima-2')['SAMP_HUB']}\n"


# ---------------------------------------------------------------------- coming back


def talks(client: SAMPIntegratedClient, other: SAMPIntegratedClient) -> bool:
    try:
        return client.is_connected and client.get_public_id() in other.get_registered_clients()
    except HubfarmError:
        return False


def test_a_client_comes_back_to_a_hub_that_was_replaced(farm: Farm) -> None:
    hub: HubInfo = farm.start(label="phoenix")[0]
    heard = Inbox()
    with SAMPIntegratedClient("one", metadata={"my.key": "x"}) as one, SAMPIntegratedClient("two") as two:
        one.bind_receive_notification("my.notification", heard)
        one.connect(label="phoenix", reconnect=True)
        two.connect(label="phoenix", reconnect=True)
        farm.restart(["phoenix"])
        wait_for(lambda: talks(one, two), "both have come back")
        assert two.get_metadata(str(one.get_public_id()))["my.key"] == "x"
        two.enotify_all("my.notification")
        heard.next()
        assert hub.pid is not None


def test_a_client_finds_its_hub_by_label_at_another_url(home: Path) -> None:
    first = SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="moving")
    first.start()
    with SAMPIntegratedClient("one") as one:
        one.connect(label="moving", reconnect=True)
        first.stop()
        wait_for(lambda: not one.is_connected, "the client knows that its hub has gone")
        with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="moving") as second:
            assert second.params["samp.secret"] != first.params["samp.secret"]
            wait_for(lambda: one.is_connected, "the client has come back")
            assert one.hub.lockfile["samp.secret"] == second.params["samp.secret"]
            one.disconnect()


def test_a_client_that_does_not_ask_for_it_stays_away(farm: Farm) -> None:
    farm.start(label="phoenix")
    with SAMPIntegratedClient("one") as one:
        one.connect(label="phoenix")
        farm.stop(["phoenix"])
        farm.start(label="phoenix")
        with pytest.raises(SAMPHubUnreachable):
            one.get_registered_clients()


def test_an_ordered_restart_is_nothing_to_a_client(farm: Farm) -> None:
    farm.start(label="phoenix")
    with SAMPIntegratedClient("one") as one, SAMPIntegratedClient("two") as two:
        one.connect(label="phoenix")
        two.connect(label="phoenix")
        heard: queue.Queue[str] = queue.Queue()
        two.on_notification("test.*")(lambda message: heard.put(message.params["n"]))
        two.declare_subscriptions()
        farm.restart(["phoenix"])
        assert one.get_registered_clients() == ["hub", two.get_public_id()]
        one.enotify_all("test.message", n="1")
        assert heard.get(timeout=PATIENCE) == "1"


def test_a_killed_worker_is_nothing_to_a_client_that_reconnects(farm: Farm) -> None:
    hub = farm.start(label="phoenix")[0]
    with SAMPIntegratedClient("one") as one, SAMPIntegratedClient("two") as two:
        one.connect(label="phoenix", reconnect=True)
        two.connect(label="phoenix", reconnect=True)
        assert hub.pid is not None
        os.kill(hub.pid, signal.SIGKILL)
        wait_for(lambda: [one.pid for one in farm.hubs()] not in ([], [hub.pid]), "the worker was replaced")
        wait_for(lambda: talks(one, two), "both have come back")
