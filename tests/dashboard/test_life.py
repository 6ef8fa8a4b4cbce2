"""The dashboard's life: found again by its account, ended by a signal, or when nobody looks."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from hubfarm.dashboard.jupyter import server
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from tests.conftest import RunCli
from tests.dashboard.dashboard_support import listens, page, started_dashboard
from tests.support import PATIENCE, in_a_loop, running, wait_for


def test_second_call_tells_the_first_ones_address(farm: Farm, cli: RunCli, paths: Paths) -> None:
    with started_dashboard() as shown:
        assert cli("dashboard", "--no-browser").stdout.strip() == shown.address
        assert paths.dashboard.stat().st_mode & 0o777 == 0o600
        assert shown.token not in Path(f"/proc/{shown.process.pid}/cmdline").read_text()
    assert not paths.dashboard.exists()


def test_ends_by_a_signal_and_when_nobody_looks(farm: Farm) -> None:
    with started_dashboard() as shown:
        shown.process.send_signal(signal.SIGTERM)
        assert shown.process.wait(PATIENCE) == 0
    with started_dashboard("--idle", "1") as shown:
        assert shown.process.wait(PATIENCE) == 0


@in_a_loop
async def test_stays_while_somebody_looks(farm: Farm) -> None:
    with started_dashboard("--idle", "1") as shown:
        async with page(shown) as one, one.listen("farm") as told:
            await anext(told)
            with pytest.raises(subprocess.TimeoutExpired):
                await asyncio.to_thread(shown.process.wait, 2.5)
        assert await asyncio.to_thread(shown.process.wait, PATIENCE) == 0


@in_a_loop
async def test_its_end_ends_the_pages(farm: Farm) -> None:
    with started_dashboard() as shown:
        async with page(shown) as one, one.session.ws_connect(f"{one.origin}/ws", headers={"Origin": one.origin}) as ws:
            await ws.send_json({"listen": "farm", "as": 1, "with": {}})
            await ws.receive()
            shown.process.send_signal(signal.SIGTERM)
            while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            wait_for(lambda: shown.process.poll() is not None, "its end")


def test_wrong_use_is_said_in_a_line(farm: Farm, cli: RunCli) -> None:
    for options in (("--no-token",), ("--socket", "/tmp/x", "--port", "1"), ("--idle", "-1")):
        failed = cli("dashboard", *options)
        assert (failed.returncode, failed.stderr.count("\n")) == (2, 1), failed.stderr
    with started_dashboard() as shown:
        failed = cli("dashboard", "--no-browser", "--port", str(shown.port + 1))
        assert (failed.returncode, "another dashboard" in failed.stderr) == (1, True)


def test_listens_at_a_unix_socket_and_prints_no_address(farm: Farm, home: Path) -> None:
    place = home / "socket"
    command = [sys.executable, "-m", "hubfarm", "dashboard", "--socket", str(place), "--no-token"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: listens(place), "the socket")
        process.terminate()
        assert process.communicate(timeout=PATIENCE)[0] == ""
        assert (process.returncode, place.exists()) == (0, False)


def test_jupyter_is_told_to_start_it_at_a_unix_socket() -> None:
    told = server()
    assert told["command"][1:] == ["-m", "hubfarm", "dashboard", "--socket", "{unix_socket}", "--no-token"]
    assert (told["unix_socket"], Path(told["launcher_entry"]["icon_path"]).is_file()) == (True, True)
