"""A desktop's hub, joined with one of the farm's through a page, step by step."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import hubfarm
from hubfarm.bridge.rights import Who
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.desktop.desktop_support import User, desktop_hub, joined_desktop, wait_until_joined
from tests.stories.test_bridges import OK, metadata_of, proxy_of, seen, texts
from tests.support import Receiver, message, wait_for

Enter = Callable[..., Receiver]


@pytest.fixture
def mima(farm: Farm) -> HubInfo:
    (hub,) = farm.start(label="mima-1")
    return hub


@pytest.fixture
def laptop(home: Path) -> Iterator[tuple[hubfarm.SAMPHubServer, User]]:
    with desktop_hub(home) as one:
        yield one


@pytest.fixture
def enter() -> Iterator[Enter]:
    with ExitStack() as stack:
        yield lambda lock_file, name, *patterns: stack.enter_context(Receiver()).join_by(lock_file, name, *patterns)


def port_of(hub: hubfarm.SAMPHubServer) -> int:
    return int(hub._web_port)


def test_programs_of_both_ends_talk_and_the_user_is_asked_once(
    mima: HubInfo, laptop: tuple[hubfarm.SAMPHubServer, User], enter: Enter, home: Path
) -> None:
    hub, user = laptop
    notebook, topcat = enter(mima.lock_file, "notebook", "table.*"), enter(home / "samp", "TOPCAT", "table.*")
    with joined_desktop(mima.lock_file, port_of(hub)) as desktop:
        wait_until_joined(desktop)
        proxy = proxy_of(notebook, "TOPCAT (desktop)")
        notebook.hub.notify(notebook.key, proxy, message("table.text", text="to the desktop"))
        assert texts(topcat, 1) == ["to the desktop"]
        there = proxy_of(topcat, "notebook (mima-1)")
        topcat.hub.notify(topcat.key, there, message("table.text", text="and back"))
        assert texts(notebook, 1) == ["and back"]
        notebook.hub.call(notebook.key, proxy, "tag", message("table.question"))
        topcat.hub.reply(topcat.key, topcat.next().params[2], OK)
        assert notebook.next().params[3] == OK
        topcat.hub.call(topcat.key, there, "tag", message("table.question"))
        notebook.hub.reply(notebook.key, notebook.next().params[2], OK)
        assert topcat.next().params[3] == OK
        wait_for(
            lambda: desktop.state["there"] == ["TOPCAT"] and desktop.state["here"] == ["notebook"], "they are shown"
        )
        assert user.asked == ["hubfarm: mima-1"]
    wait_for(
        lambda: not seen(notebook, "TOPCAT (desktop)") and not seen(topcat, "notebook (mima-1)"), "they have parted"
    )


def test_several_programs_are_one_to_the_desktop(
    mima: HubInfo, laptop: tuple[hubfarm.SAMPHubServer, User], enter: Enter, home: Path
) -> None:
    a, b = enter(mima.lock_file, "A", "table.a.*"), enter(mima.lock_file, "B", "table.*")
    topcat = enter(home / "samp", "TOPCAT", "table.*")
    with joined_desktop(mima.lock_file, port_of(laptop[0])) as desktop:
        wait_until_joined(desktop)
        them = proxy_of(topcat, "2 programs (mima-1)")
        wait_for(lambda: "table.*" in topcat.hub.getSubscriptions(topcat.key, them), "it takes what either takes")  # type: ignore[operator]
        assert metadata_of(topcat, them)["samp.description.text"] == "A (mima-1), B (mima-1)"
        topcat.hub.notifyAll(topcat.key, message("table.a.text", text="to both"))
        assert texts(a, 1) == texts(b, 1) == ["to both"]
        topcat.hub.notify(topcat.key, them, message("table.b.text", text="to one"))
        assert texts(b, 1) == ["to one"]
        topcat.hub.call(topcat.key, them, "tag", message("table.a.question"))
        a.hub.reply(a.key, a.next().params[2], OK)
        assert topcat.next().params[3] == OK
        assert b.received.empty(), "one has answered, and nobody else was asked"
        b.hub.unregister(b.key)
        wait_for(lambda: seen(topcat, "A (mima-1)"), "there is one left")


def test_page_that_comes_back_goes_on_and_nobody_is_asked_again(
    mima: HubInfo, laptop: tuple[hubfarm.SAMPHubServer, User], enter: Enter, home: Path
) -> None:
    hub, user = laptop
    notebook, topcat = enter(mima.lock_file, "notebook", "table.*"), enter(home / "samp", "TOPCAT", "table.*")
    with joined_desktop(mima.lock_file, port_of(hub)) as desktop:
        wait_until_joined(desktop)
        there = proxy_of(topcat, "notebook (mima-1)")
        desktop.close_page()
        wait_for(lambda: not seen(notebook, "TOPCAT (desktop)"), "who cannot be reached is not shown")
        desktop.open_page()
        wait_until_joined(desktop)
        proxy_of(notebook, "TOPCAT (desktop)")
        topcat.hub.notify(topcat.key, there, message("table.text", text="under the same id"))
        assert texts(notebook, 1) == ["under the same id"]
        assert len(user.asked) == 1


def test_user_who_says_no_is_asked_again_only_when_somebody_asks_to(
    mima: HubInfo, laptop: tuple[hubfarm.SAMPHubServer, User]
) -> None:
    hub, user = laptop
    user.says_yes = False
    user.has_thought.clear()
    with joined_desktop(mima.lock_file, port_of(hub)) as desktop:
        wait_for(lambda: user.asked, "the user is asked")
        assert desktop.joined.state()["asks"], "and the page says that it is so"
        user.has_thought.set()
        wait_for(lambda: "join it again" in desktop.state.get("trouble", ""), "the page says so")
        assert len(user.asked) == 1
        user.says_yes = True
        desktop.joined.ask()
        wait_until_joined(desktop)
        assert len(user.asked) == 2


def test_desktop_without_a_hub_is_told_as_it_is(mima: HubInfo) -> None:
    with joined_desktop(mima.lock_file, 9) as desktop:
        wait_for(lambda: "refused" in desktop.state.get("trouble", ""), "the page says so")


def test_file_of_this_end_is_had_there_by_a_url_and_one_of_the_desktops_lies_here(
    mima: HubInfo, laptop: tuple[hubfarm.SAMPHubServer, User], enter: Enter, home: Path
) -> None:
    notebook, topcat = enter(mima.lock_file, "notebook", "table.*"), enter(home / "samp", "TOPCAT", "table.*")
    (home / "m 31.fits").write_bytes(b"from here")
    (home / "table.xml").write_bytes(b"from there")
    with joined_desktop(mima.lock_file, port_of(laptop[0])) as desktop:
        wait_until_joined(desktop)
        mine = (home / "m 31.fits").as_uri()
        notebook.hub.notify(notebook.key, proxy_of(notebook, "TOPCAT (desktop)"), message("table.load", url=mine))
        served = topcat.next().params[2]["samp.params"]["url"]
        assert served.startswith("http://there:1/file/")
        assert served.endswith("/m%2031.fits")
        token = served.split("/")[-2]
        assert len(token) >= 22, "as many as 128 bits"
        assert token in desktop.joined.files
        there = proxy_of(topcat, "notebook (mima-1)")
        topcat.hub.notify(topcat.key, there, message("table.load", url=(home / "table.xml").as_uri()))
        brought = notebook.next().params[2]["samp.params"]["url"]
        path = Path(brought.removeprefix("file://"))
        assert path.name == "table.xml"
        assert path.read_bytes() == b"from there"
        assert path != home / "table.xml"
        topcat.hub.notify(topcat.key, there, message("table.row", url=served))
        assert notebook.next().params[2]["samp.params"]["url"] == mine, "what went out comes back as it was"
        secret = (home / "secret").as_uri()  # which the desktop's hub does not read, but is a file here
        topcat.hub.notify(topcat.key, there, message("table.load", url=secret))
        assert notebook.next().params[2]["samp.params"]["url"] == secret
        (home / "secret").write_text("of this end")
        proxy = proxy_of(notebook, "TOPCAT (desktop)")
        notebook.hub.notify(notebook.key, proxy, message("table.load", url=secret))
        assert topcat.next().params[2]["samp.params"]["url"] == secret, "what the desktop has named first is not served"
    assert not path.exists(), "nothing is left when they have parted"


def test_clients_of_the_desktop_are_the_visitor(
    farm: Farm, laptop: tuple[hubfarm.SAMPHubServer, User], enter: Enter, home: Path
) -> None:
    farm.users.add("anna", password="hunter2 hunter2")
    (hub,) = farm.start(label="mima-1", access="users")
    enter(home / "samp", "TOPCAT", "table.*")
    with joined_desktop(hub.lock_file, port_of(laptop[0]), Who("anna")) as desktop:
        wait_until_joined(desktop)
        looker = hubfarm.SAMPIntegratedClient(callable=False)
        looker.connect(label="mima-1", user="anna", password="hunter2 hunter2")
        try:

            def users() -> list[str]:
                said = [looker.get_metadata(id) for id in looker.get_registered_clients()]
                return [each["hubfarm.user"] for each in said if each["samp.name"] == "TOPCAT (desktop)"]

            wait_for(lambda: users() == ["anna"], "it is there, as the visitor")
        finally:
            looker.disconnect()


def test_names_that_others_choose_are_shown_cut(
    mima: HubInfo, laptop: tuple[hubfarm.SAMPHubServer, User], enter: Enter, home: Path
) -> None:
    enter(mima.lock_file, "A" * 100_000, "table.*")
    enter(mima.lock_file, "B", "table.*")
    topcat = enter(home / "samp", "TOPCAT", "table.*")
    with joined_desktop(mima.lock_file, port_of(laptop[0])) as desktop:
        wait_until_joined(desktop)
        them = proxy_of(topcat, "2 programs (mima-1)")
        assert len(metadata_of(topcat, them)["samp.description.text"]) < 200
        assert [len(name) for name in desktop.joined.state()["here"]] == [120, 1]
