"""Watching a hub from outside: what is told, to whom, and who is refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from hubfarm import SAMP_HUB_MULTIPLE_INSTANCE, SAMPHubServer, SAMPIntegratedClient
from hubfarm.client.credentials import Credentials
from hubfarm.client.others import watchers_of
from hubfarm.client.watching import NotWatched, follow, watch
from hubfarm.farm import Farm
from hubfarm.samp.lockfile import SECRET, URL
from hubfarm.spec.watching import Answered, Came, Ended, Event, Hello, Sent
from hubfarm.wire.web_door import DOOR, watch_credential
from tests.client.client_support import hub, pair
from tests.support import Receiver, in_a_loop, read_lock_file, wait_for

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


async def until(events: AsyncIterator[Event], kind: type, *, count: int = 1) -> list[Any]:
    """Return the events up to the one that is the last of so many of a kind."""
    seen: list[Event] = []
    async for event in events:
        seen.append(event)
        if sum(isinstance(each, kind) for each in seen) == count:
            return seen
    pytest.fail(f"the hub tells no more, and it was: {seen}")


def watching(hub: SAMPHubServer, **how: Any) -> contextlib.AbstractAsyncContextManager[AsyncIterator[Event]]:
    return watch(hub.params, name="a test", **how)


@pytest.mark.parametrize("tls", [False, True])
def test_call_between_two_clients_is_seen_and_the_watcher_is_no_client(home: Path, tls: bool) -> None:
    mode = SAMP_HUB_MULTIPLE_INSTANCE
    with (
        SAMPHubServer(mode=mode, label="mine", tls=tls, web_profile=False) as hub,
        SAMPIntegratedClient("one") as one,
        SAMPIntegratedClient("two") as two,
    ):
        one.connect(hub)
        two.connect(hub)
        two.on_call("my.sum")(lambda message: {"sum": "3"})
        me, other = str(one.get_public_id()), str(two.get_public_id())

        async def scenario() -> None:
            async with watching(hub, content=10_000) as events:
                hello, *came = await until(events, Came, count=2)
                assert isinstance(hello, Hello)
                assert (hello.hub, hello.url) == ("mine", hub.params[URL])
                assert {event.id: event.name for event in came} == {me: "one", other: "two"}
                assert await asyncio.to_thread(one.get_registered_clients) == ["hub", other]
                assert await asyncio.to_thread(watchers_of, one) == ["a test"]
                await asyncio.to_thread(one.ecall_and_wait, other, "my.sum", 10, a="1", b="2")
                seen = [event for event in await until(events, Answered, count=2) if isinstance(event, Answered)]
                assert (seen[-1].sender, seen[-1].to, seen[-1].status) == (other, me, "samp.ok")

        asyncio.run(scenario())
        wait_for(lambda: not watchers_of(one), "nobody watches any more")


def test_who_follows_is_told_of_the_end(hub: SAMPHubServer) -> None:
    @in_a_loop
    async def scenario() -> None:
        told = []
        async for event in follow(hub.params, name="a test"):
            told.append(event)
            if isinstance(event, Hello):
                await asyncio.to_thread(hub.stop)
        assert isinstance(told[-1], Ended)
        assert not told[-1].again

    scenario()


def test_wrong_secret_opens_nothing_and_guessers_wait(hub: SAMPHubServer) -> None:
    @in_a_loop
    async def scenario() -> None:
        with pytest.raises(NotWatched, match="opened by the hub's secret"):
            async with watch(hub.params | {SECRET: "another"}, name="a test"):
                pass

    scenario()


def ask(hub: SAMPHubServer, path: str = "/watch", method: str = "GET", **fields: str) -> tuple[int, str]:
    headers = {DOOR: f"watch {watch_credential(hub.params[SECRET])}"} | {
        name.replace("_", "-"): value for name, value in fields.items()
    }
    request = Request(hub.params[URL].removesuffix("/xmlrpc") + path, headers=headers, method=method)
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, ""
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_door_for_watchers_takes_what_is_meant_for_it_and_nothing_else(hub: SAMPHubServer) -> None:
    assert ask(hub)[0] == 200
    assert ask(hub, "/other")[0] == 404
    assert ask(hub, method="POST")[0] == 404
    assert ask(hub, "/watch?content=-1")[0] == 400
    assert ask(hub, "/watch?content=" + "9" * 3000)[0] == 200
    assert ask(hub, X_Hubfarm_Door="watch")[0] == 403
    assert ask(hub, X_Hubfarm_Door="watching everything")[0] == 403
    assert ask(hub, X_Hubfarm_Ticket="0" * 16 + "-" + "0" * 32)[0] == 403
    assert ask(hub, Authorization="Digest x")[0] == 403
    assert "Origin" not in ask(hub, Origin="http://evil.example")[1]  # a page cannot set the field of the door


def test_page_in_a_browser_may_not_watch(hub: SAMPHubServer) -> None:
    """It would have to send a header field of its own, and is refused when it asks whether it may."""
    status, text = ask(hub, method="OPTIONS", X_Hubfarm_Door="", Origin="http://evil.example")
    assert (status, "gateway" in text) == (403, True)


@in_a_loop
async def test_another_programs_hub_is_not_asked(receiver: Receiver) -> None:
    with pytest.raises(NotWatched, match="another program's hub"):
        async with watch({URL: receiver.url, SECRET: "x"}, name="a test"):
            pass
    assert receiver.received.empty()


@in_a_loop
async def test_server_that_is_no_hub_any_more_is_no_watch() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        await writer.drain()
        writer.close()

    said = {
        b"": "does not answer",
        b"SSH-2.0\r\n\r\n": "does not answer in HTTP",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/html\r\n\r\nhi": "of another release",
        b"HTTP/1.1 404 No\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nhi": "of another release",
        b"HTTP/1.1 403 No\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\nno: me": "no: me",
    }
    answers = iter(said)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for text in said.values():
            with pytest.raises(NotWatched, match=text):
                async with watch(
                    {URL: f"http://127.0.0.1:{port}/xmlrpc", SECRET: "x", "hubfarm.id": "1"}, name="a test"
                ):
                    pass


# ---------------------------------------------------------------------- with access control


LUIGI, ANNA, ROOT = "Luigi's password: 1", "Anna's", "the admin's"


def tries(tokens: dict[str, str], **how: Any) -> str:
    """Return why somebody may not watch; empty if it may."""

    async def scenario() -> str:
        try:
            async with watch(tokens, name="a test", **how) as events:
                await until(events, Hello)
        except NotWatched as error:
            return str(error)
        return ""

    return asyncio.run(scenario())


def test_restricted_hub_is_watched_by_its_owner_and_administrators_alone(farm: Farm) -> None:
    for user, password, admin in (("luigi", LUIGI, False), ("anna", ANNA, False), ("boss", ROOT, True)):
        farm.users.add(user, password, groups=["mima"], admin=admin)
    [hub] = farm.start(label="mine", owner="luigi", group="mima", access="group")
    tokens = read_lock_file(hub.lock_file)
    assert "may be watched by its owner luigi and administrators" in tries(tokens)
    assert "may be watched by" in tries(tokens, credentials=Credentials("anna", ANNA))
    assert tries(tokens, credentials=Credentials("luigi", LUIGI)) == ""
    assert tries(tokens, credentials=Credentials("boss", ROOT)) == ""
    assert "user or the password is wrong" in tries(tokens, credentials=Credentials("luigi", ANNA))
    ticket = read_lock_file(farm.log_in("mine", user="luigi", password=LUIGI).lock_file)
    assert tries(ticket) == ""
    assert tries(tokens, ticket=ticket[SECRET]) == ""
    other = read_lock_file(farm.log_in("mine", user="anna", password=ANNA).lock_file)
    assert "may be watched by" in tries(other)


def test_ticket_does_not_open_a_hub_that_lets_in_everybody(farm: Farm) -> None:
    """Who was given one may enter there, as everybody may who has the secret, and is not of the farm's account."""
    farm.users.add("luigi", LUIGI)
    [hub] = farm.start(label="mine", owner="luigi")
    ticket = read_lock_file(farm.log_in("mine", user="luigi", password=LUIGI).lock_file)
    assert "opened by the hub's secret" in tries(ticket)
    assert tries(read_lock_file(hub.lock_file), ticket=ticket[SECRET]) == ""


