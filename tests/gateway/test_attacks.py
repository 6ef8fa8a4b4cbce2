"""The gateway against those who mean it ill: what they use up is theirs, and what they leave behind is nothing."""

import asyncio
import contextlib
import gc
import os
import subprocess
import threading
from pathlib import Path

import pytest

from hubfarm.gateway import translator, visitors
from hubfarm.gateway.front import MOST_OF_OTHERS
from hubfarm.gateway.translator import MOST_AT_A_TIME
from hubfarm.registry.paths import Paths
from hubfarm.wire.http_messages import Ends
from tests.gateway.gateway_support import rig
from tests.support import in_a_loop


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another account takes root")
def test_who_is_refused_does_not_keep_the_gateway_awake(paths: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            before = one.gateway._front.last_request
            knock = f"import urllib.request; urllib.request.urlopen('{one.base}/')"
            done = await asyncio.to_thread(
                subprocess.run, ["/usr/bin/python3", "-c", knock], user=4711, group=4711, capture_output=True, text=True
            )
            assert "403" in done.stderr
            assert one.gateway._front.last_request == before
            assert await one.call("ping") == ""
            assert one.gateway._front.last_request > before

    test()


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another account takes root")
def test_connections_of_another_account_use_up_no_room_of_ours(trusting: Paths) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            hold = (
                "import select, socket, sys, time; p = select.poll();"
                "held = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(int(sys.argv[2]))];"
                "[p.register(each, select.POLLIN) for each in held];"
                "end = time.time() + 30;"
                "exec('while len(p.poll(100)) < 50 and time.time() < end: time.sleep(0.01)');"
                "print(len(p.poll(0)))"
            )
            process = await asyncio.create_subprocess_exec(
                "/usr/bin/python3", "-c", hold, str(one.port), str(MOST_OF_OTHERS + 50),
                stdout=subprocess.PIPE, user=65534, group=65534,
            )  # fmt: skip
            assert int((await process.communicate())[0]) == 50
            await one.register()

    test()


def test_a_name_service_that_is_slow_does_not_hold_the_loop(trusting: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[threading.Thread] = []

    def slow(uid: int) -> str:
        asked.append(threading.current_thread())
        return str(uid)

    class Sockets:
        are_known = True

        def account(self, ends: Ends) -> int:
            return 4711

    monkeypatch.setattr(visitors, "name_of", slow)

    @in_a_loop
    async def test() -> None:
        refusal = await visitors.Visitors(Sockets(), 4712).refusal_of(Ends())  # type: ignore[arg-type]
        assert "held by the account 4712 and this page is of the account 4711" in refusal
        assert threading.current_thread() not in asked

    test()


def test_a_question_goes_also_with_a_page_that_goes_before_it_is_shown(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    @in_a_loop
    async def test() -> None:
        async with rig(paths, "one") as one:
            shown = asyncio.Event()

            async def show(question: object) -> None:
                shown.set()
                await asyncio.Event().wait()

            asking = one.gateway._asking
            monkeypatch.setattr(asking, "_show", show)
            page = asyncio.create_task(one.register())
            await shown.wait()
            page.cancel()
            async with asyncio.timeout(20):
                while asking.consent.waiting:
                    await asyncio.sleep(0.01)

    test()


def test_a_page_that_goes_while_its_file_is_opened_leaves_no_descriptor(
    trusting: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on, opened = threading.Event(), threading.Event(), []

    def slow(path: str) -> int:
        opening.set()
        go_on.wait(20)
        opened.append(os.open(path, os.O_RDONLY))
        return opened[0]

    monkeypatch.setattr(translator, "open_plain", slow)
    (file := tmp_path / "table.xml").write_text("<VOTABLE/>")

    @in_a_loop
    async def test() -> None:
        async with rig(trusting, "one") as one:
            one.hubs[0].readable = {file.as_uri()}
            page = await one.register()
            reading = asyncio.create_task(one.session.get(f"{page['samp.url-translator']}{file.as_uri()}"))
            await asyncio.to_thread(opening.wait, 20)
            reading.cancel()
            while one.gateway._translator._under_way._value < MOST_AT_A_TIME:
                await asyncio.sleep(0.01)
            go_on.set()
            async with asyncio.timeout(20):
                while not opened or leads_to(opened[0], file):
                    gc.collect()
                    await asyncio.sleep(0.01)

    test()


def leads_to(descriptor: int, file: Path) -> bool:
    """Tell whether a descriptor is still one of a file."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}") == str(file)
    return False
