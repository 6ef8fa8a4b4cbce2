"""Web pages on a hub in a program: browsers speak with it, a dialogue asks the user, and pages read what they may."""

import http.client
import os
import pty
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xmlrpc.client import Fault, ServerProxy, dumps, loads

import psutil
import pytest

from hubfarm import SAMP_HUB_MULTIPLE_INSTANCE, SAMPHubServer, SAMPIntegratedClient, SAMPWarning, WebProfileDialog
from hubfarm.hub.profiles import web_port as web_port_module
from hubfarm.worker import consent as consent_module
from tests.support import ROOT, message, wait_for

PAGE = "https://a.example"


class Dialogue(WebProfileDialog):
    """Answers as a test says; None: not at all."""

    def __init__(self, answer: bool | None = True) -> None:
        self.answer = answer
        self.shown: list[tuple[str, Any, Any, str]] = []
        self._polls = True
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def show_dialog(self, samp_name: str, details: Any, client: Any, origin: str) -> None:
        self.shown.append((samp_name, details, client, origin))
        if self.answer is not None:
            self.consent() if self.answer else self.reject()

    def _poll(self) -> None:
        while self._polls:
            self.handle_queue()
            time.sleep(0.01)

    def stop(self) -> None:
        self._polls = False
        self._thread.join()


@pytest.fixture
def dialogue() -> Iterator[Dialogue]:
    one = Dialogue()
    yield one
    one.stop()


@pytest.fixture
def hub(home: Path, dialogue: Dialogue) -> Iterator[SAMPHubServer]:
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="w", web_profile_dialog=dialogue, web_port=0) as one:
        yield one


@pytest.fixture
def program(hub: SAMPHubServer) -> Iterator[SAMPIntegratedClient]:
    with SAMPIntegratedClient("program") as one:
        one.connect(hub)
        yield one


class Browser:
    """Sends what a browser does for a page."""

    def __init__(self, hub: SAMPHubServer, origin: str = PAGE) -> None:
        self.port = hub._web_port
        self.origin = origin

    def ask(
        self, method: str, target: str = "/", body: bytes = b"", **fields: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, target, skip_host="Host" in fields, skip_accept_encoding=True)
        for name, value in ({"Origin": self.origin} | fields).items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def call(self, method: str, *params: Any) -> Any:
        status, fields, body = self.ask("POST", body=dumps(params, f"samp.webhub.{method}").encode())
        assert status == 200
        assert fields["access-control-allow-origin"] == self.origin
        return loads(body)[0][0]

    def enter(self, *patterns: str) -> dict[str, str]:
        told = self.call("register", {"samp.name": "A page"})
        self.call("allowReverseCallbacks", told["samp.private-key"], "1")
        self.call("declareSubscriptions", told["samp.private-key"], {pattern: {} for pattern in patterns})
        return told  # type: ignore[no-any-return]

    def read(self, told: dict[str, str], url: str) -> tuple[int, bytes]:
        parts = urlsplit(told["samp.url-translator"])
        assert f"{parts.scheme}://{parts.netloc}" == f"http://localhost:{self.port}"
        status, fields, body = self.ask("GET", f"{parts.path}?{url}")
        assert fields["access-control-allow-origin"] == self.origin
        return status, body


def test_page_and_program_talk(hub: SAMPHubServer, dialogue: Dialogue, program: SAMPIntegratedClient) -> None:
    browser = Browser(hub)
    told = browser.enter("table.*")
    ((name, details, (address, _), origin),) = dialogue.shown
    assert (name, details, address, origin) == ("A page", {"samp.name": "A page"}, "127.0.0.1", PAGE)
    key, own_id = told["samp.private-key"], told["samp.self-id"]
    assert program.get_metadata(own_id) == {"hubfarm.door": "web", "hubfarm.origin": PAGE}
    heard: queue.Queue[Any] = queue.Queue()
    program.bind_receive_call("coord.pointAt.sky", lambda *arguments: heard.put(arguments))
    tag = browser.call("call", key, program.get_public_id(), "tag", message("coord.pointAt.sky", ra="1"))
    assert tag
    _, sender, msg_id, _, params, _ = heard.get(timeout=20)
    assert (sender, params) == (own_id, {"ra": "1"})
    program.ereply(msg_id, "samp.ok", result={"done": "1"})
    (pulled,) = browser.call("pullCallbacks", key, "10")
    assert pulled["samp.methodName"] == "receiveResponse"
    assert pulled["samp.params"][1:] == ["tag", {"samp.status": "samp.ok", "samp.result": {"done": "1"}}]
    program.bind_receive_call("script.run", lambda *_: None)
    with pytest.raises(Fault, match="you may not send"):
        browser.call("notify", key, program.get_public_id(), message("script.run"))


