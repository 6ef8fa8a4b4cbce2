"""What a notebook shows of others holds no markup of theirs, is bounded, and costs what its length costs."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from typing import Any

import pytest

from hubfarm import (
    AsyncClient,
    Farm,
    Message,
    Receipt,
    SAMPClient,
    SAMPHubProxy,
    SAMPHubServer,
    SAMPIntegratedClient,
    html,
)
from hubfarm.client.icons import LARGEST, icons_of
from tests.client.client_support import hub

__all__ = ["hub"]

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</td></table><style>*{display:none}</style>",
    "javascript:alert(1)",
    "&lt;script&gt;",
    "\x1b[2J\u202egnp.exe\u200b",
    "x" * 100_000,
]
OURS = {"table", "caption", "tr", "th", "td", "span", "img", "progress"}


class Seen(HTMLParser):
    """What a browser would make of markup: its tags, its attributes, its text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str, str | None]] = set()
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name, value) for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def check_harmless(markup: str, hostile: str) -> Seen:
    """Check that nothing in `markup` is of others, but text."""
    seen = Seen(markup)
    assert seen.tags <= OURS
    for tag, name, value in seen.attributes:
        assert (tag, name) in {("span", "style"), ("img", "alt"), ("img", "src"), ("img", "width"), ("img", "height")}
        assert name != "src" or str(value).startswith("data:image/")
        assert hostile not in str(value)
    assert seen.text.isprintable()
    assert len(markup) < 20_000
    return seen


@pytest.mark.parametrize("hostile", HOSTILE)
def test_messages_and_receipts_show_others_words_as_words(hostile: str) -> None:
    params = {"name": hostile, hostile: {"url": [hostile]}}
    message = Message(hostile, hostile, hostile, params, {hostile: hostile, "from": "somebody else"})
    receipt = Receipt(hostile, hostile, {"samp.status": hostile, "samp.error": {"samp.errortxt": hostile}})
    for shown in (message, receipt):
        seen = check_harmless(shown._repr_html_(), hostile)
        if hostile.isprintable() and len(hostile) < 100:
            assert hostile in seen.text
        assert repr(shown).isprintable()
        assert len(repr(shown)) < 200


@pytest.mark.parametrize("hostile", HOSTILE)
def test_clients_show_their_metadata_as_words(hub: SAMPHubServer, hostile: str) -> None:
    metadata = {"samp.description.text": hostile, "samp.icon.url": hostile}
    if not hostile.isprintable():
        metadata = {key: value.replace("\x1b", "") for key, value in metadata.items()}  # which no hub takes
    name = metadata["samp.description.text"]

    async def in_asyncio() -> list[str]:
        client = AsyncClient(name, metadata=metadata)
        await client.connect(hub)
        shown = [repr(client), client._repr_html_()]
        await client.disconnect()
        return shown

    with SAMPIntegratedClient(name, metadata=metadata) as client:
        client.connect(hub)
        short, page = repr(client), client._repr_html_()
    for line, markup in ((short, page), asyncio.run(in_asyncio())):
        assert line.isprintable()
        assert len(line) < 200
        assert "connected" in check_harmless(markup, hostile).text


def test_no_secret_is_shown_of_a_client(hub: SAMPHubServer) -> None:
    with SAMPIntegratedClient("me") as client:
        client.connect(hub)
        for shown in (repr(client), client._repr_html_(), repr(client.client)):
            assert str(client.get_private_key()) not in shown
            assert hub.params["samp.secret"] not in shown
        assert repr(client) == f"<SAMPIntegratedClient me: {client.get_public_id()} on mine>"
        assert ("mine" in client._repr_html_(), "connected" in client._repr_html_()) == (True, True)
    assert repr(client) == "<SAMPIntegratedClient me: not connected>"
    assert repr(SAMPClient(SAMPHubProxy(), "you")) == "<SAMPClient you: not connected>"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hub_shows_what_lock_files_say_as_words(farm: Farm, hub: SAMPHubServer, hostile: str) -> None:
    (ours,) = farm.hubs()
    foreign = replace(ours, label=hostile, owner=hostile, group=hostile, url=hostile, problem=hostile, host=hostile)
    check_harmless(foreign._repr_html_(), hostile)
    assert repr(foreign).isprintable()
    assert len(repr(foreign)) < 200


def test_a_farm_shows_its_hubs(farm: Farm) -> None:
    assert "0 hubs" in Seen(farm._repr_html_()).text
    (started,) = farm.start(label="<b>mima", owner="<script>alert(1)")
    seen = check_harmless(farm._repr_html_(), "<script>alert(1)")
    for word in ("1 hub in", "<b>mima", "<script>alert(1)", "running", started.url):
        assert word in seen.text
    assert repr(started) == f"<HubInfo <b>mima: running, {started.url}>"
    assert repr(farm) == f"<Farm in {farm.paths.lockdir}>"


def test_a_long_table_and_many_facts_are_cut_and_say_so() -> None:
    for markup in (html.table(["n"], ([n] for n in range(10**5))), html.facts("", {str(n): n for n in range(10**5)})):
        assert markup.count("<tr>") <= html.MOST + 2
        assert f"… {10**5 - html.MOST} more" in markup


# ---------------------------------------------------------------------- icons


@pytest.fixture
def icon_server() -> Iterator[str]:
    """A server of what may lie behind an icon's address; returns its URL."""
    png = files("hubfarm.hub.profiles").joinpath("icon.png").read_bytes()
    content = {"/icon.png": png, "/page": b"<script>alert(1)</script>", "/large": b"\x89PNG\r\n\x1a\n" + bytes(LARGEST)}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/slow":
                release.wait(10)
            body = content.get(self.path, b"")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    release = threading.Event()
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        release.set()
        server.shutdown()
        thread.join()


def test_a_client_shows_its_icon_in_the_page_itself(hub: SAMPHubServer, icon_server: str) -> None:
    with SAMPIntegratedClient("me", metadata={"samp.icon.url": f"{icon_server}/icon.png"}) as client:
        assert "img" not in Seen(client._repr_html_()).tags
        client.connect(hub)
        seen = Seen(client._repr_html_())
    (source,) = [value for tag, name, value in seen.attributes if (tag, name) == ("img", "src")]
    assert str(source).startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize("path", ["page", "large", "slow", "none"])
def test_what_is_no_icon_is_not_shown(icon_server: str, path: str) -> None:
    url = f"{icon_server}/{path}"
    assert html.picture(icons_of([{"samp.icon.url": url}]).get(url, b"")) == ""
