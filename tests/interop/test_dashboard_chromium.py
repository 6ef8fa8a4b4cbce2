"""The dashboard in Chromium: by clicks and by the keyboard, with hostile words on it, and held against axe-core."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from tests.dashboard.dashboard_support import Shown, started_dashboard
from tests.interop.browser_support import Site, axe, chromium, sites  # noqa: F401
from tests.interop.conftest import OnHub
from tests.support import PATIENCE, Receiver, need, read_lock_file

pytestmark = pytest.mark.interop

TABLE = (
    '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
    '<FIELD name="x" datatype="int"/><DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA>'
    "</TABLE></RESOURCE></VOTABLE>"
)

HOSTILE = (
    "<img src=x onerror='window.broken=1'>\"'><script>window.broken=1</script>{{7*7}}javascript:window.broken=1 \u202e"
)


@pytest.fixture
def shown(farm: Farm) -> Iterator[Shown]:
    with started_dashboard() as one:
        yield one


@pytest.fixture
def browser(home: Path) -> Iterator[Any]:
    with chromium(home / "profile") as context:
        yield context


class Told:
    """A page, and what its browser complains of."""

    def __init__(self, browser: Any, address: str, width: int = 1280) -> None:
        self.page = browser.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_viewport_size({"width": width, "height": 800})
        self.page.goto(address)

    def go(self, where: str) -> Any:
        """Go to a view."""
        self.page.goto(f"{self.page.url.partition('#')[0]}#{where}")
        return self.page


@pytest.fixture
def told(shown: Shown, browser: Any) -> Iterator[Told]:
    one = Told(browser, shown.address)
    one.page.get_by_role("button", name="Start hubs").wait_for()
    one.page.locator(".live:not(.lost)").wait_for()
    assert shown.token not in one.page.url
    yield one
    assert not one.complaints
    assert {url.partition("/")[2].partition("/")[2].partition("/")[0] for url in one.asked} <= {
        f"localhost:{shown.port}"
    }


def test_hubs_by_the_keyboard_alone(told: Told, farm: Farm) -> None:
    page = told.page
    page.keyboard.press("n")
    page.keyboard.type("night")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("luigi")
    page.keyboard.press("Enter")
    page.locator(".rows .row .name", has_text="night").wait_for()
    assert [(hub.label, hub.owner) for hub in farm.hubs()] == [("night", "luigi")]
    farm.start(count=3, group="mima")
    page.locator(".rows .row").nth(3).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("mima-2")
    page.wait_for_function("document.querySelectorAll('.rows .row').length === 1")
    page.locator("[role=grid]").focus()
    page.keyboard.press("Space")
    page.get_by_text("1 selected").wait_for()
    page.keyboard.press("Delete")
    page.locator("dialog").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("1 hub stopped").wait_for()
    assert "mima-2" not in {hub.label for hub in farm.hubs()}
    page.keyboard.press("/")
    page.keyboard.press("Control+A")
    page.keyboard.press("Backspace")
    page.locator("[role=grid]").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="mima-1").wait_for()


def test_hubs_by_clicks(told: Told, farm: Farm) -> None:
    farm.start(count=2, group="mima")
    page = told.page
    page.get_by_label("Select mima-1").check()
    page.get_by_label("Select mima-2").check()
    page.get_by_role("button", name="Restart", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Restart").click()
    page.get_by_text("2 hubs restarted").wait_for()
    assert [hub.restarts for hub in farm.hubs()] == [1, 1]
    page.get_by_label("Select mima-2").check()
    page.get_by_role("button", name="Drain").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    page.get_by_text("1 hub drained").wait_for()
    told.go("/history").get_by_text("drained").first.wait_for()
    page = told.go("/")
    page.get_by_role("button", name="Start hubs").click()
    page.get_by_label("Label", exact=True).fill("mima-1")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("alert").get_by_text("mima-1").wait_for()  # it is in use: the dialogue says so, and stays
    assert all("400" in each for each in told.complaints)
    told.complaints.clear()


def test_clients_are_seen_and_talked_to(told: Told, farm: Farm, receiver: Receiver, home: Path) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "table.load.votable", "my.event")
    page = told.go("/hub/1")
    card = page.locator(".client", has_text="TOPCAT")
    card.get_by_text("Takes 2 kinds of messages").click()
    card.get_by_text("my.event").wait_for()

    card.get_by_role("button", name="Send").click()
    page.get_by_label("MType").fill("my.event")
    page.get_by_role("button", name="Parameter", exact=True).click()
    page.get_by_placeholder("parameter").last.fill("ra")
    page.get_by_placeholder("value").last.fill("10.68")
    page.get_by_label("Wait for the answer").uncheck()
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    page.get_by_text("Sent to TOPCAT").wait_for()
    message = _next_message(receiver)
    assert (message["samp.mtype"], message["samp.params"]) == ("my.event", {"ra": "10.68"})

    file = home / "galaxies.vot"
    file.write_text(TABLE)
    card.get_by_role("button", name="File").click()
    page.locator("input[type=file]").set_input_files(file)
    call = _next_call(receiver)
    assert call["samp.mtype"] == "table.load.votable"
    assert call["samp.params"]["name"] == "galaxies.vot"
    with urllib.request.urlopen(call["samp.params"]["url"], timeout=PATIENCE) as answer:
        assert answer.read().decode() == TABLE
    receiver.hub.reply(receiver.key, call["id"], {"samp.status": "samp.ok", "samp.result": {}})
    page.get_by_text("TOPCAT took the table").wait_for()

    card.get_by_role("button", name="Disconnect").click()
    page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    page.get_by_text("TOPCAT is disconnected").wait_for()
    card.wait_for(state="detached")
    assert farm.find("night").clients is not None


def _next_message(receiver: Receiver) -> Any:
    while (got := receiver.next()).method != "samp.client.receiveNotification" or _is_event(got.params[-1]):
        pass
    return got.params[-1]


def _is_event(message: Any) -> bool:
    return str(message["samp.mtype"]).startswith("samp.")


def _next_call(receiver: Receiver) -> Any:
    while (got := receiver.next()).method != "samp.client.receiveCall":
        pass
    return got.params[-1] | {"id": got.params[-2]}


def test_file_is_dropped_on_a_client(told: Told, farm: Farm, receiver: Receiver) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "table.load.votable")
    page = told.go("/hub/1")
    page.locator(".client", has_text="TOPCAT").wait_for()
    page.evaluate(
        """text => {
            const data = new DataTransfer();
            data.items.add(new File([text], "dropped.vot"));
            const card = [...document.querySelectorAll(".client")].find((each) => each.textContent.includes("TOPCAT"));
            card.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
            card.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        TABLE,
    )
    assert _next_call(receiver)["samp.params"]["name"] == "dropped.vot"


