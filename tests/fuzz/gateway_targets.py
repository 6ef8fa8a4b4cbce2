"""What is fuzzed of the web's gateway: what a browser sends it, what a page asks to read, what its own files hold."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec

from hubfarm.gateway.asking import Asking
from hubfarm.gateway.carrier import Carrier
from hubfarm.gateway.consent import Consent, NotAsked
from hubfarm.gateway.console import Answered
from hubfarm.gateway.door import PREFIX, START, Answer, Door
from hubfarm.gateway.forward import Answer as Passed
from hubfarm.gateway.forward import Forward
from hubfarm.gateway.hubs import Hubs, WebHub
from hubfarm.gateway.pages import Page, Pages
from hubfarm.gateway.plain_files import NoPlainFile, path_in
from hubfarm.gateway.translator import NotPermitted, _checked, range_of
from hubfarm.gateway.visitors import is_our_name
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import HubNames
from hubfarm.registry.statetable import HubName
from hubfarm.registry.web_memory import WebMemory, as_toml
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.xmlrpc import decode_response, decode_start, encode_response
from hubfarm.spec.origins import NO_BROWSER, OPAQUE, can_be_remembered, origin_said
from hubfarm.wire.carried_pulls import names_in, pull_in
from hubfarm.wire.cors import preflight, readable

_HOME = "https://a.example"
_TOKEN = "0123456789abcdef"
_HUB = WebHub(HubNames("h", "", "", HubName(1, 1), Path("/"), False), "http://127.0.0.1:1/", _TOKEN, "door")


class _Hubs:
    """One hub, which lives."""

    async def of_key(self, key: str, *, anew: bool = False) -> WebHub | None:
        return _HUB if key.partition(".")[0] == _TOKEN else None

    async def find_living(self, label: str = "") -> WebHub | None:
        return _HUB


class _Forward:
    """A way to it on which everything is done."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, bytes, str]] = []

    async def call(self, key: str, body: bytes, origin: str, told: Mapping[str, str] | None = None) -> Passed:
        if key.partition(".")[0] != _TOKEN:
            raise Fault("no hub of ours")
        self.passed.append((key, body, origin))
        return Passed(200, encode_response(""))

    async def tell_of_pulls(self, key: str, arrived: Any, lost: Any) -> None:
        """Nobody is there."""


class _Asking:
    """A user who says no, whatever is asked."""

    def __init__(self) -> None:
        self.consent = Consent(60.0)

    async def hub_for(self, origin: str, name: str, referer: str) -> WebHub:
        with suppress(NotAsked):
            question = self.consent.ask(origin, name, referer, 0.0)
            shown = (question.name, question.referer, question.suspicion)
            assert all(each.isprintable() for each in shown)
            assert len(json.dumps(shown)) < 10_000
        raise Fault("the user has refused this page")


def _paths() -> Paths:
    home = Path(tempfile.mkdtemp())
    return Paths(home, home / ".samp-1" / ".hubfarm" / "host", "host").prepare()


class _Bench:
    """A gateway's door with one page of `_HOME` on its hub."""

    def __init__(self) -> None:
        self.forward, self.asking = _Forward(), _Asking()
        self.pages = Pages(_files())
        self.key = f"{_TOKEN}.page"
        self.pages.add(Page(key=self.key, client="c1", hub="h", origin=_HOME, name="", referer="", since=0.0), 0.0)
        self.carrier = Carrier(self.forward.tell_of_pulls)
        self.door = Door(
            cast(Hubs, _Hubs()),
            cast(Forward, self.forward),
            self.pages,
            cast(Asking, self.asking),
            self.carrier,
            lambda: None,
            "http://localhost:21012",
        )


async def _ask(data: bytes) -> None:
    origin_field, referer, host, asked, body, *_ = [*data.split(b"\n", 4), b"", b"", b"", b"", b""]
    headers = {"Origin": origin_field.decode("latin-1"), "Host": host.decode("latin-1")}
    origin = origin_said(headers["Origin"])
    assert origin == origin.lower()
    assert origin.isprintable()
    assert origin == origin_said(origin)
    for fields in (readable(headers), preflight(headers | {"Access-Control-Request-Method": "POST"}) or []):
        assert not any(control in text for _, text in fields for control in "\r\n")
    if is_our_name(headers["Host"], 21012):
        assert headers["Host"].lower() in ("localhost:21012", "127.0.0.1:21012", "[::1]:21012")
    _read(asked.decode("latin-1"), referer.decode("latin-1"))
    bench = _Bench()
    text = referer.decode("utf-8", "replace")
    with suppress(Fault):
        await bench.door.refusal_of(body[:START], origin)
    answer: Answer = await bench.door.answer(body, origin, text)
    with suppress(Fault):
        decode_response(answer.body)
    method, key = decode_start(body[:START])
    for passed, as_it_was, whose in bench.forward.passed:
        assert (passed, as_it_was, whose) == (key, body, origin)  # unread, but for whose it is
        assert method.startswith(PREFIX)
        assert key != bench.key or origin == _HOME
    if answer.pull is not None:
        answer.pull.over(arrived=True)
    await bench.carrier.close()


def _read(url: str, header: str) -> None:
    """What stands behind the translator's question mark is a path of this host, an address, or nothing."""
    with suppress(NoPlainFile):
        path = path_in(url, "here")
        assert path.startswith("/")
        assert not {".", ".."} & set(path.split("/"))
        assert "\0" not in path
    with suppress(NotPermitted):
        checked = _checked(url)
        assert checked.scheme in ("http", "https")
        assert checked.host
        assert not checked.user
    begin, end = range_of(header, 1000)
    assert begin >= 0
    assert end <= 1000
    pull = pull_in(header.encode("latin-1", "replace"))
    assert pull is None or pull.name
    names_in(header.encode("latin-1", "replace"))
    with suppress(msgspec.DecodeError):
        msgspec.json.decode(url.encode(), type=Answered)


_LOOP: list[asyncio.AbstractEventLoop] = []


def fuzz_gateway(data: bytes) -> None:
    """Whatever a browser sends is answered; no page enters unasked or by another's key, no path leads astray."""
    if not _LOOP:
        _LOOP.append(asyncio.new_event_loop())
    _LOOP[0].run_until_complete(_ask(data))


_FILES: list[Paths] = []


def _files() -> Paths:
    if not _FILES:
        _FILES.append(_paths())
    return _FILES[0]


def fuzz_web_files(data: bytes) -> None:
    """Whatever stands in the gateway's files is pages and origins, or an error, or nothing."""
    paths = _files()
    paths.web_memory.write_bytes(data)
    paths.web_memory.chmod(0o600)
    memory = WebMemory(paths)
    said = ""
    try:
        known = memory.read()
    except HubfarmError as error:
        said = str(error)
    assert "\n" not in said
    if not said:
        paths.web_memory.write_text(as_toml(known))
        assert [each.origin for each in memory.read().page] == [each.origin for each in known.page]
        for page in known.page:
            assert known.last_hub_of(page.origin)
            assert can_be_remembered(page.origin) or page.origin in (OPAQUE, NO_BROWSER)
    pages = Pages(paths)
    pages._path.write_bytes(data)
    pages._path.chmod(0o600)
    pages.recall(0.0)
    for each in pages:
        assert isinstance(each.id, str)
        pages.begin(each.key)
        pages.end(each.key, 0.0)
    pages.forget_silent(1e9)
    assert len(pages) == 0


GATEWAY_TARGETS: dict[str, Callable[[bytes], None]] = {"gateway": fuzz_gateway, "web_files": fuzz_web_files}
