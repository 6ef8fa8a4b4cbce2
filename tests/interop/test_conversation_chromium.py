"""The Conversation view in Debian's Chromium: by mouse and by keyboard, and against who would break it by a field."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import started_dashboard
from tests.interop.browser_support import axe, chromium
from tests.interop.conftest import OnHub, names_on
from tests.support import need, wait_for

pytestmark = pytest.mark.interop

EVIL = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
"""What a page would run that read a text as markup."""

ERROR = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "no such column", "samp.debugtxt": EVIL}}


@pytest.fixture
def context(tmp_path: Path, home: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as one:
        yield one


@pytest.fixture
def view(farm: Farm, context: Any) -> Iterator[Any]:
    """The view of the hub mine, in a page whose errors fail the test."""
    farm.start(label="mine", owner="luigi", limits=["declared=8000000"])
    errors: list[str] = []
    with started_dashboard() as shown:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(shown.address)
        page.get_by_role("navigation").wait_for()
        page.goto(f"{shown.origin}/#/hub/1/conversation")
        page.get_by_text("Watching: the hub’s clients can see that").wait_for()
        yield page
        page.close()
    assert errors == []


@pytest.fixture
def pair(view: Any) -> Iterator[tuple[SAMPIntegratedClient, SAMPIntegratedClient]]:
    """Two clients of the hub; the second one sums up, and fails."""
    with SAMPIntegratedClient("one") as one, SAMPIntegratedClient(f"two{EVIL}", EVIL) as two:
        one.connect(label="mine")
        two.connect(label="mine")
        two.on_call("my.sum")(lambda message: {"sum": str(int(message.params["a"]) + int(message.params["b"]))})
        two.on_call("my.fail")(lambda message: ERROR)
        two.on_call("my.evil")(lambda message: {EVIL: [EVIL, {EVIL: EVIL}]})
        two.on_notification("my.*")(lambda message: None)
        yield one, two


Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


def line(view: Any, text: str) -> Any:
    return view.locator(".messages > li", has_text=text).last


def test_call_is_seen_with_its_answer_and_unfolds_by_keyboard(view: Any, pair: Pair) -> None:
    one, two = pair
    other = str(two.get_public_id())
    one.ecall_and_wait(other, "my.sum", 10, a="1", b="2")
    one.ecall_and_wait(other, "my.fail", 10)
    line(view, "my.fail").get_by_text("error", exact=True).first.wait_for()
    line(view, "my.sum").get_by_text("ok", exact=True).first.wait_for()
    first = line(view, "my.sum").locator(".line")
    first.focus()
    view.keyboard.press("ArrowDown")
    view.keyboard.press("Enter")
    unfolded = line(view, "my.fail").get_by_role("group", name="The whole message")
    unfolded.get_by_text("answered samp.error").wait_for()
    assert "no such column" in unfolded.inner_text()
    assert view.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    view.keyboard.press("Escape")
    wait_for(lambda: unfolded.count() == 0, "it is folded again")
    assert "my.fail" in view.evaluate("document.activeElement.textContent")


def test_calls_of_jsamp_and_what_is_refused_are_told_apart(view: Any, pair: Pair, farm: Farm, on_hub: OnHub) -> None:
    need("jsamp")
    one, _ = pair
    on_hub("mine", "jsamp", "snooper", "-clientname", "JS", "-mtype", "table.load.votable")
    wait_for(lambda: "JS" in names_on(farm.find("mine")), "JSAMP is there")
    wait_for(lambda: one.get_subscribed_clients("table.load.votable"), "JSAMP listens")
    one.ecall_all("a-tag", "table.load.votable", url="file:///x.vot")
    line(view, "table.load.votable").get_by_text("warning", exact=True).first.wait_for()
    with pytest.raises(Exception, match="not subscribed"):
        one.enotify("c1", "no.such")
    line(view, "no.such").get_by_text("undelivered", exact=True).first.wait_for()


def test_nothing_that_others_say_is_run(view: Any, pair: Pair) -> None:
    one, two = pair
    one.declare_metadata({"samp.name": EVIL, "samp.icon.url": f"javascript:{EVIL}", EVIL: EVIL})
    one.ecall_and_wait(str(two.get_public_id()), "my.evil", 10, **{"text": EVIL, EVIL: {EVIL: EVIL}})
    one.call(str(two.get_public_id()), EVIL, {"samp.mtype": "my.fail", "samp.params": {}, EVIL: EVIL})
    with pytest.raises(Exception, match="MType"):
        one.notify(str(two.get_public_id()), {"samp.mtype": EVIL, "samp.params": {}})
    view.get_by_label("The hub’s own").check()
    line(view, "img src=x").wait_for()
    for mtype in ("my.evil", "my.fail"):
        line(view, mtype).locator(".line").click()
        line(view, mtype).locator(".whole .tree").first.wait_for()
        for _ in range(3):  # whatever is folded in it
            for folded in line(view, mtype).locator("details:not([open]) > summary").all():
                folded.click()
    view.get_by_role("button", name="Send again…").click()
    view.get_by_role("dialog").wait_for()
    assert EVIL in view.locator(".messages").inner_text()
    assert view.locator(".messages img, .messages script, dialog img").count() == 0
    assert view.title() == "mine · hubfarm"


def test_filters_pause_save_load_and_send_again_by_mouse(view: Any, pair: Pair, tmp_path: Path) -> None:
    one, two = pair
    other = str(two.get_public_id())
    one.ecall_and_wait(other, "my.sum", 10, a="1", b="2")
    one.enotify_all("my.text", text="first")
    line(view, "my.text").get_by_text("ok", exact=True).first.wait_for()
    view.get_by_label("MType:").fill("sum")
    wait_for(lambda: view.locator(".messages > li").count() == 1, "only what is looked for is shown")
    with view.expect_download() as download:
        view.get_by_role("link", name="Save").click()
    saved = tmp_path / "saved.jsonl"
    download.value.save_as(saved)
    kinds = [json.loads(each)["event"] for each in saved.read_text().splitlines()]
    assert kinds.count("sent") == 1
    view.get_by_label("MType:").fill("")
    line(view, "my.text").wait_for()
    view.get_by_role("button", name="Pause").click()
    one.enotify_all("my.later")
    one.ping()
    view.get_by_text("Paused; the hub is still watched").wait_for()
    view.get_by_role("button", name="Go on").click()
    line(view, "my.later").wait_for()
    view.locator("#talk-file").set_input_files(saved)
    view.get_by_text("From a file: what was said on the hub mine").wait_for()
    wait_for(lambda: view.locator(".messages > li").count() == 1, "what was saved is shown")
    view.get_by_role("button", name="Send again…").click()
    dialog = view.get_by_role("dialog")
    dialog.get_by_label("To", exact=True).select_option(value=other)
    dialog.get_by_role("button", name="Send", exact=True).click()
    dialog.get_by_text("1 of 1: done").wait_for()
    assert "samp.ok my.sum" in dialog.inner_text()
    view.keyboard.press("Escape")
    view.get_by_role("button", name="Back to the hub").click()
    line(view, "my.sum").wait_for()
    wait_for(lambda: view.locator(".messages > li", has_text="my.sum").count() == 2, "the one sent again is seen too")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_nothing_serious(view: Any, pair: Pair, scheme: str, width: int) -> None:
    one, two = pair
    view.emulate_media(color_scheme=scheme)
    view.set_viewport_size({"width": width, "height": 800})
    for mtype in ("my.sum", "my.fail"):
        one.ecall_and_wait(str(two.get_public_id()), mtype, 10, a="1", b="2")
        line(view, mtype).locator(".line").click()
        line(view, mtype).locator(".whole .tree").first.wait_for()
    assert serious(view) == []
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    view.get_by_role("button", name="Send again…").click()
    view.get_by_role("dialog").wait_for()
    assert serious(view) == []


def serious(view: Any) -> list[Any]:
    view.evaluate(axe())
    found = view.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_page_stays_usable_while_thousands_of_messages_pass(view: Any, pair: Pair) -> None:
    """As many as two programs send by all means; docs/decisions/0015 has what 10,000 a second cost."""
    one, two = pair
    over = threading.Event()

    def flood() -> None:
        with SAMPIntegratedClient("flood") as sender:
            sender.connect(label="mine")
            while not over.is_set():
                sender.enotify_all("my.flood", text="x" * 100)

    senders = [threading.Thread(target=flood) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        wait_for(lambda: view.locator(".messages > li").count() >= 300, "the page shows what comes")
        view.get_by_role("button", name="Pause").click()
        line(view, "my.flood").locator(".line").click()
        line(view, "my.flood").locator(".whole .tree").first.wait_for()
        view.get_by_role("button", name="Go on").click()
        one.ecall_and_wait(str(two.get_public_id()), "my.sum", 10, a="1", b="2")
        view.get_by_label("MType:").fill("sum")
        line(view, "my.sum").wait_for()
        wait_for(lambda: view.locator(".messages > li").count() == 1, "the one is found among thousands")
    finally:
        over.set()
        for sender in senders:
            sender.join()
    assert view.locator(".messages > li").count() < 500


def test_client_of_megabytes_of_metadata_does_no_harm(view: Any, pair: Pair) -> None:
    _, two = pair
    two.on_notification("samp.hub.event.*")(lambda message: None)
    two.declare_subscriptions()
    view.get_by_label("The hub’s own").check()
    with SAMPIntegratedClient("x" * 100_000, "y" * 2**20, {"more": {str(n): "z" * 100 for n in range(35_000)}}) as huge:
        wanted: Callable[[], Any] = huge.get_public_id
        huge.connect(label="mine")
        huge.enotify_all("my.text")
        line(view, "my.text").locator(".line").click()
        line(view, "my.text").locator(".whole .tree").first.wait_for()
        assert f"{'x' * 200} {wanted()}" in line(view, "my.text").inner_text()
        event = line(view, "samp.hub.event.metadata")
        event.locator(".line").click()
        event.get_by_text(re.compile(r"Not kept: it has [5-8]\.\d MB")).wait_for()
        view.get_by_role("link", name="Clients").click()
        card = view.locator(".client", has_text="xxxx")
        card.get_by_text("Says of itself").click()
        card.get_by_text("{'0': 'zzz").wait_for()
        assert len(card.inner_text()) < 2000