def test_jsamp_and_astropy_are_seen_with_the_former_s_icon(told: Told, farm: Farm, on_hub: OnHub) -> None:
    need("jsamp")
    from astropy.samp import SAMPIntegratedClient as Astropy

    [hub] = farm.start(label="night")
    on_hub("night", "jsamp", "snooper", "-clientname", "JSAMP")
    client = Astropy(name="astropy")
    client.connect(hub_params=read_lock_file(hub.lock_file))
    try:
        page = told.go("/hub/1")
        page.locator(".client", has_text="astropy").wait_for()
        page.locator(".client", has_text="JSAMP").wait_for()
        page.locator(".client", has_text="astropy").get_by_role("button", name="Ping").click()
        page.get_by_text(re.compile("astropy answered in")).wait_for()
    finally:
        client.disconnect()
    page.locator(".client", has_text="astropy").wait_for(state="detached")


def test_ds9_is_seen_and_takes_what_is_sent(told: Told, farm: Farm, on_hub: OnHub, display: str, home: Path) -> None:
    need("ds9")
    farm.start(label="night")
    with (home / "ds9.out").open("w") as output:
        on_hub("night", "ds9", stdout=output)
    page = told.go("/hub/1")
    card = page.locator(".client", has_text="DS9")
    card.wait_for()
    card.get_by_role("button", name="Send").click()
    page.get_by_label("MType").fill("ds9.get")
    page.get_by_label("Value of cmd").fill("version")
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    page.locator("dialog pre", has_text="ds9").wait_for()
    told.complaints.clear()  # where its icon lies nobody may answer


