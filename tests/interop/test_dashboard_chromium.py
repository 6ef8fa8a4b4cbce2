"""The dashboard in Chromium: files dropped on it, hostile words and pages, real programs, and what axe-core says."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from tests.dashboard.dashboard_support import Shown, started_dashboard
from tests.interop.browser_support import axe
from tests.interop.conftest import OnHub
from tests.interop.dashboard_page import TABLE, Told, next_call
from tests.support import PATIENCE, Receiver, need, read_lock_file

pytestmark = pytest.mark.interop

HOSTILE = (
    "<img src=x onerror='window.broken=1'>\"'><script>window.broken=1</script>{{7*7}}javascript:window.broken=1 \u202e"
)


def drop(page: Any, place: Any, file: Path) -> None:
    """Drop a file on something, as a hand does that has dragged it from the desktop."""
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 10}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    chromium = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        chromium.send("Input.dispatchDragEvent", {"type": kind, "data": data} | at)
    chromium.detach()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file of each kind that is handed over, by the MType that it goes by."""
    from astropy.io import fits
    from astropy.table import Table

    made = {name: tmp_path / f"a {name}" for name in ("table.load.votable", "table.load.fits", "image.load.fits")}
    made["table.load.votable"].write_text(TABLE)
    Table({"x": [1, 2]}).write(made["table.load.fits"], format="fits")
    fits.PrimaryHDU([[1, 2], [3, 4]]).writeto(made["image.load.fits"])
    return made


@pytest.mark.parametrize("mtype", ["table.load.votable", "table.load.fits", "image.load.fits"])
def test_file_is_dropped_on_a_client_and_goes_by_what_it_holds(
    told: Told, farm: Farm, receiver: Receiver, files: dict[str, Path], mtype: str
) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", mtype)
    page = told.go("/hub/1")
    card = page.locator(".client", has_text="TOPCAT")
    card.get_by_text("Takes 1 kind of messages").wait_for()
    for place in (card, page.locator(".all-drop")):
        drop(page, place, files[mtype])
        call = next_call(receiver)
        assert (call["samp.mtype"], call["samp.params"]["name"]) == (mtype, files[mtype].name)
        with urllib.request.urlopen(call["samp.params"]["url"], timeout=PATIENCE) as answer:
            assert answer.read() == files[mtype].read_bytes()
        receiver.hub.reply(receiver.key, call["id"], {"samp.status": "samp.ok", "samp.result": {}})
        page.locator(".toast", has_text=f"TOPCAT took the {mtype.partition('.')[0]}").first.wait_for()


def test_file_that_nobody_takes_is_said_to_be_so(
    told: Told, farm: Farm, receiver: Receiver, files: dict[str, Path]
) -> None:
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "my.event")
    page = told.go("/hub/1")
    card = page.locator(".client", has_text="TOPCAT")
    card.get_by_text("Takes 1 kind of messages").wait_for()
    drop(page, card, files["image.load.fits"])
    page.get_by_text("TOPCAT takes no tables, images or spectra").wait_for()
    drop(page, page.locator(".all-drop"), files["image.load.fits"])
    page.get_by_text("Nobody here takes this image").wait_for()


def test_page_of_another_port_does_nothing_though_the_browser_sends_the_cookie(
    told: Told, farm: Farm, browser: Any, sites: Any, shown: Shown
) -> None:
    farm.start(label="night")
    other = browser.new_page()
    other.goto(f"{sites().origin}/viewer.html")
    assert [each["name"].startswith("hubfarm-") for each in browser.cookies(other.url)] == [True]
    tried = other.evaluate(
        """async (origin) => {
            const socket = new WebSocket(origin.replace("http", "ws") + "/ws");
            const opened = await new Promise((told) => {
                socket.onopen = () => told("open");
                socket.onclose = () => told("refused");
            });
            const ask = async (path, options) => {
                try {
                    return (await (await fetch(origin + path, { credentials: "include", ...options })).text());
                } catch (error) {
                    return "refused";
                }
            };
            const body = JSON.stringify({ hubs: ["1"] });
            const json = { method: "POST", headers: { "Content-Type": "application/json" }, body };
            const plain = { method: "POST", mode: "no-cors", body };
            const framed = document.createElement("iframe");
            framed.src = origin;
            document.body.append(framed);
            return [opened, await ask("/me", {}), await ask("/do/stop", json), await ask("/do/stop", plain)];
        }""",
        shown.origin,
    )
    assert tried == ["refused"] * 4
    assert not [frame for frame in other.frames if frame.url.startswith(shown.origin)]
    assert [hub.label for hub in farm.hubs()] == ["night"]


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


def test_page_that_asks_is_let_in_here(farm: Farm, sites: Any, browser: Any) -> None:
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


def test_page_with_a_hostile_name_is_asked_about_and_listed_as_text(
    sites: Any, told: Told, farm: Farm, browser: Any
) -> None:
    farm.start(label="night")
    viewer = browser.new_page()
    viewer.goto(f"{sites().origin}/viewer.html")
    viewer.evaluate("name => enter(name)", HOSTILE)
    page = told.go("/consent")
    card = page.locator("article", has_text="onerror=")
    card.get_by_role("button", name="Let it in").click()
    page.locator("tbody tr", has_text="onerror=").wait_for()
    told.go("/hub/1").locator(".client", has_text="Viewer").wait_for()
    assert page.evaluate("window.broken") is None
    assert page.locator("main img, main script").count() == 0


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
