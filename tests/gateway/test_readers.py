"""Files that pages read: one that hangs holds up its own page for a while, and nobody else."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hubfarm.gateway import readers as readers_module
from hubfarm.gateway import translator
from hubfarm.gateway.readers import MOST, MOST_OF_ONE, DoesNotAnswer, Readers, TooMany
from hubfarm.registry.paths import Paths
from tests.gateway.gateway_support import rig
from tests.support import PATIENCE, in_a_loop


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A file system that answers when the event is set."""
    monkeypatch.setattr(readers_module, "PATIENCE", 0.3)
    comes_back = threading.Event()
    yield comes_back
    comes_back.set()


@in_a_loop
async def test_who_waits_for_what_hangs_waits_a_while_only_and_its_thread_counts(hung: threading.Event) -> None:
    readers = Readers()
    with pytest.raises(DoesNotAnswer, match="has not answered"):
        await readers.run("page", hung.wait)
    assert await readers.run("page", lambda: 7) == 7
    waiting = [asyncio.ensure_future(readers.run("page", hung.wait)) for _ in range(MOST_OF_ONE - 1)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany, match="of this page"):
        await readers.run("page", lambda: 7)
    assert await readers.run("another", lambda: 7) == 7
    assert all(isinstance(each, DoesNotAnswer) for each in await asyncio.gather(*waiting, return_exceptions=True))
    with pytest.raises(TooMany):  # nobody waits any more, and the threads hang still
        await readers.run("page", lambda: 7)
    hung.set()
    async with asyncio.timeout(PATIENCE):
        while readers._busy:
            await asyncio.sleep(0.01)
    assert await readers.run("page", lambda: 7) == 7
    readers.close()


@in_a_loop
async def test_all_together_have_so_many_threads_and_what_is_raised_is_raised(hung: threading.Event) -> None:
    readers = Readers()
    waiting = [asyncio.ensure_future(readers.run(str(number), hung.wait)) for number in range(MOST)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany, match=f"{MOST} reads are under way"):
        await readers.run("page", lambda: 7)
    assert readers._threads == MOST
    hung.set()
    await asyncio.gather(*waiting)
    with pytest.raises(FileNotFoundError):
        await readers.run("page", os.stat, "/nonexistent")
    readers.close()


def test_a_file_that_hangs_is_a_504_and_all_else_goes_on(
    trusting: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hung: threading.Event
) -> None:
    (good := tmp_path / "good").write_text("good")
    (bad := tmp_path / "bad").write_text("bad")
    opens = translator.open_plain

    def open_plain(path: str) -> int:
        if path == str(bad):
            hung.wait()
        return opens(path)

    monkeypatch.setattr(translator, "open_plain", open_plain)

    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            one.hubs[0].readable = {good.as_uri(), bad.as_uri()}
            base = (await one.register())["samp.url-translator"]

            async def read(file: Path) -> tuple[int, str]:
                async with one.session.get(f"{base}{file.as_uri()}") as answer:
                    return answer.status, await answer.text()

            hanging = [asyncio.ensure_future(read(bad)) for _ in range(MOST_OF_ONE)]
            async with asyncio.timeout(PATIENCE):
                while one.gateway._translator._readers._busy.total() < MOST_OF_ONE:
                    await asyncio.sleep(0.01)
            assert await read(good) == (
                503,
                f"{MOST_OF_ONE} reads of this page are under way: wait until one is done\n",
            )
            other = (await one.register())["samp.url-translator"]
            async with one.session.get(f"{other}{good.as_uri()}") as answer:
                assert (answer.status, await answer.text()) == (200, "good")
            assert await one.call("ping") == ""
            for status, told in await asyncio.gather(*hanging):
                assert (status, "has not answered within" in told) == (504, True)

    test()


@pytest.mark.parametrize("fails", [OSError(5, "Input/output error"), DoesNotAnswer("it hangs")])
def test_an_answer_that_has_begun_and_fails_is_cut_short_and_nothing_else_is_put_into_it(
    fails: Exception, trusting: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "file").write_bytes(b"x" * (translator.CHUNK + 10))
    reads = translator._read

    def read(of: Any, size: int, begin: int) -> bytes:
        if begin:
            raise fails
        return reads(of, size, begin)

    monkeypatch.setattr(translator, "_read", read)

    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            one.hubs[0].readable = {file.as_uri()}
            base = (await one.register())["samp.url-translator"]
            got: list[bytes] = []
            with pytest.raises(aiohttp.ClientError):
                await read_into(got, one.session, f"{base}{file.as_uri()}")
            assert set(b"".join(got)) == {ord("x")}

    test()


async def read_into(got: list[bytes], session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as answer:
        assert answer.status == 200
        async for part in answer.content.iter_any():
            got.append(part)