def test_log_goes_on_while_one_looks(told: Told, farm: Farm, receiver: Receiver) -> None:
    [hub] = farm.start(label="night")
    page = told.go("/hub/1/log")
    page.locator(".entry", has_text="serving at").wait_for()
    receiver.join_by(hub.lock_file, "TOPCAT")
    page.locator(".entry", has_text="registered").wait_for()
    page.get_by_label("Filter the log").fill("serving")
    page.locator(".entry:not(.none)").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.entry:not(.none)').length === 1")


def test_page_that_asks_is_let_in_here(farm: Farm, sites: Any, browser: Any) -> None:  # noqa: F811
    farm.start(label="night")
    with started_dashboard() as shown:
        told = Told(browser, shown.address)
        told.page.get_by_role("button", name="Start hubs").wait_for()
        viewer = browser.new_page()
        viewer.goto(f"{sites().origin}/viewer.html")
        viewer.evaluate("enter('Sky viewer')")
        told.page.get_by_text("A web page asks to come in").wait_for()
        page = told.go("/consent")
        card = page.locator("article", has_text="Sky viewer")
        card.get_by_role("button", name="Let it in").click()
        page.locator("tbody tr", has_text="Sky viewer").get_by_role("button", name="Disconnect").wait_for()
        page.get_by_role("button", name="Forget").click()
        page.get_by_role("dialog").get_by_role("button", name="Forget").click()
        page.get_by_text("Nothing is remembered.").wait_for()
        page.locator("tbody tr", has_text="Sky viewer").get_by_role("button", name="Disconnect").click()
        page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        page.get_by_text("No page is on a hub.").wait_for()
        assert not told.complaints


def test_users_log_in_and_see_what_is_theirs(told: Told, shown: Shown, farm: Farm, browser: Any) -> None:
    page = told.go("/access")
    page.get_by_role("button", name="Add a user").click()
    page.get_by_label("Name").fill("luigi")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("luigi is added").wait_for()
    farm.start(label="his", owner="luigi", access="owner")
    farm.start(label="open")
    with browser.browser.new_context() as other:
        his = Told(other, shown.origin)
        his.page.get_by_label("User").fill("luigi")
        his.page.get_by_label("Password").fill("a long password")
        his.page.get_by_role("button", name="Log in").click()
        his.page.locator(".rows .row").nth(1).wait_for()
        assert his.page.get_by_role("button", name="Start hubs").count() == 0
        assert his.page.get_by_role("link", name="Access").count() == 0
        his.page.get_by_label("Select his").check()
        his.page.get_by_role("button", name="Stop").click()
        his.page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        his.page.get_by_text("1 hub stopped").wait_for()
        page.get_by_role("button", name="Throw luigi out").click()
        page.get_by_role("dialog").get_by_role("button", name="Throw out").click()
        page.get_by_text("luigi is out").wait_for()
        his.page.reload()
        his.page.get_by_label("Password").wait_for()


