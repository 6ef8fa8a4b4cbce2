"""All that the dashboard's page can do, done in Chromium twice: by clicks, and with no mouse at all."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import Shown, give_up, started_dashboard
from tests.interop.dashboard_page import TABLE, Told, next_call, next_message
from tests.support import PATIENCE, Receiver, wait_for

pytestmark = pytest.mark.interop

MOST_TABS = 150
"""What cannot be reached by so many presses of Tab cannot be reached."""


class Hand(Protocol):
    """How somebody uses a page."""

    page: Any

    def press(self, what: Any) -> None:
        """Press a button, follow a link, unfold what is folded."""

    def tick(self, what: Any) -> None:
        """Change a box that is ticked or not."""

    def write(self, what: Any, text: str) -> None:
        """Write into a field, in place of what is in it."""

    def choose(self, what: Any, text: str) -> None:
        """Choose from a list, by what it shows."""

    def select(self, *labels: str) -> None:
        """Select hubs in the list of all."""

    def show_only(self, which: str) -> None:
        """Have the list show hubs of one sort."""

    def open(self, label: str) -> None:
        """Go to the page of the one hub that there is."""


class Mouse:
    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, what: Any) -> None:
        what.click()

    def tick(self, what: Any) -> None:
        what.click()

    def write(self, what: Any, text: str) -> None:
        what.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)

    def choose(self, what: Any, text: str) -> None:
        what.select_option(label=text)  # what a browser's list looks like no page knows

    def select(self, *labels: str) -> None:
        for label in labels:
            self.page.get_by_label(f"Select {label}", exact=True).click()

    def show_only(self, which: str) -> None:
        self.page.locator(".chips label", has_text=which).click()

    def open(self, label: str) -> None:
        self.page.get_by_role("link", name=label, exact=True).click()


class Keyboard:
    def __init__(self, page: Any) -> None:
        self.page = page
        page.add_init_script("for (const kind of ['mousedown', 'click']) addEventListener(kind, (event) => "
                             "{ if (event.detail) console.error('the mouse was used'); }, true);")  # fmt: skip
        page.reload()

    def reach(self, what: Any) -> None:
        """Go on by Tab until something has the focus."""
        what.wait_for()
        for _ in range(MOST_TABS):
            if what.evaluate("node => node === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no key leads to {what}")

    def press(self, what: Any) -> None:
        wait_for(what.is_enabled, "it can be pressed")
        self.reach(what)
        self.page.keyboard.press("Enter")

    def tick(self, what: Any) -> None:
        self.reach(what)
        self.page.keyboard.press("Space")

    def write(self, what: Any, text: str) -> None:
        self.reach(what)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)

    def choose(self, what: Any, text: str) -> None:
        self.reach(what)
        self.page.keyboard.press("Home")
        for _ in range(MOST_TABS):
            if what.evaluate("node => node.selectedOptions[0].textContent") == text:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(text)

    def select(self, *labels: str) -> None:
        grid = self.page.get_by_role("grid")
        self.reach(grid)
        self.page.keyboard.press("Home")
        for label in labels:
            row = self.page.locator(".rows .row", has=self.page.get_by_label(f"Select {label}", exact=True))
            id = row.get_attribute("id")
            for _ in range(MOST_TABS):
                if grid.get_attribute("aria-activedescendant") == id:
                    break
                self.page.keyboard.press("ArrowDown")
            self.page.keyboard.press("Space")

    def show_only(self, which: str) -> None:
        self.reach(self.page.locator(".chips input:checked"))
        for _ in range(3):
            if self.page.locator(".chips label", has_text=which).locator("input").is_checked():
                return
            self.page.keyboard.press("ArrowRight")
        raise AssertionError(which)

    def open(self, label: str) -> None:
        self.page.locator(".rows .row", has_text=label).wait_for()
        self.reach(self.page.get_by_role("grid"))
        self.page.keyboard.press("Enter")


@pytest.fixture(params=[Mouse, Keyboard], ids=["mouse", "keyboard"])
def hand(request: pytest.FixtureRequest, told: Told) -> Hand:
    one: Hand = request.param(told.page)
    told.page.get_by_role("button", name="Start hubs").wait_for()
    return one


def say(page: Any, text: str) -> None:
    """Wait until the page says something in passing."""
    problem = page.get_by_role("dialog").get_by_role("alert")
    page.locator(".toast").or_(problem.filter(has_text=re.compile("."))).first.wait_for()
    assert problem.count() == 0 or not problem.inner_text(), problem.inner_text()
    page.locator(".toast", has_text=text).first.wait_for()


def in_dialog(page: Any, name: str) -> Any:
    return page.get_by_role("dialog").get_by_role("button", name=name, exact=True)


def labels(page: Any) -> list[str]:
    """Return the hubs as the page has them, from above."""
    rows = page.locator(".rows .row").all()
    return [
        row.locator(".name a").inner_text()
        for row in sorted(rows, key=lambda row: int(row.get_attribute("aria-rowindex")))
    ]


def test_hubs_are_started_sorted_filtered_restarted_drained_and_stopped(hand: Hand, told: Told, farm: Farm) -> None:
    page = hand.page
    farm.users.add("marta", "a long password", groups=["mima"])
    hand.press(page.get_by_role("button", name="Start hubs"))
    dialog = page.get_by_role("dialog")
    hand.write(dialog.get_by_label("Label", exact=True), "night")
    hand.write(dialog.get_by_label("Owner", exact=True), "luigi")
    hand.write(dialog.get_by_label("Group", exact=True), "mima")
    hand.choose(dialog.get_by_label("Who may enter"), "users of its group")
    hand.write(dialog.get_by_label("Others too"), "user:anna")
    hand.write(dialog.get_by_label("Ends when unused for"), "7200")
    hand.press(in_dialog(page, "Start"))
    say(page, "night runs")
    [night] = farm.hubs()
    assert (night.label, night.owner, night.group, night.timeout) == ("night", "luigi", "mima", 7200)
    assert (night.access, night.allow) == ("group", ("user:anna",))

    farm.start(count=2, group="oact", owner="anna")
    page.locator(".rows .row").nth(2).wait_for()
    assert labels(page) == ["night", "oact-1", "oact-2"]
    hand.press(page.get_by_role("columnheader", name="Owner · group").get_by_role("button"))
    wait_for(lambda: labels(page) == ["oact-1", "oact-2", "night"], "they are sorted by their owners")
    hand.press(page.get_by_role("columnheader", name="Owner · group").get_by_role("button"))
    wait_for(lambda: labels(page) == ["night", "oact-1", "oact-2"], "they are sorted the other way")
    hand.write(page.get_by_label("Filter hubs"), "anna oact-2")
    wait_for(lambda: labels(page) == ["oact-2"], "one is found")
    hand.write(page.get_by_label("Filter hubs"), "")
    hand.show_only("Troubled")
    page.get_by_text("No hub is like that").wait_for()
    hand.show_only("All")

    for what, names, says in (
        ("Restart", ["night", "oact-1"], "2 hubs restarted"),
        ("Sleep", ["night"], "1 hub asleep"),
        ("Wake", ["night"], "1 hub awake"),
        ("Drain", ["oact-1"], "1 hub drained"),
        ("Stop", ["oact-2"], "1 hub stopped"),
    ):
        hand.select(*names)
        page.get_by_text(f"{len(names)} selected").wait_for()
        hand.press(page.get_by_role("group", name="What to do with the selected").get_by_role("button", name=what))
        hand.press(in_dialog(page, what))
        say(page, says)
        page.get_by_role("dialog").wait_for(state="detached")
    wait_for(lambda: labels(page) == ["night"], "one is left")
    assert [(hub.label, hub.restarts) for hub in farm.hubs()] == [("night", 1)]

    hand.press(page.get_by_role("button", name="Start hubs"))
    hand.write(page.get_by_role("dialog").get_by_label("Label", exact=True), "night")
    hand.press(in_dialog(page, "Start"))
    page.get_by_role("alert").get_by_text("night").wait_for()  # it is in use: the dialogue says so, and stays
    hand.press(in_dialog(page, "Cancel"))
    assert all("400" in each for each in told.complaints)
    told.complaints.clear()

    hand.press(page.get_by_role("link", name="History"))
    page.locator("tbody tr", has_text="oact-1").locator(".state", has_text="drained").wait_for()
    page.locator("tbody tr", has_text="oact-2").locator(".state", has_text="stopped").wait_for()
    page.get_by_text("Coordinator").wait_for()


def test_hub_that_has_failed_says_why_and_what_it_logged_last(hand: Hand, farm: Farm) -> None:
    page = hand.page
    farm.start(label="night")
    give_up(farm, "night")
    row = page.locator(".rows .row", has_text="night")
    row.get_by_text("failed", exact=True).wait_for()
    assert "died early" in row.inner_text()
    if isinstance(hand, Keyboard):
        hand.reach(page.get_by_role("grid"))
        page.keyboard.press("Enter")
    else:
        row.get_by_role("button", name="Log").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Last lines of the log").get_by_text("serving at").wait_for()
    assert "killed by SIGKILL" in dialog.inner_text()
    hand.press(in_dialog(page, "Close"))
    dialog.wait_for(state="detached")


def test_hub_that_sleeps_is_woken_on_its_page(hand: Hand, farm: Farm) -> None:
    page = hand.page
    farm.start(label="night", dormant=True)
    row = page.locator(".rows .row", has_text="night")
    row.get_by_text("dormant", exact=True).wait_for()
    hand.open("night")
    page.get_by_text("This hub sleeps").wait_for()
    assert farm.find("night").state == "dormant"
    hand.press(page.get_by_role("button", name="Wake it"))
    page.get_by_text("Nobody is on this hub.").wait_for()
    assert farm.find("night").state == "running"


def test_clients_are_talked_to_pinged_handed_files_and_disconnected(
    hand: Hand, farm: Farm, receiver: Receiver, home: Path
) -> None:
    page = hand.page
    [hub] = farm.start(label="night")
    receiver.join_by(hub.lock_file, "TOPCAT", "table.load.votable", "my.event", "samp.app.ping")
    hand.open("night")
    card = page.locator(".client", has_text="TOPCAT")
    hand.press(card.locator("summary", has_text="Takes 3 kinds of messages"))
    card.get_by_text("my.event").wait_for()

    hand.press(card.get_by_role("button", name="Send"))
    dialog = page.get_by_role("dialog")
    assert {each.get_attribute("value") for each in dialog.locator("option").all()} == {
        "table.load.votable",
        "my.event",
    }
    hand.write(dialog.get_by_label("MType"), "my.event")
    hand.press(dialog.get_by_role("button", name="Parameter", exact=True))
    hand.write(dialog.get_by_placeholder("parameter").last, "ra")
    hand.write(dialog.get_by_placeholder("value").last, "10.68")
    hand.press(in_dialog(page, "Send"))
    call = next_call(receiver)
    assert (call["samp.mtype"], call["samp.params"]) == ("my.event", {"ra": "10.68"})
    receiver.hub.reply(receiver.key, call["id"], {"samp.status": "samp.ok", "samp.result": {"dec": "41.27"}})
    dialog.get_by_label("The answer").get_by_text("41.27").wait_for()
    hand.tick(dialog.get_by_label("Wait for the answer"))
    hand.press(in_dialog(page, "Send"))
    say(page, "Sent to TOPCAT")
    assert next_message(receiver)["samp.params"] == {"ra": "10.68"}

    hand.press(page.get_by_role("button", name="Send to all"))
    hand.write(dialog.get_by_label("MType"), "my.event")
    hand.press(in_dialog(page, "Send"))
    say(page, "Sent to 1 client")
    assert next_message(receiver)["samp.params"] == {}

    file = home / "galaxies.vot"
    file.write_text(TABLE)
    for place in (card.get_by_role("button", name="File"), page.get_by_role("button", name="Choose a file")):
        with page.expect_file_chooser() as chooser:
            hand.press(place)
        chooser.value.set_files(file)
        call = next_call(receiver)
        assert (call["samp.mtype"], call["samp.params"]["name"]) == ("table.load.votable", "galaxies.vot")
        with urllib.request.urlopen(call["samp.params"]["url"], timeout=PATIENCE) as answer:
            assert answer.read().decode() == TABLE
        receiver.hub.reply(receiver.key, call["id"], {"samp.status": "samp.ok", "samp.result": {}})
        say(page, "TOPCAT took the table")
        page.locator(".toast").first.wait_for(state="detached")

    hand.press(card.get_by_role("button", name="Ping"))
    receiver.hub.reply(receiver.key, next_call(receiver)["id"], {"samp.status": "samp.ok", "samp.result": {}})
    say(page, "TOPCAT answered in")
    hand.press(card.get_by_role("button", name="Disconnect"))
    hand.press(in_dialog(page, "Disconnect"))
    say(page, "TOPCAT is disconnected")
    page.get_by_text("Nobody is on this hub.").wait_for()


@pytest.fixture
def pair(farm: Farm) -> Iterator[tuple[SAMPIntegratedClient, SAMPIntegratedClient]]:
    """Two clients of the hub night; the second one sums up."""
    farm.start(label="night")
    with SAMPIntegratedClient("one") as one, SAMPIntegratedClient("two") as two:
        one.connect(label="night")
        two.connect(label="night")
        two.on_call("my.sum")(lambda message: {"sum": str(int(message.params["a"]) + int(message.params["b"]))})
        two.on_notification("my.text")(lambda message: None)
        yield one, two


def test_conversation_is_narrowed_paused_unfolded_saved_opened_and_sent_again(
    hand: Hand, pair: tuple[SAMPIntegratedClient, SAMPIntegratedClient], farm: Farm, tmp_path: Path
) -> None:
    page, (one, two) = hand.page, pair
    other = str(two.get_public_id())
    hand.open("night")
    hand.press(page.get_by_role("link", name="Conversation"))
    page.get_by_text("Watching: the hub’s clients can see that").wait_for()
    assert farm.find("night").watchers == 1
    lines = page.locator(".messages > li")

    one.ecall_and_wait(other, "my.sum", 10, a="1", b="2")
    one.enotify_all("my.text", text="first")
    lines.filter(has_text="my.text").get_by_text("ok", exact=True).first.wait_for()
    for what, text, count in (("MType:", "sum", 1), ("MType:", "", 2), ("Client:", "nobody", 0), ("Client:", "two", 2)):
        hand.write(page.get_by_label(what), text)
        wait_for(lambda: lines.count() == count, f"{count} are shown for {what} {text!r}")  # noqa: B023
    hand.write(page.get_by_label("Client:"), "")
    hand.choose(page.get_by_label("How it stands"), "error")
    wait_for(lambda: lines.count() == 0, "none is in error")
    hand.choose(page.get_by_label("How it stands"), "any state")
    hand.tick(page.get_by_label("The hub’s own"))
    one.declare_metadata({"samp.name": "one", "samp.description.text": "The first"})
    lines.filter(has_text="samp.hub.event.metadata").first.wait_for()
    hand.tick(page.get_by_label("The hub’s own"))
    wait_for(lambda: lines.count() == 2, "they are not any more")

    hand.press(lines.filter(has_text="my.sum").locator(".line"))
    whole = page.get_by_role("group", name="The whole message")
    whole.get_by_text("answered samp.ok").wait_for()
    hand.press(whole.get_by_role("button", name="Send this again"))
    dialog = page.get_by_role("dialog")
    hand.choose(dialog.get_by_label("To", exact=True), f"two ({other})")
    hand.press(in_dialog(page, "Send"))
    dialog.get_by_text("1 of 1: done").wait_for()
    assert "samp.ok my.sum" in dialog.inner_text()
    hand.press(in_dialog(page, "Close"))
    wait_for(lambda: lines.filter(has_text="my.sum").count() == 2, "the one sent again is seen too")

    hand.press(page.get_by_role("button", name="Pause"))
    page.get_by_text("Paused; the hub is still watched").wait_for()
    one.enotify_all("my.text", text="later")
    one.ping()
    assert lines.count() == 3
    hand.press(page.get_by_role("button", name="Go on"))
    wait_for(lambda: lines.count() == 4, "what was said meanwhile is shown")

    hand.write(page.get_by_label("MType:"), "my.text")
    wait_for(lambda: lines.count() == 2, "the texts alone are shown")
    with page.expect_download() as download:
        hand.press(page.get_by_role("link", name="Save"))
    saved = tmp_path / "saved.jsonl"
    download.value.save_as(saved)
    sent = [each for each in map(json.loads, saved.read_text().splitlines()) if each["event"] == "sent"]
    assert [each["message"]["samp.params"]["text"] for each in sent] == ["first", "later"]
    with page.expect_file_chooser() as chooser:
        hand.press(page.get_by_role("button", name="Open"))
    chooser.value.set_files(saved)
    page.get_by_text("From a file: what was said on the hub night").wait_for()
    wait_for(lambda: lines.count() == 2, "what was saved is shown")
    hand.press(page.get_by_role("button", name="Send again…", exact=True))
    hand.choose(dialog.get_by_label("To", exact=True), f"two ({other})")
    hand.tick(dialog.get_by_label("With the pauses"))
    hand.press(in_dialog(page, "Send"))
    dialog.get_by_text("2 of 2: done").wait_for()
    hand.press(in_dialog(page, "Close"))
    hand.press(page.get_by_role("button", name="Back to the hub"))
    wait_for(lambda: lines.count() == 4, "the two that were sent again are there too")

    one.enotify_all("my.text", text="x" * 100_000)
    wait_for(lambda: lines.count() == 5, "a long one is shown")
    hand.press(lines.last.locator(".line"))
    whole.get_by_text("Not kept: it has 100").wait_for()
    hand.tick(page.get_by_label("Long contents"))
    whole.wait_for(state="detached")  # all is listed anew
    page.get_by_text("Watching: the hub’s clients can see that").wait_for()
    one.enotify_all("my.text", text="x" * 100_000)
    wait_for(lambda: lines.count() == 6, "another is shown")
    hand.press(lines.last.locator(".line"))
    whole.get_by_role("button", name="98000 more characters").wait_for()


def test_log_is_sifted_by_severity_and_words(hand: Hand, farm: Farm) -> None:
    page = hand.page
    farm.start(label="night")
    with (farm.paths.logs / "night.log").open("a") as log:
        log.write("2026-01-01 12:00:00.000 ERROR   night: no room\n2026-01-01 12:00:00.000 ERROR   night: no time\n")
    hand.open("night")
    hand.press(page.get_by_role("link", name="Log", exact=True))
    entries = page.locator(".entry:not(.none)")
    entries.filter(has_text="serving at").wait_for()
    hand.choose(page.get_by_label("Least severe"), "ERROR")
    wait_for(lambda: entries.count() == 2, "the errors are shown")
    hand.write(page.get_by_label("Filter the log"), "room")
    wait_for(lambda: entries.count() == 1, "one of them is")


def test_web_pages_are_let_in_refused_disconnected_and_forgotten(farm: Farm, sites: Any, browser: Any) -> None:
    farm.start(label="night")
    site = sites()
    with started_dashboard() as shown:  # it has to know of the web's port
        for kind in (Mouse, Keyboard):
            told = Told(browser, shown.address)
            told.page.get_by_role("button", name="Start hubs").wait_for()
            hand: Hand = kind(told.page)
            page = hand.page
            hand.press(page.get_by_role("link", name="Web pages"))
            viewer = browser.new_page()
            for name, press in (("Not this", "No"), ("Sky viewer", "Let it in")):
                viewer.goto(f"{site.origin}/viewer.html")
                viewer.evaluate(f"enter({name!r})")
                card = page.get_by_role("article", name=name)
                card.wait_for()
                if press == "Let it in":
                    hand.choose(card.get_by_label("For how long?"), "Always")
                button = card.get_by_role("button", name=press, exact=True)
                page.bring_to_front()
                wait_for(button.is_enabled, "nobody hits what has only just appeared")
                hand.press(button)
                card.wait_for(state="detached")
            inside = page.locator("tbody tr", has_text="Sky viewer")
            inside.wait_for()
            hand.press(page.get_by_role("button", name="Forget"))
            hand.press(in_dialog(page, "Forget"))
            page.get_by_text("Nothing is remembered.").wait_for()
            hand.press(inside.get_by_role("button", name="Disconnect"))
            hand.press(in_dialog(page, "Disconnect"))
            page.get_by_text("No page is on a hub.").wait_for()
            viewer.close()
            page.close()
            assert not told.complaints


def test_users_rules_shares_and_tickets_are_changed(hand: Hand, farm: Farm) -> None:
    page = hand.page
    farm.start(label="night", owner="luigi")
    hand.press(page.get_by_role("link", name="Access"))
    for name in ("luigi", "anna"):
        hand.press(page.get_by_role("button", name="Add a user"))
        dialog = page.get_by_role("dialog")
        hand.write(dialog.get_by_label("Name"), name)
        hand.write(dialog.get_by_label("Password"), "a long password")
        hand.press(in_dialog(page, "Add"))
        say(page, f"{name} is added")
    hand.press(page.get_by_role("button", name="Change luigi"))
    hand.write(dialog.get_by_label("Groups"), "mima, oact")
    hand.tick(dialog.get_by_label("Administrator"))
    hand.press(in_dialog(page, "Change"))
    page.locator("tr", has_text="mima, oact").get_by_text("administrator").wait_for()
    assert farm.users.known("luigi").admin

    hand.press(page.get_by_role("button", name="Change who may enter night"))
    hand.choose(dialog.get_by_label("It lets in"), "Those listed")
    hand.write(dialog.get_by_label("Others too"), "user:anna")
    hand.press(in_dialog(page, "Change"))
    page.locator("tr", has_text="listed, user:anna").wait_for()
    assert (farm.find("night").access, farm.find("night").allow) == ("listed", ("user:anna",))

    hand.press(page.get_by_role("button", name="Share night"))
    hand.write(dialog.get_by_label("With the user"), "anna")
    hand.choose(dialog.get_by_label("For", exact=True), "an hour")
    hand.press(in_dialog(page, "Share"))
    value = page.get_by_label("The value of SAMP_HUB").input_value()
    assert value.startswith("std-lockurl:http")
    hand.press(in_dialog(page, "Close"))
    assert value not in page.content()
    hand.press(page.get_by_role("button", name="Revoke"))
    hand.press(in_dialog(page, "Revoke"))
    page.get_by_role("region", name="Tickets and shares").get_by_text("There are none.").wait_for()
    assert farm.tickets.all() == []

    hand.press(page.get_by_role("button", name="Throw luigi out"))
    hand.press(in_dialog(page, "Throw out"))
    say(page, "luigi is out")
    hand.press(page.get_by_role("button", name="Remove anna"))
    hand.press(in_dialog(page, "Remove"))
    say(page, "anna is removed")
    assert [user.name for user in farm.users.all()] == ["luigi"]


def test_user_logs_in_and_out(hand: Hand, shown: Shown, told: Told, farm: Farm) -> None:
    page = hand.page
    farm.users.add("luigi", "a long password")
    hand.press(page.get_by_role("button", name="Log out"))
    for password in ("a wrong password", "a long password"):
        hand.write(page.get_by_label("User"), "luigi")
        hand.write(page.get_by_label("Password"), password)
        hand.press(page.get_by_role("button", name="Log in"))
        if password == "a wrong password":
            page.get_by_role("alert").get_by_text("the user or the password is wrong").wait_for()
    page.get_by_text("There is none that you may see.").wait_for()
    assert page.get_by_role("link", name=re.compile("Access|History|Web pages")).count() == 0
    hand.press(page.get_by_role("button", name="Log out"))
    page.get_by_label("Password").wait_for()
    assert all("401" in each or "403" in each for each in told.complaints)
    told.complaints.clear()