def test_browser_is_told_what_it_asks_and_nobody_but_this_host_by_its_name(hub: SAMPHubServer) -> None:
    browser = Browser(hub)
    status, fields, body = browser.ask("OPTIONS", Access_Control_Request_Method="POST")
    assert (status, body) == (200, b"")
    assert fields["access-control-allow-origin"] == PAGE
    assert fields["access-control-allow-headers"] == "Content-Type"
    assert "access-control-allow-credentials" not in fields
    ping = dumps((), "samp.webhub.ping").encode()
    for host in f"localhost:{browser.port}", f"127.0.0.1:{browser.port}", None:
        assert browser.ask("POST", body=ping, Host=host)[0] == 200
    for host in "rebound.example", f"rebound.example:{browser.port}", "localhost:1":
        for method in "POST", "GET", "OPTIONS":
            status, fields, _ = browser.ask(method, body=ping, Host=host, Access_Control_Request_Method="POST")
            assert status == 403
            assert "access-control-allow-origin" not in fields
    for method, target in ("GET", "/"), ("PUT", "/"), ("GET", "/crossdomain.xml"), ("OPTIONS", "/"):
        assert browser.ask(method, target)[0] == 404
    with pytest.raises(Fault, match="unknown method"):
        browser.call("setXmlrpcCallback", "key", "url")


def test_programs_door_is_not_at_the_webs_port(hub: SAMPHubServer) -> None:
    with ServerProxy(f"http://127.0.0.1:{hub._web_port}/") as proxy, pytest.raises(Fault, match="unknown method"):
        proxy.samp.hub.register(hub.params["samp.secret"])


def test_page_that_the_user_refuses_is_not_in(hub: SAMPHubServer, dialogue: Dialogue) -> None:
    dialogue.answer = False
    with pytest.raises(Fault, match="does not let this page in"):
        Browser(hub).enter()
    with pytest.raises(Fault, match="what it is called"):
        Browser(hub).call("register", {})
    assert len(dialogue.shown) == 1
    dialogue.answer = True
    Browser(hub, "null").enter()
    assert dialogue.shown[-1][-1] == "null"


def test_silence_is_no_and_a_late_yes_lets_nobody_in(
    hub: SAMPHubServer, dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent_module, "PATIENCE", 0.3)
    dialogue.answer = None
    browser = Browser(hub)
    for _ in range(2):  # the second is not even shown: the dialogue of the first is still open
        with pytest.raises(Fault, match="does not let this page in"):
            browser.enter()
    assert len(dialogue.shown) == 1
    monkeypatch.setattr(consent_module, "PATIENCE", 20)
    outcome: queue.Queue[Any] = queue.Queue()

    def enter() -> None:
        try:
            outcome.put(Browser(hub, "https://b.example").enter())
        except Fault as fault:
            outcome.put(fault)

    thread = threading.Thread(target=enter)
    thread.start()
    time.sleep(0.2)
    assert len(dialogue.shown) == 1
    dialogue.consent()  # to the first, which has given up
    wait_for(lambda: len(dialogue.shown) == 2, "the third is asked about")
    assert dialogue.shown[-1][-1] == "https://b.example"
    time.sleep(0.1)
    assert outcome.empty()
    dialogue.reject()
    thread.join()
    assert isinstance(outcome.get(), Fault)
    dialogue.consent()  # to nothing
    dialogue.answer = True
    browser.enter()


