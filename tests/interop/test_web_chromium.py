"""Pages in Chromium that use sampjs, as Aladin Lite does: in by the user's word, talking with JSAMP and astropy."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubfarm.farm import Farm
from tests.conftest import RunCli
from tests.interop.browser_support import Site, chromium
from tests.interop.conftest import OnHub, names_on
from tests.stories.test_web_gateway import gateway_of
from tests.support import PATIENCE, message, need_module, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")]

Sites = Callable[..., Site]


@pytest.fixture
def browser(tmp_path: Path, home: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as context:
        yield context


@pytest.fixture
def console(web_port: int, farm: Farm, browser: Any) -> Any:
    """The gateway's page, in the user's browser; hubs one and two run."""
    farm.start(label="one")
    farm.start(label="two")
    page = browser.new_page()
    page.goto(farm.web.url())
    page.get_by_text("Live.").wait_for()
    return page


def opened(browser: Any, site: Site) -> Any:
    page = browser.new_page()
    page.goto(f"{site.origin}/viewer.html")
    return page


def state_of(page: Any) -> str:
    return str(page.locator("#state").inner_text())


def is_in(page: Any) -> bool:
    return state_of(page) == "in"


def allow(console: Any, origin: str, hub: str, lasting: str = "once") -> None:
    card = console.locator(".card:not(.over)", has_text=origin)
    card.get_by_role("radio", name=hub).check()
    if lasting != "once" or card.get_by_label("For how long?").is_visible():
        card.get_by_label("For how long?").select_option(lasting)
    card.get_by_role("button", name="Let it in").click()


def entered(browser: Any, console: Any, site: Site, hub: str, lasting: str = "once") -> Any:
    page = opened(browser, site)
    page.evaluate("enter()")
    allow(console, site.origin, hub, lasting)
    page.get_by_text("in", exact=True).wait_for()
    wait_for(lambda: page.evaluate("connection !== null && Object.keys(tracker.ids).length > 0"), "it knows the others")
    return page


def heard(page: Any, count: int = 1) -> Any:
    wait_for(lambda: page.evaluate("heard.length") >= count, "the page is told")
    return page.evaluate("heard")


@pytest.fixture
def astropy_client(farm: Farm) -> Iterator[Any]:
    module = need_module("astropy.samp")
    need_module("astropy.samp").conf.use_internet = False
    client = module.SAMPIntegratedClient("astropy")

    def connect(label: str) -> Any:
        tokens = dict(
            line.split("=", 1)
            for line in farm.find(label).lock_file.read_text().splitlines()
            if line and not line.startswith("#")
        )
        client.connect(hub_params={key: tokens[key] for key in tokens})
        return client

    yield connect
    if client.is_connected:
        client.disconnect()


def test_two_pages_of_two_origins_on_two_hubs_by_the_gateways_own_page(
    browser: Any,
    console: Any,
    farm: Farm,
    sites: Sites,
) -> None:
    one = entered(browser, console, sites("localhost"), "one")
    two = entered(browser, console, sites("127.0.0.1"), "two")
    for label, page in (("one", one), ("two", two)):
        assert names_on(farm.find(label)) == ["Viewer"]
        assert is_in(page)
    # Nothing passes between the two hubs.
    one.evaluate("later('notifyAll', [{'samp.mtype': 'coord.pointAt.sky', 'samp.params': {ra: '1', dec: '2'}}])")
    assert two.evaluate("heard") == []
    console.locator("#pages tbody tr").nth(1).wait_for()
    console.get_by_role("button", name="Disconnect").first.click()
    wait_for(lambda: not names_on(farm.find("one")), "it is out")


def test_it_talks_with_jsamp_and_astropy_both_ways(
    browser: Any,
    console: Any,
    farm: Farm,
    on_hub: OnHub,
    astropy_client: Any,
    sites: Sites,
) -> None:
    page = entered(browser, console, sites(), "one")
    told = on_hub("one", "jsamp", "messagesender", "-mode", "sync", "-mtype", "coord.pointAt.sky",
                  "-param", "ra", "10.68", "-param", "dec", "41.27").communicate(timeout=60)[0]  # fmt: skip
    assert "samp.ok" in told, told
    assert "10.68" in told
    assert heard(page)[0][1:] == ["coord.pointAt.sky", {"ra": "10.68", "dec": "41.27"}, True]
    client = astropy_client("one")
    received: list[Any] = []

    def take_call(key: str, sender: str, msg_id: str, mtype: str, params: Any, extra: Any) -> None:
        received.append((sender, mtype, params))
        client.reply(msg_id, {"samp.status": "samp.ok", "samp.result": {"rows": "7"}})

    client.bind_receive_call("table.load.votable", take_call)

    def take_notification(key: str, sender: str, mtype: str, params: Any, extra: Any) -> None:
        received.append((sender, mtype, params))

    client.bind_receive_notification("table.load.votable", take_notification)
    (viewer,) = [each for each in client.get_registered_clients() if client.get_metadata(each)["samp.name"] == "Viewer"]
    client.notify(viewer, message("coord.pointAt.sky", ra="1", dec="2"))
    assert heard(page, 2)[1][2:] == [{"ra": "1", "dec": "2"}, False]
    answer = client.call_and_wait(viewer, message("coord.pointAt.sky", ra="3", dec="4"), "20")
    assert answer["samp.result"] == {"seen": "3"}
    me = client.get_public_id()
    table = {"samp.mtype": "table.load.votable", "samp.params": {"url": "http://h/x"}}
    answer = page.evaluate("([id, m]) => later('callAndWait', [id, m, '20'])", [me, table])
    assert answer["samp.result"] == {"rows": "7"}
    page.evaluate("([id, m]) => later('call', [id, 'tag', m])", [me, table])
    wait_for(lambda: page.evaluate("answers.tag"), "the page gets its answer")
    page.evaluate("([id, m]) => later('notify', [id, m])", [me, table])
    wait_for(lambda: len(received) == 3, "astropy gets all three")
    assert {mtype for _, mtype, *_ in received} == {"table.load.votable"}


def test_a_table_that_a_program_sends_is_read_and_a_file_that_the_page_made_up_is_not(
    browser: Any,
    console: Any,
    farm: Farm,
    on_hub: OnHub,
    tmp_path: Path,
    sites: Sites,
) -> None:
    page = entered(browser, console, sites(), "one")
    table = tmp_path / "a table.xml"
    table.write_text("<VOTABLE>größe</VOTABLE>", encoding="utf-8")
    told = on_hub("one", "jsamp", "messagesender", "-mode", "sync", "-mtype", "table.load.votable",
                  "-param", "url", table.as_uri()).communicate(timeout=60)[0]  # fmt: skip
    assert "samp.ok" in told, told
    url = heard(page)[0][2]["url"]
    assert page.evaluate("url => read(url)", url) == [200, table.read_text(encoding="utf-8")]
    assert page.evaluate("url => read(url)", "file:///etc/passwd")[0] == 403


def test_refused_remembered_forgotten_and_reloaded(
    browser: Any,
    console: Any,
    farm: Farm,
    cli: RunCli,
    sites: Sites,
) -> None:
    site = sites()
    page = opened(browser, site)
    page.evaluate("enter()")
    console.locator(".card:not(.over)").get_by_role("button", name="No").click()
    page.get_by_text("refused: the user has refused this page").wait_for()
    page.evaluate("enter()")
    allow(console, site.origin, "two", "always")
    page.get_by_text("in", exact=True).wait_for()
    page.reload()
    page.evaluate("enter()")  # unasked
    page.get_by_text("in", exact=True).wait_for()
    assert "Viewer" in names_on(farm.find("two"))
    assert site.origin in console.locator("#remembered").inner_text()
    assert cli("web", "forget", site.origin).returncode == 0
    page.reload()
    page.evaluate("enter()")
    console.locator(".card:not(.over)", has_text=site.origin).wait_for()
    page.close()
    console.get_by_text("answered elsewhere, or gone").wait_for()


@pytest.mark.parametrize("killed", ["hub", "gateway", "both"])
def test_hub_and_gateway_are_killed_under_it(
    killed: str,
    browser: Any,
    console: Any,
    farm: Farm,
    astropy_client: Any,
    sites: Sites,
) -> None:
    page = entered(browser, console, sites(), "one")
    client = astropy_client("one")
    (viewer,) = [each for each in client.get_registered_clients() if client.get_metadata(each)["samp.name"] == "Viewer"]
    time.sleep(1.5)  # sampjs takes a pull that fails within its first second for the end of the hub
    victims = [psutil.Process(farm.find("one").pid)] if killed != "gateway" else []
    victims += [gateway_of(farm)] if killed != "hub" else []
    for victim in victims:
        victim.kill()
    psutil.wait_procs(victims, PATIENCE)  # what a gateway has in hand as it is killed is lost
    for number in range(3):
        wait_for(partial(notified, client, viewer, number), "the hub takes it")
    told = heard(page, 3)
    assert {each[2]["ra"] for each in told} == {"0", "1", "2"}
    assert is_in(page)
    mine = client.get_public_id()
    assert mine in page.evaluate("later('getRegisteredClients', [])")


def notified(client: Any, viewer: str, number: int) -> bool:
    try:
        client.notify(viewer, message("coord.pointAt.sky", ra=str(number), dec="0"))
    except Exception:  # a connection that was under way
        return False
    return True


# ---------------------------------------------------------------------- the browser's own permission


@pytest.mark.parametrize("granted", [True, False])
def test_a_page_of_the_internet_needs_the_browsers_permission_too(
    granted: bool,
    home: Path,
    farm: Farm,
    tmp_path: Path,
    web_port: int,
    sites: Sites,
) -> None:
    site = sites("localhost")
    farm.start(label="one")
    farm.web.trust(site.origin, "one")
    # A page that is public, and secure, as https pages are.
    flags = (f"--ip-address-space-overrides=127.0.0.1:{site.port}=public,[::1]:{site.port}=public",)
    with chromium(tmp_path / "profile", *flags) as context:
        permissions = ["local-network-access", "loopback-network"]
        for name in permissions if granted else []:
            with suppress(Exception):  # Chromium renames and splits this permission from release to release
                context.grant_permissions([name], origin=site.origin)
        page = opened(context, site)
        page.evaluate("enter()")
        wait_for(lambda: state_of(page) not in ("asking", "out"), "the browser has decided")
        assert state_of(page).startswith("in" if granted else "refused")
        assert bool(names_on(farm.find("one"))) is granted


def test_a_damaged_file_of_what_is_remembered_is_said_on_the_page_and_answers_count(
    browser: Any,
    console: Any,
    farm: Farm,
    sites: Sites,
) -> None:
    farm.paths.web_memory.write_text("on = perhaps\n")
    site = sites()
    page = opened(browser, site)
    page.evaluate("enter()")
    console.get_by_text("What is remembered cannot be read:").wait_for()
    assert str(farm.paths.web_memory) in state_of(console)
    assert "mend it or remove it" in state_of(console)
    allow(console, site.origin, "one", "always")
    card = console.locator(".card:not(.over)", has_text=site.origin)
    card.get_by_text("mend it or remove it").wait_for()
    assert not is_in(page)
    console.wait_for_timeout(1500)  # the seconds that are left are counted down meanwhile
    assert "mend it or remove it" in card.locator(".left").inner_text()
    allow(console, site.origin, "one", "once")
    page.get_by_text("in", exact=True).wait_for()


# ---------------------------------------------------------------------- attacks on the page that asks


def test_other_pages_can_neither_frame_nor_answer_the_page_that_asks(
    browser: Any,
    console: Any,
    farm: Farm,
    web_port: int,
    sites: Sites,
) -> None:
    site = sites()
    page = opened(browser, site)
    page.evaluate("enter()")
    console.locator(".card:not(.over)").wait_for()
    (question,) = farm.web.state()["waiting"]
    base = f"http://localhost:{web_port}/hubfarm/"
    page.evaluate(
        """base => new Promise(done => {
            const frame = document.createElement("iframe");
            frame.onload = frame.onerror = () => done(true);
            frame.src = base;
            document.body.append(frame);
        })""",
        base,
    )
    framed = [frame for frame in page.frames if frame is not page.main_frame]
    assert all(not frame.locator("h1", has_text="Web pages").count() for frame in framed)
    for attempt in (
        "fetch(base + 'api/state', {headers: {Authorization: 'Bearer x'}})",
        "fetch(base + 'api/allow', {method: 'POST', body: JSON.stringify(answer)})",
        "fetch(base + 'api/allow', {method: 'POST', credentials: 'include', body: JSON.stringify(answer),"
        " headers: {'Content-Type': 'application/json'}})",
    ):
        said = page.evaluate(
            f"""async ([base, answer]) => {{
                try {{ const told = await {attempt}; return await told.text(); }} catch (error) {{ return "blocked"; }}
            }}""",
            [base, {"id": question["id"], "hub": "one"}],
        )
        assert said == "blocked"
    assert state_of(page) == "asking"
    assert [each["id"] for each in farm.web.state()["waiting"]] == [question["id"]]


def test_names_are_text_and_buttons_stay_where_they_are(
    browser: Any,
    console: Any,
    farm: Farm,
    sites: Sites,
) -> None:
    first = opened(browser, sites("localhost"))
    first.evaluate("enter('<img src=x onerror=\"document.title=1\"><b>Bold</b>\\u202e' + 'x'.repeat(10000))")
    card = console.locator(".card").first
    card.wait_for()
    assert console.locator(".card img, .card b").count() == 0
    assert "<b>Bold</b>" in card.locator(".name").inner_text()
    button = card.get_by_role("button", name="Let it in")
    before = button.bounding_box()
    second = opened(browser, sites("127.0.0.1"))
    second.evaluate("enter('Second')")
    console.locator(".card").nth(1).wait_for()
    assert button.bounding_box() == before
    first.close()  # its question is over, and stays where it is
    console.get_by_text("answered elsewhere, or gone").wait_for()
    assert button.bounding_box() == before
    assert console.locator(".card").nth(1).get_by_role("button", name="Let it in").count() == 1
    assert farm.web.state()["waiting"][0]["name"] == "Second"