def test_what_others_say_is_shown_and_never_obeyed(told: Told, farm: Farm, receiver: Receiver, paths: Paths) -> None:
    farm.start(label="<b>bold<b>", owner="<script>broken()<script>", group="<i>mima<i>")
    [hub] = farm.hubs()
    receiver.join_by(hub.lock_file, HOSTILE, "table.load.votable")
    receiver.hub.declareMetadata(
        receiver.key,
        {
            "samp.name": HOSTILE,
            "samp.description.text": HOSTILE,
            "samp.description.html": HOSTILE,
            "samp.icon.url": f"{receiver.url}{HOSTILE}",
            HOSTILE: HOSTILE,
        },
    )
    page = told.page
    page.locator(".row", has_text="<b>bold<b>").wait_for()
    for where in ("/", "/hub/1", "/hub/1/log", "/access", "/history"):
        page = told.go(where)
        page.get_by_text("bold<b>").first.wait_for() if where != "/history" else page.locator("h1").wait_for()
    with (paths.logs / "<b>bold<b>.log").open("a") as log:
        log.write(f"2026-01-01 12:00:00.000 ERROR   it: said {HOSTILE}\n")
    told.go("/hub/1/log").locator(".entry.ERROR", has_text="onerror=").wait_for()
    page = told.go("/hub/1")
    page.get_by_text("window.broken=1").first.wait_for()
    assert page.evaluate("window.broken") is None
    assert page.locator("main img").count() == 0
    assert page.locator("main script, main i, main b").count() == 0
    told.complaints.clear()  # the icon that is none: 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(
    shown: Shown, farm: Farm, browser: Any, receiver: Receiver, width: int, scheme: str
) -> None:
    farm.start(count=3, group="mima", owner="luigi")
    farm.users.add("luigi", "a long password")
    receiver.join_by(farm.find("mima-1").lock_file, "TOPCAT", "table.load.votable")
    told = Told(browser, shown.origin, width)
    told.page.emulate_media(color_scheme=scheme)
    told.page.get_by_role("button", name="Log in").wait_for()
    _check(told.page, "the door")
    told.page.goto(shown.address)
    told.page.reload()
    told.page.locator(".rows .row").nth(2).wait_for()
    _check(told.page, "hubs")
    told.page.keyboard.press("n")
    _check(told.page, "start")
    told.page.keyboard.press("Escape")
    for where, ready in (
        ("/hub/1", ".client"),
        ("/hub/1/log", ".entry"),
        ("/access", "tbody tr"),
        ("/consent", "h1"),
        ("/history", ".facts div"),
    ):
        told.go(where).locator(ready).first.wait_for()
        _check(told.page, where)


def _check(page: Any, what: str) -> None:
    page.evaluate(axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious, (what, json.dumps(serious, indent=1))


def test_thousand_busy_hubs_stay_smooth(told: Told) -> None:
    """Of a thousand rows those in sight are in the page, and no look takes the browser longer than people notice."""
    page = told.page
    numbers = {str(n): [n % 7, n % 90, n % 3, 8.5, n % 5] for n in range(1000)}
    hubs = {
        key: {"id": int(key), "label": f"hub-{key}", "owner": "luigi", "group": "mima", "state": "running"}
        | {"alive": True, "kind": "farm", "role": "admin", "line": [n % 11 for n in range(90)]}
        for key in numbers
    }

    def serve(route: Any) -> None:
        def heed(text: str) -> None:
            said = json.loads(text)
            if said.get("listen") == "farm":
                route.send(json.dumps({"as": said["as"], "data": {"whole": True, "hubs": hubs, "numbers": numbers}}))
                for turn in range(5):
                    changed = {key: [*each[:1], each[1] + turn, *each[2:]] for key, each in numbers.items()}
                    route.send(json.dumps({"as": said["as"], "data": {"numbers": changed}}))

        route.on_message(heed)

    page.route_web_socket(re.compile("/ws$"), serve)
    page.add_init_script(
        "window.long = []; new PerformanceObserver((list) => list.getEntries().forEach((each) =>"
        " window.long.push(each.duration))).observe({ type: 'longtask', buffered: true });"
    )
    page.reload()
    page.locator(".row .name", has_text="hub-0").first.wait_for()
    page.locator(".total dd", has_text="1000").wait_for()
    page.evaluate("window.long.length = 0")
    page.locator("[role=grid]").focus()
    page.keyboard.press("End")
    page.locator(".row .name", has_text="hub-999").wait_for()
    for _ in range(20):
        page.keyboard.press("PageUp")
    page.get_by_role("button", name="Messages / s").click()
    page.get_by_label("Filter hubs").fill("hub-99")
    page.wait_for_function("document.querySelectorAll('.rows .row').length === 11")
    assert page.locator(".rows .row").count() < 60
    assert max(page.evaluate("window.long"), default=0) < 500  # 100 on an idle machine
