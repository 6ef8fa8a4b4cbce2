"""A web page on a farm's hub: in by the user's word, a client like any other, and there whatever is killed."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault, ServerProxy, Transport, dumps, loads

import psutil
import pytest

from hubfarm.farm import Farm
from tests.conftest import RunCli
from tests.stories.test_web_gateway import gateway_of, ping
from tests.support import PATIENCE, Receiver, is_dead, message, wait_for

A = "https://a.example"


class FromAPage(Transport):
    """As a browser sends it."""

    def __init__(self, origin: str, referer: str = "") -> None:
        super().__init__(headers=[("Origin", origin), *([("Referer", referer)] if referer else [])])

    def make_connection(self, host: Any) -> HTTPConnection:
        return HTTPConnection(host, timeout=PATIENCE)


class Page:
    """A web page, on the standard library alone: it registers, pulls, and keeps what it is told."""

    def __init__(self, port: int, origin: str = A, name: str = "Viewer", referer: str = "") -> None:
        self.port, self.origin, self.name, self.referer = port, origin, name, referer
        self.heard: list[tuple[str, list[Any]]] = []
        self.hub = self.proxy().samp.webhub

    def proxy(self) -> ServerProxy:
        return ServerProxy(f"http://localhost:{self.port}/", FromAPage(self.origin, self.referer))

    def register(self) -> "Page":
        told = self.hub.register({"samp.name": self.name})
        self.key, self.id = told["samp.private-key"], told["samp.self-id"]
        self.translator = told["samp.url-translator"]
        return self

    def callable(self, *patterns: str) -> "Page":
        self.hub.allowReverseCallbacks(self.key, "1")
        self.hub.declareSubscriptions(self.key, {pattern: {} for pattern in patterns})
        return self

    def pull(self, seconds: int = 5) -> list[tuple[str, list[Any]]]:
        got = [
            (each["samp.methodName"], each["samp.params"])
            for each in self.proxy().samp.webhub.pullCallbacks(self.key, str(seconds))
        ]
        self.heard += got
        return got

    def next(self, mtype: str) -> tuple[str, list[Any]]:
        """Pull until a message of this MType is there."""

        def found() -> Any:
            for method, params in self.pull(1):
                if params[-1].get("samp.mtype") == mtype:
                    return method, params
            return None

        return wait_for(found, f"the page is told {mtype}")  # type: ignore[no-any-return]

    def read(self, url: str) -> tuple[int, bytes]:
        parts = urlsplit(self.translator)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        try:
            connection.request("GET", f"{parts.path}?{url}", headers={"Origin": self.origin})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def lock_file(farm: Farm, web_port: int) -> Path:
    """A hub that pages of A enter unasked."""
    (hub,) = farm.start(label="one")
    farm.web.trust(A, "one")
    return hub.stable_name or hub.lock_file


def test_a_page_and_a_program_talk_both_ways(lock_file: Path, receiver: Receiver, web_port: int) -> None:
    receiver.join_by(lock_file, "program", "table.load.votable", "samp.app.ping")
    page = Page(web_port).register().callable("table.load.votable", "coord.pointAt.sky")
    assert receiver.hub.getMetadata(receiver.key, page.id)["hubfarm.door"] == "web"
    assert receiver.hub.getMetadata(receiver.key, page.id)["hubfarm.origin"] == A
    page.hub.notify(page.key, receiver.id, message("table.load.votable", url="http://h/x"))
    assert receiver.next().params[1:] == (page.id, message("table.load.votable", url="http://h/x"))
    receiver.hub.call(receiver.key, page.id, "tag", message("coord.pointAt.sky", ra="1", dec="2"))
    method, (sender, msg_id, told) = page.next("coord.pointAt.sky")
    assert (method, sender, told["samp.params"]) == ("receiveCall", receiver.id, {"ra": "1", "dec": "2"})
    page.hub.reply(page.key, msg_id, {"samp.status": "samp.ok", "samp.result": {"seen": "1"}})
    assert receiver.next().params[2:] == ("tag", {"samp.status": "samp.ok", "samp.result": {"seen": "1"}})
    page.hub.unregister(page.key)
    with pytest.raises(Fault):
        page.hub.getRegisteredClients(page.key)


def test_a_hub_that_speaks_tls_is_entered_too(farm: Farm, web_port: int) -> None:
    (hub,) = farm.start(label="one", tls=True)
    assert hub.url.startswith("https:")
    farm.web.trust(A, "one")
    page = Page(web_port).register().callable("coord.pointAt.sky")
    assert page.hub.getRegisteredClients(page.key) == ["hub"]


def in_the_background(work: Callable[[], Any]) -> "tuple[threading.Thread, list[Any]]":
    """Begin some work, whose result or failure comes into a list."""
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


@pytest.mark.parametrize("killed", ["hub", "gateway", "both"])
def test_whatever_is_killed_pages_go_on_under_their_keys(
    killed: str, lock_file: Path, farm: Farm, receiver: Receiver, web_port: int
) -> None:
    receiver.join_by(lock_file, "program", "table.load.votable")
    page = Page(web_port).register().callable("coord.pointAt.sky")
    if killed == "hub":  # a pull that waits notices nothing
        pulling, got = in_the_background(lambda: page.next("coord.pointAt.sky"))
        time.sleep(0.3)
    victims = []
    if killed != "gateway":
        victims.append(psutil.Process(farm.find("one").pid))
    if killed != "hub":
        victims.append(gateway_of(farm))
    for victim in victims:
        victim.kill()
    page.hub = page.proxy().samp.webhub

    def notified() -> bool:
        try:
            page.hub.notify(page.key, receiver.id, message("table.load.votable", url="http://h/x"))
        except OSError:  # a connection that the killed gateway had taken, and nothing more
            return False
        return True

    assert wait_for(notified, "the page sends on")
    assert receiver.next().params[1] == page.id
    receiver.hub.notify(receiver.key, page.id, message("coord.pointAt.sky", ra="3", dec="4"))
    if killed == "hub":
        pulling.join(PATIENCE)
        ((method, (sender, told)),) = got
    else:
        method, (sender, told) = page.next("coord.pointAt.sky")
    assert (method, sender, told["samp.params"]["ra"]) == ("receiveNotification", receiver.id, "3")
    assert [each["id"] for each in farm.web.state()["pages"]] == [f"one/{page.id}"]


def test_the_user_answers_on_the_command_line(farm: Farm, cli: RunCli, web_port: int) -> None:
    farm.start(label="one")
    farm.start(label="two")
    page = Page(web_port, name="An\u202earchive", referer="https://evil.example/")
    asking, came = in_the_background(page.register)
    (question,) = wait_for(lambda: json.loads(cli("web", "ls", "--json").stdout)["waiting"], "the page asks")
    assert {"id", "name", "origin", "referer", "hub"} <= question.keys()
    assert (question["origin"], question["name"]) == (A, "An\\u202earchive")
    assert "the page says that it is of https://evil.example" in question["warning"]
    told = cli("web", "allow", question["id"], "--hub", "two", "--for", "day")
    assert told.returncode == 0, told.stderr
    asking.join(PATIENCE)
    assert came == [page]
    (entered,) = json.loads(cli("web", "ls", "--json").stdout)["pages"]
    assert (entered["id"], entered["hub"]) == (f"two/{page.id}", "two")
    again = Page(web_port).register()  # for a day
    assert farm.find("two").clients == 2 or wait_for(lambda: farm.find("two").clients == 2, "both are on two")
    assert cli("web", "disconnect", f"two/{again.id}").returncode == 0
    with pytest.raises(Fault):
        again.hub.getRegisteredClients(again.key)
    assert cli("web", "forget", A).returncode == 0
    asking, came = in_the_background(Page(web_port).register)
    (question,) = wait_for(lambda: json.loads(cli("web", "ls", "--json").stdout)["waiting"], "the next page asks")
    assert cli("web", "deny", question["id"]).returncode == 0
    asking.join(PATIENCE)
    assert "refused" in str(came[0])


def test_what_a_program_has_sent_is_read_and_what_a_page_made_up_is_not(
    lock_file: Path, receiver: Receiver, web_port: int, tmp_path: Path
) -> None:
    table, secret = tmp_path / "a table.xml", tmp_path / "secret"
    table.write_bytes(b"<VOTABLE/>")
    secret.write_bytes(b"secret")
    receiver.join_by(lock_file, "program", "table.load.votable")
    page = Page(web_port).register().callable("table.load.votable")
    receiver.hub.notify(receiver.key, page.id, message("table.load.votable", url=table.as_uri()))
    page.next("table.load.votable")
    assert page.read(table.as_uri()) == (200, b"<VOTABLE/>")
    page.hub.notify(page.key, receiver.id, message("table.load.votable", url=secret.as_uri()))
    receiver.hub.notify(receiver.key, page.id, message("table.load.votable", url=secret.as_uri()))
    page.next("table.load.votable")
    assert page.read(secret.as_uri())[0] == 403  # a page has named it first
    assert page.read("file:///etc/passwd")[0] == 403


def test_a_page_that_pulls_by_anothers_key_gets_nothing(lock_file: Path, web_port: int) -> None:
    page = Page(web_port).register().callable("coord.pointAt.sky")
    thief = Page(web_port, "https://b.example")
    thief.key = page.key
    with pytest.raises(Fault, match="another origin"):
        thief.pull()


def test_a_gateway_that_is_renewed_for_another_release_keeps_its_pages(
    lock_file: Path, farm: Farm, receiver: Receiver, web_port: int
) -> None:
    receiver.join_by(lock_file, "program", "table.load.votable")
    page = Page(web_port).register().callable("coord.pointAt.sky")
    before = gateway_of(farm)
    farm.web.renew(before.pid)
    wait_for(lambda: is_dead(before), "the gateway ends")
    receiver.hub.notify(receiver.key, page.id, message("coord.pointAt.sky", ra="5", dec="6"))
    page.hub = page.proxy().samp.webhub
    assert page.next("coord.pointAt.sky")[1][1]["samp.params"] == {"ra": "5", "dec": "6"}
    assert gateway_of(farm).pid != before.pid


def test_the_user_answers_by_the_arrow_keys(farm: Farm, web_port: int) -> None:
    pexpect = pytest.importorskip("pexpect")
    farm.start(label="one")
    farm.start(label="two")
    command = [sys.executable, "-m", "hubfarm", "web"]
    terminal = pexpect.spawn(command[0], command[1:], timeout=PATIENCE, dimensions=(40, 120), encoding="utf-8")
    try:
        terminal.expect("waiting for web pages")
        page = Page(web_port, name="Sky viewer")
        asking, came = in_the_background(page.register)
        terminal.expect("Sky viewer")
        terminal.expect("May it come in")
        terminal.expect("let it into one, this time")
        terminal.send("\x1b[B\r")  # the first answer is no
        asking.join(PATIENCE)
        assert came == [page]
        terminal.expect("let into one")
        refused, said = in_the_background(Page(web_port, name="Another").register)
        terminal.expect("Another")
        terminal.expect("May it come in")
        terminal.expect("let it into two, always")
        terminal.send("\r")
        refused.join(PATIENCE)
        assert "refused" in str(said[0])
        elsewhere, came = in_the_background(Page(web_port, name="A third").register)
        terminal.expect("A third")
        terminal.expect("May it come in")
        (question,) = farm.web.state()["waiting"]
        farm.web.allow(question["id"], "two")  # in the browser, say
        elsewhere.join(PATIENCE)
        assert isinstance(came[0], Page), came
        terminal.expect("it has been answered elsewhere")
        last, said = in_the_background(Page(web_port, name="A fourth").register)
        terminal.expect("A fourth")
        terminal.expect("May it come in")
        terminal.send("\r")
        last.join(PATIENCE)
        assert "refused" in str(said[0])
    finally:
        terminal.close(force=True)


def another_serves(farm: Farm, killed: int | None) -> bool:
    return any(hub.state == "running" and hub.pid != killed for hub in farm.hubs())


def test_while_a_hub_is_restarted_no_page_gets_an_error(lock_file: Path, farm: Farm, web_port: int) -> None:
    page = Page(web_port).register().callable("coord.pointAt.sky")
    ended = threading.Event()

    def call_on_and_on() -> int:
        count = 0
        while not ended.is_set():
            page.hub.getRegisteredClients(page.key)
            count += 1
        return count

    calling, counted = in_the_background(call_on_and_on)
    try:
        for _ in range(2):
            farm.restart(["one"])
            killed = farm.find("one").pid
            os.kill(killed, signal.SIGKILL)  # type: ignore[arg-type]
            wait_for(partial(another_serves, farm, killed), "its successor runs")
        assert ping(web_port)
    finally:
        ended.set()
        calling.join(PATIENCE)
    assert isinstance(counted[0], int), counted
    assert counted[0] > 2  # each that was under way as a worker died has waited for the next


def test_hundreds_of_pages_wait_at_one_gateway_and_each_is_told(
    lock_file: Path, farm: Farm, receiver: Receiver, web_port: int
) -> None:
    """Three hundred: more than the places of any thread pool, fewer than the descriptors of a login shell."""
    receiver.join_by(lock_file, "program", "table.load.votable")
    pages = [Page(web_port, name=f"page {number}").register() for number in range(300)]
    for page in pages:
        page.callable("coord.pointAt.sky")
    pulling = []
    for page in pages:
        connection = HTTPConnection("localhost", web_port, timeout=PATIENCE)
        body = dumps((page.key, "60"), "samp.webhub.pullCallbacks")
        connection.request("POST", "/", body, {"Origin": A, "Content-Type": "text/xml"})
        pulling.append(connection)
    assert len(farm.web.state()["pages"]) == 300
    told = receiver.hub.notifyAll(receiver.key, message("coord.pointAt.sky", ra="1", dec="2"))
    assert sorted(told) == sorted(page.id for page in pages)
    for connection in pulling:
        ((pulled,),), _ = loads(connection.getresponse().read())
        assert pulled["samp.params"][1]["samp.params"] == {"ra": "1", "dec": "2"}
        connection.close()
    wait_for(lambda: farm.find("one").queued == 0, "all of it has arrived")
