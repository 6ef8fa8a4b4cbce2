"""Fixtures for pytest: a private hub for each test, and a client of it.

pytest finds them by itself where hubfarm is installed.  Each hub has lock file and directory of its own
under pytest's temporary directory, so workers of pytest-xdist and the user's programs never meet.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hubfarm import SAMPHubServer, SAMPIntegratedClient


@pytest.fixture
def samp_hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> "Iterator[SAMPHubServer]":
    """Run a hub of this test's own; ``SAMP_HUB`` names it, for the test and for what it starts."""
    from hubfarm import SAMPHubServer
    from hubfarm.registry.paths import Paths
    from hubfarm.samp.lockfile import lock_url

    home: Path = tmp_path_factory.mktemp("samp-hub")
    paths = Paths(home, home / "hubfarm", "test")
    with SAMPHubServer(lockfile=str(home / "samp"), paths=paths) as hub:
        monkeypatch.setenv("SAMP_HUB", lock_url(home / "samp"))
        yield hub


@pytest.fixture
def samp_client(samp_hub: "SAMPHubServer") -> "Iterator[SAMPIntegratedClient]":
    """Connect a client to the test's hub."""
    from hubfarm import SAMPIntegratedClient

    with SAMPIntegratedClient("test") as client:
        client.connect(samp_hub)
        yield client
