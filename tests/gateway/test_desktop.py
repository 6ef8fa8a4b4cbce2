"""Questions on a desktop: a real session bus, and a program on it that shows notifications."""
# ruff: noqa: F722, F821 -- annotations are D-Bus signatures

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from hubfarm.registry.paths import Paths
from tests.gateway.gateway_support import rig
from tests.support import in_a_loop

pytest.importorskip("dbus_fast")


@pytest.fixture
def session_bus(home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A session bus of this test's own."""
    if not shutil.which("dbus-daemon"):
        pytest.skip("dbus-daemon is not installed")
    command = ["dbus-daemon", "--session", "--nofork", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bus:
        assert bus.stdout is not None
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.stdout.readline().strip())
        yield os.environ["DBUS_SESSION_BUS_ADDRESS"]
        bus.terminate()


def desktop_of(shown: list[Any], closed: list[int]) -> Any:
    """Return what a desktop has on the bus to show notifications."""
    from dbus_fast.service import ServiceInterface, dbus_method
    from dbus_fast.service import signal as dbus_signal

    class Desktop(ServiceInterface):
        def __init__(self) -> None:
            super().__init__("org.freedesktop.Notifications")

        @dbus_method()
        def Notify(
            self,
            app: "s",
            replaces: "u",
            icon: "s",
            summary: "s",
            body: "s",
            actions: "as",
            hints: "a{sv}",
            ms: "i",
        ) -> "u":
            shown.append((summary, body, actions))
            return len(shown)

        @dbus_method()
        def CloseNotification(self, number: "u"):
            closed.append(number)

        @dbus_signal()
        def ActionInvoked(self, number, action) -> "us":
            return [number, action]

        @dbus_signal()
        def NotificationClosed(self, number, reason) -> "uu":
            return [number, reason]

    return Desktop()


@pytest.mark.parametrize("clicked", ["allow", "deny"])
def test_a_click_on_a_notification_answers_and_the_others_go(clicked: str, paths: Paths, session_bus: str) -> None:
    from dbus_fast.aio import MessageBus

    from hubfarm.samp.errors import Fault

    @in_a_loop
    async def test() -> None:
        shown: list[Any] = []
        closed: list[int] = []
        bus = await MessageBus().connect()
        desktop = desktop_of(shown, closed)
        bus.export("/org/freedesktop/Notifications", desktop)
        await bus.request_name("org.freedesktop.Notifications")
        async with rig(paths, "one") as one:
            page = asyncio.create_task(one.register(name="<b>Viewer</b>"))
            while not shown:
                await asyncio.sleep(0.01)
            ((summary, body, actions),) = shown
            assert "<b>Viewer</b> asks to come in" in summary
            assert body.startswith("https://a.example")
            assert actions[::2] == ["allow", "deny"]
            await asyncio.sleep(0.1)
            desktop.ActionInvoked(1, clicked)
            if clicked == "allow":
                assert (await page)["samp.self-id"] == "c1"
            else:
                with pytest.raises(Fault, match="refused"):
                    await page
            assert (await one.state())["waiting"] == []
            other = asyncio.create_task(one.register(origin="https://b.example"))
            question = await one.question()
            while len(shown) < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            await one.api("deny", {"id": question["id"]})  # answered elsewhere
            while not closed:
                await asyncio.sleep(0.01)
            assert closed == [2]
            with pytest.raises(Fault):
                await other
        bus.disconnect()

    test()
