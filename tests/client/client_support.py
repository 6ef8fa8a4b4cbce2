"""What the client tests share: hubs to talk on, and where callbacks put what they got."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfarm import SAMP_HUB_MULTIPLE_INSTANCE, SAMPHubServer, SAMPIntegratedClient
from tests.support import PATIENCE

Arguments = tuple[Any, ...]


class Inbox(queue.Queue[Arguments]):
    """A function to bind: keeps what it is called with."""

    def __call__(self, *arguments: Any) -> None:
        self.put(arguments)

    def next(self) -> Arguments:
        """Wait for the next call."""
        return self.get(timeout=PATIENCE)


def our_threads() -> list[str]:
    """Return the names of hubfarm's threads in this process."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hubfarm")]


@pytest.fixture
def hub(home: Path) -> Iterator[SAMPHubServer]:
    """A hub in this process, labelled "mine"."""
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="mine", owner="luigi", owner_group="mima") as one:
        yield one


@pytest.fixture
def pair(hub: SAMPHubServer) -> Iterator[tuple[SAMPIntegratedClient, SAMPIntegratedClient]]:
    """Two clients of the hub."""
    with SAMPIntegratedClient("one") as one, SAMPIntegratedClient("two") as two:
        one.connect(hub)
        two.connect(hub)
        yield one, two