def test_ten_pages_wait_for_the_user_at_most(hub: SAMPHubServer, dialogue: Dialogue) -> None:
    dialogue.answer = None
    outcomes: queue.Queue[Any] = queue.Queue()

    def enter() -> None:
        try:
            outcomes.put(Browser(hub).call("register", "x"))
        except Fault as fault:
            outcomes.put(fault.faultString)

    threads = [threading.Thread(target=enter) for _ in range(consent_module.MOST_WAITING + 1)]
    for thread in threads:
        thread.start()
    assert "try again later" in outcomes.get(timeout=20)
    dialogue.answer = True
    dialogue.consent()
    for thread in threads:
        thread.join()
    assert all(isinstance(outcomes.get(timeout=20), dict) for _ in range(consent_module.MOST_WAITING))


# ---------------------------------------------------------------------- the translator


def test_page_reads_what_a_program_has_sent(hub: SAMPHubServer, program: SAMPIntegratedClient, tmp_path: Path) -> None:
    browser = Browser(hub)
    told = browser.enter("table.*")
    file = tmp_path / "a table & more.xml"
    file.write_bytes(b"<VOTABLE/>" * 1000)
    url = f"file://{quote(str(file))}"
    assert browser.read(told, url)[0] == 403
    program.enotify(told["samp.self-id"], "table.load.votable", url=url)
    browser.call("pullCallbacks", told["samp.private-key"], "10")
    assert browser.read(told, url) == (200, file.read_bytes())  # as sampjs asks
    assert browser.read(told, quote(url, safe="")) == (200, file.read_bytes())
    file.unlink()
    assert browser.read(told, url)[0] == 502


def test_page_does_not_read_what_it_made_up_nor_anything_but_files_and_servers(
    hub: SAMPHubServer, program: SAMPIntegratedClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(hub)
    told = browser.enter("table.*")
    key, own_id = told["samp.private-key"], told["samp.self-id"]
    program.bind_receive_notification("table.x", lambda *_: None)
    browser.call("notify", key, program.get_public_id(), message("table.x", url="file:///etc/passwd"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * 11)
    monkeypatch.setattr(web_port_module, "LONGEST_READ", 10)
    urls = {
        "file:///etc/passwd": 403,
        f"file://{tmp_path}": 502,
        f"file://{tmp_path}/pipe": 502,
        f"file://{tmp_path}/nothing": 502,
        f"file://{tmp_path}/long": 502,
        "file://elsewhere.example/etc/group": 502,
        "gopher://127.0.0.1/": 502,
        "jar:file:///a.jar!/b": 403,
        "http://127.0.0.1:9/": 502,
        "file:///\x7f": 502,
    }
    for url in urls:
        program.enotify(own_id, "table.load.votable", url=url)
    for url, status in urls.items():
        assert browser.read(told, quote(url, safe=""))[0] == status, url
    assert browser.read(told, "")[0] == 404
    guess = {"samp.url-translator": told["samp.url-translator"].replace(key, key[:-1] + "x")}
    assert browser.read(guess, "file:///etc/passwd")[0] == 403


def test_page_reads_from_a_server(hub: SAMPHubServer, program: SAMPIntegratedClient, tmp_path: Path) -> None:
    browser = Browser(hub)
    told = browser.enter("table.*")
    (tmp_path / "t.xml").write_bytes(b"<VOTABLE/>")
    line = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" port ")[1].split()[0]
            for name, answer in ("t.xml", (200, b"<VOTABLE/>")), ("no.xml", (502, None)):
                url = f"http://127.0.0.1:{port}/{name}"
                program.enotify(told["samp.self-id"], "table.load.votable", url=url)
                status, body = browser.read(told, url)
                assert (status, body if status == 200 else None) == answer
        finally:
            server.kill()


# ---------------------------------------------------------------------- the port


def test_port_in_use_is_a_warning_and_the_hub_goes_on(hub: SAMPHubServer, dialogue: Dialogue, home: Path) -> None:
    other = Dialogue()
    try:
        second = SAMPHubServer(
            mode=SAMP_HUB_MULTIPLE_INSTANCE, label="v", web_profile_dialog=other, web_port=hub._web_port
        )
        with pytest.warns(SAMPWarning, match="is in use: web pages will not find this hub"):
            second.start()
        assert second.is_running
        second.stop()
    finally:
        other.stop()
    Browser(hub).enter()
    assert other.shown == []


def test_without_anybody_to_ask_the_port_is_left_alone(home: Path, dialogue: Dialogue) -> None:
    for options in {}, {"web_profile": False, "web_profile_dialog": dialogue}:
        with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, web_port=0, **options) as hub:  # type: ignore[arg-type]
            assert hub._web_port == 0


