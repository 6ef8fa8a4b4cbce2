"""The calls on a hub that is a script: what is shown to it, and how long it is waited for."""

import base64
import contextlib
from typing import Any
from xmlrpc.client import dumps

import pytest

from hubfarm.client import membership
from hubfarm.client.calls import HubCalls
from hubfarm.client.credentials import Credentials
from hubfarm.samp.toolkit import SAMPHubError
from tests.client.test_membership import FakeHub, member
from tests.support import in_a_loop
from tests.wire.test_http_client import answering
from tests.wire.wire_support import Heard, Scripted

DONE = dumps(("",), methodresponse=True).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(DONE), DONE)


@pytest.fixture
def heard() -> list[Heard]:
    return []


def tokens(url: str) -> dict[str, str]:
    return {"samp.secret": "s", "samp.hub.xmlrpc.url": url}


@pytest.mark.parametrize(
    ("given", "shown"),
    [(None, "luigi:p w"), (Credentials(), "luigi:p w"), (Credentials("anna", "x"), "anna:x")],
)
def test_user_of_a_url_registers_unless_another_is_given(
    heard: list[Heard], given: Credentials | None, shown: str
) -> None:
    @in_a_loop
    async def talk() -> None:
        async with Scripted(answering(*[ANSWER] * 3, heard=heard)) as server:
            with contextlib.closing(HubCalls(credentials=given)) as hub:
                await hub.open(tokens(f"http://luigi:p%20w@127.0.0.1:{server.port}/x"))
                assert hub.is_open
                await hub.call("register", "s")
                await hub.call("unregister", "key")
            assert not hub.is_open

    talk()
    basic = base64.b64encode(shown.encode())
    assert [b"Authorization: Basic %s\r\n" % basic in each.head for each in heard] == [False, True, False]
    assert all(each.head.startswith(b"POST /x HTTP/1.1\r\n") for each in heard)


@pytest.mark.parametrize("missing", ["samp.secret", "samp.hub.xmlrpc.url"])
def test_what_describes_no_hub_is_refused_by_what_is_missing(missing: str) -> None:
    described: dict[str, Any] = tokens("http://127.0.0.1:9/") | {missing: ""}

    @in_a_loop
    async def talk() -> None:
        with pytest.raises(SAMPHubError, match=rf"^this describes no hub: {missing} is missing"):
            await HubCalls().open(described)

    talk()


@pytest.mark.parametrize(("hub_has", "goodbye_has"), [(10.0, membership.GOODBYE_TIMEOUT), (0.5, 0.5)])
def test_hub_is_not_waited_for_long_to_say_goodbye(hub_has: float, goodbye_has: float) -> None:
    waited: list[float | None] = []

    class Timed(FakeHub):
        timeout = hub_has

        async def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
            if method == "unregister":
                waited.append(timeout)
            return await super().call(method, *params, timeout=timeout)

    @in_a_loop
    async def talk() -> None:
        one = member(Timed(), callable=False)
        await one.register()
        await one.unregister()

    talk()
    assert waited == [goodbye_has]
