"""Aladin itself, under Xvfb: led to the hub that it was given, though it reads no ``SAMP_HUB``.

HUBFARM_PICTURE=aladin.png pytest tests/interop/test_aladin.py keeps a picture of its window.
"""

import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.interop.conftest import OnHub, names_on
from tests.interop.test_ds9 import PICTURE, picture
from tests.support import Receiver, message, need, wait_for

pytestmark = pytest.mark.interop


@pytest.fixture
def user_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Java takes for the user's home: not the one of whoever runs the tests."""
    directory = home / "user"
    directory.mkdir()
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={shlex.quote(str(directory))}")
    return directory


def test_aladin_is_on_the_hub_it_was_given_and_keeps_its_settings(
    display: str, user_home: Path, hubs: list[HubInfo], farm: Farm, on_hub: OnHub, receiver: Receiver, home: Path
) -> None:
    need("aladin")
    receiver.join_by(hubs[1].lock_file)
    aladin = on_hub("mima-2", "aladin")
    found: dict[str, Any] = wait_for(
        lambda: receiver.hub.getSubscribedClients(receiver.key, "script.aladin.send"), "Aladin is on its hub"
    )
    (client,) = found
    assert receiver.hub.getMetadata(receiver.key, client)["samp.name"] == "Aladin"  # type: ignore[call-overload]
    assert [names_on(hub).count("Aladin") for hub in hubs] == [0, 1, 0, 0]
    answer = receiver.hub.callAndWait(receiver.key, client, message("samp.app.ping"), "30")
    assert answer["samp.status"] == "samp.ok"  # type: ignore[call-overload]

    taken = home / "aladin.png"
    wait_for(lambda: any(grey > 0x80 for grey in picture(taken)), "its window is to be seen")
    if os.environ.get(PICTURE):
        shutil.copy(taken, os.environ[PICTURE])

    (place,) = farm.paths.homes.iterdir()
    assert [verdict.path for verdict in farm.gc() if verdict.removed] == []
    aladin.send_signal(signal.SIGTERM)
    aladin.wait(30)
    wait_for(lambda: place in [verdict.path for verdict in farm.gc()], "its home goes when it has ended")
    assert not place.exists()
    assert (user_home / ".aladin" / "Cache").is_dir()
    assert not (user_home / ".samp").exists()
    wait_for(lambda: names_on(hubs[1]) == ["receiver"], "it has left its hub")
