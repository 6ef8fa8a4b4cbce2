"""A client of ours that is to its hub what a web page is: let in by the user, called by pulling, bounded."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from hubfarm import (
    SAMP_HUB_MULTIPLE_INSTANCE,
    AsyncClient,
    Message,
    SAMPHubError,
    SAMPHubServer,
    SAMPProxyError,
    WrongUse,
)
from tests.client.test_aio import run
from tests.wire.wire_support import unused_port
from tests.worker.test_web_pages import Dialogue, dialogue

__all__ = ["dialogue"]


@pytest.fixture
def hub(home: Path, dialogue: Dialogue) -> Iterator[SAMPHubServer]:
    """A hub in this process, which pages may enter by consent."""
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="mine", web_profile_dialog=dialogue, web_port=0) as one:
        yield one


def page(hub: SAMPHubServer, name: str = "page", **more: Any) -> AsyncClient:
    return AsyncClient(name, profile="web", hub=f"http://127.0.0.1:{hub._web_port}/", **more)


def test_it_is_let_in_called_and_answered(hub: SAMPHubServer, dialogue: Dialogue, tmp_path: Path) -> None:
    (tmp_path / "t.xml").write_bytes(b"<VOTABLE/>")
    url = (tmp_path / "t.xml").as_uri()

    async def main() -> Any:
        one = page(hub)

        @one.on_call("table.load.votable")
        async def load(message: Message) -> dict[str, object]:
            where = f"{one.url_translator}{quote(str(message.params['url']), safe='')}".replace(
                "localhost", "127.0.0.1"
            )
            return {"content": await asyncio.to_thread(lambda: urlopen(where).read().decode())}

        async with one, AsyncClient("program", hub=hub) as program:
            assert (await program.get_metadata(str(one.id)))["hubfarm.door"] == "web"
            answer = await program.ecall_and_wait(str(one.id), "table.load.votable", 10, url=url)
            assert await one.ecall_and_wait(str(program.id), "samp.app.ping", 10)
            with pytest.raises(SAMPProxyError, match="not subscribed"):
                await one.ecall_and_wait(str(program.id), "script.run", 10)
            return answer["samp.result"]

    assert run(main()) == {"content": "<VOTABLE/>"}
    assert [shown[0] for shown in dialogue.shown] == ["page"]


def test_it_is_refused_as_the_user_says(hub: SAMPHubServer, dialogue: Dialogue) -> None:
    dialogue.answer = False

    async def main() -> None:
        one = page(hub)
        with pytest.raises(SAMPProxyError, match="does not let this page in"):
            await one.connect()
        assert not one.is_connected

    run(main())


def test_it_finds_nobody_where_nobody_serves_pages(home: Path) -> None:
    async def main() -> None:
        with pytest.raises(SAMPHubError, match="does not answer ping"):
            await AsyncClient("x", profile="web", hub=f"http://127.0.0.1:{unused_port()}/").connect()
        with pytest.raises(SAMPHubError, match="not an http"):
            await AsyncClient("x", profile="web", hub="mima-2").connect()

    run(main())


@pytest.mark.parametrize(
    "more", [{"label": "mine"}, {"user": "luigi"}, {"hub_params": {}}, {"reconnect": True}], ids=str
)
def test_which_hub_and_who_it_is_are_not_its_to_say(home: Path, more: dict[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(WrongUse, match="web page"):
            await AsyncClient("x", profile="web", **more).connect()

    run(main())


def test_other_profiles_are_refused() -> None:
    with pytest.raises(WrongUse, match="'standard' or 'web'"):
        AsyncClient("x", profile="webb")  # type: ignore[arg-type]