def test_hub_ends_with_pages_that_pull_and_ones_that_wait_for_the_user(hub: SAMPHubServer, dialogue: Dialogue) -> None:
    browser = Browser(hub)
    told = browser.enter("samp.hub.event.shutdown")
    ended: queue.Queue[Any] = queue.Queue()

    def run(call: Callable[[], Any]) -> None:
        try:
            ended.put(call())
        except Exception as error:
            ended.put(error)

    dialogue.answer = None
    calls = [
        lambda: browser.call("pullCallbacks", told["samp.private-key"], "600"),
        lambda: Browser(hub).call("register", "x"),
    ]
    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(dialogue.shown) == 2, "the second is asked about")
    hub.stop()
    for thread in threads:
        thread.join(20)
    found = [ended.get(timeout=20) for _ in threads]
    (pulled,) = [each for each in found if isinstance(each, list)]
    assert [each["samp.params"][1]["samp.mtype"] for each in pulled] == ["samp.hub.event.shutdown"]
    dialogue.consent()  # nobody is there any more


# ---------------------------------------------------------------------- the terminal


@pytest.mark.parametrize(("answer", "enters"), [("yes\n", True), ("no\n", False), ("\n", False)])
def test_terminal_asks_where_there_is_no_dialogue(home: Path, answer: str, enters: bool) -> None:
    code = (
        "import sys, threading, hubfarm\n"
        "hub = hubfarm.SAMPHubServer(mode='multiple', web_port=0)\n"
        "hub.start()\n"
        "print('PORT', hub._web_port, flush=True)\n"
        "threading.Event().wait(30)\n"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[1])
            outcome: queue.Queue[Any] = queue.Queue()

            def register() -> None:
                with ServerProxy(f"http://127.0.0.1:{port}/") as proxy:
                    try:
                        outcome.put(
                            proxy.samp.webhub.register({"samp.name": "A\x1b[31m page".replace("\x1b", "\u202e")})
                        )
                    except Fault as fault:
                        outcome.put(fault.faultString)

            thread = threading.Thread(target=register)
            thread.start()
            asked = process.stdout.readline()
            assert "'A\\\\u202e[31m page'" in asked
            assert "it is of unknown" in asked
            os.write(ours, answer.encode())
            told = outcome.get(timeout=20)
            thread.join()
            assert isinstance(told, dict) is enters
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


def test_sampy_without_a_terminal_serves_no_pages_and_with_one_it_does(home: Path) -> None:
    line = [sys.executable, str(ROOT / "bin" / "sampy.py"), "--multi", "--label", "s", "--log-level", "DEBUG"]
    ours, theirs = pty.openpty()
    for stdin, options, said in (
        (subprocess.DEVNULL, [], "there is nobody to ask"),
        (theirs, ["--no-web-profile"], "serving at"),
        (theirs, [], "port 21012"),
    ):
        with subprocess.Popen([*line, *options], stdin=stdin, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                lines = []
                while not lines or "serving at" not in lines[-1]:
                    lines.append(process.stderr.readline())
                ports = listening_ports(process.pid)
                if said == "port 21012":  # which may be another's on this host
                    assert 21012 in ports or any("port 21012" in each for each in lines)
                else:
                    assert any(said in each for each in lines)
                    assert len(ports) == 1
            finally:
                process.terminate()
                process.communicate(timeout=20)
    os.close(ours)
    os.close(theirs)


def listening_ports(pid: int) -> list[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]
