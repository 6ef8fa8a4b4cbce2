"""The far end of a line, in the test's own process: what it answers, and when it hangs up."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from hubfarm.connect import far_hub
from hubfarm.connect.agent import Agent
from hubfarm.connect.asked import MAGIC, Answer, Call, Fetch, Hello, Question, answer_in, question_in, written
from hubfarm.connect.exchanges import Exchange, Exchanges, LineLost
from hubfarm.farm import Farm
from hubfarm.samp.xmlrpc import decode_response, encode_call
from tests.support import PATIENCE, in_a_loop

PING = encode_call("samp.hub.ping", [])


async def no_file(exchange: Exchange) -> None:
    """Answer the far end that there is no such file."""
    assert isinstance(question_in(await exchange.head()), Fetch)
    await exchange.say(written(Answer(trouble="there is none")))


@asynccontextmanager
async def far_end(label: str) -> AsyncIterator[tuple[Exchanges, asyncio.Task[None]]]:
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=far)
    agent = asyncio.create_task(Agent(label).run(reader, writer))
    reader, ours = await asyncio.open_connection(sock=near)
    assert await reader.readexactly(len(MAGIC)) == MAGIC
    line = Exchanges(reader, ours, no_file, first=True)
    running = asyncio.create_task(line.run())
    try:
        yield line, agent
    finally:
        ours.close()
        writer.close()
        running.cancel()
        with suppress(asyncio.CancelledError, LineLost):
            await running
        await asyncio.wait_for(agent, PATIENCE)


async def asked(line: Exchanges, question: Question, body: bytes = b"") -> tuple[Answer, bytes]:
    exchange = line.ask()
    await exchange.say(written(question), body)
    return answer_in(await exchange.head()), await exchange.whole()


def test_it_passes_on_calls_and_reads_files(farm: Farm, tmp_path: Path) -> None:
    (hub,) = farm.start(label="tel")
    file = tmp_path / "m31.fits"
    file.write_bytes(os.urandom(200_000))

    @in_a_loop
    async def talk() -> None:
        async with far_end("tel") as (line, _):
            welcome, _ = await asked(line, Hello(release="0"))
            assert welcome.trouble == ""
            assert welcome.secret in hub.lock_file.read_text()
            assert welcome.file_port > 0
            assert (await asked(line, Hello(file_port=welcome.file_port)))[0] == welcome
            answer, body = await asked(line, Call(seconds=5.0), PING)
            assert (answer.trouble, decode_response(body)) == ("", "")
            answer, body = await asked(line, Fetch(url=file.as_uri()))
            assert (answer.status, body) == (200, file.read_bytes())
            answer, body = await asked(line, Fetch(url=file.as_uri(), range="bytes=5-9"))
            assert (answer.status, body) == (206, file.read_bytes()[5:10])
            for nothing in ("file:///nowhere", "http://127.0.0.1:1/x", "http://[", "ftp://x/y"):
                answer, _ = await asked(line, Fetch(url=nothing))
                assert answer.trouble or answer.status == 404
            reader, writer = await asyncio.open_connection("127.0.0.1", welcome.file_port)
            writer.write(b"GET /token/x HTTP/1.0\r\n\r\n")
            assert b"there is none" in await reader.read()
            writer.close()

    talk()


def test_it_says_that_there_is_no_hub_and_hangs_up_when_there_is_none_any_more(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_hub, "GONE_AFTER", 0.1)
    monkeypatch.setattr(far_hub, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(far_hub, "COMES_BACK", 0.3)
    farm.start(label="tel")

    @in_a_loop
    async def talk() -> None:
        async with far_end("nowhere") as (line, _):
            assert "nowhere" in (await asked(line, Hello()))[0].trouble
            assert "does not answer" in (await asked(line, Call(seconds=1.0), PING))[0].trouble
        async with far_end("tel") as (line, agent):
            await asked(line, Hello(carry_files=False))
            await asyncio.to_thread(farm.stop, ["tel"])
            await agent
            assert agent.done()

    talk()


@in_a_loop
async def test_what_it_does_not_know_is_the_end_of_the_exchange() -> None:
    async with far_end("tel") as (line, _):
        exchange = line.ask()
        await exchange.say(b'{"type": "sing"}')
        with pytest.raises(Exception, match="left"):
            await exchange.head()