def test_watcher_whose_ticket_is_revoked_or_whose_hub_becomes_anothers_is_let_go(farm: Farm) -> None:
    farm.users.add("luigi", LUIGI, groups=["mima"])
    farm.users.add("anna", ANNA, groups=["mima"])
    [hub] = farm.start(label="mine", owner="luigi", group="mima", access="group")
    ticket = farm.log_in("mine", user="luigi", password=LUIGI)

    async def scenario() -> None:
        async with watch(read_lock_file(ticket.lock_file), name="a test") as events:
            await until(events, Hello)
            await asyncio.to_thread(farm.tickets.revoke, ticket.ticket.id)
            [*_, ended] = await until(events, Ended)
            assert "revoked" in ended.reason

    in_a_loop(scenario)()
    assert farm.find("mine").watchers == 0
    farm.set_access("mine", "open")

    async def open_one() -> None:
        async with watch(read_lock_file(hub.lock_file), name="a test") as events:
            await until(events, Hello)
            assert farm.find("mine").watchers == 1
            await asyncio.to_thread(farm.set_access, "mine", "group")
            [*_, ended] = await until(events, Ended)
            assert "its owner luigi" in ended.reason

    in_a_loop(open_one)()


def test_sender_that_names_a_message_of_megabytes_is_told_of_and_its_content_is_not(
    pair: Pair, hub: SAMPHubServer
) -> None:
    one, two = pair
    two.on_notification("my.text")(lambda message: None)

    async def scenario() -> None:
        async with watching(hub, content=10**9) as events:
            await until(events, Came, count=2)
            await asyncio.to_thread(one.enotify_all, "my.text", text="x" * 5 * 2**20)
            sent = (await until(events, Sent))[-1]
            assert (sent.size > 5 * 2**20, sent.xml) == (True, b"")

    in_a_loop(scenario)()
